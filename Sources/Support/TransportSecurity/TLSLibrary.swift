// SPDX-License-Identifier: Apache-2.0

internal import CGnuTLS

/// A failure of an encrypted connection or of what it was to be made with.
public struct TLSError: Error, Sendable, CustomStringConvertible {
    /// A sentence for people.
    public let description: String
    /// Whether the peer went away without a goodbye.
    public let isDisconnection: Bool

    init(_ description: String, isDisconnection: Bool = false) {
        self.description = description
        self.isDisconnection = isDisconnection
    }
}

/// The loaded library.
///
/// Its table of functions lives in static memory that is written once, before this is made.
@safe
struct TLSLibrary: @unchecked Sendable {
    let functions: UnsafePointer<roost_gnutls>

    /// Loads it on first use.
    static func load() throws(TLSError) -> TLSLibrary {
        var reason: UnsafePointer<CChar>?
        // The reason, where there is one, is in static memory.
        guard let functions = unsafe roost_gnutls_load(&reason) else {
            let text = unsafe reason.map { unsafe String(cString: $0) } ?? "libgnutls cannot be loaded"
            throw TLSError("TLS needs the package libgnutls30: \(text)")
        }
        return unsafe TLSLibrary(functions: functions)
    }

    /// What the library says of a status.
    func text(_ status: Int32) -> String {
        // A text in static memory for every number.
        unsafe functions.pointee.strerror(status).map { unsafe String(cString: $0) } ?? "status \(status)"
    }

    /// Fails with the library's own words unless the status is a success.
    func check(_ status: Int32, _ what: String) throws(TLSError) {
        if status < 0 { throw TLSError("\(what): \(text(status))") }
    }
}
