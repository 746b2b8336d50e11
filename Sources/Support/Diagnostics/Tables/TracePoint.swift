// SPDX-License-Identifier: Apache-2.0

/// A place in the code that tells what it does when asked with `-trace NAME`. The table of all of them: a new one is one
/// line here and one `Trace.emit` there.
public enum TracePoint: String, CaseIterable, Sendable {
    // Control
    case monitorCommand = "handle_qmp_command"
    case monitorHumanCommand = "handle_hmp_command"
    case monitorEvent = "monitor_protocol_event_emit"
    case debuggerPacket = "gdbstub_io_command"
    case debuggerReply = "gdbstub_io_reply"
    // Character streams
    case characterStreamOpened = "chr_open"
    case characterStreamClosed = "chr_close"
    // Screens
    case vncClientEnded = "vnc_client_disconnect_finish"
    // Run state
    case runStateChanged = "runstate_set"
    case systemReset = "system_reset"
    /// What a guest's standing still at a move is spent on.
    case migrationPause = "migration_pause"
    // Devices
    case virtioSetStatus = "virtio_set_status"
    case virtioQueueNotify = "virtio_queue_notify"
    case virtioNotify = "virtio_notify"
    case virtioBlockRequest = "virtio_blk_handle_request"
    case pciConfigurationRead = "pci_cfg_read"
    case pciConfigurationWrite = "pci_cfg_write"
    case pciBARMapped = "pci_update_mappings_add"
    case pciBARUnmapped = "pci_update_mappings_del"
    case firmwareConfigurationSelect = "fw_cfg_select"
    case serialPortRead = "serial_read"
    case serialPortWrite = "serial_write"
    case localAPICDeliver = "apic_deliver_irq"
    case interruptRequest = "ioapic_set_irq"
    case postCode = "ioport80_write"
    // Registers of any device, by the window's name
    case registerRead = "memory_region_ops_read"
    case registerWrite = "memory_region_ops_write"
}
