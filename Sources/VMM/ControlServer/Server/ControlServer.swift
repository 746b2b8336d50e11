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
    /// The last dump of the guest's memory; nil before the first.
    var dump: DumpTask?
    /// A dump is being written, and the guest stands still.
    var isDumping: Bool { dump?.thread != nil || dump?.status == .active }
    /// Why the machine cannot be sent away now.
    var moveBlocker: String? { isDumping ? "Live migration disabled: dump-guest-memory in progress" : nil }
    /// Descriptors in sets (`add-fd`).
    var descriptorSets: DescriptorSets { DescriptorSets.shared }
    /// `migrate-set-capabilities`: "events".
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

    /// A descriptor that came with `getfd`; it then belongs to the caller.
    public func takeDescriptor(named name: String) -> Int32? {
        guard let box = namedDescriptors.removeValue(forKey: name) else { return nil }
        return box.release()
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
        case .guestPanicked(let action): emit("GUEST_PANICKED", data: ["action": .string(action)])
        case .guestCrashLoaded(let action): emit("GUEST_CRASHLOADED", data: ["action": .string(action)])
        case .blockError(let failure): emit("BLOCK_IO_ERROR", data: Self.description(failure))
        case .balloonChanged(let bytes): emit("BALLOON_CHANGE", data: ["actual": JSONValue(bytes)])
        case .serialPortChanged(let identifier, let isOpen):
            emit("VSERPORT_CHANGE", data: ["open": .bool(isOpen), "id": .string(identifier)])
        case .debug(let cpu, let reason): debugger?.machineStopped(processor: cpu, reason)
        }
        if case .stopped = event { debugger?.machinePaused() }
    }

    private static func description(_ failure: MachineEvent.BlockFailure) -> JSONObject {
        var data: JSONObject = [
            "device": .string(failure.device), "nospace": .bool(failure.isNoSpace), "reason": .string(failure.reason),
            "operation": .string(failure.isWrite ? "write" : "read"), "action": .string(failure.action),
        ]
        if !failure.nodeName.isEmpty { data["node-name"] = .string(failure.nodeName) }
        return data
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
    private var descriptor: FileDescriptor
    init(_ number: Int32) { descriptor = FileDescriptor(owning: number) }

    /// Its number, for as long as this object has it.
    var number: Int32 { descriptor.number }

    /// Gives it up without closing it.
    func release() -> Int32 {
        var taken = FileDescriptor(owning: -1)
        swap(&taken, &descriptor)
        return taken.release()
    }
}
