// SPDX-License-Identifier: Apache-2.0

public import BlockLayer

/// Backups, and changes of several disks at one moment.
extension BlockDevices {
    /// What `blockdev-backup` and `drive-backup` copy.
    public enum BackupScope: String, Sendable { case full, top, none, bitmap }

    /// What becomes of the bitmap of a backup.
    public enum BitmapMode: String, Sendable {
        /// Begins anew where the backup is complete, else is what it would be without.
        case onSuccess = "on-success"
        /// Is what it would be without the backup.
        case never
        /// Begins anew, and has what was not copied.
        case always
    }

    /// A backup that a person wants.
    public struct BackupRequest: Sendable {
        /// A drive or a node.
        public var device: String
        /// What is copied.
        public var scope = BackupScope.full
        /// Which bitmap says what is copied, or takes note of the backup.
        public var bitmap: String?
        /// What becomes of the bitmap; needed with one.
        public var bitmapMode: BitmapMode?
        /// Stores the copy compressed.
        public var compresses = false
        /// The target reads as zeroes, and is closed at the end.
        public var isBlank = false, ownsTarget = false
        /// Name, speed and the like.
        public var options: JobOptions

        /// A full backup of a device.
        public init(_ device: String, options: JobOptions) {
            self.device = device
            self.options = options
        }
    }

    /// A backup that can begin.
    public struct PreparedBackup {
        let request: BackupRequest
        let backend: BlockBackend?
        let source: any BlockNode, target: any BlockNode
    }

    /// Checks whether a backup can be made.
    public func prepare(_ request: BackupRequest, to target: any BlockNode) throws(BlockError) -> PreparedBackup {
        let source = try node(request.device)
        try checkBitmap(of: request, source)
        guard source !== target else {
            throw BlockError(.invalidArgument, "Source and target cannot be the same")
        }
        if request.compresses, !(target is any CompressedWriting) {
            throw BlockError(.notSupported, "Compression is not supported for this drive \(shownName(of: target))")
        }
        try checkJob(request.options, [source, target])
        guard user(of: target) == nil else {
            throw BlockError(.locked, "Node '\(name(of: target))' is in use")
        }
        guard target.length == source.length else {
            throw BlockError(.invalidArgument, "Source and target image have different sizes")
        }
        guard !target.isReadOnly else { throw BlockError(.readOnly, "Block node is read-only") }
        let backend = roots.first { $0.backend.filtered === source }?.backend
        return PreparedBackup(request: request, backend: backend, source: source, target: target)
    }

    /// Makes or opens the target of `drive-backup`, as the request's own.
    public func backupTarget(
        _ file: String, format: String?, exists: Bool, _ request: inout BackupRequest
    ) throws(BlockError) -> any BlockNode {
        let source = try node(request.device)
        // Without a backing image, the top is everything.
        if request.scope == .top, source.backingNode == nil { request.scope = .full }
        let scope: MirrorScope = request.scope == .top ? .top : request.scope == .none ? .none : .full
        let target = try mirrorTarget(
            file, format: format, exists: exists, nodeName: nil, like: request.device, scope: scope)
        request.isBlank = !exists
        request.ownsTarget = true
        if scope != .full, let image = target as? any BackedNode, image.backing == nil {
            do throws(BlockError) { try image.replaceBacking(scope == .none ? source : source.backingNode) } catch {
                try discard(target)
                throw error
            }
        }
        return target
    }

    private func checkBitmap(of request: BackupRequest, _ source: any BlockNode) throws(BlockError) {
        guard let name = request.bitmap else { return }
        guard let place = find(bitmap: name, of: source) else {
            throw BlockError(.invalidArgument, "Bitmap '\(name)' could not be found")
        }
        guard let mode = request.bitmapMode else {
            throw BlockError(.invalidArgument, "Bitmap sync mode must be given when providing a bitmap")
        }
        try check(place, name, of: source, forChange: mode != .never)
        if request.scope == .none {
            throw BlockError(.invalidArgument, "sync mode 'none' does not produce meaningful bitmap outputs")
        }
        if mode == .never, request.scope != .bitmap {
            throw BlockError(
                .invalidArgument,
                "Bitmap sync mode 'never' has no meaningful effect when combined with sync mode '\(request.scope.rawValue)'"
            )
        }
    }

    /// Gives up a backup that was prepared.
    public func drop(_ backup: PreparedBackup) { if backup.request.ownsTarget { drop(backup.target) } }

    /// Closes the target of a backup that is not made.
    public func drop(_ target: any BlockNode) {
        // What has just been opened and holds nothing can lose nothing.
        try? (target as? any BackedNode)?.replaceBacking(nil)
        try? discard(target)
    }

    /// Does everything at one moment, or nothing: bitmaps in turn, then snapshots, then the beginning of backups.
    /// - Parameter endsTogether: where one of the backups fails or is given up, all are.
    public func perform(
        _ changes: [BitmapChange], snapshots: [PreparedSnapshot], backups: [PreparedBackup], endsTogether: Bool = false
    ) throws(BlockError) {
        var held: [BlockBackend] = []
        func add(_ backend: BlockBackend?) {
            if let backend, !held.contains(where: { $0 === backend }) { held.append(backend) }
        }
        for snapshot in snapshots { add(snapshot.backend) }
        for backup in backups { add(backup.backend) }
        for change in changes {
            guard let node = try? node(change.node) else { continue }
            add(roots.first { $0.backend.filtered === node }?.backend)
        }
        var undos: [() -> Void] = []
        var begun: [(PreparedBackup, BackupWork)] = []
        do throws(BlockError) {
            try holding(held[...]) { () throws(BlockError) in
                for change in changes { undos.append(try perform(change)) }
                try exchange(snapshots)
                for backup in backups { begun.append((backup, try begin(backup))) }
            }
        } catch {
            for (_, work) in begun { work.abandon() }
            for undo in undos.reversed() { undo() }
            throw error
        }
        let group = endsTogether ? JobGroup() : nil
        for (place, (backup, work)) in begun.enumerated() {
            do throws(BlockError) {
                try start(
                    .backup, backup.request.options, claiming: [backup.source, backup.target], work, group: group)
            } catch {
                group?.hasFailed = true
                for (_, other) in begun[place...] { other.abandon() }
                throw error
            }
        }
    }

    /// The moment of a backup: its bitmap begins anew, and its guard is set.
    private func begin(_ backup: PreparedBackup) throws(BlockError) -> BackupWork {
        let request = backup.request
        var plan = BackupWork.Plan()
        plan.waits = request.scope == .none
        plan.compresses = request.compresses
        plan.isBlank = request.isBlank && request.scope != .bitmap
        plan.base = request.scope == .top ? backup.source.backingNode : nil
        var old: [Range<Int64>] = []
        let node = name(of: backup.source)
        let place = request.bitmap.flatMap { find(bitmap: $0, of: backup.source) }
        if let place, let name = request.bitmap {
            old = try place.ranges(name)
            if request.bitmapMode != .never { try place.clear(name) }
            busyBitmaps.append((node, name))
        }
        let work = BackupWork(
            backup.backend, reader(of: backup.source), to: backup.target, gate: gate(of: backup.target), plan
        ) { [self] isDone, rest in
            claims[request.options.identifier] = nil
            if let place, let name = request.bitmap {
                busyBitmaps.removeAll { $0.node == node && $0.name == name }
                settle(place, name, request.bitmapMode ?? .never, old: old, isDone: isDone, rest: rest)
            }
            // A target with a name of its own stays for its owner.
            if request.ownsTarget { release([backup.target]) }
        }
        work.begin(request.scope == .bitmap ? old : nil)
        return work
    }

    private func settle(
        _ place: BitmapPlace, _ name: String, _ mode: BitmapMode, old: [Range<Int64>], isDone: Bool,
        rest: [Range<Int64>]
    ) {
        let back: [Range<Int64>]
        switch mode {
        case .never: return
        case .onSuccess: back = isDone ? [] : old
        case .always: back = isDone ? [] : rest
        }
        do throws(BlockError) { try place.mark(back, name) } catch {
            graph.warn("the dirty bitmap '\(name)' lacks what the backup did not copy; remove it: \(error)")
        }
    }
}
