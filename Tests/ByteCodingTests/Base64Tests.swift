// SPDX-License-Identifier: Apache-2.0

import ByteCoding
import Testing

@Suite struct Base64Tests {
    /// RFC 4648, section 10.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ])
    func textsOfTheStandard(_ plain: String, _ coded: String) {
        #expect(Base64.encode(Array(plain.utf8)) == coded)
        #expect(Base64.decode(coded.utf8, passingOver: .lineEnds) == Array(plain.utf8))
    }

    @Test func everyByteComesBack() {
        for count in 0..<260 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            #expect(Base64.decode(Base64.encode(bytes).utf8, passingOver: .lineEnds) == bytes)
        }
    }

    @Test(arguments: ["a-b", "Zg_=", "Zm9v.", "\u{0}", "Zm9vé"])
    func rubbishIsNone(_ text: String) {
        #expect(Base64.decode(text.utf8, passingOver: .whiteSpace) == nil)
    }

    @Test func onlyTheBlanksThatWereNamedArePassedOver() {
        #expect(Base64.decode("Zm\r\n9v\n".utf8, passingOver: .lineEnds) == Array("foo".utf8))
        #expect(Base64.decode("Zm 9v".utf8, passingOver: .lineEnds) == nil)
        #expect(Base64.decode("Zm\t 9v".utf8, passingOver: .whiteSpace) == Array("foo".utf8))
    }
}
