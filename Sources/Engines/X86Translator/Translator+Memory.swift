// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
internal import X86CPU

// Memory that a busy guest's code took goes back to the host when the guest has come to rest.
extension Translator {
    /// Before the memory for code is used from its start again.
    func noteEnds() {
        codeEnd = max(codeEnd, codeBytes)
        dataEnd = max(dataEnd, dataUsed)
    }

    /// Bytes of host memory that code and what belongs to it take up. Code counts twice, by its two mappings, and the
    /// tables about as much as the code.
    package var residentBytes: Int {
        3 * max(codeEnd, codeBytes) + max(dataEnd, dataUsed)
    }

    /// Forgets all code and gives its memory back to the host. While no translated code is entered.
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
