// SPDX-License-Identifier: Apache-2.0

public import Diagnostics
internal import GuestMemory
internal import StateCoding

/// A machine as one stream, written and read while it stands still: what `savevm` puts into a disk image.
public enum MachineSnapshot {
    /// Writes everything that the machine is.
    /// - Parameter sink: takes the bytes in order.
    public static func write(
        _ machine: any MigratableMachine, wasRunning: Bool, to sink: ([UInt8]) throws(UserError) -> Void
    ) throws(UserError) {
        let header: StateRecord, records: [StateRecord]
        do throws(StateError) {
            header = try StateRecord(name: "machine", machine.stateHeader)
            // Devices first: what they still have in flight ends in memory.
            records =
                try machine.saveSections()
                + [try StateRecord(name: RunningState.name, RunningState(isRunning: wasRunning))]
        } catch { throw UserError(error.description) }
        try sink(StateFrame.magic + StateFrame(kind: .header, payload: header.frame.payload).encoded)
        var pages = PageSet(machine.memory, isFull: true)
        while let run = pages.takeRun(limit: MemoryFrames.runLimit) {
            for frame in MemoryFrames.frames(machine.memory, region: run.region, pages: run.pages) {
                try sink(frame.encoded)
            }
        }
        for record in records { try sink(record.frame.encoded) }
        try sink(StateFrame(kind: .end, payload: []).encoded)
    }

    /// Looks at all of a saved machine without changing anything.
    /// - Parameter source: gives exactly so many bytes, from the beginning on.
    /// - Returns: puts devices and processors back, once memory is what it was.
    public static func check(
        _ machine: any MigratableMachine, from source: @escaping (Int) throws(UserError) -> [UInt8]
    ) throws(UserError) -> () -> Void {
        var reader = StateStreamReader(bytes(source))
        do throws(StateError) {
            var records = try IncomingMigration.read(&reader, header: machine.stateHeader) {
                (frame) throws(StateError) in
                _ = try MemoryFrames.look(at: frame, in: machine.memory)
            }
            records.removeAll { $0.name == RunningState.name }
            return try machine.checkSections(records)
        } catch { throw UserError(error.description) }
    }

    /// Puts memory back from a stream that `check` found good.
    public static func loadMemory(
        _ machine: any MigratableMachine, from source: @escaping (Int) throws(UserError) -> [UInt8]
    ) throws(UserError) {
        var reader = StateStreamReader(bytes(source))
        do throws(StateError) {
            _ = try IncomingMigration.read(&reader, header: machine.stateHeader) { (frame) throws(StateError) in
                try MemoryFrames.apply(frame, to: machine.memory)
            }
        } catch { throw UserError(error.description) }
    }

    private static func bytes(
        _ source: @escaping (Int) throws(UserError) -> [UInt8]
    ) -> StateStreamReader.Source {
        { count throws(StateError) in
            do throws(UserError) { return try source(count) } catch { throw StateError(error.description) }
        }
    }
}
