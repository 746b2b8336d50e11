// SPDX-License-Identifier: Apache-2.0

internal import ControlServer
public import Diagnostics
internal import HostSystem
internal import JSONCoding
internal import MachineAssembly
internal import MachineSpec
internal import RandomKit
internal import StreamTestKit

/// A whole machine with somebody at its monitors who says things that make sense in an order that does not, with arguments
/// that are wrong now and then: for tests and for the fuzz target.
public final class ControlAbuse {
    private let machine: MachineUnderTest
    private let stream = MemoryStream("abuse")
    private var random: SeededGenerator
    private let folder: String
    /// Each command with the names and types of its arguments.
    private var schema: [(command: String, members: [(name: String, type: String)])] = []
    /// By command: how often it was done, and how often it was refused.
    public private(set) var answers: [String: (done: Int, refused: Int)] = [:]
    private static let patience: UInt64 = 20_000_000_000
    private static let eventWait: Int32 = 5

    /// Builds the machine and asks it what it knows.
    /// - Parameter folder: the only one that the commands' own files lie in.
    /// - Throws: what roost-vmm would say of the arguments.
    public init(_ arguments: [String], seed: UInt64, folder: String) throws(UserError) {
        random = SeededGenerator(seed: seed)
        self.folder = folder
        machine = try MachineUnderTest(arguments)
        guard let control = machine.control else { throw UserError("the machine has no control server") }
        control.addMonitor(on: stream, mode: .control)
        stream.type(#"{"execute":"qmp_capabilities"}"#)
        _ = stream.takeText()
        readSchema(try answer(to: ["execute": "query-qmp-schema"]))
    }

    /// Says that many things.
    /// - Throws: one of them got no answer.
    public func run(_ count: Int) throws(UserError) {
        for _ in 0..<count {
            let command: JSONValue
            switch random.below(8) {
            case 0...4: command = sentence()
            case 5: command = anyCommand()
            default: command = line()
            }
            let reply = try answer(to: command)
            let name = command["execute"]?.string ?? "?"
            if reply["error"] == nil {
                answers[name, default: (0, 0)].done += 1
            } else {
                answers[name, default: (0, 0)].refused += 1
            }
        }
    }

    /// Says one thing and waits for what comes back; events are passed over.
    private func answer(to command: JSONValue) throws(UserError) -> JSONValue {
        stream.type(command.printed())
        let end = monotonicNanoseconds() + Self.patience
        while monotonicNanoseconds() < end {
            for line in stream.takeLines() {
                guard let value = try? JSONValue(parsing: line), value["event"] == nil else { continue }
                return value
            }
            machine.handleEvents(within: Self.eventWait)
        }
        throw UserError("no answer to \(command.printed())")
    }

    private func readSchema(_ reply: JSONValue) {
        var objects: [String: [(name: String, type: String)]] = [:]
        let entries = reply["return"]?.array ?? []
        for entry in entries {
            objects[entry["name"]?.string ?? ""] = entry["members"]?.array?.map {
                ($0["name"]?.string ?? "", $0["type"]?.string ?? "")
            }
        }
        for entry in entries where entry["meta-type"] == "command" {
            guard let name = entry["name"]?.string, !ControlSentences.unsaid.contains(name) else { continue }
            schema.append((name, objects[entry["arg-type"]?.string ?? ""] ?? []))
        }
    }

    // MARK: what is said

    private func pick<Value>(_ values: [Value]) -> Value { values[random.below(values.count)] }

    private func placed(_ text: String) -> String { text.replacing("$F", with: folder) }

    /// Something that makes sense, or nearly.
    private func sentence() -> JSONValue {
        guard var value = try? JSONValue(parsing: placed(pick(ControlSentences.commands))) else { return anyCommand() }
        if random.below(3) == 0, var object = value.object, let arguments = object["arguments"] {
            object["arguments"] = changed(arguments)
            value = .object(object)
        }
        return value
    }

    /// Any command with arguments of the right types.
    private func anyCommand() -> JSONValue {
        let (command, members) = pick(schema)
        var arguments = JSONObject()
        for member in members where random.below(4) != 0 {
            switch member.type {
            case "str": arguments[member.name] = text(for: member.name)
            case "int": arguments[member.name] = number()
            case "bool": arguments[member.name] = .bool(random.below(2) == 0)
            default: arguments[member.name] = value(for: member.name)
            }
        }
        return ["execute": .string(command), "arguments": .object(arguments)]
    }

    /// A line of the human monitor, sometimes with a word changed.
    private func line() -> JSONValue {
        var words = placed(pick(ControlSentences.lines)).split(separator: " ").map(String.init)
        if random.below(3) == 0 {
            switch random.below(3) {
            case 0: words.removeLast()
            case 1: words.append(placed(pick(ControlSentences.texts)))
            default:
                let place = random.below(words.count)
                words[place] = placed(
                    pick(words[place].contains(folder) ? ControlSentences.paths : ControlSentences.texts))
            }
        }
        return [
            "execute": "human-monitor-command", "arguments": ["command-line": .string(words.joined(separator: " "))],
        ]
    }

    /// A text for a member of that name: what names a file is in the folder, or nowhere.
    private func text(for name: String) -> JSONValue {
        let namesFile = ControlSentences.fileMembers.contains(name)
        return .string(placed(pick(namesFile ? ControlSentences.paths : ControlSentences.texts)))
    }

    private func number() -> JSONValue {
        switch random.below(6) {
        case 0: JSONValue(random.below(8))
        case 1: JSONValue(-1 - random.below(3))
        case 2: JSONValue(UInt64(1) << UInt64(random.below(64)))
        case 3: .integer(.min)
        case 4: .integer(.max)
        default: JSONValue(random.below(1 << 20))
        }
    }

    private func value(for name: String) -> JSONValue {
        switch random.below(6) {
        case 0: .null
        case 1: .array([text(for: name), number()])
        case 2: .object(JSONObject([("type", text(for: "type")), ("data", text(for: "data"))]))
        case 3: .double(1e300)
        case 4: number()
        default: text(for: name)
        }
    }

    /// The same with one thing other than it was.
    private func changed(_ old: JSONValue, called name: String = "") -> JSONValue {
        switch old {
        case .object(var members) where !members.isEmpty && random.below(5) != 0:
            let inner = pick(members.names)
            switch random.below(6) {
            case 0: members.removeValue(forName: inner)
            case 1:
                let added = pick(["extra", "id", "device", "node-name", "size"])
                members[added] = value(for: added)
            default: members[inner] = members[inner].map { changed($0, called: inner) }
            }
            return .object(members)
        case .array(var values) where !values.isEmpty && random.below(5) != 0:
            let place = random.below(values.count)
            if random.below(4) == 0 {
                values.append(values[place])
            } else {
                values[place] = changed(values[place], called: name)
            }
            return .array(values)
        case .string: return random.below(6) == 0 ? value(for: name) : text(for: name)
        case .integer, .unsigned: return random.below(6) == 0 ? value(for: name) : number()
        case .bool(let truth): return random.below(6) == 0 ? value(for: name) : .bool(!truth)
        default: return value(for: name)
        }
    }
}
