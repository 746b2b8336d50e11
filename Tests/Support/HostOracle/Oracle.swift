// SPDX-License-Identifier: Apache-2.0

internal import CHostOracle
internal import CPUInterface
internal import GuestMemory
internal import HostSystem
internal import MachineModel
internal import RandomKit
internal import X86CPU
internal import X86Translator

/// Where an instruction and its data lie, on the host and in the guest alike.
enum OracleMap {
    static let code: UInt64 = 0x1000_0000, codeBytes: UInt64 = 0x2000
    /// Where the instruction starts in the code, so that short jumps stay inside the page.
    static let startOffset: UInt64 = 0x800

    /// The offset of the instruction in the code segment.
    static func start(bits: Int) -> UInt64 { bits == 16 ? startOffset : code + startOffset }
    /// The offset of the data in its segment.
    static func data(bits: Int) -> UInt64 { bits == 16 ? 0 : data }
    static let data: UInt64 = 0x2000_0000, dataBytes: UInt64 = 0x5000
    /// The last page of the data cannot be written.
    static let readOnlyBytes: UInt64 = 0x1000
    static let tables: UInt64 = 0, tablesBytes: UInt64 = 0x8000
    /// INT3, which all other code bytes are.
    static let filler: UInt8 = 0xCC
}

/// One instruction whose outcome differs.
public struct OracleDifference: Sendable, CustomStringConvertible {
    /// The instruction's name in the opcode table.
    public var name: String
    /// Its bytes.
    public var bytes: [UInt8]
    /// The seed of this one case.
    public var seed: UInt64
    /// Width of the code.
    public var bits: Int
    /// What differs, one finding a line: the host's value, then ours.
    public var findings: [String]

    /// All of it, for a person.
    public var description: String {
        let hex = bytes.map { $0 < 16 ? "0" + String($0, radix: 16) : String($0, radix: 16) }.joined(separator: " ")
        return "\(name) [\(hex)] \(bits)-bit, seed \(seed)\n" + findings.map { "    " + $0 }.joined(separator: "\n")
    }
}

/// Why the comparison cannot be made on this host.
public struct OracleUnavailable: Error, CustomStringConvertible {
    /// One line.
    public let description: String
}

/// Runs random user-mode instructions on the host's processor and on the software CPU and compares every register,
/// defined flag and byte of memory.
///
/// The host's side lives at fixed addresses and ends by a signal: the runs of a process take turns, and an oracle is used
/// on the thread that made it.
@safe
public final class Oracle {
    /// Held by whoever uses the host's side.
    private static let turn = Lock()
    /// Width of the code: 64, or 32 and 16 for compatibility mode.
    public let bits: Int
    private let memory: GuestMemory
    private let cpu: SoftCPU
    private let translates: Bool
    private let hasAVX: Bool
    private let hostCode: UnsafeMutablePointer<UInt8>
    private let hostData: UnsafeMutablePointer<UInt8>
    private let guestData: UnsafeMutableRawPointer

    /// Maps both sides.
    /// - Parameter translates: the software CPU runs translated code, not the interpreter.
    /// - Throws: `OracleUnavailable`, or the host's error as one.
    public init(bits: Int = 64, translates: Bool = false) throws {
        self.bits = bits
        self.translates = translates
        let failure = Self.turn.withLock {
            roost_oracle_prepare(
                OracleMap.code, OracleMap.codeBytes, OracleMap.data, OracleMap.dataBytes, OracleMap.readOnlyBytes)
        }
        guard failure == 0, let code = unsafe roost_oracle_code(), let data = unsafe roost_oracle_data() else {
            throw OracleUnavailable(description: "cannot map code and data for the host's side: \(Errno(failure))")
        }
        unsafe hostCode = code
        unsafe hostData = data
        hasAVX = roost_oracle_has_avx() != 0
        memory = GuestMemory()
        try memory.addRegion(name: "tables", start: OracleMap.tables, count: OracleMap.tablesBytes)
        try memory.addRegion(name: "code", start: OracleMap.code, count: OracleMap.codeBytes)
        try memory.addRegion(name: "data", start: OracleMap.data, count: OracleMap.dataBytes)
        guard
            let guest = unsafe memory.hostPointer(
                at: OracleMap.data, count: Int(OracleMap.dataBytes), writable: true)
        else { throw OracleUnavailable(description: "the guest's data is not in one piece") }
        unsafe guestData = guest
        let lock = Lock()
        cpu = try SoftCPU(
            index: 0,
            environment: .init(
                memory: memory, ports: AddressSpace(machineLock: lock), devices: AddressSpace(machineLock: lock),
                model: try CPUModel(named: "max", capabilities: SoftCPU.capabilities())))
        try buildTables()
        cpu.setFlatMode(bits: max(bits, 32))
        if bits == 16 {
            guard roost_oracle_has_segments() != 0 else {
                throw OracleUnavailable(description: "the host's kernel refuses 16-bit segments (modify_ldt)")
            }
            cpu.setSegments16(code: OracleMap.code, data: OracleMap.data)
        }
        var paging = PagingSetup(cr3: OracleMap.tables)
        paging.cpl = 3
        cpu.setPaging(paging)
        cpu.enableVectors()
        if translates {
            try Translator.install(
                on: cpu, cacheBytes: Self.cacheBytes, threshold: -1, maximumDrops: .max,
                cachesEverywhere: true)
        }
    }

    private static let cacheBytes = 16 << 20

    /// Maps code and data to themselves, for user mode.
    private func buildTables() throws {
        let user: UInt64 = 7, readOnly: UInt64 = 5
        try memory.store(0x1000 | user, at: 0)
        try memory.store(0x2000 | user, at: 0x1000)
        for (place, table, size) in [
            (OracleMap.code, UInt64(0x3000), OracleMap.codeBytes), (OracleMap.data, 0x4000, OracleMap.dataBytes),
        ] {
            try memory.store(table | user, at: 0x2000 + (place >> 21) * 8)
            for page in 0..<size / 4096 {
                let isReadOnly =
                    place == OracleMap.code || page >= (size - OracleMap.readOnlyBytes) / 4096
                // As on the host, data is no code.
                let noExecute: UInt64 = place == OracleMap.code ? 0 : 1 << 63
                try memory.store(
                    place + page * 4096 | (isReadOnly ? readOnly : user) | noExecute, at: table + page * 8)
            }
        }
    }

    /// New random data on both sides.
    private func refill(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var place = 0
        while place < Int(OracleMap.dataBytes) {
            // A mix of plain bits and of what floating point finds interesting.
            let word =
                Int.random(in: 0..<3, using: &random) == 0 ? OracleValues.special(&random) : random.next()
            // `place` stays below the size of the data, which both pointers cover.
            unsafe UnsafeMutableRawPointer(hostData).storeBytes(of: word, toByteOffset: place, as: UInt64.self)
            place += 8
        }
        synchronizeData()
        let filler = [UInt8](repeating: OracleMap.filler, count: Int(OracleMap.codeBytes))
        try memory.write(filler, at: OracleMap.code)
        // The code's alias covers codeBytes.
        for (index, byte) in filler.enumerated() { unsafe hostCode[index] = byte }
    }

    private func synchronizeData() {
        // Both cover dataBytes.
        unsafe guestData.copyMemory(from: hostData, byteCount: Int(OracleMap.dataBytes))
    }

    /// Runs cases until one differs.
    /// - Parameters:
    ///   - rows: rows of the opcode table; one of them is chosen at random for each case.
    ///   - seeds: one case each.
    ///   - report: called for each difference; false ends the run.
    public func run(seeds: Range<UInt64>, matching filter: String = "", report: (OracleDifference) -> Bool) throws {
        let rows = InstructionCatalog.userRows.filter {
            InstructionCatalog.exists($0, bits: bits)
                && (filter.isEmpty || InstructionCatalog.name($0).hasPrefix(filter))
        }
        guard !rows.isEmpty else { throw OracleUnavailable(description: "no instruction is named \(filter)...") }
        Self.turn.lock()
        defer { Self.turn.unlock() }
        try refill(seed: 1)
        for seed in seeds {
            var random = SeededGenerator(seed: seed)
            if seed % 4096 == 0 { try refill(seed: seed) }
            guard let row = rows.randomElement(using: &random) else { continue }
            var instruction = InstructionCatalog.generate(row, bits: bits, using: &random)
            let before = OracleValues.state(for: &instruction, bits: bits, hasAVX: hasAVX, using: &random)
            let findings = try compare(instruction, before)
            if findings.isEmpty { continue }
            let difference = OracleDifference(
                name: instruction.name, bytes: instruction.bytes, seed: seed, bits: bits, findings: findings)
            if !report(difference) { return }
        }
    }

    /// Runs bytes that are no instruction until some turn out to be one on the host.
    public func runUndefined(seeds: Range<UInt64>, report: (OracleDifference) -> Bool) throws {
        Self.turn.lock()
        defer { Self.turn.unlock() }
        try refill(seed: 1)
        for seed in seeds {
            var random = SeededGenerator(seed: seed)
            guard var instruction = InstructionCatalog.generateUndefined(bits: bits, using: &random) else { continue }
            let before = OracleValues.state(for: &instruction, bits: bits, hasAVX: hasAVX, using: &random)
            let findings = try compare(instruction, before)
            if findings.isEmpty { continue }
            let difference = OracleDifference(
                name: instruction.name, bytes: instruction.bytes, seed: seed, bits: bits, findings: findings)
            if !report(difference) { return }
        }
    }

    private func compare(_ instruction: GeneratedInstruction, _ before: roost_oracle_state) throws -> [String] {
        let offset = Int(OracleMap.startOffset)
        // offset + 15 lies inside the code's alias.
        for (index, byte) in instruction.bytes.enumerated() { unsafe hostCode[offset + index] = byte }
        try memory.write(instruction.bytes, at: OracleMap.code + OracleMap.startOffset)
        defer {
            let filler = [UInt8](repeating: OracleMap.filler, count: instruction.bytes.count)
            for index in filler.indices { unsafe hostCode[offset + index] = filler[index] }
            try? memory.write(filler, at: OracleMap.code + OracleMap.startOffset)
        }
        var host = before
        // Everything the run may reach is mapped by `prepare`; the state is exclusive to this call.
        unsafe roost_oracle_run(&host, Int32(bits), hasAVX ? 1 : 0)
        let guest = OracleGuest(cpu, before, hasAVX: hasAVX)
        let stop = translates ? guest.runTranslated() : guest.run()
        var comparison = OracleComparison(
            instruction: instruction, before: before, host: host, hasAVX: hasAVX,
            registerCount: bits == 64 ? 16 : 8)
        if comparison.isSkipped(guest.state, stop) {
            synchronizeData()
            return []
        }
        comparison.compare(guest.state, stop, faultAddress: cpu.faultAddress)
        compareData(&comparison)
        return comparison.findings
    }

    private func compareData(_ comparison: inout OracleComparison) {
        if comparison.ignoresData { return synchronizeData() }
        let count = Int(OracleMap.dataBytes)
        // Both cover dataBytes.
        for place in 0..<count / 8 {
            let ours = unsafe guestData.load(fromByteOffset: place * 8, as: UInt64.self)
            let theirs = unsafe UnsafeRawPointer(hostData).load(fromByteOffset: place * 8, as: UInt64.self)
            if ours != theirs {
                comparison.note("memory at \(OracleComparison.hex(OracleMap.data + UInt64(place * 8)))", theirs, ours)
            }
        }
        if !comparison.findings.isEmpty { synchronizeData() }
    }
}
