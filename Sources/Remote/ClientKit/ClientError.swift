// SPDX-License-Identifier: Apache-2.0

public import HostSystem

/// Why a client's call did not succeed.
public enum ClientError: Error, Equatable, Sendable, CustomStringConvertible {
    /// No server could be reached at the path.
    case unreachable(path: String, Errno)
    /// The connection ended while something was under way.
    case connectionLost(String)
    /// The server sent something that is not of the protocol.
    case brokenProtocol(String)
    /// The server refused: libvirt's error number (virErrorNumber) and its words.
    case refused(code: Int32, message: String)

    /// One line; a refusal is the server's own sentence.
    public var description: String {
        switch self {
        case .unreachable(let path, let error): "no server answers at \(path): \(error)"
        case .connectionLost(let why): "the server closed the connection: \(why)"
        case .brokenProtocol(let what): "the server breaks the protocol: \(what)"
        case .refused(_, let message): message
        }
    }

    /// The server's error number; nil for other errors.
    public var code: Int32? { if case .refused(let code, _) = self { code } else { nil } }
}
