// SPDX-License-Identifier: Apache-2.0

public import RandomKit
public import XDRCoding

/// One type that travels, known by what it does with bytes alone, so that a property can be asked of every type of the
/// protocol.
public struct WirePart: Sendable {
    /// Reads a value and writes it again.
    /// - Returns: what was written, and how many bytes were read.
    public let recode: @Sendable (_ bytes: [UInt8]) throws(XDRError) -> (bytes: [UInt8], read: Int)

    /// The part for values of `Value`.
    public init<Value: XDRValue>(_: Value.Type) {
        recode = { (bytes) throws(XDRError) in
            var reader = XDRReader(bytes)
            let value = try Value(from: &reader)
            var writer = XDRWriter()
            value.encode(to: &writer)
            return (writer.bytes, reader.offset)
        }
    }

    /// Words that are tried before a value is given up.
    private static let budget = 5000
    /// Bytes; no message of a few elements is longer.
    private static let longest = 2048

    /// The bytes of some value, found by adding words while the type asks for more and by taking back what it refuses.
    /// - Parameter start: what the bytes begin with; the type may refuse that.
    /// - Returns: nil when none was found.
    public func sample(using random: inout SeededGenerator, after start: [UInt8] = []) -> [UInt8]? {
        var bytes = start
        do throws(XDRError) { _ = try recode(start) } catch {
            // Nothing that follows helps.
            if error != .truncated { return nil }
        }
        for _ in 0..<Self.budget {
            do throws(XDRError) {
                return Array(bytes.prefix(try recode(bytes).read))
            } catch {
                if error != .truncated { Self.takeBack(&bytes, to: start.count, &random) }
                // A number was taken for the length of a text.
                if bytes.count > Self.longest { bytes = start }
                bytes += Self.word(&random)
            }
        }
        return nil
    }

    /// Mostly the last word is at fault; now and then it is one before, such as a text's first or an array's count.
    private static func takeBack(_ bytes: inout [UInt8], to floor: Int, _ random: inout SeededGenerator) {
        let longest = [1, 1, 4, 12][Int.random(in: 0..<4, using: &random)]
        bytes.removeLast(min(Int.random(in: 1...longest, using: &random) * 4, bytes.count - floor))
    }

    /// Counts and tags are small, texts are letters, numbers are anything.
    private static func word(_ random: inout SeededGenerator) -> [UInt8] {
        switch Int.random(in: 0..<20, using: &random) {
        case 0..<8: return [0, 0, 0, UInt8.random(in: 0...2, using: &random)]
        case 8: return [0, 0, 0, UInt8.random(in: 3...8, using: &random)]
        case 9..<16: return (0..<4).map { _ in UInt8.random(in: 0x61...0x7a, using: &random) }
        case 16: return Array("éé".utf8)
        default: return (0..<4).map { _ in UInt8.random(in: 0...255, using: &random) }
        }
    }
}
