// SPDX-License-Identifier: Apache-2.0

import Diagnostics
import HostSystem
import Testing

@Suite struct UserErrorTests {
    @Test func oneLineWithWhatWhyAndRemedy() {
        let error = UserError(
            "cannot open disk image 'a\nb'", because: Errno.accessDenied, remedy: "join the group 'kvm'")
        #expect("\(error)" == "cannot open disk image 'a b': Permission denied; join the group 'kvm'")
        #expect("\(UserError("bad value").at("-m x").at("-other"))" == "-m x: bad value")
    }

    @Test func statusOfAnyError() {
        #expect(ExitStatus.of(UserError("x", exitStatus: 3)) == 3)
        #expect(ExitStatus.of(Errno.noEntry) == ExitStatus.failure)
    }
}

/// One suite in order, because console, log and trace points are the process's own.
@Suite(.serialized) struct ProcessWideTests {
    private final class Lines: @unchecked Sendable { var text = "" }

    private func captured(_ body: () -> Void) -> String {
        let lines = Lines()
        Console.shared.redirect { lines.text += $0 }
        body()
        Console.shared.redirect(nil)
        return lines.text
    }

    @Test func linesNameTheProgram() {
        Console.shared.setProgramName("roost-vmm")
        let text = captured {
            Console.shared.error(UserError("no"))
            Console.shared.warning("careful")
            Console.shared.info("fine")
        }
        // Tests of other modules in the same process may report at the same time.
        let own = text.split(separator: "\n").filter { line in
            ["no", "careful", "fine"].contains { line.hasSuffix(" \($0)") }
        }
        #expect(own == ["roost-vmm: no", "roost-vmm: warning: careful", "roost-vmm: info: fine"])
    }

    @Test func linesCarryTimeAndGuest() throws {
        Console.shared.setProgramName("p")
        Console.shared.setShowsTime(true)
        Console.shared.setGuestName("web")
        defer {
            Console.shared.setShowsTime(false)
            Console.shared.setGuestName(nil)
        }
        let text = captured { Console.shared.error("x") }
        let match = try #require(
            text.firstMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z web p: x\n/))
        #expect(!match.isEmpty)
    }

    @Test func logItems() throws {
        defer { Log.shared.enable([]) }
        try Log.shared.enable(items: "unimp,guest_errors")
        #expect(Log.shared.isEnabled(.unimplemented) && !Log.shared.isEnabled(.interrupts))
        try Log.shared.enable(items: "none")
        #expect(Log.shared.enabled.isEmpty)
        #expect(throws: UserError.self) { try Log.shared.enable(items: "unimp,everything") }
        #expect(Log.help.hasPrefix("Log items (comma separated):\nout_asm         show generated"))
    }

    @Test func logFileThatCannotBeMade() {
        do throws(UserError) {
            try Log.shared.open("/nonexistent/x.log")
            Issue.record("opened")
        } catch {
            #expect("\(error)" == "cannot write the log file '/nonexistent/x.log': No such file or directory")
        }
    }

    @Test func tracePatterns() throws {
        defer { Trace.disableAll() }
        #expect(!Trace.isEnabled(.virtioNotify))
        try Trace.enable(pattern: "virtio_*")
        #expect(Trace.isEnabled(.virtioNotify) && Trace.isEnabled(.virtioQueueNotify))
        #expect(!Trace.isEnabled(.serialPortRead))
        try Trace.enable(pattern: "-virtio_notify")
        #expect(!Trace.isEnabled(.virtioNotify) && Trace.isEnabled(.virtioQueueNotify))
        #expect(throws: UserError.self) { try Trace.enable(pattern: "nothing*") }
        try Trace.enable(listedIn: "# comment\n\n serial_*\n")
        #expect(Trace.isEnabled(.serialPortRead))
    }

    @Test func tracePointsHaveDistinctNamesAndFit() {
        #expect(Set(TracePoint.allCases.map(\.rawValue)).count == TracePoint.allCases.count)
        #expect(TracePoint.allCases.count <= 128)
    }
}
