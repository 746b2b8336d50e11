// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import Glibc
internal import HostSystem

/// What a rule of blkdebug does when its event happens.
enum FaultAction: Sendable {
    /// Requests fail from now on.
    case inject(Fault)
    /// The state that rules can depend on changes.
    case setState(Int64)
}

/// Which requests fail, and how.
struct Fault: Sendable {
    /// The kinds of requests.
    struct Kinds: OptionSet, Sendable {
        let rawValue: UInt8
        static let read = Kinds(rawValue: 1)
        static let write = Kinds(rawValue: 2)
        static let writeZeroes = Kinds(rawValue: 4)
        static let discard = Kinds(rawValue: 8)
        static let flush = Kinds(rawValue: 16)
        static let blockStatus = Kinds(rawValue: 32)
    }

    var errno: Int32 = EIO
    /// The byte that a request must touch; nil for any.
    var position: Int64?
    var kinds: Kinds = [.read, .write, .writeZeroes, .discard, .flush]
    var isOnce = false
}

/// One rule.
struct FaultRule: Sendable {
    /// The event's name; "none" is there from the beginning.
    var event = "none"
    /// The state in which the rule holds; 0 for all.
    var state: Int64 = 0
    var action: FaultAction
}

/// The rules of a blkdebug node and what is in force of them. Guarded by its own lock.
final class FaultRules: @unchecked Sendable {
    private let rules: [FaultRule]
    private let lock = Lock()
    private var state: Int64 = 1
    private var active: [(rule: Int, fault: Fault)] = []
    private var spent: Set<Int> = []

    init(_ rules: [FaultRule]) {
        self.rules = rules
        note("none")
    }

    /// An event happened.
    func note(_ event: String) {
        lock.withLock {
            var next = state
            var isFirst = true
            for (index, rule) in rules.enumerated() where rule.event == event && !spent.contains(index) {
                guard rule.state == 0 || rule.state == state else { continue }
                switch rule.action {
                case .setState(let value): next = value
                case .inject(let fault):
                    // What earlier events brought ends here.
                    if isFirst { active.removeAll() }
                    isFirst = false
                    active.insert((index, fault), at: 0)
                }
            }
            state = next
        }
    }

    /// Fails when a rule says that this request does.
    func check(_ kind: Fault.Kinds, at offset: Int64, count: Int64) throws(BlockError) {
        let fault: Fault? = lock.withLock {
            let index = active.firstIndex { entry in
                guard entry.fault.kinds.contains(kind) else { return false }
                guard let position = entry.fault.position else { return true }
                return position >= offset && position - offset < count
            }
            guard let index else { return nil }
            let found = active[index]
            if found.fault.isOnce {
                active.remove(at: index)
                spent.insert(found.rule)
            }
            return found.fault
        }
        if let fault, fault.errno != 0 { throw BlockError(system: Errno(fault.errno)) }
    }
}

extension FaultRules {
    private static let sector: Int64 = 512

    /// The rules in `inject-error.N.*` and `set-state.N.*`.
    static func take(from options: inout BlockOptions) throws(BlockError) -> [FaultRule] {
        var rules: [FaultRule] = []
        for group in ["inject-error", "set-state"] {
            var all = options.takeSubtree(group)
            var index = 0
            while all.hasSubtree("\(index)") {
                var one = all.takeSubtree("\(index)")
                rules.append(try rule(group, &one))
                index += 1
            }
            if let unknown = all.keys.first {
                throw BlockError(.invalidArgument, "Invalid parameter '\(group).\(unknown)'")
            }
        }
        return rules
    }

    /// One rule of either kind.
    static func rule(_ group: String, _ options: inout BlockOptions) throws(BlockError) -> FaultRule {
        guard let event = options.take("event") else {
            throw BlockError(.invalidArgument, "Missing event name for rule")
        }
        let state = try options.takeNumber("state") ?? 0
        var rule: FaultRule
        if group == "set-state" {
            let next = try options.takeNumber("new_state") ?? 0
            rule = FaultRule(event: event, state: state, action: .setState(next))
        } else {
            var fault = Fault()
            if let number = try options.takeNumber("errno") { fault.errno = Int32(truncatingIfNeeded: number) }
            if let sector = try options.takeNumber("sector"), sector >= 0 { fault.position = sector &* Self.sector }
            fault.isOnce = try options.takeBool("once") ?? false
            _ = try options.takeBool("immediately")
            if let kind = options.take("iotype") { fault.kinds = try kinds(kind) }
            rule = FaultRule(event: event, state: state, action: .inject(fault))
        }
        if let unknown = options.keys.first { throw BlockError(.invalidArgument, "Invalid parameter '\(unknown)'") }
        return rule
    }

    private static func kinds(_ text: String) throws(BlockError) -> Fault.Kinds {
        switch text {
        case "read": return .read
        case "write": return .write
        case "write-zeroes": return .writeZeroes
        case "discard": return .discard
        case "flush": return .flush
        case "block-status": return .blockStatus
        default: throw BlockError(.invalidArgument, "Invalid iotype value '\(text)'")
        }
    }

    /// The rules in a configuration file: sections with `name = "value"` lines.
    static func parse(_ text: String) throws(BlockError) -> [FaultRule] {
        var rules: [FaultRule] = []
        var section: (name: String, options: BlockOptions)?
        func finish() throws(BlockError) {
            guard var current = section else { return }
            rules.append(try rule(current.name, &current.options))
            section = nil
        }
        for line in text.split(separator: "\n") {
            let line = trim(line)
            if line.isEmpty || line.hasPrefix("#") { continue }
            if line.hasPrefix("["), line.hasSuffix("]") {
                try finish()
                let name = String(line.dropFirst().dropLast())
                guard name == "inject-error" || name == "set-state" else {
                    throw BlockError(.invalidArgument, "There is no option group '\(name)'")
                }
                section = (name, BlockOptions())
            } else if let equals = line.firstIndex(of: "="), section != nil {
                let value = trim(line[line.index(after: equals)...]).filter { $0 != "\"" }
                section?.options[String(trim(line[..<equals]))] = .string(value)
            } else {
                throw BlockError(.invalidArgument, "Could not parse blkdebug config file")
            }
        }
        try finish()
        return rules
    }

    private static func trim(_ text: Substring) -> Substring {
        var text = text.drop { $0 == " " || $0 == "\t" }
        while let last = text.last, last == " " || last == "\t" || last == "\r" { text.removeLast() }
        return text
    }
}
