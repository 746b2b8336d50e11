// SPDX-License-Identifier: Apache-2.0

import Diagnostics
import Glibc
import GuestMemory
import HostSystem
import Migration
import StateCoding
import Testing

/// What a saved machine keeps of a made-up device with everything that states are made of.
private struct Everything: SavedState, Equatable {
    struct Part: Codable, Equatable, Sendable {
        var name: String
        var words: [UInt32]
        var inner: [[UInt8]]
    }
    var flag: Bool, small: Int8, large: UInt64
    var missing: UInt16?
    var parts: [Part]

    func problem(replacing current: Everything) -> String? {
        parts.count == current.parts.count ? nil : "it has another number of parts"
    }
}

/// Streams with valid checksums and wrong contents: a fixed share of what `make fuzz-state` does for longer
/// (ROOST_FUZZ_STATE says how many streams).
@Suite struct StateFuzzTests {
    private static var rounds: Int {
        // The value is copied before anything can change the environment.
        guard let text = unsafe getenv("ROOST_FUZZ_STATE") else { return 3000 }
        return unsafe Int(String(cString: text)) ?? 3000
    }

    private static let device = Everything(
        flag: true, small: -3, large: .max, missing: 7,
        parts: [.init(name: "a", words: [1, 2, 3], inner: [[1], []]), .init(name: "", words: [], inner: [])])

    private struct Random {
        var state: UInt64
        mutating func next(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(truncatingIfNeeded: (state >> 33) % UInt64(max(bound, 1)))
        }
    }

    private static func change(_ bytes: inout [UInt8], _ random: inout Random) {
        guard !bytes.isEmpty else { return bytes.append(UInt8(random.next(256))) }
        let place = random.next(bytes.count)
        switch random.next(5) {
        case 0: bytes[place] ^= UInt8(1 << random.next(8))
        case 1: bytes[place] = [0, 1, 0x7F, 0x80, 0xFF][random.next(5)]
        case 2: bytes.removeSubrange(place..<min(bytes.count, place + 1 + random.next(8)))
        case 3: bytes.insert(UInt8(random.next(256)), at: place)
        default:
            // A long number, as lengths are.
            for index in place..<min(place + 8, bytes.count) { bytes[index] = 0xFF }
        }
    }

    @Test func wrongContentsAreRefusedOrHarmless() throws {
        let machine = try FuzzMachine()
        var good: [StateFrame] = []
        var stream: [UInt8] = []
        try MachineSnapshot.write(machine, wasRunning: true) { bytes in stream += bytes }
        var reader = StateStreamReader(Self.source(stream))
        while true {
            let frame = try reader.next()
            good.append(frame)
            if frame.kind == .end { break }
        }
        var random = Random(state: UInt64(Self.rounds))
        var refused = 0
        for _ in 0..<Self.rounds {
            var frames = good
            for _ in 0...random.next(3) {
                let place = random.next(frames.count)
                switch random.next(6) {
                case 0: frames.swapAt(place, random.next(frames.count))
                case 1: frames.remove(at: place)
                case 2: frames.insert(frames[random.next(frames.count)], at: place)
                default: Self.change(&frames[place].payload, &random)
                }
                if frames.isEmpty { break }
            }
            let bytes = StateFrame.magic + frames.flatMap(\.encoded)
            do throws(UserError) {
                _ = try MachineSnapshot.check(machine, from: Self.plainSource(bytes))
                try MachineSnapshot.loadMemory(machine, from: Self.plainSource(bytes))
            } catch {
                refused += 1
                #expect(!error.description.isEmpty)
            }
        }
        #expect(refused > Self.rounds / 4)
        #expect(machine.guardPagesAreClean)
    }

    @Test func sectionsOfRandomBytes() throws {
        var random = Random(state: 99)
        let good = try StateRecord(name: "device", Self.device)
        for _ in 0..<Self.rounds {
            var record = good
            for _ in 0...random.next(4) { Self.change(&record.payload, &random) }
            do throws(StateError) {
                let state = try record.decode(replacing: Self.device)
                #expect(state.parts.count == Self.device.parts.count)
            } catch { #expect(error.description.contains("device")) }
        }
        #expect(try good.decode(replacing: Self.device) == Self.device)
    }

    private static func source(_ bytes: [UInt8]) -> StateStreamReader.Source {
        var position = 0
        return { count throws(StateError) in
            guard count <= bytes.count - position else { throw StateError("the saved state ends too early") }
            defer { position += count }
            return Array(bytes[position..<position + count])
        }
    }

    private static func plainSource(_ bytes: [UInt8]) -> (Int) throws(UserError) -> [UInt8] {
        var position = 0
        return { count throws(UserError) in
            guard count <= bytes.count - position else { throw UserError("the saved state ends too early") }
            defer { position += count }
            return Array(bytes[position..<position + count])
        }
    }
}

/// A machine that stands still, of a little memory and one device.
private final class FuzzMachine: MigratableMachine, @unchecked Sendable {
    let memory = GuestMemory()
    private var device = Everything(flag: false, small: 1, large: 2, missing: nil, parts: [])

    init() throws {
        try memory.addRegion(name: "low", start: 0, count: 0x8000)
        try memory.addRegion(name: "high", start: 0x10_0000, count: 0x10000)
        try memory.write([UInt8](repeating: 3, count: 5000), at: 0x10_1000)
    }

    /// Nothing is mapped between the regions, so that a frame cannot have been put there.
    var guardPagesAreClean: Bool { memory.region(at: 0x8000) == nil && memory.region(at: 0x11_0000) == nil }

    func onLoop(_ work: @escaping @Sendable () -> Void) { work() }
    var stateHeader: StateHeader {
        StateHeader(
            machine: "pc", accelerator: "tcg", processorModel: "max", processorCount: 1,
            memory: memory.regions.map { StateHeader.Region(name: $0.name, count: $0.count) })
    }
    func prepareForMove() {}
    func setDirtyLogging(_ isOn: Bool) {}
    func collectDirty(into pages: inout PageSet) { pages.takeDirty(of: memory) }
    let isRunning = false
    func stopForMove() {}
    func moveEnded() {}
    func goOn() {}
    func diskFlush() -> @Sendable () throws(UserError) -> Void { { () throws(UserError) in } }
    func releaseDisks() {}
    func takeDisks() {}
    func setThrottle(_ percent: Int) {}
    func saveSections() throws(StateError) -> [StateRecord] { [try StateRecord(name: "device", device)] }
    func checkSections(_ records: [StateRecord]) throws(StateError) -> () -> Void {
        guard records.count == 1, let record = records.first, record.name == "device" else {
            throw StateError("other sections")
        }
        let new = try record.decode(replacing: device)
        return { self.device = new }
    }
}
