// SPDX-License-Identifier: Apache-2.0

internal import LibvirtService
internal import RandomKit
internal import RPCTestKit

// Clients of roostd that send anything: changed bytes of correct messages, cut where the network may cut them, and
// changed documents. Nothing may trap, and what was read must be written again as it was read.
// Usage: fuzz-rpc [SEED] [ROUNDS].

let arguments = CommandLine.arguments.dropFirst().compactMap { UInt64($0) }
var numbers = SeededGenerator(seed: arguments.first ?? 1)
let rounds = arguments.count > 1 ? arguments[1] : 1_000_000
let messages = MessageFuzzing()
let documents = try DocumentFuzzing()
defer { documents.end() }

for round in 0..<rounds {
    switch round % 16 {
    case 0: try documents.domain(&numbers)
    case 1: documents.tree(&numbers)
    case 2: documents.parts(&numbers)
    case 3 where round % 256 == 3: documents.drivers(&numbers)
    case 4: messages.assemble(&numbers)
    default: messages.decode(&numbers)
    }
    if round % 100_000 == 99_999 { print("\(round + 1) messages and documents") }
}
print("\(rounds) messages and documents, none of them got anywhere it should not")
