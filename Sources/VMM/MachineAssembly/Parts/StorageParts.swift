// SPDX-License-Identifier: Apache-2.0

internal import BlockJobs
internal import BlockLayer
internal import ControlServer
internal import Diagnostics
internal import DiskImages
internal import HostIO
internal import MachineSpec

/// The machine's disks: named nodes of -blockdev and drives of -drive.
struct StorageParts {
    /// Nodes, backends and jobs.
    let devices: BlockDevices
    /// Media that were taken out, until nobody uses them.
    private var retired: [BlockBackend] = []

    init(messages: Console, loop: EventLoop, objects: MachineObjects) {
        let jobs = JobList { [loop] work in loop.post(work) }
        devices = BlockDevices(
            graph: DiskImages.graph(secrets: objects, credentials: objects, warn: { messages.info($0) }), jobs: jobs)
    }

    /// Opens all of the description. A machine that waits for its state opens its disks for a look only: another
    /// process has them until then.
    mutating func open(_ spec: MachineSpec) throws(UserError) {
        let waits = spec.lifecycle.incoming != nil
        for node in spec.blockNodes { try openNode(node, waits: waits) }
        let interfaces: [DriveSpec.Interface] = [.none, .virtio, .ide, .pflash]
        for drive in spec.drives where interfaces.contains(drive.interface) {
            guard let file = drive.file else { continue }
            try openDrive(drive, file, snapshot: spec.isSnapshot || drive.isSnapshot, waits: waits)
        }
    }

    /// The names of all drives and nodes.
    var nodeNames: [String] {
        devices.roots.map(\.drive).filter { !$0.isEmpty } + devices.graph.namedNodes.map(\.name)
    }

    /// What a device that asks for a drive or node works with.
    func node(_ identifier: String) throws(UserError) -> any BlockNode {
        guard let found = devices.attach(identifier) else {
            throw UserError("Property 'drive' can't find value '\(identifier)'")
        }
        return found
    }

    /// Opens an image that is put into a drive, for reading.
    mutating func openMedium(_ path: String, format: String?, as name: String) throws(UserError) -> any BlockNode {
        let node: any BlockNode
        do throws(BlockError) {
            node = try devices.graph.open(path, format: format, options: BlockOptions(), flags: OpenFlags())
        } catch { throw UserError("Could not open '\(path)': \(error)") }
        if let old = devices.replaceDrive(name, node, flags: OpenFlags()) { retired.append(old) }
        return try self.node(name)
    }

    /// Closes media that were taken out.
    mutating func closeRetired(_ messages: Console) {
        for backend in retired {
            do throws(BlockError) { try backend.close() } catch {
                messages.error("cannot close '\(backend.location.filename)': \(error)")
            }
        }
        retired = []
    }

    /// Flushes and closes, and says what could not be written.
    func closeAll(_ messages: Console) {
        devices.closeAll { name, error in messages.error("cannot close disk '\(name)': \(error)") }
    }

    private func openNode(_ spec: BlockNodeSpec, waits: Bool) throws(UserError) {
        var flags = OpenFlags.writable
        flags.isExclusive = true
        do throws(BlockError) {
            if waits {
                try devices.addInactive(BlockOptions(spec), flags: flags)
            } else {
                try devices.add(BlockOptions(spec), flags: flags)
            }
        } catch { throw UserError(error.description, place: "-blockdev \(spec.name)") }
    }

    private func openDrive(_ drive: DriveSpec, _ file: String, snapshot: Bool, waits: Bool) throws(UserError) {
        let options = BlockOptions(BlockNodeSpec(name: "", options: drive.options))
        var flags = OpenFlags()
        flags.isWritable = !drive.isReadOnly && !snapshot
        flags.isExclusive = flags.isWritable
        guard let cache = CacheMode(rawValue: drive.cache) else {
            throw UserError("invalid cache option", place: "-drive file=\(file)")
        }
        flags.cache = cache
        do throws(BlockError) {
            if waits, flags.isWritable {
                var look = flags
                look.isWritable = false
                look.isExclusive = false
                look.forceShare = true
                let node = try devices.graph.open(file, format: drive.format, options: options, flags: look)
                return devices.addInactive(drive.identifier, node, flags: flags)
            }
            let node = try devices.graph.open(file, format: drive.format, options: options, flags: flags)
            guard snapshot else { return devices.addDrive(drive.identifier, node, flags: flags) }
            flags.isWritable = true
            devices.addDrive(
                drive.identifier, try DiskImages.temporaryOverlay(over: node, in: devices.graph), flags: flags,
                isPrivate: true)
        } catch {
            throw UserError(error.description, place: "-drive file=\(file)")
        }
    }
}
