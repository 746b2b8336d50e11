// SPDX-License-Identifier: Apache-2.0

internal import PCIBus
internal import StateCoding

/// One endpoint of a slot, as the controller knows it.
struct XHCIEndpoint: Equatable, Sendable, Codable {
    var state = XHCI.EndpointState.running
    /// EP Type of its context: 4 control, 5...7 to the host, 1...3 from it.
    var type: UInt32
    var ring: XHCIRing
    /// Its context in guest memory.
    var context: UInt64
    /// The first block at the ring waits for the device.
    var isWaiting = false

    var isControl: Bool { type == XHCI.controlEndpoint }
    var direction: USBDirection { type >= XHCI.controlEndpoint ? .in : .out }
}

/// One device slot.
struct XHCISlot: Equatable, Sendable, Codable {
    var isEnabled = false
    /// The device context in guest memory; 0 before the device has an address.
    var context: UInt64 = 0
    /// The root hub's port, from 1; 0 for none.
    var port = 0
    /// The way through hubs from there: four bits for each hub's port, the first one's lowest (xHCI 1.1, 8.9).
    var route: UInt32 = 0
    /// By device context index less 1.
    var endpoints = [XHCIEndpoint?](repeating: nil, count: XHCI.endpointCount)
}

/// What a saved machine keeps of a controller; the devices have sections of their own.
struct XHCIState: SavedState, Equatable {
    var function: PCIDeviceState
    var registers: XHCIRegisterState
    var slots: [XHCISlot]
    var interrupters: [XHCIInterrupter]

    func problem(replacing current: XHCIState) -> String? {
        if let problem = function.problem(replacing: current.function) { return problem }
        guard slots.count == current.slots.count, interrupters.count == current.interrupters.count,
            registers.ports.count == current.registers.ports.count
        else { return "it has another number of slots, interrupters or ports" }
        guard interrupters.allSatisfy(\.isSound),
            slots.allSatisfy({
                $0.endpoints.count == XHCI.endpointCount && (0...registers.ports.count).contains($0.port)
                    && $0.endpoints.allSatisfy { ($0?.type ?? 0) < 8 }
            })
        else { return "its values cannot be" }
        return nil
    }
}

/// The operational registers.
struct XHCIRegisterState: Equatable, Sendable, Codable {
    var command: UInt32 = 0
    var status: UInt32 = XHCI.Status.halted
    var notifications: UInt32 = 0
    /// Where the command ring goes on.
    var commandRing = XHCIRing()
    var isCommandRingRunning = false
    /// The lower half of a pointer that is being written.
    var contexts: UInt64 = 0
    var configure: UInt32 = 0
    /// PORTSC by port, those of USB 2 first.
    var ports: [UInt32] = []
    /// When the frame counter was 0.
    var frameStart: UInt64 = 0
}
