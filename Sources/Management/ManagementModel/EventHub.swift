// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// A machine as clients name it. `id` is -1 while it does not run.
public struct MachineReference: Hashable, Sendable {
    /// The name when the reference was made; a rename since then does not show.
    public var name: String
    /// What a client's call finds it by again.
    public var uuid: UniqueID
    /// The number of this run; -1 while it does not run.
    public var id: Int32

    /// Refers to a machine in one run, or with -1 in none.
    public init(name: String, uuid: UniqueID, id: Int32) {
        self.name = name
        self.uuid = uuid
        self.id = id
    }
}

/// Another managed thing that has a name and a UUID: a network, a pool.
public struct ObjectReference: Hashable, Sendable {
    /// The name when the reference was made; a rename since then does not show.
    public var name: String
    /// What a client's call finds it by again.
    public var uuid: UniqueID
    /// Refers to a network, pool or the like by what clients send for it.
    public init(name: String, uuid: UniqueID) {
        self.name = name
        self.uuid = uuid
    }
}

/// What happened to a machine; the numbers are libvirt's.
public enum MachineEvent: Sendable {
    case lifecycle(Int32, detail: Int32)
    case reboot
    case clockChange(Int64)
    case watchdog(Int32)
    case inputOutputError(path: String, alias: String, action: Int32, reason: String)
    case balloonChange(UInt64)
    case diskChange(old: String?, new: String?, alias: String, reason: Int32)
    case trayChange(alias: String, reason: Int32)
    case deviceAdded(String)
    case deviceRemoved(String)
    case deviceRemovalFailed(String)
    case agentLifecycle(Int32, reason: Int32)
    case tunable([TypedParameter])
    case metadataChange(Int32, uri: String?)
    case blockJob(path: String, target: String, type: Int32, status: Int32)
    case jobCompleted([TypedParameter])
    case controlError
    case suspendedToMemory, suspendedToDisk, wokenUp
    case guestPanic
    case blockThreshold(target: String, path: String, threshold: UInt64, excess: UInt64)
    case memorySizeChange(alias: String, size: UInt64)
    /// Any event of the machine's monitor, with its JSON data.
    case monitor(name: String, seconds: Int64, microseconds: UInt32, data: String?)
}

/// Something that happened.
public enum ManagementEvent: Sendable {
    case machine(MachineReference, MachineEvent)
    case network(ObjectReference, Int32, detail: Int32)
    case pool(ObjectReference, Int32, detail: Int32)
    case poolRefreshed(ObjectReference)
    case nodeDevice(String, Int32, detail: Int32)
    case secret(UniqueID, usageType: Int32, usageID: String, Int32, detail: Int32)
    case secretValueChanged(UniqueID, usageType: Int32, usageID: String)
}

/// Tells all listeners what happens. Listeners are called on the thread on which it happened and must not wait.
public final class EventHub: Sendable {
    private struct State {
        var listeners: [UInt64: @Sendable (ManagementEvent) -> Void] = [:]
        var next: UInt64 = 1
    }
    private let state = Mutex(State())

    /// A hub without listeners; events before the first `listen` are lost.
    public init() {}

    /// Adds a listener and gives the number to remove it by.
    public func listen(_ body: @escaping @Sendable (ManagementEvent) -> Void) -> UInt64 {
        state.withLock { state in
            defer { state.next += 1 }
            state.listeners[state.next] = body
            return state.next
        }
    }

    /// Removes a listener.
    public func remove(_ number: UInt64) { state.withLock { _ = $0.listeners.removeValue(forKey: number) } }

    /// Tells all listeners.
    public func emit(_ event: ManagementEvent) {
        for listener in state.withLock({ Array($0.listeners.values) }) { listener(event) }
    }
}
