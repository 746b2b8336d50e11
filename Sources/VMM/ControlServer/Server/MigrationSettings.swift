// SPDX-License-Identifier: Apache-2.0

internal import JSONCoding

/// What is set for moves: QEMU's parameters and capabilities by their names.
public struct MigrationSettings: Sendable {
    /// One parameter: `query-migrate-parameters`, `migrate-set-parameters` and their human forms come from the table.
    struct Parameter: Sendable {
        enum Kind: Sendable {
            /// A number in a range, and what the message says of it.
            case number(ClosedRange<Int64>, String)
            case flag
            case text
            /// The only word that is possible, and others that QEMU knows.
            case word(String, known: [String]?)
        }
        let name: String
        let kind: Kind
        let standard: JSONValue
        /// What the human monitor writes behind the value.
        var unit = ""
    }

    private static func percent(_ name: String, _ value: Int64, in range: ClosedRange<Int64>) -> Parameter {
        Parameter(
            name: name,
            kind: .number(range, "an integer in the range of \(range.lowerBound) to \(range.upperBound)"),
            standard: .integer(value))
    }

    /// A level or a number of threads.
    private static func small(_ name: String, _ value: Int64, in range: ClosedRange<Int64>) -> Parameter {
        Parameter(
            name: name, kind: .number(range, "a value between \(range.lowerBound) and \(range.upperBound)"),
            standard: .integer(value))
    }

    private static func size(
        _ name: String, _ value: Int64, _ words: String, unit: String = "", in range: ClosedRange<Int64> = 0...Int64.max
    ) -> Parameter {
        Parameter(name: name, kind: .number(range, words), standard: .integer(value), unit: unit)
    }

    /// In the order in which the human monitor lists them.
    static let table: [Parameter] = [
        size("announce-initial", 50, "a value between 0 and 100000", unit: " ms", in: 0...100_000),
        size("announce-max", 550, "a value between 0 and 100000", unit: " ms", in: 0...100_000),
        size("announce-rounds", 5, "a value between 0 and 1000", in: 0...1000),
        size("announce-step", 100, "a value between 0 and 10000", unit: " ms", in: 0...10_000),
        small("compress-level", 1, in: 0...9), small("compress-threads", 8, in: 1...255),
        Parameter(name: "compress-wait-thread", kind: .flag, standard: true),
        small("decompress-threads", 2, in: 1...255),
        percent("throttle-trigger-threshold", 50, in: 1...100), percent("cpu-throttle-initial", 20, in: 1...99),
        percent("cpu-throttle-increment", 10, in: 1...99),
        Parameter(name: "cpu-throttle-tailslow", kind: .flag, standard: false),
        percent("max-cpu-throttle", 99, in: 1...99),
        Parameter(name: "tls-creds", kind: .text, standard: ""),
        Parameter(name: "tls-hostname", kind: .text, standard: ""),
        size(
            "max-bandwidth", 128 << 20, "an integer in the range of 0 to 9223372036854775807 bytes/second",
            unit: " bytes/second"),
        Parameter(
            name: "downtime-limit",
            kind: .number(0...2_000_000, "an integer in the range of 0 to (2000 * 1000) ms"), standard: 300,
            unit: " ms"),
        size("x-checkpoint-delay", 20000, "a positive integer", unit: " ms"),
        Parameter(name: "block-incremental", kind: .flag, standard: false),
        small("multifd-channels", 2, in: 1...255),
        Parameter(name: "multifd-compression", kind: .word("none", known: ["zlib", "zstd"]), standard: "none"),
        percent("multifd-zlib-level", 1, in: 0...255), percent("multifd-zstd-level", 1, in: 0...255),
        size("xbzrle-cache-size", 64 << 20, "a power of two no less than the target page size", unit: " bytes"),
        size("max-postcopy-bandwidth", 0, "an integer in the range of 0 to 9223372036854775807 bytes/second"),
        Parameter(name: "tls-authz", kind: .text, standard: ""),
    ]

    /// All capabilities in QEMU's order, with what this program can do.
    static let capabilityTable: [(name: String, isPossible: Bool)] = [
        ("xbzrle", false), ("rdma-pin-all", false), ("auto-converge", true), ("zero-blocks", false),
        ("compress", false), ("events", true), ("postcopy-ram", false), ("x-colo", false), ("release-ram", false),
        ("block", false), ("return-path", true), ("pause-before-switchover", true), ("multifd", true),
        ("dirty-bitmaps", false), ("postcopy-blocktime", false), ("late-block-activate", true),
        ("x-ignore-shared", false), ("validate-uuid", false), ("background-snapshot", false),
        ("zero-copy-send", false), ("postcopy-preempt", false),
    ]

    private var values: [String: JSONValue] = [:]
    private var capabilities: Set<String> = []

    /// QEMU's defaults.
    public init() {}

    /// A parameter's number.
    public func number(_ name: String) -> UInt64 { UInt64(clamping: value(name).integer ?? 0) }
    /// A parameter's text.
    public func text(_ name: String) -> String { value(name).string ?? "" }
    /// Whether a capability is on.
    public func has(_ capability: String) -> Bool { capabilities.contains(capability) }

    func value(_ name: String) -> JSONValue {
        values[name] ?? Self.table.first { $0.name == name }?.standard ?? .null
    }

    /// Sets a parameter.
    /// - Returns: why it cannot be that.
    mutating func set(_ name: String, _ value: JSONValue) -> String? {
        guard let parameter = Self.table.first(where: { $0.name == name }) else {
            return "invalid parameter value: \(name)"
        }
        let underscored = String(name.map { $0 == "-" ? "_" : $0 })
        switch parameter.kind {
        case .number(let range, let words): return setNumber(name, value, range, words)
        case .flag: guard value.bool != nil else { return "Parameter '\(underscored)' expects 'on' or 'off'" }
        case .text:
            // Nothing is the empty text.
            guard let text = value == .null ? "" : value.string else {
                return "Parameter '\(underscored)' expects a string"
            }
            values[name] = .string(text)
            return nil
        case .word(let word, let known):
            guard value.string == word || value == .null else {
                let given = value.string ?? value.printed()
                if let known, !known.contains(given) {
                    return "Parameter '\(name)' does not accept value '\(given)'"
                }
                return "\(name)=\(given) is not supported"
            }
            values[name] = .string(word)
            return nil
        }
        values[name] = value
        return nil
    }

    private static let smallestCache: Int64 = 4096, largestByte: Int64 = 255

    private mutating func setNumber(
        _ name: String, _ value: JSONValue, _ range: ClosedRange<Int64>, _ words: String
    ) -> String? {
        let underscored = String(name.map { $0 == "-" ? "_" : $0 })
        // Numbers that do not fit are the largest ones, as those below zero are by tradition.
        let isWhole: Bool
        switch value {
        case .integer, .unsigned: isWhole = true
        default: isWhole = false
        }
        guard isWhole else { return "Parameter '\(name)' expects uint64" }
        let number = value.integer.map { $0 < 0 ? Int64.max : $0 } ?? .max
        if range.upperBound <= Self.largestByte, number > Self.largestByte {
            return "Parameter '\(name)' expects uint8_t"
        }
        var isPossible = range.contains(number), expected = words
        switch name {
        case "xbzrle-cache-size": isPossible = number >= Self.smallestCache && number & (number - 1) == 0
        case "max-cpu-throttle":
            isPossible = isPossible && number >= Int64(clamping: self.number("cpu-throttle-initial"))
            expected = "an integer in the range of cpu_throttle_initial to 99"
        default: break
        }
        guard isPossible else { return "Parameter '\(underscored)' expects \(expected)" }
        values[name] = .integer(number)
        return nil
    }

    /// Turns a capability on or off.
    /// - Returns: why it cannot be.
    mutating func set(capability name: String, _ isOn: Bool) -> String? {
        guard let known = Self.capabilityTable.first(where: { $0.name == name }) else {
            return "Parameter 'capability' does not accept value '\(name)'"
        }
        guard known.isPossible || !isOn else { return "migration capability '\(name)' is not supported" }
        if isOn { capabilities.insert(name) } else { capabilities.remove(name) }
        return nil
    }
}
