// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import DiskControllers
import GuestMemory
import StateCoding
import Testing
import USBDevices

/// A stick and a host that speaks the transport.
private final class Stick {
    let disk: MemoryNode
    let storage: USBStorage
    private let memory = GuestMemory()

    init(sectors: Int = 256, isRemovable: Bool = false, disc: Bool = false, isEmpty: Bool = false) {
        disk = numberedDisk(sectors: sectors)
        var identity = SCSIDisk.Identity()
        identity.isRemovable = isRemovable
        identity.serial = "S1"
        let medium = makeMedium(isEmpty ? nil : disk, memory)
        storage = USBStorage(
            target: disc
                ? CDROMCommands(medium: medium, product: "QEMU CD-ROM") : SCSIDisk(medium: medium, identity: identity),
            serial: "S1")
        _ = storage.control(USBSetup(0, 9, value: 1))
    }

    static func wrapper(_ block: [UInt8], count: Int, toHost: Bool, tag: UInt8 = 7) -> [UInt8] {
        let length = (0..<4).map { UInt8(truncatingIfNeeded: count >> ($0 * 8)) }
        return [0x55, 0x53, 0x42, 0x43, tag, 0, 0, 0] + length + [toHost ? 0x80 : 0, 0, UInt8(block.count)] + block
            + [UInt8](repeating: 0, count: 16 - block.count)
    }

    /// Fetches until there is something.
    func fetch(_ capacity: Int) -> [UInt8]? {
        for _ in 0..<8 { if case .data(let bytes) = storage.read(endpoint: 1, capacity: capacity) { return bytes } }
        return nil
    }

    /// A command with data to the host.
    /// - Returns: the data, and the result with what is missing.
    func read(_ block: [UInt8], _ count: Int, packet: Int? = nil) -> (data: [UInt8], result: UInt8, residue: Int) {
        #expect(storage.write(endpoint: 2, data: Self.wrapper(block, count: count, toHost: true)) == .taken)
        var data: [UInt8] = []
        while count > 0, data.count < count, let part = fetch(min(packet ?? count, count - data.count)) {
            data += part
            if part.count < packet ?? count { break }
        }
        let end = status()
        return (data, end.result, end.residue)
    }

    private var last: (result: UInt8, residue: Int) = (0xFF, 0)

    @discardableResult
    private func status() -> (result: UInt8, residue: Int) {
        guard let bytes = fetch(64), bytes.count == 13, Array(bytes[..<5]) == [0x55, 0x53, 0x42, 0x53, 7] else {
            return (0xFF, 0)
        }
        last = (bytes[12], (0..<4).reduce(0) { $0 | Int(bytes[8 + $1]) << ($1 * 8) })
        return last
    }

    /// A command with data from the host.
    func write(_ block: [UInt8], _ data: [UInt8], packet: Int? = nil) -> (result: UInt8, residue: Int) {
        #expect(storage.write(endpoint: 2, data: Self.wrapper(block, count: data.count, toHost: false)) == .taken)
        var done = 0
        while done < data.count {
            let part = Array(data[done..<min(done + (packet ?? data.count), data.count)])
            #expect(storage.write(endpoint: 2, data: part) == .taken)
            done += part.count
        }
        return status()
    }
}

@Suite struct StorageTests {
    @Test(arguments: [nil, 64, 512, 1024] as [Int?]) func sectorsComeAndGo(_ packet: Int?) {
        let stick = Stick()
        let read = stick.read([0x28, 0, 0, 0, 0, 3, 0, 0, 4, 0], 2048, packet: packet)
        #expect(read.data == (3..<7).flatMap { [UInt8](repeating: $0, count: 512) })
        #expect(read.result == 0 && read.residue == 0)
        let bytes = [UInt8](repeating: 0xAB, count: 1024)
        #expect(stick.write([0x2A, 0, 0, 0, 0, 9, 0, 0, 2, 0], bytes, packet: packet) == (0, 0))
        #expect(
            stick.read([0x28, 0, 0, 0, 0, 8, 0, 0, 4, 0], 2048).data.map { $0 == 0xAB ? 1 : 0 }.reduce(0, +) == 1024)
    }

    @Test func longTransfersComeInPieces() {
        let stick = Stick(sectors: 1024)
        let read = stick.read([0x28, 0, 0, 0, 0, 0, 0, 4, 0, 0], 512 << 10, packet: 100 << 10)
        #expect(read.data.count == 512 << 10 && read.result == 0)
        #expect(read.data[511 << 10] == UInt8(truncatingIfNeeded: 1022))
        let bytes = [UInt8](repeating: 0x5A, count: 512 << 10)
        #expect(stick.write([0x2A, 0, 0, 0, 0, 0, 0, 4, 0, 0], bytes, packet: 33 * 512) == (0, 0))
        #expect(stick.read([0x28, 0, 0, 0, 3, 0xFF, 0, 0, 1, 0], 512).data == [UInt8](repeating: 0x5A, count: 512))
    }

    @Test func reportsAreCutAndPadded() {
        let stick = Stick(isRemovable: true)
        let inquiry = stick.read([0x12, 0, 0, 0, 255, 0], 255)
        #expect(inquiry.data.count == 255 && inquiry.residue == 219 && inquiry.data[1] == 0x80)
        #expect(inquiry.data[36...].allSatisfy { $0 == 0 })
        #expect(String(decoding: inquiry.data[8..<32], as: UTF8.self) == "QEMU    QEMU HARDDISK   ")
        #expect(stick.read([0x12, 0, 0, 0, 5, 0], 5).data.count == 5)
        #expect(stick.read([0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8).data == [0, 0, 0, 255, 0, 0, 2, 0])
        #expect(stick.read([0x9E, 0x10] + [UInt8](repeating: 0, count: 11) + [32, 0, 0], 32).data[7] == 255)
        #expect(Array(stick.read([0x12, 1, 0x80, 0, 255, 0], 255).data[4..<6]) == Array("S1".utf8))
        #expect(stick.read([0x1A, 0, 8, 0, 64, 0], 64).residue == 40)
    }

    @Test func failuresAreTold() {
        let stick = Stick()
        let far = stick.read([0x28, 0, 0, 0, 1, 0, 0, 0, 1, 0], 512)
        #expect(far.result == 1 && far.residue == 512)
        let sense = stick.read([0x03, 0, 0, 0, 18, 0], 18).data
        #expect((sense[2], sense[12]) == (5, 0x21))
        #expect(stick.write([0x2A, 0, 0, 0, 1, 0, 0, 0, 1, 0], [UInt8](repeating: 1, count: 512)).result == 1)
        #expect(stick.read([0xFE, 0, 0, 0, 0, 0], 0).result == 1)
        // More than was announced, and the other way round.
        #expect(stick.read([0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0], 512).result == 2)
        #expect(stick.read([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], 0).result == 2)
    }

    @Test func aDriveWithoutMediumSaysSo() {
        let stick = Stick(disc: true, isEmpty: true)
        #expect(stick.read([0, 0, 0, 0, 0, 0], 0).result == 1)
        #expect(stick.read([0x03, 0, 0, 0, 18, 0], 18).data[12] == 0x3A)
        let disc = Stick(disc: true)
        #expect(
            disc.read([0x28, 0, 0, 0, 0, 1, 0, 0, 1, 0], 2048).data
                == (4..<8).flatMap { [UInt8](repeating: $0, count: 512) })
    }

    @Test func nonsenseHaltsUntilTheTransportIsReset() {
        let stick = Stick()
        #expect(stick.storage.write(endpoint: 2, data: [1, 2, 3]) == .stalled)
        #expect(stick.storage.read(endpoint: 1, capacity: 13) == .stalled)
        #expect(stick.storage.control(USBSetup(0x02, 1, index: 0x81)) == .taken)
        #expect(stick.storage.read(endpoint: 1, capacity: 13) == .stalled)
        #expect(stick.storage.control(USBSetup(0x21, 0xFF)) == .taken)
        for index: UInt16 in [0x81, 0x02] { #expect(stick.storage.control(USBSetup(0x02, 1, index: index)) == .taken) }
        #expect(stick.read([0x28, 0, 0, 0, 0, 1, 0, 0, 1, 0], 512).result == 0)
        #expect(stick.storage.control(USBSetup(0xA1, 0xFE, length: 1)) == .data([0]))
    }

    @Test func theWriteCacheCanBeSwitched() {
        let stick = Stick()
        let page: [UInt8] = [0, 0, 0, 0, 8, 18, 0] + [UInt8](repeating: 0, count: 17)
        #expect(stick.write([0x15, 0x10, 0, 0, UInt8(page.count), 0], page).result == 0)
        #expect(stick.read([0x1A, 0, 8, 0, 24, 0], 24).data[6] == 0)
        #expect(stick.read([0x1A, 0, 0x48, 0, 24, 0], 24).data[6] == 4)
        #expect(stick.read([0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0).result == 0)
    }

    @Test func aStateInTheMiddleOfDataGoesOn() throws {
        let stick = Stick(), other = Stick()
        let wrapper = Stick.wrapper([0x28, 0, 0, 0, 0, 1, 0, 0, 2, 0], count: 1024, toHost: true)
        #expect(stick.storage.write(endpoint: 2, data: wrapper) == .taken)
        #expect(stick.fetch(512) == [UInt8](repeating: 1, count: 512))
        try other.storage.checkState(try stick.storage.saveState(as: "s"))()
        #expect(other.fetch(512) == [UInt8](repeating: 2, count: 512))
        #expect(other.fetch(64)?.count == 13)
        #expect(throws: StateError.self) {
            try Stick(disc: true).storage.checkState(try stick.storage.saveState(as: "s"))
        }
    }

    /// Whatever comes, in whatever order, the device answers.
    @Test func rubbishDoesNoHarm() {
        var generator = SystemRandomNumberGenerator()
        let stick = Stick()
        for _ in 0..<4000 {
            switch Int.random(in: 0..<6, using: &generator) {
            case 0:
                let block = (0..<Int.random(in: 1...16, using: &generator)).map { _ in
                    UInt8.random(in: 0...255, using: &generator)
                }
                let wrapper = Stick.wrapper(
                    block, count: Int.random(in: 0...4096, using: &generator), toHost: Bool.random(using: &generator))
                _ = stick.storage.write(endpoint: 2, data: wrapper)
            case 1:
                let known: [UInt8] = [
                    0x00, 0x03, 0x12, 0x15, 0x1A, 0x28, 0x2A, 0x88, 0x8A, 0x9E, 0x5A, 0x55, 0x35, 0xA0,
                ]
                var block = (0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) }
                block[0] = known.randomElement(using: &generator)!
                _ = stick.storage.write(
                    endpoint: 2, data: Stick.wrapper(block, count: 1 << 30, toHost: Bool.random(using: &generator)))
            case 2:
                _ = stick.storage.write(
                    endpoint: 2, data: [UInt8](repeating: 1, count: Int.random(in: 0...2048, using: &generator)))
            case 3: _ = stick.storage.control(USBSetup(0x21, 0xFF))
            case 4: for index: UInt16 in [0x81, 0x02] { _ = stick.storage.control(USBSetup(0x02, 1, index: index)) }
            default: _ = stick.storage.read(endpoint: 1, capacity: Int.random(in: 0...70_000, using: &generator))
            }
        }
    }
}
