// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc

/// Tables that begin as zeros and take up host memory only where they are touched. Their owners free them.
enum ZeroedMemory {
    private static func bytes<Element>(_ count: Int, _ type: Element.Type) -> Int {
        count * MemoryLayout<Element>.stride
    }

    /// Room for `count` elements of a type of which all zeros is a value.
    static func allocate<Element>(_ count: Int, of type: Element.Type) -> UnsafeMutablePointer<Element> {
        guard
            let memory = roost_mmap(
                nil, bytes(count, type), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        else { fatalError("the host has no room for \(bytes(count, type)) bytes of tables") }
        return memory.bindMemory(to: type, capacity: count)
    }

    /// Makes all elements zeros again, and gives their memory back.
    static func discard<Element>(_ table: UnsafeMutablePointer<Element>, _ count: Int) {
        madvise(table, bytes(count, Element.self), MADV_DONTNEED)
    }

    static func deallocate<Element>(_ table: UnsafeMutablePointer<Element>, _ count: Int) {
        munmap(table, bytes(count, Element.self))
    }
}
