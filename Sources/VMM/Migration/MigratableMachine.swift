// SPDX-License-Identifier: Apache-2.0

public import Diagnostics
public import GuestMemory
public import StateCoding

/// A machine that can be saved, and filled from a saved one. Everything is called on the event loop's thread.
public protocol MigratableMachine: AnyObject, Sendable {
    /// Runs work on the event loop's thread, soon.
    func onLoop(_ work: @escaping @Sendable () -> Void)
    /// Which machine this is.
    var stateHeader: StateHeader { get }
    /// RAM and ROM.
    var memory: GuestMemory { get }
    /// Called before a move, on either side: what takes long for the first time can be done once here.
    func prepareForMove()
    /// Has writes to memory noted from now on, or no more.
    func setDirtyLogging(_ isOn: Bool) throws(UserError)
    /// Adds what was written since the last call to a set.
    func collectDirty(into pages: inout PageSet) throws(UserError)
    /// The guest runs.
    var isRunning: Bool { get }
    /// Stops it for the last part of a move.
    func stopForMove()
    /// Stays stopped for good: the guest runs elsewhere, or the state is safe.
    func moveEnded()
    /// Goes on after a failed move, or as the machine that was moved here.
    func goOn()
    /// What writes out everything that the guest has written to its disks; to be called on any other thread.
    func diskFlush() -> @Sendable () throws(UserError) -> Void
    /// Closes what only one process may write to, for the other side to open. The guest is stopped.
    func releaseDisks() throws(UserError)
    /// Opens it again, or for the first time. The guest is stopped.
    func takeDisks() throws(UserError)
    /// Takes this part of their time from the processors, in per cent: 0 for none.
    func setThrottle(_ percent: Int)
    /// All devices and processors. The guest is stopped.
    func saveSections() throws(StateError) -> [StateRecord]
    /// Checks sections, and changes nothing yet.
    /// - Returns: puts them back.
    func checkSections(_ records: [StateRecord]) throws(StateError) -> () -> Void
}

/// Whether the guest ran when it was saved.
struct RunningState: SavedState {
    static let name = "runstate"
    var isRunning: Bool
}
