// SPDX-License-Identifier: Apache-2.0

import Testing
import XMLTree

@Suite struct XMLTreeTests {
    @Test func aDocumentComesBackAsItWasPrinted() throws {
        let text = """
            <domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0' type='kvm'>
              <name>a &amp; b</name>
              <empty/>
              <qemu:commandline>
                <qemu:arg value='&lt;&apos;&quot;&gt;'/>
              </qemu:commandline>
            </domain>

            """
        #expect(try XMLParser.parse(text).printed() == text)
    }

    @Test func commentsAndBlanksBetweenElementsGo() throws {
        let element = try XMLParser.parse("<a> <!-- x --> <b> </b>\n<c><![CDATA[<]]></c></a>")
        #expect(element.printed() == "<a>\n  <b> </b>\n  <c>&lt;</c>\n</a>\n")
    }

    @Test func foreignPartsKeepDoubleQuotes() throws {
        let element = try XMLParser.parse("<m a='1'><x y='2'/></m>")
        #expect(element.printed(.init(foreign: ["m"])) == "<m a='1'>\n  <x y=\"2\"/>\n</m>\n")
    }

    @Test(arguments: ["", "foo", "<a>", "<a></b>", "<a/><b/>", "<a b=1/>", "<a>&unknown;</a>"])
    func badDocumentsAreRefused(_ text: String) {
        #expect(throws: XMLSyntaxError.self) { try XMLParser.parse(text) }
    }

    @Test func anErrorNamesItsPlace() {
        #expect {
            try XMLParser.parse("<a>\n<b>\n</a>")
        } throws: { error in
            (error as? XMLSyntaxError)?.line == 3 && (error as? XMLSyntaxError)?.context == "</a>"
        }
    }

    @Test func externalEntitiesAreNotFetched() {
        let text = "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>"
        #expect((try? XMLParser.parse(text))?.text.isEmpty ?? true)
    }

    @Test func depthIsBounded() {
        let text = String(repeating: "<a>", count: 100_000)
        #expect(throws: XMLSyntaxError.self) { try XMLParser.parse(text) }
    }

    @Test(arguments: ["UTF-8", "ISO-8859-1", "UTF-16", "nonsense"])
    func theTextIsNotDecodedTwice(_ encoding: String) throws {
        let text = "<?xml version='1.0' encoding='\(encoding)'?><a>\u{e4}</a>"
        // What it says of its encoding may be refused, and changes no letter.
        if let root = try? XMLParser.parse(text) { #expect(root.text == "\u{e4}") }
        #expect(throws: XMLSyntaxError.self) { try XMLParser.parse("\u{0}<\u{0}a\u{0}/\u{0}>") }
    }

    @Test func elementsAreEditedByName() {
        var element = XMLElement("a", ["x": "1", "y": nil])
        element["x"] = nil
        element["z"] = "3"
        element[child: "b"] = XMLElement("b", text: "t")
        #expect(element.printed() == "<a z='3'>\n  <b>t</b>\n</a>\n")
        #expect(element.at("b")?.text == "t")
        element[child: "b"] = nil
        #expect(element.elements.isEmpty)
    }
}
