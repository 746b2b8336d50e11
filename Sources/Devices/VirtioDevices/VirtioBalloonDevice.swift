// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import GuestMemory
public import StateCoding
public import Virtio

/// Feature bits of a balloon (Virtio 1.2, 5.5.3).
extension VirtioFeatures {
    static let balloonStatistics = VirtioFeatures(bit: 1), balloonDeflateOnOOM = VirtioFeatures(bit: 2)
    static let balloonPagePoison = VirtioFeatures(bit: 4), balloonReporting = VirtioFeatures(bit: 5)
}

/// `virtio-balloon`: memory that the guest lends back to the host (Virtio 1.2, 5.5). Works on the vCPU's thread with the
/// machine lock held.
public final class VirtioBalloonDevice: VirtioDevice, PlainlyStateful {
    /// What a driver's statistics say, by tag (section 5.5.6.5).
    public enum Statistic: UInt16, CaseIterable, Sendable {
        case swapIn, swapOut, majorFaults, minorFaults, freeMemory, totalMemory, availableMemory, diskCaches
        case hugePageAllocations, hugePageFailures
    }

    /// The transport adds `-pci` or `-device`.
    public let name = "virtio-balloon"
    /// Device type 5 (5.5.1).
    public let type = VirtioDeviceType.balloon
    /// Statistics and the poison value; the others as the properties say.
    public let features: VirtioFeatures
    /// Inflate, deflate, statistics, and reporting of free pages where that is on.
    public let queueSizes: [UInt16]
    private static let queueSize: UInt16 = 128
    /// Bytes of a balloon's page, whatever the guest's pages are.
    private static let pageSize = 4096, pageShift: UInt64 = 12
    private enum QueueNumber {
        static let inflate = 0, deflate = 1, statistics = 2, reporting = 3
    }

    /// Told after the driver has changed what it lends, with the machine lock held.
    public var actualChanged: (() -> Void)?
    /// Told when new statistics are there, with the machine lock held.
    public var statisticsChanged: (() -> Void)?
    /// The driver's last statistics.
    public private(set) var statistics: [Statistic: UInt64] = [:]
    /// Pages of 4096 bytes that the driver is asked to lend, and that it lends.
    public private(set) var wantedPages: UInt32 = 0, actualPages: UInt32 = 0
    private var poison: UInt32 = 0
    private var context: VirtioActivation?
    private var chain: DescriptorChain?
    /// The driver's buffer for statistics, kept until they are asked for again.
    private var statisticsBuffer: UInt16?

    /// - Parameters:
    ///   - deflateOnOOM: the driver may take pages back rather than run out of memory (`deflate-on-oom=`).
    ///   - freePageReporting: the driver tells of free pages as it goes (`free-page-reporting=`).
    public init(deflateOnOOM: Bool = false, freePageReporting: Bool = false) {
        var features: VirtioFeatures = [.balloonStatistics, .balloonPagePoison]
        if deflateOnOOM { features.insert(.balloonDeflateOnOOM) }
        if freePageReporting { features.insert(.balloonReporting) }
        self.features = features
        queueSizes = [UInt16](repeating: Self.queueSize, count: freePageReporting ? 4 : 3)
    }

    /// Bytes that the guest has lent.
    public var ballooned: UInt64 { UInt64(actualPages) << Self.pageShift }

    /// The memory that the guest is to keep, in bytes of `total`; the rest is asked back (the `balloon` command).
    public func setTarget(_ bytes: UInt64, of total: UInt64) {
        let pages = (total &- min(bytes, total)) >> Self.pageShift
        let wanted = UInt32(clamping: pages)
        guard wanted != wantedPages else { return }
        wantedPages = wanted
        context?.interrupts.configChanged(machineLockHeld: true)
    }

    /// Asks the driver for new statistics.
    /// - Returns: false while it has given no buffer for them.
    @discardableResult
    public func requestStatistics() -> Bool {
        guard let context, let head = statisticsBuffer else { return false }
        statisticsBuffer = nil
        let queue = context.queues[QueueNumber.statistics]
        queue.complete(head, written: 0)
        queue.publish(context.interrupts, machineLockHeld: true)
        return true
    }

    /// What a saved machine keeps beside the queues.
    public var state: VirtioBalloonState {
        get { VirtioBalloonState(wantedPages: wantedPages, actualPages: actualPages, poison: poison) }
        set {
            wantedPages = newValue.wantedPages
            actualPages = newValue.actualPages
            poison = newValue.poison
        }
    }

    // MARK: VirtioDevice

    /// Pages wanted and pages given, of 4 KiB, then the poison value (5.5.4).
    public func readConfig() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(register: wantedPages)
        bytes.append(register: actualPages)
        // The command of free page hinting, which is not offered, and the poison value.
        bytes.append(register: UInt32(0))
        bytes.append(register: poison)
        return bytes
    }

    /// The driver says how many pages it gave (offset 4) or with what it fills free ones (12).
    public func writeConfig(offset: Int, size: Int, value: UInt64) {
        guard size == 4 else { return }
        if offset == 4 {
            actualPages = UInt32(truncatingIfNeeded: value)
            actualChanged?()
        } else if offset == 12 {
            poison = UInt32(truncatingIfNeeded: value)
        }
    }

    /// Serves what the driver had queued before it was ready.
    public func activate(_ context: VirtioActivation) {
        self.context = context
        chain = DescriptorChain(memory: context.memory)
        for queue in context.queues { notified(queue: queue.index) }
    }

    /// The guest has all its memory back; the wanted size stays.
    public func reset() {
        context = nil
        chain = nil
        statisticsBuffer = nil
        actualPages = 0
        poison = 0
    }

    /// Discards inflated and reported pages; keeps a statistics buffer until it is asked for.
    public func notified(queue number: Int) {
        guard let context, let chain else { return }
        let queue = context.queues[number]
        repeat {
            queue.disableNotifications()
            while queue.take(into: chain) {
                switch number {
                case QueueNumber.inflate: inflate(chain)
                case QueueNumber.statistics:
                    keepStatistics(chain, queue)
                    continue
                case QueueNumber.reporting: discardReported(chain)
                // Deflating: the guest touches the pages, and the host gives them anew.
                default: break
                }
                queue.complete(chain.head, written: 0)
            }
        } while queue.enableNotifications()
        queue.publish(context.interrupts, machineLockHeld: true)
    }

    // MARK: Work

    /// Gives pages back to the host, run by run.
    private func inflate(_ chain: DescriptorChain) {
        let entrySize = 4
        let bytes = chain.readBytes(limit: DescriptorChain.maximumCount * Self.pageSize)
        var start: UInt64 = 0
        var count: UInt64 = 0
        for place in stride(from: 0, to: bytes.count - bytes.count % entrySize, by: entrySize) {
            var page: UInt64 = 0
            for index in 0..<entrySize { page |= UInt64(bytes[place + index]) << UInt64(index * 8) }
            if count > 0, page == start + count {
                count += 1
            } else if count > 0, page &+ 1 == start {
                start = page
                count += 1
            } else {
                discard(start << Self.pageShift, pages: count, in: chain.memory)
                start = page
                count = 1
            }
        }
        discard(start << Self.pageShift, pages: count, in: chain.memory)
    }

    private func discard(_ address: UInt64, pages: UInt64, in memory: GuestMemory) {
        // A run may cross into another region or a hole: page by page then.
        let count = Int(truncatingIfNeeded: pages) * Self.pageSize
        guard count > 0 else { return }
        if let pointer = unsafe memory.hostPointer(at: address, count: count, writable: true) {
            // Whole pages of the guest's private anonymous memory: they read as zero afterwards, as the driver expects
            // of pages it has lent. A refusal leaves them as they were, which is as good.
            _ = unsafe madvise(pointer, count, MADV_DONTNEED)
            memory.markWritten(at: address, count: count)
        } else if pages > 1 {
            for page in 0..<pages { discard(address &+ page << Self.pageShift, pages: 1, in: memory) }
        }
    }

    /// Free page reporting: the buffers themselves are the free pages.
    private func discardReported(_ chain: DescriptorChain) {
        // Pages that must keep their poison cannot become zero.
        guard poison == 0 else { return }
        let buffers = unsafe chain.writableVectors
        for index in 0..<buffers.count {
            // A checked buffer in the guest's memory; only whole pages of it are given back.
            let base = unsafe UInt(bitPattern: buffers[index].iov_base)
            let end = unsafe base + UInt(buffers[index].iov_len)
            let mask = UInt(Self.pageSize - 1)
            let first = (base + mask) & ~mask, last = end & ~mask
            if last > first, let pointer = unsafe UnsafeMutableRawPointer(bitPattern: first) {
                _ = unsafe madvise(pointer, Int(last - first), MADV_DONTNEED)
            }
        }
        chain.markWritten(count: chain.writableCount)
    }

    private func keepStatistics(_ chain: DescriptorChain, _ queue: Virtqueue) {
        let entrySize = 10
        let bytes = chain.readBytes(limit: entrySize * 64)
        for place in stride(from: 0, to: bytes.count - bytes.count % entrySize, by: entrySize) {
            let tag = UInt16(bytes[place]) | UInt16(bytes[place + 1]) << 8
            var value: UInt64 = 0
            for index in 0..<8 { value |= UInt64(bytes[place + 2 + index]) << UInt64(index * 8) }
            if let statistic = Statistic(rawValue: tag) { statistics[statistic] = value }
        }
        // Only one buffer is kept; a driver that gives more gets the older back.
        if let head = statisticsBuffer { queue.complete(head, written: 0) }
        statisticsBuffer = chain.head
        if !bytes.isEmpty { statisticsChanged?() }
    }
}
