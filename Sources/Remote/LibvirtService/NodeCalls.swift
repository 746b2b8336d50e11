// SPDX-License-Identifier: Apache-2.0

internal import HostInventory
internal import LibvirtProtocol
internal import LibvirtRPC
internal import ManagementCore
internal import ManagementModel
internal import XDRCoding

/// The host: its processors and memory.
enum NodeCalls {
    static func register(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.nodeGetInfo) { client, _ in
            let host = client.core.capabilities.host
            return (
                ModelName("x86_64"), host.memoryKiB, Int32(host.processors), Int32(host.megahertz), 1,
                Int32(host.topology.sockets), Int32(host.topology.cores), Int32(host.topology.threads)
            )
        }
        table.answer(Procedures.nodeGetFreeMemory) { _, _ in freeMemory() }
        table.answer(Procedures.nodeGetCellsFreeMemory) { _, _, start, count in
            guard start == 0 else {
                throw ManagementError(.invalidArg, "start cell \(start) out of range (0-0)", from: .none)
            }
            return count > 0 ? [freeMemory()] : []
        }
        table.answer(Procedures.nodeGetSecurityModel) { _, _ in (characters("none"), characters("0")) }
        table.answer(Procedures.nodeGetMemoryStats) { _, _, count, cell, _ in try memoryStatistics(count, cell) }
        table.answer(Procedures.nodeGetCpuStats) { _, _, number, count, _ in try processorStatistics(number, count) }
        table.answer(Procedures.nodeGetCpuMap) { client, _, wantsMap, _, _ in
            let count = client.core.capabilities.host.processors
            var map = [UInt8](repeating: 0, count: (count + 7) / 8)
            for processor in 0..<count { map[processor / 8] |= 1 << UInt8(processor % 8) }
            return (Bytes(wantsMap != 0 ? map : []), UInt32(count), Int32(count))
        }
        table.answer(Procedures.connectGetSysinfo, .blocking) { client, _, _ in client.core.capabilities.host.identity }
        table.answer(Procedures.nodeGetMemoryParameters, .blocking) { _, _, count, _ in
            // Two of them are numbers of 32 bits, the rest of 64.
            let words = ["shm_pages_to_scan", "shm_sleep_millisecs", "shm_merge_across_nodes"]
            let list = SharedMemory.figures.map { figure in
                TypedParameter(
                    figure.name,
                    words.contains(figure.name) ? .uint(UInt32(clamping: figure.value)) : .ulong(figure.value))
            }
            return (count == 0 ? [] : Array(list.prefix(Int(max(0, count)))), Int32(list.count))
        }
        table.answer(Procedures.nodeGetFreePages) { _, _, pages, start, count, _ in
            guard start == 0, count > 0 else { return [] }
            return try pages.map { size in
                if size == 4 { return freeMemory() / 4096 }
                guard let free = TextFile.number("/sys/kernel/mm/hugepages/hugepages-\(size)kB/free_hugepages") else {
                    throw ManagementError(
                        .operationFailed, "page size \(size) is not available on node 0", from: .none)
                }
                return free
            }
        }
    }

    private static func freeMemory() -> UInt64 {
        let memory = HostFacts.memoryInfo()
        return (memory["MemFree"] ?? 0) &* 1024
    }

    static func characters(_ text: String) -> [WireByte] { text.utf8.map { WireByte($0) } }

    private static func memoryStatistics(_ count: Int32, _ cell: Int32) throws -> ([NodeStatistic], Int32) {
        guard cell <= 0 else {
            throw ManagementError(
                .invalidArg, "cellNum in virHostMemGetStats must be less than or equal to 0", from: .none)
        }
        let memory = HostFacts.memoryInfo()
        var names = [("total", "MemTotal"), ("free", "MemFree")]
        // What the kernel does not count for each cell.
        if cell < 0 { names += [("buffers", "Buffers"), ("cached", "Cached")] }
        let figures = names.map { NodeStatistic(field: $0.0, value: memory[$0.1] ?? 0) }
        return (count == 0 ? [] : figures, Int32(figures.count))
    }

    /// Nanoseconds in a tick of /proc/stat.
    private static let tick: UInt64 = 10_000_000

    private static func processorStatistics(_ number: Int32, _ count: Int32) throws -> ([NodeStatistic], Int32) {
        let name = number < 0 ? "cpu" : "cpu\(number)"
        let line = TextFile.lines("/proc/stat").first { $0.split(separator: " ").first == name[...] }
        guard let line else {
            throw ManagementError(.invalidArg, "Invalid cpuNum in nodeGetCPUStats", from: .none)
        }
        let times = line.split(separator: " ").dropFirst().map { (UInt64($0) ?? 0) &* tick }
        func sum(_ places: Int...) -> UInt64 { places.reduce(0) { $0 &+ ($1 < times.count ? times[$1] : 0) } }
        // user nice system idle iowait irq softirq
        let figures = [
            NodeStatistic(field: "kernel", value: sum(2, 5, 6)), NodeStatistic(field: "user", value: sum(0, 1)),
            NodeStatistic(field: "idle", value: sum(3)), NodeStatistic(field: "iowait", value: sum(4)),
        ]
        return (count == 0 ? [] : figures, Int32(figures.count))
    }
}
