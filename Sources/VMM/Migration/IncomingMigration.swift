// SPDX-License-Identifier: Apache-2.0

public import Diagnostics
internal import ByteCoding
internal import GuestMemory
internal import HostSystem
internal import StateCoding

/// Fills a machine that does not run from one that is sent or was saved (`-incoming`).
public final class IncomingMigration: @unchecked Sendable {
    private let machine: any MigratableMachine
    private let entrance: MigrationChannel.Entrance
    private let began: @Sendable () -> Void
    private let ended: @Sendable (UserError?) -> Void
    private var thread: HostThread?

    /// - Parameters:
    ///   - entrance: where the other side comes; waited for on a thread.
    ///   - began: on the loop's thread: the other side has come.
    ///   - ended: on the loop's thread: the machine is filled, or why not.
    public init(
        _ machine: any MigratableMachine, from entrance: MigrationChannel.Entrance,
        began: @escaping @Sendable () -> Void = {}, ended: @escaping @Sendable (UserError?) -> Void
    ) {
        self.began = began
        self.machine = machine
        self.entrance = entrance
        self.ended = ended
    }

    /// Begins; on the loop's thread.
    public func begin() throws(UserError) {
        let here = machine.stateHeader
        machine.prepareForMove()
        do throws(Errno) {
            thread = try HostThread(name: "incoming") { [self] in
                var channel: MigrationChannel?
                do throws(UserError) {
                    let way = try entrance.next()
                    channel = way
                    machine.onLoop(began)
                    let records = try receive(way, header: here)
                    machine.onLoop { [self] in finish(records, way) }
                } catch {
                    // The reason also goes to the other side, where there is one that listens.
                    if let channel, channel.isConversation {
                        try? channel.write(MigrationAnswer.refusal(error.description))
                    }
                    machine.onLoop { [self] in ended(error) }
                }
            }
        } catch { throw UserError("cannot start a thread", because: error) }
    }

    static func source(_ way: MigrationChannel) -> StateStreamReader.Source {
        { count throws(StateError) in
            do throws(UserError) { return try way.read(count: count) } catch { throw StateError(error.description) }
        }
    }

    /// Takes memory as it comes, by as many channels as the other side opens, and keeps the sections.
    private func receive(_ way: MigrationChannel, header here: StateHeader) throws(UserError) -> [StateRecord] {
        var reader = StateStreamReader(Self.source(way))
        let memory = machine.memory
        var receiver: MemoryReceiver?
        let result: Result<[StateRecord], UserError>
        do throws(StateError) {
            let records = try Self.read(
                &reader, header: here,
                memory: { (frame) throws(StateError) in try MemoryFrames.apply(frame, to: memory) },
                channels: { (count) throws(StateError) in
                    guard receiver == nil else { throw StateError("the saved state is damaged: channels come twice") }
                    var others: [MigrationChannel] = []
                    do throws(UserError) {
                        for _ in 0..<count { others.append(try entrance.next()) }
                        receiver = try MemoryReceiver(memory, others)
                    } catch { throw StateError(error.description) }
                },
                barrier: { (number, asksForAnswer) throws(StateError) in
                    try receiver?.pass(number)
                    guard asksForAnswer, way.isConversation else { return }
                    do throws(UserError) { try way.write([MigrationAnswer.received]) } catch {
                        throw StateError(error.description)
                    }
                })
            result = .success(records)
        } catch { result = .failure(UserError(error.description)) }
        entrance.close()
        receiver?.end()
        return try result.get()
    }

    /// Reads a whole stream: memory goes to `memory`, the sections are returned.
    static func read(
        _ reader: inout StateStreamReader, header here: StateHeader,
        memory: (StateFrame) throws(StateError) -> Void,
        channels: (Int) throws(StateError) -> Void = { _ throws(StateError) in throw unexpectedChannels },
        barrier: (UInt32, Bool) throws(StateError) -> Void = { _, _ throws(StateError) in throw unexpectedChannels }
    ) throws(StateError) -> [StateRecord] {
        let first = try reader.next()
        guard first.kind == .header else { throw StateError("the saved state has no beginning") }
        _ = try StateRecord(frame: StateFrame(kind: .section, payload: first.payload)).decode(replacing: here)
        var records: [StateRecord] = []
        while true {
            let frame = try reader.next()
            switch frame.kind {
            case .memory: try memory(frame)
            case .section:
                guard records.count < longestList else { throw StateError("the saved state has too many sections") }
                records.append(try StateRecord(frame: frame))
            case .end: return records
            case .channels:
                let count = try number(frame)
                guard (1...mostChannels).contains(count) else {
                    throw StateError("the saved state comes by \(count) channels; at most \(mostChannels) are taken")
                }
                try channels(Int(count))
            case .barrier: try barrier(try number(frame), try number(frame, at: 1) == MemorySender.answered)
            case .header: throw StateError("the saved state is damaged: it begins twice")
            }
        }
    }

    /// One of the numbers that a frame consists of.
    static func number(_ frame: StateFrame, at place: Int = 0) throws(StateError) -> UInt32 {
        var reader = ByteReader(frame.payload)
        do throws(ByteRangeError) {
            for _ in 0..<place { let _: UInt32 = try reader.read() }
            return try reader.read()
        } catch {
            throw StateError("the saved state is damaged: \(error)")
        }
    }

    private static let mostChannels: UInt32 = 255
    static var unexpectedChannels: StateError { StateError("the saved state is damaged: it is not of one stream") }

    /// More sections no machine has.
    private static let longestList = 10_000

    private func finish(_ records: [StateRecord], _ channel: MigrationChannel) {
        thread?.join()
        thread = nil
        var stages = PauseStages("target")
        do throws(StateError) {
            var records = records
            let place = records.firstIndex { $0.name == RunningState.name }
            guard let place else { throw StateError("the saved state does not say whether the guest ran") }
            let running = try records.remove(at: place).decode(replacing: RunningState(isRunning: true))
            let restore = try machine.checkSections(records)
            stages.pass("check")
            do throws(UserError) { try machine.takeDisks() } catch { throw StateError(error.description) }
            stages.pass("disks")
            restore()
            stages.pass("restore")
            if channel.isConversation {
                do throws(UserError) { try channel.write([MigrationAnswer.accepted]) } catch {
                    // Nobody is there any more who could go on instead.
                }
            }
            if running.isRunning { machine.goOn() } else { machine.moveEnded() }
            stages.pass("start")
            ended(nil)
        } catch {
            if channel.isConversation { try? channel.write(MigrationAnswer.refusal(error.description)) }
            ended(UserError(error.description))
        }
    }
}
