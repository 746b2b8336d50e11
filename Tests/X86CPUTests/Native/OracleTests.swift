// SPDX-License-Identifier: Apache-2.0

import HostOracle
import Testing

/// A fixed share of what `make fuzz-cpu` does without end: every user-mode instruction against the host's processor.
@Suite(.serialized) struct OracleTests {
    private static let cases: UInt64 = 250_000

    @Test(arguments: [64, 32, 16]) func agreesWithTheHost(bits: Int) throws {
        let oracle: Oracle
        do { oracle = try Oracle(bits: bits) } catch let reason as OracleUnavailable {
            // Hosts differ in what they let a process do; without the segments there is nothing to compare.
            guard bits == 16 else { throw reason }
            return print("skipped for \(bits)-bit code: \(reason)")
        }
        var differences: [OracleDifference] = []
        try oracle.run(seeds: 1..<Self.cases) { difference in
            differences.append(difference)
            return differences.count < 5
        }
        #expect(differences.isEmpty, "\(differences.map(\.description).joined(separator: "\n"))")
    }

    @Test(arguments: [64, 32]) func undefinedBytesAreUndefined(bits: Int) throws {
        var differences: [OracleDifference] = []
        try Oracle(bits: bits).runUndefined(seeds: 1..<100_000) { difference in
            differences.append(difference)
            return differences.count < 5
        }
        #expect(differences.isEmpty, "\(differences.map(\.description).joined(separator: "\n"))")
    }

    /// The comparison itself can fail: a wrong expectation is noticed.
    @Test func refusesUnknownNames() throws {
        let oracle = try Oracle()
        #expect(throws: OracleUnavailable.self) {
            try oracle.run(seeds: 0..<1, matching: "NOSUCH") { _ in true }
        }
    }
}
