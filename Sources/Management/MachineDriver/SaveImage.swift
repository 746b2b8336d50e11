// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem
internal import ManagementModel

/// A file with a machine's document and its saved memory, as libvirt's driver for QEMU lays it out: a header of 92
/// bytes, the document with a zero behind it, the emulator's migration stream.
struct SaveImage {
    /// The machine's document.
    var document: String
    /// Whether it ran when it was saved.
    var wasRunning: Bool
    /// Bytes of header and document, where the memory begins.
    private(set) var length: Int64 = 0

    private static let complete = Array("LibvirtQemudSave".utf8)
    private static let partial = Array("LibvirtQemudPart".utf8)
    private static let headerLength = 92
    private static let version: UInt32 = 2
    /// What a document may be long.
    private static let documentLimit = 16 << 20

    init(document: String, wasRunning: Bool) {
        self.document = document
        self.wasRunning = wasRunning
    }

    /// Header and document. Until `finish` the file says that it is not whole.
    func head() -> [UInt8] {
        let text = Array(document.utf8) + [0]
        var bytes = Self.partial
        func add(_ word: UInt32) {
            for shift in stride(from: 0, to: 32, by: 8) { bytes.append(UInt8(word >> shift & 255)) }
        }
        add(Self.version)
        add(UInt32(text.count))
        add(wasRunning ? 1 : 0)
        // Neither compressed nor with a cookie, then 14 words that nobody uses.
        for _ in 0..<16 { add(0) }
        return bytes + text
    }

    /// Marks a file as whole.
    static func finish(_ file: borrowing FileDescriptor) throws(Errno) {
        let bytes = complete
        let result: Result<Int, Errno> = unsafe bytes.withUnsafeBytes { buffer in
            // The array lives for the call.
            do throws(Errno) { return .success(try unsafe file.write(buffer, at: 0)) } catch { return .failure(error) }
        }
        _ = try result.get()
        let number = file.number
        _ = try retrying { fdatasync(number) }
    }

    /// Reads header and document; the file is then where the memory begins.
    /// - Throws: libvirt's error for a file that is none.
    init(reading file: borrowing FileDescriptor, called path: String) throws {
        let header = try Self.read(file, Self.headerLength, path)
        guard Array(header.prefix(16)) == Self.complete else {
            if Array(header.prefix(16)) == Self.partial {
                throw ManagementError(.operationFailed, "save image '\(path)' is incomplete")
            }
            throw ManagementError(.operationFailed, "image magic is incorrect")
        }
        func word(_ place: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(header[16 + 4 * place + $1]) << UInt32(8 * $1) }
        }
        guard word(0) <= Self.version else {
            throw ManagementError(.operationFailed, "image version is not supported (\(word(0)) > \(Self.version))")
        }
        guard word(1) > 0, word(1) <= Self.documentLimit else {
            throw ManagementError(.operationFailed, "invalid header data length: \(word(1))")
        }
        guard word(3) == 0 else {
            throw ManagementError(
                .operationUnsupported, "the memory in '\(path)' is compressed; save it with save_image_format = \"raw\""
            )
        }
        wasRunning = word(2) != 0
        let text = try Self.read(file, Int(word(1)), path)
        document = String(decoding: text.prefix { $0 != 0 }, as: UTF8.self)
        length = Int64(Self.headerLength + text.count)
    }

    private static func read(_ file: borrowing FileDescriptor, _ count: Int, _ path: String) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            // The rest of the array lives for the call.
            let read: Result<Int, Errno> = unsafe bytes.withUnsafeMutableBytes { buffer in
                do throws(Errno) {
                    return .success(
                        try unsafe file.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[done...])))
                } catch { return .failure(error) }
            }
            guard let step = try? read.get(), step > 0 else {
                throw ManagementError(.operationFailed, "failed to read qemu header from '\(path)'")
            }
            done += step
        }
        return bytes
    }
}
