// SPDX-License-Identifier: Apache-2.0

internal import CharacterStreams
public import Diagnostics
internal import GuestMemory
public import HostSystem
public import StateCoding
public import Virtio

/// Feature bits of a console device (Virtio 1.2, 5.3.3).
extension VirtioFeatures {
    static let consoleMultiport = VirtioFeatures(bit: 1), consoleEmergencyWrite = VirtioFeatures(bit: 2)
}

/// `virtio-serial`: consoles and named streams (Virtio 1.2, 5.3). Works with the machine lock held, on the vCPU's thread
/// and on that of the streams.
public final class VirtioSerialDevice: VirtioDevice, PlainlyStateful, @unchecked Sendable {
    /// The transport adds `-pci` or `-device`.
    public let name = "virtio-serial"
    /// Device type 3 (5.3.1).
    public let type = VirtioDeviceType.console
    /// Several ports with a control queue, and the emergency byte; no window size.
    public let features: VirtioFeatures = [.consoleMultiport, .consoleEmergencyWrite]
    /// Port 0's two, the control queue's two, then two for each further port (5.3.2).
    public let queueSizes: [UInt16]
    /// As many ports as `max_ports=` allows.
    public let maximumPorts: Int
    /// Each port's number to it.
    public internal(set) var ports: [Int: VirtioSerialPort] = [:]
    let machineLock: Lock

    private static let portQueueSize: UInt16 = 128, controlQueueSize: UInt16 = 32
    /// Control messages kept while the driver gives no buffers.
    static let controlLimit = 256
    /// Bytes handed to a stream at once.
    private static let transmitLimit = 65536
    enum QueueNumber {
        static let controlReceive = 2, controlTransmit = 3
        static func receive(_ port: Int) -> Int { port == 0 ? 0 : port * 2 + 2 }
        static func transmit(_ port: Int) -> Int { receive(port) + 1 }
    }

    private var context: VirtioActivation?
    private var control: DescriptorChain?
    private var waitingControl: [[UInt8]] = []
    /// What a port is in the middle of.
    private struct Stream {
        let input: DescriptorChain
        var hasInput = false
        let output: DescriptorChain
        /// Bytes of `output` that the stream has taken; nil while no request is held.
        var sent: Int?
    }
    private var streams: [Int: Stream] = [:]

    /// A device without ports.
    /// - Parameter maximumPorts: 1...31.
    public init(machineLock: Lock, maximumPorts: Int = 31) {
        precondition((1...31).contains(maximumPorts))
        self.machineLock = machineLock
        self.maximumPorts = maximumPorts
        var sizes = [Self.portQueueSize, Self.portQueueSize, Self.controlQueueSize, Self.controlQueueSize]
        for _ in 1..<max(maximumPorts, 1) { sizes += [Self.portQueueSize, Self.portQueueSize] }
        queueSizes = sizes
    }

    /// Adds a port. The machine lock is held, or the machine does not run yet.
    /// - Throws: QEMU's text for a number that cannot be had.
    public func add(_ port: VirtioSerialPort) throws(UserError) {
        let number: Int
        if let wanted = port.wantedNumber {
            guard wanted < maximumPorts, wanted >= 0 else {
                throw UserError(
                    "virtio-serial-bus: Out-of-range port id specified, max. allowed: \(maximumPorts - 1)")
            }
            if wanted == 0, !port.isConsole {
                throw UserError(
                    "Port number 0 on virtio-serial devices reserved for virtconsole devices for backward compatibility."
                )
            }
            guard ports[wanted] == nil else {
                throw UserError("virtio-serial-bus: A port already exists at id \(wanted)")
            }
            number = wanted
        } else if let free = ((port.isConsole ? 0 : 1)..<maximumPorts).first(where: { ports[$0] == nil }) {
            number = free
        } else {
            throw UserError("virtio-serial-bus: Maximum port limit for this device reached")
        }
        if !port.portName.isEmpty, ports.values.contains(where: { $0.portName == port.portName }) {
            throw UserError("virtio-serial-bus: A port already exists by name \(port.portName)")
        }
        port.number = number
        port.device = self
        ports[number] = port
        if let context { streams[number] = Self.stream(context.memory) }
        port.connect()
        if isMultiport { send(number, .portAdd, 1) }
    }

    private static func stream(_ memory: GuestMemory) -> Stream {
        Stream(input: DescriptorChain(memory: memory), output: DescriptorChain(memory: memory))
    }

    var isMultiport: Bool { context?.features.contains(.consoleMultiport) == true }

    /// What a saved machine keeps beside the queues; set after the driver's activation.
    public var state: VirtioSerialState {
        get {
            VirtioSerialState(
                waitingControl: waitingControl,
                openPorts: ports.values.filter(\.isGuestOpen).map(\.number).sorted())
        }
        set {
            waitingControl = newValue.waitingControl
            for port in ports.values { port.isGuestOpen = newValue.openPorts.contains(port.number) }
        }
    }

    // MARK: VirtioDevice

    /// Columns and rows as 0, the number of ports, and the emergency register (5.3.4).
    public func readConfig() -> [UInt8] {
        var bytes: [UInt8] = []
        // Columns and rows are not known: the size feature is not offered.
        bytes.append(register: UInt32(0))
        bytes.append(register: UInt32(maximumPorts))
        bytes.append(register: UInt32(0))
        return bytes
    }

    /// The emergency register takes a byte for port 0, even before the driver is ready.
    public func writeConfig(offset: Int, size: Int, value: UInt64) {
        // The emergency register: a byte for the console, also before the driver is up. Lost when nobody reads.
        if offset == 8 { _ = ports[0]?.backend?.send([UInt8(truncatingIfNeeded: value)]) }
    }

    /// Without the multiport feature port 0 is open at once; output that waits is sent.
    public func activate(_ context: VirtioActivation) {
        self.context = context
        control = DescriptorChain(memory: context.memory)
        for number in ports.keys { streams[number] = Self.stream(context.memory) }
        if !isMultiport { ports[0]?.isGuestOpen = true }
        for queue in context.queues where queue.isReady { notified(queue: queue.index) }
    }

    /// The guest's ends of all ports are closed; messages for the driver are dropped.
    public func reset() {
        context = nil
        control = nil
        streams = [:]
        waitingControl = []
        for port in ports.values { port.isGuestOpen = false }
    }

    /// Control messages, more room for input, or output of a port, by the queue's number.
    public func notified(queue number: Int) {
        switch number {
        case QueueNumber.controlReceive: flushControl()
        case QueueNumber.controlTransmit: serveControl()
        default:
            let index = number < 2 ? 0 : number / 2 - 1
            guard let port = ports[index] else { return discardOutput(number) }
            if number % 2 == 0 { port.backend?.resumeInput() } else { transmit(of: port) }
        }
    }

    /// What the driver sends to a port that does not exist.
    private func discardOutput(_ number: Int) {
        guard let context, number % 2 == 1, let control else { return }
        let queue = context.queues[number]
        while queue.take(into: control) { queue.complete(control.head, written: 0) }
        queue.publish(context.interrupts, machineLockHeld: true)
    }

    // MARK: Guest to host

    func transmit(of port: VirtioSerialPort) {
        guard let context, var stream = streams[port.number] else { return }
        let queue = context.queues[QueueNumber.transmit(port.number)]
        defer {
            streams[port.number] = stream
            queue.publish(context.interrupts, machineLockHeld: true)
        }
        repeat {
            queue.disableNotifications()
            while true {
                if stream.sent == nil {
                    guard queue.take(into: stream.output) else { break }
                    stream.sent = 0
                }
                guard drain(&stream, port) else { return }
                queue.complete(stream.output.head, written: 0)
                stream.sent = nil
            }
        } while queue.enableNotifications()
    }

    /// Hands the held request to the stream. False while the stream takes no more.
    private func drain(_ stream: inout Stream, _ port: VirtioSerialPort) -> Bool {
        guard let backend = port.backend, port.isHostOpen else { return true }
        while let sent = stream.sent, sent < stream.output.readableCount {
            var bytes = [UInt8](
                repeating: 0, count: min(stream.output.readableCount - sent, Self.transmitLimit))
            // read copies at most the array's length.
            unsafe bytes.withUnsafeMutableBytes { buffer in _ = unsafe stream.output.read(into: buffer, at: sent) }
            let taken = backend.send(bytes)
            stream.sent = sent + taken
            if taken < bytes.count { return false }
        }
        return true
    }

    // MARK: Host to guest

    func receiveCapacity(of port: VirtioSerialPort) -> Int {
        guard let context, port.isGuestOpen, var stream = streams[port.number] else { return 0 }
        if !stream.hasInput {
            let queue = context.queues[QueueNumber.receive(port.number)]
            repeat {
                stream.hasInput = queue.take(into: stream.input)
            } while !stream.hasInput && queue.enableNotifications()
            streams[port.number] = stream
        }
        return stream.hasInput ? stream.input.writableCount : 0
    }

    func receive(_ bytes: ArraySlice<UInt8>, for port: VirtioSerialPort) {
        guard let context, var stream = streams[port.number], stream.hasInput else { return }
        let queue = context.queues[QueueNumber.receive(port.number)]
        // write copies at most what fits, and the caller has asked how much that is.
        let written = unsafe bytes.withUnsafeBytes { unsafe stream.input.write($0) }
        queue.complete(stream.input.head, written: written)
        stream.hasInput = false
        streams[port.number] = stream
        queue.publish(context.interrupts, machineLockHeld: true)
    }

    func setHostOpen(_ port: VirtioSerialPort, _ isOpen: Bool) {
        guard port.isHostOpen != isOpen else { return }
        port.isHostOpen = isOpen
        if isMultiport { send(port.number, .portOpen, isOpen ? 1 : 0) }
        if !isOpen { transmit(of: port) }
    }

    // MARK: Control (section 5.3.6.2)

    private enum Event: UInt16 {
        case deviceReady, portAdd, portRemove, portReady, consolePort, resize, portOpen, portName
    }

    private func send(_ port: Int, _ event: Event, _ value: UInt16, text: String = "") {
        var message: [UInt8] = []
        message.append(register: UInt32(port))
        message.append(register: event.rawValue)
        message.append(register: value)
        message += text.utf8
        if waitingControl.count < Self.controlLimit { waitingControl.append(message) }
        flushControl()
    }

    private func flushControl() {
        guard let context, let control, !waitingControl.isEmpty else { return }
        let queue = context.queues[QueueNumber.controlReceive]
        var sent = 0
        for message in waitingControl {
            guard queue.take(into: control) else { break }
            queue.complete(control.head, written: control.write(message))
            sent += 1
        }
        waitingControl.removeFirst(sent)
        if !waitingControl.isEmpty { _ = queue.enableNotifications() }
        queue.publish(context.interrupts, machineLockHeld: true)
    }

    private func serveControl() {
        guard let context, let control else { return }
        let queue = context.queues[QueueNumber.controlTransmit]
        repeat {
            queue.disableNotifications()
            while queue.take(into: control) {
                let number: UInt32? = control.load(at: 0)
                let event: UInt16? = control.load(at: 4)
                let value: UInt16? = control.load(at: 6)
                queue.complete(control.head, written: 0)
                if let number, let event, let value { obey(Int(number), Event(rawValue: event), value) }
            }
        } while queue.enableNotifications()
        queue.publish(context.interrupts, machineLockHeld: true)
    }

    private func obey(_ number: Int, _ event: Event?, _ value: UInt16) {
        if event == .deviceReady {
            if value == 1 { for number in ports.keys.sorted() { send(number, .portAdd, 1) } }
            return
        }
        guard let port = ports[number] else { return }
        switch event {
        case .portReady where value == 1:
            if port.isConsole { send(number, .consolePort, 1) }
            if !port.portName.isEmpty { send(number, .portName, 1, text: port.portName) }
            if port.isHostOpen { send(number, .portOpen, 1) }
        case .portOpen:
            port.isGuestOpen = value != 0
            if port.isGuestOpen { port.backend?.resumeInput() }
        default: break
        }
    }
}
