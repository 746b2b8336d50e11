// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
internal import Diagnostics

/// Reads -object.
enum ObjectReader {
    static let types = [
        "rng-random", "rng-builtin", "memory-backend-ram", "memory-backend-file", "memory-backend-memfd", "iothread",
        "secret", "tls-creds-x509",
    ]
    private static let unavailable = [
        "rng-egd", "tls-creds-anon", "tls-creds-psk", "throttle-group", "filter-dump",
        "filter-mirror", "colo-compare", "can-bus", "authz-list", "authz-simple", "cryptodev-backend",
        "secret_keyring", "sev-guest", "input-linux", "pr-manager-helper", "thread-context", "x-remote-object",
    ]

    static func read(_ options: OptionList) throws(UserError) -> ObjectSpec {
        var list = options
        let type = try list.require("qom-type")
        guard types.contains(type) else {
            if unavailable.contains(type) {
                throw UserError("object type '\(type)' is not available", remedy: "see -help for those that are")
            }
            throw OptionValue.refusal(of: type, for: "qom-type", among: types)
        }
        let identifier = try OptionValue.identifier(try list.require("id"))
        let kind = try kind(type, &list)
        try list.finish()
        return ObjectSpec(identifier: identifier, kind: kind)
    }

    private static func kind(_ type: String, _ list: inout OptionList) throws(UserError) -> ObjectSpec.Kind {
        switch type {
        case "rng-random": return .hostRandom(path: list.take("filename") ?? "/dev/urandom")
        case "rng-builtin": return .builtinRandom
        case "iothread":
            for key in ["poll-max-ns", "poll-grow", "poll-shrink", "aio-max-batch"] {
                try list.refuse(key, except: ["0"], because: "I/O threads do not poll")
            }
            return .ioThread
        case "secret": return .secret(try secret(&list))
        case "tls-creds-x509": return .certificates(try DisplayReader.certificates(&list))
        default: return try memory(type, &list)
        }
    }

    private static func memory(_ type: String, _ list: inout OptionList) throws(UserError) -> ObjectSpec.Kind {
        guard let bytes = try list.takeSize("size"), bytes > 0 else {
            throw UserError("can't create backend with size 0", remedy: "add size=BYTES")
        }
        let share = try list.takeBool("share")
        let preallocates = try list.takeBool("prealloc") ?? false
        try list.refuse("host-nodes", except: [], because: "NUMA is not available")
        try list.refuse("policy", except: ["default"], because: "NUMA is not available")
        try list.refuse("merge", except: ["off"], because: "the host's page merging is not asked for")
        try list.refuse("dump", except: ["on"], because: "use -machine dump-guest-core=off")
        try list.refuse("reserve", except: ["on"], because: "the host always reserves room")
        try list.refuse("prealloc-threads", except: ["1"], because: "one thread touches the memory")
        try list.refuse("x-use-canonical-path-for-ramblock-id", except: ["off", "on"], because: "it takes on or off")
        switch type {
        case "memory-backend-ram": return .memory(bytes: bytes, share: share ?? false, preallocates: preallocates)
        case "memory-backend-memfd":
            try list.refuse("hugetlb", except: ["off"], because: "huge pages are not available")
            try list.refuse("seal", except: ["off"], because: "memory files are not sealed")
            return .memoryDescriptor(bytes: bytes, share: share ?? true, preallocates: preallocates)
        default:
            let path = try list.require("mem-path")
            try list.refuse("pmem", except: ["off"], because: "persistent memory is not available")
            try list.refuse("discard-data", except: ["off"], because: "file contents are kept")
            try list.refuse("align", except: ["0"], because: "pages of 4 KiB are used")
            return .memoryFile(
                bytes: bytes, path: path, share: share ?? false, preallocates: preallocates,
                readOnly: try list.takeBool("readonly") ?? false)
        }
    }

    private static func secret(_ list: inout OptionList) throws(UserError) -> SecretSpec {
        let data = list.take("data"), file = list.take("file")
        let format = list.take("format") ?? "raw"
        guard ["raw", "base64"].contains(format) else {
            throw OptionValue.refusal(of: format, for: "format", among: ["raw", "base64"])
        }
        let key = list.take("keyid"), vector = list.take("iv")
        let source: SecretSpec.Source
        switch (data, file) {
        case (let data?, nil): source = .data(data)
        case (nil, let file?): source = .file(file)
        case (nil, nil): throw UserError("Must provide 'file' or 'data'")
        default: throw UserError("'file' and 'data' are mutually exclusive")
        }
        var encryption: SecretSpec.Key?
        if let key {
            guard let vector else { throw UserError("IV is required to decrypt secret") }
            encryption = SecretSpec.Key(identifier: key, vector: vector)
        } else if vector != nil {
            throw UserError("Parameter 'iv' needs 'keyid'")
        }
        return SecretSpec(source: source, isBase64: format == "base64", key: encryption)
    }
}
