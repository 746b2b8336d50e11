// SPDX-License-Identifier: Apache-2.0

internal import ControlProtocol
internal import Glibc
internal import HostInventory
internal import HostSystem
internal import JSONCoding
public import ManagementModel
internal import ManagementXML
internal import XMLTree

/// Kinds of figures that a list of statistics may be asked for, in libvirt's bits.
public struct StatisticsGroups: OptionSet, Sendable {
    /// libvirt's virDomainStatsTypes.
    public let rawValue: UInt32
    /// Takes a client's mask as it is; 0 means all to clients, see `all`.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// `state.*`: what it does, and why.
    public static let state = StatisticsGroups(rawValue: 1)
    /// `cpu.*`: nanoseconds that the process used.
    public static let processor = StatisticsGroups(rawValue: 2)
    /// `balloon.*`: KiB of memory, and what the process holds.
    public static let balloon = StatisticsGroups(rawValue: 4)
    /// `vcpu.*`: how many processors, and the state of each.
    public static let vcpu = StatisticsGroups(rawValue: 8)
    /// `net.*`: what each tap device transferred.
    public static let interface = StatisticsGroups(rawValue: 16)
    /// `block.*`: what each disk transferred.
    public static let block = StatisticsGroups(rawValue: 32)
    /// `iothread.*`: how the IO threads poll.
    public static let ioThread = StatisticsGroups(rawValue: 128)
    /// `dirtyrate.*`: how fast the guest writes its memory, as far as it was measured.
    public static let dirtyRate = StatisticsGroups(rawValue: 512)
    /// All that libvirt knows; groups of which there is nothing here give nothing.
    public static let known: UInt32 = 0x7ff
    /// What a mask of 0 stands for.
    public static let all = StatisticsGroups(rawValue: 0xffff)
}

/// What a disk has transferred.
public struct DiskFigures: Sendable {
    /// Requests and bytes since the machine started.
    public var readRequests: Int64 = 0, readBytes: Int64 = 0, writeRequests: Int64 = 0, writtenBytes: Int64 = 0
    /// Flushes, and the nanoseconds that reads, writes and flushes took together.
    public var flushRequests: Int64 = 0, readTime: Int64 = 0, writeTime: Int64 = 0, flushTime: Int64 = 0
    /// Always -1, by which clients know that errors are not counted.
    public var errors: Int64 = -1
}

// Figures of machines.
extension MachineDriver {
    /// All figures of a machine in the groups asked for.
    public func statistics(_ facts: MachineFacts, _ groups: StatisticsGroups) -> [TypedParameter] {
        var list: [TypedParameter] = []
        func add(_ name: String, _ value: TypedParameter.Value) { list.append(TypedParameter(name, value)) }
        if groups.contains(.state) {
            add("state.state", .int(facts.state.state))
            add("state.reason", .int(facts.state.reason))
        }
        guard let machine = try? machine(facts.uuid) else { return list }
        let live = machine.live
        if groups.contains(.processor) {
            // A machine that does not run has used nothing.
            let times = live.flatMap { ProcessTimes($0.process) }
            add("cpu.time", .ulong(times?.total ?? 0))
            add("cpu.user", .ulong(times?.user ?? 0))
            add("cpu.system", .ulong(times?.system ?? 0))
            if live != nil { add("cpu.cache.monitor.count", .uint(0)) }
        }
        if groups.contains(.balloon) {
            add("balloon.current", .ulong(facts.memory))
            add("balloon.maximum", .ulong(facts.maximumMemory))
            if live != nil { list += balloonReports(facts.uuid) }
        }
        if groups.contains(.vcpu) {
            add("vcpu.current", .uint(UInt32(truncatingIfNeeded: facts.processors)))
            add("vcpu.maximum", .uint(UInt32(truncatingIfNeeded: facts.maximumProcessors)))
            if let live { list += processorFigures(live) }
        }
        guard let live else {
            if groups.contains(.block) { list += Self.imageFigures(facts.disks) }
            return list
        }
        if groups.contains(.interface) { list += interfaceFigures(live.definition) }
        if groups.contains(.block) { list += blockFigures(live) }
        if groups.contains(.ioThread) { list += ioThreadFigures(live) }
        if groups.contains(.dirtyRate) { list += dirtyRateFigures(live) }
        return list
    }

    /// libvirt's names of what a guest reports of its memory, by tag.
    private static let reportNames: [Int32: String] = [
        0: "swap_in", 1: "swap_out", 2: "major_fault", 3: "minor_fault", 4: "unused", 5: "available", 7: "rss",
        8: "usable", 9: "last-update", 10: "disk_caches", 11: "hugetlb_pgalloc", 12: "hugetlb_pgfail",
    ]

    private func balloonReports(_ uuid: UniqueID) -> [TypedParameter] {
        ((try? memoryFigures(uuid)) ?? []).compactMap { report in
            Self.reportNames[report.tag].map { TypedParameter("balloon." + $0, .ulong(report.value)) }
        }
    }

    private func processorFigures(_ live: LiveMachine) -> [TypedParameter] {
        var list: [TypedParameter] = []
        let running: Int32 = 1
        for (number, thread) in ((try? threads(live)) ?? []).enumerated() {
            let prefix = "vcpu.\(number)."
            list.append(TypedParameter(prefix + "state", .int(running)))
            guard let times = ThreadTimes(process: live.process, thread: thread) else { continue }
            list.append(TypedParameter(prefix + "time", .ulong(times.total)))
            // The kernel counts no waits of its own since it stopped keeping them apart.
            list.append(TypedParameter(prefix + "wait", .ulong(0)))
            list.append(TypedParameter(prefix + "delay", .ulong(times.waited)))
        }
        return list
    }

    private func ioThreadFigures(_ live: LiveMachine) -> [TypedParameter] {
        guard let answer = try? live.monitor.execute("query-iothreads").array, !answer.isEmpty else { return [] }
        var list = [TypedParameter("iothread.count", .uint(UInt32(answer.count)))]
        for entry in answer {
            guard let id = entry["id"]?.string, id.hasPrefix("iothread"), let number = UInt32(id.dropFirst(8)) else {
                continue
            }
            for field in ["poll-max-ns", "poll-grow", "poll-shrink"] {
                guard let value = entry[field]?.unsigned else { continue }
                let isTime = field == "poll-max-ns"
                list.append(
                    TypedParameter(
                        "iothread.\(number).\(field)",
                        isTime ? .ulong(value) : .uint(UInt32(truncatingIfNeeded: value))))
            }
        }
        return list
    }

    private func interfaceFigures(_ definition: DomainDefinition) -> [TypedParameter] {
        let interfaces = definition.devices.filter { $0.name == "interface" }
        var list = [TypedParameter("net.count", .uint(UInt32(interfaces.count)))]
        for (number, interface) in interfaces.enumerated() {
            guard let name = interface[child: "target"]?["dev"] else { continue }
            list.append(TypedParameter("net.\(number).name", .text(name)))
            for (label, value) in InterfaceFigures.read(name) {
                list.append(TypedParameter("net.\(number).\(label)", .ulong(value)))
            }
        }
        return list
    }

    private func blockFigures(_ live: LiveMachine) -> [TypedParameter] {
        let disks = live.definition.devices.filter { $0.name == "disk" }
        var list = [TypedParameter("block.count", .uint(UInt32(disks.count)))]
        let answer = try? live.monitor.execute("query-blockstats").array
        let nodes = (try? live.monitor.execute("query-named-block-nodes").array) ?? []
        for (number, disk) in disks.enumerated() {
            let prefix = "block.\(number)."
            list.append(TypedParameter(prefix + "name", .text(disk[child: "target"]?["dev"] ?? "")))
            if let path = disk[child: "source"]?["file"] ?? disk[child: "source"]?["dev"] {
                list.append(TypedParameter(prefix + "path", .text(path)))
            }
            guard let figures = Self.figures(of: disk, in: answer ?? []) else { continue }
            let pairs: [(String, Int64)] = [
                ("rd.reqs", figures.readRequests), ("rd.bytes", figures.readBytes), ("rd.times", figures.readTime),
                ("wr.reqs", figures.writeRequests), ("wr.bytes", figures.writtenBytes), ("wr.times", figures.writeTime),
                ("fl.reqs", figures.flushRequests), ("fl.times", figures.flushTime),
            ]
            for (label, value) in pairs { list.append(TypedParameter(prefix + label, .ulong(UInt64(max(0, value))))) }
            list += Self.sizes(of: disk, answer ?? [], nodes).map {
                TypedParameter(prefix + $0.label, .ulong($0.value))
            }
            if let index = disk[child: "source"]?["index"].flatMap({ UInt32($0) }) {
                list.append(TypedParameter(prefix + "backingIndex", .uint(index)))
            }
        }
        return list
    }

    /// Bytes of a disk's image, as the emulator knows them: written up to, seen by the guest, taken on the host.
    private static func sizes(of disk: XMLElement, _ answer: [JSONValue], _ nodes: [JSONValue]) -> [(
        label: String, value: UInt64
    )] {
        let alias = disk[child: "alias"]?["name"] ?? ""
        guard let entry = answer.first(where: { isOf(alias, $0["qdev"]?.string) }),
            let image = nodes.first(where: { $0["node-name"] == entry["node-name"] })?["image"]
        else { return [] }
        var found: [(label: String, value: UInt64)] = []
        if let highest = entry["parent"]?["stats"]?["wr_highest_offset"]?.unsigned {
            found.append(("allocation", highest))
        }
        if let size = image["virtual-size"]?.unsigned { found.append(("capacity", size)) }
        if let size = image["actual-size"]?.unsigned { found.append(("physical", size)) }
        return found
    }

    /// Disks of a machine that does not run: their files.
    private static func imageFigures(_ disks: [DiskPlace]) -> [TypedParameter] {
        var list = [TypedParameter("block.count", .uint(UInt32(disks.count)))]
        for (number, disk) in disks.enumerated() {
            let prefix = "block.\(number)."
            list.append(TypedParameter(prefix + "name", .text(disk.target)))
            guard let path = disk.path else { continue }
            list.append(TypedParameter(prefix + "path", .text(path)))
            var information = stat()
            // stat copies the path and fills the structure on this frame.
            guard unsafe stat(path, &information) == 0 else { continue }
            let size = UInt64(max(0, information.st_size))
            list.append(TypedParameter(prefix + "allocation", .ulong(UInt64(max(0, information.st_blocks)) &* 512)))
            list.append(TypedParameter(prefix + "capacity", .ulong(ImageHeader.capacity(path) ?? size)))
            list.append(TypedParameter(prefix + "physical", .ulong(size)))
        }
        return list
    }

    private static func figures(of disk: XMLElement, in answer: [JSONValue]) -> DiskFigures? {
        let alias = disk[child: "alias"]?["name"] ?? ""
        let entry = answer.first { entry in
            (entry["qdev"]?.string?.split(separator: "/").contains { $0 == alias } ?? false)
        }
        guard let stats = entry?["stats"] else { return nil }
        func number(_ name: String) -> Int64 { stats[name]?.integer ?? 0 }
        return DiskFigures(
            readRequests: number("rd_operations"), readBytes: number("rd_bytes"),
            writeRequests: number("wr_operations"),
            writtenBytes: number("wr_bytes"), flushRequests: number("flush_operations"),
            readTime: number("rd_total_time_ns"), writeTime: number("wr_total_time_ns"),
            flushTime: number("flush_total_time_ns"))
    }

    /// What a disk, named by its target or its path, has transferred; without a name all disks together.
    public func diskFigures(_ uuid: UniqueID, _ name: String) throws -> DiskFigures {
        try onMonitor(uuid) { _, live in
            let answer = try live.monitor.execute("query-blockstats").array ?? []
            let disks = live.definition.devices.filter { $0.name == "disk" }
            let wanted = name.isEmpty ? disks : disks.filter { Self.isCalled($0, name) }
            guard !wanted.isEmpty else { throw ManagementError(.invalidArg, "invalid path: \(name)") }
            return wanted.compactMap { Self.figures(of: $0, in: answer) }.reduce(into: DiskFigures()) { sum, figures in
                sum.readRequests &+= figures.readRequests
                sum.readBytes &+= figures.readBytes
                sum.writeRequests &+= figures.writeRequests
                sum.writtenBytes &+= figures.writtenBytes
                sum.flushRequests &+= figures.flushRequests
                sum.readTime &+= figures.readTime
                sum.writeTime &+= figures.writeTime
                sum.flushTime &+= figures.flushTime
            }
        }
    }

    private static func isCalled(_ disk: XMLElement, _ name: String) -> Bool {
        let source = disk[child: "source"]
        return [disk[child: "target"]?["dev"], source?["file"], source?["dev"]].contains(name)
    }

    /// Sizes of a disk's image in bytes: taken on the host, seen by the guest, length of the file.
    public func diskSizes(_ uuid: UniqueID, _ name: String) throws -> (
        allocation: UInt64, capacity: UInt64, physical: UInt64
    ) {
        let machine = try machine(uuid)
        let definition = try machine.live?.definition ?? definition(of: machine)
        let disk = definition.devices.first { $0.name == "disk" && Self.isCalled($0, name) }
        guard let disk, let path = disk[child: "source"]?["file"] ?? disk[child: "source"]?["dev"] else {
            throw ManagementError(.invalidArg, "invalid path \(name) not assigned to domain")
        }
        var information = stat()
        // stat copies the path and fills the struct on this frame.
        guard unsafe stat(path, &information) == 0 else {
            throw ManagementError(.systemError, "cannot stat file '\(path)': \(Errno.current)")
        }
        let physical = UInt64(max(0, information.st_size))
        var capacity = ImageHeader.capacity(path) ?? physical
        if let live = machine.live, let nodes = try? live.monitor.execute("query-named-block-nodes").array {
            let found = nodes.first { $0["file"]?.string == path && $0["drv"]?.string != "file" }
            capacity = found?["image"]?["virtual-size"]?.unsigned ?? capacity
        }
        return (UInt64(max(0, information.st_blocks)) &* 512, capacity, physical)
    }

    /// What an interface of a running machine, named by its tap device, has transferred: bytes, packets, errors and drops
    /// received and sent by the guest.
    public func interfaceFigures(_ uuid: UniqueID, _ name: String) throws -> [Int64] {
        let live = try machine(uuid).requireLive()
        let interface = live.definition.devices.first {
            $0.name == "interface" && ($0[child: "target"]?["dev"] == name || $0[child: "mac"]?["address"] == name)
        }
        guard let tap = interface?[child: "target"]?["dev"] else {
            throw ManagementError(.invalidArg, "'\(name)' is not a known interface")
        }
        return InterfaceFigures.read(tap).map { Int64(truncatingIfNeeded: $0.value) }
    }
}

/// What the kernel counts for a tap device. The host's side sends what the guest receives.
enum InterfaceFigures {
    static func read(_ name: String) -> [(label: String, value: UInt64)] {
        let folder = "/sys/class/net/\(name)/statistics/"
        let kinds = ["bytes", "packets", "errors", "dropped"]
        let labels = ["bytes", "pkts", "errs", "drop"]
        let received = zip(kinds, labels).map { ("rx.\($1)", TextFile.number(folder + "tx_\($0)") ?? 0) }
        let sent = zip(kinds, labels).map { ("tx.\($1)", TextFile.number(folder + "rx_\($0)") ?? 0) }
        return received + sent
    }
}
