// SPDX-License-Identifier: Apache-2.0

import CPUInterface
import Compression
import ControlServer
import GuestMemory
import HostIO
import HostSystem
import JSONCoding
import MachineRuntime
import StorageTestKit
import StreamTestKit
import Testing

/// All bytes of a file, or what a pipe has now.
private func contents(_ file: borrowing FileDescriptor, atMost limit: Int = .max) throws -> [UInt8] {
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 65536)
    while bytes.count < limit {
        // The array lives through the call.
        let count = try unsafe part.withUnsafeMutableBytes { try unsafe file.read(into: $0) }
        if count == 0 { break }
        bytes += part.prefix(count)
    }
    return bytes
}

private func number(_ bytes: some Collection<UInt8>, at place: Int, _ count: Int) -> UInt64 {
    bytes.dropFirst(place).prefix(count).reversed().reduce(0) { $0 << 8 | UInt64($1) }
}

/// An ELF core file, read back.
private struct CoreFile {
    struct Segment: Equatable {
        var type: UInt64, offset: UInt64, linear: UInt64, physical: UInt64, stored: UInt64, count: UInt64
    }
    let bytes: [UInt8]
    let segments: [Segment]

    init(_ path: String) throws {
        let content = try contents(FileDescriptor.open(path, flags: 0))
        try #require(content.prefix(5) == [0x7F, 0x45, 0x4C, 0x46, 2])
        let start = Int(number(content, at: 32, 8)), count = Int(number(content, at: 56, 2))
        bytes = content
        segments = (0..<count).map { index in
            let place = start + index * 56
            let words = [8, 16, 24, 32, 40].map { number(content, at: place + $0, 8) }
            return Segment(
                type: number(content, at: place, 4), offset: words[0], linear: words[1], physical: words[2],
                stored: words[3], count: words[4])
        }
    }

    var loads: [Segment] { segments.filter { $0.type == 1 } }
    func content(_ segment: Segment) -> [UInt8] {
        Array(bytes[Int(segment.offset)..<Int(segment.offset + segment.stored)])
    }

    /// Names and kinds of the notes.
    var notes: [String] {
        guard let segment = segments.first(where: { $0.type == 4 }) else { return [] }
        var place = Int(segment.offset), names: [String] = []
        while place < Int(segment.offset + segment.stored) {
            let name = Int(number(bytes, at: place, 4)), content = Int(number(bytes, at: place + 4, 4))
            names.append(String(decoding: bytes[place + 12..<place + 11 + name], as: UTF8.self))
            place += 12 + (name + 3) / 4 * 4 + (content + 3) / 4 * 4
        }
        return names
    }
}

@Suite struct DumpTests {
    private let client: QMPClient
    private let folder = Folder()
    private var path: String { folder.file("dump") }

    init() throws {
        client = try QMPClient(processors: 2)
        for page in 0..<16 where page % 3 != 0 {
            let bytes = (0..<4096).map { UInt8(truncatingIfNeeded: $0 / 64 &* page) }
            try client.machine.memory.write(bytes, at: UInt64(page) << 12)
        }
        // One that does not become smaller.
        var random: UInt64 = 1
        let noise = (0..<4096).map { _ in
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: random >> 40)
        }
        try client.machine.memory.write(noise, at: 0xF000)
    }

    private var memory: [UInt8] { (try? client.machine.memory.read(at: 0, count: 0x10000)) ?? [] }

    private func dump(_ more: String = "") throws -> [String] {
        client.lines("{'execute':'dump-guest-memory','arguments':{'paging':false,'protocol':'file:\(path)'\(more)}}")
    }

    @Test func aCoreFileHasMemoryAndRegisters() throws {
        let lines = try dump()
        #expect(lines.count == 2 && lines.contains { $0.contains("DUMP_COMPLETED") })
        let core = try CoreFile(path)
        let load = try #require(core.loads.first)
        #expect(core.loads.count == 1 && load.physical == 0 && load.count == 0x10000)
        #expect(core.content(load) == memory && core.notes == ["CORE", "CORE", "QEMU", "QEMU"])
        let answer = try client.value("query-dump")
        #expect(answer["status"]?.string == "completed" && answer["completed"]?.integer == 0x10000)
        _ = try dump(",'begin':8192,'length':4096")
        let part = try CoreFile(path)
        #expect(part.loads.map(\.physical) == [8192] && part.content(part.loads[0]) == Array(memory[8192..<12288]))
    }

    /// Four levels of tables from 0x8000 on: 0xFFFF800000000000 is 0x2000, and a page of 2 MiB shows more than there is.
    private func page(_ processor: StillCPU) throws {
        func store(_ value: UInt64, _ place: UInt64) throws {
            try client.machine.memory.write((0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }, at: place)
        }
        for table in 8..<13 {
            try client.machine.memory.write([UInt8](repeating: 0, count: 4096), at: UInt64(table) << 12)
        }
        try store(0x9003, 0x8000 + 256 * 8)
        try store(0xA003, 0x9000)
        try store(0xB003, 0xA000)
        try store(0x83, 0xA008)
        try store(0x2003, 0xB000)
        try store(0x3003, 0xB008)
        (processor.registers.cr0, processor.registers.cr3) = (1 << 31 | 1, 0x8000)
        (processor.registers.cr4, processor.registers.efer) = (1 << 5, 1 << 10)
    }

    @Test func pagingShowsMemoryWhereTheGuestSeesIt() throws {
        for processor in client.machine.processors { try page(processor) }
        _ = client.lines(
            "{'execute':'dump-guest-memory','arguments':{'paging':true,'protocol':'file:\(path)'}}")
        let core = try CoreFile(path)
        let base: UInt64 = 0xFFFF_8000_0000_0000
        #expect(core.loads.map(\.linear) == [base, base + 0x20_0000])
        #expect(core.loads.map(\.physical) == [0x2000, 0] && core.loads.map(\.count) == [0x2000, 0x20_0000])
        // What lies behind the memory is not in the file.
        #expect(core.loads.map(\.stored) == [0x2000, 0x10000])
        #expect(core.content(core.loads[0]) == Array(memory[0x2000..<0x4000]) && core.content(core.loads[1]) == memory)
    }

    @Test func withoutPageTablesBothAddressesAreOne() throws {
        _ = client.lines(
            "{'execute':'dump-guest-memory','arguments':{'paging':true,'protocol':'file:\(path)','begin':4096,'length':8192}}"
        )
        let core = try CoreFile(path)
        #expect(core.loads.map(\.linear) == [4096] && core.loads.map(\.physical) == [4096])
        #expect(core.content(core.loads[0]) == Array(memory[4096..<12288]))
    }

    @Test func tablesThatLoopAreNotFollowedForEver() throws {
        for processor in client.machine.processors { try page(processor) }
        // Each level is the first table again, all of whose entries are present.
        let entry = (0..<8).map { UInt8(truncatingIfNeeded: UInt64(0x8003) >> ($0 * 8)) }
        try client.machine.memory.write((0..<512).flatMap { _ in entry }, at: 0x8000)
        let lines = client.lines(
            "{'execute':'dump-guest-memory','arguments':{'paging':true,'protocol':'file:\(path)'}}")
        #expect(lines.contains { $0.contains("too large or loop") })
    }

    /// makedumpfile's flattened form, put in place.
    private func unflattened() throws -> [UInt8] {
        let bytes = try contents(FileDescriptor.open(path, flags: 0))
        #expect(bytes.prefix(12).elementsEqual("makedumpfile".utf8))
        var file: [UInt8] = [], place = 4096
        while true {
            let offset = number(bytes[place..<place + 8].reversed(), at: 0, 8)
            let count = number(bytes[place + 8..<place + 16].reversed(), at: 0, 8)
            if offset == .max { return file }
            let end = Int(offset + count)
            if file.count < end { file += [UInt8](repeating: 0, count: end - file.count) }
            file.replaceSubrange(Int(offset)..<end, with: bytes[place + 16..<place + 16 + Int(count)])
            place += 16 + Int(count)
        }
    }

    @Test func aCompressedDumpHasEveryPage() throws {
        _ = try dump(",'format':'kdump-zlib'")
        let file = try unflattened()
        #expect(file.prefix(8).elementsEqual("KDUMP   ".utf8) && number(file, at: 8, 4) == 6)
        let words = 8 + 4 + 6 * 65 + 22
        let (status, subBlocks, bitmapBlocks) = (
            number(file, at: words, 4), number(file, at: words + 8, 4), number(file, at: words + 12, 4)
        )
        #expect(status == 1 && bitmapBlocks == 2 && number(file, at: words + 36, 4) == 2)
        // The last word of the second header is the number of pages.
        #expect(number(file, at: 4096 + 96, 8) == 16 && number(file, at: 4096 + 56, 8) > 0)
        let bitmaps = Int(1 + subBlocks) * 4096
        #expect(number(file, at: bitmaps, 4) == 0xFFFF && number(file, at: bitmaps + 4096, 4) == 0xFFFF)
        let descriptors = bitmaps + Int(bitmapBlocks) * 4096
        let inflater = try DeflateDecompressor()
        var places: Set<UInt64> = []
        for page in 0..<16 {
            let entry = descriptors + page * 24
            let offset = Int(number(file, at: entry, 8)), count = Int(number(file, at: entry + 8, 4))
            var content = Array(file[offset..<offset + count])
            if number(file, at: entry + 12, 4) == 1 {
                var output = [UInt8](repeating: 0, count: 4096)
                // Both arrays live through the call.
                _ = try unsafe content.withUnsafeBytes { source in
                    try unsafe output.withUnsafeMutableBytes {
                        try unsafe inflater.decompress(source, into: $0, container: .zlib)
                    }
                }
                content = output
            }
            #expect(content == Array(memory[page << 12..<(page + 1) << 12]), "page \(page)")
            if content.allSatisfy({ $0 == 0 }) { places.insert(UInt64(offset)) }
        }
        #expect(places.count == 1)
    }

    @Test func inTheBackgroundTheMonitorGoesOn() throws {
        // A pipe that nobody empties yet holds the dump up.
        #expect(run("mkfifo \(path)").status == 0)
        let pipe = try FileDescriptor.open(path, flags: 2)
        client.machine.runner.resume()
        client.machine.pump()
        _ = client.stream.takeLines()
        let begun = try dump(",'detach':true")
        #expect(begun.contains { $0.contains("return") } && begun.contains { $0.contains("STOP") })
        #expect(try client.value("query-dump")["status"]?.string == "active")
        #expect(try client.value("query-status")["status"]?.string == "save-vm")
        #expect(
            try client.error("dump-guest-memory", "{'paging':false,'protocol':'file:/dev/null'}").contains(
                "please wait"))
        #expect(try client.error("migrate", "{'uri':'tcp:127.0.0.1:1'}").contains("dump-guest-memory in progress"))
        // Notes for two processors stand in front of the memory.
        let notes = 2 * (12 + 8 + 336) + 2 * (12 + 8 + 440)
        _ = try contents(pipe, atMost: 64 + 2 * 56 + notes + 0x10000)
        let deadline = monotonicNanoseconds() + 60_000_000_000
        var events: [String] = []
        while !events.contains(where: { $0.contains("RESUME") }), monotonicNanoseconds() < deadline {
            client.machine.loop.runOnce(timeoutMilliseconds: 100)
            events += client.stream.takeLines()
        }
        let names = events.compactMap { try? JSONValue(parsing: $0)["event"]?.string }
        #expect(names == ["DUMP_COMPLETED", "RESUME"])
        client.machine.runner.pause()
    }

    @Test func whatCannotBeIsSaid() throws {
        #expect(try client.error("dump-guest-memory", "{'paging':false,'protocol':'x'}").contains("'protocol'"))
        #expect(
            try client.error("dump-guest-memory", "{'paging':false,'protocol':'file:/x','begin':0}")
                == "GenericError: Parameter 'length' is missing")
        #expect(
            try client.error("dump-guest-memory", "{'paging':true,'protocol':'file:/x','format':'kdump-zlib'}")
                == "GenericError: kdump-compressed format doesn't support paging or filter")
        #expect(
            try client.error("dump-guest-memory", "{'paging':false,'protocol':'file:/x','format':'kdump-lzo'}")
                == "GenericError: kdump-lzo is not available now")
        #expect(
            client.lines("{'execute':'dump-guest-memory','arguments':{'paging':false,'protocol':'file:/dev/full'}}")
                .contains { $0.contains("failed to save memory: No space left on device") })
        #expect(try client.value("query-dump")["status"]?.string == "failed")
    }
}
