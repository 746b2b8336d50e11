// SPDX-License-Identifier: Apache-2.0

import HostSystem
import InterruptControllers
import MachineModel
import RandomKit
import Testing

/// The kernel's local APICs, which only record.
private final class RecordingKernel: KernelLocalControllers {
    struct Message: Equatable {
        var address: UInt64
        var data: UInt32
    }
    var sent: [Message] = []
    var routes: [Int: Message] = [:]
    var requests: [Bool] = []
    func deliver(address: UInt64, data: UInt32) { sent.append(Message(address: address, data: data)) }
    func setRoute(pin: Int, address: UInt64, data: UInt32) { routes[pin] = Message(address: address, data: data) }
    func setExternalRequest(_ level: Bool) { requests.append(level) }
}

@Suite struct SplitControllersTests {
    private let kernel = RecordingKernel()
    private let controllers: SplitInterruptControllers
    private let routing: GSIRouting
    private let ports = AddressSpace(machineLock: Lock())
    private static let level: UInt32 = 1 << 15, masked: UInt32 = 1 << 16

    init() {
        controllers = SplitInterruptControllers(kernel: kernel)
        routing = GSIRouting(sink: controllers)
        controllers.pic.map(in: ports)
    }

    private func write(_ register: UInt8, _ value: UInt32) {
        controllers.ioAPIC.write(offset: 0, size: 4, value: UInt64(register))
        controllers.ioAPIC.write(offset: 0x10, size: 4, value: UInt64(value))
    }

    private func redirect(_ pin: UInt8, _ low: UInt32, destination: UInt8 = 0) {
        write(0x11 + pin * 2, UInt32(destination) << 24)
        write(0x10 + pin * 2, low)
    }

    private func initializePIC() {
        for (base, vector, cascade): (UInt64, UInt64, UInt64) in [(0x20, 0x20, 4), (0xA0, 0x28, 2)] {
            for (port, value) in [(base, 0x11), (base + 1, vector), (base + 1, cascade), (base + 1, 1), (base + 1, 0)] {
                ports.write(port, size: 1, value: value)
            }
        }
    }

    @Test func anEdgeIsAMessage() {
        redirect(20, 0x76, destination: 2)
        #expect(kernel.routes[20] == .init(address: 0xFEE0_2000, data: 0x76))
        routing.interruptLine(gsi: 20).pulse()
        #expect(kernel.sent == [.init(address: 0xFEE0_2000, data: 0x76)])
    }

    @Test func logicalAndLowestPriorityDestinationsAreKept() {
        redirect(4, 0x31 | 1 << 11 | 1 << 8, destination: 0xFF)
        routing.interruptLine(gsi: 4).pulse()
        #expect(kernel.sent == [.init(address: 0xFEEF_F004, data: 0x131)])
    }

    @Test func aLevelComesAgainWhenTheKernelTellsItsEnd() {
        redirect(17, 0x61 | Self.level)
        let message = RecordingKernel.Message(address: 0xFEE0_0000, data: 0xC061)
        #expect(kernel.routes[17] == message)
        let wire = routing.interruptLine(gsi: 17)
        wire.set(true)
        #expect(kernel.sent == [message])
        controllers.endOfInterrupt(vector: 0x62)
        #expect(kernel.sent.count == 1)
        controllers.endOfInterrupt(vector: 0x61)
        #expect(kernel.sent == [message, message])
        wire.set(false)
        controllers.endOfInterrupt(vector: 0x61)
        #expect(kernel.sent.count == 2)
    }

    @Test func maskedInputsHaveNoRoute() {
        redirect(9, 0x40 | Self.level | Self.masked)
        routing.interruptLine(gsi: 9).set(true)
        #expect(kernel.routes.isEmpty && kernel.sent.isEmpty)
        redirect(9, 0x40 | Self.level)
        #expect(kernel.routes[9]?.data == 0xC040)
        #expect(kernel.sent.count == 1)
    }

    @Test func aSavedControllerTellsItsRoutesAgain() {
        redirect(3, 0x33)
        redirect(17, 0x61 | Self.level)
        let other = RecordingKernel()
        let copy = SplitInterruptControllers(kernel: other)
        copy.ioAPIC.state = controllers.ioAPIC.state
        #expect(other.routes == kernel.routes)
    }

    @Test func theFirstProcessorTakesWhatThePICAsksFor() {
        initializePIC()
        #expect(controllers.acknowledgeExternal() == nil)
        routing.interruptLine(gsi: 0).pulse()
        #expect(kernel.requests == [true])
        #expect(controllers.acknowledgeExternal() == 0x20)
        #expect(kernel.requests == [true, false])
        #expect(controllers.acknowledgeExternal() == nil)
        // In service until its end: the next of the same priority waits.
        routing.interruptLine(gsi: 0).pulse()
        #expect(controllers.acknowledgeExternal() == nil)
        ports.write(0x20, size: 1, value: 0x20)
        #expect(controllers.acknowledgeExternal() == 0x20)
    }

    @Test func theSecondPICIsCascaded() {
        initializePIC()
        routing.interruptLine(gsi: 12).pulse()
        #expect(controllers.acknowledgeExternal() == 0x2C)
    }

    @Test func resetForgetsEntriesAndRequests() {
        initializePIC()
        redirect(20, 0x76)
        routing.interruptLine(gsi: 4).set(true)
        controllers.reset()
        #expect(controllers.acknowledgeExternal() == nil)
        kernel.sent = []
        routing.interruptLine(gsi: 20).pulse()
        #expect(kernel.sent.isEmpty)
    }

    @Test func whateverIsWrittenWhatIsSentIsAMessage() {
        var random = SeededGenerator(seed: 12)
        for _ in 0..<20_000 {
            switch random.next() % 4 {
            case 0: write(UInt8(truncatingIfNeeded: random.next()), UInt32(truncatingIfNeeded: random.next()))
            case 1: routing.interruptLine(gsi: Int(random.next() % 26)).pulse()
            case 2: controllers.endOfInterrupt(vector: UInt8(truncatingIfNeeded: random.next()))
            default:
                ports.write([0x20, 0x21, 0xA0, 0xA1, 0x4D0][Int(random.next() % 5)], size: 1, value: random.next())
            }
            if random.next() % 8 == 0 { _ = controllers.acknowledgeExternal() }
        }
        for message in kernel.sent + Array(kernel.routes.values) {
            #expect(message.address >> 20 == 0xFEE)
            // Delivery mode 3 is reserved.
            #expect(message.data >> 8 & 7 != 3)
        }
    }
}
