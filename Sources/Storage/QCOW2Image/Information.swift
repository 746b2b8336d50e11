// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

extension QCOW2Node: DescribedNode, HostStorageNode {
    /// The cluster size in bytes.
    public var clusterSize: Int? { geometry.clusterSize }
    /// The header names an encryption method.
    public var isEncrypted: Bool { header.cryptMethod != 0 }
    /// Version 3's dirty bit.
    public var isDirty: Bool { lock.withLock { header.incompatible & Format.Incompatible.dirty != 0 } }

    /// The bytes that the host has allocated for the file below.
    public func allocatedBytes() -> Int64? { (file as? any HostStorageNode)?.allocatedBytes() }

    /// The header's facts.
    public func specificInformation() throws(BlockError) -> SpecificInformation? {
        try exclusively { () throws(BlockError) in
            var facts: [(String, SpecificInformation.Fact)] = [
                ("compat", .text(header.version >= 3 ? "1.1" : "0.10")),
                ("compression-type", .text(header.compression.name)),
            ]
            if header.version >= 3 {
                facts.append(("lazy-refcounts", .flag(header.compatible & Format.lazyRefcounts != 0)))
            }
            facts.append(("refcount-bits", .number(1 << Int64(header.refcountOrder))))
            if header.version >= 3 {
                facts.append(("corrupt", .flag(header.incompatible & Format.Incompatible.corrupt != 0)))
                facts.append(("extended-l2", .flag(header.hasExtendedL2)))
                if header.hasDataFile {
                    let isRaw = header.autoClear & Format.AutoClear.rawDataFile != 0
                    if let name = header.extensionText(Format.Extension.dataFile) {
                        facts.append(("data-file", .text(name)))
                    }
                    facts.append(("data-file-raw", .flag(isRaw)))
                }
                if !bitmapList.isEmpty { facts.append(("bitmaps", .list(bitmapList.map(describe)))) }
            }
            if let cipher { facts.append(("encrypt", .group(cipher.facts))) }
            return SpecificInformation(type: "qcow2", facts: facts)
        }
    }

    private func describe(_ bitmap: Bitmap) -> SpecificInformation.Fact {
        var flags: [SpecificInformation.Fact] = []
        if bitmap.information.isInconsistent { flags.append(.text("in-use")) }
        if bitmap.information.isEnabled { flags.append(.text("auto")) }
        return .group([
            ("name", .text(bitmap.information.name)), ("granularity", .number(bitmap.information.granularity)),
            ("flags", .list(flags)),
        ])
    }

    /// Data clusters may be holes in the file: there are notably more clusters counted than the host has allocated.
    /// Called without the lock; looked at once.
    var preallocatedHoles: Bool {
        lock.withLock {
            if let known = holesKnown { return known }
            let answer = findHoles()
            holesKnown = answer
            return answer
        }
    }

    private func findHoles() -> Bool {
        guard let allocated = allocatedBytes() else { return false }
        let real = allocated >> Int64(geometry.clusterBits)
        let threshold = max(real * 10 / 9, real + 2)
        let end = geometry.clusters(file.length)
        guard end >= threshold else { return false }
        var count: Int64 = 0
        var cluster: Int64 = 0
        while cluster < end, count < threshold {
            // Counts that cannot be read are told by the check, not by the map.
            guard let stretch = try? refcounts.stretch(from: cluster, limit: end) else { break }
            for stored in stretch where stored > 0 { count += 1 }
            cluster += Int64(stretch.count)
        }
        return count >= threshold
    }
}
