// SPDX-License-Identifier: Apache-2.0

public import Diagnostics
internal import GuestMemory
internal import HostSystem
internal import StateCoding

/// Fills a machine that does not run from one that is sent or was saved (`-incoming`).
public final class IncomingMigration: @unchecked Sendable {
    private let machine: any MigratableMachine
    private let open: @Sendable () throws(UserError) -> MigrationChannel
    private let ended: @Sendable (UserError?) -> Void
    private var thread: HostThread?

    /// - Parameters:
    ///   - open: waits for the other side; on a thread of its own.
    ///   - ended: on the loop's thread: the machine is filled, or why not.
    public init(
        _ machine: any MigratableMachine, open: @escaping @Sendable () throws(UserError) -> MigrationChannel,
        ended: @escaping @Sendable (UserError?) -> Void
    ) {
        self.machine = machine
        self.open = open
        self.ended = ended
    }

    /// Begins; on the loop's thread.
    public func begin() throws(UserError) {
        let here = machine.stateHeader
        do throws(Errno) {
            thread = try HostThread(name: "incoming") { [self] in
                var channel: MigrationChannel?
                do throws(UserError) {
                    let way = try open()
                    channel = way
                    var reader = StateStreamReader { count throws(StateError) in
                        do throws(UserError) { return try way.read(count: count) } catch {
                            throw StateError(error.description)
                        }
                    }
                    let records = try Self.receive(&reader, header: here, into: machine.memory)
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

    /// Takes memory as it comes, and keeps the sections.
    static func receive(
        _ reader: inout StateStreamReader, header here: StateHeader, into memory: GuestMemory
    ) throws(UserError) -> [StateRecord] {
        do throws(StateError) {
            return try read(&reader, header: here) { (frame) throws(StateError) in
                try MemoryFrames.apply(frame, to: memory)
            }
        } catch { throw UserError(error.description) }
    }

    /// Reads a whole stream: memory goes to `memory`, the sections are returned.
    static func read(
        _ reader: inout StateStreamReader, header here: StateHeader,
        memory: (StateFrame) throws(StateError) -> Void
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
            case .header: throw StateError("the saved state is damaged: it begins twice")
            }
        }
    }

    /// More sections no machine has.
    private static let longestList = 10_000

    private func finish(_ records: [StateRecord], _ channel: MigrationChannel) {
        thread?.join()
        thread = nil
        do throws(StateError) {
            var records = records
            let place = records.firstIndex { $0.name == RunningState.name }
            guard let place else { throw StateError("the saved state does not say whether the guest ran") }
            let running = try records.remove(at: place).decode(replacing: RunningState(isRunning: true))
            let restore = try machine.checkSections(records)
            restore()
            if channel.isConversation {
                do throws(UserError) { try channel.write([MigrationAnswer.accepted]) } catch {
                    // Nobody is there any more who could go on instead.
                }
            }
            if running.isRunning { machine.goOn() } else { machine.moveEnded() }
            ended(nil)
        } catch {
            if channel.isConversation { try? channel.write(MigrationAnswer.refusal(error.description)) }
            ended(UserError(error.description))
        }
    }
}
