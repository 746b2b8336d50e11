// SPDX-License-Identifier: Apache-2.0

internal import CXML

/// Why a text is no XML document.
public struct XMLSyntaxError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What the parser says.
    public let message: String
    /// The line, from 1.
    public let line: Int
    /// The line's text around the place.
    public let context: String
    /// The place in `context`, from 0.
    public let column: Int

    /// The line and what is wrong there.
    public var description: String { "line \(line): \(message)" }
}

/// Reads documents with libxml2: no network, no external entities, its own bounds on depth and size.
public enum XMLParser {
    /// The longest document, in bytes.
    public static let limit = 16 << 20

    /// The root of a document. Comments and processing instructions are dropped, and white space between elements too.
    public static func parse(_ text: String) throws(XMLSyntaxError) -> XMLElement {
        var bytes = Array(text.utf8)
        guard bytes.count <= limit else {
            throw XMLSyntaxError(message: "the document is longer than \(limit) bytes", line: 1, context: "", column: 0)
        }
        // The parser frees nothing of the bytes and reads only inside their count; the context and the document are
        // freed here, after the tree was copied out of them.
        guard let context = unsafe xmlNewParserCtxt() else {
            throw XMLSyntaxError(message: "out of memory", line: 0, context: "", column: 0)
        }
        defer { unsafe xmlFreeParserCtxt(context) }
        let options = Int32(
            XML_PARSE_NONET.rawValue | XML_PARSE_NOERROR.rawValue | XML_PARSE_NOWARNING.rawValue
                | XML_PARSE_NOCDATA.rawValue)
        // The text is UTF-8 whatever it says of itself; the name of the encoding lives for the call.
        let document = unsafe bytes.withUnsafeMutableBytes { raw in
            unsafe xmlCtxtReadMemory(
                context, raw.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(raw.count), nil, "UTF-8", options)
        }
        defer { if unsafe document != nil { unsafe xmlFreeDoc(document) } }
        guard let document = unsafe document, let root = unsafe xmlDocGetRootElement(document) else {
            throw unsafe failure(context, text)
        }
        return unsafe copy(root)
    }

    private static func failure(_ context: xmlParserCtxtPtr, _ text: String) -> XMLSyntaxError {
        // The last error's message, when there is one, is a string of the context's.
        let error = unsafe context.pointee.lastError
        var message = unsafe error.message.map { unsafe String(cString: $0) } ?? "the document is empty"
        while message.last == "\n" { message.removeLast() }
        let line = max(1, Int(unsafe error.line))
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let whole = line <= lines.count ? String(lines[line - 1]) : ""
        let column = min(max(0, Int(unsafe error.int2) - 1), whole.count)
        return XMLSyntaxError(message: message, line: line, context: String(whole.prefix(1024)), column: column)
    }

    /// Copies a node; its depth is bounded by the parser's own limit.
    private static func copy(_ node: xmlNodePtr) -> XMLElement {
        // All pointers belong to the document, which the caller holds for the whole copy.
        var element = XMLElement(unsafe qualified(node.pointee.name, node.pointee.ns))
        var declaration = unsafe node.pointee.nsDef
        while let each = unsafe declaration {
            let name = unsafe each.pointee.prefix.map { unsafe "xmlns:" + string($0) } ?? "xmlns"
            element.attributes.append(XMLAttribute(name, unsafe string(each.pointee.href)))
            unsafe declaration = each.pointee.next
        }
        var attribute = unsafe node.pointee.properties
        while let each = unsafe attribute {
            let value = unsafe xmlNodeListGetString(node.pointee.doc, each.pointee.children, 1)
            element.attributes.append(
                XMLAttribute(unsafe qualified(each.pointee.name, each.pointee.ns), unsafe string(value)))
            if let value = unsafe value { unsafe roost_xml_free(value) }
            unsafe attribute = each.pointee.next
        }
        var child = unsafe node.pointee.children
        while let each = unsafe child {
            switch unsafe each.pointee.type {
            case XML_ELEMENT_NODE: element.append(unsafe copy(each))
            case XML_TEXT_NODE, XML_CDATA_SECTION_NODE:
                element.children.append(.text(unsafe string(each.pointee.content)))
            default: break
            }
            unsafe child = each.pointee.next
        }
        dropBlanks(&element)
        return element
    }

    private static func dropBlanks(_ element: inout XMLElement) {
        let isBlank: (XMLNode) -> Bool = { node in
            guard case .text(let text) = node else { return false }
            return text.utf8.allSatisfy { [0x20, 0x0a, 0x0d, 0x09].contains($0) }
        }
        guard element.children.contains(where: { $0.element != nil }) else {
            // A text that is nothing but blanks stays, one that is empty does not.
            element.children.removeAll { $0 == .text("") }
            return
        }
        element.children.removeAll(where: isBlank)
    }

    private static func qualified(_ name: UnsafePointer<xmlChar>?, _ namespace: xmlNsPtr?) -> String {
        // As above.
        let local = unsafe string(name)
        guard let prefix = unsafe namespace?.pointee.prefix else { return local }
        return unsafe string(prefix) + ":" + local
    }

    private static func string(_ text: UnsafePointer<xmlChar>?) -> String {
        // libxml2's strings are UTF-8 and end with a zero.
        unsafe text.map {
            unsafe String(decoding: UnsafeBufferPointer(start: $0, count: Int(xmlStrlen($0))), as: UTF8.self)
        }
            ?? ""
    }
}
