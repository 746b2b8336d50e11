// SPDX-License-Identifier: Apache-2.0

public import X86CPU

/// What the translators of a machine's processors did, for `info jit` and `info opcount`.
public struct TranslatorReport: Sendable {
    /// Calls of the interpreter for one mnemonic.
    struct Interpreted: Sendable {
        var untranslated: UInt64 = 0
        var missed: UInt64 = 0
    }

    private var statistics = TranslatorStatistics()
    private var interpreted: [String: Interpreted] = [:]
    private var codeBytes = 0
    private var codeCapacity = 0
    private var liveBlocks = 0
    private var interpretedInBlocks: UInt64 = 0

    /// Collects from processors that do not run meanwhile.
    /// - Returns: nil where none of them has a translator.
    public init?(_ processors: [SoftCPU]) {
        let translators = processors.compactMap(Translator.of)
        guard !translators.isEmpty else { return nil }
        for processor in processors { interpretedInBlocks &+= processor.interpretedInstructions }
        for translator in translators {
            statistics += translator.statistics
            translator.counts.add(to: &interpreted)
            codeBytes += translator.usedBytes
            codeCapacity += translator.capacity
            liveBlocks += translator.blockCount
        }
    }

    private static func percent(_ part: Int, of whole: Int) -> Int { whole == 0 ? 0 : part * 100 / whole }

    private static func ratio(_ a: Int, _ b: Int) -> String {
        guard b > 0 else { return "0" }
        let tenths = a * 10 / b
        return "\(tenths / 10).\(tenths % 10)"
    }

    /// The text of `info jit`.
    public var text: String {
        let count = max(statistics.blocks, 1)
        let untranslated = interpreted.values.reduce(UInt64(0)) { $0 &+ $1.untranslated }
        let missed = interpreted.values.reduce(UInt64(0)) { $0 &+ $1.missed }
        return """
            Translation buffer state:
            gen code size       \(codeBytes)/\(codeCapacity)
            TB count            \(liveBlocks)
            TB avg target size  \(statistics.guestBytes / count) max=\(statistics.largestBlock) bytes
            TB avg host size    \(statistics.hostBytes / count) bytes (expansion ratio: \
            \(Self.ratio(statistics.hostBytes, statistics.guestBytes)))
            cross page TB count 0 (0%)
            direct jump count   \(statistics.links) (\(Self.percent(statistics.links, of: statistics.blocks))%)

            Statistics:
            TB flush count      \(statistics.flushes)
            TB invalidate count \(statistics.drops)
            TB translate count  \(statistics.blocks)
            jumps linked to other pages: \(statistics.farLinks)
            run loop exits      \(statistics.exits)
            loops with accesses looked up before: \(statistics.loops), sites that lost their caches: \
            \(statistics.demotions)
            interpreted instructions: \(interpretedInBlocks) in cold code, \(untranslated) without code of their own, \
            \(missed) after a TLB miss

            """
    }

    /// The text of `info opcount`: a line for each mnemonic that was interpreted, the most frequent first.
    public var opcodeText: String {
        let sorted = interpreted.sorted {
            let (a, b) = ($0.value.untranslated &+ $0.value.missed, $1.value.untranslated &+ $1.value.missed)
            return a == b ? $0.key < $1.key : a > b
        }
        return sorted.map { "\($0.key): \($0.value.untranslated) interpreted, \($0.value.missed) after a TLB miss\n" }
            .joined()
    }
}
