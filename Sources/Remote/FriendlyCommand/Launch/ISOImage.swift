// SPDX-License-Identifier: Apache-2.0

/// A CD-ROM image with a few small files in its root folder (ECMA-119, with Joliet's long names).
///
/// ```
/// sector 16  primary volume descriptor        19, 20  path tables      23  root folder   25  files
///        17  Joliet's volume descriptor       21, 22  Joliet's         24  Joliet's
///        18  end of descriptors
/// ```
package struct ISOImage {
    /// Bytes of a sector.
    package static let sector = 2048
    private static let pathTableSize = 10
    private static let primaryTables = 19, jolietTables = 21, primaryRoot = 23, jolietRoot = 24, firstFile = 25

    /// At most 32 characters.
    package let label: String
    /// Names and contents.
    package let files: [(name: String, content: [UInt8])]

    /// The volume's label, and files for the root folder.
    package init(label: String, files: [(name: String, content: [UInt8])]) {
        self.label = label
        self.files = files
    }

    /// The image's bytes.
    package var bytes: [UInt8] {
        var extents: [Int] = []
        var next = Self.firstFile
        for file in files {
            extents.append(next)
            next += Self.sectors(file.content.count)
        }
        var image = [UInt8](repeating: 0, count: 16 * Self.sector)
        image += padded(descriptor(isJoliet: false, total: next))
        image += padded(descriptor(isJoliet: true, total: next))
        image += padded([255] + Array("CD001".utf8) + [1])
        for root in [Self.primaryRoot, Self.jolietRoot] {
            image += padded([1, 0] + little(root, 4) + little(1, 2) + [0, 0])
            image += padded([1, 0] + big(root, 4) + big(1, 2) + [0, 0])
        }
        image += padded(folder(at: Self.primaryRoot, extents) { Array(Self.shortName($0, $1).utf8) })
        image += padded(folder(at: Self.jolietRoot, extents) { name, _ in Self.wide(name) })
        for file in files { image += padded(file.content) }
        return image
    }

    private static func sectors(_ count: Int) -> Int { max(1, (count + sector - 1) / sector) }

    private func padded(_ content: [UInt8]) -> [UInt8] {
        content + [UInt8](repeating: 0, count: Self.sectors(content.count) * Self.sector - content.count)
    }

    /// The first level of ECMA-119 has eight letters and digits; the number keeps the names apart.
    private static func shortName(_ name: String, _ number: Int) -> String {
        let letters = name.uppercased().filter { $0.isASCII && ($0.isLetter || $0.isNumber) }
        return letters.prefix(6) + String(number % 10) + ".;1"
    }

    /// Joliet's names are UCS-2, big-endian.
    private static func wide(_ text: String) -> [UInt8] {
        text.utf16.flatMap { [UInt8(truncatingIfNeeded: $0 >> 8), UInt8(truncatingIfNeeded: $0)] }
    }

    // MARK: Numbers

    private func little(_ value: Int, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
    private func big(_ value: Int, _ count: Int) -> [UInt8] { little(value, count).reversed() }
    private func both(_ value: Int, _ count: Int) -> [UInt8] { little(value, count) + big(value, count) }

    // MARK: Structures

    private func record(_ name: [UInt8], at extent: Int, count: Int, isFolder: Bool) -> [UInt8] {
        // No date: seven zeroes. Volume 1 of the set.
        var body = [0] + both(extent, 4) + both(count, 4) + [UInt8](repeating: 0, count: 7)
        body += [isFolder ? 2 : 0, 0, 0] + both(1, 2) + [UInt8(truncatingIfNeeded: name.count)] + name
        // Records have an even length, with the byte that says it.
        if body.count % 2 == 0 { body.append(0) }
        return [UInt8(truncatingIfNeeded: body.count + 1)] + body
    }

    private func folder(at extent: Int, _ extents: [Int], name: (String, Int) -> [UInt8]) -> [UInt8] {
        // The folder itself, and its parent: itself.
        var content = record([0], at: extent, count: Self.sector, isFolder: true)
        content += record([1], at: extent, count: Self.sector, isFolder: true)
        let entries = files.indices.map { (name: name(files[$0].name, $0), index: $0) }
            .sorted { $0.name.lexicographicallyPrecedes($1.name) }
        for entry in entries {
            content += record(
                entry.name, at: extents[entry.index], count: files[entry.index].content.count, isFolder: false)
        }
        return content
    }

    private func descriptor(isJoliet: Bool, total: Int) -> [UInt8] {
        let root = isJoliet ? Self.jolietRoot : Self.primaryRoot
        let tables = isJoliet ? Self.jolietTables : Self.primaryTables
        func text(_ value: String, _ count: Int) -> [UInt8] {
            let bytes = isJoliet ? Self.wide(value) : Array(value.utf8)
            let filler: [UInt8] = isJoliet ? [0, 0x20] : [0x20]
            var field = Array(bytes.prefix(count))
            while field.count < count { field += filler.prefix(count - field.count) }
            return field
        }
        var bytes: [UInt8] = [isJoliet ? 2 : 1] + Array("CD001".utf8) + [1, 0]
        bytes += text("", 32) + text(label, 32) + [UInt8](repeating: 0, count: 8) + both(total, 4)
        // "%/E": UCS-2 level 3.
        bytes += (isJoliet ? Array("%/E".utf8) : []) + [UInt8](repeating: 0, count: isJoliet ? 29 : 32)
        bytes += both(1, 2) + both(1, 2) + both(Self.sector, 2) + both(Self.pathTableSize, 4)
        bytes += little(tables, 4) + little(0, 4) + big(tables + 1, 4) + big(0, 4)
        bytes += record([0], at: root, count: Self.sector, isFolder: true)
        // Set, publisher, preparer and application; copyright, abstract and bibliography.
        bytes += text("", 128 * 4) + text("", 37 * 3)
        let noDate = [UInt8](repeating: UInt8(ascii: "0"), count: 16) + [0]
        return bytes + noDate + noDate + noDate + noDate + [1]
    }
}
