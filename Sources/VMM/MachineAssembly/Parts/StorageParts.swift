// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import Diagnostics
internal import DiskImages
internal import JSONCoding
internal import MachineSpec

/// The machine's disks: named nodes of -blockdev and drives of -drive.
struct StorageParts {
    private let graph: BlockGraph
    /// What a device can be given with `drive=`.
    private(set) var nodes: [(identifier: String, node: any BlockNode)] = []

    init(messages: Console) {
        graph = DiskImages.graph(warn: { messages.info($0) })
    }

    /// Opens all of the description.
    mutating func open(_ spec: MachineSpec) throws(UserError) {
        for node in spec.blockNodes {
            let opened = try openNode(node)
            nodes.append((node.name, opened))
        }
        let interfaces: [DriveSpec.Interface] = [.none, .virtio, .ide, .pflash]
        for drive in spec.drives where interfaces.contains(drive.interface) {
            guard let file = drive.file else { continue }
            nodes.append((drive.identifier, try openDrive(drive, file, snapshot: spec.isSnapshot || drive.isSnapshot)))
        }
    }

    /// The node that a device asks for.
    func node(_ identifier: String) throws(UserError) -> any BlockNode {
        guard let found = nodes.first(where: { $0.identifier == identifier }) else {
            throw UserError("Property 'drive' can't find value '\(identifier)'")
        }
        return found.node
    }

    /// Opens an image that is put into a drive, for reading.
    mutating func openMedium(_ path: String, format: String?, as name: String) throws(UserError) -> any BlockNode {
        do throws(BlockError) {
            let node = try graph.open(path, format: format, options: BlockOptions(), flags: OpenFlags())
            nodes.append((name, node))
            return node
        } catch { throw UserError("Could not open '\(path)': \(error)") }
    }

    /// Flushes and closes, and says what could not be written.
    func closeAll(_ messages: Console) {
        for entry in nodes {
            do throws(BlockError) { try entry.node.close() } catch {
                messages.error("cannot close disk '\(entry.identifier)': \(error)")
            }
        }
    }

    private static func value(_ json: JSONValue) -> BlockOptions.Value {
        switch json {
        case .string(let text): .string(text)
        case .bool(let flag): .boolean(flag)
        case .null: .null
        default:
            if let number = json.integer { .number(number) } else { .string(json.printed()) }
        }
    }

    private func openNode(_ spec: BlockNodeSpec) throws(UserError) -> any BlockNode {
        var options = BlockOptions()
        for (key, value) in spec.flatOptions { options[key] = Self.value(value) }
        var flags = OpenFlags.writable
        flags.isExclusive = true
        do throws(BlockError) { return try graph.open(nil, options: options, flags: flags) } catch {
            throw UserError(error.description, place: "-blockdev \(spec.name)")
        }
    }

    private func openDrive(_ drive: DriveSpec, _ file: String, snapshot: Bool) throws(UserError) -> any BlockNode {
        var options = BlockOptions()
        for (key, value) in BlockNodeSpec(name: "", options: drive.options).flatOptions {
            options[key] = Self.value(value)
        }
        var flags = OpenFlags()
        flags.isWritable = !drive.isReadOnly && !snapshot
        flags.isExclusive = flags.isWritable
        guard let cache = CacheMode(rawValue: drive.cache) else {
            throw UserError("invalid cache option", place: "-drive file=\(file)")
        }
        flags.cache = cache
        do throws(BlockError) {
            let node = try graph.open(file, format: drive.format, options: options, flags: flags)
            return snapshot ? try DiskImages.temporaryOverlay(over: node, in: graph) : node
        } catch {
            throw UserError(error.description, place: "-drive file=\(file)")
        }
    }
}
