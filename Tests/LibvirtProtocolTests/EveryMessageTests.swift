// SPDX-License-Identifier: Apache-2.0

import LibvirtProtocol
import RandomKit
import StorageTestKit
import Testing
import WireTestKit
import XDRCoding

/// Properties of every type that travels.
@Suite struct EveryMessageTests {
    private static let samples = 6

    private func eachSample(_ probe: WireProbe, _ body: (WirePart, [UInt8], inout SeededGenerator) throws -> Void)
        throws
    {
        var random = SeededGenerator(seed: UInt64(UInt32(bitPattern: probe.number)) &* 977)
        for part in probe.parts {
            for _ in 0..<Self.samples {
                let bytes = try #require(part.sample(using: &random))
                try body(part, bytes, &random)
            }
        }
    }

    @Test(arguments: EveryMessage.procedures + EveryMessage.events)
    func whatIsReadIsWrittenAgain(_ probe: WireProbe) throws {
        try eachSample(probe) { part, bytes, _ in
            let once = try part.recode(bytes)
            #expect(once.read == bytes.count)
            // Only truth values, bytes in words and padding have more than one form, and none changes the length.
            #expect(once.bytes.count == bytes.count)
            let twice = try part.recode(once.bytes)
            #expect(twice.bytes == once.bytes && twice.read == once.bytes.count)
        }
    }

    @Test(arguments: EveryMessage.procedures + EveryMessage.events)
    func whatIsCutShortIsTruncated(_ probe: WireProbe) throws {
        try eachSample(probe) { part, bytes, random in
            guard !bytes.isEmpty else { return }
            for _ in 0..<8 {
                let count = Int.random(in: 0..<bytes.count, using: &random)
                #expect(throws: XDRError.truncated) { try part.recode(Array(bytes.prefix(count))) }
            }
        }
    }

    /// Reading must end in a value or an error, whatever the bytes are.
    @Test(arguments: EveryMessage.procedures + EveryMessage.events)
    func damagedMessagesAreReadOrRefused(_ probe: WireProbe) throws {
        try eachSample(probe) { part, bytes, random in
            var damaged = bytes
            for _ in 0..<16 where !damaged.isEmpty {
                let place = Int.random(in: 0..<damaged.count, using: &random)
                damaged[place] = UInt8.random(in: 0...255, using: &random)
                guard let result = try? part.recode(damaged) else { continue }
                #expect(result.read <= damaged.count)
            }
        }
    }

    @Test func numbersAndNamesAreUnique() {
        for program in [WireProgram.remote, .qemu] {
            let calls = EveryMessage.procedures.filter { $0.program == program }
            let numbers = (calls + EveryMessage.events.filter { $0.program == program }).map(\.number)
            #expect(Set(numbers).count == numbers.count)
        }
        // Two ways to ask for the same are one function to clients, so a name may come more than once; not a number.
        #expect(EveryMessage.procedures.allSatisfy { !$0.name.isEmpty })
    }

    /// Names of calls say what they do: those that set, make or remove something are never for readers.
    @Test func changesAreNotForReaders() {
        let verbs = [
            "Create", "Define", "Undefine", "Destroy", "Attach", "Detach", "Delete", "Restore", "Rename", "Resize",
            "Wipe", "Upload", "Reboot", "Shutdown", "Suspend", "Resume", "Reset", "Inject", "SendKey", "Migrate",
            "CoreDump", "Screenshot", "FSTrim", "FSFreeze", "FSThaw", "SetAutostart", "SetMemory", "SetVcpus",
            "SetMetadata", "SetTime", "SetUserPassword", "SetValue", "PinVcpu", "PinEmulator", "BlockCommit",
            "BlockPull", "BlockRebase", "BlockCopy", "UpdateDevice", "Revert", "ManagedSaveRemove", "OpenConsole",
        ]
        // These only look, though they are named after a change.
        let looks = ["Get", "List", "Event", "Lookup", "Is", "Num", "Has", "Compare", "Current"]
        for call in EveryMessage.procedures where call.access == .read {
            guard !looks.contains(where: { call.name.contains($0) }) else { continue }
            #expect(!verbs.contains { call.name.contains($0) }, "\(call)")
        }
    }
}
