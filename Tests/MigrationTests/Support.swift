// SPDX-License-Identifier: Apache-2.0

import Diagnostics
import Glibc
import GuestMemory
import HostIO
import HostSystem
import Migration
import StateCoding
import Testing

struct Counter: SavedState, Equatable {
    var value: UInt64
}

/// A disk that one machine has at a time.
final class SharedDisk: @unchecked Sendable {
    private let lock = Lock()
    // Guarded by `lock`.
    private var owner: ObjectIdentifier?

    /// - Returns: false where another machine has it.
    func take(_ machine: FakeMachine) -> Bool {
        lock.withLock {
            guard owner == nil || owner == ObjectIdentifier(machine) else { return false }
            owner = ObjectIdentifier(machine)
            return true
        }
    }

    func release() { lock.withLock { owner = nil } }
}

/// A machine of some memory and one number, with an event loop on a thread of its own.
final class FakeMachine: MigratableMachine, @unchecked Sendable {
    let memory = GuestMemory()
    var counter = Counter(value: 0)
    var isRunning = true
    var hasMoved = false
    var hasDisks = true
    var disksProblem: String?
    var throttles: [Int] = []
    var disk: SharedDisk?
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
    func prepareForMove() {}
    func setDirtyLogging(_ isOn: Bool) {}
    func collectDirty(into pages: inout PageSet) {
        pages.takeDirty(of: memory)
        if isRunning { work() }
    }
    func stopForMove() { isRunning = false }
    func moveEnded() { hasMoved = true }
    func goOn() { isRunning = true }
    func diskFlush() -> @Sendable () throws(UserError) -> Void { { () throws(UserError) in } }
    func releaseDisks() {
        hasDisks = false
        disk?.release()
    }
    func takeDisks() throws(UserError) {
        if let disk, !disk.take(self) { throw UserError("the disk is in use") }
        if let disksProblem { throw UserError(disksProblem) }
        hasDisks = true
    }
    func setThrottle(_ percent: Int) { throttles.append(percent) }
    func saveSections() throws(StateError) -> [StateRecord] { [try StateRecord(name: "counter", counter)] }
    func checkSections(_ records: [StateRecord]) throws(StateError) -> () -> Void {
        guard records.count == 1, let record = records.first, record.name == "counter" else {
            throw StateError("other sections")
        }
        let new = try record.decode(replacing: counter)
        return { self.counter = new }
    }
}

/// Sends a machine on its way, and tells of the end.
func send(
    _ machine: FakeMachine, to uri: String, _ parameters: MigrationParameters = MigrationParameters()
) throws -> Waiter<MigrationReport> {
    let done = Waiter<MigrationReport>()
    let move = OutgoingMigration(machine, to: try MigrationChannel.opener(uri), parameters: parameters) { report in
        if report.status.isFinal { done.give(report) }
    }
    machine.onLoop { #expect(throws: Never.self) { try move.begin() } }
    return done
}

/// Lets a machine be filled, and tells of the end.
func receive(_ machine: FakeMachine, from uri: String) throws -> Waiter<UserError?> {
    machine.isRunning = false
    machine.hasDisks = false
    let done = Waiter<UserError?>()
    let move = IncomingMigration(machine, from: try MigrationChannel.entrance(uri)) { done.give($0) }
    machine.onLoop { #expect(throws: Never.self) { try move.begin() } }
    return done
}

func temporaryPath(_ name: String) -> String {
    "/tmp/roost-migration-\(name)-\(UInt64.random(in: 0 ... .max))"
}

/// Removes what a test has made.
func removeFile(_ path: String) {
    // The call reads the path alone.
    _ = unsafe unlink(path)
}

/// Hands a value from one thread to another.
final class Waiter<Value>: @unchecked Sendable {
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
