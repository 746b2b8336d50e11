// SPDX-License-Identifier: Apache-2.0

internal import DisplaySurfaces
internal import RandomKit
internal import VNCServer
internal import VNCTestKit

// Clients that say anything: changed bytes of correct conversations, and rubbish. Nothing may trap, and no length that a
// client gives may be believed without a bound. Usage: fuzz-vnc [SEED] [ROUNDS].

let arguments = CommandLine.arguments.dropFirst().compactMap { UInt64($0) }
var numbers = SeededGenerator(seed: arguments.first ?? 1)
let rounds = arguments.count > 1 ? arguments[1] : 1_000_000

let version = Array("RFB 003.008\n".utf8)
let request = Array(
    "GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n".utf8)
let messages: [[UInt8]] = [
    [0, 0, 0, 0, 16, 16, 0, 1, 0, 31, 0, 63, 0, 31, 11, 5, 0, 0, 0, 0],
    [2, 0, 0, 4, 0, 0, 0, 7, 0, 0, 0, 16, 0xFF, 0xFF, 0xFF, 0x21, 0xFF, 0xFF, 0xFE, 0xCC],
    [3, 0, 0, 0, 0, 0, 0, 99, 0, 60], [3, 1, 0, 0, 0, 0, 0, 99, 0, 60], [4, 1, 0, 0, 0, 0, 0, 97],
    [5, 1, 0, 20, 0, 20], [6, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3], [255, 0, 0, 1, 0, 0, 0, 97, 0, 0, 0, 30],
    [251, 0, 3, 0, 2, 0, 1, 0] + [UInt8](repeating: 0, count: 16), [250, 0, 1, 2],
]

@MainActor func damaged(_ bytes: [UInt8]) -> [UInt8] {
    var bytes = bytes
    for _ in 0..<Int.random(in: 0...3, using: &numbers) where !bytes.isEmpty {
        let place = Int.random(in: 0..<bytes.count, using: &numbers)
        switch Int.random(in: 0..<4, using: &numbers) {
        case 0: bytes[place] = UInt8.random(in: 0...255, using: &numbers)
        case 1: bytes.remove(at: place)
        case 2: bytes.insert(UInt8.random(in: 0...255, using: &numbers), at: place)
        default: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &numbers)
        }
    }
    return bytes
}

@MainActor func converse(_ outcome: VNCHandshake.Outcome) {
    var state = ClientState(image: DisplayImage(width: 100, height: 61), isLocal: Bool.random(using: &numbers))
    let encoder = UpdateEncoder()
    while let message = try? ClientMessage(from: outcome.reader) {
        switch message {
        case .setPixelFormat(let format): state.set(format)
        case .setEncodings(let list): state.set(list)
        case .updateRequest(let isIncremental, let part): state.request(isIncremental: isIncremental, part)
        case .setDesktopSize(let width, let height):
            state.resize(DisplayImage(width: min(width, 300), height: min(height, 300)))
        default: break
        }
        state.refreshed()
        state.sendSize(reason: 1, status: 0)
        _ = state.takeMessages()
        if let job = state.takeUpdate() { _ = try? encoder.update(job.image, job.parts, job.choice) }
    }
}

for round in 0..<rounds {
    var bytes = damaged(version) + [1, 1]
    for _ in 0..<Int.random(in: 0..<12, using: &numbers) { bytes += damaged(messages.randomElement(using: &numbers)!) }
    let handshake = VNCHandshake(
        proof: round % 7 == 0 ? .password : .none, password: { [1, 2, 3] }, encrypt: nil)
    if round % 3 == 0 {
        var frames = damaged(request)
        for start in stride(from: 0, to: bytes.count, by: 20) {
            let part = Array(bytes[start..<min(start + 20, bytes.count)])
            frames += damaged([0x82, 0x80 | UInt8(part.count), 0, 0, 0, 0]) + part
        }
        if let channel = try? WebSocketChannel(ScriptedChannel(frames)),
            let outcome = try? handshake.perform(on: channel)
        {
            converse(outcome)
        }
    } else if let outcome = try? handshake.perform(on: ScriptedChannel(bytes)) {
        converse(outcome)
    }
    if round % 100_000 == 99_999 { print("\(round + 1) clients") }
}
print("\(rounds) clients, none of them got anywhere it should not")
