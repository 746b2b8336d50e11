// SPDX-License-Identifier: Apache-2.0

internal import GuestMemory

/// The command ring (xHCI 1.1, 4.6).
extension XHCIController {
    private static let commandsInTurn = 256
    private static let addressMask: UInt32 = 0xFF, portShift: UInt32 = 16, routeMask: UInt32 = 0xF_FFFF

    /// Doorbell 0 is the command ring's; the others are the slots'.
    func ringDoorbell(_ number: Int, _ target: Int) {
        guard isRunning else { return }
        if number == 0 {
            guard target == 0 else { return }
            registers.isCommandRingRunning = true
            return runCommands()
        }
        guard (1...XHCI.slotCount).contains(number), (1...XHCI.endpointCount).contains(target) else { return }
        kick(number, target)
        work()
    }

    private func runCommands() {
        for _ in 0..<Self.commandsInTurn where registers.isCommandRingRunning && isRunning {
            do throws(XHCIMemoryError) {
                guard let command = try registers.commandRing.next(memory) else { return }
                try run(command)
            } catch { return fail() }
        }
    }

    private func run(_ command: XHCIBlock) throws(XHCIMemoryError) {
        var slot = command.slot
        let code: UInt8
        switch command.type {
        case XHCI.BlockType.enableSlot:
            let free = slots.firstIndex { !$0.isEnabled }
            slot = (free ?? -1) + 1
            if let free { slots[free] = XHCISlot(isEnabled: true) }
            code = free == nil ? XHCI.Completion.noSlots : XHCI.Completion.success
        case XHCI.BlockType.commandNoOperation: code = XHCI.Completion.success
        case XHCI.BlockType.portBandwidth: code = try reportBandwidth(command)
        case XHCI.BlockType.necFirmware where model == .nec:
            let version = 0x3025
            return post(
                XHCIInterrupter.Event(
                    XHCI.BlockType.necEvent, parameter: command.address, code: XHCI.Completion.success, length: version)
            )
        default:
            if !(1...XHCI.slotCount).contains(slot) || !slots[slot - 1].isEnabled {
                code = isForSlot(command.type) ? XHCI.Completion.slotNotEnabled : XHCI.Completion.blockError
            } else {
                code = try runForSlot(command, slot - 1)
            }
        }
        post(
            XHCIInterrupter.Event(
                XHCI.BlockType.commandEvent, parameter: command.address, code: code, slot: slot))
    }

    private func isForSlot(_ type: Int) -> Bool {
        (XHCI.BlockType.disableSlot...XHCI.BlockType.resetDevice).contains(type)
    }

    private func runForSlot(_ command: XHCIBlock, _ slot: Int) throws(XHCIMemoryError) -> UInt8 {
        switch command.type {
        case XHCI.BlockType.disableSlot:
            slots[slot] = XHCISlot()
            return XHCI.Completion.success
        case XHCI.BlockType.addressDevice: return try addressDevice(command, slot)
        case XHCI.BlockType.configureEndpoint: return try configure(command, slot)
        case XHCI.BlockType.evaluateContext: return try evaluate(command, slot)
        case XHCI.BlockType.resetDevice: return try resetDevice(slot)
        case XHCI.BlockType.resetEndpoint, XHCI.BlockType.stopEndpoint, XHCI.BlockType.setDequeue:
            let endpoint = command.endpoint
            guard endpoint >= 1, slots[slot].endpoints[endpoint - 1] != nil else {
                return XHCI.Completion.endpointNotEnabled
            }
            switch command.type {
            case XHCI.BlockType.resetEndpoint: return try resetEndpoint(slot, endpoint)
            case XHCI.BlockType.stopEndpoint: return try stopEndpoint(slot, endpoint)
            default: return try setDequeue(command, slot, endpoint)
            }
        default: return XHCI.Completion.blockError
        }
    }

    // MARK: contexts

    func loadWord(_ address: UInt64) throws(XHCIMemoryError) -> UInt32 {
        do { return try memory.load(at: address) } catch { throw XHCIMemoryError() }
    }

    func storeWord(_ value: UInt32, _ address: UInt64) throws(XHCIMemoryError) {
        do { try memory.store(value, at: address) } catch { throw XHCIMemoryError() }
    }

    /// Copies words of one context to another.
    private func copy(_ count: Int, from source: UInt64, to target: UInt64) throws(XHCIMemoryError) {
        for index in 0..<UInt64(count) {
            try storeWord(try loadWord(source &+ index * 4), target &+ index * 4)
        }
    }

    private func place(_ context: UInt64, _ index: Int) -> UInt64 { context &+ UInt64(index) * XHCI.Context.size }

    private func setSlotState(_ slot: Int, _ state: UInt32, address: UInt32? = nil) throws(XHCIMemoryError) {
        let place = slots[slot].context &+ 12
        let old = try loadWord(place)
        try storeWord((address ?? old & Self.addressMask) | state << XHCI.Context.slotStateShift, place)
    }

    private func slotState(_ slot: Int) throws(XHCIMemoryError) -> UInt32 {
        guard slots[slot].context != 0 else { return 0 }
        return try loadWord(slots[slot].context &+ 12) >> XHCI.Context.slotStateShift
    }

    /// Takes an endpoint into use as its context in `input` says, and copies that context to the device's.
    private func enable(_ slot: Int, _ endpoint: Int, input: UInt64) throws(XHCIMemoryError) {
        let target = place(slots[slot].context, endpoint)
        try copy(Int(XHCI.Context.size) / 4, from: input, to: target)
        let kind = try loadWord(input &+ 4) >> 3 & 7
        let low = try loadWord(input &+ 8), high = try loadWord(input &+ 12)
        slots[slot].endpoints[endpoint - 1] = XHCIEndpoint(
            type: kind, ring: XHCIRing(pointer: UInt64(low & ~0xE) | UInt64(high) << 32), context: target)
        try update(slot, endpoint)
    }

    private func disable(_ slot: Int, _ endpoint: Int) throws(XHCIMemoryError) {
        guard let old = slots[slot].endpoints[endpoint - 1] else { return }
        slots[slot].endpoints[endpoint - 1] = nil
        try storeWord(try loadWord(old.context) & ~7, old.context)
    }

    /// Writes an endpoint's state and place into its context.
    func update(_ slot: Int, _ endpoint: Int) throws(XHCIMemoryError) {
        guard let now = slots[slot].endpoints[endpoint - 1] else { return }
        try storeWord(try loadWord(now.context) & ~7 | UInt32(now.state.rawValue), now.context)
        try storeWord(UInt32(truncatingIfNeeded: now.ring.pointer), now.context &+ 8)
        try storeWord(UInt32(truncatingIfNeeded: now.ring.pointer >> 32), now.context &+ 12)
    }

    // MARK: devices

    private func addressDevice(_ command: XHCIBlock, _ slot: Int) throws(XHCIMemoryError) -> UInt8 {
        let input = command.parameter & ~0xF
        guard try loadWord(input) == 0, try loadWord(input &+ 4) == 3 else { return XHCI.Completion.blockError }
        let slotInput = place(input, 1), route = try loadWord(slotInput) & Self.routeMask
        let port = Int(try loadWord(slotInput &+ 4) >> Self.portShift & 0xFF)
        guard let device = device(atHubPort: port, route: route) else { return XHCI.Completion.transactionError }
        let isTaken = slots.enumerated().contains { entry in
            entry.offset != slot && entry.element.isEnabled && entry.element.port == port
                && entry.element.route == route
        }
        guard !isTaken else { return XHCI.Completion.blockError }
        let context: UInt64
        do { context = try memory.load(at: registers.contexts &+ UInt64(slot + 1) * 8) & ~0x3F } catch {
            throw XHCIMemoryError()
        }
        (slots[slot].context, slots[slot].port, slots[slot].route) = (context, port, route)
        try copy(Int(XHCI.Context.size) / 4, from: slotInput, to: context)
        let isBlocked = command.has(XHCI.Flag.blockAddress)
        try setSlotState(
            slot, isBlocked ? XHCI.Context.slotDefault : XHCI.Context.slotAddressed,
            address: isBlocked ? 0 : UInt32(slot + 1))
        if !isBlocked {
            _ = device.control(USBSetup(0, 5, value: UInt16(slot + 1)))
        }
        try enable(slot, 1, input: place(input, 2))
        return XHCI.Completion.success
    }

    private func configure(_ command: XHCIBlock, _ slot: Int) throws(XHCIMemoryError) -> UInt8 {
        guard try slotState(slot) >= XHCI.Context.slotAddressed else { return XHCI.Completion.contextStateError }
        let context = slots[slot].context
        if command.has(XHCI.Flag.blockAddress) {
            for endpoint in 2...XHCI.endpointCount { try disable(slot, endpoint) }
            try setSlotState(slot, XHCI.Context.slotAddressed)
            return XHCI.Completion.success
        }
        let input = command.parameter & ~0xF
        let drop = try loadWord(input), add = try loadWord(input &+ 4)
        // The slot is evaluated, and the control endpoint left alone.
        guard drop & 3 == 0, add & 3 == 1 else { return XHCI.Completion.blockError }
        for endpoint in 2...XHCI.endpointCount {
            let bit: UInt32 = 1 << UInt32(endpoint)
            if drop & bit != 0 { try disable(slot, endpoint) }
            if add & bit != 0 {
                try disable(slot, endpoint)
                try enable(slot, endpoint, input: place(input, endpoint + 1))
            }
        }
        let mask: UInt32 = 0x1F << XHCI.Context.entriesShift
        let entries = try loadWord(place(input, 1)) & mask
        try storeWord(try loadWord(context) & ~mask | entries, context)
        try setSlotState(slot, XHCI.Context.slotConfigured)
        return XHCI.Completion.success
    }

    private func evaluate(_ command: XHCIBlock, _ slot: Int) throws(XHCIMemoryError) -> UInt8 {
        guard slots[slot].context != 0 else { return XHCI.Completion.contextStateError }
        let input = command.parameter & ~0xF
        let drop = try loadWord(input), add = try loadWord(input &+ 4)
        guard drop == 0, add & ~3 == 0 else { return XHCI.Completion.blockError }
        let context = slots[slot].context
        if add & 1 != 0 {
            // The latency, and the interrupter.
            let latency = try loadWord(place(input, 1) &+ 4) & 0xFFFF, old = try loadWord(context &+ 4)
            try storeWord(old & ~0xFFFF | latency, context &+ 4)
            let target = try loadWord(place(input, 1) &+ 8) & 0xFFC0_0000, other = try loadWord(context &+ 8)
            try storeWord(other & 0x3F_FFFF | target, context &+ 8)
        }
        if add & 2 != 0 {
            // The control endpoint's packet size.
            let size = try loadWord(place(input, 2) &+ 4) & 0xFFFF_0000, old = try loadWord(place(context, 1) &+ 4)
            try storeWord(old & 0xFFFF | size, place(context, 1) &+ 4)
        }
        return XHCI.Completion.success
    }

    private func resetDevice(_ slot: Int) throws(XHCIMemoryError) -> UInt8 {
        guard try slotState(slot) >= XHCI.Context.slotAddressed else { return XHCI.Completion.contextStateError }
        for endpoint in 2...XHCI.endpointCount { try disable(slot, endpoint) }
        try setSlotState(slot, XHCI.Context.slotDefault, address: 0)
        return XHCI.Completion.success
    }

    // MARK: endpoints

    private func resetEndpoint(_ slot: Int, _ endpoint: Int) throws(XHCIMemoryError) -> UInt8 {
        guard slots[slot].endpoints[endpoint - 1]?.state == .halted else { return XHCI.Completion.contextStateError }
        slots[slot].endpoints[endpoint - 1]?.state = .stopped
        try update(slot, endpoint)
        return XHCI.Completion.success
    }

    private func stopEndpoint(_ slot: Int, _ endpoint: Int) throws(XHCIMemoryError) -> UInt8 {
        guard let old = slots[slot].endpoints[endpoint - 1], old.state == .running else {
            return XHCI.Completion.contextStateError
        }
        // The transfer that waits is told of, and stays the first (4.6.9).
        var ring = old.ring
        if old.isWaiting, let block = try ring.next(memory) {
            post(
                XHCIInterrupter.Event(
                    XHCI.BlockType.transferEvent, parameter: block.address, code: XHCI.Completion.stopped,
                    length: block.length, slot: slot + 1, endpoint: endpoint), to: block.interrupter)
        }
        slots[slot].endpoints[endpoint - 1]?.state = .stopped
        slots[slot].endpoints[endpoint - 1]?.isWaiting = false
        try update(slot, endpoint)
        return XHCI.Completion.success
    }

    private func setDequeue(_ command: XHCIBlock, _ slot: Int, _ endpoint: Int) throws(XHCIMemoryError) -> UInt8 {
        guard let old = slots[slot].endpoints[endpoint - 1], old.state == .stopped || old.state == .error else {
            return XHCI.Completion.contextStateError
        }
        // Bits 3:1 name a kind of stream, of which there are none.
        slots[slot].endpoints[endpoint - 1]?.ring = XHCIRing(pointer: command.parameter & ~0xE)
        slots[slot].endpoints[endpoint - 1]?.isWaiting = false
        try update(slot, endpoint)
        return XHCI.Completion.success
    }

    /// GET PORT BANDWIDTH: four fifths of each port are free.
    private func reportBandwidth(_ command: XHCIBlock) throws(XHCIMemoryError) -> UInt8 {
        let share: UInt8 = 80
        do {
            try memory.write([0] + [UInt8](repeating: share, count: portTotal), at: command.parameter & ~0xF)
        } catch { throw XHCIMemoryError() }
        return XHCI.Completion.success
    }
}
