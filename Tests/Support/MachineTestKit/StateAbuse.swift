// SPDX-License-Identifier: Apache-2.0

internal import CPUInterface
public import Diagnostics
internal import Glibc
internal import HostSystem
internal import MachineAssembly
internal import MachineRuntime
internal import PCIBus
internal import RandomKit
internal import StateCoding

/// What became of saved states with wrong contents.
public struct StateAbuseResult: Sendable {
    /// States that the machine took, and that it refused with a sentence.
    public var taken = 0, refused = 0
    /// A refusal without a sentence that names a section, which is a bug; nil without any.
    public var silentRefusal: String?
    /// Sections that were changed and taken.
    public var sections: Set<String> = []
}

extension DeviceAbuse {
    /// How long a processor runs with what it was given, in microseconds.
    private static let runTime: UInt32 = 300

    /// Saves the machine, changes something in it, and puts that back; then the machine is used as in `run`.
    /// - Parameters:
    ///   - count: how many states.
    ///   - accesses: how many accesses follow each state that was taken.
    /// - Throws: the machine cannot be saved.
    public func disturbState(_ count: Int, accesses: Int) throws(UserError) -> StateAbuseResult {
        var result = StateAbuseResult()
        machine.runner.pause(.paused)
        let good: [StateRecord]
        do throws(StateError) { good = try machine.save() } catch { throw UserError(error.description) }
        for _ in 0..<count {
            machine.runner.pause(.paused)
            var records = good
            var changed: [String] = []
            for _ in 0...random.below(3) {
                let place = random.below(records.count)
                guard var value = try? StateValue(decoding: records[place].payload) else { continue }
                change(&value)
                records[place].payload = value.encoded
                changed.append(records[place].name)
            }
            do throws(StateError) {
                try machine.load(records)
                result.taken += 1
                result.sections.formUnion(changed)
                machine.runner.resume()
                runProcessors()
                run(accesses)
            } catch {
                result.refused += 1
                if !changed.contains(where: { error.description.contains("'\($0)'") }) {
                    result.silentRefusal = error.description
                }
            }
        }
        // As it was, for what comes next.
        machine.runner.pause(.paused)
        do throws(StateError) { try machine.load(good) } catch { throw UserError(error.description) }
        machine.runner.resume()
        return result
    }

    /// Saves the machine, loads that into another of the same arguments, and saves that one.
    /// - Returns: what is other than it was, for it got lost on the way: sections, each with the first place in it.
    /// - Throws: what does not save or load.
    public func lostByMoving() throws(UserError) -> [String] {
        let other = try MachineUnderTest(arguments)
        // A function that was ejected has no state.
        guard machine.functions.map(\.name) == other.functions.map(\.name) else { return [] }
        do throws(StateError) {
            machine.runner.pause(.paused)
            other.runner.pause(.paused)
            let sent = try machine.save()
            try other.load(sent)
            var lost: [String] = []
            // The counters of processors go on.
            for (old, new) in zip(sent, try other.save()) where !old.name.hasPrefix("cpu") {
                let was = try StateValue(decoding: old.payload), isNow = try StateValue(decoding: new.payload)
                if let place = Self.difference(was, isNow) { lost.append(old.name + place) }
            }
            return lost
        } catch { throw UserError(error.description) }
    }

    /// Where two trees differ first, with both values; nil where they do not.
    private static func difference(_ old: StateValue, _ new: StateValue) -> String? {
        switch (old, new) {
        case (.record(let olds), .record(let news)) where olds.map(\.name) == news.map(\.name):
            for (old, new) in zip(olds, news) {
                if let below = difference(old.value, new.value) { return ".\(old.name)\(below)" }
            }
            return nil
        case (.list(let olds), .list(let news)) where olds.count == news.count:
            for (place, (old, new)) in zip(olds, news).enumerated() {
                if let below = difference(old, new) { return "[\(place)]\(below)" }
            }
            return nil
        default: return old == new ? nil : ": \("\(old)".prefix(60)) became \("\(new)".prefix(60))"
        }
    }

    /// Lets each processor run for a moment with whatever its registers say.
    private func runProcessors() {
        for processor in machine.runner.processors {
            let kicker = try? HostThread(name: "kick") {
                _ = usleep(Self.runTime)
                processor.kick()
            }
            guard let kicker else { return }
            _ = processor.run()
            kicker.join()
        }
    }

    /// Changes one value somewhere in a tree.
    private func change(_ value: inout StateValue) {
        switch value {
        case .record(var fields) where !fields.isEmpty:
            change(&fields[random.below(fields.count)].value)
            value = .record(fields)
        case .list(var values) where !values.isEmpty:
            changeList(&values)
            value = .list(values)
        case .bytes(var bytes) where !bytes.isEmpty:
            if random.below(12) == 0 { bytes.removeLast() }
            for _ in 0...random.below(4) where !bytes.isEmpty {
                bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: self.value())
            }
            value = .bytes(bytes)
        case .bool(let flag): value = .bool(!flag)
        case .unsigned(let old): value = .unsigned(number(near: old))
        case .signed(let old): value = .signed(Int64(truncatingIfNeeded: number(near: UInt64(bitPattern: old))))
        case .text(let text): value = .text(text + "x")
        case .null: value = .unsigned(self.value())
        case .record, .list, .bytes: value = .null
        }
    }

    private func changeList(_ values: inout [StateValue]) {
        switch random.below(12) {
        case 0: values.removeLast()
        case 1: values.append(values[0])
        default: change(&values[random.below(values.count)])
        }
    }

    /// A number beside another one, a small one of the same width, or any.
    private func number(near number: UInt64) -> UInt64 {
        switch random.below(6) {
        case 0: number &+ 1
        case 1: number &- 1
        case 2: number ^ 1 << UInt64(random.below(max(64 - number.leadingZeroBitCount, 1)))
        case 3: UInt64(random.below(0x100))
        case 4: UInt64(random.below(0x10000))
        default: value()
        }
    }
}
