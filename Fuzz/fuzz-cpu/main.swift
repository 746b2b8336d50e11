// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostOracle

// Compares user-mode instructions on the software CPU with the host's processor, without end.
//
//     fuzz-cpu [--seed N] [--count N] [--bits 16|32|64] [--only PREFIX] [--keep-going] [--undefined] [--jit]
//
// Prints the seed and the first difference and exits 1; with --keep-going one difference for each instruction name.

struct Options {
    var seed = UInt64.random(in: 0..<1 << 40)
    var count = UInt64.max >> 8
    var bits = 64
    var only = ""
    var keepsGoing = false
    /// Bytes that are no instruction.
    var undefined = false
    /// Translated code instead of the interpreter.
    var translates = false
}

func fail(_ text: String) -> Never {
    FileHandleError.write(text)
    exit(1)
}

enum FileHandleError {
    static func write(_ text: String) {
        let line = Array((text + "\n").utf8)
        // write(2) reads only the array's own bytes.
        _ = unsafe line.withUnsafeBytes { unsafe Glibc.write(2, $0.baseAddress, $0.count) }
    }
}

func parse(_ arguments: [String]) -> Options {
    var options = Options()
    var rest = arguments.dropFirst()
    func value(_ flag: String) -> String {
        guard let text = rest.popFirst() else { fail("fuzz-cpu: \(flag) wants a value") }
        return text
    }
    func number(_ flag: String) -> UInt64 {
        let text = value(flag)
        guard let number = UInt64(text), number < UInt64.max >> 8 else {
            fail("fuzz-cpu: \(flag): '\(text)' is no number")
        }
        return number
    }
    while let flag = rest.popFirst() {
        switch flag {
        case "--seed": options.seed = number(flag)
        case "--count": options.count = number(flag)
        case "--bits":
            options.bits = Int(number(flag))
            guard [16, 32, 64].contains(options.bits) else { fail("fuzz-cpu: --bits: 16, 32 or 64") }
        case "--only": options.only = value(flag)
        case "--undefined": options.undefined = true
        case "--jit": options.translates = true
        case "--keep-going": options.keepsGoing = true
        default:
            fail("fuzz-cpu: unknown flag '\(flag)'; known: --seed --count --bits --only --keep-going --undefined --jit")
        }
    }
    return options
}

let options = parse(CommandLine.arguments)
print("seed \(options.seed), \(options.bits)-bit code")
var reported: [String: Int] = [:]
do {
    let oracle = try Oracle(bits: options.bits, translates: options.translates)
    let seeds = options.seed..<options.seed + min(options.count, UInt64.max >> 8)
    let report = { (difference: OracleDifference) -> Bool in
        reported[difference.name, default: 0] += 1
        if reported[difference.name] == 1 || options.undefined { print(difference) }
        return options.keepsGoing
    }
    if options.undefined {
        try oracle.runUndefined(seeds: seeds, report: report)
    } else {
        try oracle.run(seeds: seeds, matching: options.only, report: report)
    }
} catch { fail("fuzz-cpu: \(error)") }
if reported.isEmpty {
    print("\(options.count) cases, no difference")
} else {
    for (name, count) in reported.sorted(by: { $0.value > $1.value }) where options.keepsGoing {
        print("\(count) \(name)")
    }
    exit(1)
}
