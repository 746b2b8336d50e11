// SPDX-License-Identifier: Apache-2.0

internal import CX86Native
internal import HostSystem
internal import X86CPU

// What translated code asks for when its accesses do not go as it was made for.
extension Translator {
    /// The code from a site on whose accesses are made one by one; the site leads there from now on.
    func ungroup(_ number: Int, _ cpu: SoftCPU) -> UnsafeRawPointer? {
        let site = sites[number]
        let physical = site.page << 12 | UInt64(site.target)
        let key = physical << Self.modeBits | site.mode
        let entries: BlockEntries
        switch plainBlocks.find(key) {
        case .block(let known): entries = known
        case .untranslatable: return nil
        case .unknown:
            let flushes = statistics.flushes
            guard let made = translate(physical, key, cpu, isPlain: true), statistics.flushes == flushes else {
                return nil
            }
            entries = made
        }
        Emitter.link(site.place, to: entries.saved)
        return area.executable(entries.saved)
    }

    /// What a miss of a site's cache must cost in the host's cycles, other work between included, for the cache to be
    /// worth keeping.
    private static let cyclesPerMiss: UInt64 = 150

    /// Takes the cache from a site that it does not help: it asks the TLB at once. A site that seldom misses has missed
    /// often in the end as well, and keeps its cache.
    func demote(_ offset: Int, _ cpu: SoftCPU) {
        let returnPlace = area.start + offset
        var (low, high) = (0, cachedSites.count)
        while low < high {
            let middle = (low + high) / 2
            if cachedSites[middle].returnPlace < returnPlace { low = middle + 1 } else { high = middle }
        }
        // The code that came here was made since all was forgotten, so its site is among them.
        precondition(low < cachedSites.count && cachedSites[low].returnPlace == returnPlace)
        let site = cachedSites[low]
        cpu.translationRIP = translation.pointee.codePage &+ UInt64(site.offset)
        let now = roost_rdtsc()
        cachedSites[low].lookedAt = now
        cpu.forgetMisses(site.refill.slot)
        guard now &- site.lookedAt < UInt64(RefillStubs.maximumMisses) * Self.cyclesPerMiss,
            area.count - (cursor - area.start) >= Self.blockBytes
        else { return }
        var emitter = Emitter(at: cursor)
        Emitter.link(
            BlockTranslator.emitLookup(&emitter, bytes: site.refill.bytes, isWrite: site.refill.isWrite, abilities),
            to: site.slow)
        emitter.op(0x03, Host.scratch0, .memory(Host.scratch1, 8))
        emitter.jump(to: site.refill.done)
        var patch = Emitter(at: site.refill.begin)
        patch.jump(to: cursor)
        cursor += (emitter.cursor - cursor + 15) & ~15
        statistics.demotions += 1
    }

    // MARK: targets that are none

    static func isCanonical(_ address: UInt64) -> Bool {
        // With 57 bits as well the interpreter finds out.
        (Int64(bitPattern: address) << 16) >> 16 == Int64(bitPattern: address)
    }

    /// A return or indirect jump that faults by its target: undone, and done by the interpreter.
    func refuseReturn(_ site: Int, _ cpu: SoftCPU) -> Int32 {
        let instruction = (data.base + site).assumingMemoryBound(to: Instruction.self)
        if instruction.pointee.opcode != 0xFF {
            let released = instruction.pointee.opcode == 0xC2 ? instruction.pointee.immediate : 0
            cpu[general: 4] = cpu[general: 4] &- 8 &- released
        }
        return interpret(site)
    }
}
