// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem

/// A change in a `StateJournal`, as its bytes and back.
///
/// A half begins with a header: a magic number, its epoch, the name of the boot, a checksum. Records follow at once, each with
/// the same epoch, so that the first one of an older epoch, or that is damaged, is behind the end.
struct JournalRecord {
    /// The file, by its absolute path.
    var path: String
    /// What it holds; nil when it is gone.
    var content: [UInt8]?
    /// Later records are about later changes.
    var sequence: UInt64 = 0
    /// Seconds since 1970 when it was written.
    var time: Int64 = 0

    init(path: String, content: [UInt8]?) {
        self.path = path
        self.content = content
    }

    /// Bytes before the first record.
    static let headerCount = 4096
    private static let magic: UInt64 = 0x314C_4E52_554F_4A52, recordMagic: UInt64 = 0x3144_5243_4552_4F52
    /// Magic number, epoch, sequence, time, length of the path, length of the content or all ones; and the checksum.
    private static let fixedCount = 6 * 8, checksumCount = 8
    private static let nothing = UInt64.max
    private static let longestBoot = 64

    // MARK: encoding

    private static func append(_ value: UInt64, to bytes: inout [UInt8]) {
        for shift in stride(from: UInt64(0), to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }

    /// FNV-1a, 64 bits: tells a whole record from one that was torn.
    private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }

    static func header(epoch: UInt64, boot: String) -> [UInt8] {
        var bytes: [UInt8] = []
        append(magic, to: &bytes)
        append(epoch, to: &bytes)
        let name = Array(boot.utf8.prefix(longestBoot))
        bytes += name + [UInt8](repeating: 0, count: longestBoot - name.count)
        append(checksum(bytes[...]), to: &bytes)
        // The first record of the epoch before is not taken for one of this.
        return bytes + [UInt8](repeating: 0, count: headerCount + 8 - bytes.count)
    }

    func encoded(epoch: UInt64, sequence: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        let name = Array(path.utf8)
        bytes.reserveCapacity(Self.fixedCount + name.count + (content?.count ?? 0) + Self.checksumCount)
        Self.append(Self.recordMagic, to: &bytes)
        Self.append(epoch, to: &bytes)
        Self.append(sequence, to: &bytes)
        Self.append(UInt64(bitPattern: Int64(Glibc.time(nil))), to: &bytes)
        Self.append(UInt64(name.count), to: &bytes)
        Self.append(content.map { UInt64($0.count) } ?? Self.nothing, to: &bytes)
        bytes += name
        bytes += content ?? []
        Self.append(Self.checksum(bytes[...]), to: &bytes)
        return bytes
    }

    // MARK: decoding

    private static func word(_ bytes: [UInt8], _ place: Int) -> UInt64? {
        guard place >= 0, place <= bytes.count - 8 else { return nil }
        return (0..<8).reduce(0) { $0 | UInt64(bytes[place + $1]) << UInt64($1 * 8) }
    }

    /// Whether records follow a header.
    /// - Parameter header: with the first word behind it.
    static func hasRecords(_ header: [UInt8]) -> Bool {
        epoch(of: header) != nil && word(header, headerCount) == recordMagic
    }

    private static func epoch(of bytes: [UInt8]) -> UInt64? {
        let end = 16 + longestBoot
        guard word(bytes, 0) == magic, word(bytes, end) == checksum(bytes[..<end]) else { return nil }
        return word(bytes, 8)
    }

    /// The records of a half and the boot that wrote them; nil for what never was one.
    static func all(in bytes: [UInt8]) -> (boot: String, records: [JournalRecord])? {
        guard let epoch = epoch(of: bytes) else { return nil }
        let boot = String(decoding: bytes[16..<16 + longestBoot].prefix { $0 != 0 }, as: UTF8.self)
        var records: [JournalRecord] = []
        var place = headerCount
        while let found = record(bytes, place, epoch) {
            records.append(found.record)
            place = found.end
        }
        return (boot, records)
    }

    private static func record(
        _ bytes: [UInt8], _ place: Int, _ epoch: UInt64
    ) -> (record: JournalRecord, end: Int)? {
        guard word(bytes, place) == recordMagic, word(bytes, place + 8) == epoch,
            let sequence = word(bytes, place + 16), let time = word(bytes, place + 24),
            let names = word(bytes, place + 32), let contents = word(bytes, place + 40)
        else { return nil }
        let limit = UInt64(bytes.count)
        guard names <= limit, contents <= limit || contents == nothing else { return nil }
        let start = place + fixedCount, middle = start + Int(names)
        let end = middle + (contents == nothing ? 0 : Int(contents))
        guard end <= bytes.count, word(bytes, end) == checksum(bytes[place..<end]) else { return nil }
        var record = JournalRecord(
            path: String(decoding: bytes[start..<middle], as: UTF8.self),
            content: contents == nothing ? nil : Array(bytes[middle..<end]))
        record.sequence = sequence
        record.time = Int64(bitPattern: time)
        return (record, end + checksumCount)
    }

    // MARK: after a power failure

    /// Makes the file what it was, unless somebody else has written it since.
    func putBack() throws(Errno) {
        let found = try? StateFiles.readBytes(path, limit: 32 << 20)
        if found == content || found.map(isNewer) ?? false { return }
        guard let content else { return try StateFiles.remove(path) }
        try StateFiles.write(path, bytes: content)
    }

    /// The host's clock and the file's differ by less, in seconds.
    private static let slack: Int64 = 2

    private func isNewer(_ found: [UInt8]) -> Bool {
        guard !found.isEmpty, !found.contains(0) else { return false }
        var information = stat()
        // stat copies the path and fills the struct on this frame.
        guard unsafe stat(path, &information) == 0 else { return false }
        return Int64(information.st_mtim.tv_sec) > time + Self.slack
    }
}
