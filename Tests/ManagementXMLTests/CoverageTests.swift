// SPDX-License-Identifier: Apache-2.0

import ManagementXML
import Testing
import XMLTree

/// Every element and attribute that is declared, in a document that has them all: what is declared without a place here
/// fails.
@Suite struct CoverageTests {
    private let declared = Grammar.domain.declared

    /// A document with everything, in the declared order or with all lists reversed.
    private func document(reversed: Bool) -> XMLElement {
        var byPath: [[String]: Grammar.Declared] = [:]
        for entry in declared { byPath[entry.path] = entry }
        func make(_ path: [String]) -> XMLElement {
            let entry = byPath[path]
            let attributes = (entry?.attributes ?? []).map { XMLAttribute($0, "v") }
            let children = (entry?.children ?? []).map { make(path + [$0]) }
            return XMLElement(
                path.last ?? "", reversed ? attributes.reversed() : attributes,
                children: (reversed ? children.reversed() : children).map { .element($0) })
        }
        return make(declared[0].path)
    }

    @Test func everythingIsPrintedInItsPlace() {
        var shuffled = document(reversed: true)
        #expect(shuffled != document(reversed: false))
        Grammar.domain.order(&shuffled)
        #expect(shuffled == document(reversed: false))
    }

    @Test func nothingIsLostOnTheWayThroughText() throws {
        let whole = document(reversed: false)
        let text = whole.printed()
        var again = try XMLParser.parse(text)
        // Declarations of name spaces come first when they are read.
        Grammar.domain.order(&again)
        #expect(again == whole)
        for entry in declared {
            #expect(text.contains("<" + (entry.path.last ?? "")), "\(entry.path)")
            for attribute in entry.attributes {
                #expect(text.contains(" \(attribute)='v'"), "\(entry.path) \(attribute)")
            }
        }
        // A grammar that shrinks by accident is noticed.
        #expect(declared.count > 500)
        #expect(declared.reduce(0) { $0 + $1.attributes.count } > 900)
    }

    @Test func whatIsNotDeclaredStays() throws {
        var document = document(reversed: true)
        document.append(XMLElement("invented", ["strange": "1"], [XMLElement("inner")]))
        Grammar.domain.order(&document)
        #expect(document.elements.last?.name == "invented")
        #expect(document.at("invented", "inner") != nil && document[child: "invented"]?["strange"] == "1")
    }
}
