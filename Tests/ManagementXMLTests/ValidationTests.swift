// SPDX-License-Identifier: Apache-2.0

import ManagementModel
import ManagementXML
import Testing
import XMLTree

/// Documents that a client wants validated.
@Suite struct ValidationTests {
    private func problem(_ grammar: Grammar, _ text: String) throws -> String? {
        let document = try XMLParser.parse(text)
        do {
            try grammar.validate(document, schema: "x.rng")
            return nil
        } catch let error as ManagementError {
            #expect(error.code == .xmlInvalidSchema && error.detail.contains("x.rng"))
            return error.detail.split(separator: "\n").last.map(String.init)
        }
    }

    @Test func goodDocumentsPass() throws {
        let network = """
            <network ipv6='yes'><name>n</name><uuid>u</uuid><metadata><x:y xmlns:x='z'/></metadata>
            <forward mode='nat'><nat><port start='1' end='2'/></nat></forward><bridge name='b' stp='on' delay='0'/>
            <dns><host ip='1.2.3.4'><hostname>a</hostname></host><srv service='s' protocol='p'/></dns>
            <portgroup name='g' default='yes'><vlan><tag id='1'/></vlan></portgroup>
            <ip address='1.2.3.1' prefix='24'><dhcp><range start='1.2.3.2' end='1.2.3.9'><lease expiry='1'/></range>
            <host mac='m' ip='i'/></dhcp></ip><route address='a' prefix='8' gateway='g'/></network>
            """
        #expect(try problem(.network, network) == nil)
        let pool = """
            <pool type='logical'><name>p</name><source><device path='/dev/x'/><name>v</name><format type='lvm2'/></source>
            <target><path>/dev/v</path><permissions><mode>0711</mode></permissions></target></pool>
            """
        #expect(try problem(.pool, pool) == nil)
        let volume = """
            <volume type='file'><name>v</name><key>k</key><capacity unit='G'>1</capacity><target><path>/p</path>
            <format type='qcow2'/><timestamps><atime>1</atime></timestamps><compat>1.1</compat>
            <features><lazy_refcounts/></features></target><backingStore><path>/b</path></backingStore></volume>
            """
        #expect(try problem(.volume, volume) == nil)
        #expect(try problem(.secret, "<secret private='yes'><usage type='ceph'><name>x</name></usage></secret>") == nil)
        let filter = """
            <filter name='f' chain='ipv4' priority='-700'><filterref filter='g'><parameter name='IP' value='1.2.3.4'/>
            </filterref><rule action='drop' direction='in' priority='500' statematch='0'>
            <tcp dstportstart='22' state='NEW' connlimit-above='1'/></rule></filter>
            """
        #expect(try problem(.networkFilter, filter) == nil)
    }

    @Test func whatIsNotDeclaredIsNamed() throws {
        #expect(try problem(.network, "<network><colour/></network>")?.contains("network/colour") == true)
        #expect(try problem(.network, "<network><ip colour='red'/></network>")?.contains("network/ip/@colour") == true)
        #expect(
            try problem(.pool, "<pool type='dir'><target><place/></target></pool>")?.contains("target/place") == true)
        #expect(try problem(.volume, "<volume><size>1</size></volume>")?.contains("volume/size") == true)
        #expect(try problem(.secret, "<secret><value>x</value></secret>")?.contains("secret/value") == true)
        #expect(
            try problem(.networkFilter, "<filter name='f'><rule><sctp6/></rule></filter>")?.contains("sctp6") == true)
    }

    /// The reader says what is wrong with a document of another kind.
    @Test func anotherKindIsLeftToTheReader() throws {
        #expect(try problem(.network, "<pool colour='red'/>") == nil)
    }
}
