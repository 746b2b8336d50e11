// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import MachineModel
public import StateCoding

/// `pci-testdev` (1b36:0005): counts writes to a place that it names, so that test programs can time exits.
///
/// BAR 0 is memory and BAR 1 ports. A write of 0, 1 or 2 to offset 0 begins a test; the header, which then reads at
/// offset 0, says where to write (4), which value (8), how often that happened (12), and the test's name (16).
public final class PCITestDevice: PCIDevice, @unchecked Sendable {
    private static let memoryCount: UInt64 = 4096, portCount: UInt64 = 256
    private static let modes = ["no-eventfd", "wildcard-eventfd", "datamatch-eventfd"]
    private let state = TestState()

    /// The tests of both windows and the one that runs.
    private final class TestState {
        struct Test {
            let target: UInt64
            let data: UInt8
            let matchesData: Bool
            let name: String
            var count: UInt32 = 0
        }
        var tests: [Test] = []
        var current: Int?
        private static let matchingData: UInt8 = 0xFA, otherData: UInt8 = 0xCE

        init() {
            for (type, half) in [("mmio", memoryCount / 2), ("portio", portCount / 2)] {
                for (mode, name) in modes.enumerated() {
                    let matches = mode != 1
                    tests.append(
                        Test(
                            target: half + UInt64(tests.count), data: matches ? Self.matchingData : Self.otherData,
                            matchesData: matches, name: "\(type)-\(name)"))
                }
            }
        }

        func header(_ index: Int) -> [UInt8] {
            let test = tests[index]
            var header = ByteBuilder()
            header.append(UInt8(index))
            header.append(UInt8(1))
            header.append(UInt16(0))
            header.append(UInt32(test.target))
            header.append(UInt32(test.data))
            header.append(test.count)
            header.append(text: test.name)
            header.append(UInt8(0))
            return header.bytes
        }
    }

    private final class Window: RegisterWindow {
        let state: TestState
        let firstTest: Int

        init(_ state: TestState, firstTest: Int) {
            self.state = state
            self.firstTest = firstTest
        }

        func read(offset: UInt64, size: Int) -> UInt64 {
            guard let current = state.current else { return 0 }
            let header = state.header(current)
            var value: UInt64 = 0
            for index in 0..<min(max(size, 0), 8) {
                let place = Int(truncatingIfNeeded: offset) &+ index
                if header.indices.contains(place) { value |= UInt64(header[place]) << UInt64(index * 8) }
            }
            return value
        }

        func write(offset: UInt64, size: Int, value: UInt64) {
            if offset == 0 {
                state.current = value < UInt64(modes.count) ? firstTest + Int(value) : nil
                if let current = state.current { state.tests[current].count = 0 }
                return
            }
            guard let current = state.current, offset == state.tests[current].target else { return }
            if state.tests[current].matchesData, size != 1 || value != UInt64(state.tests[current].data) { return }
            state.tests[current].count &+= 1
        }
    }

    /// The device without an interrupt pin.
    public init() {
        super.init(
            name: "pci-testdev", identity: PCIIdentity(vendor: 0x1B36, device: 0x0005, classCode: 0x00_FF00))
        addBaseAddress(
            0, kind: .memory32, size: Self.memoryCount, name: "pci-testdev-mmio", window: Window(state, firstTest: 0))
        addBaseAddress(
            1, kind: .io, size: Self.portCount, name: "pci-testdev-portio",
            window: Window(state, firstTest: Self.modes.count))
    }

    /// No test is chosen; the header reads 0.
    public override func reset() {
        super.reset()
        state.current = nil
    }

    /// What a saved machine keeps: the test that runs, and how often each was hit.
    private struct Saved: SavedState {
        var function: PCIDeviceState
        var current: Int?
        var counts: [UInt32]

        func problem(replacing now: Saved) -> String? {
            if let problem = function.problem(replacing: now.function) { return problem }
            guard counts.count == now.counts.count, current.map(counts.indices.contains) ?? true else {
                return "it has other tests"
            }
            return nil
        }
    }

    private var saved: Saved {
        Saved(function: pciState, current: state.current, counts: state.tests.map(\.count))
    }

    public override func saveState(as name: String) throws(StateError) -> StateRecord {
        try StateRecord(name: name, saved)
    }

    public override func checkState(_ record: StateRecord) throws(StateError) -> () -> Void {
        let new = try record.decode(replacing: saved)
        return { [self] in
            apply(new.function)
            state.current = new.current
            for (place, count) in new.counts.enumerated() { state.tests[place].count = count }
        }
    }
}
