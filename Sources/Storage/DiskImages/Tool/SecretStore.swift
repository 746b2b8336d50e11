// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import ByteCoding
internal import HostSystem

/// The secrets of `--object secret,id=...`. Filled before images are opened, only read afterwards.
final class SecretStore: SecretProvider, @unchecked Sendable {
    private var values: [String: [UInt8]] = [:]
    private let lock = Lock()
    private static let largestFile = 1 << 20

    /// Takes `secret,id=ID,data=TEXT` or `file=PATH`, with `format=raw` or `base64`; other types go to `others`.
    func add(_ text: String, or others: ConnectionObjects) throws(BlockError) {
        var options = try BlockOptions.parse(text, implied: "qom-type")
        let type = options.take("qom-type") ?? ""
        if try others.add(type, &options, secret: secret) { return }
        guard type == "secret" else {
            throw BlockError(
                .invalidArgument,
                type.isEmpty
                    ? "Parameter 'qom-type' is missing" : "Parameter 'qom-type' does not accept value '\(type)'")
        }
        guard let identifier = options.take("id") else {
            throw BlockError(.invalidArgument, "Parameter 'id' is missing")
        }
        let data = options.take("data")
        let file = options.take("file")
        let format = options.take("format") ?? "raw"
        let key = options.take("keyid")
        let vector = options.take("iv")
        guard (data == nil) != (file == nil) else {
            throw BlockError(
                .invalidArgument,
                data == nil ? "Either 'file' or 'data' must be provided" : "'file' and 'data' are mutually exclusive")
        }
        if let unknown = options.keys.first {
            throw BlockError(.invalidArgument, "Parameter '\(unknown)' is unexpected")
        }
        var bytes: [UInt8]
        if let data { bytes = Array(data.utf8) } else { bytes = try read(file ?? "") }
        switch format {
        case "raw": break
        case "base64":
            guard let decoded = Base64.decode(bytes, passingOver: .lineEnds) else {
                throw BlockError(.invalidArgument, "Base64 data contains invalid characters")
            }
            bytes = decoded
        default: throw BlockError(.invalidArgument, "Parameter 'format' does not accept value '\(format)'")
        }
        if let key {
            bytes = try decrypted(bytes, key: key, vector: vector)
        }
        lock.withLock { values[identifier] = bytes }
    }

    /// - Parameters:
    ///   - key: the name of the secret that holds the key, in base64.
    ///   - vector: in base64.
    private func decrypted(_ bytes: [UInt8], key: String, vector: String?) throws(BlockError) -> [UInt8] {
        let stored = try secret(key)
        guard let vector else { throw BlockError(.invalidArgument, "IV is required to decrypt secret") }
        guard let keyBytes = Base64.decode(stored, passingOver: .lineEnds),
            let vectorBytes = Base64.decode(vector.utf8, passingOver: .lineEnds)
        else {
            throw BlockError(.invalidArgument, "Base64 data contains invalid characters")
        }
        return try SecretDecryption.decrypt(bytes, key: keyBytes, vector: vectorBytes)
    }

    private func read(_ path: String) throws(BlockError) -> [UInt8] {
        do throws(Errno) {
            let file = try FileDescriptor.open(path)
            let buffer = AlignedBuffer(count: Self.largestFile)
            // The descriptor writes only inside the buffer, which lives for the call.
            let count = try unsafe file.read(into: buffer.region.buffer)
            return buffer.region.slice(0, count).bytes
        } catch {
            throw BlockError(system: error, "Unable to read \(path): Failed to open file “\(path)”")
        }
    }

    func secret(_ identifier: String) throws(BlockError) -> [UInt8] {
        guard let value = lock.withLock({ values[identifier] }) else {
            throw BlockError(.notFound, "No secret with id '\(identifier)'")
        }
        return value
    }
}
