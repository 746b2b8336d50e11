// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

/// The `http` and `https` protocols: files on web servers that serve ranges, to be read.
public struct HTTPDriver: ProtocolDriver {
    /// "http" or "https".
    public let name: String

    /// Both drivers.
    public static let all = [HTTPDriver(name: "http"), HTTPDriver(name: "https")]

    private init(name: String) { self.name = name }

    /// The driver's own name.
    public var schemes: [String] { [name] }

    /// The whole name is the URL.
    public func parse(filename: String) throws(BlockError) -> BlockOptions {
        BlockOptions([("url", .string(filename))])
    }

    /// Asks the server for the file's length. Options: `url`, `readahead` (bytes, 256 KiB), `timeout` (seconds, 5),
    /// `sslverify`, `cookie` or `cookie-secret`, `username` with `password-secret`, the same two with `proxy-`.
    public func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        let readahead = try request.options.takeSize("readahead") ?? Self.defaultReadahead
        guard readahead & 511 == 0 else {
            throw BlockError(.invalidArgument, "HTTP_READAHEAD_SIZE \(readahead) is not a multiple of 512")
        }
        var parameters = HTTPParameters()
        let timeout = try request.options.takeNumber("timeout") ?? Int64(parameters.seconds)
        guard timeout >= 0, timeout <= Self.longestTimeout else {
            throw BlockError(.invalidArgument, "timeout parameter is too large or negative")
        }
        parameters.seconds = Int(timeout)
        var kept = BlockOptions()
        let verifies = request.options["sslverify"]
        parameters.verifies = try request.options.takeBool("sslverify") ?? true
        if !parameters.verifies { kept["sslverify"] = verifies }
        try takeSecrets(&request, &parameters, &kept)
        guard let url = request.options.take("url") else {
            throw BlockError(.invalidArgument, "curl block driver requires an 'url' option")
        }
        guard url.hasPrefix(name + "://") else {
            throw BlockError(
                .invalidArgument,
                "\(name) curl driver cannot handle the URL '\(url)' (does not start with '\(name)://')")
        }
        parameters.url = url
        guard !request.flags.isWritable else {
            throw BlockError(
                .readOnly, "curl driver does not support writes", errno: .accessDenied,
                advice: "Convert it to a local file first, or make an overlay with: roost-img create -f qcow2 -b URL")
        }
        return try HTTPNode(parameters, driver: name, readahead: readahead, kept: kept)
    }

    private static let defaultReadahead: Int64 = 256 << 10
    private static let longestTimeout: Int64 = 10000

    private func takeSecrets(
        _ request: inout OpenRequest, _ parameters: inout HTTPParameters, _ kept: inout BlockOptions
    ) throws(BlockError) {
        func secret(_ name: String) throws(BlockError) -> String? {
            guard let identifier = request.options.take(name) else { return nil }
            kept[name] = .string(identifier)
            return String(decoding: try request.graph.secrets.secret(identifier), as: UTF8.self)
        }
        func text(_ name: String) -> String? {
            guard let value = request.options.take(name) else { return nil }
            kept[name] = .string(value)
            return value
        }
        let cookie = text("cookie")
        let hidden = try secret("cookie-secret")
        if cookie != nil, hidden != nil {
            throw BlockError(.invalidArgument, "curl driver cannot handle both cookie and cookie secret")
        }
        parameters.cookie = cookie ?? hidden
        parameters.username = text("username")
        parameters.password = try secret("password-secret")
        parameters.proxyUsername = text("proxy-username")
        parameters.proxyPassword = try secret("proxy-password-secret")
    }
}
