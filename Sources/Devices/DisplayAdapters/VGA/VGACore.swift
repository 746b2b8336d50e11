// SPDX-License-Identifier: Apache-2.0

public import DisplaySurfaces

/// A standard VGA with Bochs's extension, without the bus that it sits on.
///
/// The video memory holds four bytes for each address of the planar modes, one a plane; modes with linear pixels use it
/// byte by byte. All is guarded by the machine lock, but for what the guest writes through the linear frame buffer.
@safe
public final class VGACore {
    /// The registers.
    public internal(set) var state = VGAState()
    /// Video memory of `memoryCount` bytes, alive as long as the guest's memory.
    let memory: UnsafeMutableRawPointer
    /// Bytes of video memory; a power of two from 256 KiB.
    public let memoryCount: Int
    private let owner: AnyObject
    /// The index port of Bochs's extension.
    var extensionIndex: UInt16 {
        get { state.extensionIndex }
        set { state.extensionIndex = newValue }
    }
    /// The low byte of a register that is written through memory.
    var pendingLow: UInt8 = 0
    /// For the blinking of text and cursor: how often the screen was drawn.
    var frames = 0
    /// The size that a window has; reported by EDID.
    public internal(set) var preferred = (width: 1280, height: 800)

    /// - Parameters:
    ///   - memory: `count` bytes.
    ///   - owner: keeps them.
    public init(memory: UnsafeMutableRawPointer, count: Int, owner: AnyObject) {
        precondition(count >= 256 << 10 && count & (count - 1) == 0)
        unsafe self.memory = memory
        memoryCount = count
        self.owner = owner
        reset()
    }

    /// Power-on; what the memory holds stays.
    public func reset() {
        state = VGAState()
        state.bochs[BochsRegister.memory] = UInt16(clamping: memoryCount >> 16)
    }

    // MARK: Video memory by plane and by byte

    func byte(_ place: Int) -> UInt8 {
        // Masked to the memory's size, a power of two.
        unsafe memory.load(fromByteOffset: place & (memoryCount - 1), as: UInt8.self)
    }

    func setByte(_ place: Int, _ value: UInt8) {
        // As in byte(_:).
        unsafe memory.storeBytes(of: value, toByteOffset: place & (memoryCount - 1), as: UInt8.self)
    }

    /// The four planes at an address.
    func planes(_ address: Int) -> UInt32 {
        // Masked to whole words of the memory.
        unsafe UInt32(
            littleEndian: memory.load(fromByteOffset: (address &* 4) & (memoryCount - 4), as: UInt32.self))
    }

    func setPlanes(_ address: Int, _ value: UInt32) {
        // As in planes(_:).
        unsafe memory.storeBytes(
            of: value.littleEndian, toByteOffset: (address &* 4) & (memoryCount - 4), as: UInt32.self)
    }
}

extension VGACore: ResizableDisplaySource {
    /// Kept within 64...4095 each way, and told to the guest by EDID.
    public func suggestSize(width: Int, height: Int) {
        preferred = (max(64, min(width, 4095)), max(64, min(height, 4095)))
    }
}
