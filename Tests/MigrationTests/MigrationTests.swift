// SPDX-License-Identifier: Apache-2.0

import Diagnostics
import Glibc
import GuestMemory
import HostIO
import HostSystem
import Migration
import StateCoding
import Testing

private struct Counter: SavedState, Equatable {
    var value: UInt64
}

/// A machine of some memory and one number, with an event loop on a thread of its own.
private final class FakeMachine: MigratableMachine, @unchecked Sendable {
    let memory = GuestMemory()
    var counter = Counter(value: 0)
    var isRunning = true
    var hasMoved = false
    var name = "pc"
    /// What the guest does while a round is on its way.
    var work: () -> Void = {}

    private let loop: EventLoop
    private let thread: HostThread

    init() throws {
        let loop = try EventLoop()
        self.loop = loop
        thread = try HostThread(name: "loop") { loop.run() }
        try memory.addRegion(name: "low", start: 0, count: 0x40000)
        try memory.addRegion(name: "high", start: 0x10_0000, count: 0x400000)
    }

    deinit { loop.stop() }

    func onLoop(_ work: @escaping @Sendable () -> Void) { loop.post(work) }
    var stateHeader: StateHeader {
        StateHeader(
            machine: name, accelerator: "tcg", processorModel: "max", processorCount: 1,
            memory: memory.regions.map { StateHeader.Region(name: $0.name, count: $0.count) })
    }
    func setDirtyLogging(_ isOn: Bool) {}
    func collectDirty(into pages: inout PageSet) {
        pages.takeDirty(of: memory)
        if isRunning { work() }
    }
    func stopForMove() { isRunning = false }
    func moveEnded() { hasMoved = true }
    func goOn() { isRunning = true }
    func saveSections() throws(StateError) -> [StateRecord] { [try StateRecord(name: "counter", counter)] }
    func checkSections(_ records: [StateRecord]) throws(StateError) -> () -> Void {
        guard records.count == 1, let record = records.first, record.name == "counter" else {
            throw StateError("other sections")
        }
        let new = try record.decode(replacing: counter)
        return { self.counter = new }
    }
}

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
        let done = Waiter<MigrationReport>()
        let move = OutgoingMigration(
            machine, channel: try MigrationChannel.outgoing("file:\(path)"), parameters: MigrationParameters()
        ) { done.give($0) }
        machine.onLoop { #expect(throws: Never.self) { try move.begin() } }
        return done.take()
    }

    private func load(_ machine: FakeMachine, from path: String) throws -> UserError? {
        let done = Waiter<UserError?>()
        let move = IncomingMigration(machine) { () throws(UserError) in
            try MigrationChannel.incoming("file:\(path)")
        } ended: {
            done.give($0)
        }
        machine.onLoop { #expect(throws: Never.self) { try move.begin() } }
        return done.take()
    }

    private func temporaryPath(_ name: String) -> String {
        "/tmp/roost-migration-\(name)-\(UInt64.random(in: 0 ... .max))"
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
        let done = Waiter<MigrationReport>()
        // Nobody reads, and the command's failure is a failure of the move.
        let move = OutgoingMigration(
            source, channel: try MigrationChannel.outgoing("exec:cat >/dev/null; exit 3"),
            parameters: MigrationParameters()
        ) { done.give($0) }
        source.onLoop { #expect(throws: Never.self) { try move.begin() } }
        let report = done.take()
        #expect(report.status == .failed && report.problem == "the command failed with status 3")
        #expect(source.isRunning && !source.hasMoved)
    }

    @Test(arguments: ["tcp:host", "udp:1:2", "nothing", "fd:none", "file:/nonexistent/x"])
    func impossibleAddresses(uri: String) {
        #expect(throws: UserError.self) { try MigrationChannel.outgoing(uri) }
    }
}

/// Removes what a test has made.
private func removeFile(_ path: String) {
    // The call reads the path alone.
    _ = unsafe unlink(path)
}

/// Hands a value from one thread to another.
private final class Waiter<Value>: @unchecked Sendable {
    private let lock = Lock()
    private var value: Value?

    func give(_ value: Value) {
        lock.withLock {
            self.value = value
            lock.broadcast()
        }
    }

    func take() -> Value {
        lock.withLock {
            while true {
                if let value { return value }
                lock.wait()
            }
        }
    }
}
