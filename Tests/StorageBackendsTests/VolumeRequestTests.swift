// SPDX-License-Identifier: Apache-2.0

import ManagementModel
import StorageBackends
import Testing

private func code(_ body: () throws -> Void) -> ErrorCode? {
    do {
        try body()
        return nil
    } catch { return (error as? ManagementError)?.code }
}

@Suite struct VolumeRequestTests {
    private func request(_ inside: String) throws -> VolumeRequest {
        try VolumeRequest(parsing: "<volume><name>v</name>\(inside)</volume>")
    }

    @Test(
        arguments: [
            ("", 1), ("unit='B'", 1), ("unit='bytes'", 1), ("unit='k'", 1 << 10), ("unit='K'", 1 << 10),
            ("unit='KiB'", 1 << 10), ("unit='KB'", 1000), ("unit='M'", 1 << 20), ("unit='MiB'", 1 << 20),
            ("unit='MB'", 1_000_000), ("unit='G'", 1 << 30), ("unit='GB'", 1_000_000_000), ("unit='TiB'", 1 << 40),
            ("unit='TB'", 1_000_000_000_000), ("unit='P'", 1 << 50), ("unit='EiB'", 1 << 60),
            ("unit='EB'", 1_000_000_000_000_000_000),
        ] as [(String, UInt64)])
    func units(_ unit: String, _ bytes: UInt64) throws {
        #expect(try request("<capacity \(unit)>3</capacity>").capacity == 3 &* bytes)
    }

    @Test(arguments: [
        ("<capacity>x</capacity>", ErrorCode.xmlError), ("<capacity>-1</capacity>", .xmlError),
        ("<capacity/>", .xmlError), ("<capacity>99999999999999999999</capacity>", .xmlError),
        ("<capacity unit='EiB'>16</capacity>", .overflow), ("<capacity unit='Q'>1</capacity>", .invalidArg),
        ("", .xmlError),
        ("<capacity>1</capacity><target><format type='nothing'/></target>", .configUnsupported),
        ("<capacity>1</capacity><target><compat>1.1,backing_file=/etc/shadow</compat></target>", .xmlError),
        ("<capacity>1</capacity><allocation>x</allocation>", .xmlError),
    ])
    func whatCannotBe(_ inside: String, _ expected: ErrorCode) {
        #expect(code { _ = try request(inside) } == expected)
    }

    @Test func spaceIsTakenAsTheDocumentSays() throws {
        #expect(try request("<capacity>100</capacity>").allocation == 100)
        #expect(try request("<capacity>100</capacity><allocation>0</allocation>").allocation == 0)
        #expect(try request("<capacity unit='k'>1</capacity><allocation unit='b'>7</allocation>").allocation == 7)
    }

    @Test func formatsAndVersions() throws {
        let plain = try request("<capacity>1</capacity>")
        #expect(plain.format == "raw" && plain.compatibility == "0.10" && plain.mode == 0o600 && plain.backing == nil)
        let full = try request(
            """
            <capacity>1</capacity><target><format type='qcow2'/><features/><permissions><mode>0644</mode></permissions>
            </target><backingStore><path>/base</path><format type='vmdk'/></backingStore>
            """)
        #expect(full.format == "qcow2" && full.compatibility == "1.1" && full.mode == 0o644)
        #expect(full.backing?.path == "/base" && full.backing?.format == "vmdk")
        #expect(try request("<capacity>1</capacity><target><compat>1.1</compat></target>").compatibility == "1.1")
    }

    @Test(arguments: ["<volume/>", "<pool/>", "", "<volume><name/></volume>", "<volume><name>.</name></volume>"])
    func documentsThatAreNone(_ text: String) {
        #expect(throws: ManagementError.self) { try VolumeRequest(parsing: text) }
    }
}

@Suite struct ImageProbeTests {
    private func big(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64(count - 1 - $0))) }
    }

    /// A qcow2 header with its first fields, and a name below at `nameAt`.
    private func qcow2(
        version: UInt64 = 3, size: UInt64 = 5 << 20, nameAt: UInt64 = 0, nameCount: UInt64 = 0, crypt: UInt64 = 0,
        name: String = ""
    ) -> [UInt8] {
        var bytes = Array("QFI".utf8) + [0xfb] + big(version, 4) + big(nameAt, 8) + big(nameCount, 4) + big(16, 4)
        bytes += big(size, 8) + big(crypt, 4)
        return bytes + [UInt8](repeating: 0, count: 104 - bytes.count) + Array(name.utf8)
    }

    @Test func qcow2HeadersAreRead() {
        let probe = ImageProbe(header: qcow2(nameAt: 104, nameCount: 5, name: "/base"))
        #expect(probe.format == "qcow2" && probe.capacity == 5 << 20 && probe.backingFile == "/base")
        #expect(probe.compatibility == "1.1" && !probe.isEncrypted)
        let old = ImageProbe(header: qcow2(version: 2, crypt: 1))
        #expect(old.compatibility == nil && old.isEncrypted && old.backingFile == nil)
        #expect(ImageProbe(header: qcow2(version: 4)).format == "raw")
    }

    @Test(
        arguments: [
            (104, 1000), (104, 6), (UInt64.max, 5), (UInt64(Int64.max), 5), (0, 5), (104, 0), (104, 0xffff_ffff),
        ] as [(UInt64, UInt64)])
    func namesOutsideTheHeaderAreNone(_ place: UInt64, _ count: UInt64) {
        #expect(ImageProbe(header: qcow2(nameAt: place, nameCount: count, name: "/base")).backingFile == nil)
    }

    @Test func otherFormatsAreKnownByTheirFirstBytes() {
        func padded(_ bytes: [UInt8], at offset: Int = 0, _ rest: [UInt8] = [], restAt: Int = 0) -> [UInt8] {
            var header = [UInt8](repeating: 0, count: 512)
            header.replaceSubrange(offset..<(offset + bytes.count), with: bytes)
            header.replaceSubrange(restAt..<(restAt + rest.count), with: rest)
            return header
        }
        let little: [UInt8] = [8, 0, 0, 0, 0, 0, 0, 0]
        let vmdk = ImageProbe(header: padded(Array("KDMV".utf8), little, restAt: 12))
        #expect(vmdk.format == "vmdk" && vmdk.capacity == 4096)
        let vpc = ImageProbe(header: padded(Array("conectix".utf8), big(4096, 8), restAt: 48))
        #expect(vpc.format == "vpc" && vpc.capacity == 4096)
        let vdi = ImageProbe(header: padded([0x7f, 0x10, 0xda, 0xbe], at: 64, little, restAt: 368))
        #expect(vdi.format == "vdi" && vdi.capacity == 8)
        #expect(ImageProbe(header: padded(Array("vhdxfile".utf8))).format == "vhdx")
        let luks = ImageProbe(header: padded(Array("LUKS".utf8) + [0xba, 0xbe]))
        #expect(luks.format == "luks" && luks.isEncrypted)
        #expect(ImageProbe(header: padded([])).format == "raw")
    }

    @Test func shortAndRandomHeadersAreReadToo() {
        for start in [qcow2(), Array("KDMV".utf8), Array("conectix".utf8), Array("vhdxfile".utf8), []] {
            for count in 0...start.count { _ = ImageProbe(header: Array(start.prefix(count))) }
            for _ in 0..<200 {
                var bytes = start + (0..<400).map { _ in UInt8.random(in: 0...255) }
                for _ in 0..<8 { bytes[Int.random(in: 4..<bytes.count)] = [0, 0x7f, 0x80, 0xff].randomElement() ?? 0 }
                _ = ImageProbe(header: bytes)
            }
        }
    }
}
