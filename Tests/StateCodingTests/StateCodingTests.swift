// SPDX-License-Identifier: Apache-2.0

import StateCoding
import Testing

private enum Mode: UInt8, Codable { case off, on }

private struct Inner: SavedState, Equatable {
    var count: UInt64 = 7
    var deadline: Int64? = nil
}

private struct Sample: SavedState, Equatable {
    static let version: UInt32 = 3
    var registers: [UInt8] = [1, 2, 3]
    var wide: [UInt64] = [1, .max]
    var queue: [UInt8] = []
    var maybe: [UInt8]? = []
    var name = "äöü"
    var flag = true
    var offset: Int64 = -5
    var mode = Mode.on
    var inner = [Inner(), Inner(count: 0, deadline: .min)]

    func problem(replacing current: Sample) -> String? {
        registers.count == current.registers.count ? nil : "it has \(registers.count) registers"
    }
}

/// The same fields and one more.
private struct LaterSample: SavedState {
    static let version: UInt32 = 3
    var registers: [UInt8] = [1, 2, 3]
    var extra: UInt8 = 1
}

private struct EarlierSample: SavedState {
    static let version: UInt32 = 3
    var registers: [UInt8] = [1, 2, 3]
}

private func reader(_ bytes: [UInt8]) -> StateStreamReader {
    var offset = 0
    return StateStreamReader { count throws(StateError) in
        guard count <= bytes.count - offset else { throw StateError("the stream ends too early") }
        defer { offset += count }
        return Array(bytes[offset..<offset + count])
    }
}

@Suite struct StateCodingTests {
    @Test func aStateComesBackAsItWas() throws {
        var sample = Sample()
        sample.wide = (0..<100).map { $0 &* 0x1234_5678_9ABC }
        let record = try StateRecord(name: "sample", sample)
        #expect(record.version == 3)
        #expect(try record.decode(replacing: Sample()) == sample)
    }

    @Test func nothingAndEmptyAreTold() throws {
        var sample = Sample()
        sample.maybe = nil
        #expect(try StateRecord(name: "s", sample).decode(replacing: Sample()).maybe == nil)
        #expect(try StateRecord(name: "s", Sample()).decode(replacing: Sample()).maybe == [])
    }

    @Test func anotherVersionIsRefused() throws {
        var record = try StateRecord(name: "sample", Sample())
        record.version = 4
        #expect {
            try record.decode(replacing: Sample())
        } throws: {
            "\($0)" == "the saved state of 'sample' is of version 4 and this program knows version 3"
        }
    }

    @Test func missingAndUnknownFieldsAreNamed() throws {
        let earlier = try StateRecord(name: "sample", EarlierSample())
        #expect {
            try earlier.decode(replacing: LaterSample())
        } throws: {
            "\($0)" == "the saved state of 'sample' is refused: it lacks the field 'extra'"
        }
        let later = try StateRecord(name: "sample", LaterSample())
        #expect {
            try later.decode(replacing: EarlierSample())
        } throws: { "\($0)".hasSuffix("it has fields that this version does not know") }
    }

    @Test func theDeviceHasTheLastWord() throws {
        var sample = Sample()
        sample.registers = [1]
        let record = try StateRecord(name: "sample", sample)
        #expect {
            try record.decode(replacing: Sample())
        } throws: { "\($0)" == "the saved state of 'sample' is refused: it has 1 registers" }
    }

    /// Every truncation and every changed byte of a section without its checksum: an error or a state, never a trap.
    @Test func damagedSectionsAreRefused() throws {
        let record = try StateRecord(name: "sample", Sample())
        for length in 0..<record.payload.count {
            let cut = StateRecord(name: "sample", version: 3, payload: Array(record.payload.prefix(length)))
            #expect(throws: StateError.self) { try cut.decode(replacing: Sample()) }
        }
        var state: UInt64 = 1
        for _ in 0..<20000 {
            var damaged = record
            for _ in 0..<3 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                damaged.payload[Int(state >> 33) % damaged.payload.count] = UInt8(truncatingIfNeeded: state >> 20)
            }
            _ = try? damaged.decode(replacing: Sample())
        }
    }

    @Test func deepNestingIsRefused() {
        // Lists of one list.
        let record = StateRecord(
            name: "deep", version: 3, payload: (0..<100_000).flatMap { _ in [7, 1] as [UInt8] } + [0])
        #expect(throws: StateError.self) { try record.decode(replacing: Sample()) }
    }
}

@Suite struct StateStreamTests {
    private var stream: [UInt8] {
        get throws {
            StateFrame.magic + StateFrame(kind: .header, payload: [1, 2, 3]).encoded
                + (try StateRecord(name: "a/b", Sample())).frame.encoded + StateFrame(kind: .end, payload: []).encoded
        }
    }

    @Test func framesComeBack() throws {
        var reader = reader(try stream)
        #expect(try reader.next() == StateFrame(kind: .header, payload: [1, 2, 3]))
        let record = try StateRecord(frame: try reader.next())
        #expect(record.name == "a/b")
        #expect(try record.decode(replacing: Sample()) == Sample())
        #expect(try reader.next().kind == .end)
    }

    @Test func everyDamagedByteAndEveryTruncationIsNoticed() throws {
        let bytes = try stream
        func readAll(_ bytes: [UInt8]) throws {
            var reader = reader(bytes)
            while try reader.next().kind != .end {}
        }
        try readAll(bytes)
        for place in bytes.indices {
            var damaged = bytes
            damaged[place] ^= 0x40
            #expect(throws: StateError.self) { try readAll(damaged) }
            #expect(throws: StateError.self) { try readAll(Array(bytes.prefix(place))) }
        }
    }

    @Test func foreignMachinesAreTold() {
        let here = StateHeader(
            machine: "pc", accelerator: "tcg", processorModel: "max", processorCount: 1,
            memory: [StateHeader.Region(name: "pc.ram", count: 1 << 20)])
        #expect(here.problem(replacing: here) == nil)
        var other = here
        other.accelerator = "kvm"
        #expect(other.problem(replacing: here) == "its accelerator is kvm and this machine's is tcg")
        other = here
        other.processorCount = 2
        #expect(other.problem(replacing: here) == "its number of vCPUs is 2 and this machine's is 1")
        other = here
        other.memory = []
        #expect(other.problem(replacing: here)?.contains("-m") == true)
    }
}
