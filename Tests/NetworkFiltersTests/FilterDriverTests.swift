// SPDX-License-Identifier: Apache-2.0

import ManagementModel
import NetworkFilters
import Testing

@Suite struct FilterDriverTests {
    private let folder = "/tmp/roost-filters-\(UniqueID.random())"

    @Test func filtersAreKeptAndHoldEachOther() throws {
        let filters = try FilterDriver(folder: folder)
        let base = try filters.define("<filter name='base'><rule action='drop' direction='in'/></filter>")
        let user = try filters.define("<filter name='user'><filterref filter='base'/></filter>")
        #expect { try filters.undefine(base.uuid) } throws: { ($0 as? ManagementError)?.code == .operationInvalid }
        let again = try FilterDriver(folder: folder)
        again.recover()
        #expect(again.all.map(\.name) == ["base", "user"])
        try again.undefine(user.uuid)
        try again.undefine(base.uuid)
        #expect(again.all.isEmpty)
    }

    @Test func definingAgainKeepsTheUUID() throws {
        let filters = try FilterDriver(folder: folder)
        let first = try filters.define("<filter name='f'/>")
        #expect(try filters.define("<filter name='f' chain='ipv4'/>") == first)
        #expect(try filters.document(first.uuid).contains("chain='ipv4'"))
    }

    @Test(arguments: [
        "", "<x/>", "<filter/>", "<filter name='a/b'/>", "<filter name='a' chain='x'/>",
        "<filter name='a'><rule/></filter>",
    ])
    func badFiltersAreRefused(_ text: String) throws {
        let filters = try FilterDriver(folder: folder)
        #expect(throws: ManagementError.self) { try filters.define(text) }
    }
}
