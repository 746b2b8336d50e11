// SPDX-License-Identifier: Apache-2.0

public import CharacterStreams
internal import ControlProtocol
internal import CPUInterface
internal import Glibc
internal import HostSystem
public import JSONCoding
internal import MachineRuntime
public import MachineSpec

/// The monitors and the debugger's stub of one machine. Everything happens on the event loop's thread.
public final class ControlServer {
    /// The machine; it owns this server.
    unowned let machine: any ControlledMachine
    private var controlSessions: [QMPSession] = []
    private var humanSessions: [HumanSession] = []
    private(set) var debugger: DebuggerStub?
    /// Descriptors that clients sent, by name (`getfd`).
    var namedDescriptors: [String: FileDescriptorBox] = [:]
    /// Descriptors in sets (`add-fd`).
    var descriptorSets = DescriptorSets()
    /// Makes a character device for `gdbserver` and `chardev-add`; nil where the machine cannot.
    var streamMaker: (any CharacterDeviceMaking)? { machine as? any CharacterDeviceMaking }
    private let now: () -> Int64

    /// A server without any connection.
    /// - Parameter now: microseconds since 1970, for the time stamps of events.
    public init(machine: any ControlledMachine, now: @escaping () -> Int64 = ControlServer.wallClock) {
        self.machine = machine
        self.now = now
        machine.runner.observe { [weak self] event in self?.handle(event) }
    }

    /// Puts a monitor on a character device.
    public func addMonitor(on stream: any CharacterBackend, mode: MonitorSpec.Mode, isPretty: Bool = false) {
        switch mode {
        case .control: controlSessions.append(QMPSession(server: self, stream: stream, isPretty: isPretty))
        case .readline: humanSessions.append(HumanSession(server: self, stream: stream))
        }
    }

    /// Puts the debugger's stub on a character device; an earlier one is taken away.
    public func setDebugger(on stream: (any CharacterBackend)?) {
        debugger?.end()
        debugger = stream.map { DebuggerStub(machine: machine, monitor: HumanMonitor(server: self), stream: $0) }
    }

    /// Tells all QMP clients of something that happened.
    public func emit(_ name: String, data: JSONObject? = nil) {
        let event = QMPEvent(name, data: data, microseconds: now())
        for session in controlSessions { session.send(event) }
    }

    /// The host's clock in microseconds since 1970.
    public static func wallClock() -> Int64 {
        var time = timespec()
        // clock_gettime fills the struct on this frame.
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) &* 1_000_000 &+ Int64(time.tv_nsec / 1000)
    }

    private func handle(_ event: MachineEvent) {
        func cause(_ cause: ShutdownCause) -> JSONObject {
            ["guest": .bool(cause.isFromGuest), "reason": .string(cause.rawValue)]
        }
        switch event {
        case .stopped: emit("STOP")
        case .resumed: emit("RESUME")
        case .powerdown: emit("POWERDOWN")
        case .reset(let reason): emit("RESET", data: cause(reason))
        case .shutdown(let reason): emit("SHUTDOWN", data: cause(reason))
        case .debug(let cpu, let reason): debugger?.machineStopped(processor: cpu, reason)
        }
        if case .stopped = event { debugger?.machinePaused() }
    }

    /// Runs a line of the human monitor and returns what it prints.
    func runHumanCommand(_ line: String, processor: Int) -> String {
        let monitor = HumanMonitor(server: self)
        monitor.currentProcessor = processor
        return monitor.run(line)
    }
}

/// A descriptor in a container.
final class FileDescriptorBox {
    let descriptor: FileDescriptor
    init(_ number: Int32) { descriptor = FileDescriptor(owning: number) }
}

/// The sets of `add-fd`.
struct DescriptorSets {
    struct Entry {
        let box: FileDescriptorBox
        let opaque: String?
    }
    private(set) var sets: [Int: [Entry]] = [:]

    /// Adds to a set, or to a new one with the lowest free number.
    mutating func add(_ number: Int32, set: Int?, opaque: String?) -> Int {
        var chosen = set ?? 0
        if set == nil { while sets[chosen] != nil { chosen += 1 } }
        sets[chosen, default: []].append(Entry(box: FileDescriptorBox(number), opaque: opaque))
        return chosen
    }

    /// Removes a set, or one descriptor of it.
    /// - Returns: false when there is nothing like that.
    mutating func remove(set: Int, descriptor: Int32?) -> Bool {
        guard var entries = sets[set] else { return false }
        guard let descriptor else {
            sets[set] = nil
            return true
        }
        let before = entries.count
        entries.removeAll { $0.box.descriptor.number == descriptor }
        sets[set] = entries.isEmpty ? nil : entries
        return entries.count < before
    }
}
