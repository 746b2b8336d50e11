// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding

/// Message-signalled interrupts with the message in configuration space (PCI Local Bus 3.0, 6.8.1).
public final class MSICapability {
    private enum Control {
        static let enable: UInt16 = 1
        static let multipleCapableShift: UInt16 = 1
        static let multipleEnableMask: UInt16 = 7 << 4
        static let is64Bit: UInt16 = 1 << 7
        static let maskable: UInt16 = 1 << 8
    }

    /// Messages the function can send: a power of two up to 32.
    public let vectorCount: Int
    /// Where it stands in configuration space.
    public let offset: Int
    /// Masked per message, with pending bits.
    public let isMaskable: Bool
    /// The guest enabled it.
    public private(set) var isEnabled = false
    private let dataOffset: Int

    var range: Range<Int> { offset..<(isMaskable ? dataOffset + 12 : dataOffset + 2) }

    init(device: PCIDevice, vectorCount: Int, isMaskable: Bool) {
        precondition(vectorCount > 0 && vectorCount <= 32 && vectorCount.nonzeroBitCount == 1)
        self.vectorCount = vectorCount
        self.isMaskable = isMaskable
        var body = ByteBuilder()
        var control = Control.is64Bit | UInt16(vectorCount.trailingZeroBitCount) << Control.multipleCapableShift
        if isMaskable { control |= Control.maskable }
        body.append(control)
        body.pad(to: isMaskable ? 22 : 12)
        offset = device.addCapability(PCICapabilityID.msi, body: body.bytes)
        dataOffset = offset + 12
        device.config.setWritable(offset + 2, Control.enable | Control.multipleEnableMask)
        device.config.setWritable(offset + 4, UInt32.max & ~3)
        device.config.setWritable(offset + 8, UInt32.max)
        device.config.setWritable(dataOffset, UInt16.max)
        if isMaskable { device.config.setWritable(offset + 16, UInt32.max >> UInt32(32 - vectorCount)) }
    }

    /// Messages the guest allows.
    public func enabledVectors(of device: PCIDevice) -> Int {
        let control: UInt16 = device.config.get(offset + 2)
        return min(vectorCount, 1 << Int((control & Control.multipleEnableMask) >> 4))
    }

    /// Sends message `vector`, or leaves it pending while it is masked.
    public func notify(_ vector: Int, from device: PCIDevice) {
        guard isEnabled else { return }
        let allowed = enabledVectors(of: device)
        let number = min(max(vector, 0), allowed - 1)
        if isMaskable {
            let bit = UInt32(1) << UInt32(number)
            if device.config.get(offset + 16, as: UInt32.self) & bit != 0 {
                device.config.set(offset + 20, device.config.get(offset + 20, as: UInt32.self) | bit)
                return
            }
        }
        let address =
            UInt64(device.config.get(offset + 4, as: UInt32.self))
            | UInt64(device.config.get(offset + 8, as: UInt32.self)) << 32
        let data = UInt32(device.config.get(dataOffset, as: UInt16.self))
        device.send(address: address, data: data & ~UInt32(allowed - 1) | UInt32(number))
    }

    func configWritten(_ device: PCIDevice) {
        let enabled = device.config.get(offset + 2, as: UInt16.self) & Control.enable != 0
        if enabled != isEnabled {
            isEnabled = enabled
            device.updateInterrupt()
        }
        guard isMaskable, isEnabled else { return }
        let ready = device.config.get(offset + 20, as: UInt32.self) & ~device.config.get(offset + 16, as: UInt32.self)
        guard ready != 0 else { return }
        device.config.set(offset + 20, device.config.get(offset + 20, as: UInt32.self) & ~ready)
        for vector in 0..<vectorCount where ready & (1 << UInt32(vector)) != 0 { notify(vector, from: device) }
    }

    func reset(_ device: PCIDevice) {
        device.config.clearGuestBits(in: range)
        if isMaskable { device.config.set(offset + 20, UInt32(0)) }
        isEnabled = false
    }
}

extension PCIDevice {
    /// Adds message-signalled interrupts with 64-bit addresses.
    /// - Parameter vectorCount: a power of two up to 32.
    public func addMSI(vectorCount: Int, isMaskable: Bool = true) {
        msi = MSICapability(device: self, vectorCount: vectorCount, isMaskable: isMaskable)
    }
}
