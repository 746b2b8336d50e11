// SPDX-License-Identifier: Apache-2.0

public import MachineModel

/// QEMU's isa-debugcon: each byte written to the port goes to a stream.
public final class DebugConsole: Device {
    /// QEMU's name, for `info qtree`, logs and saved states.
    public let name = "isa-debugcon"
    /// The port unless asked otherwise.
    public static let defaultPort: UInt64 = 0xE9
    private let port: UInt64
    private let readback: UInt8
    private let send: (UInt8) -> Void

    /// - Parameters:
    ///   - port: `iobase=`.
    ///   - readback: what a read gives, by which guests find the port.
    ///   - send: takes each byte; must not block.
    public init(port: UInt64 = DebugConsole.defaultPort, readback: UInt8 = 0xE9, send: @escaping (UInt8) -> Void) {
        self.port = port
        self.readback = readback
        self.send = send
    }

    /// Puts the device at its ports.
    public func map(in ports: AddressSpace) {
        ports.map(
            ByteWindow(count: 1, read: { [readback] _ in readback }, write: { [send] in send($1) }), at: port, count: 1,
            name: name)
    }

    /// Stateless.
    public func reset() {}
}

/// QEMU's isa-debug-exit: a write ends the process with status `value << 1 | 1`.
public final class DebugExit: Device {
    /// QEMU's name, for `info qtree`, logs and saved states.
    public let name = "isa-debug-exit"
    private let port: UInt64
    private let count: UInt64
    private unowned let requests: any MachineRequests

    /// - Parameters:
    ///   - port: `iobase=`, 0x501 unless asked otherwise.
    ///   - count: `iosize=` in ports.
    ///   - requests: asked to end; must outlive this device.
    public init(port: UInt64 = 0x501, count: UInt64 = 2, requests: any MachineRequests) {
        self.port = port
        self.count = max(count, 1)
        self.requests = requests
    }

    /// Puts the device at its ports.
    public func map(in ports: AddressSpace) {
        ports.map(
            WordWindow(
                read: { _, _ in 0 },
                write: { [requests] _, _, value in
                    requests.requestExit(status: Int32(truncatingIfNeeded: value << 1 | 1))
                }),
            at: port, count: count, name: name)
    }

    /// Stateless.
    public func reset() {}
}

/// QEMU's pvpanic port: the guest says that it crashed.
public final class PanicPort: Device {
    /// QEMU's name, for `info qtree`, logs and saved states.
    public let name = "pvpanic"
    /// The port unless asked otherwise.
    public static let defaultPort: UInt64 = 0x505
    private static let panicked: UInt8 = 1
    private static let crashLoaded: UInt8 = 2
    private let port: UInt64
    private let events: UInt8
    private unowned let requests: any MachineRequests

    /// - Parameters:
    ///   - port: `ioport=`.
    ///   - events: what the guest is told that it may report: bit 0 a crash, bit 1 a crash kernel.
    ///   - requests: told of the crash; must outlive this device.
    public init(port: UInt64 = PanicPort.defaultPort, events: UInt8 = 3, requests: any MachineRequests) {
        self.port = port
        self.events = events
        self.requests = requests
    }

    /// Puts the device at its ports.
    public func map(in ports: AddressSpace) {
        ports.map(Self.registers(events: events, requests: requests), at: port, count: 1, name: name)
    }

    /// The register, for whichever bus it is on.
    static func registers(events: UInt8, requests: any MachineRequests) -> ByteWindow {
        ByteWindow(
            count: 1, read: { _ in events },
            write: { [unowned requests] _, value in
                if value & panicked != 0 {
                    requests.guestPanicked(isCrashLoaded: false)
                } else if value & crashLoaded != 0 {
                    requests.guestPanicked(isCrashLoaded: true)
                }
            })
    }

    /// Stateless.
    public func reset() {}
}

/// The POST code port 0x80, which guests also write for a short delay, with its spare neighbours of the page registers
/// left to the DMA controller.
public final class PostCodePort: Device {
    /// QEMU's name, for `info qtree`, logs and saved states.
    public let name = "ioport80"
    /// The last code.
    public private(set) var state: UInt8 = 0
    private let traced: ((UInt8) -> Void)?

    /// - Parameter traced: told of each code, for `-trace`.
    public init(traced: ((UInt8) -> Void)? = nil) { self.traced = traced }

    /// Puts the device at its ports.
    public func map(in ports: AddressSpace) {
        ports.map(
            ByteWindow(
                count: 1, read: { _ in 0xFF },
                write: { [self] _, value in
                    state = value
                    traced?(value)
                }),
            at: 0x80, count: 1, name: name)
    }

    /// Forgets the last code.
    public func reset() { state = 0 }
}
