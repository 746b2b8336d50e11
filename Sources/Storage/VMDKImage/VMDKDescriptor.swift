// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import BlockMapping

/// The text that says what a VMDK disk is made of: lines of `name=value` and one line for each extent.
struct VMDKDescriptor: Sendable {
    /// A line `RW 4194304 SPARSE "name.vmdk"`.
    struct Extent: Sendable {
        var sectors: Int64
        var type: String
        var filename: String
        /// Sectors into the file.
        var offset: Int64
    }

    /// The largest text that is read.
    static let longest = 1 << 20
    static let noParent: UInt32 = 0xffff_ffff
    static let knownTypes: Set<String> = [
        "monolithicFlat", "vmfs", "vmfsSparse", "seSparse", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat",
    ]

    let text: String

    init(_ bytes: [UInt8]) { text = String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self) }

    private var lines: [Substring] { text.split(whereSeparator: { $0 == "\n" || $0 == "\r\n" || $0 == "\r" }) }

    /// The value of a name, without quotes.
    func value(_ name: String) -> String? {
        for line in lines where line.hasPrefix(name) {
            let rest = line.dropFirst(name.count).drop { $0 == " " }
            guard rest.first == "=" else { continue }
            let value = rest.dropFirst().drop { $0 == " " }
            guard value.first == "\"" else { return String(value) }
            return String(value.dropFirst().prefix { $0 != "\"" })
        }
        return nil
    }

    /// The content's identifier, which changes with the first write after opening.
    var contentID: UInt32 { value("CID").flatMap { UInt32($0, radix: 16) } ?? 0 }
    /// The identifier that the parent had.
    var parentID: UInt32 { value("parentCID").flatMap { UInt32($0, radix: 16) } ?? Self.noParent }
    /// "monolithicSparse"...
    var createType: String? { value("createType") }
    /// The parent's name; nil when there is none.
    var parentName: String? {
        guard let name = value("parentFileNameHint"), !name.isEmpty, parentID != Self.noParent else { return nil }
        return name
    }

    /// The same text with another content identifier.
    func replacing(contentID: UInt32) -> VMDKDescriptor {
        var result = ""
        var isDone = false
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if !isDone, line.hasPrefix("CID=") {
                result += "CID=\(NumberText.hex(contentID, width: 8))"
                isDone = true
            } else {
                result += line
            }
            result += "\n"
        }
        result.removeLast()
        return VMDKDescriptor(Array(result.utf8))
    }

    /// The extents, in the order of the disk.
    func extents() throws(BlockError) -> [Extent] {
        var result: [Extent] = []
        for line in lines {
            guard let fields = Self.fields(line) else { continue }
            let type = fields.type
            let hasOffset = fields.offset != nil
            let isValid =
                switch type {
                case "FLAT": (fields.offset ?? -1) >= 0
                case "VMFS": !hasOffset
                default: !hasOffset
                }
            guard isValid else { throw BlockError(.invalidArgument, "Invalid extent line: \(line)") }
            guard fields.sectors > 0, ["FLAT", "SPARSE", "VMFS", "VMFSSPARSE", "SESPARSE"].contains(type) else {
                continue
            }
            guard fields.sectors <= Int64.max / 512 / 2, (fields.offset ?? 0) <= Int64.max / 512 / 2 else {
                throw BlockError(.invalidArgument, "Invalid extent line: \(line)")
            }
            result.append(
                Extent(sectors: fields.sectors, type: type, filename: fields.name, offset: fields.offset ?? 0))
            guard result.count <= 4096 else {
                throw BlockError(.corrupt, "The descriptor names more than 4096 extents", errno: nil)
            }
        }
        return result
    }

    private static func fields(
        _ line: Substring
    ) -> (sectors: Int64, type: String, name: String, offset: Int64?)? {
        let parts = line.split(separator: "\"", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count >= 2, !parts[1].isEmpty else { return nil }
        let words = parts[0].split(separator: " ")
        guard words.count == 3, words[0] == "RW", let sectors = Int64(words[1]) else { return nil }
        let tail = parts.count > 2 ? parts[2].split(separator: " ").first : nil
        return (sectors, String(words[2]), String(parts[1]), tail.flatMap { Int64($0) })
    }
}

/// What a new descriptor says.
struct VMDKDescription {
    var contentID: UInt32
    var parentID = VMDKDescriptor.noParent
    var type: String
    var parentName: String?
    var extentLines: [String]
    var hardwareVersion: String
    var adapter: String
    var toolsVersion: String
    var sectors: Int64

    var text: String {
        let isIDE = adapter == "ide"
        let heads: Int64 = isIDE ? 16 : 255
        let perTrack: Int64 = 63
        var lines = [
            "# Disk DescriptorFile", "version=1", "CID=\(NumberText.hex(contentID, width: 8))",
            "parentCID=\(NumberText.hex(parentID, width: 8))", "createType=\"\(type)\"",
        ]
        if let parentName { lines.append("parentFileNameHint=\"\(parentName)\"") }
        lines += ["", "# Extent description"] + extentLines
        lines += [
            "", "# The Disk Data Base", "#DDB", "", "ddb.virtualHWVersion = \"\(hardwareVersion)\"",
            "ddb.geometry.cylinders = \"\(sectors / (heads * perTrack))\"", "ddb.geometry.heads = \"\(heads)\"",
            "ddb.geometry.sectors = \"\(perTrack)\"", "ddb.adapterType = \"\(adapter)\"",
            "ddb.toolsVersion = \"\(toolsVersion)\"",
        ]
        return lines.joined(separator: "\n") + "\n"
    }
}
