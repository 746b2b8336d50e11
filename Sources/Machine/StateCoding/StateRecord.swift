// SPDX-License-Identifier: Apache-2.0

/// A section of a saved machine: what one device or processor keeps.
public struct StateRecord: Equatable, Sendable {
    /// Whose it is: unique in the machine.
    public var name: String
    /// Of the layout.
    public var version: UInt32
    /// The encoded struct.
    public var payload: [UInt8]

    /// Everything by name.
    public init(name: String, version: UInt32, payload: [UInt8]) {
        self.name = name
        self.version = version
        self.payload = payload
    }

    /// The section of a state.
    public init<State: SavedState>(name: String, _ state: State) throws(StateError) {
        do throws(StateError) {
            self.init(name: name, version: State.version, payload: try StateValue(encoding: state).encoded)
        } catch { throw StateError("the state of '\(name)' cannot be saved: \(error)") }
    }

    /// The state that the section holds.
    /// - Parameter current: the state that it is to replace, whose shape it must have.
    /// - Throws: another version, damage, or values that cannot be there; with the section's name.
    public func decode<State: SavedState>(replacing current: State) throws(StateError) -> State {
        guard version == State.version else {
            throw StateError(
                "the saved state of '\(name)' is of version \(version) and this program knows version \(State.version)")
        }
        let state: State
        do throws(StateError) { state = try StateValue(decoding: payload).decode(State.self) } catch {
            throw StateError("the saved state of '\(name)' is refused: \(error)")
        }
        if let problem = state.problem(replacing: current) {
            throw StateError("the saved state of '\(name)' is refused: \(problem)")
        }
        return state
    }
}

/// The plain struct that a device keeps everything in which a saved machine must have.
public protocol SavedState: Codable, Sendable {
    /// Of the layout; another one is refused.
    static var version: UInt32 { get }
    /// Why a state that came from outside cannot take the place of `current`; nil when it can.
    ///
    /// It must find every value that the device relies on: lengths of tables above all.
    func problem(replacing current: Self) -> String?
}

extension SavedState {
    /// Most states have had one layout.
    public static var version: UInt32 { 1 }
    /// States whose every value the device takes.
    public func problem(replacing current: Self) -> String? { nil }
}

/// Something whose state can be saved and put back. The machine stands still and its lock is held.
public protocol Stateful: AnyObject {
    /// What to save.
    func saveState(as name: String) throws(StateError) -> StateRecord
    /// Checks a section, and changes nothing yet.
    /// - Returns: puts the state back; called when all sections of the machine are good.
    func checkState(_ record: StateRecord) throws(StateError) -> () -> Void
}

/// A device with one struct of state that can be read and set.
public protocol PlainlyStateful: Stateful {
    associatedtype State: SavedState
    /// Setting it drives lines and arms timers as the new state says.
    var state: State { get set }
}

extension PlainlyStateful {
    /// The whole of `state`, encoded.
    public func saveState(as name: String) throws(StateError) -> StateRecord {
        try StateRecord(name: name, state)
    }

    /// Decodes and asks `problem`; the result puts the new state in.
    public func checkState(_ record: StateRecord) throws(StateError) -> () -> Void {
        let new = try record.decode(replacing: state)
        return { self.state = new }
    }
}
