// SPDX-License-Identifier: Apache-2.0

internal import CharacterStreams
internal import CPUInterface
internal import Diagnostics
internal import MachineRuntime

/// The machine's side of GDB's remote protocol (GDB manual, appendix "GDB Remote Serial Protocol").
///
/// All vCPUs stop and go together; each is a thread with its index + 1 as number.
///
///     nobody ──connect: the machine stops──▶ stopped ──c, s, vCont──▶ running
///                                              ▲── breakpoint, step, Ctrl-C ──┘
final class DebuggerStub: CharacterFrontend {
    let machine: any ControlledMachine
    let monitor: HumanMonitor
    private let stream: any CharacterBackend
    private var reader = DebuggerPacketReader()
    private var output = OutputQueue()
    private var lastPacket: [UInt8] = []
    private var needsAcknowledgement = true
    /// The client waits for the machine to stop.
    private(set) var isAwaitingStop = false
    /// For register and memory packets, and for continuing: indices of processors.
    var current = 0
    var points = DebugPoints()
    /// Kinds of the watchpoints, for stop replies: Z packet types 2, 3 and 4.
    var watchKinds: [UInt64: Int] = [:]
    /// Addresses are guest-physical.
    var usesPhysicalAddresses = false
    private static let inputChunk = 4096
    private static let interruptSignal = 2, trapSignal = 5

    init(machine: any ControlledMachine, monitor: HumanMonitor, stream: any CharacterBackend) {
        self.machine = machine
        self.monitor = monitor
        self.stream = stream
        stream.frontend = self
    }

    var runner: MachineRunner { machine.runner }

    /// The processor that register and memory packets are about.
    var processor: (any VirtualCPU)? {
        runner.processor(at: current) ?? runner.processors.first
    }

    /// Takes the stub off its stream, with all breakpoints.
    func end() {
        clearPoints()
        stream.frontend = nil
        (stream as? any DisconnectableBackend)?.disconnect()
    }

    // MARK: CharacterFrontend

    var receiveCapacity: Int { output.isCongested ? 0 : Self.inputChunk }

    func receive(_ bytes: ArraySlice<UInt8>) {
        for byte in bytes {
            if isAwaitingStop && runner.state == .running {
                // Nothing else is possible while the guest runs: any byte stops it, and counts for no more than that.
                if byte != UInt8(ascii: "+") { runner.pause(.paused) }
                continue
            }
            if let item = reader.take(byte) { handle(item) }
        }
    }

    func handle(_ event: CharacterEvent) {
        switch event {
        case .opened:
            reader = DebuggerPacketReader()
            output.clear()
            needsAcknowledgement = true
            isAwaitingStop = false
            current = 0
            runner.pause(.paused)
        case .closed:
            output.clear()
            isAwaitingStop = false
            clearPoints()
        case .breakReceived: if runner.state == .running { runner.pause(.paused) }
        case .focusGained, .focusLost: break
        }
    }

    func outputIsReady() {
        let wasCongested = output.isCongested
        output.flush(to: stream)
        if wasCongested && !output.isCongested { stream.resumeInput() }
    }

    // MARK: packets

    private func handle(_ item: DebuggerPacketReader.Item) {
        switch item {
        case .acknowledged: break
        case .retransmit: if !lastPacket.isEmpty { output.send(lastPacket, to: stream) }
        case .damaged: if needsAcknowledgement { output.send([UInt8(ascii: "-")], to: stream) }
        case .interrupt: if runner.state == .running { runner.pause(.paused) }
        case .packet(let body):
            if needsAcknowledgement { output.send([UInt8(ascii: "+")], to: stream) }
            Trace.emit(.debuggerPacket, String(decoding: body.prefix(200), as: UTF8.self))
            if body.elementsEqual("QStartNoAckMode".utf8) {
                reply("OK")
                needsAcknowledgement = false
            } else if let answer = answer(body) {
                reply(answer)
            }
        }
    }

    func reply(_ text: String) {
        Trace.emit(.debuggerReply, text)
        lastPacket = DebuggerPacketReader.frame(text)
        output.send(lastPacket, to: stream)
    }

    // MARK: running and stopping

    /// A stop reply: signal, thread and, for a watchpoint, its address.
    func stopReply(signal: Int = trapSignal, detail: String = "") -> String {
        "T\(hex(signal, 2))thread:\(hex(current + 1, 2));\(detail)"
    }

    /// A vCPU came to a breakpoint or finished a step.
    func machineStopped(processor index: Int, _ reason: MachineEvent.DebugStopReason) {
        setSteps(on: [])
        guard isAwaitingStop else { return }
        isAwaitingStop = false
        current = index
        var detail = ""
        if case .watchpoint(let address) = reason {
            let kind = [2: "watch", 3: "rwatch", 4: "awatch"][watchKinds[address] ?? 2] ?? "watch"
            detail = "\(kind):\(String(address, radix: 16));"
        }
        reply(stopReply(detail: detail))
    }

    /// The machine was stopped, by Ctrl-C, a monitor or a device.
    func machinePaused() {
        guard isAwaitingStop, runner.state != .debug else { return }
        isAwaitingStop = false
        setSteps(on: [])
        reply(runner.state == .shutdown ? "W00" : stopReply(signal: Self.interruptSignal))
    }

    /// Lets the machine go on.
    /// - Parameters:
    ///   - stepping: processors that do one instruction.
    ///   - only: the one processor that goes on; nil for all.
    /// - Returns: the answer, if the machine cannot go on.
    func run(stepping: Set<Int>, only: Int?) -> String? {
        switch runner.state {
        case .shutdown: return "W00"
        case .internalError, .guestPanicked: return stopReply()
        default: break
        }
        setSteps(on: stepping)
        isAwaitingStop = true
        if let only { runner.resume(only: only) } else { runner.resume() }
        return nil
    }

    private func setSteps(on stepping: Set<Int>) {
        for processor in runner.processors {
            var wanted = points
            wanted.singleStep = stepping.contains(processor.index)
            if processor.debugPoints != wanted { processor.debugPoints = wanted }
        }
    }

    /// Makes all processors stop at the current points; they are parked.
    func applyPoints() { setSteps(on: []) }

    private func clearPoints() {
        guard !points.isEmpty else { return }
        points = DebugPoints()
        watchKinds = [:]
        runner.whileParked { applyPoints() }
    }

    /// Lets go of the machine: no points, and on it runs.
    func detach() {
        clearPoints()
        runner.resume()
    }
}
