// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
internal import Diagnostics

/// Reads -vnc, -display and TLS objects.
enum DisplayReader {
    /// The port of display 0, for viewers and for browsers.
    private static let firstPort = 5900, firstWebPort = 5700
    private static let lastPort = 65535

    /// QEMU's server where nobody said anything of a display.
    static var defaultServer: VNCServerSpec {
        VNCServerSpec(address: .tcp(host: "localhost", firstPort: firstPort, lastPort: firstPort + 99))
    }

    /// The value of -vnc, and of -display behind `vnc=`.
    static func server(_ text: String, number: Int) throws(UserError) -> VNCServerSpec {
        var list = try OptionList(parsing: text, implied: "vnc")
        guard let place = list.take("vnc"), !place.isEmpty else { throw UserError("missing VNC display argument") }
        let last = try list.takeInteger("to", in: 0...lastPort)
        var server = VNCServerSpec(address: try address(place, last: last))
        server.identifier = list.take("id") ?? (number == 0 ? "default" : "vnc\(number + 1)")
        if let web = list.take("websocket") { server.webAddress = try webAddress(web, of: server.address) }
        server.ipv4 = try list.takeBool("ipv4") ?? true
        server.ipv6 = try list.takeBool("ipv6") ?? true
        server.needsPassword = try list.takeBool("password") ?? false
        server.passwordSecret = list.take("password-secret")
        if server.passwordSecret != nil {
            guard !server.needsPassword else {
                throw UserError("'password' flag is redundant with 'password-secret'")
            }
            server.needsPassword = true
        }
        server.credentials = list.take("tls-creds")
        if let policy = list.take("share") {
            let words = ["ignore", "allow-exclusive", "force-shared"]
            guard words.contains(policy) else { throw OptionValue.refusal(of: policy, for: "share", among: words) }
            server.sharePolicy = policy
        }
        server.allowsPowerControl = try list.takeBool("power-control") ?? false
        server.display = list.take("display")
        try refuseRest(&list)
        return server
    }

    /// What Roost does in one way only.
    private static func refuseRest(_ list: inout OptionList) throws(UserError) {
        let off = ["off", "no", "false", "n"], on = ["on", "yes", "true", "y"]
        try list.refuse("sasl", except: off, because: "SASL is not available")
        try list.refuse("sasl-authz", except: [], because: "SASL is not available")
        try list.refuse("tls-authz", except: [], because: "certificates are checked by their authority alone")
        try list.refuse("reverse", except: off, because: "the server does not connect to viewers")
        // Pictures are always exact, and what changes fast costs no more than its encoding.
        try list.refuse("lossy", except: off, because: "pictures are never made worse")
        try list.refuse("non-adaptive", except: on + off, because: "it takes on or off")
        try list.refuse("key-delay-ms", except: ["0", "10"], because: "keys go to the guest as they come")
        try list.refuse("lock-key-sync", except: on + off, because: "it takes on or off")
        try list.refuse("audiodev", except: [], because: "there is no sound")
        try list.refuse("head", except: ["0"], because: "a display device has one screen")
        try list.finish()
    }

    /// `none`, `unix:PATH`, `HOST:DISPLAY`.
    static func address(_ text: String, last: Int?) throws(UserError) -> VNCServerSpec.Address {
        if text == "none" { return .none }
        if text.hasPrefix("unix:") { return .unix(path: String(text.dropFirst("unix:".utf8.count))) }
        guard let colon = text.lastIndex(of: ":") else { throw UserError("no vnc port specified") }
        let host = text[..<colon].filter { $0 != "[" && $0 != "]" }
        guard let display = Int(text[text.index(after: colon)...]), (0...lastPort - firstPort).contains(display) else {
            throw UserError("error parsing vnc port", because: "'\(text)'", remedy: "write HOST:DISPLAY, such as :1")
        }
        let first = firstPort + display
        return .tcp(
            host: String(host), firstPort: first, lastPort: max(first, min(firstPort + (last ?? display), lastPort)))
    }

    /// on, a port, or HOST:PORT.
    private static func webAddress(
        _ text: String, of server: VNCServerSpec.Address
    ) throws(UserError) -> VNCServerSpec.Address {
        guard case .tcp(let host, let first, let last) = server else {
            throw UserError("websockets are only for servers with a TCP port")
        }
        if text == "on" {
            return .tcp(
                host: host, firstPort: first - firstPort + firstWebPort, lastPort: last - firstPort + firstWebPort)
        }
        let colon = text.lastIndex(of: ":")
        let own = colon.map { String(text[..<$0].filter { $0 != "[" && $0 != "]" }) } ?? host
        let digits = colon.map { text[text.index(after: $0)...] } ?? text[...]
        guard let port = Int(digits), (0...lastPort).contains(port) else {
            throw UserError("Parameter 'websocket' expects on, a port or HOST:PORT", because: "not '\(text)'")
        }
        return .tcp(host: own, firstPort: port, lastPort: port)
    }

    /// The value of -display: nil for none.
    static func display(_ text: String, number: Int) throws(UserError) -> VNCServerSpec? {
        if text == "none" { return nil }
        if text.hasPrefix("vnc=") { return try server(String(text.dropFirst("vnc=".utf8.count)), number: number) }
        if text == "vnc" { throw UserError("VNC requires a display argument vnc=<display>") }
        throw UserError(
            "'\(text)' is not available", because: "there are no windows here", remedy: "use vnc=:0 or none")
    }

    /// `tls-creds-x509`.
    static func certificates(_ list: inout OptionList) throws(UserError) -> CertificatesSpec {
        let directory = try list.require("dir")
        let endpoint = list.take("endpoint") ?? "client"
        guard ["client", "server"].contains(endpoint) else {
            throw OptionValue.refusal(of: endpoint, for: "endpoint", among: ["client", "server"])
        }
        return CertificatesSpec(
            directory: directory, isServer: endpoint == "server",
            verifiesPeer: try list.takeBool("verify-peer") ?? true, priority: list.take("priority"),
            passwordSecret: list.take("passwordid"), checksDates: try list.takeBool("sanity-check") ?? true)
    }
}
