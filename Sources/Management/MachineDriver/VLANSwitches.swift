// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostProcesses
internal import HostSystem
internal import HostTools
internal import LocalSockets
internal import ManagementModel
internal import StateStore

/// Switches that tell VLANs apart where the kernel's bridges cannot: a process for each bridge that needs one. They outlive
/// the service, as machines do, and end when they have no ports any more.
final class VLANSwitches: @unchecked Sendable {
    /// The program and its first argument.
    struct Program: Sendable {
        var path: String
        var word: String
    }

    private let program: Program
    private let folder: String
    private let lock = Lock()
    // Guarded by `lock`: children to be waited for.
    private var children: Set<Int32> = []

    init(program: Program, folder: String) {
        self.program = program
        self.folder = folder
    }

    /// Whether the kernel's own bridges tell VLANs apart.
    static func kernelFilters(_ bridge: String) -> Bool {
        StateFiles.exists("/sys/class/net/\(bridge)/bridge/vlan_filtering")
    }

    /// Whether a bridge has ports that are no guests: those lead to other hosts, whose VLANs have their tags there.
    private static func leadsOut(_ bridge: String) -> Bool {
        StateFiles.names(in: "/sys/class/net/\(bridge)/brif", suffix: "").contains {
            !$0.hasPrefix("vnet") && $0 != uplink(bridge)
        }
    }

    private func socket(_ bridge: String) -> String { folder + "/vlan-\(bridge).sock" }

    /// The tap device by which a switch and its bridge reach each other; names have at most 15 bytes.
    private static func uplink(_ bridge: String) -> String { "rs" + String(bridge.suffix(13)) }

    /// Makes a device a port. A device that is one gets the VLANs of now.
    func connect(_ device: String, to bridge: String, _ port: VLANPort) throws {
        var line = "add \(device)"
        if let native = port.native { line += " native=\(native)" }
        if !port.tagged.isEmpty { line += " tagged=" + port.tagged.map { "\($0)" }.joined(separator: ",") }
        try lock.withLock {
            reap()
            if try ask(bridge, line) { return }
            try start(bridge)
            guard try ask(bridge, line) else {
                throw ManagementError(.internalError, "the switch of '\(bridge)' does not answer", from: .network)
            }
        }
    }

    /// Takes a port away; one that is gone is gone.
    func disconnect(_ device: String, from bridge: String) {
        lock.withLock {
            reap()
            _ = try? ask(bridge, "remove \(device)")
        }
    }

    private func reap() { children = children.filter { (try? ChildProcess.poll($0)) == .some(nil) } }

    /// - Returns: false when there is no switch.
    private func ask(_ bridge: String, _ line: String) throws -> Bool {
        guard let client = try? LocalSocket.connect(path: socket(bridge)) else { return false }
        var answer: [UInt8] = []
        var passed: [Int32] = []
        do throws(Errno) {
            try client.writeAll(Array((line + "\n").utf8))
            while !answer.contains(UInt8(ascii: "\n")) {
                guard try LocalSocket.receive(client.number, limit: 4096, into: &answer, descriptors: &passed) > 0
                else {
                    return false
                }
            }
        } catch { return false }
        let text = String(decoding: answer, as: UTF8.self)
        guard text.hasPrefix("ok") else {
            throw ManagementError(
                .internalError, "the switch of '\(bridge)' refuses '\(line)': \(text.dropLast())", from: .network)
        }
        return true
    }

    /// Looks whether a switch that was started listens.
    private static let tries = 500
    private static let pause: UInt32 = 10

    private func start(_ bridge: String) throws {
        let uplink = Self.uplink(bridge)
        let words = [program.word, socket(bridge), uplink, "native=1"] + (Self.leadsOut(bridge) ? ["all"] : [])
        let process: Int32
        do throws(Errno) {
            process = try ChildProcess.start(
                program.path, words, environment: [], output: STDERR_FILENO, newSession: true)
        } catch {
            throw ManagementError(.systemError, "cannot start the switch of '\(bridge)': \(error)", from: .network)
        }
        children.insert(process)
        for _ in 0..<Self.tries where (try? LocalSocket.connect(path: socket(bridge))) == nil {
            if let ending = try? ChildProcess.poll(process) {
                children.remove(process)
                throw ManagementError(.internalError, "the switch of '\(bridge)' ended: \(ending)", from: .network)
            }
            sleepMilliseconds(Self.pause)
        }
        do {
            for arguments in [["link", "set", uplink, "master", bridge], ["link", "set", uplink, "up"]] {
                try HostTool.run("/usr/sbin/ip", arguments, to: "connect the switch of '\(bridge)'", from: .network)
            }
        } catch {
            kill(process, SIGTERM)
            throw error
        }
    }
}
