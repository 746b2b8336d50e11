// SPDX-License-Identifier: Apache-2.0

public import BlockLayer

/// A dirty bitmap as monitors show it.
public struct DirtyBitmapReport: Equatable, Sendable {
    /// What a person called it.
    public var name: String
    /// Bytes in marked pieces, and bytes of a piece.
    public var count: Int64, granularity: Int64
    /// Marks what the guest writes; is in a job's hands.
    public var isRecording: Bool, isBusy: Bool
    /// Is kept in the image; cannot be used, since the image was not closed properly.
    public var isPersistent: Bool, isInconsistent: Bool
}

/// A bitmap that ends with the process. It goes by its node's name, since nodes are opened anew.
struct TransientBitmap {
    let node: String, name: String
    let tracker: WriteTracker
}

/// A change of a node's dirty bitmaps.
public enum BitmapChange: Sendable {
    /// A new bitmap; the pieces' size is the node's own where none is given.
    case add(node: String, name: String, granularity: Int64?, isPersistent: Bool, isDisabled: Bool)
    /// Forgets a bitmap.
    case remove(node: String, name: String)
    /// Unmarks everything.
    case clear(node: String, name: String)
    /// Lets a bitmap mark writes, or not.
    case setRecording(node: String, name: String, Bool)
    /// Marks what other bitmaps have; one without a node is of the same.
    case merge(node: String, target: String, sources: [(node: String?, name: String)])

    /// The node that is changed.
    var node: String {
        switch self {
        case .add(let node, _, _, _, _), .remove(let node, _), .clear(let node, _), .setRecording(let node, _, _),
            .merge(let node, _, _):
            node
        }
    }
}

/// Where a bitmap is.
enum BitmapPlace {
    case transient(WriteTracker)
    case persistent(any BitmapStore, BitmapInformation)

    var granularity: Int64 {
        switch self {
        case .transient(let tracker): tracker.granularity
        case .persistent(_, let information): information.granularity
        }
    }

    var length: Int64 {
        switch self {
        case .transient(let tracker): tracker.trackedLength
        case .persistent(let store, _): store.length
        }
    }

    var isRecording: Bool {
        switch self {
        case .transient(let tracker): tracker.isRecording
        case .persistent(_, let information): information.isEnabled
        }
    }

    func ranges(_ name: String) throws(BlockError) -> [Range<Int64>] {
        switch self {
        case .transient(let tracker): tracker.ranges
        case .persistent(let store, _): try store.dirtyRanges(of: name)
        }
    }

    func mark(_ ranges: [Range<Int64>], _ name: String) throws(BlockError) {
        switch self {
        case .transient(let tracker):
            for range in ranges { tracker.mark(at: range.lowerBound, count: range.upperBound - range.lowerBound) }
        case .persistent(let store, _): try store.markDirty(ranges, in: name)
        }
    }

    func clear(_ name: String) throws(BlockError) {
        switch self {
        case .transient(let tracker): tracker.clear()
        case .persistent(let store, _): try store.clearBitmap(name)
        }
    }

    func setRecording(_ isOn: Bool, _ name: String) throws(BlockError) {
        switch self {
        case .transient(let tracker): tracker.isRecording = isOn
        case .persistent(let store, _): try store.setBitmap(name, enabled: isOn)
        }
    }
}

extension BlockDevices {
    private static let longestBitmapName = 1023

    /// The bitmaps of a node, the newest first.
    public func bitmaps(of node: any BlockNode) -> [DirtyBitmapReport] {
        let nodeName = name(of: node)
        let here = transientBitmaps.filter { $0.node == nodeName }.reversed().map { bitmap in
            DirtyBitmapReport(
                name: bitmap.name, count: bitmap.tracker.markedWholePieces, granularity: bitmap.tracker.granularity,
                isRecording: bitmap.tracker.isRecording, isBusy: isBusy(bitmap.name, nodeName), isPersistent: false,
                isInconsistent: false)
        }
        guard let store = node as? any BitmapStore else { return here }
        return here
            + store.bitmaps.reversed().map { information in
                // What cannot be read counts as nothing here; who uses the bitmap is told why.
                let ranges = information.isInconsistent ? [] : (try? store.dirtyRanges(of: information.name)) ?? []
                let unit = information.granularity
                let pieces = ranges.reduce(0) { $0 + ($1.upperBound - $1.lowerBound + unit - 1) / unit }
                return DirtyBitmapReport(
                    name: information.name, count: pieces * unit, granularity: unit, isRecording: information.isEnabled,
                    isBusy: isBusy(information.name, nodeName), isPersistent: true,
                    isInconsistent: information.isInconsistent)
            }
    }

    private func isBusy(_ name: String, _ node: String) -> Bool {
        busyBitmaps.contains { $0.node == node && $0.name == name }
    }

    /// A bitmap of a node by its name.
    func find(bitmap name: String, of node: any BlockNode) -> BitmapPlace? {
        let nodeName = self.name(of: node)
        if let found = transientBitmaps.first(where: { $0.node == nodeName && $0.name == name }) {
            return .transient(found.tracker)
        }
        guard let store = node as? any BitmapStore, let found = store.bitmaps.first(where: { $0.name == name }) else {
            return nil
        }
        return .persistent(store, found)
    }

    /// A bitmap that can be used.
    /// - Parameters:
    ///   - forChange: it is going to be changed.
    ///   - evenInconsistent: it is only going to be removed.
    func usable(
        bitmap name: String, of node: String, forChange: Bool, evenInconsistent: Bool = false
    ) throws(BlockError) -> BitmapPlace {
        guard let found = try? self.node(node) else { throw BlockError(.notFound, "Node '\(node)' not found") }
        guard let place = find(bitmap: name, of: found) else {
            throw BlockError(.invalidArgument, "Dirty bitmap '\(name)' not found")
        }
        try check(place, name, of: found, forChange: forChange, evenInconsistent: evenInconsistent)
        return place
    }

    func check(
        _ place: BitmapPlace, _ name: String, of node: any BlockNode, forChange: Bool, evenInconsistent: Bool = false
    ) throws(BlockError) {
        if isBusy(name, self.name(of: node)) {
            throw BlockError(
                .locked, "Bitmap '\(name)' is currently in use by another operation and cannot be used")
        }
        guard case .persistent(let store, let information) = place else { return }
        if forChange, store.isReadOnly {
            throw BlockError(.readOnly, "Bitmap '\(name)' is readonly and cannot be modified")
        }
        if information.isInconsistent, !evenInconsistent {
            throw BlockError(.invalidArgument, "Bitmap '\(name)' is inconsistent and cannot be used")
        }
    }

    /// Lets each backend note writes in the bitmaps of the node that it shows now. To be called whenever a backend gets
    /// another node, and when bitmaps come or go.
    func followBitmaps() {
        if transientBitmaps.isEmpty, !hasFollowedBitmaps { return }
        hasFollowedBitmaps = !transientBitmaps.isEmpty
        for root in roots {
            let shown = graph.name(of: root.backend.filtered)
            root.backend.setBitmaps(transientBitmaps.filter { $0.node == shown }.map(\.tracker))
        }
    }

    /// The node has another length.
    public func lengthChanged(of node: any BlockNode) {
        guard let name = graph.name(of: node) else { return }
        for bitmap in transientBitmaps where bitmap.node == name { bitmap.tracker.resize(to: node.length) }
    }

    // MARK: changes

    /// Makes a change.
    /// - Returns: what takes it back.
    func perform(_ change: BitmapChange) throws(BlockError) -> () -> Void {
        switch change {
        case .add(let node, let name, let granularity, let isPersistent, let isDisabled):
            return try addBitmap(name, to: node, granularity, isPersistent, isDisabled)
        case .remove(let node, let name): return try removeBitmap(name, of: node)
        case .clear(let node, let name):
            let place = try usable(bitmap: name, of: node, forChange: true)
            let before = try place.ranges(name)
            try place.clear(name)
            return { [self] in undo { () throws(BlockError) in try place.mark(before, name) } }
        case .setRecording(let node, let name, let isOn):
            let place = try usable(bitmap: name, of: node, forChange: false)
            let before = place.isRecording
            try place.setRecording(isOn, name)
            return { [self] in undo { () throws(BlockError) in try place.setRecording(before, name) } }
        case .merge(let node, let target, let sources): return try merge(sources, into: target, of: node)
        }
    }

    private func undo(_ body: () throws(BlockError) -> Void) {
        do throws(BlockError) { try body() } catch { graph.warn("a dirty bitmap is not as it was before: \(error)") }
    }

    private func addBitmap(
        _ name: String, to nodeName: String, _ granularity: Int64?, _ isPersistent: Bool, _ isDisabled: Bool
    ) throws(BlockError) -> () -> Void {
        guard !name.isEmpty else { throw BlockError(.invalidArgument, "Bitmap name cannot be empty") }
        let node = try node(nodeName)
        if let granularity, granularity < 512 || granularity & (granularity - 1) != 0 || granularity > 1 << 31 {
            throw BlockError(.invalidArgument, "Granularity must be power of 2 and at least 512")
        }
        let standard = (node as? any DescribedNode)?.clusterSize.map { min(max(Int64($0), 4096), 65536) } ?? 65536
        let unit = granularity ?? standard
        let store = node as? any BitmapStore
        if isPersistent, store == nil {
            throw BlockError(
                .notSupported, "Can't store persistent bitmaps to \(shownName(of: node)): Operation not supported")
        }
        guard find(bitmap: name, of: node) == nil else {
            let text = "Bitmap already exists: \(name)"
            throw BlockError(
                .exists,
                isPersistent ? "Can't make bitmap '\(name)' persistent in '\(shownName(of: node))': \(text)" : text)
        }
        guard name.utf8.count <= Self.longestBitmapName else {
            throw BlockError(.invalidArgument, "Bitmap name too long: \(name)")
        }
        if isPersistent, let store {
            try store.addBitmap(BitmapInformation(name: name, granularity: unit, isEnabled: !isDisabled))
            return { [self] in undo { () throws(BlockError) in try store.removeBitmap(name) } }
        }
        let tracker = WriteTracker(length: node.length, granularity: unit)
        tracker.isRecording = !isDisabled
        transientBitmaps.append(TransientBitmap(node: self.name(of: node), name: name, tracker: tracker))
        followBitmaps()
        return { [self] in forget(tracker) }
    }

    private func forget(_ tracker: WriteTracker) {
        transientBitmaps.removeAll { $0.tracker === tracker }
        followBitmaps()
    }

    private func removeBitmap(_ name: String, of nodeName: String) throws(BlockError) -> () -> Void {
        let place = try usable(bitmap: name, of: nodeName, forChange: true, evenInconsistent: true)
        switch place {
        case .transient(let tracker):
            guard let old = transientBitmaps.first(where: { $0.tracker === tracker }) else { return {} }
            forget(tracker)
            return { [self] in
                transientBitmaps.append(old)
                followBitmaps()
            }
        case .persistent(let store, let information):
            let before = information.isInconsistent ? [] : try store.dirtyRanges(of: name)
            try store.removeBitmap(name)
            return { [self] in
                undo { () throws(BlockError) in
                    try store.addBitmap(information)
                    try store.markDirty(before, in: name)
                }
            }
        }
    }

    private func merge(
        _ sources: [(node: String?, name: String)], into target: String, of node: String
    ) throws(BlockError) -> () -> Void {
        let place = try usable(bitmap: target, of: node, forChange: true)
        var found: [[Range<Int64>]] = []
        for source in sources {
            let other = try usable(bitmap: source.name, of: source.node ?? node, forChange: false)
            guard other.length == place.length else {
                throw BlockError(
                    .invalidArgument,
                    "Bitmaps are of different sizes (destination size is \(place.length), source size is \(other.length)) and can't be merged"
                )
            }
            found.append(try other.ranges(source.name))
        }
        let before = try place.ranges(target)
        for ranges in found { try place.mark(ranges, target) }
        return { [self] in
            undo { () throws(BlockError) in
                try place.clear(target)
                try place.mark(before, target)
            }
        }
    }

    /// A drive's name where the node has one, else its own.
    func shownName(of node: any BlockNode) -> String {
        let drive = roots.first { $0.backend.filtered === node && !$0.drive.isEmpty }?.drive
        return drive ?? name(of: node)
    }
}
