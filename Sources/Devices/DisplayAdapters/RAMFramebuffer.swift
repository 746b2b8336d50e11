// SPDX-License-Identifier: Apache-2.0

public import DisplaySurfaces
public import GuestMemory

/// QEMU's ramfb: firmware names a frame buffer in guest memory through the fw_cfg file "etc/ramfb".
public final class RAMFramebuffer: DisplaySource {
    /// The file's name and its bytes before firmware writes them.
    public static let fileName = "etc/ramfb", fileCount = 28
    private static let xrgb: UInt32 = 0x3432_5258, argb: UInt32 = 0x3432_5241
    private let memory: GuestMemory
    private let configuration: () -> [UInt8]?

    /// - Parameter configuration: the file's bytes as they are now.
    public init(memory: GuestMemory, configuration: @escaping () -> [UInt8]?) {
        self.memory = memory
        self.configuration = configuration
    }

    /// Draws nothing until firmware wrote a configuration that makes sense.
    public func draw(into image: inout DisplayImage) {
        guard let bytes = configuration(), bytes.count >= Self.fileCount else { return }
        func number(_ place: Int, _ count: Int) -> UInt64 {
            bytes[place..<place + count].reduce(0) { $0 << 8 | UInt64($1) }
        }
        let address = number(0, 8), format = UInt32(number(8, 4))
        let width = Int(number(16, 4)), height = Int(number(20, 4))
        guard address != 0, format == Self.xrgb || format == Self.argb,
            (1...DisplayImage.largestSide).contains(width), (1...DisplayImage.largestSide).contains(height)
        else { return }
        let stride = number(24, 4) == 0 ? UInt64(width * 4) : number(24, 4)
        image.resize(width: width, height: height)
        for y in 0..<height {
            // Rows that are no memory stay as they were.
            guard let row = try? memory.read(at: address &+ UInt64(y) &* stride, count: width * 4) else { continue }
            for x in 0..<width {
                image.pixels[y * width + x] =
                    UInt32(row[x * 4]) | UInt32(row[x * 4 + 1]) << 8 | UInt32(row[x * 4 + 2]) << 16
            }
        }
    }
}
