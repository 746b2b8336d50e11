// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostSystem
import ImageFuzzing
internal import RandomKit
import Synchronization

// Damaged images of every format, without end (or for as many rounds as the second argument says), from the seed in the
// first; a format's name as the third leaves the others out. A trap, a round of more than 10 seconds of processor time or
// more than 1 GiB of memory is a bug, and so is one that does not end in two minutes. The round under way is in the file fuzz-images.last, and "seed round" as the first two arguments
// with "once" as the fourth repeats it alone.

let arguments = CommandLine.arguments.dropFirst().map { $0 }
let seed = arguments.first.flatMap(UInt64.init) ?? 1
let rounds = arguments.dropFirst().first.flatMap(UInt64.init) ?? .max
let format = arguments.dropFirst(2).first.flatMap { $0.isEmpty ? nil : $0 }
let isOnce = arguments.dropFirst(3).first == "once"
let mostMemory = 1 << 20  // KiB

/// When the round under way began; 0 before the first.
enum Watch {
    static let begun = Atomic<UInt64>(0)
    static let mostProcessorTime: UInt64 = 10_000_000_000
    /// A busy host may leave a round alone for long.
    static let longestRound: UInt64 = 120_000_000_000
    /// What the process had spent at the beginning of the round.
    static let spent = Atomic<UInt64>(0)

    /// Nanoseconds that the process has spent on processors.
    static func processorTime() -> UInt64 {
        var now = timespec()
        // clock_gettime fills the struct on this frame.
        guard unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) == 0 else { return 0 }
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }
}

let watchdog = try HostThread(name: "watchdog") {
    while true {
        sleep(1)
        let begun = Watch.begun.load(ordering: .relaxed)
        guard begun != 0 else { continue }
        let isLong = monotonicNanoseconds() > begun + Watch.longestRound
        let isBusy = Watch.processorTime() > Watch.spent.load(ordering: .relaxed) + Watch.mostProcessorTime
        guard isLong || isBusy else { continue }
        print(
            "A round takes more than \(isBusy ? "10 seconds of processor time" : "two minutes"); see fuzz-images.last")
        _ = fflush(nil)
        abort()
    }
}

/// Leaves a trace of the round for whoever finds the program dead.
func note(_ seed: UInt64, _ round: UInt64, _ name: String) {
    guard let file = unsafe fopen("fuzz-images.last", "w") else { return }
    _ = unsafe fputs("seed \(seed) round \(round): \(name)\n", file)
    unsafe fclose(file)
}

func peakMemory() -> Int {
    var usage = rusage()
    // getrusage fills the struct on this frame.
    return unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 ? usage.ru_maxrss : 0
}

let fuzzer = try ImageFuzzer(format: format)
var slowest: (UInt64, UInt64) = (0, 0)
for round in (isOnce ? rounds : 0)..<(isOnce ? rounds + 1 : rounds) {
    var random = SeededGenerator(seed: seed &* 1_000_003 &+ round)
    let sample = fuzzer.samples[Int(random.next() % UInt64(fuzzer.samples.count))]
    note(seed, round, sample.name)
    let start = monotonicNanoseconds()
    Watch.spent.store(Watch.processorTime(), ordering: .relaxed)
    Watch.begun.store(start, ordering: .relaxed)
    fuzzer.exercise(fuzzer.damage(sample, &random), format: sample.format)
    let spent = monotonicNanoseconds() - start
    if spent > slowest.0 { slowest = (spent, round) }
    guard peakMemory() < mostMemory else {
        print("Round \(round) (\(sample.name)) took more than 1 GiB of memory")
        exit(1)
    }
    if round % 1000 == 999 {
        print("\(round + 1) rounds; the slowest, \(slowest.1), took \(slowest.0 / 1_000_000) ms; \(peakMemory()) KiB")
        _ = fflush(nil)
    }
}
print("done; the slowest round, \(slowest.1), took \(slowest.0 / 1_000_000) ms; \(peakMemory()) KiB")
exit(0)
