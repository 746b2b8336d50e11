// SPDX-License-Identifier: Apache-2.0

import HostTools
import ManagementModel
import Testing

@Suite struct HostToolTests {
    private let shell = "/bin/sh"

    @Test func outputComesBack() throws {
        #expect(try HostTool.run(shell, ["-c", "echo one; echo two >&2"], to: "count", from: .storage) == "one\ntwo\n")
    }

    @Test(arguments: [(HostTool.ReasonPlace.first, "cannot count: one"), (.last, "cannot count: two")])
    func aFailureNamesWhatFailedAndWhy(_ place: HostTool.ReasonPlace, _ line: String) {
        let error = #expect(throws: ManagementError.self) {
            try HostTool.run(shell, ["-c", "echo one; echo two; exit 3"], to: "count", from: .network, reason: place)
        }
        #expect(error?.detail == line)
        #expect(error?.origin == .network)
    }

    @Test func anAttemptMayFail() throws {
        let result = try HostTool.attempt(shell, ["-c", "kill -9 $$"], to: "count", from: .network)
        #expect(!result.succeeded)
        #expect(result.reason(.last) == "")
    }

    @Test func aProgramThatIsNotThereIsNamed() {
        let error = #expect(throws: ManagementError.self) {
            try HostTool.run("/no/such/tool", [], to: "count", from: .network)
        }
        #expect(error?.detail.contains("/no/such/tool") == true)
    }
}
