// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
internal import Diagnostics

/// Reads a -device that is a processor: a type of processor and its place.
enum ProcessorReader {
    private static let suffix = "-x86_64-cpu"
    /// "No place given", as QEMU's properties have it.
    private static let unset = -1

    /// Whether a driver is a type of processor.
    static func isProcessor(_ driver: String) -> Bool { driver.hasSuffix(suffix) }

    /// - Throws: QEMU's words for a wrong type, a missing or impossible place, and a place that is taken.
    static func read(_ options: OptionList, for machine: MachineSpec) throws(UserError) -> TopologySpec.PluggedProcessor
    {
        var list = options
        let driver = try list.require("driver")
        let identifier = try list.take("id").map { text throws(UserError) in try OptionValue.identifier(text) }
        let wanted = machine.processor.model + suffix
        guard driver == wanted else { throw UserError("Invalid CPU type, expected cpu type: '\(wanted)'") }
        guard machine.board.kind == .pc || machine.board.kind == .q35 else {
            throw UserError("CPU hotplug is not supported by this machine", remedy: "use -M q35 or -M pc")
        }
        let index = try index(&list, machine.topology)
        do { try list.finish() } catch {
            throw UserError("Property '\(driver).\(list.entries.first?.key ?? "")' not found", remedy: error.remedy)
        }
        guard !machine.topology.present.contains(index) else {
            throw UserError("CPU[\(index)] with APIC ID \(index) exists")
        }
        return TopologySpec.PluggedProcessor(index: index, identifier: identifier)
    }

    private static func index(_ list: inout OptionList, _ topology: TopologySpec) throws(UserError) -> Int {
        // Of NUMA there is one node.
        _ = try list.takeInteger("node-id", in: unset...0)
        let socket = try place("socket-id", &list), die = try place("die-id", &list)
        let core = try place("core-id", &list), thread = try place("thread-id", &list)
        if let number = try list.takeInteger("apic-id", in: 0...Int(UInt32.max)) {
            guard number < topology.maximum else { throw outOfRange(number, topology) }
            try check("socket-id", socket, number / topology.threads / topology.cores)
            try check("die-id", die, 0)
            try check("core-id", core, number / topology.threads % topology.cores)
            try check("thread-id", thread, number % topology.threads)
            return number
        }
        let threads = topology.threads, cores = topology.cores
        let number = (
            socket: try required("socket-id", socket, below: (topology.maximum - 1) / threads / cores + 1),
            die: try required("die-id", die ?? 0, below: 1), core: try required("core-id", core, below: cores),
            thread: try required("thread-id", thread, below: threads)
        )
        let index = (number.socket * cores + number.core) * threads + number.thread
        guard index < topology.maximum else { throw outOfRange(index, topology) }
        return index
    }

    private static func place(_ key: String, _ list: inout OptionList) throws(UserError) -> Int? {
        try list.takeInteger(key, in: unset...Int(Int32.max)).flatMap { $0 == unset ? nil : $0 }
    }

    private static func required(_ key: String, _ value: Int?, below limit: Int) throws(UserError) -> Int {
        guard let value else { throw UserError("CPU \(key) is not set") }
        guard value < limit else {
            throw UserError("Invalid CPU \(key): \(value) must be in range 0:\(limit - 1)")
        }
        return value
    }

    private static func check(_ key: String, _ given: Int?, _ number: Int) throws(UserError) {
        guard let given, given != number else { return }
        throw UserError("property \(key): \(given) doesn't match set apic-id: the processor's is \(number)")
    }

    private static func outOfRange(_ index: Int, _ topology: TopologySpec) -> UserError {
        UserError(
            "Invalid CPU with APIC ID \(index), valid index range 0:\(topology.maximum - 1)")
    }
}
