// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import ByteCoding
internal import Diagnostics
internal import DiskImages
internal import HostSystem
internal import MachineSpec
internal import NBDProtocol
internal import TransportSecurity

/// The secrets and certificates of a machine, for its disks, screens and moves; they come and go while it runs.
final class MachineObjects: SecretProvider, TLSCredentialProvider, @unchecked Sendable {
    private let lock = Lock()
    // Guarded by `lock`.
    private var objects: [ObjectSpec]
    private static let longest = 1 << 20
    /// A secret that is wrapped in others more often is one that is wrapped in itself.
    private static let deepest = 8

    init(_ objects: [ObjectSpec]) { self.objects = objects }

    private func find(_ identifier: String) -> ObjectSpec? {
        lock.withLock { objects.first { $0.identifier == identifier } }
    }

    /// Adds an object of a name that nobody has. A secret or certificate must be readable now.
    func add(_ object: ObjectSpec) throws(UserError) {
        guard find(object.identifier) == nil else {
            throw UserError("attempt to add duplicate property '\(object.identifier)' to object (type 'container')")
        }
        lock.withLock { objects.append(object) }
        do throws(BlockError) {
            switch object.kind {
            case .secret: _ = try secret(object.identifier)
            case .certificates: _ = try credentials(object.identifier)
            default: break
            }
        } catch {
            remove(object.identifier)
            throw UserError(error.description)
        }
    }

    /// Forgets an object.
    func remove(_ identifier: String) { lock.withLock { objects.removeAll { $0.identifier == identifier } } }

    // MARK: secrets

    func secret(_ identifier: String) throws(BlockError) -> [UInt8] { try secret(identifier, depth: 0) }

    private func secret(_ identifier: String, depth: Int) throws(BlockError) -> [UInt8] {
        guard case .secret(let secret)? = find(identifier)?.kind, depth < Self.deepest else {
            throw BlockError(.notFound, "No secret with id '\(identifier)'")
        }
        var bytes = try content(of: secret.source)
        if secret.isBase64 { bytes = try decoded(bytes) }
        guard let key = secret.key else { return bytes }
        return try SecretDecryption.decrypt(
            bytes, key: try self.secret(key.identifier, depth: depth + 1),
            vector: try decoded(Array(key.vector.utf8)))
    }

    private func decoded(_ bytes: [UInt8]) throws(BlockError) -> [UInt8] {
        guard let decoded = Base64.decode(bytes, passingOver: .lineEnds) else {
            throw BlockError(.invalidArgument, "Base64 data contains invalid characters")
        }
        return decoded
    }

    private func content(of source: SecretSpec.Source) throws(BlockError) -> [UInt8] {
        switch source {
        case .data(let text): return Array(text.utf8)
        case .file(let path):
            do throws(Errno) {
                let file = try FileDescriptor.open(path)
                let buffer = AlignedBuffer(count: Self.longest)
                // Written only inside the buffer, which lives for the call.
                let count = try unsafe file.read(into: buffer.region.buffer)
                return buffer.region.slice(0, count).bytes
            } catch { throw BlockError(system: error, "Unable to read \(path)") }
        }
    }

    // MARK: certificates

    func credentials(_ identifier: String) throws(BlockError) -> TLSCredentials {
        guard let object = find(identifier) else {
            throw BlockError(.notFound, "No TLS credentials with id '\(identifier)'")
        }
        guard case .certificates(let files) = object.kind else {
            throw BlockError(.invalidArgument, "Object with id '\(identifier)' is not TLS credentials")
        }
        var password: String?
        if let name = files.passwordSecret { password = String(decoding: try secret(name), as: UTF8.self) }
        do throws(TLSError) {
            return try TLSCredentials(
                certificatesIn: files.directory, role: files.isServer ? .server : .client,
                verifiesPeer: files.verifiesPeer, priority: files.priority, keyPassword: password,
                checksDates: files.checksDates)
        } catch { throw BlockError(.invalidArgument, error.description) }
    }
}
