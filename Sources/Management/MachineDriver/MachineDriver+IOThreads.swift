// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem
internal import JSONCoding
public import ManagementModel
package import ManagementXML
internal import XMLTree

extension DomainDefinition {
    /// Numbers of the threads that work for disks: those that have one in the document, and as many more as it asks for.
    package var threadNumbers: [UInt32] {
        let named = (root[child: "iothreadids"]?.all("iothread") ?? []).compactMap { $0["id"].flatMap { UInt32($0) } }
        let wanted = min(root[child: "iothreads"].flatMap { Int($0.text) } ?? 0, Self.threadLimit)
        var numbers = named
        var next: UInt32 = 1
        while numbers.count < wanted {
            if !numbers.contains(next) { numbers.append(next) }
            next += 1
        }
        return numbers.sorted()
    }

    /// More than any machine has use for.
    private static let threadLimit = 1024

    /// Says which threads there are; none removes all that is said of them.
    package mutating func setThreads(_ numbers: [UInt32]) {
        root[child: "iothreads"] = numbers.isEmpty ? nil : XMLElement("iothreads", text: "\(numbers.count)")
        // What the document says of a thread that stays is kept.
        let old = root[child: "iothreadids"]?.all("iothread") ?? []
        root[child: "iothreadids"] =
            numbers.isEmpty
            ? nil
            : XMLElement(
                "iothreadids", [:],
                numbers.map { number in
                    old.first { $0["id"] == "\(number)" } ?? XMLElement("iothread", ["id": "\(number)"])
                })
        if var tune = root[child: "cputune"] {
            let kept = Set(numbers.map(String.init))
            tune.elements.removeAll { $0.name == "iothreadpin" && !kept.contains($0["iothread"] ?? "") }
            root[child: "cputune"] = tune.elements.isEmpty ? nil : tune
        }
        order()
    }

    /// Whether a disk is worked for by a thread.
    package func usesThread(_ number: UInt32) -> Bool {
        devices.contains { $0[child: "driver"]?["iothread"] == "\(number)" }
    }
}

// Threads of the emulator that work for disks.
extension MachineDriver {
    /// The name of a thread on the command line.
    static func threadName(_ number: UInt32) -> String { "iothread\(number)" }

    /// The threads and the host's processors that each may run on, a bit for each.
    public func diskThreads(
        _ uuid: UniqueID, _ scope: ProcessorScope, hostProcessors: Int
    ) throws -> [(number: UInt32, map: [UInt8])] {
        let machine = try machine(uuid)
        let (live, _) = try resolve(machine, scope)
        let definition = try live ? machine.requireLive().definition : definition(of: machine)
        let length = (hostProcessors + 7) / 8
        let everywhere = ProcessorSet.map("0-\(max(0, hostProcessors - 1))", length: length) ?? []
        return definition.threadNumbers.map { number in
            let pin = definition.root[child: "cputune"]?.all("iothreadpin").first { $0["iothread"] == "\(number)" }
            let map = pin?["cpuset"].flatMap { ProcessorSet.map($0, length: length) }
            return (number, map ?? everywhere)
        }
    }

    /// Adds a thread.
    public func addDiskThread(_ uuid: UniqueID, _ number: UInt32, _ scope: ProcessorScope) throws {
        guard number > 0 else {
            throw ManagementError(.invalidArg, "invalid value of 0 for iothread_id", from: .none)
        }
        try changeThreads(uuid, scope) { definition in
            let numbers = definition.threadNumbers
            guard !numbers.contains(number) else {
                throw ManagementError(.invalidArg, "an IOThread is already using iothread_id '\(number)'")
            }
            definition.setThreads((numbers + [number]).sorted())
        } live: {
            try $0.monitor.execute("object-add", ["qom-type": "iothread", "id": .string(Self.threadName(number))])
        }
    }

    /// Removes a thread that no disk needs.
    public func removeDiskThread(_ uuid: UniqueID, _ number: UInt32, _ scope: ProcessorScope) throws {
        guard number > 0 else {
            throw ManagementError(.invalidArg, "invalid value of 0 for iothread_id", from: .none)
        }
        try changeThreads(uuid, scope) { definition in
            let numbers = definition.threadNumbers
            guard numbers.contains(number) else {
                throw ManagementError(.invalidArg, "cannot find IOThread '\(number)' in iothreadids list")
            }
            guard !definition.usesThread(number) else {
                throw ManagementError(.operationInvalid, "cannot remove IOThread '\(number)' since it is being used")
            }
            definition.setThreads(numbers.filter { $0 != number })
        } live: {
            try $0.monitor.execute("object-del", ["id": .string(Self.threadName(number))])
        }
    }

    /// Changes the definition, and the machine where it runs.
    private func changeThreads(
        _ uuid: UniqueID, _ scope: ProcessorScope, _ change: (inout DomainDefinition) throws -> Void,
        live act: (LiveMachine) throws -> Void
    ) throws {
        let machine = try machine(uuid)
        try machine.job.withLock {
            let (live, configuration) = try resolve(machine, scope)
            var kept: DomainDefinition?
            if configuration {
                var definition = try definition(of: machine)
                try change(&definition)
                kept = definition
            }
            if live {
                var running = try machine.requireLive().definition
                try change(&running)
                try onMonitorOf(machine) { try act($0) }
                machine.change { _, live in live?.definition = running }
                saveStatus(machine)
            }
            if let kept { try keep(kept, of: machine) }
        }
    }

    /// Binds a thread to some of the host's processors.
    public func pin(_ uuid: UniqueID, thread number: UInt32, _ map: [UInt8], _ scope: ProcessorScope) throws {
        guard map.contains(where: { $0 != 0 }) else {
            throw ManagementError(.invalidArg, "Empty cpu list for pinning", from: .none)
        }
        try changeThreads(uuid, scope) { definition in
            guard definition.threadNumbers.contains(number) else {
                throw ManagementError(.invalidArg, "iothread \(number) not found")
            }
            var tune = definition.root[child: "cputune"] ?? XMLElement("cputune")
            tune.elements.removeAll { $0.name == "iothreadpin" && $0["iothread"] == "\(number)" }
            tune.append(XMLElement("iothreadpin", ["iothread": "\(number)", "cpuset": ProcessorSet.text(map)]))
            definition.root[child: "cputune"] = tune
            definition.order()
        } live: { running in
            guard let thread = try ioThreads(running).first(where: { $0.number == number })?.thread else {
                throw ManagementError(
                    .operationUnsupported, "the emulator does not say which thread IOThread \(number) is")
            }
            try setAffinity(thread, map)
        }
    }

    /// Threads of a running machine by number, with the host's numbers of them.
    func ioThreads(_ live: LiveMachine) throws -> [(number: UInt32, thread: Int32)] {
        let prefix = "iothread"
        return (try live.monitor.execute("query-iothreads").array ?? []).compactMap { entry in
            guard let id = entry["id"]?.string, id.hasPrefix(prefix), let number = UInt32(id.dropFirst(prefix.count)),
                let thread = entry["thread-id"]?.integer.flatMap({ Int32(exactly: $0) })
            else { return nil }
            return (number, thread)
        }
    }

    /// How fast a thread polls, while the machine runs.
    public func setDiskThread(
        _ uuid: UniqueID, _ number: UInt32, _ parameters: [TypedParameter], _ scope: ProcessorScope
    ) throws {
        let machine = try machine(uuid)
        var properties: [(String, Int64)] = []
        for parameter in parameters {
            let names = [
                "poll_max_ns": "poll-max-ns", "poll_grow": "poll-grow", "poll_shrink": "poll-shrink",
                "thread_pool_min": "thread-pool-min", "thread_pool_max": "thread-pool-max",
            ]
            guard let name = names[parameter.name] else {
                throw ManagementError(.argumentUnsupported, "parameter '\(parameter.name)' not supported")
            }
            let value: Int64
            switch parameter.value {
            case .int(let number): value = Int64(number)
            case .uint(let number): value = Int64(number)
            case .ulong(let number): value = Int64(clamping: number)
            default: throw ManagementError(.invalidArg, "parameter '\(parameter.name)' is no number")
            }
            properties.append((name, value))
        }
        try machine.job.withLock {
            let (live, configuration) = try resolve(machine, scope)
            guard live, !configuration else {
                throw ManagementError(.operationUnsupported, "only a machine that runs has polling IOThreads")
            }
            guard try machine.requireLive().definition.threadNumbers.contains(number) else {
                throw ManagementError(.invalidArg, "cannot find IOThread '\(number)' in iothreadids list")
            }
            try onMonitorOf(machine) { live in
                for (name, value) in properties {
                    try live.monitor.execute(
                        "qom-set",
                        [
                            "path": .string("/objects/" + Self.threadName(number)), "property": .string(name),
                            "value": .integer(value),
                        ])
                }
            }
        }
    }
}
