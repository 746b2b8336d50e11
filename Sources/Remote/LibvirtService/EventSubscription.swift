// SPDX-License-Identifier: Apache-2.0

internal import LibvirtProtocol
internal import ManagementModel
internal import XDRCoding

/// An event callback that a client registered.
struct EventSubscription: Sendable {
    /// What is listened to.
    enum Kind: Equatable, Sendable {
        /// Machines, by libvirt's number of the event.
        case machine(Int32)
        case network(Int32)
        case pool(Int32)
        case nodeDevice(Int32)
        case secret(Int32)
        /// Events of the machine's monitor, all or of one name.
        case monitor(String?)
    }

    /// Numbers of the kinds of machine events.
    enum MachineKind {
        static let lifecycle: Int32 = 0, reboot: Int32 = 1, clockChange: Int32 = 2, watchdog: Int32 = 3
        static let inputOutputError: Int32 = 4, graphics: Int32 = 5, inputOutputErrorReason: Int32 = 6
        static let controlError: Int32 = 7, blockJob: Int32 = 8, diskChange: Int32 = 9, trayChange: Int32 = 10
        static let wakeUp: Int32 = 11, suspend: Int32 = 12, balloonChange: Int32 = 13, suspendToDisk: Int32 = 14
        static let deviceRemoved: Int32 = 15, blockJob2: Int32 = 16, tunable: Int32 = 17, agent: Int32 = 18
        static let deviceAdded: Int32 = 19, migrationIteration: Int32 = 20, jobCompleted: Int32 = 21
        static let removalFailed: Int32 = 22, metadataChange: Int32 = 23, blockThreshold: Int32 = 24
        static let memoryFailure: Int32 = 25, memorySizeChange: Int32 = 26
        /// One more than the last.
        static let count: Int32 = 27
    }

    var kind: Kind
    /// The one object that is listened to; nil for all.
    var object: UniqueID?

    /// The message for the client; nil when it did not ask for this event.
    func frame(for event: ManagementEvent, callback: Int32) -> [UInt8]? {
        switch (event, kind) {
        case (.machine(let reference, let event), .machine(let wanted)):
            guard object == nil || object == reference.uuid else { return nil }
            return Self.frame(DomainHandle(reference), event, wanted, callback)
        case (.machine(let reference, .monitor(let name, let seconds, let micros, let data)), .monitor(let filter)):
            guard object == nil || object == reference.uuid, filter == nil || filter == name else { return nil }
            return EventMessages.qemuDomainMonitorEvent.frame(
                Message(callback, DomainHandle(reference), name, seconds, micros, data))
        case (.network(let reference, let event, let detail), .network):
            guard object == nil || object == reference.uuid else { return nil }
            return EventMessages.networkEventLifecycle.frame(
                Message(callback, NetworkHandle(name: reference.name, uuid: reference.uuid), event, detail))
        case (.pool(let reference, let event, let detail), .pool(0)):
            guard object == nil || object == reference.uuid else { return nil }
            return EventMessages.storagePoolEventLifecycle.frame(
                Message(callback, PoolHandle(name: reference.name, uuid: reference.uuid), event, detail))
        case (.poolRefreshed(let reference), .pool(1)):
            guard object == nil || object == reference.uuid else { return nil }
            return EventMessages.storagePoolEventRefresh.frame(
                Message(callback, PoolHandle(name: reference.name, uuid: reference.uuid)))
        case (.nodeDevice(let name, let event, let detail), .nodeDevice(0)):
            return EventMessages.nodeDeviceEventLifecycle.frame(
                Message(callback, NodeDeviceHandle(name: name), event, detail))
        case (.secret(let uuid, let type, let usage, let event, let detail), .secret(0)):
            guard object == nil || object == uuid else { return nil }
            return EventMessages.secretEventLifecycle.frame(
                Message(callback, SecretHandle(uuid: uuid, usageType: type, usageID: usage), event, detail))
        case (.secretValueChanged(let uuid, let type, let usage), .secret(1)):
            guard object == nil || object == uuid else { return nil }
            return EventMessages.secretEventValueChanged.frame(
                Message(callback, SecretHandle(uuid: uuid, usageType: type, usageID: usage)))
        default: return nil
        }
    }

    private static func frame(
        _ machine: DomainHandle, _ event: MachineEvent, _ wanted: Int32, _ callback: Int32
    ) -> [UInt8]? {
        typealias Kind = MachineKind
        typealias Events = EventMessages
        switch (event, wanted) {
        case (.lifecycle(let what, let detail), Kind.lifecycle):
            return Events.domainEventCallbackLifecycle.frame(Message(callback, Message(machine, what, detail)))
        case (.reboot, Kind.reboot):
            return Events.domainEventCallbackReboot.frame(Message(callback, Message(machine)))
        case (.clockChange(let offset), Kind.clockChange):
            return Events.domainEventCallbackRtcChange.frame(Message(callback, Message(machine, offset)))
        case (.watchdog(let action), Kind.watchdog):
            return Events.domainEventCallbackWatchdog.frame(Message(callback, Message(machine, action)))
        case (.inputOutputError(let path, let alias, let action, _), Kind.inputOutputError):
            return Events.domainEventCallbackIoError.frame(Message(callback, Message(machine, path, alias, action)))
        case (.inputOutputError(let path, let alias, let action, let reason), Kind.inputOutputErrorReason):
            return Events.domainEventCallbackIoErrorReason.frame(
                Message(callback, Message(machine, path, alias, action, reason)))
        case (.controlError, Kind.controlError):
            return Events.domainEventCallbackControlError.frame(Message(callback, Message(machine)))
        case (.blockJob(let path, _, let type, let status), Kind.blockJob):
            return Events.domainEventCallbackBlockJob.frame(Message(callback, Message(machine, path, type, status)))
        case (.blockJob(_, let target, let type, let status), Kind.blockJob2):
            return Events.domainEventBlockJob2.frame(Message(callback, machine, target, type, status))
        case (.diskChange(let old, let new, let alias, let reason), Kind.diskChange):
            return Events.domainEventCallbackDiskChange.frame(
                Message(callback, Message(machine, old, new, alias, reason)))
        case (.trayChange(let alias, let reason), Kind.trayChange):
            return Events.domainEventCallbackTrayChange.frame(Message(callback, Message(machine, alias, reason)))
        case (.wokenUp, Kind.wakeUp):
            return Events.domainEventCallbackPmwakeup.frame(Message(callback, 0, Message(machine)))
        case (.suspendedToMemory, Kind.suspend):
            return Events.domainEventCallbackPmsuspend.frame(Message(callback, 0, Message(machine)))
        case (.suspendedToDisk, Kind.suspendToDisk):
            return Events.domainEventCallbackPmsuspendDisk.frame(Message(callback, 0, Message(machine)))
        case (.balloonChange(let actual), Kind.balloonChange):
            return Events.domainEventCallbackBalloonChange.frame(Message(callback, Message(machine, actual)))
        case (.deviceRemoved(let alias), Kind.deviceRemoved):
            return Events.domainEventCallbackDeviceRemoved.frame(Message(callback, Message(machine, alias)))
        case (.tunable(let parameters), Kind.tunable):
            return Events.domainEventCallbackTunable.frame(Message(callback, machine, parameters))
        case (.agentLifecycle(let state, let reason), Kind.agent):
            return Events.domainEventCallbackAgentLifecycle.frame(Message(callback, machine, state, reason))
        case (.deviceAdded(let alias), Kind.deviceAdded):
            return Events.domainEventCallbackDeviceAdded.frame(Message(callback, machine, alias))
        case (.jobCompleted(let parameters), Kind.jobCompleted):
            return Events.domainEventCallbackJobCompleted.frame(Message(callback, machine, parameters))
        case (.blockThreshold(let target, let path, let threshold, let excess), Kind.blockThreshold):
            return Events.domainEventBlockThreshold.frame(
                Message(callback, machine, target, path, threshold, excess))
        case (.memorySizeChange(let alias, let size), Kind.memorySizeChange):
            return Events.domainEventMemoryDeviceSizeChange.frame(Message(callback, machine, alias, size))
        case (.deviceRemovalFailed(let alias), Kind.removalFailed):
            return Events.domainEventCallbackDeviceRemovalFailed.frame(Message(callback, machine, alias))
        case (.metadataChange(let type, let uri), Kind.metadataChange):
            return Events.domainEventCallbackMetadataChange.frame(Message(callback, machine, type, uri))
        default: return nil
        }
    }
}

extension DomainHandle {
    init(_ reference: MachineReference) {
        self.init(name: reference.name, uuid: reference.uuid, id: reference.id)
    }
}

extension EventMessage {
    /// The message as it is sent: no call's number.
    func frame(_ body: Body) -> [UInt8] {
        FrameHeader(program: program.rawValue, procedure: number, type: .message, serial: 0).frame(capacity: 128) {
            body.encode(to: &$0)
        }
    }
}
