// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import GuestMemory
internal import HostIO
internal import HostSystem
public import PacketPorts
internal import Virtio

/// The frame that is being sent. On the loop's thread.
struct VirtioNetworkTransmission {
    var chain: DescriptorChain?
    /// The chain holds a frame for which the port had no room.
    var isPending = false

    mutating func begin(_ memory: GuestMemory) {
        chain = DescriptorChain(memory: memory)
        isPending = false
    }
    mutating func end() {
        chain = nil
        isPending = false
    }
}

/// The buffers that a frame is being put into. On the loop's thread.
struct VirtioNetworkReception {
    /// The first buffer of a frame, whose header says how many there are, and the one being filled.
    var first: DescriptorChain?, more: DescriptorChain?
    /// What was used for the frame so far.
    var used: [(head: UInt16, written: Int)] = []

    mutating func begin(_ memory: GuestMemory) {
        first = DescriptorChain(memory: memory)
        more = DescriptorChain(memory: memory)
        used.reserveCapacity(64)
    }
    mutating func end() {
        first = nil
        more = nil
    }
}

extension VirtioNetworkDevice {
    /// Frames sent before other events of the loop get their turn.
    private static let transmitBatch = 256
    /// Completed frames after which the driver gets its buffers back.
    private static let publishBatch = 32

    // MARK: Sending

    /// Sends what the driver has queued, until the port is busy.
    func transmit() {
        var unpublished = 0
        for _ in 0..<Self.transmitBatch {
            guard let frame = nextFrame() else { return publishTransmitted() }
            let disposition = unsafe port.send(UnsafeBufferPointer(frame.chain.readableVectors))
            if disposition == .busy {
                lock.withLock { if generation == frame.generation { transmission.isPending = true } }
                return publishTransmitted()
            }
            lock.withLock {
                guard generation == frame.generation, let context else { return }
                context.queues[QueueNumber.transmit].complete(frame.chain.head, written: 0)
            }
            unpublished += 1
            if unpublished == Self.publishBatch {
                unpublished = 0
                publishTransmitted()
            }
        }
        publishTransmitted()
        loop.post { [weak self] in self?.transmit() }
    }

    /// The frame that waits, or the next of the queue, without the header where the port knows none.
    private func nextFrame() -> (chain: DescriptorChain, generation: Int)? {
        lock.withLock {
            guard let context, let chain = transmission.chain else { return nil }
            let queue = context.queues[QueueNumber.transmit]
            if transmission.isPending {
                transmission.isPending = false
                return (chain, generation)
            }
            queue.disableNotifications()
            while !queue.take(into: chain) {
                guard queue.enableNotifications() else { return nil }
            }
            let dropped = port.headerSize == 0 ? headerSize : 0
            guard chain.readableCount > headerSize, chain.dropReadable(dropped) else {
                queue.fail(.badRequest("virtio-net header incorrect"))
                return nil
            }
            return (chain, generation)
        }
    }

    private func publishTransmitted() {
        let wanted = lock.withLock {
            guard let context, context.queues[QueueNumber.transmit].publish() else {
                return nil as (any VirtioInterrupts)?
            }
            return context.interrupts
        }
        wanted?.queueUsed(QueueNumber.transmit, machineLockHeld: false)
    }

    // MARK: Receiving

    /// The driver has given buffers, or is gone: a port that waits goes on.
    func buffersArrived() {
        let wasWaiting = lock.withLock {
            defer { isPortWaiting = false }
            return isPortWaiting
        }
        if wasWaiting { port.receiverIsReady() }
    }

    /// Drops a frame that nobody listens for; without buffers it asks the port to wait.
    public func receive(_ frame: UnsafeRawBufferPointer) -> PacketDisposition {
        enum Outcome { case dropped, busy, stored((any VirtioInterrupts)?) }
        let outcome: Outcome = lock.withLock {
            // Nobody listens before the driver is ready.
            guard let context, isLinkUp else { return .dropped }
            let queue = context.queues[QueueNumber.receive]
            guard queue.isReady else { return .dropped }
            let hasHeader = port.headerSize != 0
            guard frame.count > (hasHeader ? headerSize : 0) else { return .dropped }
            let payload = unsafe UnsafeRawBufferPointer(rebasing: frame[(hasHeader ? headerSize : 0)...])
            guard unsafe filter.passes(payload) else { return .dropped }
            let header = hasHeader ? unsafe UnsafeRawBufferPointer(rebasing: frame[..<headerSize]) : nil
            switch unsafe store(header: header, payload, in: queue) {
            case .stored: return .stored(queue.publish() ? context.interrupts : nil)
            case .tooLong: return .dropped
            case .noBuffers:
                isPortWaiting = true
                return .busy
            }
        }
        switch outcome {
        case .dropped: return .accepted
        case .busy: return .busy
        case .stored(let interrupts):
            interrupts?.queueUsed(QueueNumber.receive, machineLockHeld: false)
            return .accepted
        }
    }

    private enum Stored { case stored, noBuffers, tooLong }

    /// Puts a frame into as many buffers as it takes. `lock` is held.
    private func store(
        header: UnsafeRawBufferPointer?, _ payload: UnsafeRawBufferPointer, in queue: Virtqueue
    ) -> Stored {
        guard let first = reception.first, let more = reception.more else { return .tooLong }
        reception.used.removeAll(keepingCapacity: true)
        var done = 0
        while done < payload.count {
            let isFirst = reception.used.isEmpty
            let chain = isFirst ? first : more
            guard takeBuffer(queue, into: chain) else {
                queue.untake(reception.used.count)
                return .noBuffers
            }
            let begin = isFirst ? headerSize : 0
            guard chain.writableCount > begin else {
                queue.fail(.badRequest("virtio-net receive queue contains no in buffers"))
                return .tooLong
            }
            if isFirst { unsafe writeHeader(header, into: chain) }
            let part = min(payload.count - done, chain.writableCount - begin)
            done += unsafe chain.write(UnsafeRawBufferPointer(rebasing: payload[done..<done + part]), at: begin)
            reception.used.append((chain.head, begin + part))
            if !mergesBuffers, done < payload.count {
                // The driver's buffer is too small for this frame; it gets the next one instead.
                queue.untake(1)
                return .tooLong
            }
        }
        if mergesBuffers { first.store(UInt16(truncatingIfNeeded: reception.used.count), at: 10) }
        for entry in reception.used { queue.complete(entry.head, written: entry.written) }
        return .stored
    }

    private func takeBuffer(_ queue: Virtqueue, into chain: DescriptorChain) -> Bool {
        queue.disableNotifications()
        while !queue.take(into: chain) {
            guard queue.enableNotifications() else { return false }
        }
        return true
    }

    /// The port's header, or one that says that the frame is finished.
    private func writeHeader(_ header: UnsafeRawBufferPointer?, into chain: DescriptorChain) {
        if let header = unsafe header {
            unsafe chain.write(header)
        } else {
            chain.zero(at: 0, count: headerSize)
            // One buffer; counted again when the frame is complete. Legacy headers have no such field.
            if headerSize > 10 { chain.store(UInt16(1), at: 10) }
        }
    }
}
