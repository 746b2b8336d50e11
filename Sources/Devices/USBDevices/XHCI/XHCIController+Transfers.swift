// SPDX-License-Identifier: Apache-2.0

internal import GuestMemory
internal import MachineModel

/// The endpoints' rings (xHCI 1.1, 4.11).
extension XHCIController {
    /// Transfers of one endpoint, and blocks of one transfer, before others get their turn.
    private static let transfersInTurn = 64, blocksInTransfer = 1024
    private static let longestTransfer = 16 << 20
    private static let pause: UInt64 = 100_000

    /// What became of one transfer.
    private enum Progress { case done, waits, halted }

    public func endpointReady(_ device: USBDevice, endpoint: Int, direction: USBDirection) {
        guard isRunning, !wakeSuspended(device), let hub = hubPort(of: device),
            let slot = slots.firstIndex(where: { slot in
                slot.isEnabled && slot.port == hub + 1
                    && self.device(atHubPort: slot.port, route: slot.route) === device
            })
        else { return }
        let index = endpoint == 0 ? 1 : endpoint * 2 + (direction == .in ? 1 : 0)
        guard slots[slot].endpoints[index - 1]?.isWaiting == true || isWorking else { return }
        kick(slot + 1, index)
        if !isWorking { work() }
    }

    /// The driver woke a device: what waits behind its port is tried again.
    func deviceWoke(_ hub: Int) {
        for (number, slot) in slots.enumerated() where slot.isEnabled && slot.port == hub + 1 {
            for (index, endpoint) in slot.endpoints.enumerated() where endpoint?.isWaiting == true {
                kick(number + 1, index + 1)
            }
        }
        work()
    }

    /// Notes an endpoint that is to be worked on, once.
    func kick(_ slot: Int, _ endpoint: Int) {
        guard !pendingKicks.contains(where: { $0.slot == slot && $0.endpoint == endpoint }) else { return }
        pendingKicks.append((slot, endpoint))
    }

    /// Works on the endpoints that somebody asked for.
    func work() {
        guard !isWorking else { return }
        isWorking = true
        defer { isWorking = false }
        var turns = Self.transfersInTurn
        while let next = pendingKicks.first {
            guard isRunning else { return pendingKicks.removeAll() }
            guard turns > 0 else {
                // Rings without end leave time for the rest of the machine.
                laterTimer?.arm(at: clock.now &+ Self.pause)
                return
            }
            pendingKicks.removeFirst()
            do throws(XHCIMemoryError) {
                if try runEndpoint(next.slot - 1, next.endpoint, &turns) { kick(next.slot, next.endpoint) }
            } catch { return fail() }
        }
    }

    /// Does the transfers of an endpoint.
    /// - Returns: whether there are more than this turn has time for.
    private func runEndpoint(_ slot: Int, _ number: Int, _ turns: inout Int) throws(XHCIMemoryError) -> Bool {
        guard slots[slot].isEnabled, let endpoint = slots[slot].endpoints[number - 1] else { return false }
        switch endpoint.state {
        case .running: break
        case .stopped:
            slots[slot].endpoints[number - 1]?.state = .running
            try update(slot, number)
        case .disabled, .halted, .error: return false
        }
        while turns > 0 {
            turns -= 1
            guard let ring = slots[slot].endpoints[number - 1]?.ring else { return false }
            var after = ring
            slots[slot].endpoints[number - 1]?.isWaiting = false
            guard let blocks = try transfer(&after, isControl: endpoint.isControl), !blocks.isEmpty else {
                return false
            }
            switch try perform(blocks, slot, number, endpoint) {
            case .done: slots[slot].endpoints[number - 1]?.ring = after
            case .waits:
                slots[slot].endpoints[number - 1]?.isWaiting = true
                return false
            case .halted:
                slots[slot].endpoints[number - 1]?.state = .halted
                try update(slot, number)
                return false
            }
        }
        return true
    }

    /// Takes all blocks of one transfer: those that are chained, and for control transfers from setup to status.
    /// - Returns: nil when the driver has not put all of them there.
    private func transfer(_ ring: inout XHCIRing, isControl: Bool) throws(XHCIMemoryError) -> [XHCIBlock]? {
        var blocks: [XHCIBlock] = []
        var awaitsStatus = false
        while blocks.count < Self.blocksInTransfer {
            guard let block = try ring.next(memory) else { return nil }
            blocks.append(block)
            if isControl, block.type == XHCI.BlockType.setup { awaitsStatus = true }
            if block.type == XHCI.BlockType.status { awaitsStatus = false }
            if !block.has(XHCI.Flag.chain), !awaitsStatus { return blocks }
        }
        throw XHCIMemoryError()
    }

    private func perform(
        _ blocks: [XHCIBlock], _ slot: Int, _ number: Int, _ endpoint: XHCIEndpoint
    ) throws(XHCIMemoryError) -> Progress {
        func report(_ count: Int, _ code: UInt8) { self.report(blocks, count, code, slot, number) }
        if blocks[0].type == XHCI.BlockType.noOperation {
            report(0, XHCI.Completion.success)
            return .done
        }
        guard let device = device(atHubPort: slots[slot].port, route: slots[slot].route) else {
            report(0, XHCI.Completion.transactionError)
            return .halted
        }
        let data = blocks.filter(\.hasData)
        let total = data.reduce(0) { $0 + $1.length }
        guard total <= Self.longestTransfer else { throw XHCIMemoryError() }
        let outcome: USBOutcome
        if endpoint.isControl {
            guard blocks[0].type == XHCI.BlockType.setup,
                blocks.last(where: { $0.type == XHCI.BlockType.status }) != nil
            else {
                report(0, XHCI.Completion.blockError)
                return .halted
            }
            let setup = USBSetup(packet: blocks[0].parameter)
            let sent = setup.isToHost ? [] : try gather(data)
            outcome = device.control(setup, data: Array(sent.prefix(Int(setup.length))))
        } else if endpoint.direction == .in {
            outcome = device.read(endpoint: number >> 1, capacity: total)
        } else {
            outcome = device.write(endpoint: number >> 1, data: try gather(data))
        }
        switch outcome {
        case .data(let bytes):
            try scatter(bytes, data)
            report(min(bytes.count, total), XHCI.Completion.success)
            return .done
        case .taken:
            let isIn = endpoint.isControl ? USBSetup(packet: blocks[0].parameter).isToHost : endpoint.direction == .in
            report(isIn ? 0 : total, XHCI.Completion.success)
            return .done
        case .notReady: return .waits
        case .stalled:
            report(0, XHCI.Completion.stall)
            // A control endpoint comes back with the next setup packet; the rings of all halt.
            return .halted
        }
    }

    // MARK: data

    private func gather(_ blocks: [XHCIBlock]) throws(XHCIMemoryError) -> [UInt8] {
        var bytes: [UInt8] = []
        for block in blocks {
            if block.has(XHCI.Flag.immediate) {
                bytes += (0..<min(block.length, 8)).map { UInt8(truncatingIfNeeded: block.parameter >> UInt64($0 * 8)) }
            } else {
                do { bytes += try memory.read(at: block.parameter, count: block.length) } catch {
                    throw XHCIMemoryError()
                }
            }
        }
        return bytes
    }

    private func scatter(_ bytes: [UInt8], _ blocks: [XHCIBlock]) throws(XHCIMemoryError) {
        var done = 0
        for block in blocks where done < bytes.count {
            let count = min(block.length, bytes.count - done)
            do { try memory.write(Array(bytes[done..<done + count]), at: block.parameter) } catch {
                throw XHCIMemoryError()
            }
            done += count
        }
    }

    // MARK: reports

    /// Tells the driver of a transfer, at the blocks where it wants to hear (4.10.1): at most once a stage.
    /// - Parameter count: bytes that were moved.
    private func report(_ blocks: [XHCIBlock], _ count: Int, _ code: UInt8, _ slot: Int, _ number: Int) {
        var left = count, moved = 0
        var isTold = false, isShort = false
        for block in blocks {
            var part = 0
            switch block.type {
            case XHCI.BlockType.setup, XHCI.BlockType.status: (isTold, isShort) = (false, false)
            case _ where block.hasData:
                part = min(block.length, left)
                left -= part
                moved += part
                if code == XHCI.Completion.success, part < block.length { isShort = true }
            default: break
            }
            let failsHere = code != XHCI.Completion.success && left == 0 && block.type != XHCI.BlockType.setup
            let wanted = block.has(XHCI.Flag.event) || isShort && block.has(XHCI.Flag.shortEvent) || failsHere
            guard wanted, !isTold else { continue }
            isTold = true
            let isData = block.type == XHCI.BlockType.eventData
            post(
                XHCIInterrupter.Event(
                    XHCI.BlockType.transferEvent, parameter: isData ? block.parameter : block.address,
                    code: isShort && code == XHCI.Completion.success ? XHCI.Completion.shortPacket : code,
                    length: isData ? moved : block.length - part, slot: slot + 1, endpoint: number,
                    extra: isData ? XHCI.Flag.isData : 0), to: block.interrupter)
            if isData { moved = 0 }
            if failsHere { return }
        }
    }
}
