// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import Glibc
import HostSystem
import RandomKit
import StorageTestKit
import Testing

@Suite struct GraphTests {
    private let folder = Folder()
    private let graph = BlockGraph(drivers: [FileDriver.file, FileDriver.hostDevice, NullDriver()])

    /// The message of what opening throws.
    private func refusal(_ name: String?, _ options: String = "", flags: OpenFlags = OpenFlags()) -> String? {
        do {
            let parsed = options.isEmpty ? BlockOptions() : try BlockOptions.parse(options, implied: "filename")
            _ = try graph.open(name, options: parsed, flags: flags)
            return nil
        } catch { return error.message }
    }

    @Test func whatCannotBeOpenedIsNamed() {
        #expect(refusal("nosuch://host") == "Unknown protocol 'nosuch'")
        #expect(refusal(nil, "driver=nosuch") == "Unknown driver 'nosuch'")
        #expect(refusal(nil) == "Must specify either driver or file")
        #expect(refusal("json:{") != nil)
        #expect(refusal("json:[1]") == "Invalid JSON object given")
        #expect(
            refusal(nil, "driver=null-co,colour=red")
                == "Block protocol 'null-co' doesn't support the option 'colour'")
        #expect(refusal(nil, "driver=null-co,detect-zeroes=on")?.contains("detect-zeroes=on") == true)
        var flags = OpenFlags.writable
        flags.forceShare = true
        #expect(refusal("null-co://", flags: flags) == "force-share=on can only be used with read-only images")
    }

    @Test func optionsInJSONAndOptionsMeanTheSame() throws {
        let texts = [
            try graph.open("json:{\"driver\": \"null-co\", \"size\": 4096}"),
            try graph.open("json:{\"driver\": \"null-co\", \"size\": \"4k\"}"),
            try graph.open(nil, options: try BlockOptions.parse("driver=null-co,size=4096", implied: "filename")),
        ]
        for node in texts {
            #expect(node.length == 4096)
            #expect(node.driverName == "null-co")
        }
        // What stands beside the name wins over what is in it.
        let sized = try graph.open(
            "json:{\"driver\": \"null-co\", \"size\": 4096}", options: BlockOptions([("size", .number(512))]))
        #expect(sized.length == 512)
    }

    @Test func nodesHaveOneNameEach() throws {
        let node = try graph.open(
            nil, options: try BlockOptions.parse("driver=null-co,node-name=b", implied: "filename"))
        #expect(graph.node(named: "b") === node)
        #expect(graph.name(of: node) == "b")
        #expect(refusal(nil, "driver=null-co,node-name=b") == "Duplicate nodes with node-name='b'")
        try graph.register(MemoryNode(), as: "a")
        #expect(graph.namedNodes.map(\.name) == ["a", "b"])
        graph.unregister("b")
        #expect(graph.node(named: "b") == nil)
    }

    @Test func aFailedOpenLeavesNoName() {
        #expect(refusal(nil, "driver=null-co,node-name=c,colour=red") != nil)
        #expect(graph.node(named: "c") == nil)
    }
}

@Suite struct FileNodeTests {
    private let folder = Folder()
    private let graph = BlockGraph(drivers: [FileDriver.file, FileDriver.hostDevice])

    private func open(_ path: String, _ flags: OpenFlags = .writable) throws -> any BlockNode {
        try graph.open(
            nil, options: BlockOptions([("driver", .string("file")), ("filename", .string(path))]), flags: flags)
    }

    private func make(_ bytes: [UInt8]) throws -> String {
        let path = folder.file("disk")
        let file = try FileDescriptor.open(path, flags: O_RDWR | O_CREAT)
        try file.writeAll(bytes)
        return path
    }

    @Test func readingPastTheEndGivesZeroes() throws {
        let node = try open(try make([1, 2, 3]))
        #expect(try node.readBytes(at: 1, count: 5) == [2, 3, 0, 0, 0])
        #expect(try node.readBytes(at: 1 << 40, count: 2) == [0, 0])
    }

    @Test func writingPastTheEndMakesItLonger() throws {
        let path = try make([1, 2, 3])
        let node = try open(path)
        try node.write([9], at: 10)
        #expect(node.length == 11)
        #expect(try open(path, OpenFlags()).readBytes(at: 0, count: 11) == [1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 9])
    }

    @Test func zeroesAndDiscardsReadAsZeroes() throws {
        let node = try open(try make([UInt8](repeating: 7, count: 3 << 16)))
        try node.writeZeroes(at: 100, count: 1 << 16, flags: [])
        try node.discard(at: 1 << 17, count: 1 << 16)
        let content = try node.readBytes(at: 0, count: 3 << 16)
        #expect(content[0..<100].allSatisfy { $0 == 7 })
        #expect(content[100..<(100 + 1 << 16)].allSatisfy { $0 == 0 })
        #expect(content[(100 + 1 << 16)..<(1 << 17)].allSatisfy { $0 == 7 })
        #expect(node.length == 3 << 16)
    }

    @Test func aReaderCannotWrite() throws {
        let node = try open(try make([1]), OpenFlags())
        #expect(throws: BlockError.self) { try node.write([2], at: 0) }
        #expect(throws: BlockError.self) { try node.writeZeroes(at: 0, count: 1, flags: []) }
        #expect(try node.readBytes(at: 0, count: 1) == [1])
    }

    /// A file of the kernel's that not even root may write.
    private static let fixedFile = "/sys/kernel/uevent_seqnum"

    @Test(.enabled(if: unsafe access(FileNodeTests.fixedFile, F_OK) == 0, "needs /sys"))
    func whatCannotBeWrittenIsReadWhereThatIsAllowed() throws {
        let options = BlockOptions([("driver", .string("file")), ("filename", .string(Self.fixedFile))])
        let error = #expect(throws: BlockError.self) { try graph.open(nil, options: options, flags: .writable) }
        #expect(error?.kind == .accessDenied)
        var falling = options
        falling["auto-read-only"] = .boolean(true)
        #expect(try graph.open(nil, options: falling, flags: .writable).isReadOnly)
        // What can be written is.
        falling["filename"] = .string(try make([1]))
        #expect(try !graph.open(nil, options: falling, flags: .writable).isReadOnly)
    }

    @Test func whatIsNoDiskIsRefused() throws {
        let error = #expect(throws: BlockError.self) { try open("/proc/self/no-such-file") }
        #expect(error?.kind == .notFound)
        #expect(error?.subject == .file("/proc/self/no-such-file"))
        let directory = #expect(throws: BlockError.self) { try open(folder.path, OpenFlags()) }
        #expect(directory?.message.contains("regular file") == true)
        // A fifo that nobody writes to must not be waited for.
        let fifo = folder.file("fifo")
        // mkfifo copies the path.
        #expect(unsafe mkfifo(fifo, 0o600) == 0)
        #expect(throws: BlockError.self) { try open(fifo) }
    }

    @Test func aWriterKeepsOthersOut() throws {
        let path = try make([1])
        let first = try #require(try open(path) as? any LockableNode)
        let second = try #require(try open(path) as? any LockableNode)
        try first.lock(holds: [.write], shares: [.consistentRead])
        let error = #expect(throws: BlockError.self) { try second.lock(holds: [.write], shares: .all) }
        #expect(error?.kind == .locked)
        #expect(error?.message == "Failed to get \"write\" lock")
        try second.lock(holds: [.consistentRead], shares: .all)
        try second.close()
        try first.close()
        try second.lock(holds: [.write], shares: [])
    }

    /// Random requests against an array, with the page cache and past it.
    @Test(arguments: [CacheMode.writeback, .none, .unsafe])
    func requestsAgreeWithAnArray(_ cache: CacheMode) throws {
        var random = SeededGenerator(seed: 3)
        let size = 256 << 10
        var model = [UInt8](repeating: 0, count: size)
        var flags = OpenFlags.writable
        flags.cache = cache
        let path = try make(model)
        let node: any BlockNode
        // A file system without direct I/O refuses the open itself.
        do { node = try open(path, flags) } catch let error as BlockError where error.errno == .invalidArgument {
            return
        }
        for _ in 0..<300 {
            let offset = Int.random(in: 0..<size, using: &random)
            let count = Int.random(in: 1...min(20_000, size - offset), using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0:
                let byte = UInt8.random(in: 1...255, using: &random)
                try node.write([UInt8](repeating: byte, count: count), at: Int64(offset))
                for place in offset..<offset + count { model[place] = byte }
            case 1:
                try node.writeZeroes(at: Int64(offset), count: Int64(count), flags: [.mayUnmap])
                for place in offset..<offset + count { model[place] = 0 }
            default:
                #expect(try node.readBytes(at: Int64(offset), count: count) == Array(model[offset..<offset + count]))
            }
        }
        try node.flush()
        try node.close()
        #expect(try open(path, OpenFlags()).readBytes(at: 0, count: size) == model)
    }
}

@Suite struct ByteRegionTests {
    @Test func integersOfBothOrders() {
        let region = AlignedBuffer(zeroed: 16).region
        region.storeBigEndian(UInt32(0x0102_0304), at: 1)
        #expect(Array(region.bytes.prefix(6)) == [0, 1, 2, 3, 4, 0])
        #expect(region.bigEndian(at: 1, as: UInt32.self) == 0x0102_0304)
        #expect(region.littleEndian(at: 1, as: UInt32.self) == 0x0403_0201)
        region.storeLittleEndian(UInt64.max - 1, at: 8)
        #expect(region.littleEndian(at: 8, as: UInt64.self) == UInt64.max - 1)
    }

    @Test func zeroesAreFoundWhereverOneByteIsNot() {
        let region = AlignedBuffer(zeroed: 100).region
        #expect(region.isZero)
        #expect(region.slice(7, 0).isZero)
        for place in 0..<100 {
            region[place] = 1
            #expect(!region.isZero)
            #expect(region.slice(0, place).isZero && region.from(place + 1).isZero)
            region[place] = 0
        }
    }

    @Test func slicesShareTheirBytes() {
        let region = AlignedBuffer(zeroed: 8).region
        let part = region.slice(2, 4)
        part.fill(9)
        #expect(region.bytes == [0, 0, 9, 9, 9, 9, 0, 0])
        part.copy(from: [1, 2])
        #expect(region.slice(2, 2).isEqual(to: [UInt8]([1, 2]).withRegion { $0 }))
        #expect(!region.isEqual(to: part))
    }
}

@Suite struct BlockErrorTests {
    @Test(arguments: [
        (ENOENT, BlockError.Kind.notFound), (EACCES, .accessDenied), (EROFS, .accessDenied), (ENOSPC, .noSpace),
        (EDQUOT, .noSpace), (EIO, .inputOutput), (EFBIG, .outOfRange), (EAGAIN, .locked),
    ])
    func theHostsNumbersHaveKinds(_ number: Int32, _ kind: BlockError.Kind) {
        let error = BlockError(system: Errno(number), "Could not read")
        #expect(error.kind == kind)
        #expect(error.errno == Errno(number))
        #expect(error.message == "Could not read: \(Errno(number))")
    }

    @Test func wordsInFront() {
        let error = BlockError(.corrupt, "bad table").prefixed("Could not open 'x': ").about(.file("x"))
        #expect("\(error)" == "Could not open 'x': bad table")
        #expect(error.subject == .file("x"))
        #expect(error.errno == .inputOutput)
    }
}
