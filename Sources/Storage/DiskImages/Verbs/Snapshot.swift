// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import Glibc
internal import HostSystem

extension ImageTool {
    func snapshot(_ arguments: [String]) throws -> Int32 {
        var format: String?
        var action: (kind: String, name: String)?
        var isOptions = false
        var flags = OpenFlags.writable
        let operands = try OptionParser([
            .init("h", "help"), .init("l"), .init("a", value: true), .init("c", value: true), .init("d", value: true),
            .init("q"), .init(nil, "object", value: true), .init(nil, "image-opts"), .init("U", "force-share"),
            .init("f", value: true),
        ]).parse(arguments) { key, value in
            switch key {
            case "help": throw Exit(status: help(), lines: [])
            case "l", "a", "c", "d":
                guard action == nil else { throw usage("Cannot mix '-l', '-a', '-c', '-d'") }
                action = (key, value)
                if key == "l" { flags.isWritable = false }
            case "q": break
            case "f":
                if isDropIn { throw OptionParser.Failure.unknown("-f") }
                format = value
            case "image-opts": isOptions = true
            case "force-share": flags.forceShare = true
            default: try addSecret(value)
            }
        }
        guard operands.count == 1 else {
            guard action == nil, operands.count > 1 else { throw oneImage(operands) }
            throw usage(
                "Expecting one image file name",
                advice: "-l lists the snapshots, -c NAME takes one, -a NAME goes back to one, -d NAME deletes one.")
        }
        let node = try open(operands[0], format: format, isOptions: isOptions, flags: flags)
        if let action, action.kind == "a", !(node is any SnapshotStore) {
            closeQuietly(node)
            // The original opens a raw image anew after it looked for snapshots below, and warns anew.
            if isDropIn, node.driverName == "raw" {
                closeQuietly(try open(operands[0], format: format, isOptions: isOptions, flags: flags))
            }
            throw fail("Could not apply snapshot '\(action.name)': Block driver does not support snapshots")
        }
        return try closing(node) {
            guard let action else { return 0 }
            switch action.kind {
            case "l": listSnapshots(node)
            case "c": try createSnapshot(node, action.name)
            case "a": try applySnapshot(node, action.name)
            default: try deleteSnapshot(node, action.name)
            }
            return 0
        }
    }

    private func listSnapshots(_ node: any BlockNode) {
        guard let store = node as? any SnapshotStore, !store.snapshots.isEmpty else { return }
        output("Snapshot list:\n")
        for line in SnapshotText.table(store.snapshots) { output(line + "\n") }
    }

    private func createSnapshot(_ node: any BlockNode, _ tag: String) throws {
        var now = timeval()
        // gettimeofday fills the struct on this frame.
        unsafe gettimeofday(&now, nil)
        let information = SnapshotInformation(
            identifier: "", name: tag, dateSeconds: Int64(now.tv_sec), dateNanoseconds: Int64(now.tv_usec) * 1000,
            instructionCount: 0)
        guard let store = node as? any SnapshotStore else {
            throw fail("Could not create snapshot '\(tag)': -95 (Operation not supported)")
        }
        do {
            try store.createSnapshot(information)
        } catch {
            throw fail(
                "Could not create snapshot '\(tag)': -\(error.errno.code) (\(isDropIn ? "\(error.errno)" : error.message))"
            )
        }
    }

    /// A snapshot by its name or, more kindly than qemu-img, its identifier.
    private func find(_ store: any SnapshotStore, _ key: String) -> SnapshotInformation? {
        let byName = store.snapshots.first { $0.name == key }
        return byName ?? (isDropIn ? nil : store.snapshots.first { $0.identifier == key })
    }

    private func applySnapshot(_ node: any BlockNode, _ tag: String) throws {
        let prefix = "Could not apply snapshot '\(tag)': "
        guard let store = node as? any SnapshotStore else { return }
        if let store = node as? any BitmapStore, !store.bitmaps.isEmpty {
            throw fail(prefix + "Device has active dirty bitmaps")
        }
        let found = store.snapshots.first { $0.identifier == tag } ?? find(store, tag)
        if found == nil, !isDropIn {
            throw fail(prefix + "Failed to load snapshot: No such file or directory\(listing(store))")
        }
        do {
            try store.applySnapshot(identifier: found?.identifier ?? tag)
        } catch {
            guard isDropIn else { throw fail(prefix, error) }
            var failure = BlockError(system: error.errno, "Failed to load snapshot")
            failure.earlier = error.earlier
            throw fail(prefix, failure)
        }
    }

    private func deleteSnapshot(_ node: any BlockNode, _ tag: String) throws {
        guard let store = node as? any SnapshotStore, let found = find(store, tag) else {
            let listing = (node as? any SnapshotStore).map(listing) ?? ""
            throw fail("Could not delete snapshot '\(tag)': snapshot not found\(listing)")
        }
        try attempt("Could not delete snapshot '\(tag)': ") { () throws(BlockError) in
            try store.deleteSnapshot(identifier: found.identifier)
        }
    }

    private func listing(_ store: any SnapshotStore) -> String {
        if isDropIn { return "" }
        let names = store.snapshots.map { "\($0.name) (id \($0.identifier))" }
        return names.isEmpty ? "; the image has none" : "; there are: \(names.joined(separator: ", "))"
    }
}
