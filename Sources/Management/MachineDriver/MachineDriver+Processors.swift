// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import HostSystem
internal import JSONCoding
public import ManagementModel
internal import ManagementXML
internal import XMLTree

// Processors that come and go while a machine runs.
extension MachineDriver {
    /// The name of a processor that was added to a machine that runs.
    private static let processorPrefix = "vcpu"
    /// Nanoseconds that a guest has to let go of a processor.
    private static let processorPatience: UInt64 = 5_000_000_000

    /// Adds processors to a machine that runs, or takes away those that were added. The caller holds the machine's job.
    func setLiveProcessors(_ machine: Machine, _ count: Int) throws {
        let facts = machine.facts
        guard count != facts.processors else { return }
        guard count <= facts.maximumProcessors else {
            throw ManagementError(
                .invalidArg,
                "requested vcpus is greater than max allowable vcpus for the live domain: \(count) > \(facts.maximumProcessors)"
            )
        }
        try onMonitorOf(machine) { live in
            // The emulator's list begins with the last processor.
            let places = Array((try live.monitor.execute("query-hotpluggable-cpus").array ?? []).reversed())
            if count > facts.processors {
                try plug(machine, live, places, count - facts.processors)
            } else {
                try unplug(machine, live, places, facts.processors - count)
            }
        }
        saveStatus(machine)
    }

    /// Adds one processor, or takes away one that was added; in the definition any number of them.
    /// - Parameter text: numbers of processors, as in `1,3-4`.
    public func setProcessors(_ uuid: UniqueID, named text: String, on: Bool, _ scope: ProcessorScope) throws {
        let machine = try machine(uuid)
        try machine.job.withLock {
            let (live, configuration) = try resolve(machine, scope)
            guard let map = ProcessorSet.map(text, length: Self.mapLength) else {
                throw ManagementError(.invalidArg, "Failed to parse bitmap '\(text)'", from: .none)
            }
            let numbers = (0..<Self.mapLength * 8).filter { map[$0 / 8] >> UInt8($0 % 8) & 1 == 1 }
            guard !numbers.isEmpty else {
                throw ManagementError(.invalidArg, "no vcpus selected for modification", from: .domain)
            }
            var changed: DomainDefinition?
            if configuration { changed = try Self.enabling(numbers, on, in: definition(of: machine)) }
            if live {
                guard numbers.count == 1 else {
                    throw ManagementError(
                        .operationInvalid, "only one hotpluggable entity can be selected for state change")
                }
                try setLiveProcessor(machine, numbers[0], on)
            }
            if let changed { try keep(changed, of: machine) }
        }
    }

    /// Bytes of a map of all processors that a machine may have.
    private static let mapLength = 4096 / 8

    /// A definition in which processors are there at the start, or not.
    private static func enabling(_ numbers: [Int], _ on: Bool, in definition: DomainDefinition) throws
        -> DomainDefinition
    {
        var changed = definition
        let maximum = definition.maximumProcessors
        if let missing = numbers.first(where: { $0 >= maximum }) {
            throw ManagementError(.invalidArg, "vcpu \(missing) is not present in persistent config")
        }
        guard !numbers.contains(0) else { throw ManagementError(.invalidArg, "vCPU '0' can't be modified") }
        let known = definition.root[child: "vcpus"]?.all("vcpu") ?? []
        let list = (0..<maximum).map { number in
            let old = known.first { $0["id"] == "\(number)" }
            let wasOn = old.map { $0["enabled"] == "yes" } ?? (number < definition.processors)
            let isNamed = numbers.contains(number)
            let isOn = isNamed ? on : wasOn
            return XMLElement(
                "vcpu",
                [
                    "id": "\(number)", "enabled": isOn ? "yes" : "no",
                    "hotpluggable": isNamed ? "yes" : old?["hotpluggable"] ?? (isOn ? "no" : "yes"),
                ])
        }
        let count = list.filter { $0["enabled"] == "yes" }.count
        changed.root[child: "vcpu"]?["current"] = count == maximum ? nil : "\(count)"
        changed.root[child: "vcpus"] = XMLElement("vcpus", [:], list)
        changed.order()
        return changed
    }

    private func setLiveProcessor(_ machine: Machine, _ number: Int, _ on: Bool) throws {
        guard number < machine.facts.maximumProcessors else {
            throw ManagementError(.invalidArg, "vcpu \(number) is not present in live config")
        }
        try onMonitorOf(machine) { live in
            let places = Array((try live.monitor.execute("query-hotpluggable-cpus").array ?? []).reversed())
            guard number < places.count else {
                throw ManagementError(.invalidArg, "vcpu \(number) is not present in live config")
            }
            guard (places[number]["qom-path"] != nil) != on else {
                throw ManagementError(.invalidArg, "vcpu '\(number)' is already in requested state")
            }
            if on {
                try plug(machine, live, places, at: [number])
            } else {
                guard Self.isPlugged(places[number]) else {
                    throw ManagementError(.invalidArg, "vcpu '\(number)' can't be hotunplugged")
                }
                try unplug(machine, live, [places[number]], 1)
            }
        }
        saveStatus(machine)
    }

    private static func isPlugged(_ place: JSONValue) -> Bool {
        place["qom-path"]?.string?.split(separator: "/").last?.hasPrefix(processorPrefix) ?? false
    }

    private func plug(_ machine: Machine, _ live: LiveMachine, _ places: [JSONValue], _ count: Int) throws {
        let free = places.indices.filter { places[$0]["qom-path"] == nil }
        guard free.count >= count else {
            throw ManagementError(.operationUnsupported, "the emulator has no place for \(count) more processors")
        }
        try plug(machine, live, places, at: Array(free.prefix(count)))
    }

    private func plug(_ machine: Machine, _ live: LiveMachine, _ places: [JSONValue], at numbers: [Int]) throws {
        defer { noteProcessors(machine, live) }
        for number in numbers {
            var arguments: JSONObject = ["driver": places[number]["type"] ?? ""]
            arguments["id"] = .string("\(Self.processorPrefix)\(number)")
            for member in places[number]["props"]?.object?.members ?? [] { arguments[member.name] = member.value }
            try live.monitor.execute("device_add", arguments)
            machine.change { facts, _ in facts.processors += 1 }
        }
    }

    private func unplug(_ machine: Machine, _ live: LiveMachine, _ places: [JSONValue], _ count: Int) throws {
        defer { noteProcessors(machine, live) }
        let added = places.filter(Self.isPlugged)
        guard added.count >= count else {
            throw ManagementError(
                .operationInvalid, "didn't find enough hotpluggable vcpus to reach the desired target vcpu count")
        }
        for place in added.suffix(count).reversed() {
            let id = String(place["qom-path"]?.string?.split(separator: "/").last ?? "")
            machine.change { _, live in live?.released.remove(id) }
            try live.monitor.execute("device_del", ["id": .string(id)])
            let deadline = monotonicNanoseconds() &+ Self.processorPatience
            guard machine.wait(until: deadline, { _, live in live?.released.contains(id) ?? true }) else {
                throw ManagementError(.operationTimeout, "vcpu unplug request timed out")
            }
            machine.change { facts, _ in facts.processors -= 1 }
        }
    }

    /// Writes down which processors are there, for the next start of the same state.
    private func noteProcessors(_ machine: Machine, _ live: LiveMachine) {
        guard let answer = try? live.monitor.execute("query-hotpluggable-cpus").array else { return }
        let places = Array(answer.reversed())
        var order = 0
        let list = places.enumerated().map { number, place in
            let isThere = place["qom-path"] != nil
            if isThere { order += 1 }
            return XMLElement(
                "vcpu",
                [
                    "id": "\(number)", "enabled": isThere ? "yes" : "no",
                    "hotpluggable": number > 0 && (!isThere || Self.isPlugged(place)) ? "yes" : "no",
                    "order": isThere ? "\(order)" : nil,
                ])
        }
        machine.change { facts, running in
            running?.definition.root[child: "vcpu"]?["current"] =
                facts.processors == facts.maximumProcessors ? nil : "\(facts.processors)"
            running?.definition.root[child: "vcpus"] = XMLElement("vcpus", [:], list)
            running?.definition.order()
        }
    }

    /// Adds the processors that a document has as added, before the machine runs.
    func addProcessors(_ machine: Machine, _ monitor: MonitorClient, _ definition: DomainDefinition) throws {
        let wanted = (definition.root[child: "vcpus"]?.all("vcpu") ?? []).filter {
            $0["enabled"] == "yes" && $0["hotpluggable"] == "yes"
        }
        guard !wanted.isEmpty else { return }
        let places = Array((try monitor.execute("query-hotpluggable-cpus").array ?? []).reversed())
        for entry in wanted {
            guard let number = entry["id"].flatMap({ Int($0) }), number < places.count,
                places[number]["qom-path"] == nil
            else { continue }
            var arguments: JSONObject = ["driver": places[number]["type"] ?? ""]
            arguments["id"] = .string("\(Self.processorPrefix)\(number)")
            for member in places[number]["props"]?.object?.members ?? [] { arguments[member.name] = member.value }
            try monitor.execute("device_add", arguments)
        }
    }
}
