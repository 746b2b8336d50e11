// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
public import HostSystem
internal import LocalSockets
internal import PacketPorts

/// A switch that tells VLANs apart where the kernel's bridges cannot: a process of its own for each bridge, which lives as
/// long as it has ports besides the one that leads to the bridge. It takes lines on a socket:
///
///     add DEVICE [native=N] [tagged=A,B] [all]
///     remove DEVICE
///
/// and answers each with `ok` or `error REASON`.
@safe public final class SwitchServer {
    private let listener: FileDescriptor
    private let path: String
    private var frames = FrameSwitch()
    private var devices: [Int: SwitchDevice] = [:]
    private var clients: [Int32: [UInt8]] = [:]
    private var next = 1
    // Nanoseconds of the monotonic clock.
    private var nextLook: UInt64 = 0
    private var lastUse = monotonicNanoseconds()
    // Allocated by `init`, freed by `deinit`, and used by one frame at a time.
    private let buffer: UnsafeMutableRawBufferPointer

    /// The port that leads to the bridge.
    private static let uplink = 0
    /// The largest frame that is passed on, with room for what a tap device may put together.
    private static let frameLimit = 65_600
    /// Bytes of a line.
    private static let lineLimit = 65_536
    /// Frames of one port before the others have their turn.
    private static let batch = 64
    /// Connections at once: the service makes one at a time.
    private static let clientLimit = 16
    /// Nanoseconds without ports after which the process ends.
    private static let patience: UInt64 = 10_000_000_000
    /// Milliseconds between two looks whether devices are still there.
    private static let lookInterval: Int32 = 1000

    /// - Parameters:
    ///   - path: of the socket; only its owner may connect.
    ///   - uplink: the name of the tap device that is made, and that the bridge gets as a port.
    ///   - port: what the bridge's side carries.
    public init(path: String, uplink: String, _ port: SwitchPort) throws(Errno) {
        self.path = path
        let tap = try TapInterface.open(uplink)
        try tap.setNonBlocking(true)
        listener = try LocalSocket.listen(path: path, mode: 0o600)
        unsafe buffer = .allocate(byteCount: Self.frameLimit, alignment: 16)
        devices[Self.uplink] = SwitchDevice(tap: tap, called: uplink)
        frames.add(Self.uplink, port)
    }

    deinit {
        // It was allocated by `init`.
        unsafe buffer.deallocate()
        for client in clients.keys { close(client) }
        // unlink copies the path.
        _ = unsafe unlink(path)
    }

    /// Serves until there have been no ports for a while.
    public func run() {
        while true {
            let numbers = devices.keys.sorted()
            var wanted = [pollfd(fd: listener.number, events: Int16(POLLIN), revents: 0)]
            wanted += clients.keys.sorted().map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            let firstDevice = wanted.count
            wanted += numbers.map { pollfd(fd: devices[$0]?.socket.number ?? -1, events: Int16(POLLIN), revents: 0) }
            // The array lives for the call.
            let count = unsafe poll(&wanted, nfds_t(wanted.count), Self.lookInterval)
            if isDone() { return }
            guard count > 0 else { continue }
            for (place, entry) in wanted.enumerated().dropFirst(firstDevice) where entry.revents != 0 {
                pass(numbers[place - firstDevice])
            }
            for entry in wanted[1..<firstDevice] where entry.revents != 0 { read(entry.fd) }
            if wanted[0].revents != 0 { accept() }
        }
    }

    /// Drops the ports of devices that are gone, now and then; whether there have been none for long enough.
    private func isDone() -> Bool {
        let now = monotonicNanoseconds()
        guard now >= nextLook else { return false }
        nextLook = now &+ UInt64(Self.lookInterval) &* 1_000_000
        // if_nametoindex copies the name.
        for (number, device) in devices where unsafe number != Self.uplink && if_nametoindex(device.name) == 0 {
            drop(number)
        }
        if devices.count > 1 || !clients.isEmpty { lastUse = now }
        return now &- lastUse > Self.patience
    }

    // MARK: Frames

    private func pass(_ number: Int) {
        guard let device = devices[number] else { return }
        for _ in 0..<Self.batch {
            let found: (count: Int, tag: UInt16?)?
            // The buffer is this object's alone.
            do throws(Errno) { found = try unsafe device.receive(buffer) } catch {
                // A device that is down may come up again; one that is gone is noticed soon.
                return
            }
            guard let found else { return }
            let frame = unsafe UnsafeRawBufferPointer(buffer)[..<found.count]
            guard
                let delivery = unsafe frames.forward(
                    UnsafeRawBufferPointer(rebasing: frame), tag: found.tag, from: number, now: monotonicNanoseconds())
            else { continue }
            unsafe deliver(UnsafeRawBufferPointer(rebasing: frame), delivery)
        }
    }

    private func deliver(_ frame: UnsafeRawBufferPointer, _ delivery: FrameSwitch.Delivery) {
        let addresses = FrameSwitch.addressLength
        // `forward` has found the two addresses and the tag inside the frame.
        let rest = unsafe UnsafeRawBufferPointer(rebasing: frame[(addresses + delivery.skipped)...])
        var head = unsafe [UInt8](frame[..<addresses])
        for exit in delivery.ports where !exit.isTagged {
            unsafe head.withUnsafeBytes { unsafe devices[exit.port]?.send($0, rest) }
        }
        for word in [FrameSwitch.tagType, delivery.tag] {
            head.append(UInt8(truncatingIfNeeded: word >> 8))
            head.append(UInt8(truncatingIfNeeded: word))
        }
        for exit in delivery.ports where exit.isTagged {
            unsafe head.withUnsafeBytes { unsafe devices[exit.port]?.send($0, rest) }
        }
    }

    private func drop(_ number: Int) {
        devices[number] = nil
        frames.remove(number)
    }

    // MARK: Commands

    private func accept() {
        guard clients.count < Self.clientLimit, let client = try? LocalSocket.accept(listener.number) else { return }
        clients[client.release()] = []
    }

    private func read(_ client: Int32) {
        var bytes = clients[client] ?? []
        var passed: [Int32] = []
        let count = try? LocalSocket.receive(client, limit: Self.lineLimit, into: &bytes, descriptors: &passed)
        for descriptor in passed { close(descriptor) }
        guard let count, count > 0, bytes.count <= Self.lineLimit else {
            clients[client] = nil
            close(client)
            return
        }
        while let end = bytes.firstIndex(of: UInt8(ascii: "\n")) {
            let line = String(decoding: bytes[..<end], as: UTF8.self)
            bytes.removeSubrange(...end)
            let answer = obey(line) + "\n"
            // Who does not read his answer is gone, or asked for too much.
            _ = try? LocalSocket.send(client, Array(answer.utf8))
        }
        clients[client] = bytes
    }

    private func obey(_ line: String) -> String {
        let words = line.split(separator: " ")
        guard words.count >= 2 else { return "error no command: \(line)" }
        let name = String(words[1])
        let old = devices.first { $0.key != Self.uplink && $0.value.name == name }?.key
        switch words[0] {
        case "add":
            guard let port = SwitchPort(words: Array(words.dropFirst(2))) else { return "error no port: \(line)" }
            do throws(Errno) {
                let device = try SwitchDevice(device: name)
                let number = old ?? next
                if old == nil { next += 1 }
                devices[number] = device
                frames.add(number, port)
                return "ok"
            } catch { return "error \(name): \(error)" }
        case "remove":
            guard let old else { return "error no port of that name: \(name)" }
            drop(old)
            return "ok"
        default: return "error no command: \(line)"
        }
    }
}
