// SPDX-License-Identifier: Apache-2.0

import HostOracle
import Testing

/// A fixed share of `fuzz-cpu --jit`: user-mode instructions as translated code against the host's processor.
@Suite(.serialized) struct TranslatedOracleTests {
    private static let cases: UInt64 = 200_000

    @Test(arguments: [64, 32]) func agreesWithTheHost(bits: Int) throws {
        let oracle = try Oracle(bits: bits, translates: true)
        var differences: [OracleDifference] = []
        try oracle.run(seeds: 1..<Self.cases) { difference in
            differences.append(difference)
            return differences.count < 5
        }
        #expect(differences.isEmpty, "\(differences.map(\.description).joined(separator: "\n"))")
    }
}
