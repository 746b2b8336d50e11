// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

/// A file on a web server.
///
/// It is fetched in blocks of the readahead's length, of which the last ones are kept; several threads fetch different
/// blocks at the same time, each over a connection of its own, and wait for a block that another one is fetching.
/// `lock` guards the blocks and the connections that nobody uses.
public final class HTTPNode: BlockNode, @unchecked Sendable {
    /// "http" or "https".
    public let driverName: String
    /// The URL, or the options where there are more.
    public let location: NodeLocation
    /// What the server said when the file was opened.
    public let length: Int64
    private let parameters: HTTPParameters
    private let blockSize: Int64
    private let mostBlocks: Int
    private let lock = Lock()
    private var idle: [HTTPConnection]
    private var blocks: [Int64: Block] = [:]
    private var clock: UInt64 = 0

    private struct Block {
        /// nil while it is being fetched.
        var content: ByteRegion?
        var lastUse: UInt64
    }

    private static let smallestBlock: Int64 = 4096
    private static let largestBlock: Int64 = 16 << 20
    private static let memory: Int64 = 16 << 20

    init(_ parameters: HTTPParameters, driver: String, readahead: Int64, kept: BlockOptions) throws(BlockError) {
        self.parameters = parameters
        driverName = driver
        blockSize = min(max(readahead, Self.smallestBlock), Self.largestBlock)
        mostBlocks = max(Int(Self.memory / blockSize), 4)
        var options = BlockOptions([("driver", .string(driver)), ("url", .string(parameters.url))])
        options.add(kept)
        location = NodeLocation(
            filename: kept.isEmpty ? parameters.url : options.jsonName, path: kept.isEmpty ? parameters.url : nil,
            options: options)
        let connection = try HTTPConnection(parameters)
        length = try connection.length()
        idle = [connection]
    }

    /// Always.
    public var isReadOnly: Bool { true }
    /// Any alignment; a block is what is fetched at a time.
    public var limits: BlockLimits { BlockLimits() }
    /// Nothing is below.
    public var children: [NodeChild] { [] }

    /// From the blocks; what lies past the end reads as zeroes, as with a file.
    public func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        guard offset >= 0 else { throw BlockError(system: .invalidArgument, "\(location.filename)") }
        let inside = Int(max(min(Int64(region.count), length &- offset), 0))
        region.from(inside).fill(0)
        var done = 0
        while done < inside {
            let position = offset + Int64(done)
            let number = position / blockSize
            let within = Int(position - number * blockSize)
            let content = try block(number)
            let count = min(inside - done, content.count - within)
            region.from(done).copy(from: content.slice(within, count))
            done += count
        }
    }

    private func block(_ number: Int64) throws(BlockError) -> ByteRegion {
        lock.lock()
        while let block = blocks[number] {
            if let content = block.content {
                clock &+= 1
                blocks[number]?.lastUse = clock
                lock.unlock()
                return content
            }
            lock.wait()
        }
        makeRoom()
        blocks[number] = Block(content: nil, lastUse: 0)
        let kept = idle.popLast()
        lock.unlock()
        do throws(BlockError) {
            let connection: HTTPConnection
            if let kept { connection = kept } else { connection = try HTTPConnection(parameters) }
            let start = number * blockSize
            let content = AlignedBuffer(count: Int(min(blockSize, length - start))).region
            defer { lock.withLock { idle.append(connection) } }
            try connection.read(content, at: start)
            settle(number, content)
            return content
        } catch {
            settle(number, nil)
            throw error
        }
    }

    /// Ends the fetching of a block; without content it is forgotten, and whoever waits for it tries in turn.
    private func settle(_ number: Int64, _ content: ByteRegion?) {
        lock.withLock {
            clock &+= 1
            blocks[number] = content.map { Block(content: $0, lastUse: clock) }
            lock.broadcast()
        }
    }

    /// Forgets the block that was not used for longest when there are too many. Called with the lock held.
    private func makeRoom() {
        guard blocks.count >= mostBlocks else { return }
        let there = blocks.filter { $0.value.content != nil }
        if let oldest = there.min(by: { $0.value.lastUse < $1.value.lastUse }) { blocks[oldest.key] = nil }
    }

    private var refusal: BlockError {
        BlockError(.readOnly, "\(location.filename): files on web servers are only read")
    }
    /// Refuses.
    public func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) { throw refusal }
    /// Refuses.
    public func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) { throw refusal }
    /// Refuses.
    public func discard(at offset: Int64, count: Int64) throws(BlockError) { throw refusal }
    /// Nothing was written.
    public func flush() throws(BlockError) {}

    /// All of it is data.
    public func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        let limit = min(count, length - offset)
        guard offset >= 0, limit > 0 else { return BlockStatus(count: 0, isZero: true, isEnd: true) }
        return BlockStatus(
            count: limit, isData: true, offset: offset, file: self, isEnd: offset + limit == length)
    }

    /// Ends the connections.
    public func close() throws(BlockError) {
        lock.withLock {
            idle = []
            blocks = [:]
        }
    }
}
