// SPDX-License-Identifier: Apache-2.0

import LibvirtProtocol
import ManagementModel
import Testing
import XDRCoding

/// Messages byte by byte, as other implementations of the protocol write them.
@Suite struct WireFormTests {
    private func bytes(_ value: some XDRValue) -> [UInt8] {
        var writer = XDRWriter()
        value.encode(to: &writer)
        return writer.bytes
    }

    private func words(_ words: UInt32...) -> [UInt8] {
        words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (24 - 8 * UInt32($0))) } }
    }

    private let uuid = UniqueID(bytes: Array(1...16))

    @Test func openingAConnection() throws {
        let arguments: Message<String?, UInt32> = Message("qemu:///system", 1)
        let text = Array("qemu:///system".utf8) + [0, 0]
        #expect(bytes(arguments) == words(1, 14) + text + words(1))
        let frame = FrameHeader(program: 0x2000_8086, procedure: 1, type: .call, serial: 3)
            .frame { arguments.encode(to: &$0) }
        #expect(frame == words(56, 0x2000_8086, 1, 1, 0, 3, 0) + bytes(arguments))
    }

    @Test func anAbsentTextIsOneWord() {
        let arguments: Message<String?, UInt32> = Message(nil, 0)
        #expect(bytes(arguments) == words(0, 0))
    }

    @Test func aMachine() {
        let handle = DomainHandle(name: "web", uuid: uuid, id: -1)
        #expect(bytes(handle) == words(3) + Array("web".utf8) + [0] + Array(1...16) + words(0xffff_ffff))
    }

    @Test func aVolume() {
        let handle = VolumeHandle(pool: "p", name: "vo", key: "/vol")
        #expect(
            bytes(handle) == words(1) + [0x70, 0, 0, 0] + words(2) + [0x76, 0x6f, 0, 0] + words(4)
                + Array("/vol".utf8))
    }

    @Test func aSecretsUUIDComesFirst() {
        let handle = SecretHandle(uuid: uuid, usageType: 1, usageID: "/a")
        #expect(bytes(handle) == Array(1...16) + words(1, 2) + [0x2f, 0x61, 0, 0])
    }

    @Test func aSnapshotCarriesItsMachine() {
        let domain = DomainHandle(name: "m", uuid: uuid, id: 5)
        let handle = SnapshotHandle(name: "s", domain: domain)
        #expect(bytes(handle) == words(1) + [0x73, 0, 0, 0] + bytes(domain))
    }

    @Test func aMachinesState() {
        // Small numbers take a word each, sizes two.
        let results: Message<WireByte, UInt64, UInt64, WireShort, UInt64> = Message(
            WireByte(1), 0x1_0000_0002, 3, WireShort(0xffff), 5)
        #expect(bytes(results) == words(1, 1, 2, 0, 3, 0xffff, 0, 5))
    }

    @Test(
        arguments: [
            (TypedParameter.Value.int(-2), [1, 0xffff_fffe]), (.uint(3), [2, 3]),
            (.long(-1), [3, 0xffff_ffff, 0xffff_ffff]), (.ulong(1 << 32), [4, 1, 0]),
            (.double(1), [5, 0x3ff0_0000, 0]), (.bool(true), [6, 1]), (.bool(false), [6, 0]),
            (.text("abcd"), [7, 4, 0x6162_6364]),
        ] as [(TypedParameter.Value, [UInt32])])
    func parametersOfEachType(_ value: TypedParameter.Value, _ tail: [UInt32]) {
        #expect(bytes(TypedParameter("n", value)) == words(1, 0x6e00_0000) + tail.flatMap { words($0) })
    }

    @Test func doublesKeepTheirBits() throws {
        for value in [0, -0.0, .infinity, -.infinity, .leastNonzeroMagnitude, .greatestFiniteMagnitude, .pi] {
            var reader = XDRReader(bytes(TypedParameter("d", .double(value))))
            guard case .double(let back) = try TypedParameter(from: &reader).value else {
                Issue.record("another type came back")
                continue
            }
            #expect(back.bitPattern == value.bitPattern)
        }
    }

    @Test(arguments: [UInt32(0), 8, .max]) func typesThatAreNotThereAreRefused(_ tag: UInt32) {
        var reader = XDRReader(words(0, tag, 0, 0))
        #expect(throws: XDRError.badTag(tag)) { try TypedParameter(from: &reader) }
    }

    @Test func anErrorsForm() throws {
        let error = WireError(ManagementError(.noDomain, "no domain with matching name 'x'"))
        var reader = XDRReader(bytes(error))
        #expect(try reader.word() == 42)
        // The machine driver's number, as QEMU's driver has it.
        #expect(try reader.word() == 10)
        #expect(try String?(from: &reader) == "Domain not found: no domain with matching name 'x'")
        #expect(try reader.word() == 2)
        // No machine; then the format and its argument, nothing more, two numbers of -1, no network.
        #expect(try DomainHandle?(from: &reader) == nil)
        #expect(try String?(from: &reader) == "Domain not found: %s")
        #expect(try String?(from: &reader) == "no domain with matching name 'x'")
        #expect(try String?(from: &reader) == nil)
        #expect(try Int32(from: &reader) == -1 && Int32(from: &reader) == -1)
        #expect(try NetworkHandle?(from: &reader) == nil)
        #expect(reader.remaining == 0)
    }

    @Test func anErrorWithoutDetails() throws {
        let error = WireError(ManagementError(.authFailed, ""))
        #expect(error.message == "authentication failed" && error.text2 == nil)
        #expect(error.text1 == "authentication failed")
    }

    @Test func namesOfProcessorsAreCutAtThirtyOneCharacters() throws {
        let long = String(repeating: "x", count: 40)
        let written = bytes(ModelName(long))
        #expect(written.count == 128 && written.suffix(4) == [0, 0, 0, 0])
        var reader = XDRReader(written)
        #expect(try ModelName(from: &reader).text == String(repeating: "x", count: 31))
    }

    @Test(arguments: [UInt32(65537), .max]) func arraysHaveALimit(_ count: UInt32) {
        var reader = XDRReader(words(count) + [UInt8](repeating: 0, count: 64))
        #expect(throws: XDRError.tooLong(count: count, limit: XDRLimits.elements)) { try [Int32](from: &reader) }
    }

    @Test func textsHaveALimitAndNoZeros() {
        var reader = XDRReader(words(UInt32(XDRLimits.string) + 1))
        #expect(throws: XDRError.tooLong(count: UInt32(XDRLimits.string) + 1, limit: XDRLimits.string)) {
            try String(from: &reader)
        }
        reader = XDRReader(words(2) + [0x61, 0, 0, 0])
        #expect(throws: XDRError.badText) { try String(from: &reader) }
        reader = XDRReader(words(2) + [0xc3, 0x28, 0, 0])
        #expect(throws: XDRError.badText) { try String(from: &reader) }
    }

    @Test func headersKeepNumbersThatNobodyKnows() throws {
        // What is not known is for the receiver to refuse, with the numbers in its answer.
        var reader = XDRReader(words(1, 2, 0xffff_fffd, 99, 5, 77))
        let header = try FrameHeader(from: &reader)
        #expect(header.procedure == -3 && header.type == 99 && header.status == 77)
        reader = XDRReader(words(1, 2, 3, 4, 5))
        #expect(throws: XDRError.truncated) { try FrameHeader(from: &reader) }
    }
}
