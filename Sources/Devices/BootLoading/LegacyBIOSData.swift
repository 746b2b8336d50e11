// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import GuestMemory

/// The BIOS data area as a BIOS leaves it before it starts a loader: kernels of the multiboot and PVH protocols look there
/// for the end of conventional memory before they put code of theirs below it (Xen, BSDs). The vectors of real mode all lead
/// to an IRET, so that a program that goes back to real mode survives an interrupt or a call of the BIOS that is not there.
enum LegacyBIOSData {
    private static let address: UInt64 = 0x400
    private static let byteCount = 0x100
    private static let serialPorts = 0x00, extendedSegment = 0x0E, equipment = 0x10, memorySize = 0x13
    private static let extendedArea: UInt64 = 0x9_FC00
    /// Floating-point unit, 80x25 colour text, one serial port.
    private static let equipmentWord: UInt16 = 0x0222
    private static let firstSerialPort: UInt16 = 0x3F8
    private static let vectorCount = 256
    /// Of the extended area: its size in KiB, and the IRET of all vectors.
    private static let returnOffset = 16, returnInstruction: UInt8 = 0xCF

    /// Writes the area, and the size of the extended one in its first byte.
    static func place(into memory: GuestMemory) throws(BootError) {
        var bytes = [UInt8](repeating: 0, count: byteCount)
        bytes.store(firstSerialPort, at: serialPorts)
        bytes.store(UInt16(extendedArea >> 4), at: extendedSegment)
        bytes.store(equipmentWord, at: equipment)
        // KiB of conventional memory.
        bytes.store(UInt16(extendedArea >> 10), at: memorySize)
        try memory.place(bytes, at: address, as: "BIOS data area")
        var extended = [UInt8](repeating: 0, count: returnOffset + 1)
        extended[0] = 1
        extended[returnOffset] = returnInstruction
        try memory.place(extended, at: extendedArea, as: "extended BIOS data area")
        var vectors = ByteBuilder()
        for _ in 0..<vectorCount {
            vectors.append(UInt16(returnOffset))
            vectors.append(UInt16(extendedArea >> 4))
        }
        try memory.place(vectors.bytes, at: 0, as: "interrupt vectors")
    }
}
