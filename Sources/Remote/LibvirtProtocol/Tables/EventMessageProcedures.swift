// SPDX-License-Identifier: Apache-2.0

public import ManagementModel
public import XDRCoding

/// Messages that the server sends on its own: events.
extension EventMessages {
    public static let domainEventLifecycle = EventMessage<Message<DomainHandle, Int32, Int32>>(107)
    public static let domainEventReboot = EventMessage<Message<DomainHandle>>(169)
    public static let domainEventRtcChange = EventMessage<Message<DomainHandle, Int64>>(170)
    public static let domainEventWatchdog = EventMessage<Message<DomainHandle, Int32>>(171)
    public static let domainEventIoError = EventMessage<Message<DomainHandle, String, String, Int32>>(172)
    public static let domainEventGraphics = EventMessage<
        Message<
            DomainHandle, Int32, DomainEventGraphicsAddress, DomainEventGraphicsAddress, String,
            [DomainEventGraphicsIdentity]
        >
    >(173)
    public static let domainEventIoErrorReason = EventMessage<Message<DomainHandle, String, String, Int32, String>>(195)
    public static let domainEventControlError = EventMessage<Message<DomainHandle>>(224)
    public static let domainEventBlockJob = EventMessage<Message<DomainHandle, String, Int32, Int32>>(241)
    public static let domainEventDiskChange = EventMessage<Message<DomainHandle, String?, String?, String, Int32>>(248)
    public static let domainEventTrayChange = EventMessage<Message<DomainHandle, String, Int32>>(268)
    public static let domainEventPmwakeup = EventMessage<Message<DomainHandle>>(269)
    public static let domainEventPmsuspend = EventMessage<Message<DomainHandle>>(270)
    public static let domainEventBalloonChange = EventMessage<Message<DomainHandle, UInt64>>(276)
    public static let domainEventPmsuspendDisk = EventMessage<Message<DomainHandle>>(292)
    public static let domainEventDeviceRemoved = EventMessage<Message<DomainHandle, String>>(311)
    public static let networkEventLifecycle = EventMessage<Message<Int32, NetworkHandle, Int32, Int32>>(315)
    public static let domainEventCallbackLifecycle = EventMessage<Message<Int32, Message<DomainHandle, Int32, Int32>>>(
        318)
    public static let domainEventCallbackReboot = EventMessage<Message<Int32, Message<DomainHandle>>>(319)
    public static let domainEventCallbackRtcChange = EventMessage<Message<Int32, Message<DomainHandle, Int64>>>(320)
    public static let domainEventCallbackWatchdog = EventMessage<Message<Int32, Message<DomainHandle, Int32>>>(321)
    public static let domainEventCallbackIoError = EventMessage<
        Message<Int32, Message<DomainHandle, String, String, Int32>>
    >(322)
    public static let domainEventCallbackGraphics = EventMessage<
        Message<
            Int32,
            Message<
                DomainHandle, Int32, DomainEventGraphicsAddress, DomainEventGraphicsAddress, String,
                [DomainEventGraphicsIdentity]
            >
        >
    >(323)
    public static let domainEventCallbackIoErrorReason = EventMessage<
        Message<Int32, Message<DomainHandle, String, String, Int32, String>>
    >(324)
    public static let domainEventCallbackControlError = EventMessage<Message<Int32, Message<DomainHandle>>>(325)
    public static let domainEventCallbackBlockJob = EventMessage<
        Message<Int32, Message<DomainHandle, String, Int32, Int32>>
    >(326)
    public static let domainEventCallbackDiskChange = EventMessage<
        Message<Int32, Message<DomainHandle, String?, String?, String, Int32>>
    >(327)
    public static let domainEventCallbackTrayChange = EventMessage<
        Message<Int32, Message<DomainHandle, String, Int32>>
    >(328)
    public static let domainEventCallbackPmwakeup = EventMessage<Message<Int32, Int32, Message<DomainHandle>>>(329)
    public static let domainEventCallbackPmsuspend = EventMessage<Message<Int32, Int32, Message<DomainHandle>>>(330)
    public static let domainEventCallbackBalloonChange = EventMessage<Message<Int32, Message<DomainHandle, UInt64>>>(
        331)
    public static let domainEventCallbackPmsuspendDisk = EventMessage<Message<Int32, Int32, Message<DomainHandle>>>(332)
    public static let domainEventCallbackDeviceRemoved = EventMessage<Message<Int32, Message<DomainHandle, String>>>(
        333)
    public static let domainEventBlockJob2 = EventMessage<Message<Int32, DomainHandle, String, Int32, Int32>>(339)
    public static let domainEventCallbackTunable = EventMessage<Message<Int32, DomainHandle, [TypedParameter]>>(346)
    public static let domainEventCallbackAgentLifecycle = EventMessage<Message<Int32, DomainHandle, Int32, Int32>>(348)
    public static let domainEventCallbackDeviceAdded = EventMessage<Message<Int32, DomainHandle, String>>(354)
    public static let domainEventCallbackMigrationIteration = EventMessage<Message<Int32, DomainHandle, Int32>>(359)
    public static let connectEventConnectionClosed = EventMessage<Message<Int32>>(362)
    public static let domainEventCallbackJobCompleted = EventMessage<Message<Int32, DomainHandle, [TypedParameter]>>(
        363)
    public static let domainEventCallbackDeviceRemovalFailed = EventMessage<Message<Int32, DomainHandle, String>>(367)
    public static let storagePoolEventLifecycle = EventMessage<Message<Int32, PoolHandle, Int32, Int32>>(370)
    public static let storagePoolEventRefresh = EventMessage<Message<Int32, PoolHandle>>(373)
    public static let nodeDeviceEventLifecycle = EventMessage<Message<Int32, NodeDeviceHandle, Int32, Int32>>(376)
    public static let nodeDeviceEventUpdate = EventMessage<Message<Int32, NodeDeviceHandle>>(377)
    public static let domainEventCallbackMetadataChange = EventMessage<Message<Int32, DomainHandle, Int32, String?>>(
        379)
    public static let secretEventLifecycle = EventMessage<Message<Int32, SecretHandle, Int32, Int32>>(382)
    public static let secretEventValueChanged = EventMessage<Message<Int32, SecretHandle>>(383)
    public static let domainEventBlockThreshold = EventMessage<
        Message<Int32, DomainHandle, String, String?, UInt64, UInt64>
    >(385)
    public static let domainEventMemoryFailure = EventMessage<Message<Int32, DomainHandle, Int32, Int32, UInt32>>(423)
    public static let domainEventMemoryDeviceSizeChange = EventMessage<Message<Int32, DomainHandle, String, UInt64>>(
        438)
    public static let qemuDomainMonitorEvent = EventMessage<
        Message<Int32, DomainHandle, String, Int64, UInt32, String?>
    >(6, .qemu)
}
