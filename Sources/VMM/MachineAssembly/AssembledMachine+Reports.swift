// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostIO
internal import HostSystem
internal import InterruptControllers
internal import CharacterStreams
internal import ControlServer
internal import ControlProtocol
internal import CPUInterface
internal import Diagnostics
internal import KVMEngine
internal import MachineRuntime
internal import MachineSpec
internal import PCChipset
internal import PacketPorts
internal import UserNetwork
internal import VirtioDevices
internal import X86CPU
internal import X86Translator

// What monitors see and change beside the machine's state: networks, interrupt controllers, the balloon, character
// devices, threads, processors.

/// One network card with what it is plugged into.
struct NetworkCard {
    /// As `set_link` and `info network` name it.
    let name: String
    let typeName: String
    let address: [UInt8]
    /// Plugs the cable in or out; without the machine lock.
    let setLink: (Bool) -> Void
    /// Asks the driver to make the guest's addresses known, where the card has a way to; without the machine lock.
    let announce: () -> Void
    /// Identifier of the network; nil for none.
    let network: String?
}

extension AssembledMachine: NetworkReporting {
    /// Cards, each with its network below it.
    func networkReports() -> [NetworkReport] {
        var reports: [NetworkReport] = []
        for card in networkCards {
            let address = card.address.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
            reports.append(
                NetworkReport(name: card.name, type: "nic", information: "model=\(card.typeName),macaddr=\(address)"))
            guard let name = card.network, let port = networks.ports.first(where: { $0.identifier == name })?.port
            else { continue }
            // The port describes itself as "index=0,type=user,net=...".
            let parts = port.description.split(separator: ",", maxSplits: 2).map(String.init)
            let type = parts.count > 1 ? String(parts[1].dropFirst("type=".utf8.count)) : ""
            reports.append(
                NetworkReport(
                    name: name, type: type, information: parts.count > 2 ? parts[2] : "", peer: card.name))
        }
        return reports
    }

    /// A card's cable, by the card's or the network's name.
    func setLink(_ name: String, isUp: Bool) -> Bool {
        let cards = networkCards.filter { $0.name == name || $0.network == name }
        for card in cards { card.setLink(isUp) }
        return !cards.isEmpty
    }
}

extension AssembledMachine: PortForwarding {
    private func userNetwork(_ name: String?) throws(UserError) -> UserNetwork {
        if let name, !networks.ports.contains(where: { $0.identifier == name }) {
            throw UserError("unrecognized netdev id '\(name)'")
        }
        let found = networks.ports.first { name == nil ? $0.port is UserNetwork : $0.identifier == name }
        guard let network = found?.port as? UserNetwork else {
            throw UserError(name == nil ? "user mode network stack not in use" : "invalid netdev")
        }
        return network
    }

    /// Opens a port of the host.
    func addForward(_ rule: String, network: String?) throws(UserError) { try userNetwork(network).addForward(rule) }

    /// Closes a port of the host.
    func removeForward(_ rule: String, network: String?) throws(UserError) -> Bool {
        // The guest's half does not matter.
        let forward = try PortForward(parsing: rule + "-:1")
        return try userNetwork(network).removeForward(
            isUDP: forward.isUDP, address: forward.hostAddress, port: forward.hostPort)
    }

    /// User networks with their connections.
    func forwardingNetworks() -> [(name: String, connections: String)] {
        networks.ports.compactMap { entry in
            (entry.port as? UserNetwork).map { (entry.identifier, $0.connections) }
        }
    }
}

extension AssembledMachine: BootOrdering {
    /// In the clock's memory, where firmware looks.
    func setBootOrder(_ letters: String) {
        spec.boot.order = letters
        spec.boot.once = nil
        lock.withLock { board?.clockChip.setBootOrder(Self.bootDevices(letters)) }
    }
}

extension AssembledMachine: InterruptReporting {
    /// The I/O APIC and the PICs of the software engine; the kernel's do not tell.
    func interruptControllerReport() -> String {
        guard let software = engine as? SoftwareEngine else {
            return "The kernel's interrupt controllers do not tell.\n"
        }
        return software.controllers.ioAPIC.monitorDescription + software.controllers.pic.monitorDescription
    }

    /// How often each line rose.
    func interruptCounts() -> [(line: Int, count: UInt64)]? {
        (engine as? SoftwareEngine)?.controllers.riseCounts.enumerated().compactMap { line, count in
            count == 0 ? nil : (line, count)
        }
    }

    /// The registers of one local APIC.
    func localControllerReport(processor: Int) -> String? {
        (engine as? SoftwareEngine)?.controller(of: processor)?.monitorDescription
    }
}

extension AssembledMachine: TranslationReporting {
    /// What the translators of the software engine's processors did.
    func translationReport() -> (text: String, opcodes: String)? {
        guard let software = engine as? SoftwareEngine else { return nil }
        return runner.whileParked { TranslatorReport(software.softProcessors).map { ($0.text, $0.opcodeText) } }
    }
}

extension AssembledMachine: BalloonControlling {
    /// Bytes that the guest has now.
    var balloonActualBytes: UInt64? {
        guard let balloon else { return nil }
        return lock.withLock { spec.memory.bytes - min(balloon.ballooned, spec.memory.bytes) }
    }

    /// Asks the guest to keep this many bytes.
    func setBalloon(target bytes: UInt64) {
        lock.withLock { balloon?.setTarget(bytes, of: spec.memory.bytes) }
    }

    /// A machine has one balloon.
    func adopt(_ balloon: VirtioBalloonDevice) throws(UserError) {
        guard self.balloon == nil else { throw UserError("Only one balloon device is supported") }
        self.balloon = balloon
        balloon.statisticsChanged = { [unowned self] in balloonUpdate = Int64(time(nil)) }
        balloon.actualChanged = { [unowned self, unowned balloon] in
            let bytes = spec.memory.bytes - min(balloon.ballooned, spec.memory.bytes)
            runner.announce(.balloonChanged(actualBytes: bytes))
        }
    }
}

extension AssembledMachine: BalloonStatisticsKeeping {
    private static let nanosecondsPerSecond: UInt64 = 1_000_000_000

    /// Seconds between questions to the guest.
    var balloonStatisticsInterval: Int {
        get { balloonInterval }
        set {
            balloonInterval = newValue
            if balloonTimer == nil { balloonTimer = loop.makeTimer { [weak self] in self?.askForStatistics() } }
            balloonTimer?.cancel()
            if newValue > 0 { askForStatistics() }
        }
    }

    private func askForStatistics() {
        // A guest whose driver is not there is asked again the next time.
        lock.withLock { _ = balloon?.requestStatistics() }
        guard balloonInterval > 0 else { return }
        balloonTimer?.arm(at: monotonicNanoseconds() &+ UInt64(balloonInterval) &* Self.nanosecondsPerSecond)
    }

    /// The guest's last answer.
    var balloonStatistics: (values: [Int: UInt64], lastUpdate: Int64)? {
        guard let balloon else { return nil }
        return lock.withLock {
            var values: [Int: UInt64] = [:]
            for (statistic, value) in balloon.statistics { values[Int(statistic.rawValue)] = value }
            return (values, balloonUpdate)
        }
    }
}

extension AssembledMachine: CharacterDeviceMaking {
    /// `chardev-add`: a descriptor by name is one that came with `getfd`.
    func makeCharacterDevice(_ spec: CharacterDeviceSpec) throws(UserError) {
        var wanted = spec
        if case .socket(var socket) = spec.backend, case .descriptor(let name) = socket.address,
            let number = control?.takeDescriptor(named: name)
        {
            socket.address = .descriptor(String(number))
            wanted.backend = .socket(socket)
        }
        try characters.add(
            wanted, escape: self.spec.process.terminalEscape, loop: loop, messages: messages, runner: runner)
    }
}

extension AssembledMachine: ThreadReporting {
    /// Objects of -object iothread: the thread of the first disk that uses one.
    var ioThreads: [(name: String, hostIdentifier: Int)] {
        spec.objects.filter { $0.kind == .ioThread }.map { object in
            let disk = disks.first { $0.ioThread == object.identifier }
            return (object.identifier, disk?.device.hostThreadIdentifier ?? 0)
        }
    }
}

extension AssembledMachine: ProcessorReporting {
    /// What the engine and the host under it offer.
    var processorCapabilities: CPUModel.Capabilities {
        if acceleratorName == "kvm" || (acceleratorName.isEmpty && spec.accelerators.first?.kind == .kvm),
            let system = try? KVMSystem(), let offered = try? system.supportedFeatures()
        {
            return HardwareFeatures.capabilities(offered, hasDeadlineTimer: system.hasDeadlineTimer)
        }
        return SoftCPU.capabilities()
    }
}
