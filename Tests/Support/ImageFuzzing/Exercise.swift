// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import DiskImages

extension ImageFuzzer {
    /// The damaged file never grows beyond this.
    private static var longestFile: Int64 { 64 << 20 }

    /// Does everything with an image: by its format and by its content, for reading, for checking and for writing.
    public func exercise(_ bytes: [UInt8], format: String) {
        for isWritable in [false, true] {
            for isProbed in [false, true] {
                guard let node = open(bytes, isProbed ? nil : format, isWritable: isWritable) else { continue }
                look(node)
                if isWritable { change(node) }
                try? node.close()
            }
        }
    }

    private func open(_ bytes: [UInt8], _ format: String?, isWritable: Bool) -> (any BlockNode)? {
        let graph = DiskImages.graph(secrets: SamplePassphrase())
        let file = MemoryNode(bytes, longest: Self.longestFile)
        var flags = isWritable ? OpenFlags.writable : OpenFlags()
        flags.mayResize = isWritable
        // An image that names files of the host does not get them.
        flags.withoutBacking = true
        flags.forChecking = !isWritable && bytes.count % 2 == 0
        guard (try? graph.register(file, as: "disk")) != nil else { return nil }
        guard let format = format ?? graph.bestMatch(head: Array(bytes.prefix(2048)), filename: "disk")?.name else {
            return nil
        }
        let plain: [(String, BlockOptions.Value)] = [("driver", .string(format)), ("file", .string("disk"))]
        let secrets: [[(String, BlockOptions.Value)]] = [
            [], [("key-secret", .string("s"))], [("encrypt.key-secret", .string("s"))],
        ]
        for secret in secrets {
            if let node = try? graph.open(nil, options: BlockOptions(plain + secret), flags: flags) { return node }
        }
        return nil
    }

    private func look(_ node: any BlockNode) {
        let length = min(node.length, 1 << 20)
        _ = try? node.readBytes(at: 0, count: Int(max(length, 0)))
        _ = try? node.readBytes(at: max(node.length - 70_000, 0), count: Int(min(node.length, 70_000)))
        _ = try? (node as? any DescribedNode)?.specificInformation()
        var offset: Int64 = 0
        for _ in 0..<100 where offset < node.length {
            guard let status = try? node.status(at: offset, count: node.length - offset, detail: .mapping) else {
                break
            }
            offset += max(status.count, 1)
        }
        _ = try? (node as? any CheckableNode)?.check(repair: [], report: { _ in })
        if let store = node as? any BitmapStore {
            for bitmap in store.bitmaps.prefix(3) { _ = try? store.dirtyRanges(of: bitmap.name) }
        }
        if let store = node as? any SnapshotStore {
            for snapshot in store.snapshots.prefix(2) {
                let view = try? store.openSnapshot(identifier: snapshot.identifier)
                _ = try? view?.readBytes(at: 0, count: Int(min(view?.length ?? 0, 70_000)))
            }
        }
    }

    private func change(_ node: any BlockNode) {
        let length = min(node.length, 1 << 20)
        guard length > 0 else { return }
        _ = try? node.write([UInt8](repeating: 9, count: Int(min(length, 70_000))), at: 0)
        _ = try? node.writeZeroes(at: length / 4, count: length / 4, flags: .mayUnmap)
        _ = try? node.discard(at: length / 2, count: length / 2)
        if let store = node as? any SnapshotStore {
            _ = try? store.createSnapshot(SnapshotInformation(identifier: "", name: "t", dateSeconds: 1))
            for snapshot in store.snapshots.prefix(3) { _ = try? store.applySnapshot(identifier: snapshot.identifier) }
            for snapshot in store.snapshots.prefix(3) { _ = try? store.deleteSnapshot(identifier: snapshot.identifier) }
        }
        _ = try? (node as? any VMStateStore)?.writeVMState(AlignedBuffer(zeroed: 10_000).region, at: 0)
        if let store = node as? any BitmapStore {
            for bitmap in store.bitmaps.prefix(3) { _ = try? store.clearBitmap(bitmap.name) }
        }
        if let node = node as? any ResizableNode {
            _ = try? node.resize(to: length + 65_536, preallocation: .off, exact: true)
            _ = try? node.resize(to: length / 2 & ~511, preallocation: .off, exact: true)
        }
        _ = try? node.flush()
        _ = try? (node as? any CheckableNode)?.check(repair: [.leaks, .errors], report: { _ in })
        _ = try? (node as? any EmptyableNode)?.makeEmpty()
    }
}
