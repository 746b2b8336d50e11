// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import HostSystem
internal import JSONCoding
internal import ManagementModel
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

    private static func isPlugged(_ place: JSONValue) -> Bool {
        place["qom-path"]?.string?.split(separator: "/").last?.hasPrefix(processorPrefix) ?? false
    }

    private func plug(_ machine: Machine, _ live: LiveMachine, _ places: [JSONValue], _ count: Int) throws {
        defer { noteProcessors(machine, live) }
        let free = places.indices.filter { places[$0]["qom-path"] == nil }
        guard free.count >= count else {
            throw ManagementError(.operationUnsupported, "the emulator has no place for \(count) more processors")
        }
        for number in free.prefix(count) {
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
