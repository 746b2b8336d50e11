// SPDX-License-Identifier: Apache-2.0

import FaultTestKit
import ManagementModel
import NetworkFilters
import StateStore
import Testing

/// A service with one filter.
private struct Place {
    let folder = "/tmp/roost-filter-faults-\(UniqueID.random())"
    let filters: FilterDriver
    let uuid: UniqueID

    init() throws {
        filters = try FilterDriver(folder: folder)
        uuid = try filters.define(
            "<filter name='base'><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid><rule action='drop' direction='in'/></filter>"
        ).uuid
    }

    static func findings(_ filters: FilterDriver) throws -> [String] {
        try filters.all.map { try filters.document($0.uuid) }.sorted()
    }

    func found() throws -> [String] {
        let again = try FilterDriver(folder: folder)
        again.recover()
        return try Self.findings(again)
    }
}

@Suite struct FilterFaultTests {
    private let run = FaultRun<Place, [String]>(
        prepare: { try Place() }, findings: { try $0.found() },
        leftovers: { StateFiles.names(in: $0.folder, suffix: ".new") }, present: { try Place.findings($0.filters) })

    @Test func filtersAreWholeOrNotThere() throws {
        #expect(
            try run.problems("define") { place in
                _ = try place.filters.define(
                    "<filter name='n'><uuid>11111111-2222-3333-4444-555555555555</uuid></filter>")
            } == [])
        #expect(
            try run.problems("define again") { place in
                _ = try place.filters.define("<filter name='base'><rule action='accept' direction='out'/></filter>")
            } == [])
        #expect(try run.problems("undefine") { try $0.filters.undefine($0.uuid) } == [])
    }
}
