// SPDX-License-Identifier: Apache-2.0

import Diagnostics
import Glibc
import GuestMemory
import HostIO
import HostSystem
import Migration
import StateCoding
import Testing

@Suite struct SwitchTests {
    /// Where the wire between two machines is cut.
    enum Cut: CaseIterable {
        /// Everything was sent, and the other side does not have its end.
        case withTheEnd
        /// The other side has everything, and its answer is lost.
        case withTheAnswer
        /// The answer has come.
        case afterTheAnswer
    }

    /// Passes frames and answers on, up to the cut.
    private static func wire(_ entrance: MigrationChannel.Entrance, to path: String, _ cut: Cut) {
        let accepted: UInt8 = 0x52
        guard let near = try? entrance.next(), let far = try? MigrationChannel.opener("unix:\(path)").open(),
            (try? far.write(Array("ROOSTVM1".utf8))) != nil
        else { return }
        let answers = try? HostThread(name: "answers") {
            while let answer = try? far.read(count: 1) {
                if answer[0] != accepted || cut == .afterTheAnswer { try? near.write(answer) }
                if answer[0] == accepted { break }
            }
        }
        var reader = StateStreamReader { (count) throws(StateError) in
            do throws(UserError) { return try near.read(count: count) } catch { throw StateError(error.description) }
        }
        while let frame = try? reader.next(), !(frame.kind == .end && cut == .withTheEnd) {
            guard (try? far.write(frame.encoded)) != nil, frame.kind != .end else { break }
        }
        if cut == .withTheEnd { far.abort() }
        answers?.join()
        near.abort()
        far.abort()
    }

    /// The switch-over is cut at each of its moments: exactly one machine goes on.
    @Test(arguments: Cut.allCases) func aCutAtTheSwitch(cut: Cut) throws {
        let path = temporaryPath("near"), other = temporaryPath("far")
        defer {
            removeFile(path)
            removeFile(other)
        }
        let source = try FakeMachine(), target = try FakeMachine(), disk = SharedDisk()
        (source.disk, target.disk) = (disk, disk)
        #expect(disk.take(source))
        let received = try receive(target, from: "unix:\(other)")
        let entrance = try MigrationChannel.entrance("unix:\(path)")
        let wire = try HostThread(name: "wire") { Self.wire(entrance, to: other, cut) }
        let report = try send(source, to: "unix:\(path)").take()
        wire.join()
        let problem = received.take()
        #expect(source.isRunning != target.isRunning)
        #expect(target.isRunning == (cut != .withTheEnd) && (problem == nil) == target.isRunning)
        #expect((report.status == .completed) == (cut == .afterTheAnswer))
        // Without an answer it asks for its disks, which the other side has: it stays stopped and says so.
        if cut == .withTheAnswer { #expect(report.problem?.contains("stays stopped") == true && !source.hasDisks) }
        if cut == .withTheEnd { #expect(source.hasDisks && !target.hasDisks) }
    }
}
