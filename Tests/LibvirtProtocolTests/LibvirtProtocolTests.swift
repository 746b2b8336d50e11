// SPDX-License-Identifier: Apache-2.0

import LibvirtProtocol
import ManagementModel
import Testing
import XDRCoding

@Suite struct LibvirtProtocolTests {
    @Test func aFrameBeginsWithItsLengthAndSixWords() throws {
        let header = FrameHeader(program: WireProgram.remote.rawValue, procedure: 66, type: .reply, serial: 5)
        let frame = header.frame { [Int32(0)].encode(to: &$0) }
        #expect(frame.count == FrameHeader.byteCount + 8)
        var reader = XDRReader(frame)
        #expect(try reader.word() == UInt32(frame.count))
        #expect(try FrameHeader(from: &reader) == header)
        #expect(reader.remaining == 8)
    }

    @Test func typedParametersComeBack() throws {
        let all: [TypedParameter.Value] = [
            .int(-1), .uint(1), .long(-2), .ulong(2), .double(0.5), .bool(true), .text("t"),
        ]
        var writer = XDRWriter()
        let parameters = all.enumerated().map { TypedParameter("p\($0.offset)", $0.element) }
        parameters.encode(to: &writer)
        var reader = XDRReader(writer.bytes)
        #expect(try [TypedParameter](from: &reader) == parameters)
        reader = XDRReader([0, 0, 0, 0, 0, 0, 0, 8])
        #expect(throws: XDRError.badTag(8)) { try TypedParameter(from: &reader) }
    }

    @Test func theProcessorsNameIsThirtyTwoWords() throws {
        var writer = XDRWriter()
        ModelName("x86_64").encode(to: &writer)
        #expect(writer.bytes.count == 128)
        var reader = XDRReader(writer.bytes)
        #expect(try ModelName(from: &reader).text == "x86_64")
    }

    @Test func handlesAreNameUUIDAndNumber() throws {
        let handle = DomainHandle(name: "m", uuid: .random(), id: -1)
        var writer = XDRWriter()
        handle.encode(to: &writer)
        #expect(writer.bytes.count == 8 + 16 + 4)
        var reader = XDRReader(writer.bytes)
        #expect(try DomainHandle(from: &reader) == handle)
    }

    @Test func readingAndChangingAreToldApart() {
        #expect(Procedures.domainGetXMLDesc.access == .read)
        #expect(Procedures.domainDefineXMLFlags.access == .write)
        #expect(Procedures.domainDefineXMLFlags.number == 350)
        #expect(Procedures.domainDefineXMLFlags.name == "virDomainDefineXMLFlags")
    }
}
