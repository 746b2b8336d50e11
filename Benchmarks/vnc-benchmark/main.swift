// SPDX-License-Identifier: Apache-2.0

internal import CharacterStreams
internal import DisplaySurfaces
internal import Glibc
internal import HostIO
internal import HostSystem
internal import VNCServer

// A screen of 1280x800 that changes all the time, shown to one viewer on this host: how many pictures a second come
// through, and what they cost the server. The viewer's own thread is not counted.

/// A screen that moves.
final class MovingScreen: DisplaySource {
    enum Kind: String, CaseIterable { case text, window, film }
    let kind: Kind
    private var frame = 0
    private var seed: UInt32 = 1
    init(_ kind: Kind) { self.kind = kind }

    func draw(into image: inout DisplayImage) {
        image.resize(width: 1280, height: 800)
        frame += 1
        switch kind {
        case .text:
            // Lines of a terminal that scrolls.
            for row in 0..<800 {
                let line = (row + frame * 16) / 16
                for column in 0..<1280 {
                    let ink = (line &* 2_654_435_761 ^ column / 8 &* 40503) >> (row % 8 + column % 8) & 3 == 0
                    image.pixels[row * 1280 + column] = ink ? 0xC0C0C0 : 0
                }
            }
        case .window:
            for index in image.pixels.indices { image.pixels[index] = 0x204060 }
            let left = frame * 7 % 700
            for row in 100..<600 {
                for column in left..<left + 500 {
                    image.pixels[row * 1280 + column] = row < 120 ? 0xDDDDDD : (column - left) % 50 == 0 ? 0 : 0xFFFFFF
                }
            }
        case .film:
            for index in image.pixels.indices {
                seed = seed &* 1_664_525 &+ 1_013_904_223
                image.pixels[index] = seed >> 8
            }
        }
    }
}

/// Processor time in nanoseconds.
func time(_ clock: clockid_t) -> UInt64 {
    var value = timespec()
    // The call fills the struct of this frame.
    unsafe clock_gettime(clock, &value)
    return UInt64(value.tv_sec) * 1_000_000_000 + UInt64(value.tv_nsec)
}

/// A viewer that reads whole updates of known encodings by their lengths alone is a viewer again; this one reads what
/// comes, and asks for more whenever a picture is complete, which raw and single zlib rectangles tell by their header.
final class Viewer {
    private let file: FileDescriptor
    private var buffer = [UInt8](repeating: 0, count: 1 << 20)
    private var start = 0, end = 0
    var pictures = 0

    init(_ path: String, encoding: Int32) throws {
        file = FileDescriptor(owning: socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0))
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
        // sockaddr_un begins as every sockaddr does.
        let status = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(file.number, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard status == 0 else { throw Errno.current }
        try file.writeAll(Array("RFB 003.008\n".utf8) + [1, 1])
        skip(12 + 2 + 4 + 20)
        skip(number(4))
        let bits = UInt32(bitPattern: encoding)
        try file.writeAll(
            [2, 0, 0, 2] + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: bits >> UInt32($0)) } + [0, 0, 0, 0])
    }

    private func byte() -> UInt8 {
        if start == end {
            start = 0
            // At most the buffer is filled.
            end = unsafe max(
                0, buffer.withUnsafeMutableBytes { unsafe Glibc.read(file.number, $0.baseAddress, $0.count) })
            if end == 0 { exit(1) }
        }
        defer { start += 1 }
        return buffer[start]
    }
    private func number(_ count: Int) -> Int { (0..<count).reduce(0) { value, _ in value << 8 | Int(byte()) } }
    private func skip(_ count: Int) {
        var left = count
        while left > 0 {
            if start == end { _ = byte(); left -= 1 }
            let part = min(left, end - start)
            start += part
            left -= part
        }
    }

    /// Asks for a picture and takes it.
    func next() throws {
        try file.writeAll([3, pictures == 0 ? 0 : 1, 0, 0, 0, 0, 0x05, 0, 0x03, 0x20])
        _ = number(2)
        for _ in 0..<number(2) {
            _ = number(4)
            let width = number(2), height = number(2)
            switch number(4) {
            case 0: skip(width * height * 4)
            case 7: skipTight(width, height)
            default: skip(number(4))
            }
        }
        pictures += 1
    }

    private func skipTight(_ width: Int, _ height: Int) {
        let control = byte()
        if control & 0x80 != 0 { return skip(3) }
        var line = width * 3
        if control & 0x40 != 0 {
            _ = byte()
            let colours = Int(byte()) + 1
            skip(colours * 3)
            line = colours == 2 ? (width + 7) / 8 : width
        }
        if line * height < 12 { return skip(line * height) }
        var length = 0
        for shift in [0, 7, 14] {
            let part = Int(byte())
            length |= (shift == 14 ? part : part & 0x7F) << shift
            if part & 0x80 == 0 || shift == 14 { break }
        }
        skip(length)
    }
}

let seconds = 4.0
let path = "/tmp/vnc-benchmark.\(getpid())"
for kind in MovingScreen.Kind.allCases {
    for (name, encoding) in [("raw", Int32(0)), ("tight", 7), ("zrle", 16)] {
        let loop = try EventLoop(), lock = Lock()
        let screen = MovingScreen(kind)
        let console = DisplayConsole(name: "VGA", source: screen, machineLock: lock)
        let settings = VNCSettings(identifier: "bench", addresses: [.unix(path: path, isAbstract: false)])
        let server = try VNCServer(settings, console: console, router: InputRouter(machineLock: lock), loop: loop)
        let thread = try HostThread(name: "loop") { loop.run() }
        let viewer = try Viewer(path, encoding: encoding)
        for _ in 0..<5 { try viewer.next() }
        // What drawing alone costs is not the server's.
        var image = DisplayImage(width: 1280, height: 800)
        let drawStart = time(CLOCK_THREAD_CPUTIME_ID)
        for _ in 0..<10 { screen.draw(into: &image) }
        let drawing = Double(time(CLOCK_THREAD_CPUTIME_ID) - drawStart) / 10
        let wall = monotonicNanoseconds(), process = time(CLOCK_PROCESS_CPUTIME_ID), own = time(CLOCK_THREAD_CPUTIME_ID)
        let first = viewer.pictures
        while Double(monotonicNanoseconds() - wall) < seconds * 1e9 { try viewer.next() }
        let elapsed = Double(monotonicNanoseconds() - wall)
        let used = Double(time(CLOCK_PROCESS_CPUTIME_ID) - process) - Double(time(CLOCK_THREAD_CPUTIME_ID) - own)
        let pictures = Double(viewer.pictures - first)
        let rate = (pictures / elapsed * 1e10).rounded() / 10
        let share = ((used - drawing * pictures) / elapsed * 1000).rounded() / 10
        print("\(kind.rawValue) \(name): \(rate) pictures a second, \(share) % of a core")
        server.close()
        loop.stop()
        thread.join()
    }
}
