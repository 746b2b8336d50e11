// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostProcesses
import HostSystem
import Testing

@Suite struct ChildProcessTests {
    private let shell = "/bin/sh"

    @Test(arguments: [0, 1, 77, 255])
    func statusesComeBack(_ status: Int32) throws {
        let child = try ChildProcess.start(shell, ["-c", "exit \(status)"], environment: [])
        #expect(try ChildProcess.wait(child) == .exited(status))
    }

    @Test func signalsAreTold() throws {
        let child = try ChildProcess.start(shell, ["-c", "kill -TERM $$"], environment: [])
        #expect(try ChildProcess.wait(child) == .killed(signal: SIGTERM))
    }

    @Test func aRunningChildIsPolled() throws {
        // It waits for the end of a pipe that this process holds.
        var ends: [Int32] = [-1, -1]
        // pipe fills the two numbers.
        #expect(unsafe pipe(&ends) == 0)
        let reading = FileDescriptor(owning: ends[0]), writing = FileDescriptor(owning: ends[1])
        let child = try ChildProcess.start(
            shell, ["-c", "read line </dev/fd/\(reading.number)"], environment: [], passing: [reading.number])
        #expect(try ChildProcess.poll(child) == nil)
        try writing.writeAll(Array("go\n".utf8))
        #expect(try ChildProcess.wait(child) == .exited(0))
    }

    @Test func bothOutputsAreTakenAndBounded() throws {
        let result = try ChildProcess.run(shell, ["-c", "echo out; echo err >&2"], environment: [])
        #expect(result.output == "out\nerr\n")
        let long = try ChildProcess.run(
            shell, ["-c", "head -c 300000 /dev/zero | tr '\\0' x; exit 4"], environment: ["PATH=/usr/bin:/bin"],
            limit: 1000)
        #expect(long.output == String(repeating: "x", count: 1000))
        #expect(long.ending == .exited(4))
    }

    @Test func onlyTheVariablesThatWereGiven() throws {
        let result = try ChildProcess.run("/usr/bin/env", [], environment: ["ROOST=1", "B=two words"])
        #expect(result.output == "ROOST=1\nB=two words\n")
    }

    @Test func standardInputIsEmptyAndDescriptorsStayHere() throws {
        let file = try FileDescriptor.open("/proc/self/status")
        let result = try ChildProcess.run(
            shell, ["-c", "cat; test -e /proc/self/fd/\(file.number) && echo leaked; exit 0"],
            environment: ["PATH=/usr/bin:/bin"])
        #expect(result.output == "")
    }

    @Test func argumentsArriveAsTheyAre() throws {
        let words = ["", "a b", "$HOME", "é", "--", "'\""]
        let result = try ChildProcess.run(
            shell, ["-c", "for word; do echo \"[$word]\"; done", "sh"] + words, environment: [])
        #expect(result.output == words.map { "[\($0)]\n" }.joined())
    }

    @Test func aNewSessionIsItsOwn() throws {
        let result = try ChildProcess.run(
            "/bin/sh", ["-c", "cut -d ' ' -f 6 /proc/$$/stat"], environment: ["PATH=/usr/bin:/bin"])
        #expect(result.output == "\(getsid(0))\n")
        let child = try ChildProcess.start(shell, ["-c", "exit 0"], environment: [], newSession: true)
        #expect(try ChildProcess.wait(child) == .exited(0))
    }

    @Test func aProgramThatIsNotThere() {
        #expect(throws: Errno(ENOENT)) {
            _ = try ChildProcess.start("/no/such/program", [], environment: [])
        }
    }
}
