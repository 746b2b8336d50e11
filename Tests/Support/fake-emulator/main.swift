// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem
internal import JSONCoding
internal import LocalSockets
internal import Synchronization

// An emulator without a machine, for tests of what drives one: it says what it has, opens a monitor, answers every
// command, and ends at the command whose number is in the file beside it (`.fault`), or refuses it (`.refuse`).

func number(_ suffix: String) -> Int? {
    guard let file = try? FileDescriptor.open(CommandLine.arguments[0] + suffix) else { return nil }
    var bytes = [UInt8](repeating: 0, count: 32)
    // The array lives for the call.
    let count = unsafe bytes.withUnsafeMutableBytes { (try? unsafe file.read(into: $0)) ?? 0 }
    return Int(String(decoding: bytes.prefix(count), as: UTF8.self).filter(\.isNumber))
}

func answer(_ name: String) -> JSONValue {
    switch name {
    case "query-status": ["status": "running", "running": true]
    case "query-migrate": ["status": "completed"]
    case "query-chardev", "query-block", "query-named-block-nodes", "query-cpus-fast", "query-hotpluggable-cpus",
        "query-block-jobs":
        []
    default: [:]
    }
}

/// Commands that were answered, on all connections.
let seenCommands = Atomic(0)

func serve(_ client: Int32) {
    let (fault, refusal) = (number(".fault"), number(".refuse"))
    func send(_ value: JSONValue) { try? FileDescriptor.writeAll(Array((value.printed() + "\r\n").utf8), to: client) }
    send(["QMP": ["version": ["qemu": ["major": 7, "minor": 2, "micro": 0], "package": ""], "capabilities": ["oob"]]])
    var buffer: [UInt8] = []
    var passed: [Int32] = []
    while true {
        guard let count = try? LocalSocket.receive(client, limit: 65536, into: &buffer, descriptors: &passed), count > 0
        else { return }
        while let end = buffer.firstIndex(of: 10) {
            let line = String(decoding: buffer[..<end], as: UTF8.self)
            buffer.removeSubrange(...end)
            guard let message = try? JSONValue(parsing: line), let name = message["execute"]?.string else { continue }
            let seen = seenCommands.add(1, ordering: .relaxed).oldValue
            if seen == fault { exit(1) }
            var reply: JSONObject = [:]
            if seen == refusal {
                reply["error"] = ["class": "GenericError", "desc": "refused by the test"]
            } else {
                reply["return"] = answer(name)
            }
            if let identifier = message["id"] { reply["id"] = identifier }
            send(.object(reply))
            if name == "quit" { exit(0) }
        }
    }
}

let words = CommandLine.arguments.dropFirst()
switch words.first {
case "--version": print("QEMU emulator version 7.2.0")
case "-machine" where words.contains("help"):
    print("Supported machines are:\npc  Standard PC (alias of pc-i440fx-7.2)\npc-i440fx-7.2 x")
case "-cpu" where words.contains("help"): print("x86 qemu64 x")
case "-device" where words.contains("help"):
    for name in ["virtio-blk-pci", "virtio-balloon-pci", "ide-cd", "isa-serial"] { print("name \"\(name)\"") }
case "-help": print("-display none")
default:
    guard let option = words.first(where: { $0.hasPrefix("socket,id=charmonitor,") }),
        let path = option.split(separator: ",").first(where: { $0.hasPrefix("path=") })?.dropFirst(5),
        let listener = try? LocalSocket.listen(path: String(path), mode: 0o700)
    else { exit(2) }
    try listener.setNonBlocking(false)
    while true {
        // No address is asked for.
        let client = accept(listener.number, nil, nil)
        guard client >= 0 else { continue }
        _ = try HostThread(name: "monitor") {
            serve(client)
            close(client)
        }
    }
}
