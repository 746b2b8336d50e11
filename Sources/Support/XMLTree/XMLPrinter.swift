// SPDX-License-Identifier: Apache-2.0

extension XMLElement {
    /// How a document is written.
    public struct Style: Sendable {
        /// The quotation mark around attributes.
        public var quote: Character = "'"
        /// Names of elements whose contents are written with double quotation marks, as foreign parts are kept.
        public var foreign: Set<String> = []
        /// libvirt's style unless told otherwise: single quotation marks.
        public init(quote: Character = "'", foreign: Set<String> = []) {
            self.quote = quote
            self.foreign = foreign
        }
    }

    /// The element as text, two blanks a level, with a newline at the end.
    public func printed(_ style: Style = Style(), level: Int = 0) -> String {
        var text = ""
        text.reserveCapacity(4096)
        print(into: &text, style, level)
        return text
    }

    private func print(into text: inout String, _ style: Style, _ level: Int) {
        for _ in 0..<level { text += "  " }
        printInline(into: &text, style, level)
        text += "\n"
    }

    private func printInline(into text: inout String, _ style: Style, _ level: Int) {
        text += "<"
        text += name
        for attribute in attributes {
            text += " "
            text += attribute.name
            text += "="
            text.append(style.quote)
            Self.escape(attribute.value, into: &text)
            text.append(style.quote)
        }
        guard !children.isEmpty else {
            text += "/>"
            return
        }
        text += ">"
        let inner = style.foreign.contains(name) ? Style(quote: "\"") : style
        let hasText = children.contains { $0.element == nil }
        if !hasText { text += "\n" }
        for child in children {
            switch child {
            case .text(let part): Self.escape(part, into: &text)
            case .element(let element) where hasText: element.printInline(into: &text, inner, level)
            case .element(let element): element.print(into: &text, inner, level + 1)
            }
        }
        if !hasText { for _ in 0..<level { text += "  " } }
        text += "</"
        text += name
        text += ">"
    }

    /// Writes text so that it can stand in an attribute or between tags.
    static func escape(_ raw: String, into text: inout String) {
        let special: (UInt8) -> Bool = { $0 < 0x40 && [0x3c, 0x3e, 0x26, 0x22, 0x27].contains($0) || $0 < 0x20 }
        guard raw.utf8.contains(where: special) else {
            text += raw
            return
        }
        for scalar in raw.unicodeScalars {
            switch scalar {
            case "<": text += "&lt;"
            case ">": text += "&gt;"
            case "&": text += "&amp;"
            case "\"": text += "&quot;"
            case "'": text += "&apos;"
            case "\n", "\t", "\r": text.unicodeScalars.append(scalar)
            // XML has no way to write the other control characters.
            case _ where scalar.value < 0x20: break
            default: text.unicodeScalars.append(scalar)
            }
        }
    }
}
