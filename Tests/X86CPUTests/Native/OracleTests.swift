// SPDX-License-Identifier: Apache-2.0

import HostOracle
import Testing

/// A fixed share of what `make fuzz-cpu` does without end: every user-mode instruction against the host's processor.
@Suite(.serialized) struct OracleTests {
    private static let cases: UInt64 = 400_000

    @Test(arguments: [64, 32]) func agreesWithTheHost(bits: Int) throws {
        let oracle = try Oracle(bits: bits)
        var differences: [OracleDifference] = []
        try oracle.run(seeds: 1..<Self.cases) { difference in
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
