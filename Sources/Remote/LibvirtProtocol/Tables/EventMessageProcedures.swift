// SPDX-License-Identifier: Apache-2.0

public import ManagementModel
public import XDRCoding

/// Messages that the server sends on its own: events.
extension EventMessages {
    /// Carries domain, event, detail.
    public static let domainEventLifecycle = EventMessage<Message<DomainHandle, Int32, Int32>>(107)
    /// Carries domain.
    public static let domainEventReboot = EventMessage<Message<DomainHandle>>(169)
    /// Carries domain, offset.
    public static let domainEventRtcChange = EventMessage<Message<DomainHandle, Int64>>(170)
    /// Carries domain, action.
    public static let domainEventWatchdog = EventMessage<Message<DomainHandle, Int32>>(171)
    /// Carries domain, source path, alias, action.
    public static let domainEventIoError = EventMessage<Message<DomainHandle, String, String, Int32>>(172)
    /// Carries domain, phase, local, remote, auth scheme, subject.
    public static let domainEventGraphics = EventMessage<
        Message<
            DomainHandle, Int32, DomainEventGraphicsAddress, DomainEventGraphicsAddress, String,
            [DomainEventGraphicsIdentity]
        >
    >(173)
    /// Carries domain, source path, alias, action, reason.
    public static let domainEventIoErrorReason = EventMessage<Message<DomainHandle, String, String, Int32, String>>(195)
    /// Carries domain.
    public static let domainEventControlError = EventMessage<Message<DomainHandle>>(224)
    /// Carries domain, path, type, status.
    public static let domainEventBlockJob = EventMessage<Message<DomainHandle, String, Int32, Int32>>(241)
    /// Carries domain, old src path, new src path, alias, reason.
    public static let domainEventDiskChange = EventMessage<Message<DomainHandle, String?, String?, String, Int32>>(248)
    /// Carries domain, alias, reason.
    public static let domainEventTrayChange = EventMessage<Message<DomainHandle, String, Int32>>(268)
    /// Carries domain.
    public static let domainEventPmwakeup = EventMessage<Message<DomainHandle>>(269)
    /// Carries domain.
    public static let domainEventPmsuspend = EventMessage<Message<DomainHandle>>(270)
    /// Carries domain, actual.
    public static let domainEventBalloonChange = EventMessage<Message<DomainHandle, UInt64>>(276)
    /// Carries domain.
    public static let domainEventPmsuspendDisk = EventMessage<Message<DomainHandle>>(292)
    /// Carries domain, alias.
    public static let domainEventDeviceRemoved = EventMessage<Message<DomainHandle, String>>(311)
    /// Carries callback, network, event, detail.
    public static let networkEventLifecycle = EventMessage<Message<Int32, NetworkHandle, Int32, Int32>>(315)
    /// Carries callback, message.
    public static let domainEventCallbackLifecycle = EventMessage<Message<Int32, Message<DomainHandle, Int32, Int32>>>(
        318)
    /// Carries callback, message.
    public static let domainEventCallbackReboot = EventMessage<Message<Int32, Message<DomainHandle>>>(319)
    /// Carries callback, message.
    public static let domainEventCallbackRtcChange = EventMessage<Message<Int32, Message<DomainHandle, Int64>>>(320)
    /// Carries callback, message.
    public static let domainEventCallbackWatchdog = EventMessage<Message<Int32, Message<DomainHandle, Int32>>>(321)
    /// Carries callback, message.
    public static let domainEventCallbackIoError = EventMessage<
        Message<Int32, Message<DomainHandle, String, String, Int32>>
    >(322)
    /// Carries callback, message: phase, both ends, authentication scheme, identities.
    public static let domainEventCallbackGraphics = EventMessage<
        Message<
            Int32,
            Message<
                DomainHandle, Int32, DomainEventGraphicsAddress, DomainEventGraphicsAddress, String,
                [DomainEventGraphicsIdentity]
            >
        >
    >(323)
    /// Carries callback, message.
    public static let domainEventCallbackIoErrorReason = EventMessage<
        Message<Int32, Message<DomainHandle, String, String, Int32, String>>
    >(324)
    /// Carries callback, message.
    public static let domainEventCallbackControlError = EventMessage<Message<Int32, Message<DomainHandle>>>(325)
    /// Carries callback, message.
    public static let domainEventCallbackBlockJob = EventMessage<
        Message<Int32, Message<DomainHandle, String, Int32, Int32>>
    >(326)
    /// Carries callback, message.
    public static let domainEventCallbackDiskChange = EventMessage<
        Message<Int32, Message<DomainHandle, String?, String?, String, Int32>>
    >(327)
    /// Carries callback, message.
    public static let domainEventCallbackTrayChange = EventMessage<
        Message<Int32, Message<DomainHandle, String, Int32>>
    >(328)
    /// Carries callback, reason, message.
    public static let domainEventCallbackPmwakeup = EventMessage<Message<Int32, Int32, Message<DomainHandle>>>(329)
    /// Carries callback, reason, message.
    public static let domainEventCallbackPmsuspend = EventMessage<Message<Int32, Int32, Message<DomainHandle>>>(330)
    /// Carries callback, message.
    public static let domainEventCallbackBalloonChange = EventMessage<Message<Int32, Message<DomainHandle, UInt64>>>(
        331)
    /// Carries callback, reason, message.
    public static let domainEventCallbackPmsuspendDisk = EventMessage<Message<Int32, Int32, Message<DomainHandle>>>(332)
    /// Carries callback, message.
    public static let domainEventCallbackDeviceRemoved = EventMessage<Message<Int32, Message<DomainHandle, String>>>(
        333)
    /// Carries callback, domain, dst, type, status.
    public static let domainEventBlockJob2 = EventMessage<Message<Int32, DomainHandle, String, Int32, Int32>>(339)
    /// Carries callback, domain, parameters.
    public static let domainEventCallbackTunable = EventMessage<Message<Int32, DomainHandle, [TypedParameter]>>(346)
    /// Carries callback, domain, state, reason.
    public static let domainEventCallbackAgentLifecycle = EventMessage<Message<Int32, DomainHandle, Int32, Int32>>(348)
    /// Carries callback, domain, alias.
    public static let domainEventCallbackDeviceAdded = EventMessage<Message<Int32, DomainHandle, String>>(354)
    /// Carries callback, domain, iteration.
    public static let domainEventCallbackMigrationIteration = EventMessage<Message<Int32, DomainHandle, Int32>>(359)
    /// Carries reason.
    public static let connectEventConnectionClosed = EventMessage<Message<Int32>>(362)
    /// Carries callback, domain, parameters.
    public static let domainEventCallbackJobCompleted = EventMessage<Message<Int32, DomainHandle, [TypedParameter]>>(
        363)
    /// Carries callback, domain, alias.
    public static let domainEventCallbackDeviceRemovalFailed = EventMessage<Message<Int32, DomainHandle, String>>(367)
    /// Carries callback, pool, event, detail.
    public static let storagePoolEventLifecycle = EventMessage<Message<Int32, PoolHandle, Int32, Int32>>(370)
    /// Carries callback, pool.
    public static let storagePoolEventRefresh = EventMessage<Message<Int32, PoolHandle>>(373)
    /// Carries callback, device, event, detail.
    public static let nodeDeviceEventLifecycle = EventMessage<Message<Int32, NodeDeviceHandle, Int32, Int32>>(376)
    /// Carries callback, device.
    public static let nodeDeviceEventUpdate = EventMessage<Message<Int32, NodeDeviceHandle>>(377)
    /// Carries callback, domain, type, nsuri.
    public static let domainEventCallbackMetadataChange = EventMessage<Message<Int32, DomainHandle, Int32, String?>>(
        379)
    /// Carries callback, secret, event, detail.
    public static let secretEventLifecycle = EventMessage<Message<Int32, SecretHandle, Int32, Int32>>(382)
    /// Carries callback, secret.
    public static let secretEventValueChanged = EventMessage<Message<Int32, SecretHandle>>(383)
    /// Carries callback, domain, device, path, threshold, excess.
    public static let domainEventBlockThreshold = EventMessage<
        Message<Int32, DomainHandle, String, String?, UInt64, UInt64>
    >(385)
    /// Carries callback, domain, recipient, action, flags.
    public static let domainEventMemoryFailure = EventMessage<Message<Int32, DomainHandle, Int32, Int32, UInt32>>(423)
    /// Carries callback, domain, alias, size.
    public static let domainEventMemoryDeviceSizeChange = EventMessage<Message<Int32, DomainHandle, String, UInt64>>(
        438)
    /// Carries callback, domain, event, seconds, micros, details.
    public static let qemuDomainMonitorEvent = EventMessage<
        Message<Int32, DomainHandle, String, Int64, UInt32, String?>
    >(6, .qemu)
}
