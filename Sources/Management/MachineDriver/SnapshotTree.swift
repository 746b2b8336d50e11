// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
internal import ManagementXML
internal import XMLTree

/// A snapshot: its document, which holds the machine's at that time.
struct Snapshot: Sendable {
    /// The document without its parent, which the tree knows.
    var root: XMLElement

    var name: String { root[child: "name"]?.text ?? "" }
    /// Seconds since 1970.
    var created: Int64 { root[child: "creationTime"].flatMap { Int64($0.text) } ?? 0 }
    /// `running`, `paused`, `shutoff`, `disk-snapshot`...
    var state: String { root[child: "state"]?.text ?? "shutoff" }
    var parent: String? {
        get { root.at("parent", "name")?.text }
        set {
            root[child: "parent"] = newValue.map { XMLElement("parent", [:], [XMLElement("name", text: $0)]) }
        }
    }
    /// How memory is kept: `no`, `internal`, `external`.
    var memory: String { root[child: "memory"]?["snapshot"] ?? "no" }
    var memoryFile: String? { root[child: "memory"]?["file"] }
    /// What is kept of each disk.
    var disks: [XMLElement] { root[child: "disks"]?.all("disk") ?? [] }
    /// The machine at that time.
    var domain: DomainDefinition? {
        get { root[child: "domain"].map { DomainDefinition(complete: $0) } }
        set { root[child: "domain"] = newValue?.root }
    }
    var isExternal: Bool { memory == "external" || disks.contains { $0["snapshot"] == "external" } }
    var isActive: Bool { ["running", "paused"].contains(state) }

    private static let order = [
        "name", "description", "state", "parent", "creationTime", "memory", "disks", "domain", "inactiveDomain",
        "cookie",
        "active",
    ]

    /// The document as it is printed.
    /// - Parameter isCurrent: whether the file says that this is the current one; nil in what clients get.
    func printed(secure: Bool = true, isCurrent: Bool? = nil, withDomain: Bool = true) -> String {
        var copy = root
        copy[child: "active"] = isCurrent.map { XMLElement("active", text: $0 ? "1" : "0") }
        if !withDomain { copy[child: "domain"] = nil }
        if !secure, let domain = copy[child: "domain"] {
            copy[child: "domain"] = DomainDefinition(complete: domain).withoutSecrets
        }
        let ranked = copy.elements.enumerated().sorted {
            let ranks = [$0, $1].map { Self.order.firstIndex(of: $0.element.name) ?? Self.order.count }
            return ranks[0] != ranks[1] ? ranks[0] < ranks[1] : $0.offset < $1.offset
        }
        copy.elements = ranked.map(\.element)
        return copy.printed(.init(foreign: ["metadata"]))
    }
}

/// A machine's snapshots: each has at most one parent.
struct SnapshotTree: Sendable {
    private(set) var items: [String: Snapshot] = [:]
    /// The one that the machine's state comes from.
    var current: String?

    var count: Int { items.count }
    /// All, in the order in which they were made.
    var sorted: [Snapshot] { items.values.sorted { ($0.created, $0.name) < ($1.created, $1.name) } }

    subscript(_ name: String) -> Snapshot? {
        get { items[name] }
        set { items[name] = newValue }
    }

    func children(_ name: String?) -> [Snapshot] {
        sorted.filter { snapshot in
            // One whose parent is gone is a root.
            let parent = snapshot.parent.flatMap { items[$0] == nil ? nil : $0 }
            return parent == name
        }
    }

    /// All below a snapshot, parents before children.
    func descendants(_ name: String?) -> [Snapshot] {
        // A tree cannot be deeper than the number of its nodes, so that one that was made by hand ends, too.
        var found: [Snapshot] = []
        var pending = children(name)
        while let next = pending.popLast(), found.count < items.count {
            found.append(next)
            pending += children(next.name)
        }
        return found
    }

    /// Takes a snapshot out; its children become its parent's.
    mutating func remove(_ name: String) {
        guard let removed = items.removeValue(forKey: name) else { return }
        for (key, snapshot) in items where snapshot.parent == name { items[key]?.parent = removed.parent }
        if current == name { current = removed.parent.flatMap { items[$0] == nil ? nil : $0 } }
    }
}

/// Which snapshots a list is asked for, in libvirt's bits.
enum SnapshotFilter {
    private static let noRecursion: UInt32 = 1
    private static let leaves: UInt32 = 4, noLeaves: UInt32 = 8, noMetadata: UInt32 = 16, withMetadata: UInt32 = 2
    private static let inactive: UInt32 = 32, active: UInt32 = 64, diskOnly: UInt32 = 128
    private static let isInternal: UInt32 = 256, isExternal: UInt32 = 512

    /// - Parameter name: whose children are wanted; nil for all of the machine.
    static func list(_ tree: SnapshotTree, below name: String?, _ flags: UInt32) -> [Snapshot] {
        // For a machine the bit asks for roots alone, for a snapshot for all below it.
        let isDeep = (flags & noRecursion != 0) == (name != nil)
        if flags & (noMetadata | withMetadata) == noMetadata { return [] }
        let base = isDeep ? tree.descendants(name) : tree.children(name)
        return base.filter { snapshot in
            let isLeaf = tree.children(snapshot.name).isEmpty
            func group(_ pairs: (UInt32, Bool)...) -> Bool {
                let asked = pairs.filter { flags & $0.0 != 0 }
                return asked.isEmpty || asked.contains { $0.1 }
            }
            return group((leaves, isLeaf), (noLeaves, !isLeaf))
                && group(
                    (inactive, snapshot.state == "shutoff"), (active, snapshot.isActive),
                    (diskOnly, snapshot.state == "disk-snapshot"))
                && group((isInternal, !snapshot.isExternal), (isExternal, snapshot.isExternal))
        }
    }
}
