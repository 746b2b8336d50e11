// SPDX-License-Identifier: Apache-2.0

public import HostSystem
public import LibvirtProtocol
public import XDRCoding

/// A message that arrived whole.
public struct Frame: Sendable {
    /// Read but not checked: program, version and procedure may be unknown.
    public let header: FrameHeader
    /// The message from its header on, without the length.
    public let bytes: [UInt8]
    /// Descriptors that came with it.
    public let descriptors: PassedDescriptors

    /// Where the payload begins in `bytes`, behind the count of descriptors where there is one.
    var payloadOffset: Int {
        let base = FrameHeader.byteCount - 4
        return header.type == FrameType.callWithDescriptors.rawValue ? base + 4 : base
    }

    /// Reads the payload.
    public var payload: XDRReader { XDRReader(bytes, at: payloadOffset) }
}

/// Descriptors that a client passed; closed when nobody took them.
public final class PassedDescriptors: @unchecked Sendable {
    // Filled before the frame is handed on, then taken by the one handler of the frame.
    private var numbers: [Int32]
    // Called once, at the end.
    var atEnd: (@Sendable () -> Void)?

    init(_ numbers: [Int32] = []) { self.numbers = numbers }

    deinit {
        for number in numbers { _ = FileDescriptor(owning: number) }
        atEnd?()
    }

    /// How many are left.
    public var count: Int { numbers.count }

    /// The next one, which becomes the caller's; nil when none is left.
    public func take() -> FileDescriptor? {
        numbers.isEmpty ? nil : FileDescriptor(owning: numbers.removeFirst())
    }
}

/// Cuts a stream of bytes into frames.
package struct FrameAssembler {
    /// What a client sent that is no frame.
    package enum Malformed: Error { case length(UInt32), descriptors(UInt32), header }

    private var buffer: [UInt8] = []
    private var consumed = 0
    private var waiting: (frame: [UInt8], header: FrameHeader, missing: Int)?
    /// Descriptors that were received and not handed out.
    package private(set) var descriptors: [Int32] = []

    package init() {}

    /// Bytes that were received and not handed out.
    package var pendingBytes: Int { buffer.count &- consumed &+ (waiting?.frame.count ?? 0) }

    /// Drops all that was received.
    mutating func discard() {
        for number in descriptors { _ = FileDescriptor(owning: number) }
        self = FrameAssembler()
    }

    /// Bytes of room that a client without anything under way keeps.
    private static let keptCapacity = 1 << 16

    /// Lets a transport append to the buffer.
    package mutating func fill<Result, Failure: Error>(
        _ body: (inout [UInt8], inout [Int32]) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        if consumed > 0 {
            if consumed == buffer.count {
                buffer.removeAll(keepingCapacity: buffer.capacity <= Self.keptCapacity)
            } else {
                buffer.removeFirst(consumed)
            }
            consumed = 0
        }
        return try body(&buffer, &descriptors)
    }

    /// The next frame; nil when it is not whole.
    package mutating func next() throws -> Frame? {
        if waiting == nil {
            guard buffer.count &- consumed >= 4 else { return nil }
            var reader = XDRReader(buffer, at: consumed)
            let length = try reader.word()
            guard length >= FrameHeader.byteCount, length <= FrameHeader.frameLimit else {
                throw Malformed.length(length)
            }
            guard pendingBytes >= Int(length) else { return nil }
            let bytes = Array(buffer[(consumed + 4)..<(consumed + Int(length))])
            consumed += Int(length)
            var inner = XDRReader(bytes)
            let header = try FrameHeader(from: &inner)
            var missing = 0
            if header.type == FrameType.callWithDescriptors.rawValue {
                let count = try inner.word()
                guard count <= FrameHeader.descriptorLimit else { throw Malformed.descriptors(count) }
                missing = Int(count)
            }
            waiting = (bytes, header, missing)
        }
        guard let (bytes, header, missing) = waiting else { return nil }
        // One byte carries each descriptor.
        guard buffer.count &- consumed >= missing, descriptors.count >= missing else { return nil }
        consumed += missing
        let passed = PassedDescriptors(Array(descriptors.prefix(missing)))
        descriptors.removeFirst(missing)
        waiting = nil
        return Frame(header: header, bytes: bytes, descriptors: passed)
    }
}
