// SPDX-License-Identifier: Apache-2.0

internal import ControlProtocol
internal import Diagnostics
internal import GuestMemory
internal import JSONCoding
internal import MachineModel

extension InfoTable {
    /// What people look at now and then.
    static let more = memory + tools + absent

    private static let memory = [
        HumanCommand("numa", "", "show NUMA information") { call in call.print("0 nodes\n") },
        HumanCommand("memory-devices", "", "show memory devices") { _ in },
        HumanCommand("memdev", "", "show memory backends") { call in call.print("\n") },
        HumanCommand("roms", "", "show roms") { call in
            for region in call.machine.memory.regions where region.isReadOnly && region.isMapped {
                call.print(
                    "addr=\(hex(region.start, 16)) size=0x\(hex(region.count, 6)) mem=rom name=\"\(region.name)\"\n")
            }
        },
        HumanCommand("ramblock", "", "Display system ramblock information") { call in
            let blank = " "
            func row(_ name: String, _ size: String, _ columns: [String]) -> String {
                ([padded(name, 24), padded(size, 8), blank + padded(columns[0], 18)]
                    + columns.dropFirst().map {
                        padded($0, 18)
                    }).joined(separator: blank) + "\n"
            }
            call.print(row("Block Name", "PSize", ["Offset", "Used", "Total"]))
            var offset: UInt64 = 0
            for region in call.machine.memory.regions {
                let count = "0x" + hex(region.count, 16)
                call.print(
                    row(region.name, "\(GuestMemory.pageSize >> 10) KiB", ["0x" + hex(offset, 16), count, count]))
                offset &+= region.count
            }
        },
        HumanCommand("qom-tree", "[path]", "show QOM composition tree") { (call) throws(HumanFailure) in
            let path = try call.word() ?? "/machine"
            do throws(QMPError) { call.print(try ObjectTree(call.machine).text(path)) } catch {
                throw HumanFailure(error)
            }
        },
    ]

    private static func padded(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.utf8.count)) + text
    }

    private static let tools = [
        HumanCommand("dump", "", "Display the latest dump status") { call in
            let task = call.monitor.server.dump
            call.print("Status: \((task?.status ?? .none).rawValue)\n")
            guard let task, task.status == .active else { return }
            let hundredths = task.total > 0 ? task.completed &* 10_000 / task.total : 0
            let cents = String(hundredths % 100)
            call.print("Finished: \(hundredths / 100).\(cents.utf8.count < 2 ? "0" : "")\(cents) %\n")
        },
        HumanCommand("iothreads", "", "show iothreads") { (call) throws(HumanFailure) in
            for thread in try call.perform("query-iothreads").array ?? [] {
                call.print("\(thread["id"]?.string ?? ""):\n")
                for (title, member) in [
                    ("thread_id", "thread-id"), ("poll-max-ns", "poll-max-ns"), ("poll-grow", "poll-grow"),
                    ("poll-shrink", "poll-shrink"), ("aio-max-batch", "aio-max-batch"),
                ] { call.print("  \(title)=\(thread[member]?.integer ?? 0)\n") }
            }
        },
        HumanCommand("history", "", "show the command line history") { call in
            for (number, line) in call.monitor.history().enumerated() { call.print("\(number): '\(line)'\n") }
        },
        HumanCommand("usernet", "", "show user network stack connection states") { call in
            for network in (call.machine as? any PortForwarding)?.forwardingNetworks() ?? [] {
                call.print("Hub -1 (\(network.name)):\n\(network.connections)")
            }
        },
        HumanCommand("trace-events", "[name]", "show available trace-events & their state") {
            (call) throws(HumanFailure) in
            let wanted = try call.word()
            let found = TraceAnswers.points(wanted ?? "*")
            if found.isEmpty, let wanted { return call.print("unknown event \"\(wanted)\"\n") }
            for point in found { call.print("\(point.rawValue) : state \(Trace.isEnabled(point) ? 1 : 0)\n") }
        },
    ]

    /// What no machine of ours has, in the original's words.
    private static let absent = [
        HumanCommand("capture", "", "show capture information") { _ in },
        HumanCommand("tpm", "", "show the TPM device") { _ in },
        HumanCommand("vm-generation-id", "", "Show Virtual Machine Generation ID") { (call) throws(HumanFailure) in
            try call.perform("query-vm-generation-id")
        },
    ]
}

extension ObjectTree {
    /// A node with everything below it, two blanks for each level.
    func text(_ path: String) throws(QMPError) -> String {
        let parts = path.split(separator: "/").map(String.init)
        return try text("/" + parts.joined(separator: "/"), name: parts.last ?? "", indent: 0)
    }

    private func text(_ path: String, name: String, indent: Int) throws(QMPError) -> String {
        let node = try node(path)
        var text = String(repeating: " ", count: indent) + "/\(name) (\(node.type))\n"
        let children = node.entries.filter { $0.type.hasPrefix("child<") }.map(\.name).sorted()
        for child in children {
            text += try self.text(path == "/" ? "/" + child : "\(path)/\(child)", name: child, indent: indent + 2)
        }
        return text
    }
}

/// Points that can be traced, by name.
enum TraceAnswers {
    /// - Parameter pattern: a name, or the beginning of names and a star.
    static func points(_ pattern: String) -> [TracePoint] {
        TracePoint.allCases.filter { point in
            pattern.hasSuffix("*") ? point.rawValue.hasPrefix(pattern.dropLast()) : point.rawValue == pattern
        }
    }
}
