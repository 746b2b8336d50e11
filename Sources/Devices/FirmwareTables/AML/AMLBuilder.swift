// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding

/// Lists terms one below the other, with `if` and `for`.
@resultBuilder
package enum AMLBuilder {
    /// A term that stands alone in a body.
    package static func buildExpression(_ term: AMLTerm) -> [AMLTerm] { [term] }
    /// A list made elsewhere, put in where it stands.
    package static func buildExpression(_ terms: [AMLTerm]) -> [AMLTerm] { terms }
    /// Terms in the order in which they are written.
    package static func buildBlock(_ parts: [AMLTerm]...) -> [AMLTerm] { parts.flatMap { $0 } }
    /// Nothing where an `if` does not hold.
    package static func buildOptional(_ part: [AMLTerm]?) -> [AMLTerm] { part ?? [] }
    /// The branch that holds.
    package static func buildEither(first: [AMLTerm]) -> [AMLTerm] { first }
    /// The branch that holds.
    package static func buildEither(second: [AMLTerm]) -> [AMLTerm] { second }
    /// What each turn of a `for` gave.
    package static func buildArray(_ parts: [[AMLTerm]]) -> [AMLTerm] { parts.flatMap { $0 } }
}

/// Where an operation region lies.
package enum AMLRegionSpace: UInt8 {
    case systemMemory = 0
    case systemIO = 1
    case pciConfig = 2
}

/// A part of a field: a name and its bits, or bits passed over.
package enum AMLFieldUnit {
    case named(String, bits: Int)
    case gap(bits: Int)
}

/// The statements and declarations that the tables use, named as in ASL.
package enum AML {
    private static func enclosed(_ opcode: [UInt8], _ content: [UInt8]) -> AMLTerm {
        AMLTerm(bytes: opcode + AMLTerm.packageLength(content.count) + content)
    }

    private static func joined(_ terms: [AMLTerm]) -> [UInt8] { Array(terms.map(\.bytes).joined()) }

    // MARK: Declarations

    /// DefName: an object with a value (20.2.5.1).
    package static func name(_ path: String, _ value: AMLTerm) -> AMLTerm {
        AMLTerm(bytes: [AMLOpcode.name] + AMLTerm.nameString(path) + value.bytes)
    }

    /// DefScope: goes on with a part of the name space that exists (20.2.5.1).
    package static func scope(_ path: String, @AMLBuilder _ body: () -> [AMLTerm]) -> AMLTerm {
        enclosed([AMLOpcode.scope], AMLTerm.nameString(path) + joined(body()))
    }

    /// DefDevice (20.2.5.2).
    package static func device(_ path: String, @AMLBuilder _ body: () -> [AMLTerm]) -> AMLTerm {
        enclosed([AMLOpcode.extended, AMLOpcode.extendedDevice], AMLTerm.nameString(path) + joined(body()))
    }

    /// A method with 0...7 arguments.
    package static func method(
        _ path: String, arguments: UInt8 = 0, isSerialized: Bool = false, @AMLBuilder _ body: () -> [AMLTerm]
    ) -> AMLTerm {
        let flags = arguments | (isSerialized ? 1 << 3 : 0)
        return enclosed([AMLOpcode.method], AMLTerm.nameString(path) + [flags] + joined(body()))
    }

    /// DefOpRegion: `count` bytes from `offset` of the space (20.2.5.2).
    package static func operationRegion(
        _ path: String, _ space: AMLRegionSpace, offset: UInt64, count: UInt64
    ) -> AMLTerm {
        AMLTerm(
            bytes: [AMLOpcode.extended, AMLOpcode.extendedRegion] + AMLTerm.nameString(path) + [space.rawValue]
                + AMLTerm(offset).bytes + AMLTerm(count).bytes)
    }

    /// A field whose accesses are `accessBytes` (1, 2, 4 or 8) wide, without lock.
    /// - Parameter keepsRest: a write keeps its neighbours' bits; without it they are written as zeros.
    package static func field(
        _ region: String, accessBytes: Int, keepsRest: Bool = true, _ units: [AMLFieldUnit]
    ) -> AMLTerm {
        let writesZeros: UInt8 = 2 << 5
        let flags = UInt8(accessBytes.trailingZeroBitCount + 1) | (keepsRest ? 0 : writesZeros)
        var content = AMLTerm.nameString(region) + [flags]
        for unit in units {
            switch unit {
            case .named(let name, let bits): content += AMLTerm.nameString(name) + AMLTerm.bitLength(bits)
            case .gap(let bits): content += [0] + AMLTerm.bitLength(bits)
            }
        }
        return enclosed([AMLOpcode.extended, AMLOpcode.extendedField], content)
    }

    /// DefMutex, free, at the first level (20.2.5.2).
    package static func mutex(_ path: String) -> AMLTerm {
        AMLTerm(bytes: [AMLOpcode.extended, AMLOpcode.extendedMutex] + AMLTerm.nameString(path) + [0])
    }

    /// DefCreateDWordField: 32 bits of a buffer from byte `offset` on (20.2.5.2).
    package static func createDWordField(_ source: AMLTerm, at offset: UInt64, _ name: String) -> AMLTerm {
        AMLTerm(
            bytes: [AMLOpcode.createDoubleWordField] + source.bytes + AMLTerm(offset).bytes + AMLTerm.nameString(name))
    }

    // MARK: Values

    /// DefPackage of at most 255 elements (20.2.5.4).
    package static func package(_ elements: [AMLTerm]) -> AMLTerm {
        precondition(elements.count <= 255, "an ACPI package has at most 255 elements")
        return enclosed([AMLOpcode.package], [UInt8(elements.count)] + joined(elements))
    }

    /// DefBuffer that holds just these bytes (20.2.5.4).
    package static func buffer(_ bytes: [UInt8]) -> AMLTerm {
        enclosed([AMLOpcode.buffer], AMLTerm(UInt64(bytes.count)).bytes + bytes)
    }

    /// An identifier of three letters and four hexadecimal digits, packed (19.3.4, "EISAID").
    package static func eisaID(_ identifier: String) -> AMLTerm {
        let letters = identifier.utf8.prefix(3).map { UInt32($0 &- 0x40) & 0x1F }
        let number = UInt32(identifier.dropFirst(3), radix: 16)
        guard letters.count == 3, let number else { preconditionFailure("not an EISA identifier: \(identifier)") }
        let packed = letters[0] << 26 | letters[1] << 21 | letters[2] << 16 | number
        var builder = ByteBuilder()
        builder.append(AMLOpcode.doubleWord)
        builder.append(packed.byteSwapped)
        return AMLTerm(bytes: builder.bytes)
    }

    /// A UUID as ToUUID makes it: the first three groups little-endian.
    package static func uuid(_ text: String) -> AMLTerm {
        let digits = Array(text.filter { $0 != "-" })
        let bytes = stride(from: 0, to: digits.count, by: 2).compactMap {
            UInt8(String(digits[$0..<$0 + 2]), radix: 16)
        }
        precondition(bytes.count == 16, "not a UUID: \(text)")
        return buffer([3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map { bytes[$0] })
    }

    // MARK: Statements

    /// DefStore (20.2.5.4).
    package static func store(_ value: AMLTerm, in target: AMLTerm) -> AMLTerm {
        AMLTerm(bytes: [AMLOpcode.store] + value.bytes + target.bytes)
    }

    /// DefReturn: Swift keeps the word `return` for itself (20.2.5.3).
    package static func giveBack(_ value: AMLTerm) -> AMLTerm { AMLTerm(bytes: [AMLOpcode.giveBack] + value.bytes) }

    /// DefIfElse without its second part: the body runs unless the condition is 0 (20.2.5.3).
    package static func ifTrue(_ condition: AMLTerm, @AMLBuilder _ body: () -> [AMLTerm]) -> AMLTerm {
        enclosed([AMLOpcode.ifTrue], condition.bytes + joined(body()))
    }

    /// Follows `ifTrue`.
    package static func otherwise(@AMLBuilder _ body: () -> [AMLTerm]) -> AMLTerm {
        enclosed([AMLOpcode.otherwise], joined(body()))
    }

    /// DefWhile (20.2.5.3).
    package static func whileTrue(_ condition: AMLTerm, @AMLBuilder _ body: () -> [AMLTerm]) -> AMLTerm {
        enclosed([AMLOpcode.whileTrue], condition.bytes + joined(body()))
    }

    /// DefAcquire: waits for the mutex without limit (20.2.5.4).
    package static func acquire(_ path: String) -> AMLTerm {
        AMLTerm(bytes: [AMLOpcode.extended, AMLOpcode.extendedAcquire] + AMLTerm.nameString(path) + [0xFF, 0xFF])
    }

    /// DefRelease (20.2.5.3).
    package static func release(_ path: String) -> AMLTerm {
        AMLTerm(bytes: [AMLOpcode.extended, AMLOpcode.extendedRelease] + AMLTerm.nameString(path))
    }

    /// DefNotify: tells the system's driver of a device (20.2.5.3; values in 5.6.6).
    package static func notify(_ object: String, _ value: UInt64) -> AMLTerm { notify(object, AMLTerm(value)) }

    /// DefNotify with a value that is known when it runs.
    package static func notify(_ object: String, _ value: AMLTerm) -> AMLTerm {
        AMLTerm(bytes: [AMLOpcode.notify] + AMLTerm.nameString(object) + value.bytes)
    }

    /// A call of a method by its path.
    package static func call(_ method: String, _ arguments: AMLTerm...) -> AMLTerm {
        AMLTerm(bytes: AMLTerm.nameString(method) + joined(arguments))
    }

    // MARK: Operators

    /// The bitwise and, also stored where `target` says.
    package static func and(_ left: AMLTerm, _ right: AMLTerm, into target: AMLTerm = 0) -> AMLTerm {
        AMLTerm(bytes: [AMLOpcode.and] + left.bytes + right.bytes + target.bytes)
    }

    /// The bitwise or, also stored where `target` says.
    package static func or(_ left: AMLTerm, _ right: AMLTerm, into target: AMLTerm = 0) -> AMLTerm {
        AMLTerm(bytes: [AMLOpcode.or] + left.bytes + right.bytes + target.bytes)
    }

    /// `value` moved up by a number of bits.
    package static func shiftLeft(_ value: AMLTerm, by count: AMLTerm) -> AMLTerm {
        let nowhere: AMLTerm = 0
        return AMLTerm(bytes: [AMLOpcode.shiftLeft] + value.bytes + count.bytes + nowhere.bytes)
    }

    /// LEqual: all ones or 0 (20.2.5.4).
    package static func equal(_ left: AMLTerm, _ right: AMLTerm) -> AMLTerm {
        AMLTerm(bytes: [AMLOpcode.equal] + left.bytes + right.bytes)
    }

    /// LNot: all ones for 0, otherwise 0 (20.2.5.4).
    package static func not(_ value: AMLTerm) -> AMLTerm { AMLTerm(bytes: [AMLOpcode.not] + value.bytes) }
}
