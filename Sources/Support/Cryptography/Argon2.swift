// SPDX-License-Identifier: Apache-2.0

internal import CArgon2

/// Argon2 (RFC 9106): keys from passphrases at the price of memory.
public enum Argon2: String, Sendable {
    case argon2i, argon2id

    /// Derives a key.
    /// - Parameters:
    ///   - passes: over the memory, 1 or more.
    ///   - memory: KiB, at least 8 for each lane.
    ///   - lanes: threads that work at the same time, 1 or more.
    ///   - count: bytes of the key.
    /// - Throws: where the library is not installed, or refuses a parameter.
    public func deriveKey(
        password: [UInt8], salt: [UInt8], passes: UInt32, memory: UInt32, lanes: UInt32, count: Int
    ) throws(CryptographyError) -> [UInt8] {
        var reason: UnsafePointer<CChar>?
        // The reason is a text in static memory.
        guard unsafe roost_argon2_load(&reason) == 0 else {
            let text = unsafe reason.map { unsafe String(cString: $0) } ?? ""
            throw CryptographyError("\(rawValue) needs the package libargon2-1: \(text)")
        }
        guard count >= 4, count <= 1 << 20 else { throw CryptographyError("\(rawValue) cannot make \(count) bytes") }
        var key = [UInt8](repeating: 0, count: count)
        // Each buffer is passed with its own length; the library has been loaded.
        let status = unsafe key.withUnsafeMutableBytes { output in
            unsafe roost_argon2(
                self == .argon2id ? 1 : 0, passes, memory, lanes, password, password.count, salt, salt.count,
                output.baseAddress, output.count)
        }
        guard status == 0 else {
            // A text in static memory for every number.
            throw CryptographyError("\(rawValue): \(unsafe String(cString: roost_argon2_text(status)))")
        }
        return key
    }
}
