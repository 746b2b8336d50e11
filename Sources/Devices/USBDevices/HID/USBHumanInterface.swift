// SPDX-License-Identifier: Apache-2.0

internal import MachineModel
public import StateCoding

/// What a saved machine keeps of a keyboard, mouse or tablet.
public struct USBHumanInterfaceState: SavedState, Equatable {
    var common = USBDeviceState()
    /// Reports that the host has not fetched, the oldest first.
    var queue: [[UInt8]] = []
    /// The last report that was fetched.
    var last: [UInt8]
    /// Buttons that are held, and keys by usage.
    var held: [UInt8] = []
    /// Lights of a keyboard: num lock, caps lock, scroll lock from bit 0.
    var lights: UInt8 = 0
    /// In 4 ms; 0 for reports only when something changes.
    var idle: UInt8 = 0
    /// 0 boot protocol, 1 report protocol.
    var reportProtocol: UInt8 = 1

    /// States with reports of other lengths are of another device.
    public func problem(replacing current: USBHumanInterfaceState) -> String? {
        guard last.count == current.last.count, queue.allSatisfy({ $0.count == last.count }),
            queue.count <= USBHumanInterface.longestQueue, held.count <= USBHumanInterface.mostHeld,
            common.configuration <= 1
        else { return "it is of another device" }
        return nil
    }
}

/// A keyboard or pointer (Device Class Definition for HID 1.11): reports of one length by interrupt endpoint 1.
public class USBHumanInterface: USBDevice, @unchecked Sendable {
    static let longestQueue = 32, mostHeld = 256
    private static let vendor: UInt16 = 0x0627
    private enum Request {
        static let getReport: UInt16 = 0xA101, getIdle: UInt16 = 0xA102, getProtocol: UInt16 = 0xA103
        static let setReport: UInt16 = 0x2109, setIdle: UInt16 = 0x210A, setProtocol: UInt16 = 0x210B
        static let getDescriptor: UInt16 = 0x8106
    }
    private static let reportDescriptorType: UInt16 = 0x22, classDescriptorType: UInt16 = 0x21
    private static let idleUnit: UInt64 = 4_000_000

    /// What a kind of device is.
    struct Kind {
        var name: String
        var product: UInt16 = 1
        var label: String
        var configuration: String
        /// Subclass and protocol of the interface: 1 and 1 for boot keyboards, 1 and 2 for boot mice.
        var subclass: UInt8, code: UInt8
        var report: [UInt8]
        var reportLength: Int
        /// bInterval at full and at high speed.
        var fullInterval: UInt8, highInterval: UInt8
    }

    /// Properties that all these devices have.
    public struct Options: Equatable, Sendable {
        /// The serial number in the descriptor.
        public var serial = "42"
        /// `usb_version=1`: a device of USB 1.
        public var isFullSpeedOnly = false
        /// QEMU's defaults.
        public init() {}
    }

    let kind: Kind
    private let clock: any MachineClock
    private var timer: (any MachineTimer)?
    private var lastReportTime: UInt64 = 0
    var hid: USBHumanInterfaceState
    /// The host fetched a report for the first time since it was reset: a driver is there.
    public var activated: () -> Void = {}
    /// The device was reset after that: nobody may be listening.
    public var deactivated: () -> Void = {}
    private var isInUse = false

    /// - Parameter options: what a person may choose.
    init(_ kind: Kind, options: Options, clock: any MachineClock) {
        self.kind = kind
        self.clock = clock
        hid = USBHumanInterfaceState(last: [UInt8](repeating: 0, count: kind.reportLength))
        let length = UInt16(kind.report.count)
        let (full, high, size) = (kind.fullInterval, kind.highInterval, UInt16(kind.reportLength))
        super.init(
            name: kind.name,
            description: USBDescription(
                vendor: Self.vendor, product: kind.product,
                strings: ["QEMU", kind.label, options.serial, kind.configuration],
                configurationString: 4, attributes: 0xA0, power: 50, interface: (3, kind.subclass, kind.code),
                classDescriptor: [
                    9, 0x21, 1, 0, 0, 1, 0x22, UInt8(truncatingIfNeeded: length),
                    UInt8(truncatingIfNeeded: length >> 8),
                ],
                endpoints: [
                    USBEndpoint(
                        number: 1, direction: .in, kind: .interrupt, packetSize: { _ in size },
                        interval: { $0 == .high ? high : full })
                ]),
            speeds: options.isFullSpeedOnly ? [.full] : [.full, .high])
        timer = clock.makeTimer { [weak self] in self?.wake(1, .in) }
    }

    public override func reset() {
        super.reset()
        let count = kind.reportLength
        hid = USBHumanInterfaceState(last: [UInt8](repeating: 0, count: count))
        timer?.cancel()
        if isInUse { deactivated() }
        isInUse = false
    }

    public override func removed() { timer?.cancel() }

    // MARK: reports

    /// Puts a report into the queue and tells the host; a queue that is full loses what was in its last place.
    func enqueue(_ report: [UInt8]) {
        if hid.queue.count == Self.longestQueue { hid.queue.removeLast() }
        hid.queue.append(report)
        wake(1, .in)
    }

    /// What is so now, for hosts that ask at other times.
    var currentReport: [UInt8] { hid.queue.last ?? repeatedReport }
    /// What is said again when nothing changes.
    var repeatedReport: [UInt8] { hid.last }

    override func send(endpoint: Int, capacity: Int) -> USBOutcome {
        if !isInUse {
            isInUse = true
            activated()
        }
        if hid.queue.isEmpty {
            guard hid.idle != 0 else { return .notReady }
            let due = lastReportTime &+ UInt64(hid.idle) &* Self.idleUnit
            guard clock.now >= due else {
                timer?.arm(at: due)
                return .notReady
            }
            hid.last = repeatedReport
        } else {
            hid.last = hid.queue.removeFirst()
        }
        lastReportTime = clock.now
        return .data(Array(hid.last.prefix(capacity)))
    }

    /// The host sets the lights of a keyboard.
    func output(_ report: [UInt8]) -> USBOutcome { .stalled }

    override func request(_ setup: USBSetup, data: [UInt8]) -> USBOutcome {
        switch setup.code {
        case Request.getDescriptor:
            if setup.value >> 8 == Self.reportDescriptorType { return .data(kind.report) }
            return setup.value >> 8 == Self.classDescriptorType ? .data(description.classDescriptor) : .stalled
        case Request.getReport: return .data(currentReport)
        case Request.setReport: return output(data)
        case Request.getIdle: return .data([hid.idle])
        case Request.setIdle:
            hid.idle = UInt8(truncatingIfNeeded: setup.value >> 8)
            lastReportTime = clock.now
            wake(1, .in)
        case Request.getProtocol where kind.subclass != 0: return .data([hid.reportProtocol])
        case Request.setProtocol where kind.subclass != 0 && setup.value <= 1:
            hid.reportProtocol = UInt8(truncatingIfNeeded: setup.value)
        default: return .stalled
        }
        return .taken
    }

    // MARK: saving

    /// A saved state was put back.
    func stateRestored() {}

    public override func saveState(as name: String) throws(StateError) -> StateRecord {
        hid.common = common
        return try StateRecord(name: name, hid)
    }

    public override func checkState(_ record: StateRecord) throws(StateError) -> () -> Void {
        let state = try record.decode(replacing: hid)
        return { [self] in
            hid = state
            common = state.common
            lastReportTime = clock.now
            stateRestored()
            // Once the machine runs: what is told before would be lost on interrupt controllers that are not put back yet.
            if !hid.queue.isEmpty || hid.idle != 0 { timer?.arm(at: clock.now) }
        }
    }
}
