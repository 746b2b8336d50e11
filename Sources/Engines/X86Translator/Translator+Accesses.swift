// SPDX-License-Identifier: Apache-2.0

internal import CX86Native
internal import HostSystem
internal import X86CPU

/// A site that counts its looks: a jump stands in place of the first instruction of its look.
struct SiteTrial {
    /// In `cachedSites`.
    let site: Int
    let place: UnsafeMutablePointer<UInt8>
    /// The instruction: a subtraction with an offset of 32 bits in the state.
    let displaced: UInt64
    static let bytes = 8
    /// The host's time when it began.
    let started: UInt64

    init(site: Int, place: UnsafeMutablePointer<UInt8>, at started: UInt64) {
        self.site = site
        self.place = place
        self.started = started
        displaced = UnsafeRawPointer(place).loadUnaligned(as: UInt64.self)
    }
}

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

    // MARK: caches of sites

    /// How fast misses of a site's cache must come, in the host's cycles for each, other work between included, for it
    /// to be found out how many of its looks they are.
    private static let cyclesPerMiss: UInt64 = 600
    /// With more looks for each miss the cache is kept: a hit saves a few cycles, a miss costs some forty.
    private static let leastLooks: UInt64 = 6
    /// How often a site that kept its cache is let pass then.
    private static let reprieve = 64
    /// Cycles after which a site that counts its looks counts as one that is not run any more.
    private static let longestTrial: UInt64 = 20_000_000

    /// A site has missed `RefillStubs.maximumMisses` times. Where they came fast its looks are counted until it has missed
    /// as often again, and if it seldom hits, the cache is taken from it: it asks the TLB at once.
    func demote(_ offset: Int, _ cpu: SoftCPU) {
        let index = cachedSite(returning: area.start + offset)
        let site = cachedSites[index]
        cpu.translationRIP = translation.pointee.codePage &+ UInt64(site.offset)
        let now = roost_rdtsc()
        cachedSites[index].lookedAt = now
        cpu.forgetMisses(site.refill.slot)
        if let trial, trial.site == index {
            endTrial(trial)
            if translation.pointee.siteLooks < UInt64(RefillStubs.maximumMisses) * Self.leastLooks {
                takeCache(site)
            } else {
                cachedSites[index].reprieve = Self.reprieve
            }
        } else if now &- site.lookedAt < UInt64(RefillStubs.maximumMisses) * Self.cyclesPerMiss {
            if site.reprieve > 0 {
                cachedSites[index].reprieve -= 1
            } else {
                beginTrial(index, now)
            }
        }
    }

    private func cachedSite(returning place: UnsafeMutablePointer<UInt8>) -> Int {
        var (low, high) = (0, cachedSites.count)
        while low < high {
            let middle = (low + high) / 2
            if cachedSites[middle].returnPlace < place { low = middle + 1 } else { high = middle }
        }
        // The code that came here was made since all was forgotten, so its site is among them.
        precondition(low < cachedSites.count && cachedSites[low].returnPlace == place)
        return low
    }

    /// Makes a site count its looks, of which there is one at a time.
    private func beginTrial(_ index: Int, _ now: UInt64) {
        if let trial {
            guard now &- trial.started > Self.longestTrial else { return }
            endTrial(trial)
        }
        guard hasRoomForCode else { return }
        let begin = cachedSites[index].refill.begin
        let first = SiteTrial(site: index, place: begin, at: now)
        translation.pointee.siteLooks = 0
        var emitter = Emitter(at: coldCursor)
        emitter.arithmetic(0, .state(StateLayout.siteLooks), 1)
        emitter.quad(first.displaced)
        emitter.jump(to: begin + SiteTrial.bytes)
        var patch = Emitter(at: begin)
        patch.jump(to: coldCursor)
        keep(emitter)
        trial = first
    }

    private func endTrial(_ ended: SiteTrial) {
        var patch = Emitter(at: ended.place)
        patch.quad(ended.displaced)
        trial = nil
    }

    private func takeCache(_ site: CachedSite) {
        guard hasRoomForCode else { return }
        var emitter = Emitter(at: coldCursor)
        Emitter.link(
            BlockTranslator.emitLookup(&emitter, bytes: site.refill.bytes, isWrite: site.refill.isWrite, abilities),
            to: site.slow)
        emitter.op(0x03, Host.scratch0, .memory(Host.scratch1, 8))
        emitter.jump(to: site.refill.done)
        var patch = Emitter(at: site.refill.begin)
        patch.jump(to: coldCursor)
        keep(emitter)
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
