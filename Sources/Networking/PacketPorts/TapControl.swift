// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Diagnostics
internal import Glibc
internal import HostSystem

/// The tun driver's ioctls (linux/if_tun.h). Its structures are laid out by hand: `struct ifreq` is a union that Swift
/// sees no fields of.
enum TapControl {
    enum Flag {
        static let tap: UInt16 = 0x0002, noInformation: UInt16 = 0x1000, header: UInt16 = 0x4000
    }
    private enum Request {
        static let setInterface: UInt = 0x4004_54CA, getFeatures: UInt = 0x8004_54CF
        static let setOffload: UInt = 0x4004_54D0, getInterface: UInt = 0x8004_54D2
        static let setSendBuffer: UInt = 0x4004_54D4, setHeaderSize: UInt = 0x4004_54D8
    }
    /// struct ifreq: 16 bytes of name, then a union of 24 bytes that begins with the flags.
    private static let requestCount = 40, nameCount = 16

    /// IFF_* bits that the kernel knows; 0 when it does not say.
    static func supportedFlags(_ descriptor: Int32) -> UInt16 {
        var features: UInt32 = 0
        // The kernel fills four bytes of this frame.
        guard unsafe roost_ioctl_pointer(descriptor, Request.getFeatures, &features) == 0 else { return 0 }
        return UInt16(truncatingIfNeeded: features)
    }

    /// Attaches an open /dev/net/tun to an interface. Returns its name.
    static func attach(_ descriptor: Int32, interface: String, hasHeader: Bool) throws(Errno) -> String {
        guard interface.utf8.count < nameCount else { throw .invalidArgument }
        var request = [UInt8](repeating: 0, count: requestCount)
        for (index, byte) in interface.utf8.enumerated() { request[index] = byte }
        let flags = Flag.tap | Flag.noInformation | (hasHeader ? Flag.header : 0)
        request[nameCount] = UInt8(truncatingIfNeeded: flags)
        request[nameCount + 1] = UInt8(truncatingIfNeeded: flags >> 8)
        try call(descriptor, Request.setInterface, &request)
        return String(decoding: request.prefix(nameCount).prefix { $0 != 0 }, as: UTF8.self)
    }

    /// The interface that a descriptor is attached to.
    static func query(_ descriptor: Int32) throws(Errno) -> (name: String, flags: UInt16) {
        var request = [UInt8](repeating: 0, count: requestCount)
        try call(descriptor, Request.getInterface, &request)
        let name = String(decoding: request.prefix(nameCount).prefix { $0 != 0 }, as: UTF8.self)
        return (name, UInt16(request[nameCount]) | UInt16(request[nameCount + 1]) << 8)
    }

    private static func call(_ descriptor: Int32, _ request: UInt, _ bytes: inout [UInt8]) throws(Errno) {
        // The kernel reads and writes at most struct ifreq, which the array holds.
        let status = unsafe bytes.withUnsafeMutableBytes {
            unsafe roost_ioctl_pointer(descriptor, request, $0.baseAddress)
        }
        if status != 0 { throw Errno.current }
    }

    /// Nil when a number is an open descriptor.
    static func checkOpen(_ descriptor: Int32) -> Errno? {
        roost_fcntl(descriptor, F_GETFD, 0) == -1 ? Errno.current : nil
    }

    /// Bytes of the virtio header in front of each frame.
    static func setHeaderSize(_ descriptor: Int32, _ size: Int) throws(Errno) {
        var value = Int32(truncatingIfNeeded: size)
        // The kernel reads four bytes of this frame.
        if unsafe roost_ioctl_pointer(descriptor, Request.setHeaderSize, &value) != 0 { throw Errno.current }
    }

    static func setSendBuffer(_ descriptor: Int32, _ size: Int) throws(Errno) {
        var value = Int32(clamping: size)
        // As above.
        if unsafe roost_ioctl_pointer(descriptor, Request.setSendBuffer, &value) != 0 { throw Errno.current }
    }

    /// Whether the kernel took the set.
    static func setOffloads(_ descriptor: Int32, _ offloads: PacketOffloads) -> Bool {
        roost_ioctl(descriptor, Request.setOffload, UInt(offloads.rawValue)) == 0
    }

    /// What the kernel takes; leaves everything off.
    static func probeOffloads(_ descriptor: Int32) -> PacketOffloads {
        var found: PacketOffloads = []
        let base: PacketOffloads = [.checksum, .tcp4, .tcp6]
        if setOffloads(descriptor, .checksum) { found = .checksum }
        for more in [base, base.union(.congestion), base.union(.udp)] where setOffloads(descriptor, more) {
            found.formUnion(more)
        }
        _ = setOffloads(descriptor, [])
        return found
    }
}

/// Runs what configures an interface, as `script=` and `downscript=` name it.
enum TapScript {
    static func run(_ path: String, interface: String) throws(UserError) {
        guard !path.isEmpty else { return }
        var process = pid_t()
        let failure = unsafe withArguments([path, interface]) { arguments in
            // The argument vector ends with a null pointer and lives for the call; the environment is the process's.
            unsafe posix_spawn(&process, path, nil, nil, arguments, environ)
        }
        guard failure == 0 else {
            throw UserError("could not launch network script \(path)", because: Errno(failure))
        }
        var status: Int32 = 0
        do {
            _ = try retrying { unsafe waitpid(process, &status, 0) }
        } catch {
            throw UserError("could not wait for network script \(path)", because: error)
        }
        guard status == 0 else { throw UserError("network script \(path) failed with status \(status)") }
    }

    private static func withArguments(
        _ texts: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Int32
    ) -> Int32 {
        // strdup's copies are freed after the call that reads them.
        var pointers: [UnsafeMutablePointer<CChar>?] = unsafe texts.map { unsafe strdup($0) }
        unsafe pointers.append(nil)
        defer { unsafe pointers.forEach { unsafe free($0) } }
        return unsafe body(pointers)
    }
}
