// SPDX-License-Identifier: Apache-2.0

internal import MachineRuntime
internal import HostSystem
internal import MachineModel
internal import CPUInterface
internal import GuestMemory

/// A number in hexadecimal with leading zeroes.
func hex(_ number: some BinaryInteger, _ width: Int) -> String {
    let text = String(number, radix: 16)
    return String(repeating: "0", count: max(0, width - text.utf8.count)) + text
}

/// Reads and writes guest memory for monitors and debuggers. Processors are parked for linear addresses.
struct MemoryInspector {
    private let machine: any ControlledMachine
    private static let pageSize: UInt64 = 4096
    /// More is never needed at once, and keeps a client from asking for the host's whole memory.
    static let mostBytes = 16 << 20

    init(_ machine: any ControlledMachine) { self.machine = machine }

    /// Bytes of RAM or ROM, or of device registers for 1, 2, 4 and 8 bytes; nil where nothing is.
    func readPhysical(_ address: UInt64, count: Int) -> [UInt8]? {
        guard (0...Self.mostBytes).contains(count) else { return nil }
        if let bytes = try? machine.memory.read(at: address, count: count) { return bytes }
        guard let devices = machine.memoryDevices, [1, 2, 4, 8].contains(count),
            machine.runner.lock.withLock({ devices.mapping(at: address) }) != nil
        else { return nil }
        let value = devices.read(address, size: count)
        return (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64($0 * 8)) }
    }

    /// Bytes by linear address through the current page tables; nil where a page is missing.
    func readLinear(_ address: UInt64, count: Int, on processor: any VirtualCPU) -> [UInt8]? {
        guard (0...Self.mostBytes).contains(count) else { return nil }
        var bytes: [UInt8] = []
        while bytes.count < count {
            let place = address &+ UInt64(bytes.count)
            let part = min(count - bytes.count, Int(Self.pageSize - place % Self.pageSize))
            guard let physical = processor.physicalAddress(ofLinear: place),
                let read = readPhysical(physical, count: part)
            else { return nil }
            bytes += read
        }
        return bytes
    }

    /// Writes by linear address, also into ROM, as a debugger's breakpoint needs.
    /// - Returns: false where a page is missing; earlier pages are written then.
    func writeLinear(_ address: UInt64, _ bytes: [UInt8], on processor: any VirtualCPU) -> Bool {
        var done = 0
        while done < bytes.count {
            let place = address &+ UInt64(done)
            let part = min(bytes.count - done, Int(Self.pageSize - place % Self.pageSize))
            guard let physical = processor.physicalAddress(ofLinear: place),
                writePhysical(physical, Array(bytes[done..<done + part]))
            else { return false }
            done += part
        }
        return true
    }

    /// Writes by guest-physical address, also into ROM and device registers.
    func writePhysical(_ address: UInt64, _ bytes: [UInt8]) -> Bool {
        do {
            try machine.memory.write(bytes, at: address, force: true)
            return true
        } catch {
            // Not memory: device registers take the sizes that the bus has.
            guard let devices = machine.memoryDevices, [1, 2, 4, 8].contains(bytes.count) else { return false }
            let value = bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            devices.write(address, size: bytes.count, value: value)
            return true
        }
    }
}
