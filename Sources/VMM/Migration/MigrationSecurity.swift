// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
public import TransportSecurity

/// What the connections of a move are encrypted with; both sides need it.
public struct MigrationSecurity: Sendable {
    let credentials: TLSCredentials
    /// What the other side's certificate must be made out to; nil for the host that is connected to.
    let hostname: String?
    /// The distinguished name that the other side's certificate must have; nil for any.
    let authorizedName: String?

    /// All parts; an empty name counts as none.
    /// - Parameter credentials: a client's for the side that sends, a server's for the other.
    public init(_ credentials: TLSCredentials, hostname: String = "", authorizedName: String = "") {
        self.credentials = credentials
        self.hostname = hostname.isEmpty ? nil : hostname
        self.authorizedName = authorizedName.isEmpty ? nil : authorizedName
    }

    /// Agrees with the other side of a socket.
    func session(on descriptor: Int32, host: String?) throws(UserError) -> TLSSession {
        let session: TLSSession, name: String?
        do throws(TLSError) {
            session = try TLSSession(credentials, descriptor: descriptor, hostname: hostname ?? host)
            name = try session.handshake()
        } catch { throw UserError(error.description) }
        if let authorizedName, authorizedName != name {
            throw UserError("TLS x509 authz check for \(name ?? "no certificate") is denied")
        }
        return session
    }
}

extension MigrationChannel {
    /// Sends some of the bytes through the session.
    static func send(_ bytes: ArraySlice<UInt8>, by session: TLSSession) throws(UserError) -> Int {
        // Only read, during the call.
        let result: Result<Int, TLSError> = unsafe bytes.withUnsafeBytes { part in
            do throws(TLSError) { return .success(try unsafe session.send(part)) } catch { return .failure(error) }
        }
        do throws(TLSError) { return try result.get() } catch {
            throw UserError("the other side is gone", because: error.description)
        }
    }

    /// Receives some bytes through the session into the array from a place on, which lies inside it.
    static func receive(
        into bytes: inout [UInt8], from place: Int, by session: TLSSession
    ) throws(UserError) -> Int {
        // Written only behind the place, during the call.
        let result: Result<Int, TLSError> = unsafe bytes.withUnsafeMutableBytes { buffer in
            do throws(TLSError) {
                return .success(
                    try unsafe session.receive(into: UnsafeMutableRawBufferPointer(rebasing: buffer[place...])))
            } catch { return .failure(error) }
        }
        do throws(TLSError) { return try result.get() } catch {
            throw UserError("cannot read the saved state", because: error.description)
        }
    }
}
