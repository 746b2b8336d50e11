// SPDX-License-Identifier: Apache-2.0

internal import BlockJobs
internal import BlockLayer
internal import ControlProtocol
internal import ControlServer
internal import Diagnostics
internal import DiskControllers
internal import HostSystem
internal import MachineSpec
internal import VirtioDevices

// What monitors see and change of disks.

extension AssembledMachine: BlockControlling {
    var blockDevices: BlockDevices { storage.devices }

    /// The guest's driver learns of it by an interrupt; drives on IDE and SATA are read anew by their own commands.
    func lengthChanged(of backend: BlockBackend) {
        for disk in disks where disk.device.node === backend { disk.device.lengthChanged(machineLockHeld: false) }
    }
}

extension AssembledMachine {
    /// Who has stopped the machine finds its disks as the guest left them: nothing is under way, and all of it is written
    /// out.
    func settleDisks() {
        storage.devices.setThrottlesOpen(true)
        for disk in disks { disk.device.hold() }
        lock.withLock { for drive in drives { drive.medium.settle() } }
        do throws(UserError) { try diskFlush()() } catch { messages.error(error.description) }
    }
}

extension AssembledMachine: BlockReporting {
    /// Drives of -drive and nodes that devices use.
    func blockReports() -> [BlockDeviceReport] {
        storage.devices.roots.map { root in
            var report = BlockDeviceReport()
            report.device = root.drive
            let users = disks.filter { $0.device.node === root.backend }
            report.qdev = users.first.flatMap { diskPath($0.drive) }
            if let disk = users.first { report.statistics = Self.statistics(disk.device.counters) }
            let name = root.drive.isEmpty ? storage.devices.name(of: root.backend.filtered) : root.drive
            if let drive = drives.first(where: { $0.backend == name }) {
                report.statistics = Self.statistics(drive.medium.counters)
                if hasDevice(drive.name) { report.qdev = "/machine/peripheral/\(drive.name)" }
                if let packets = drive.disc {
                    report.isRemovable = true
                    report.trayOpen = lock.withLock { packets.state.isTrayOpen }
                }
            }
            report.ioStatus = report.qdev == nil ? nil : failedDisks[name] ?? "ok"
            report.medium = medium(root.backend.filtered, flags: root.flags)
            if let limits = root.backend.throttle?.limits { Self.show(limits, in: &report.medium) }
            return report
        }
    }

    private static func show(_ limits: IOLimits, in medium: inout BlockDeviceReport.Medium?) {
        for (kind, limit) in limits.limits where limit.average > 0 {
            medium?.limits[kind.rawValue] = limit.average
            guard limit.maximum > 0 else { continue }
            medium?.limits[kind.rawValue + "_max"] = limit.maximum
            medium?.limits[kind.rawValue + "_max_length"] = limit.length
        }
        if limits.requestSize > 0 { medium?.limits["iops_size"] = limits.requestSize }
        medium?.limitGroup = limits.group
    }

    /// All nodes, also those below others.
    func nodeReports() -> [BlockDeviceReport.Medium] {
        let devices = storage.devices
        return devices.allNodes.map { node in
            let root = devices.roots.first { devices.tree($0.backend.filtered).contains { $0 === node } }
            return medium(node, flags: root?.flags ?? OpenFlags())
        }
    }

    private func medium(_ node: any BlockNode, flags: OpenFlags) -> BlockDeviceReport.Medium {
        var medium = Self.image(node)
        medium.nodeName = storage.devices.name(of: node)
        medium.isDirect = flags.cache.isDirect
        medium.ignoresFlush = flags.cache == .unsafe
        medium.writeBack = !flags.cache.isWriteThrough
        medium.isReadOnly = node.isReadOnly
        let chain = node.chain
        medium.backingDepth = chain.count - 1
        medium.dirtyBitmaps = storage.devices.bitmaps(of: node).map { report in
            BlockDeviceReport.DirtyBitmap(
                name: report.name, count: report.count, granularity: report.granularity,
                isRecording: report.isRecording, isBusy: report.isBusy, isPersistent: report.isPersistent,
                isInconsistent: report.isInconsistent)
        }
        medium.backingImages = chain.dropFirst().map(Self.image)
        return medium
    }

    private static func image(_ node: any BlockNode) -> BlockDeviceReport.Medium {
        var medium = BlockDeviceReport.Medium()
        medium.file = node.location.filename
        medium.format = node.driverName
        medium.virtualSize = UInt64(max(node.length, 0))
        medium.actualSize = (node as? any HostStorageNode)?.allocatedBytes().map { UInt64(max($0, 0)) }
        medium.clusterSize = (node as? any DescribedNode)?.clusterSize
        if let backed = node as? any BackedNode, let name = backed.backingName {
            medium.backingFile = name
            medium.backingFormat = backed.backingFormat
            medium.fullBackingFile = try? ImageName.resolve(name, against: node.location)
        }
        medium.snapshots = ((node as? any SnapshotStore)?.snapshots ?? []).map {
            BlockDeviceReport.Snapshot(
                identifier: $0.identifier, name: $0.name, seconds: $0.dateSeconds, nanoseconds: $0.dateNanoseconds,
                clock: $0.vmClock, stateSize: $0.vmStateSize)
        }
        return medium
    }

    /// QOM's path of the device that uses a drive or node; nil where none does.
    private func diskPath(_ drive: String) -> String? {
        var unnamed = 0
        for device in spec.devices {
            var isUser = false
            if case .virtioBlock(_, let block) = device.model { isUser = block.drive == drive }
            if isUser {
                let place = device.identifier.map { "peripheral/\($0)" } ?? "peripheral-anon/device[\(unnamed)]"
                return "/machine/\(place)/virtio-backend"
            }
            if device.identifier == nil { unnamed += 1 }
        }
        return nil
    }

    private static func statistics(_ counters: BlockCounters) -> BlockStatistics {
        var statistics = BlockStatistics()
        statistics.reads = counters.reads
        statistics.writes = counters.writes
        statistics.flushes = counters.flushes
        statistics.unmaps = counters.discards
        statistics.readBytes = counters.readBytes
        statistics.writtenBytes = counters.writtenBytes
        statistics.unmappedBytes = counters.discardedBytes
        statistics.readNanoseconds = counters.readNanoseconds
        statistics.writeNanoseconds = counters.writeNanoseconds
        statistics.flushNanoseconds = counters.flushNanoseconds
        statistics.unmapNanoseconds = counters.discardNanoseconds
        statistics.failedReads = counters.failedReads
        statistics.failedWrites = counters.failedWrites
        statistics.failedFlushes = counters.failedFlushes
        statistics.failedUnmaps = counters.failedDiscards
        if counters.lastEnd > 0 { statistics.idleNanoseconds = monotonicNanoseconds() &- counters.lastEnd }
        statistics.highestWrite = counters.highestWrite
        return statistics
    }
}
