// SPDX-License-Identifier: Apache-2.0

public import BlockLayer

/// Starting the jobs that copy.
extension BlockDevices {
    /// Which image of a chain is meant: by a node's name or by a file's.
    public enum ImageChoice: Sendable {
        case node(String)
        case file(String)
    }

    private func find(_ choice: ImageChoice, in chain: [any BlockNode], of device: String) throws(BlockError) -> Int {
        switch choice {
        case .node(let name):
            guard let node = graph.node(named: name) else {
                throw BlockError(.notFound, "Cannot find device='' nor node-name='\(name)'")
            }
            if let place = chain.firstIndex(where: { $0 === node }) { return place }
            throw BlockError(
                .invalidArgument, "Node '\(name)' is not a backing image of '\(self.name(of: chain[0]))'")
        case .file(let file):
            for (place, image) in chain.enumerated() {
                if image.location.filename == file || image.location.path == file { return place }
                guard place > 0, let above = chain[place - 1] as? any BackedNode, let stored = above.backingName else {
                    continue
                }
                if stored == file { return place }
                if let full = try? ImageName.resolve(stored, against: chain[place - 1].location), full == file {
                    return place
                }
            }
            throw BlockError(.notFound, "Can't find '\(file)' in the backing chain")
        }
    }

    func start(
        _ kind: JobKind, _ options: JobOptions, claiming nodes: [any BlockNode], _ work: any JobWork,
        group: JobGroup? = nil
    ) throws(BlockError) {
        do throws(JobRefusal) {
            claims[options.identifier] = nodes
            try jobs.start(kind, options, work, group: group)
        } catch {
            claims[options.identifier] = nil
            throw BlockError(.invalidArgument, error.description)
        }
    }

    func checkJob(_ options: JobOptions, _ nodes: [any BlockNode]) throws(BlockError) {
        do throws(JobRefusal) { try jobs.checkName(options.identifier) } catch {
            throw BlockError(.invalidArgument, error.description)
        }
        for node in nodes { try checkFree(node) }
    }

    /// The name that an image above stores for another one.
    private func storedName(_ node: any BlockNode) -> String { node.location.filename }

    // MARK: commit

    /// Writes what images have into one below them (`block-commit`).
    /// - Parameters:
    ///   - device: a drive or a node that a device shows.
    ///   - top: the highest image that is merged; nil for the one that the guest writes to.
    ///   - base: what it is merged into; nil for the lowest image.
    ///   - backingName: what the image above `top` stores as its backing file afterwards.
    public func commit(
        _ device: String, top: ImageChoice?, base: ImageChoice?, backingName: String?, options: JobOptions
    ) throws(BlockError) {
        guard let backend = backend(of: device) else {
            throw BlockError(.notFound, "Device '\(device)' not found")
        }
        let chain = backend.filtered.chain
        let topPlace = try top.map { choice throws(BlockError) in try find(choice, in: chain, of: device) } ?? 0
        let basePlace =
            try base.map { choice throws(BlockError) in try find(choice, in: chain, of: device) }
            ?? chain.count - 1
        guard topPlace != basePlace else {
            throw BlockError(.invalidArgument, "cannot commit an image into itself")
        }
        guard topPlace < basePlace else {
            throw BlockError(
                .invalidArgument,
                "'\(name(of: chain[basePlace]))' is not in this backing file chain of '\(name(of: chain[topPlace]))'")
        }
        try checkJob(options, chain)
        if topPlace == 0, backingName != nil {
            throw BlockError(
                .invalidArgument, "'backing-file' specified, but 'top' is the active layer")
        }
        let dropped = Array(chain[topPlace..<basePlace])
        let target = try makeWritable(chain[basePlace], in: backend)
        let wasReadOnly = chain[basePlace].isReadOnly
        do throws(BlockError) { try adjustLength(of: target, to: chain[topPlace]) } catch {
            restore(target, in: backend, wasReadOnly)
            throw error
        }
        let involved = Array(chain[..<basePlace]) + [target]
        if topPlace == 0 {
            let work = MirrorWork(
                backend, to: target, above: target, isWhole: true, isBlank: false,
                exchange: { [self] in show(target, in: backend) },
                done: { [self] done in
                    claims[options.identifier] = nil
                    if done { release(dropped) } else { restore(target, in: backend, wasReadOnly) }
                })
            return try start(.commit, options, claiming: involved, work)
        }
        let overlay = chain[topPlace - 1]
        let reference = backingName ?? storedName(target)
        let work = CommitWork(
            from: chain[topPlace], into: target,
            exchange: { [self] () throws(BlockError) in
                try rebase(overlay, onto: target, named: reference, in: backend)
            },
            done: { [self] done in
                claims[options.identifier] = nil
                if done { release(dropped) }
                restore(target, in: backend, wasReadOnly)
            })
        try start(.commit, options, claiming: involved, work)
    }

    /// Lets an image read from another one from now on, and says so in the image.
    private func rebase(
        _ overlay: any BlockNode, onto base: (any BlockNode)?, named name: String?, in backend: BlockBackend
    ) throws(BlockError) {
        let writable = try makeWritable(overlay, in: backend)
        guard let image = writable as? any BackedNode else {
            throw BlockError(.notSupported, "The image '\(overlay.location.filename)' cannot have a backing file")
        }
        try backend.hold(.all) { (_) throws(BlockError) in
            // Before the reference changes, so that after a crash the image is right with either.
            try image.flush()
            try image.changeBackingReference(name: name, format: base?.driverName)
            try image.replaceBacking(base)
        }
        if overlay.isReadOnly { restore(writable, in: backend, true) }
    }

    /// Opens an image again for reading that a job had opened for writing.
    func restore(_ node: any BlockNode, in backend: BlockBackend, _ wasReadOnly: Bool) {
        guard wasReadOnly, backend.filtered !== node, let index = rootIndex(of: backend),
            let overlay = backend.filtered.chain.first(where: { $0.backingNode === node }) as? any BackedNode
        else { return }
        var flags = roots[index].flags
        flags.isWritable = false
        flags.isExclusive = false
        do throws(BlockError) {
            try backend.hold(.all) { (_) throws(BlockError) in
                try overlay.replaceBacking(try reopen(node, flags: flags))
            }
        } catch { graph.warn("cannot open '\(node.location.filename)' again for reading: \(error)") }
    }

    /// Closes images that nobody reads from any more.
    func release(_ images: [any BlockNode]) {
        for image in images {
            do throws(BlockError) {
                try (image as? any BackedNode)?.replaceBacking(nil)
                if let name = graph.name(of: image), added.contains(name) {
                    // A person's own node, which only its owner takes away.
                    try image.flush()
                    continue
                }
                try discard(image)
            } catch { graph.warn("cannot close '\(image.location.filename)': \(error)") }
        }
    }

    // MARK: stream

    /// Copies into an image what it reads from those below (`block-stream`).
    public func stream(
        _ device: String, base: ImageChoice?, backingName: String?, options: JobOptions
    ) throws(BlockError) {
        let image = try node(device)
        guard let user = user(of: image) else {
            throw BlockError(.notSupported, "Node '\(name(of: image))' is no device's disk")
        }
        let chain = image.chain
        let basePlace =
            try base.map { choice throws(BlockError) in try find(choice, in: chain, of: device) }
            ?? chain.count
        guard basePlace > 0 else { throw BlockError(.invalidArgument, "Can't find base in the backing chain") }
        let dropped = Array(chain[1..<max(basePlace, 1)])
        try checkJob(options, Array(chain[..<basePlace]))
        let isActive = user.overlay == nil
        let wasReadOnly = image.isReadOnly
        let target = isActive ? image : try makeWritable(image, in: user.backend)
        let below = basePlace < chain.count ? chain[basePlace] : nil
        let reference = below.map { backingName ?? storedName($0) }
        let work = StreamWork(
            into: target, above: below, backend: isActive ? user.backend : nil,
            exchange: { [self] () throws(BlockError) in
                try rebase(target, onto: below, named: reference, in: user.backend)
            },
            done: { [self] done in
                claims[options.identifier] = nil
                if done { release(dropped) }
                if !isActive { restore(target, in: user.backend, wasReadOnly) }
            })
        try start(.stream, options, claiming: [target] + dropped, work)
    }

    // MARK: mirror

    /// Lets a backend show another node. The caller holds all requests.
    func show(_ node: any BlockNode, in backend: BlockBackend) {
        backend.exchange(for: node)
        followBitmaps()
    }

    /// What `drive-mirror` and `blockdev-mirror` copy.
    public enum MirrorScope: String, Sendable { case full, top, none }

    /// Copies a disk to another image and lets the guest use that one in the end.
    /// - Parameters:
    ///   - target: an open image, or how to make or open one.
    ///   - isBlank: the target reads as zeroes.
    public func mirror(
        _ device: String, to target: any BlockNode, scope: MirrorScope, isBlank: Bool, ownsTarget: Bool,
        options: JobOptions
    ) throws(BlockError) {
        guard let backend = backend(of: device) else {
            throw BlockError(.notFound, "Device '\(device)' not found")
        }
        let source = backend.filtered
        try checkJob(options, [source, target])
        guard target.length >= source.length else {
            throw BlockError(.invalidArgument, "Source and target image have different sizes")
        }
        guard user(of: target) == nil else {
            throw BlockError(.locked, "Node '\(name(of: target))' is in use")
        }
        // A target that stands above nothing shares the source's backing images where only the top is copied.
        if scope != .full, let image = target as? any BackedNode, image.backing == nil {
            try image.replaceBacking(scope == .none ? source : source.backingNode)
        }
        let work = MirrorWork(
            backend, to: target, above: scope == .full ? nil : source.backingNode, isWhole: scope != .none,
            isBlank: isBlank, exchange: { [self] in show(target, in: backend) },
            done: { [self] done in
                claims[options.identifier] = nil
                if done {
                    // A target of what is written from now on stands above the source.
                    if scope == .none { return }
                    release([source])
                } else if ownsTarget {
                    if scope != .full { try? (target as? any BackedNode)?.replaceBacking(nil) }
                    release([target])
                }
            })
        try start(.mirror, options, claiming: [source, target], work)
    }

    /// Makes or opens the target of `drive-mirror` and `drive-backup`.
    /// - Parameter format: nil for what the image looks like, or for a new one what the disk has.
    public func mirrorTarget(
        _ file: String, format given: String?, exists: Bool, nodeName: String?, like device: String, scope: MirrorScope
    ) throws(BlockError) -> any BlockNode {
        guard let backend = backend(of: device), let index = rootIndex(of: backend) else {
            throw BlockError(.notFound, "Device '\(device)' not found")
        }
        if let nodeName { try checkNodeName(nodeName) }
        let source = backend.filtered
        let format = given ?? (exists ? nil : source.driverName)
        if !exists, let format {
            guard let driver = graph.driver(format) as? any CreatingDriver else {
                throw BlockError(.notSupported, "Format driver '\(format)' does not support image creation")
            }
            var create = CreateOptions(driver.createOptions)
            try create.set("size", String(source.length))
            if scope != .full, let below = scope == .none ? source : source.backingNode {
                try create.set("backing_file", below.location.filename)
                try create.set("backing_fmt", below.driverName)
            }
            try driver.create(CreateRequest(filename: file, options: create, graph: graph))
        }
        var options = BlockOptions(format.map { [("driver", .string($0))] } ?? [])
        if scope != .full { options["backing"] = .null }
        if let nodeName { options["node-name"] = .string(nodeName) }
        var flags = roots[index].flags
        flags.isWritable = true
        return try graph.open(file, options: options, flags: flags)
    }
}

extension BlockDevices {
    /// Merges drives into their backing images and empties them, while the caller waits (the monitor's `commit`).
    /// - Parameter device: nil for all drives that have a backing image.
    public func commitNow(_ device: String?) throws(BlockError) {
        var wanted = roots.map(\.backend)
        if let device {
            guard let backend = backend(of: device) else {
                throw BlockError(.notFound, "Device '\(device)' not found")
            }
            guard backend.backingNode != nil else {
                throw BlockError(.invalidArgument, "'commit' error for '\(device)': No medium found")
            }
            wanted = [backend]
        }
        for backend in wanted where !backend.isReadOnly {
            guard let below = backend.backingNode else { continue }
            try checkFree(backend.filtered)
            let target = try makeWritable(below, in: backend)
            defer { restore(target, in: backend, below.isReadOnly) }
            try backend.hold(.all) { (top) throws(BlockError) in
                try adjustLength(of: target, to: top)
                try CopyFailure.merging { () throws(CopyFailure) in
                    try ChainCopy(from: top, to: target, above: target).copyAll(0..<top.length)
                }
                try target.flush()
                try (top as? any EmptyableNode)?.makeEmpty()
            }
        }
    }
}
