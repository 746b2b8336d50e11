// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
public import MachineModel

/// Takes the functions' interrupt pins to the interrupt controllers; the board's south bridge.
public protocol PCIInterruptRouter: AnyObject {
    /// Lines it tells apart (PIRQA and on).
    var interruptLineCount: Int { get }
    /// The line of a slot's pin; `pin` is 0...3 for INTA...INTD.
    func interruptLine(slot: Int, pin: Int) -> Int
    /// The wired-or level of a line changed.
    func setInterruptLine(_ line: Int, level: Bool)
}

/// A device that cannot go where it was asked to.
public struct PCIBusError: Error, Equatable, Sendable, CustomStringConvertible {
    /// QEMU's words for the place that is taken or does not exist.
    public let description: String
    init(_ description: String) { self.description = description }
}

/// A PCI bus: its functions by slot, and what they reach.
///
/// Guarded by the machine lock once the machine runs.
public final class PCIBus: @unchecked Sendable {
    /// "pcie.0" or "pci.0".
    public let name: String
    /// The bus number in configuration addresses: fixed for a root bus, behind a port what the port was given.
    public var number: UInt8 { port?.busNumbers?.lowerBound ?? rootNumber }
    private let rootNumber: UInt8
    /// The port that this bus is behind.
    public internal(set) weak var port: PCIExpressRootPort?
    /// Where port windows are mapped.
    public let ports: AddressSpace
    /// Where memory windows are mapped.
    public let memory: AddressSpace
    /// Where message-signalled interrupts go.
    public let messages: any MessageInterruptSink
    /// Told of the pins; the south bridge sets it.
    public weak var router: (any PCIInterruptRouter)?
    /// Slots from 0 on that devices may be put into: one behind a PCI Express port.
    public internal(set) var slotCount = PCIAddress.slotCount
    private var functions: [PCIAddress: PCIDevice] = [:]
    /// Functions that assert each line.
    private var assertions: [Int] = []

    /// A bus without devices.
    public init(
        name: String, number: UInt8 = 0, ports: AddressSpace, memory: AddressSpace, messages: any MessageInterruptSink
    ) {
        self.name = name
        rootNumber = number
        self.ports = ports
        self.memory = memory
        self.messages = messages
    }

    /// All functions by address.
    public var devices: [PCIDevice] { functions.sorted { $0.key < $1.key }.map(\.value) }

    /// The function at an address.
    public func device(at address: PCIAddress) -> PCIDevice? { functions[address] }

    /// Puts a function on the bus.
    /// - Parameter wanted: nil for function 0 of the first slot that is empty.
    /// - Throws: the place is taken, the bus is full, or the slot's function 0 says that it is alone.
    public func add(_ device: PCIDevice, at wanted: PCIAddress? = nil) throws(PCIBusError) {
        let address: PCIAddress
        if let wanted, wanted.slot >= slotCount {
            throw PCIBusError(
                "PCI: slot \(wanted.slot) is not valid for \(device.name), parent device only allows plugging into slot 0."
            )
        }
        if let wanted { address = wanted } else { address = try firstFree(for: device) }
        if let other = functions[address] {
            throw PCIBusError(
                "PCI: slot \(address.slot) function \(address.function) not available for \(device.name), "
                    + "in use by \(other.name),id=\(other.identifier ?? "(null)")")
        }
        let slot = String(address.slot, radix: 16)
        let first = PCIAddress(packed: UInt8(address.slot << 3))
        if address.function != 0, let head = functions[first], !head.isMultifunction {
            throw PCIBusError(
                "PCI: \(slot).0 indicates single function, but \(slot).\(address.function) is already populated.")
        }
        if address.function == 0, !device.isMultifunction,
            let other = functions.keys.first(where: { $0.slot == address.slot })
        {
            throw PCIBusError(
                "PCI: \(slot).0 indicates single function, but \(slot).\(other.function) is already populated.")
        }
        functions[address] = device
        device.bus = self
        device.address = address
        device.updateMappings()
    }

    private func firstFree(for device: PCIDevice) throws(PCIBusError) -> PCIAddress {
        for slot in 0..<slotCount where !functions.keys.contains(where: { $0.slot == slot }) {
            return PCIAddress(packed: UInt8(slot << 3))
        }
        throw PCIBusError("PCI: no slot/function available for \(device.name), all in use or reserved")
    }

    /// Takes a function off the bus.
    public func remove(_ device: PCIDevice) {
        guard functions[device.address] === device else { return }
        setInterrupt(of: device, level: false)
        device.unmapAll()
        functions[device.address] = nil
        device.bus = nil
        device.removed()
    }

    /// Resets every function.
    public func reset() {
        for device in devices { device.reset() }
    }

    // MARK: Configuration accesses

    /// Reads 1, 2 or 4 bytes of configuration space; all ones where there is no function.
    public func readConfig(bus: UInt8, function: PCIAddress, offset: Int, size: Int) -> UInt32 {
        guard let device = self.function(bus, function), offset >= 0, offset < device.config.count else { return .max }
        let value = device.readConfig(offset: offset, size: size)
        Trace.emit(
            .pciConfigurationRead,
            "\(device.name) \(function) @0x\(String(offset, radix: 16)) -> 0x\(String(value, radix: 16))")
        return value
    }

    /// Writes 1, 2 or 4 bytes of configuration space; dropped where there is no function.
    public func writeConfig(bus: UInt8, function: PCIAddress, offset: Int, size: Int, value: UInt32) {
        guard let device = self.function(bus, function), offset >= 0, offset < device.config.count else { return }
        Trace.emit(
            .pciConfigurationWrite,
            "\(device.name) \(function) @0x\(String(offset, radix: 16)) <- 0x\(String(value, radix: 16))")
        device.writeConfig(offset: offset, size: size, value: value)
    }

    /// The ports to further buses.
    public var rootPorts: [PCIExpressRootPort] { devices.compactMap { $0 as? PCIExpressRootPort } }

    /// A function here, or behind the port that has this bus number.
    private func function(_ bus: UInt8, _ place: PCIAddress) -> PCIDevice? {
        if bus == rootNumber { return functions[place] }
        for case let port as PCIExpressRootPort in functions.values where port.busNumbers?.contains(bus) == true {
            return port.busNumbers?.lowerBound == bus ? port.secondaryBus.functions[place] : nil
        }
        return nil
    }

    // MARK: Interrupt pins

    func setInterrupt(of device: PCIDevice, level: Bool) {
        guard level != (device.assertedLine != nil) else { return }
        if let line = device.assertedLine {
            device.assertedLine = nil
            change(line, by: -1)
        } else if let router, (1...4).contains(device.interruptPin) {
            let line = router.interruptLine(slot: device.address.slot, pin: device.interruptPin - 1)
            device.assertedLine = line
            change(line, by: 1)
        }
    }

    /// The router maps pins otherwise than before: lines that are up move along.
    public func interruptRoutingChanged() {
        for device in functions.values where device.assertedLine != nil {
            setInterrupt(of: device, level: false)
            setInterrupt(of: device, level: true)
        }
        for port in rootPorts { port.secondaryBus.interruptRoutingChanged() }
    }

    func change(_ line: Int, by difference: Int) {
        guard let router, line >= 0, line < router.interruptLineCount else { return }
        while assertions.count < router.interruptLineCount { assertions.append(0) }
        let before = assertions[line] > 0
        assertions[line] += difference
        let after = assertions[line] > 0
        if before != after { router.setInterruptLine(line, level: after) }
    }
}
