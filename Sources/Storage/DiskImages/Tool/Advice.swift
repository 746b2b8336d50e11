// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import CommandLineKit

/// What people can do about a failure. Whoever calls the program qemu-img gets qemu-img's words alone.
enum Advice {
    /// What else people call the verbs.
    static let verbSynonyms = [
        "cat": "dd", "clone": "convert", "cmp": "compare", "copy": "convert", "cp": "convert", "delete": "snapshot -d",
        "diff": "compare", "expand": "resize", "export": "serve", "extend": "resize", "fsck": "check", "grow": "resize",
        "inspect": "info", "list": "snapshot -l", "ls": "info", "make": "create", "merge": "commit", "mount": "serve",
        "nbd": "serve", "new": "create", "repair": "check -r all", "restore": "snapshot -a", "revert": "snapshot -a",
        "show": "info", "shrink": "resize --shrink", "size": "measure", "snap": "snapshot", "stat": "info",
        "verify": "check",
    ]

    /// What else people call the formats: by their file names' endings or their vendors' names.
    static let formatSynonyms = [
        "bin": "raw", "dd": "raw", "hyper-v": "vhdx", "hyperv": "vhdx", "img": "raw", "iso": "raw", "qcow3": "qcow2",
        "vhd": "vpc", "virtualbox": "vdi", "vmware": "vmdk",
    ]

    /// The formats that a file name's ending promises.
    private static let endings = [
        "luks": "luks", "qcow": "qcow", "qcow2": "qcow2", "qed": "qed", "vdi": "vdi", "vhd": "vpc", "vhdx": "vhdx",
        "vmdk": "vmdk",
    ]

    /// What a mistyped verb was meant to be, in brackets; empty when nothing is near.
    static func verb(_ text: String, among verbs: [String]) -> String {
        if let known = verbSynonyms[text.lowercased()] { return " (did you mean '\(known)'?)" }
        let near = Suggestion.nearest(to: text, among: verbs)
        let begun = verbs.sorted().first { $0.hasPrefix(text.prefix(2)) }
        return (near ?? begun).map { " (did you mean '\($0)'?)" } ?? ""
    }

    /// Which format was meant.
    static func format(_ text: String, among names: [String]) -> String {
        if let known = formatSynonyms[text.lowercased()] { return "The format of such images is called '\(known)'." }
        if let near = Suggestion.nearest(to: text, among: names) { return "Did you mean '\(near)'?" }
        return "Formats: \(names.sorted().joined(separator: " "))"
    }

    /// Which option was meant.
    static func option(_ text: String, among names: [String]) -> String? {
        if formatSynonyms[text] != nil || endings[text] != nil {
            return
                "The format of a new image is given with -f (create) or -O (convert), its options with -o name=value."
        }
        let plain = text.map { $0 == "-" ? "_" : String($0) }.joined()
        if names.contains(plain) { return "Did you mean '\(plain)'?" }
        return Suggestion.nearest(to: text, among: names).map { "Did you mean '\($0)'?" }
            ?? "Options: \(names.sorted().joined(separator: " "))"
    }

    /// The format that a new file's name promises, when it is not the one that it gets.
    static func promisedFormat(_ filename: String, unless format: String) -> String? {
        guard let dot = filename.lastIndex(of: ".") else { return nil }
        let ending = filename[filename.index(after: dot)...].lowercased()
        return endings[ending].flatMap { $0 == format ? nil : $0 }
    }

    /// Whether a text can be meant as a size.
    static func isSize(_ text: String) -> Bool {
        let body = text.hasPrefix("+") || text.hasPrefix("-") ? String(text.dropFirst()) : text
        return (try? ByteSize.parse(body, kind: true)) != nil
    }

    /// Lines about what a failure is about.
    static func lines(_ error: BlockError, formats: [String]) -> [String] {
        switch error.subject {
        case .file(let path): return HostFiles.advice(path, error.kind)
        case .format(let name): return [format(name, among: formats)]
        case .option(let name, let known): return option(name, among: known).map { [$0] } ?? []
        case .scheme(let name):
            return ["If '\(name)' is the beginning of a file's name, write ./\(name):... or file:\(name):..."]
        case nil: return []
        }
    }
}
