// SPDX-License-Identifier: Apache-2.0

public import BlockLayer

/// The `quorum` driver, to read: several copies of one disk, of which a number must agree.
public struct QuorumDriver: BlockDriver {
    /// "quorum".
    public let name = "quorum"
    /// The driver.
    public init() {}

    private static let mostChildren = 32

    /// Options: `children.N.*`, `vote-threshold`, `read-pattern` (quorum, fifo).
    public func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        guard !request.flags.isWritable else {
            throw BlockError(.notSupported, "quorum is only read here; write to the copies one by one")
        }
        let threshold = try request.options.takeNumber("vote-threshold") ?? 0
        let pattern = request.options.take("read-pattern") ?? "quorum"
        guard pattern == "quorum" || pattern == "fifo" else {
            throw BlockError(.invalidArgument, "Please set read-pattern as fifo or quorum")
        }
        let given = request.options
        var copies: [any BlockNode] = []
        while request.options.hasSubtree("children.\(copies.count)"), copies.count < Self.mostChildren {
            copies.append(try request.openAny("children.\(copies.count)"))
        }
        guard !copies.isEmpty else {
            throw BlockError(.invalidArgument, "Number of provided children must be 1 or more")
        }
        guard pattern == "fifo" || (threshold >= 1 && threshold <= Int64(copies.count)) else {
            throw BlockError(
                .invalidArgument,
                threshold < 1
                    ? "Parameter 'vote-threshold' expects a value >= 1"
                    : "threshold may not exceed children count")
        }
        var options = BlockOptions([("driver", .string("quorum")), ("vote-threshold", .number(threshold))])
        options.add(given)
        return QuorumNode(
            copies, threshold: pattern == "fifo" ? 1 : Int(threshold),
            location: NodeLocation(filename: options.jsonName, options: options))
    }
}

/// An opened quorum.
final class QuorumNode: BlockNode {
    let driverName = "quorum"
    let length: Int64
    let isReadOnly = true
    let limits = BlockLimits()
    let location: NodeLocation
    private let copies: [any BlockNode]
    private let threshold: Int

    init(_ copies: [any BlockNode], threshold: Int, location: NodeLocation) {
        self.copies = copies
        self.threshold = threshold
        self.location = location
        length = copies.map(\.length).min() ?? 0
    }

    var children: [NodeChild] { copies.enumerated().map { NodeChild(role: "children.\($0)", node: $1) } }

    func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        var answers: [(region: ByteRegion, votes: Int)] = []
        for copy in copies {
            let buffer = AlignedBuffer(count: region.count).region
            do throws(BlockError) { try copy.read(buffer, at: offset) } catch { continue }
            if let index = answers.firstIndex(where: { $0.region.isEqual(to: buffer) }) {
                answers[index].votes += 1
            } else {
                answers.append((buffer, 1))
            }
        }
        guard let winner = answers.max(by: { $0.votes < $1.votes }), winner.votes >= threshold else {
            throw BlockError(.inputOutput, "fewer than \(threshold) copies agree at offset \(offset)")
        }
        region.copy(from: winner.region)
    }

    func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        var result = BlockStatus(count: min(count, length - offset), isZero: true)
        for copy in copies {
            let found = try copy.chainStatus(at: offset, count: result.count, detail: detail).status
            if found.isZero == result.isZero {
                result.count = min(result.count, found.count)
            } else if !found.isZero {
                result = BlockStatus(count: found.count, isData: true)
            }
        }
        result.isEnd = offset + result.count >= length
        return result
    }

    private var refusal: BlockError { BlockError(.readOnly, "quorum is only read here") }

    func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) { throw refusal }
    func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) { throw refusal }
    func discard(at offset: Int64, count: Int64) throws(BlockError) { throw refusal }
    func flush() throws(BlockError) {}
    func close() throws(BlockError) { for copy in copies { try copy.close() } }
}
