// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import CCurl
internal import Glibc
internal import HostSystem

/// What every request for a file has.
struct HTTPParameters: Sendable {
    var url = ""
    var cookie: String?
    var username: String?
    var password: String?
    var proxyUsername: String?
    var proxyPassword: String?
    var verifies = true
    /// For one request.
    var seconds = 5
}

/// A connection of libcurl's, kept open between requests. One thread at a time uses it.
@safe
final class HTTPConnection: @unchecked Sendable {
    // Made in init and freed in deinit, used by one thread at a time.
    private let handle: UnsafeMutableRawPointer

    init(_ parameters: HTTPParameters) throws(BlockError) {
        var reason: UnsafePointer<CChar>?
        // The reason is a text in static memory.
        guard unsafe roost_curl_load(&reason) == 0 else {
            let text = unsafe reason.map { unsafe String(cString: $0) } ?? ""
            throw BlockError(
                .notSupported, "Files on web servers need the package libcurl3-gnutls: \(text)",
                advice: "Install it with: apt-get install libcurl3-gnutls")
        }
        guard let handle = unsafe Self.open(parameters) else {
            throw BlockError(system: .noMemory, "CURL: Error opening file: curl library initialization failed")
        }
        unsafe self.handle = handle
    }

    private static func open(_ parameters: HTTPParameters) -> UnsafeMutableRawPointer? {
        // Copies that are freed below; libcurl makes its own.
        let texts = unsafe [
            parameters.url, parameters.cookie, parameters.username, parameters.password, parameters.proxyUsername,
            parameters.proxyPassword,
        ].map { text in unsafe text.flatMap { unsafe strdup($0) } }
        defer { unsafe texts.forEach { unsafe free($0) } }
        var options = unsafe roost_curl_options()
        unsafe options.url = UnsafePointer(texts[0])
        unsafe options.cookie = UnsafePointer(texts[1])
        unsafe options.username = UnsafePointer(texts[2])
        unsafe options.password = UnsafePointer(texts[3])
        unsafe options.proxy_username = UnsafePointer(texts[4])
        unsafe options.proxy_password = UnsafePointer(texts[5])
        unsafe options.verifies = parameters.verifies ? 1 : 0
        unsafe options.timeout = parameters.seconds
        return unsafe roost_curl_open(&options)
    }

    deinit { unsafe roost_curl_close(handle) }

    /// The length of the file, which must be one that is served in parts.
    func length() throws(BlockError) -> Int64 {
        var facts = roost_curl_facts()
        // Both live for the call; the error's buffer has the length that the shim fills at most.
        try unsafe call("CURL: Error opening file") { error in unsafe roost_curl_facts(handle, &facts, error) }
        guard facts.length >= 0 else {
            throw BlockError(.inputOutput, "CURL: Error opening file: Server didn't report file size.")
        }
        guard facts.has_ranges != 0 else {
            throw BlockError(
                .inputOutput, "CURL: Error opening file: Server does not support 'range' (byte ranges).",
                advice: "Download the file first")
        }
        return facts.length
    }

    /// Fills the region; the range must lie inside the file.
    func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        var done = 0
        // The region outlives the call, which writes at most its length.
        try unsafe call("CURL: Error reading \(region.count) bytes at \(offset)") { error in
            unsafe roost_curl_read(handle, offset, region.base, region.count, &done, error)
        }
        guard done == region.count else {
            throw BlockError(
                .inputOutput, "CURL: Error reading \(region.count) bytes at \(offset): only \(done) bytes arrived")
        }
    }

    private func call(_ what: String, _ body: (UnsafeMutablePointer<CChar>) -> Int32) throws(BlockError) {
        var error = [CChar](repeating: 0, count: Int(ROOST_CURL_ERROR))
        // The buffer has the length that the shim fills at most, with a zero at the end.
        let status = unsafe error.withUnsafeMutableBufferPointer { unsafe body($0.baseAddress!) }
        guard status != 0 else { return }
        let text = String(decoding: error.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        throw BlockError(.inputOutput, "\(what): \(text)")
    }
}
