// SPDX-License-Identifier: Apache-2.0

import CPUInterface
import HostIO
import HostSystem
import MachineModel
import MachineRuntime
import Synchronization
import Testing

/// A vCPU that "runs" by waiting for a kick or for an exit that the test scripts.
final class ScriptedCPU: VirtualCPU, @unchecked Sendable {
    let index: Int
    private let lock = Lock()
    private var kicked = false
    private var exits: [CPUExit]
    private(set) var runs = 0
    private(set) var resets = 0
    var registers = X86Registers()
    var debugPoints = DebugPoints()
    let isHalted = false
    let hostThreadIdentifier = 0

    init(index: Int, exits: [CPUExit] = []) {
        self.index = index
        self.exits = exits
    }

    func run() -> CPUExit {
        lock.withLock {
            runs += 1
            if !exits.isEmpty { return exits.removeFirst() }
            while !kicked { lock.wait() }
            kicked = false
            return .kicked
        }
    }

    func kick() {
        lock.withLock {
            kicked = true
            lock.broadcast()
        }
    }

    func reset() { lock.withLock { resets += 1 } }
    func physicalAddress(ofLinear address: UInt64) -> UInt64? { nil }
}

/// A value that closures on the loop's thread share.
final class Box<Value>: @unchecked Sendable {
    var value: Value
    init(_ value: Value) { self.value = value }
}

@Suite struct MachineRunnerTests {
    func runner(_ processors: [ScriptedCPU]) throws -> MachineRunner {
        let lock = Lock()
        let loop = try EventLoop()
        let runner = MachineRunner(lock: lock, loop: loop, clock: RuntimeClock(loop: loop, machineLock: lock))
        for processor in processors { try runner.add(processor: processor) }
        return runner
    }

    @Test func quitsWithTheStatusAsked() throws {
        let runner = try runner([ScriptedCPU(index: 0), ScriptedCPU(index: 1)])
        runner.loop.post { runner.requestExit(status: 33, cause: .hostQMPQuit) }
        #expect(try runner.run(startPaused: false) == 33)
    }

    @Test func aTripleFaultResetsAndGoesOn() throws {
        let cpu = ScriptedCPU(index: 0, exits: [.shutdown])
        let runner = try runner([cpu])
        var events: [MachineEvent] = []
        runner.observe { event in
            events.append(event)
            if event == .reset(.guestReset) { runner.requestShutdown(.guestShutdown) }
        }
        #expect(try runner.run(startPaused: false) == 0)
        #expect(events == [.resumed, .reset(.guestReset), .shutdown(.guestShutdown)])
        #expect(cpu.resets == 2)
    }

    @Test func noRebootTurnsAResetIntoTheEnd() throws {
        let runner = try runner([ScriptedCPU(index: 0, exits: [.shutdown])])
        runner.policy.resetShutsDown = true
        var events: [MachineEvent] = []
        runner.observe { events.append($0) }
        #expect(try runner.run(startPaused: false) == 0)
        #expect(events == [.resumed, .shutdown(.guestReset)])
    }

    @Test func stopParksAllProcessorsAndTheClock() throws {
        let processors = (0..<4).map { ScriptedCPU(index: $0) }
        let runner = try runner(processors)
        let checks = Box(0)
        runner.loop.post {
            runner.pause()
            let time = runner.clock.now
            let runs = processors.map(\.runs)
            #expect(runner.state == .paused)
            #expect(runner.clock.now == time)
            #expect(processors.map(\.runs) == runs)
            runner.resume()
            #expect(runner.state == .running)
            checks.value += 1
            runner.requestShutdown(.hostQMPQuit)
        }
        _ = try runner.run(startPaused: false)
        #expect(checks.value == 1)
    }

    @Test func noShutdownKeepsTheProcess() throws {
        let runner = try runner([ScriptedCPU(index: 0)])
        runner.policy.shutdownPauses = true
        let states = Box<[RunState]>([])
        runner.observe { event in
            if event == .stopped {
                runner.loop.post {
                    states.value.append(runner.state)
                    runner.requestExit(status: 0, cause: .hostQMPQuit)
                }
            }
        }
        runner.loop.post { runner.requestShutdown(.guestShutdown) }
        _ = try runner.run(startPaused: false)
        #expect(states.value == [.shutdown])
    }

    @Test(arguments: [ShutdownCause.hostQMPQuit, .hostSignal])
    func aMachineThatWasKeptEndsWhenAsked(cause: ShutdownCause) throws {
        let runner = try runner([ScriptedCPU(index: 0)])
        runner.policy.shutdownPauses = true
        let events = Box<[MachineEvent]>([])
        runner.observe { event in
            events.value.append(event)
            guard event == .stopped else { return }
            if cause == .hostSignal { runner.requestShutdownBySignal() } else { runner.requestShutdown(cause) }
        }
        runner.loop.post { runner.requestShutdown(.guestShutdown) }
        #expect(try runner.run(startPaused: false) == 0)
        #expect(events.value.suffix(3) == [.shutdown(.guestShutdown), .stopped, .shutdown(cause)])
    }

    @Test func aDebugStopHoldsEverything() throws {
        let runner = try runner([ScriptedCPU(index: 0), ScriptedCPU(index: 1, exits: [.debug(.breakpoint)])])
        var seen: [MachineEvent] = []
        runner.observe { event in
            seen.append(event)
            if case .debug = event {
                #expect(runner.state == .debug)
                runner.requestExit(status: 0, cause: .hostQMPQuit)
            }
        }
        _ = try runner.run(startPaused: false)
        #expect(seen.contains(.debug(cpu: 1, .breakpoint)))
    }

    @Test func processorsComeAndGoWhileItRuns() throws {
        let runner = try runner([ScriptedCPU(index: 0)])
        let late = ScriptedCPU(index: 3), between = ScriptedCPU(index: 1)
        runner.loop.post {
            try? runner.add(processor: late)
            try? runner.add(processor: between)
            #expect(runner.processors.map(\.index) == [0, 1, 3])
            #expect(runner.processor(at: 3) === late && runner.processor(at: 2) == nil)
            // Everybody is counted when the machine stops.
            runner.pause()
            runner.resume()
            runner.remove(processorAt: 3)
            runner.remove(processorAt: 2)
            #expect(runner.processors.map(\.index) == [0, 1])
            let runs = late.runs
            runner.whileParked { #expect(late.runs == runs) }
            // One that left may come back, also while the machine stands still.
            runner.pause()
            try? runner.add(processor: late)
            runner.remove(processorAt: 1)
            runner.resume()
            #expect(runner.processors.map(\.index) == [0, 3])
            runner.requestShutdown(.hostQMPQuit)
        }
        _ = try runner.run(startPaused: false)
        #expect(runner.processors.count == 2)
    }

    @Test func machineTimersStopWithTheMachine() throws {
        let runner = try runner([ScriptedCPU(index: 0)])
        let fired = Box(0)
        let timer = runner.clock.makeTimer {
            fired.value += 1
            runner.requestExit(status: 0, cause: .hostQMPQuit)
        }
        runner.lock.withLock { timer.arm(at: 2_000_000) }
        runner.loop.post {
            runner.pause()
            // While the machine stands still even a deadline that would be past does not fire.
            let end = monotonicNanoseconds() + 4_000_000
            while monotonicNanoseconds() < end { runner.loop.runOnce(timeoutMilliseconds: 1) }
            #expect(fired.value == 0)
            runner.resume()
        }
        _ = try runner.run(startPaused: false)
        #expect(fired.value == 1)
    }
}
