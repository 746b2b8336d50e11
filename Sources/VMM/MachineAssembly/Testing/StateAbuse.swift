// SPDX-License-Identifier: Apache-2.0

internal import CPUInterface
package import Diagnostics
internal import Glibc
internal import HostSystem
internal import MachineRuntime
internal import StateCoding

/// What became of saved states with wrong contents.
package struct StateAbuseResult: Sendable {
    /// States that the machine took, and that it refused with a sentence.
    package var taken = 0, refused = 0
    /// A refusal without a sentence that names a section, which is a bug; nil without any.
    package var silentRefusal: String?
    /// Sections that were changed and taken.
    package var sections: Set<String> = []
}

extension DeviceAbuse {
    /// How long a processor runs with what it was given, in microseconds.
    private static let runTime: UInt32 = 300

    /// Saves the machine, changes something in it, and puts that back; then the machine is used as in `run`.
    /// - Parameters:
    ///   - count: how many states.
    ///   - accesses: how many accesses follow each state that was taken.
    /// - Throws: the machine cannot be saved.
    package func disturbState(_ count: Int, accesses: Int) throws(UserError) -> StateAbuseResult {
        var result = StateAbuseResult()
        machine.runner.pause(.paused)
        let good: [StateRecord]
        do throws(StateError) { good = try machine.saveSections() } catch { throw UserError(error.description) }
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
                let restore = try machine.checkSections(records)
                machine.runner.resetForState()
                restore()
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
        if let restore = try? machine.checkSections(good) { restore() }
        machine.runner.resume()
        return result
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
