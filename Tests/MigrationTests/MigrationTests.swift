// SPDX-License-Identifier: Apache-2.0

import Diagnostics
import Glibc
import GuestMemory
import HostIO
import HostSystem
import Migration
import StateCoding
import Testing

@Suite struct PageSetTests {
    @Test func runsAreNeighbours() throws {
        let machine = try FakeMachine()
        var pages = PageSet(machine.memory)
        for page in [3, 4, 5, 64, 65, 300] { pages.insert(page, region: 1) }
        pages.insert(4, region: 1)
        #expect(pages.count == 6)
        #expect(pages.takeRun(limit: 2)! == (1, 3..<5))
        #expect(pages.takeRun(limit: 2)! == (1, 5..<6))
        #expect(pages.takeRun(limit: 100)! == (1, 64..<66))
        #expect(pages.takeRun(limit: 100)! == (1, 300..<301))
        #expect(pages.takeRun(limit: 100) == nil && pages.count == 0)
    }

    @Test func aFullSetHasEveryPageOnce() throws {
        let machine = try FakeMachine()
        var pages = PageSet(machine.memory, isFull: true)
        #expect(pages.count == 0x440)
        var seen = 0
        while let run = pages.takeRun(limit: 100) { seen += run.pages.count }
        #expect(seen == 0x440)
    }

    @Test func writtenPagesAreTakenOnce() throws {
        let machine = try FakeMachine()
        try machine.memory.write([1], at: 0x10_2000)
        var pages = PageSet(machine.memory)
        pages.takeDirty(of: machine.memory)
        #expect(pages.count == 1)
        #expect(pages.takeRun(limit: 1)! == (1, 2..<3))
        pages.takeDirty(of: machine.memory)
        #expect(pages.count == 0)
    }
}

@Suite struct MigrationTests {
    /// Sends through a file, and gives its path.
    private func save(_ machine: FakeMachine, to path: String) throws -> MigrationReport {
        try send(machine, to: "file:\(path)").take()
    }

    private func load(_ machine: FakeMachine, from path: String) throws -> UserError? {
        try receive(machine, from: "file:\(path)").take()
    }

    private func expectEqual(_ source: FakeMachine, _ target: FakeMachine) throws {
        for (address, count) in [(UInt64(0), 0x40000), (0x10_0000, 0x400000)] {
            #expect(try source.memory.read(at: address, count: count) == target.memory.read(at: address, count: count))
        }
    }

    @Test(arguments: [0, 1, 3]) func severalChannels(count: Int) throws {
        let path = temporaryPath("way\(count)")
        defer { removeFile(path) }
        let source = try FakeMachine(), target = try FakeMachine()
        source.counter.value = 7
        for page in 0..<1000 {
            try source.memory.write(
                [UInt8](repeating: UInt8(page & 255), count: 300), at: 0x10_0000 + UInt64(page) * 4096)
        }
        var rounds = 0
        source.work = {
            rounds += 1
            // The same pages again and again: the last content must win whatever channel it takes.
            if rounds < 20 {
                for page in 0..<200 { try? source.memory.write([UInt8(rounds)], at: 0x10_0000 + UInt64(page) * 4096) }
            }
        }
        var parameters = MigrationParameters()
        parameters.channels = count
        parameters.downtimeLimit = 0
        parameters.slowsDown = true
        parameters.throttleTrigger = 1
        let received = try receive(target, from: "unix:\(path)")
        let report = try send(source, to: "unix:\(path)", parameters).take()
        #expect(received.take() == nil)
        #expect(report.status == .completed && report.rounds >= 20 && report.dataPages > 1000)
        #expect((report.channelBytes > 0) == (count > 0))
        #expect(target.isRunning && !source.isRunning && target.hasDisks && !source.hasDisks)
        #expect(source.throttles.first == 20 && source.throttles.last == 0)
        try expectEqual(source, target)
    }

    @Test func aRefusalIsHeardAndTheSourceGoesOn() throws {
        let path = temporaryPath("refused")
        defer { removeFile(path) }
        let source = try FakeMachine(), target = try FakeMachine()
        target.disksProblem = "somebody else has the disk"
        let received = try receive(target, from: "unix:\(path)")
        let report = try send(source, to: "unix:\(path)").take()
        #expect(received.take()?.description == "somebody else has the disk")
        #expect(report.problem == "the other side refuses: somebody else has the disk")
        #expect(source.isRunning && source.hasDisks && !source.hasMoved && !target.isRunning)
    }

    /// The one side writes, the other goes away after so many bytes: exactly one machine runs in the end.
    @Test(arguments: [0, 1, 8, 30, 5000, 70_000]) func aSideThatGoesAway(count: Int) throws {
        let path = temporaryPath("gone\(count)")
        defer { removeFile(path) }
        let source = try FakeMachine()
        try source.memory.write((0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }, at: 0x10_0000)
        let entrance = try MigrationChannel.entrance("unix:\(path)")
        let reader = try HostThread(name: "reader") {
            guard let way = try? entrance.next() else { return }
            _ = try? way.read(count: count)
            way.abort()
        }
        let report = try send(source, to: "unix:\(path)").take()
        reader.join()
        #expect(report.status == .failed)
        #expect(source.isRunning && source.hasDisks && !source.hasMoved)
    }

    /// Who watches hears of each reading of the log, and of the other side's coming.
    @Test func roundsAndArrivalsAreTold() throws {
        let path = temporaryPath("told")
        defer { removeFile(path) }
        let source = try FakeMachine(), target = try FakeMachine()
        target.isRunning = false
        let arrived = Waiter<Bool>(), filled = Waiter<UserError?>(), done = Waiter<MigrationReport>()
        let incoming = IncomingMigration(
            target, from: try MigrationChannel.entrance("unix:\(path)"), began: { arrived.give(true) },
            ended: { filled.give($0) })
        target.onLoop { #expect(throws: Never.self) { try incoming.begin() } }
        let seen = Passes()
        let move = OutgoingMigration(
            source, to: try MigrationChannel.opener("unix:\(path)"), parameters: MigrationParameters(),
            passed: { seen.numbers.append($0) }
        ) { report in if report.status.isFinal { done.give(report) } }
        source.onLoop { #expect(throws: Never.self) { try move.begin() } }
        let report = done.take()
        #expect(arrived.take() && filled.take() == nil && report.status == .completed)
        #expect(seen.numbers == Array(1...report.rounds) && report.rounds >= 2)
    }

    /// A move that has not begun and waits before the switch, what tells of the wait, and what tells of the end.
    private func pausingMove(
        of source: FakeMachine, to path: String
    ) throws -> (OutgoingMigration, Waiter<Bool>, Waiter<MigrationReport>) {
        var parameters = MigrationParameters()
        parameters.pausesBeforeSwitch = true
        let paused = Waiter<Bool>(), done = Waiter<MigrationReport>()
        let move = OutgoingMigration(
            source, to: try MigrationChannel.opener("unix:\(path)"), parameters: parameters
        ) { report in
            if report.status == .preSwitchover { paused.give(true) }
            if report.status.isFinal { done.give(report) }
        }
        return (move, paused, done)
    }

    @Test func cancelledBeforeTheSwitch() throws {
        let path = temporaryPath("cancelled")
        defer { removeFile(path) }
        let source = try FakeMachine(), target = try FakeMachine()
        let received = try receive(target, from: "unix:\(path)")
        let (move, paused, done) = try pausingMove(of: source, to: path)
        source.onLoop { #expect(throws: Never.self) { try move.begin() } }
        #expect(paused.take() && !source.isRunning)
        move.cancel()
        #expect(done.take().status == .cancelled)
        #expect(received.take() != nil)
        #expect(source.isRunning && source.hasDisks && !target.isRunning)
    }

    @Test func itWaitsBeforeTheSwitch() throws {
        let path = temporaryPath("switch")
        defer { removeFile(path) }
        let source = try FakeMachine(), target = try FakeMachine()
        let received = try receive(target, from: "unix:\(path)")
        let (move, paused, done) = try pausingMove(of: source, to: path)
        source.onLoop {
            #expect(throws: UserError.self) { try move.switchOver() }
            #expect(throws: Never.self) { try move.begin() }
        }
        _ = paused.take()
        try source.memory.write([77], at: 0x2000)
        source.onLoop { #expect(throws: Never.self) { try move.switchOver() } }
        #expect(done.take().status == .completed && received.take() == nil)
        #expect(try target.memory.read(at: 0x2000, count: 1) == [77])
        #expect(target.isRunning && !source.isRunning)
    }

    /// Every byte of a stream changed in turn (a sample of them), and every length: never taken, never a crash.
    @Test func damageIsRefused() throws {
        let path = temporaryPath("damage")
        defer { removeFile(path) }
        let source = try FakeMachine()
        try source.memory.write((0..<9000).map { UInt8(truncatingIfNeeded: $0) }, at: 0x3000)
        _ = try save(source, to: path)
        let good = try wholeFile(path)
        var seed: UInt64 = 5
        for _ in 0..<150 {
            seed = seed &* 6_364_136_223_846_793_005 &+ 1
            var bytes = good
            let place = Int(seed >> 33) % bytes.count
            if seed & 1 == 0 { bytes[place] ^= UInt8(1 << (seed >> 8 & 7)) } else { bytes = Array(bytes[..<place]) }
            let target = try FakeMachine()
            target.isRunning = false
            let problem = #expect(throws: UserError.self) {
                var position = 0
                _ = try MachineSnapshot.check(target) { (count) throws(UserError) in
                    guard count <= bytes.count - position else { throw UserError("the saved state ends too early") }
                    defer { position += count }
                    return Array(bytes[position..<position + count])
                }
            }
            #expect(problem?.description.isEmpty == false)
        }
    }

    private func wholeFile(_ path: String) throws -> [UInt8] {
        let way = try MigrationChannel.entrance("file:\(path)").next()
        var bytes: [UInt8] = []
        while let byte = try? way.read(count: 1) { bytes += byte }
        return bytes
    }

    @Test func aMachineComesBackAsItWas() throws {
        let path = temporaryPath("whole")
        defer { removeFile(path) }
        let source = try FakeMachine(), target = try FakeMachine()
        source.counter.value = 42
        try source.memory.write((0..<20000).map { UInt8(truncatingIfNeeded: $0 * 7) }, at: 0x10_1234)
        // What the target has there must go.
        try target.memory.write([9, 9, 9], at: 0x30_0000)
        target.isRunning = false
        var rounds = 0
        source.work = {
            rounds += 1
            if rounds < 4 { try? source.memory.write([UInt8(rounds)], at: UInt64(rounds) * 4096) }
        }
        let report = try save(source, to: path)
        #expect(report.status == .completed && report.rounds > 0 && report.remaining == 0)
        #expect(source.hasMoved && !source.isRunning)
        #expect(try load(target, from: path) == nil)
        #expect(target.isRunning && target.counter.value == 42)
        for (address, count) in [(UInt64(0), 0x40000), (0x10_0000, 0x400000)] {
            #expect(try source.memory.read(at: address, count: count) == target.memory.read(at: address, count: count))
        }
    }

    @Test func aForeignMachineIsRefused() throws {
        let path = temporaryPath("foreign")
        defer { removeFile(path) }
        let source = try FakeMachine(), target = try FakeMachine()
        target.name = "q35"
        target.isRunning = false
        _ = try save(source, to: path)
        let problem = try load(target, from: path)
        #expect(problem?.description.contains("its machine type is pc and this machine's is q35") == true)
        #expect(!target.isRunning)
    }

    @Test func aTruncatedStateIsRefused() throws {
        let path = temporaryPath("cut")
        defer { removeFile(path) }
        let source = try FakeMachine()
        try source.memory.write([UInt8](repeating: 7, count: 5000), at: 0)
        _ = try save(source, to: path)
        // The call reads the path alone.
        let status = unsafe truncate(path, 3000)
        #expect(status == 0)
        let target = try FakeMachine()
        target.isRunning = false
        #expect(try load(target, from: path)?.description == "the saved state ends too early")
    }

    @Test func aFailedMoveGoesOnHere() throws {
        let source = try FakeMachine()
        // Nobody reads, and the command's failure is a failure of the move.
        let report = try send(source, to: "exec:cat >/dev/null; exit 3").take()
        #expect(report.status == .failed && report.problem == "the command failed with status 3")
        #expect(source.isRunning && source.hasDisks && !source.hasMoved)
    }

    @Test func nobodyThere() throws {
        let source = try FakeMachine()
        #expect(try send(source, to: "unix:/nonexistent/socket").take().status == .failed)
        #expect(try send(source, to: "file:/nonexistent/x").take().status == .failed)
        #expect(source.isRunning && !source.hasMoved)
    }

    @Test(arguments: ["tcp:host", "udp:1:2", "nothing", "fd:none"])
    func impossibleAddresses(uri: String) {
        #expect(throws: UserError.self) { try MigrationChannel.opener(uri) }
    }
}

/// Numbers in the order in which a loop's thread tells them; looked at when it is over.
private final class Passes: @unchecked Sendable {
    var numbers: [UInt64] = []
}
