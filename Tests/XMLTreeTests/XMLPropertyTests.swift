// SPDX-License-Identifier: Apache-2.0

import RandomKit
import Testing
import XMLTree

@Suite struct XMLPropertyTests {
    private func name(_ random: inout SeededGenerator) -> String {
        ["a", "b", "long-name", "x.y", "_z", "é", "q:b"].randomElement(using: &random) ?? "a"
    }

    /// Text without the characters that XML cannot carry or changes on the way.
    private func text(_ random: inout SeededGenerator) -> String {
        let letters = Array("ab<>&\"' é😀]]>%#;")
        let count = Int.random(in: 1...8, using: &random)
        // Blanks alone would be taken for the document's own.
        return "x" + String((0..<count).map { _ in letters.randomElement(using: &random) ?? "x" })
    }

    private func element(_ random: inout SeededGenerator, depth: Int) -> XMLElement {
        var element = XMLElement(name(&random))
        for place in 0..<Int.random(in: 0...3, using: &random) {
            element.attributes.append(XMLAttribute("k\(place)", text(&random)))
        }
        if Bool.random(using: &random) {
            element.children = [.text(text(&random))]
        } else if depth > 0 {
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                element.append(self.element(&random, depth: depth - 1))
            }
        }
        return element
    }

    @Test func anyTreeComesBack() throws {
        var random = SeededGenerator(seed: 1)
        for _ in 0..<400 {
            var root = XMLElement("root", ["xmlns:q": "urn:q"])
            for _ in 0..<3 { root.append(element(&random, depth: 4)) }
            for style in [XMLElement.Style(), .init(quote: "\""), .init(foreign: ["a"])] {
                let back = try XMLParser.parse(root.printed(style))
                #expect(back.printed() == root.printed() && back.elements.count == root.elements.count)
            }
        }
    }

    /// Each change of a document is read or refused with a line that is in it.
    @Test func damagedDocumentsAreReadOrRefused() {
        var random = SeededGenerator(seed: 2)
        let special = Array("<>&'\"/=![]-? \n\u{1}\u{7f}".utf8)
        for _ in 0..<2000 {
            var bytes = Array(element(&random, depth: 3).printed().utf8)
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[place] = special.randomElement(using: &random) ?? 0
                case 1: bytes.insert(special.randomElement(using: &random) ?? 0, at: place)
                default: if bytes.count > 1 { bytes.remove(at: place) }
                }
            }
            let text = String(decoding: bytes, as: UTF8.self)
            do { _ = try XMLParser.parse(text) } catch {
                #expect(error.line >= 1 && !error.message.isEmpty && !error.message.contains("\n"))
                #expect(error.column <= error.context.count || error.context.count == 1024)
                #expect(error.context.isEmpty || text.contains(error.context))
            }
        }
    }

    @Test func controlCharactersAreLeftOut() throws {
        let element = XMLElement("a", text: "b\u{1}\u{0}c\u{1f}")
        #expect(element.printed() == "<a>bc</a>\n")
        #expect(try XMLParser.parse(element.printed()).text == "bc")
    }

    @Test func entitiesDoNotGrowWithoutBound() {
        var text = "<!DOCTYPE a [<!ENTITY e0 'xxxxxxxxxx'>"
        for level in 1...12 {
            let before = String(repeating: "&e\(level - 1);", count: 10)
            text += "<!ENTITY e\(level) '\(before)'>"
        }
        text += "]><a b='&e12;'>&e12;</a>"
        // A thousand billion letters: refused, or left as they are.
        let root = try? XMLParser.parse(text)
        #expect((root?.text.utf8.count ?? 0) < 1 << 20 && (root?["b"]?.utf8.count ?? 0) < 1 << 20)
    }

    @Test func documentsHaveALongestLength() {
        let text = "<a>" + String(repeating: " ", count: XMLParser.limit) + "</a>"
        let error = #expect(throws: XMLSyntaxError.self) { try XMLParser.parse(text) }
        #expect(error?.message.contains("longer") == true)
    }

    @Test func childrenAreFoundAndReplacedInTheirPlace() {
        var root = XMLElement("r", [:], [XMLElement("a"), XMLElement("b"), XMLElement("a", ["n": "2"])])
        root[child: "a"] = XMLElement("a", text: "first")
        #expect(root.elements.map(\.name) == ["a", "b", "a"] && root.all("a").map(\.text) == ["first", ""])
        root[child: "a"] = nil
        #expect(root.elements.map(\.name) == ["b", "a"] && root[child: "a"]?["n"] == "2")
        root["k"] = "1"
        root["l"] = "2"
        root["k"] = "3"
        #expect(root.attributes == [XMLAttribute("k", "3"), XMLAttribute("l", "2")])
        #expect(root.at("a", "b") == nil && root.at() == root && !root.isEmpty && XMLElement("x").isEmpty)
        root.text = "t"
        #expect(root.elements.isEmpty && root.text == "t")
    }
}
