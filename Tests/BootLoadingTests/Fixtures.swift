// SPDX-License-Identifier: Apache-2.0

import BootLoading
import ByteCoding
import Glibc
import GuestMemory

let mebibyte: UInt64 = 1 << 20

/// A machine's memory and its map.
struct TestMachine {
    let memory = GuestMemory()
    let map: [MemoryMapEntry]

    init(mebibytes: UInt64 = 64) throws {
        try memory.addRegion(name: "ram", start: 0, count: mebibytes << 20)
        map = MemoryMapEntry.standardPC(lowMemoryEnd: mebibytes << 20, highMemoryCount: 0)
    }

    func request(
        _ kernel: [UInt8], initrd: [UInt8]? = nil, commandLine: String = "", rsdp: UInt64? = nil
    ) -> BootRequest {
        BootRequest(
            kernel: BootFile(name: "kernel", bytes: kernel),
            initrdFile: initrd.map { BootFile(name: "initrd", bytes: $0) }, commandLine: commandLine, memoryMap: map,
            rsdpAddress: rsdp)
    }

    func load(
        _ kernel: [UInt8], initrd: [UInt8]? = nil, commandLine: String = "", rsdp: UInt64? = nil
    ) throws(BootError) -> LoadedKernel {
        try KernelLoader.load(
            request(kernel, initrd: initrd, commandLine: commandLine, rsdp: rsdp), into: memory)
    }

    func bytes(_ address: UInt64, _ count: Int) -> [UInt8] { (try? memory.read(at: address, count: count)) ?? [] }

    func text(_ address: UInt64) -> String { bytes(address, 256).text(at: 0, count: 256) ?? "" }
}

/// A bzImage of protocol 2.15 with one setup sector.
func makeLinux(
    payload: [UInt8] = Array(repeating: 0x90, count: 4096), is64Bit: Bool = true, version: UInt16 = 0x20F
) -> [UInt8] {
    var image = [UInt8](repeating: 0, count: 1024)
    image[0x1F1] = 1
    image.store(UInt32((payload.count + 15) / 16), at: 0x1F4)
    image.store(UInt16(0xAA55), at: 0x1FE)
    image.store(bytes: [0xEB, 0x6A] + Array("HdrS".utf8), at: 0x200)
    image.store(version, at: 0x206)
    image[0x211] = 1
    image.store(UInt32(0x10_0000), at: 0x214)
    image.store(UInt32(0x7FFF_FFFF), at: 0x22C)
    image.store(UInt32(0x20_0000), at: 0x230)
    image[0x234] = 1
    image.store(UInt16(is64Bit ? 0x7F : 0), at: 0x236)
    image.store(UInt32(2047), at: 0x238)
    image.store(UInt64(16 * mebibyte), at: 0x258)
    image.store(UInt32(8 * mebibyte), at: 0x260)
    return image + payload
}

/// A segment of a synthetic ELF.
struct TestSegment {
    var type: UInt32 = 1
    var address: UInt64
    var bytes: [UInt8]
    var memoryCount: Int?
}

/// An ELF executable with its segments after the headers.
func makeELF(_ segments: [TestSegment], entry: UInt64, is64Bit: Bool) -> [UInt8] {
    let headerCount = is64Bit ? 64 : 52, entryCount = is64Bit ? 56 : 32
    var image = ByteBuilder()
    func word(_ value: UInt64) { if is64Bit { image.append(value) } else { image.append(UInt32(value)) } }
    image.append(bytes: [0x7F, 0x45, 0x4C, 0x46, is64Bit ? 2 : 1, 1, 1] + [UInt8](repeating: 0, count: 9))
    image.append(UInt16(2))
    image.append(UInt16(is64Bit ? 62 : 3))
    image.append(UInt32(1))
    word(entry)
    word(UInt64(headerCount))
    word(0)
    image.append(UInt32(0))
    for value in [headerCount, entryCount, segments.count, 0, 0, 0] { image.append(UInt16(value)) }
    var offset = headerCount + entryCount * segments.count
    for segment in segments {
        image.append(segment.type)
        if is64Bit { image.append(UInt32(7)) }
        for value in [UInt64(offset), segment.address, segment.address, UInt64(segment.bytes.count)] { word(value) }
        word(UInt64(segment.memoryCount ?? segment.bytes.count))
        if !is64Bit { image.append(UInt32(7)) }
        word(1)
        offset += segment.bytes.count
    }
    for segment in segments { image.append(bytes: segment.bytes) }
    return image.bytes
}

/// Xen's note of a physical entry, after a note that is passed over.
func makeNote(entry: UInt32) -> [UInt8] {
    var note = ByteBuilder()
    for (owner, type, data) in [("GNU\0", UInt32(3), [1, 2, 3] as [UInt8]), ("Xen\0", 18, [])] {
        note.append(UInt32(4))
        note.append(UInt32(type == 18 ? 4 : data.count))
        note.append(type)
        note.append(text: owner)
        if type == 18 { note.append(entry) } else { note.append(bytes: data) }
        note.align(to: 4)
    }
    return note.bytes
}

/// A multiboot header; with `addresses`, header, load, load end, bss end and entry.
func makeMultibootHeader(flags: UInt32 = 3, addresses: [UInt32] = []) -> [UInt8] {
    let all = addresses.isEmpty ? flags : flags | 1 << 16
    var header = ByteBuilder()
    header.append(UInt32(0x1BAD_B002))
    header.append(all)
    header.append(0 &- UInt32(0x1BAD_B002) &- all)
    for address in addresses { header.append(address) }
    return header.bytes
}

/// A file in a folder of its own that is removed at the end.
final class TemporaryFolder {
    let path: String

    init() {
        var template = Array("/tmp/roost-boot-XXXXXX".utf8CString)
        // mkdtemp changes the last characters in place and returns the same pointer.
        unsafe mkdtemp(&template)
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { _ = unsafe system("rm -r '\(path)'") }

    func write(_ name: String, _ bytes: [UInt8]) -> String {
        let place = "\(path)/\(name)"
        guard let file = unsafe fopen(place, "w") else { return place }
        // The array lives for the call.
        _ = unsafe fwrite(bytes, 1, bytes.count, file)
        unsafe fclose(file)
        return place
    }
}
