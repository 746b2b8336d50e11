// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import HostSystem
internal import JSONCoding
public import ManagementModel
internal import ManagementXML
internal import XMLTree

/// Sets of the host's processors: maps with a bit for each, and libvirt's text (`0-3,^2,7`).
package enum ProcessorSet {
    /// The text of a map.
    package static func text(_ map: [UInt8]) -> String {
        let numbers = numbers(map)
        var parts: [String] = []
        var place = 0
        while place < numbers.count {
            var end = place
            while end + 1 < numbers.count, numbers[end + 1] == numbers[end] + 1 { end += 1 }
            parts.append(place == end ? "\(numbers[place])" : "\(numbers[place])-\(numbers[end])")
            place = end + 1
        }
        return parts.joined(separator: ",")
    }

    static func numbers(_ map: [UInt8]) -> [Int] {
        (0..<(map.count * 8)).filter { map[$0 / 8] & 1 << UInt8($0 % 8) != 0 }
    }

    /// The highest processor that a text may name.
    private static let limit = 4096

    /// The map of a text; nil for one that is none.
    package static func map(_ text: String, length: Int) -> [UInt8]? {
        var map = [UInt8](repeating: 0, count: length)
        for part in text.split(separator: ",") {
            let isOff = part.hasPrefix("^")
            let ends = part.drop { $0 == "^" }.split(separator: "-").map { Int($0.filter { !$0.isWhitespace }) }
            guard let first = ends.first ?? nil, let last = ends.last ?? nil, first >= 0, first <= last, last < limit
            else { return nil }
            for number in first...last where number / 8 < length {
                if isOff {
                    map[number / 8] &= ~(1 << UInt8(number % 8))
                } else {
                    map[number / 8] |= 1 << UInt8(number % 8)
                }
            }
        }
        return map
    }
}

// On which of the host's processors a machine's threads run.
extension MachineDriver {
    private static let mapLimit = 512

    /// Threads of the machine's processors, by number.
    func threads(_ live: LiveMachine) throws -> [Int32] {
        let answer: [JSONValue]
        do { answer = try live.monitor.execute("query-cpus-fast").array ?? [] } catch let failure
            as MonitorClient.Failure
        {
            throw Self.error(of: failure)
        }
        return answer.sorted { ($0["cpu-index"]?.integer ?? 0) < ($1["cpu-index"]?.integer ?? 0) }.compactMap {
            $0["thread-id"]?.integer.flatMap { Int32(exactly: $0) }
        }
    }

    func affinity(_ thread: Int32) -> [UInt8] {
        var map = [UInt8](repeating: 0, count: Self.mapLimit)
        // The kernel fills at most the map's length.
        let count = unsafe roost_get_affinity(thread, &map, map.count)
        return Array(map.prefix(max(0, Int(count))))
    }

    func setAffinity(_ thread: Int32, _ map: [UInt8]) throws {
        // The map lives for the call.
        guard unsafe roost_set_affinity(thread, map, map.count) == 0 else {
            throw ManagementError(.systemError, "cannot set CPU affinity on process \(thread): \(Errno.current)")
        }
    }

    /// Binds a processor of a machine, or with nil the emulator's own threads, to processors of the host.
    public func pin(_ uuid: UniqueID, processor: Int?, _ map: [UInt8], _ scope: ProcessorScope) throws {
        let machine = try machine(uuid)
        try machine.job.withLock {
            let (live, configuration) = try resolve(machine, scope)
            guard map.contains(where: { $0 != 0 }) else {
                throw ManagementError(.invalidArg, "Empty cpu list for pinning", from: .none)
            }
            if let processor, processor < 0 || processor >= machine.facts.maximumProcessors {
                throw ManagementError(
                    .invalidArg, "vcpu \(processor) is out of range of live cpu count \(machine.facts.processors)")
            }
            func change(_ definition: inout DomainDefinition) {
                var tune = definition.root[child: "cputune"] ?? XMLElement("cputune")
                let name = processor == nil ? "emulatorpin" : "vcpupin"
                tune.elements.removeAll {
                    $0.name == name && (processor == nil || $0["vcpu"] == processor.map(String.init))
                }
                tune.append(
                    XMLElement(name, ["vcpu": processor.map(String.init), "cpuset": ProcessorSet.text(map)]))
                definition.root[child: "cputune"] = tune
                definition.order()
            }
            if live {
                let running = try machine.requireLive()
                let threads = try threads(running)
                if let processor {
                    guard processor < threads.count else {
                        throw ManagementError(.operationUnsupported, "cpu affinity is not supported")
                    }
                    try setAffinity(threads[processor], map)
                } else {
                    try setAffinity(running.process, map)
                }
                machine.change { _, running in
                    guard var definition = running?.definition else { return }
                    change(&definition)
                    running?.definition = definition
                }
                saveStatus(machine)
                events.emit(
                    .machine(
                        machine.facts.reference,
                        .tunable([
                            TypedParameter(
                                processor.map { "cputune.vcpupin\($0)" } ?? "cputune.emulatorpin",
                                .text(ProcessorSet.text(map)))
                        ])))
            }
            if configuration { try update(machine) { change(&$0) } }
        }
    }

    /// The host's processors on which each of a machine's may run; `length` bytes each.
    public func pinning(_ uuid: UniqueID, _ scope: ProcessorScope, hostProcessors: Int, length: Int) throws -> [[UInt8]]
    {
        let machine = try machine(uuid)
        let (live, _) = try resolve(machine, scope)
        let definition = try live ? machine.requireLive().definition : definition(of: machine)
        return (0..<definition.maximumProcessors).map { number in
            let pin = definition.root[child: "cputune"]?.all("vcpupin").first { $0["vcpu"] == "\(number)" }
            return Self.map(pin?["cpuset"] ?? definition.root[child: "vcpu"]?["cpuset"], hostProcessors, length)
        }
    }

    /// The same for the emulator's own threads.
    public func emulatorPinning(_ uuid: UniqueID, _ scope: ProcessorScope, hostProcessors: Int, length: Int) throws
        -> [UInt8]
    {
        let machine = try machine(uuid)
        let (live, _) = try resolve(machine, scope)
        let definition = try live ? machine.requireLive().definition : definition(of: machine)
        let pin = definition.root[child: "cputune"]?[child: "emulatorpin"]?["cpuset"]
        return Self.map(pin ?? definition.root[child: "vcpu"]?["cpuset"], hostProcessors, length)
    }

    static func map(_ text: String?, _ hostProcessors: Int, _ length: Int) -> [UInt8] {
        if let text, let map = ProcessorSet.map(text, length: length) { return map }
        return (0..<length).map { byte in
            (0..<8).reduce(UInt8(0)) { byte * 8 + $1 < hostProcessors ? $0 | 1 << UInt8($1) : $0 }
        }
    }

    /// What each processor of a running machine has used and where it is: nanoseconds, processor of the host, map.
    public func processorFigures(_ uuid: UniqueID) throws -> [(time: UInt64, processor: Int32, map: [UInt8])] {
        let live = try machine(uuid).requireLive()
        return try threads(live).map { thread in
            let times = ThreadTimes(process: live.process, thread: thread)
            return (times?.total ?? 0, times?.processor ?? -1, affinity(thread))
        }
    }

    /// Binds the threads of a machine that starts to what its document says.
    func applyPinning(_ machine: Machine) throws {
        guard let live = machine.live, let tune = live.definition.root[child: "cputune"] else { return }
        let pins = tune.all("vcpupin")
        let threads = pins.isEmpty ? [] : try threads(live)
        for pin in pins {
            guard let number = pin["vcpu"].flatMap({ Int($0) }), number < threads.count,
                let map = pin["cpuset"].flatMap({ ProcessorSet.map($0, length: Self.mapLimit) })
            else { continue }
            try setAffinity(threads[number], map)
        }
        for pin in tune.all("iothreadpin") {
            guard let number = pin["iothread"].flatMap({ UInt32($0) }),
                let map = pin["cpuset"].flatMap({ ProcessorSet.map($0, length: Self.mapLimit) }),
                let thread = try ioThreads(live).first(where: { $0.number == number })?.thread
            else { continue }
            try setAffinity(thread, map)
        }
        if let map = tune[child: "emulatorpin"]?["cpuset"].flatMap({ ProcessorSet.map($0, length: Self.mapLimit) }) {
            try setAffinity(live.process, map)
        }
    }
}
