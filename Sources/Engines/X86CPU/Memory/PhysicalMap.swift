// SPDX-License-Identifier: Apache-2.0

internal import CPUInterface
internal import CX86Native
internal import GuestMemory
internal import MachineModel

/// One region of guest memory in a form that is copied without reference counting. The host memory lives as long as the
/// machine's `GuestMemory`, which the processor's environment holds.
struct PhysicalRange {
    var start: UInt64
    var count: UInt64
    var host: UnsafeMutableRawPointer
    /// `GuestMemory.PageFlags`, a byte a page.
    var flags: UnsafeMutablePointer<UInt8>
    var isReadOnly: Bool
}

/// Where a guest-physical page lies in the host.
struct HostPage {
    /// The first byte of the page.
    var host: UnsafeMutableRawPointer
    var flags: UnsafeMutablePointer<UInt8>
    var isReadOnly: Bool
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// The memory behind the page of a guest-physical address; nil for devices and holes.
    @inline(__always)
    func hostPage(_ physical: UInt64) -> HostPage? {
        let mmu = pointee.mmu
        let page = physical & ~4095
        for index in 0..<mmu.pointee.rangeCount {
            let range = mmu.pointee.ranges + index
            let offset = page &- range.pointee.start
            if offset < range.pointee.count {
                return HostPage(
                    host: range.pointee.host + Int(truncatingIfNeeded: offset),
                    flags: range.pointee.flags + Int(truncatingIfNeeded: offset >> 12),
                    isReadOnly: range.pointee.isReadOnly)
            }
        }
        return nil
    }

    /// Reads `size` bytes (1...8) at a guest-physical address that lie in one page.
    @inline(never)
    func readPhysical(_ physical: UInt64, size: Int) -> UInt64 {
        if physical & ~4095 == pointee.mmu.pointee.controllerPage {
            return cpu.localController?.readRegister(offset: physical & 4095, size: size) ?? .max
        }
        guard let page = hostPage(physical) else { return readDevice(physical, size: size) }
        let place = page.host + Int(physical & 4095)
        switch size {
        case 1: return UInt64(place.load(as: UInt8.self))
        case 2: return UInt64(place.loadUnaligned(as: UInt16.self))
        case 4: return UInt64(place.loadUnaligned(as: UInt32.self))
        case 8: return place.loadUnaligned(as: UInt64.self)
        default:
            var value: UInt64 = 0
            withUnsafeMutableBytes(of: &value) { $0.baseAddress!.copyMemory(from: place, byteCount: size) }
            return value
        }
    }

    /// Writes the low `size` bytes (1...8) of a value at a guest-physical address, all in one page. ROM stays as it is.
    @inline(never)
    func writePhysical(_ physical: UInt64, size: Int, value: UInt64) {
        if physical & ~4095 == pointee.mmu.pointee.controllerPage {
            cpu.localController?.writeRegister(offset: physical & 4095, size: size, value: value)
            return
        }
        guard let page = hostPage(physical), !page.isReadOnly else {
            return writeDevice(physical, size: size, value: value)
        }
        let place = page.host + Int(physical & 4095)
        switch size {
        case 1: place.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
        case 2: place.storeBytes(of: UInt16(truncatingIfNeeded: value), as: UInt16.self)
        case 4: place.storeBytes(of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
        case 8: place.storeBytes(of: value, as: UInt64.self)
        default: withUnsafeBytes(of: value) { place.copyMemory(from: $0.baseAddress!, byteCount: size) }
        }
        notePhysicalWrite(page, physical, count: size)
    }

    /// Keeps the page's flags after a write that did not go through a TLB.
    @inline(__always)
    func notePhysicalWrite(_ page: HostPage, _ physical: UInt64, count: Int) {
        // The OR is also the barrier between the write and the look at the flag that a decoder sets before it reads.
        let flags = GuestMemory.PageFlags(
            rawValue: roost_atomic_or8(page.flags, GuestMemory.PageFlags.dirty.rawValue))
        if flags.contains(.code) {
            cpu.codePages.written(page: physical >> 12, offset: Int(physical & 4095), count: count, by: cpu)
        }
    }

    /// Devices know accesses of 1, 2, 4 and 8 bytes; the odd rest of a page-crossing access is made of those.
    private func readDevice(_ physical: UInt64, size: Int) -> UInt64 {
        let devices = cpu.environment.devices
        if size.nonzeroBitCount == 1 { return devices.read(physical, size: size) }
        var value: UInt64 = 0
        for byte in 0..<UInt64(size) { value |= (devices.read(physical &+ byte, size: 1) & 0xFF) << (byte * 8) }
        return value
    }

    private func writeDevice(_ physical: UInt64, size: Int, value: UInt64) {
        let devices = cpu.environment.devices
        if size.nonzeroBitCount == 1 {
            devices.write(physical, size: size, value: value)
        } else {
            for byte in 0..<UInt64(size) {
                devices.write(physical &+ byte, size: 1, value: value >> (byte * 8) & 0xFF)
            }
        }
        // A flash chip's next read, maybe in this very block, must not find the memory that the write took away.
        if pointee.attention & Attention.reconfigured != 0 { cpu.applyReconfiguration() }
    }
}
