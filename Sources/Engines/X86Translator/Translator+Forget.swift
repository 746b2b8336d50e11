// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
internal import X86CPU

// Forgets code that changed, or all of it.
extension Translator {
    package func drop(page: UInt64) {
        if let lockstep, lockstep.forget(page: page) { dropCount &+= 1 }
        guard let keys = pages.removeValue(forKey: page) else { return }
        for key in keys {
            blocks.remove(key)
            plainBlocks.remove(key)
        }
        drops[page, default: 0] += 1
        dropCount &+= 1
        statistics.drops += 1
    }

    package func dropAll() {
        blocks.removeAll()
        plainBlocks.removeAll()
        cachedSites.removeAll(keepingCapacity: true)
        pages.removeAll(keepingCapacity: true)
        drops.removeAll()
        sites.removeAll(keepingCapacity: true)
        farSites.removeAll(keepingCapacity: true)
        farCells.removeAll()
        lockstep?.forget()
        table.clear()
        noteEnds()
        cursor = stubs.end
        dataUsed = 0
        dropCount &+= 1
        statistics.flushes += 1
    }

    private func noteEnds() {
        codeEnd = max(codeEnd, cursor - area.start)
        dataEnd = max(dataEnd, dataUsed)
    }

    /// Code counts twice, by its two mappings, and the tables about as much as the code.
    package var residentBytes: Int {
        let (code, data) = (max(codeEnd, cursor - area.start), max(dataEnd, dataUsed))
        return 3 * (code - (stubs.end - area.start)) + data
    }

    package func release() {
        dropAll()
        area.discard(from: stubs.end)
        data.discard(first: dataEnd)
        (codeEnd, dataEnd) = (0, 0)
        blocks.shrink()
        plainBlocks.shrink()
        cachedSites = []
        sites = []
        farSites = []
        pages = [:]
    }
}
