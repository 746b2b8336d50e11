// SPDX-License-Identifier: Apache-2.0

internal import Glibc

extension JSONValue {
    /// The value as text, exactly as QEMU prints it.
    /// - Parameter pretty: false: on one line, `{"return": {}}`, as on a QMP connection; true: each member on its own
    ///   line with four blanks a level, as `qemu-img --output=json` (which ends the text with a line feed of its own).
    public func printed(pretty: Bool = false) -> String {
        var printer = JSONPrinter(pretty: pretty)
        printer.print(self)
        return printer.text
    }

    /// The same value with the members of every object in the order in which QEMU's dictionaries list them, for output
    /// that is compared byte by byte with QEMU's where QEMU builds the answer from a dictionary.
    public func inQEMUOrder() -> JSONValue {
        switch self {
        case .array(let elements): .array(elements.map { $0.inQEMUOrder() })
        case .object(let object):
            .object(
                JSONObject(
                    object.members.enumerated()
                        .map { (bucket: Self.bucket($1.name), place: $0, member: $1) }
                        // A later member stands before an earlier one of the same bucket.
                        .sorted { ($0.bucket, -$0.place) < ($1.bucket, -$1.place) }
                        .map { ($0.member.name, $0.member.value.inQEMUOrder()) }))
        default: self
        }
    }

    /// The hash chain of a name in a QEMU dictionary: 512 chains by the hash of Samba's tdb.
    private static func bucket(_ name: String) -> UInt32 {
        let bytes = Array(name.utf8)
        var value = 0x238F_13AF &* UInt32(truncatingIfNeeded: bytes.count)
        for (index, byte) in bytes.enumerated() {
            value = value &+ UInt32(byte) << UInt32(index * 5 % 24)
        }
        return (1_103_515_243 &* value &+ 12345) % 512
    }
}

struct JSONPrinter {
    let pretty: Bool
    private var bytes: [UInt8] = []
    private var depth = 0
    private static let indentation = 4

    init(pretty: Bool) { self.pretty = pretty }

    var text: String { String(decoding: bytes, as: UTF8.self) }

    mutating func print(_ value: JSONValue) {
        switch value {
        case .null: write("null")
        case .bool(let truth): write(truth ? "true" : "false")
        case .integer(let number): write(String(number))
        case .unsigned(let number): write(String(number))
        case .double(let number): write(Self.format(number))
        case .string(let text): print(text)
        case .array(let elements):
            container("[", "]", count: elements.count) { $0.print(elements[$1]) }
        case .object(let object):
            container("{", "}", count: object.count) { printer, place in
                printer.print(object.members[place].name)
                printer.write(": ")
                printer.print(object.members[place].value)
            }
        }
    }

    private mutating func container(
        _ open: String, _ close: String, count: Int, _ element: (inout JSONPrinter, Int) -> Void
    ) {
        write(open)
        depth += 1
        for place in 0..<count {
            if place > 0 { write(pretty ? "," : ", ") }
            newLine()
            element(&self, place)
        }
        depth -= 1
        newLine()
        write(close)
    }

    private mutating func newLine() {
        guard pretty else { return }
        bytes.append(UInt8(ascii: "\n"))
        bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: depth * Self.indentation))
    }

    private mutating func write(_ text: String) { bytes.append(contentsOf: text.utf8) }

    /// A string in double quotes; what is not printable ASCII becomes a \u escape, as in QEMU.
    private mutating func print(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": write("\\\"")
            case "\\": write("\\\\")
            case "\u{8}": write("\\b")
            case "\u{C}": write("\\f")
            case "\n": write("\\n")
            case "\r": write("\\r")
            case "\t": write("\\t")
            case " "..."~": bytes.append(UInt8(truncatingIfNeeded: scalar.value))
            default: for unit in String(scalar).utf16 { escape(unit) }
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private mutating func escape(_ unit: UInt16) {
        let digits = String(unit, radix: 16, uppercase: true)
        write("\\u" + String(repeating: "0", count: 4 - digits.count) + digits)
    }

    /// printf's %.17g: enough digits to read the same number back.
    private static func format(_ number: Double) -> String {
        guard number.isFinite else { return "null" }
        var buffer = [CChar](repeating: 0, count: 40)
        // 17 digits with sign, point and exponent take at most 25 bytes; vsnprintf is told the buffer's size.
        _ = unsafe withVaList([number]) { unsafe vsnprintf(&buffer, buffer.count, "%.17g", $0) }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
