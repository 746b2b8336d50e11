// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
internal import JSONCoding
public import ManagementModel
internal import ManagementXML
internal import XMLTree

/// A limit or a weight that a machine's document may hold: its name in calls, its type there, and its place in the
/// document.
struct Tunable: Sendable {
    enum Kind: Sendable { case int, uint, long, ulong, text }
    let name: String
    let kind: Kind
    /// The element, from the root on; `@name` at the end for an attribute.
    let path: [String]
    /// What there is when the document says nothing.
    let absent: Int64

    init(_ name: String, _ kind: Kind, _ path: String, absent: Int64 = 0) {
        self.name = name
        self.kind = kind
        self.path = path.split(separator: "/").map(String.init)
        self.absent = absent
    }
}

/// The groups of limits that clients ask for together.
public enum TuningGroup: Sendable {
    case scheduler, memory, block, numa

    /// What a limit of memory is when there is none, in KiB.
    static let unlimited: Int64 = 9_007_199_254_740_991

    /// How many limits there are.
    public var count: Int { tunables.count }

    var tunables: [Tunable] {
        switch self {
        case .scheduler:
            [
                Tunable("cpu_shares", .ulong, "cputune/shares"),
                Tunable("vcpu_period", .ulong, "cputune/period"),
                Tunable("vcpu_quota", .long, "cputune/quota"),
                Tunable("emulator_period", .ulong, "cputune/emulator_period"),
                Tunable("emulator_quota", .long, "cputune/emulator_quota"),
                Tunable("global_period", .ulong, "cputune/global_period"),
                Tunable("global_quota", .long, "cputune/global_quota"),
                Tunable("iothread_period", .ulong, "cputune/iothread_period"),
                Tunable("iothread_quota", .long, "cputune/iothread_quota"),
            ]
        case .memory:
            [
                Tunable("hard_limit", .ulong, "memtune/hard_limit", absent: Self.unlimited),
                Tunable("soft_limit", .ulong, "memtune/soft_limit", absent: Self.unlimited),
                Tunable("swap_hard_limit", .ulong, "memtune/swap_hard_limit", absent: Self.unlimited),
            ]
        case .block:
            [
                Tunable("weight", .uint, "blkiotune/weight"),
                Tunable("device_weight", .text, "blkiotune"), Tunable("device_read_iops_sec", .text, "blkiotune"),
                Tunable("device_write_iops_sec", .text, "blkiotune"),
                Tunable("device_read_bytes_sec", .text, "blkiotune"),
                Tunable("device_write_bytes_sec", .text, "blkiotune"),
            ]
        case .numa:
            [
                Tunable("numa_nodeset", .text, "numatune/memory/@nodeset"),
                Tunable("numa_mode", .int, "numatune/memory/@mode"),
            ]
        }
    }

    static let numaModes = ["strict", "preferred", "interleave", "restrictive"]
    /// What the block group keeps for single devices, by the name of its parameter.
    static func deviceElement(_ name: String) -> String { String(name.dropFirst("device_".count)) }
}

// Limits and weights. The kernel's control groups are not this service's to change while a machine runs: what is set
// holds from the machine's next start on, and a change of a running machine says so.
extension MachineDriver {
    /// What a machine is limited to.
    public func tuning(_ uuid: UniqueID, _ group: TuningGroup, _ scope: ProcessorScope) throws -> [TypedParameter] {
        let machine = try machine(uuid)
        let (live, _) = try resolve(machine, scope)
        let definition = try live ? machine.requireLive().definition : definition(of: machine)
        return group.tunables.map { Self.parameter($0, definition.root) }
    }

    private static func parameter(_ tunable: Tunable, _ root: XMLElement) -> TypedParameter {
        if tunable.name.hasPrefix("device_") {
            let field = TuningGroup.deviceElement(tunable.name)
            let entries = (root[child: "blkiotune"]?.all("device") ?? []).compactMap { device in
                device[child: "path"].flatMap { path in device[child: field].map { path.text + "," + $0.text } }
            }
            return TypedParameter(tunable.name, .text(entries.joined(separator: ",")))
        }
        let text = value(at: tunable.path, in: root)
        if tunable.name == "numa_mode" {
            let place = text.flatMap { TuningGroup.numaModes.firstIndex(of: $0) } ?? 0
            return TypedParameter(tunable.name, .int(Int32(place)))
        }
        let number = text.flatMap { Int64($0) } ?? tunable.absent
        switch tunable.kind {
        case .int: return TypedParameter(tunable.name, .int(Int32(clamping: number)))
        case .uint: return TypedParameter(tunable.name, .uint(UInt32(clamping: number)))
        case .long: return TypedParameter(tunable.name, .long(number))
        case .ulong: return TypedParameter(tunable.name, .ulong(UInt64(clamping: number)))
        case .text: return TypedParameter(tunable.name, .text(text ?? ""))
        }
    }

    private static func value(at path: [String], in root: XMLElement) -> String? {
        var element: XMLElement? = root
        for name in path {
            if name.hasPrefix("@") { return element?[String(name.dropFirst())] }
            element = element?[child: name]
        }
        return element?.text
    }

    /// Limits a machine.
    public func setTuning(
        _ uuid: UniqueID, _ group: TuningGroup, _ parameters: [TypedParameter], _ scope: ProcessorScope
    ) throws {
        let machine = try machine(uuid)
        try machine.job.withLock {
            let (live, configuration) = try resolve(machine, scope)
            let known = group.tunables
            for parameter in parameters where !known.contains(where: { $0.name == parameter.name }) {
                throw ManagementError(.invalidArg, "parameter '\(parameter.name)' not supported", from: .none)
            }
            if live {
                let what =
                    switch group {
                    case .scheduler: "cgroup CPU controller is not mounted"
                    case .memory: "cgroup memory controller is not mounted"
                    case .block: "blkio cgroup isn't mounted"
                    case .numa: "cgroup cpuset controller is not mounted"
                    }
                throw ManagementError(.operationInvalid, what)
            }
            guard configuration else { return }
            for parameter in parameters { try Self.checkRange(parameter) }
            try update(machine) { definition in
                for parameter in parameters {
                    guard let tunable = known.first(where: { $0.name == parameter.name }) else { continue }
                    try Self.set(tunable, parameter, &definition.root)
                }
                definition.order()
            }
        }
    }

    /// How memory is bound to nodes that are named without saying how.
    private static let numaModeOfNodes = "strict"
    /// Microseconds that the kernel's scheduler takes as a period, and as the share of one.
    private static let periods: ClosedRange<Int64> = 1000...1_000_000
    private static let quotas: ClosedRange<Int64> = 1000...17_592_186_044_415

    private static func checkRange(_ parameter: TypedParameter) throws {
        let name = parameter.name
        guard name.hasSuffix("_period") || name.hasSuffix("_quota") else { return }
        let range = name.hasSuffix("_period") ? periods : quotas
        let number: Int64
        switch parameter.value {
        case .long(let value): number = value
        case .ulong(let value): number = Int64(clamping: value)
        default: return
        }
        // Nothing, and less, stand for no limit.
        guard number > 0, !range.contains(number) else { return }
        throw ManagementError(
            .invalidArg, "value of '\(name)' is out of range [\(range.lowerBound), \(range.upperBound)]")
    }

    private static func set(_ tunable: Tunable, _ parameter: TypedParameter, _ root: inout XMLElement) throws {
        let text: String
        switch parameter.value {
        case .int(let number): text = "\(number)"
        case .uint(let number): text = "\(number)"
        case .long(let number): text = "\(number)"
        case .ulong(let number): text = "\(number)"
        case .text(let value): text = value
        case .bool, .double:
            throw ManagementError(
                .invalidArg, "invalid type for parameter '\(parameter.name)'", from: .none)
        }
        if tunable.name.hasPrefix("device_") { return try setDevices(tunable.name, text, &root) }
        var value: String? = text
        if tunable.name == "numa_mode" {
            guard let number = Int(text), TuningGroup.numaModes.indices.contains(number) else {
                throw ManagementError(.invalidArg, "unsupported numatune mode: '\(text)'")
            }
            value = TuningGroup.numaModes[number]
        }
        // The value that stands for none takes the element away.
        if text == "\(tunable.absent)" && tunable.kind != .text { value = nil }
        put(value, at: tunable.path[...], in: &root)
        if tunable.name == "numa_nodeset", var memory = root.at("numatune", "memory"), memory["mode"] == nil {
            memory.attributes.insert(XMLAttribute("mode", numaModeOfNodes), at: 0)
            root[child: "numatune"]?[child: "memory"] = memory
        }
        if let group = tunable.path.first, root[child: group]?.isEmpty ?? false { root[child: group] = nil }
    }

    private static func put(_ value: String?, at path: ArraySlice<String>, in element: inout XMLElement) {
        guard let name = path.first else { return }
        if name.hasPrefix("@") {
            element[String(name.dropFirst())] = value
        } else if path.count == 1 {
            var leaf = value.map { XMLElement(name, text: $0) }
            if name.hasSuffix("_limit") { leaf?["unit"] = "KiB" }
            element[child: name] = leaf
        } else {
            var child = element[child: name] ?? XMLElement(name)
            put(value, at: path.dropFirst(), in: &child)
            element[child: name] = child.isEmpty ? nil : child
        }
    }

    private static func setDevices(_ name: String, _ text: String, _ root: inout XMLElement) throws {
        let parts = text.split(separator: ",").map(String.init)
        guard parts.count.isMultiple(of: 2) else {
            throw ManagementError(.invalidArg, "unable to parse blkio device '\(name)' '\(text)'")
        }
        let field = TuningGroup.deviceElement(name)
        var tune = root[child: "blkiotune"] ?? XMLElement("blkiotune")
        for place in stride(from: 0, to: parts.count, by: 2) {
            guard let number = UInt64(parts[place + 1]) else {
                throw ManagementError(.invalidArg, "invalid value '\(parts[place + 1])' for parameter '\(name)'")
            }
            var devices = tune.all("device")
            let index = devices.firstIndex { $0[child: "path"]?.text == parts[place] }
            var device =
                index.map { devices[$0] } ?? XMLElement("device", [:], [XMLElement("path", text: parts[place])])
            device[child: field] = number == 0 ? nil : XMLElement(field, text: "\(number)")
            if let index { devices[index] = device } else { devices.append(device) }
            tune.elements = tune.elements.filter { $0.name != "device" } + devices.filter { $0.elements.count > 1 }
        }
        root[child: "blkiotune"] = tune.isEmpty ? nil : tune
    }

    // MARK: Limits of disks and interfaces

    private static let diskLimits = [
        "total_bytes_sec", "read_bytes_sec", "write_bytes_sec", "total_iops_sec", "read_iops_sec", "write_iops_sec",
        "total_bytes_sec_max", "read_bytes_sec_max", "write_bytes_sec_max", "total_iops_sec_max", "read_iops_sec_max",
        "write_iops_sec_max", "size_iops_sec",
    ]
    private static let lengthLimits = [
        "total_bytes_sec_max_length", "read_bytes_sec_max_length", "write_bytes_sec_max_length",
        "total_iops_sec_max_length", "read_iops_sec_max_length", "write_iops_sec_max_length",
    ]

    /// What the emulator calls a limit of a disk.
    private static func throttleName(_ name: String) -> String {
        var text = name
        let isLength = text.hasSuffix("_length")
        if isLength { text.removeLast(7) }
        let isMaximum = text.hasSuffix("_max")
        if isMaximum { text.removeLast(4) }
        if text == "size_iops_sec" { return "iops_size" }
        let parts = text.split(separator: "_")
        let unit = parts.count > 1 && parts[1] == "bytes" ? "bps" : "iops"
        let side = parts.first == "read" ? "_rd" : parts.first == "write" ? "_wr" : ""
        return unit + side + (isMaximum ? "_max" : "") + (isLength ? "_length" : "")
    }

    /// The limits of a disk.
    public func diskLimits(_ uuid: UniqueID, _ name: String, _ scope: ProcessorScope) throws -> [TypedParameter] {
        let machine = try machine(uuid)
        let (live, _) = try resolve(machine, scope)
        let definition = try live ? machine.requireLive().definition : definition(of: machine)
        guard let disk = definition.disk(name) else {
            throw ManagementError(.invalidArg, "disk '\(name)' was not found in the domain config")
        }
        let tune = disk[child: "iotune"]
        func number(_ name: String) -> TypedParameter.Value {
            .ulong(tune?[child: name].flatMap { UInt64($0.text) } ?? 0)
        }
        var list = Self.diskLimits.map { TypedParameter($0, number($0)) }
        list.append(TypedParameter("group_name", .text(tune?[child: "group_name"]?.text ?? "")))
        return list + Self.lengthLimits.map { TypedParameter($0, number($0)) }
    }

    /// Limits a disk.
    public func setDiskLimits(
        _ uuid: UniqueID, _ name: String, _ parameters: [TypedParameter], _ scope: ProcessorScope
    ) throws {
        try Self.checkLimits(parameters)
        let machine = try machine(uuid)
        try machine.job.withLock {
            let (live, configuration) = try resolve(machine, scope)
            func change(_ definition: inout DomainDefinition) throws {
                guard let target = definition.disk(name)?[child: "target"]?["dev"] else {
                    throw ManagementError(.invalidArg, "missing persistent configuration for disk '\(name)'")
                }
                try definition.changeDisk(target) { try Self.limit(&$0, parameters) }
                definition.order()
            }
            if live {
                var definition = try machine.requireLive().definition
                try change(&definition)
                guard let disk = definition.disk(name) else { return }
                try onMonitorOf(machine) { try throttle(disk, $0) }
                machine.change { _, running in running?.definition = definition }
                saveStatus(machine)
            }
            if configuration { try update(machine, change) }
            let list = parameters.map { TypedParameter("blkdeviotune." + $0.name, $0.value) }
            events.emit(
                .machine(
                    machine.facts.reference, .tunable([TypedParameter("blkdeviotune.disk", .text(name))] + list)))
        }
    }

    /// A limit of all and one of a direction exclude each other.
    private static func checkLimits(_ parameters: [TypedParameter]) throws {
        let set = Set(parameters.filter { $0.value != .ulong(0) }.map(\.name))
        for unit in ["bytes_sec", "iops_sec", "bytes_sec_max", "iops_sec_max"] where set.contains("total_" + unit) {
            guard !set.contains("read_" + unit), !set.contains("write_" + unit) else {
                throw ManagementError(
                    .invalidArg, "total and read/write of \(unit) cannot be set at the same time")
            }
        }
    }

    /// Tells the emulator the limits of a disk.
    func throttle(_ disk: XMLElement, _ live: LiveMachine) throws {
        let tune = disk[child: "iotune"]
        let alias = disk[child: "alias"]?["name"] ?? ""
        // The back end may be below the device that the name stands for.
        let block = try live.monitor.execute("query-block").array ?? []
        let path = block.compactMap { $0["qdev"]?.string }.first { Self.isOf(alias, $0) }
        var arguments: JSONObject = ["id": .string(path ?? alias)]
        // These six must be there, and a length only where there is a maximum.
        for name in Self.diskLimits {
            let number = tune?[child: name].flatMap { Int64($0.text) } ?? 0
            if number != 0 || Self.diskLimits.prefix(6).contains(name) {
                arguments[Self.throttleName(name)] = .integer(number)
            }
        }
        for name in Self.lengthLimits {
            if let number = tune?[child: name].flatMap({ Int64($0.text) }), number > 0 {
                arguments[Self.throttleName(name)] = .integer(number)
            }
        }
        if let group = tune?[child: "group_name"]?.text { arguments["group"] = .string(group) }
        try live.monitor.execute("block_set_io_throttle", arguments)
    }

    private static func limit(_ disk: inout XMLElement, _ parameters: [TypedParameter]) throws {
        var tune = disk[child: "iotune"] ?? XMLElement("iotune")
        for parameter in parameters {
            switch parameter.value {
            case .ulong(let number) where (diskLimits + lengthLimits).contains(parameter.name):
                // A total and its parts exclude each other; the last one counts.
                if number > 0 {
                    let kind = parameter.name.split(separator: "_").dropFirst().joined(separator: "_")
                    let rivals =
                        parameter.name.hasPrefix("total") ? ["read_" + kind, "write_" + kind] : ["total_" + kind]
                    for rival in rivals where diskLimits.contains(parameter.name) && parameter.name != "size_iops_sec" {
                        tune[child: rival] = nil
                    }
                }
                tune[child: parameter.name] = number == 0 ? nil : XMLElement(parameter.name, text: "\(number)")
            case .text(let group) where parameter.name == "group_name":
                tune[child: "group_name"] = group.isEmpty ? nil : XMLElement("group_name", text: group)
            default:
                throw ManagementError(.invalidArg, "parameter '\(parameter.name)' not supported", from: .none)
            }
        }
        disk[child: "iotune"] = tune.isEmpty ? nil : tune
    }
}
