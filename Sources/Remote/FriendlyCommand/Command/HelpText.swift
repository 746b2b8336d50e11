// SPDX-License-Identifier: Apache-2.0

/// Help, the manual page and completion, made from the verbs.
package enum HelpText {
    private static let globalOptions = [
        VerbOption("connect", "URI", "the server: qemu:///system (root's) or qemu:///session (your own)"),
        VerbOption("socket", "PATH", "the server's socket, for a private one"),
        VerbOption("json", nil, "results as JSON"),
    ]

    /// What `roost --help` prints.
    package static func overview(_ verbs: [Verb]) -> String {
        var text = """
            roost: virtual machines, their disks and networks.

            Usage: roost [--connect URI] [--socket PATH] [--json] VERB ...


            """
        let width = verbs.map { short($0).count }.max() ?? 0
        for verb in verbs { text += "  " + padded(short(verb), width) + "  " + verb.help + "\n" }
        return text + "\nroost help VERB says more about one of them.\n"
    }

    private static func short(_ verb: Verb) -> String {
        ([verb.name] + verb.arguments.map(\.synopsis)).joined(separator: " ")
    }

    private static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    /// What `roost help VERB` prints.
    package static func page(_ verb: Verb) -> String {
        var text = "Usage: \(verb.synopsis)\n\n\(verb.help)\n"
        guard !verb.options.isEmpty else { return text }
        text += "\n"
        let names = verb.options.map { "--\($0.name)\($0.value.map { " " + $0 } ?? "")" }
        let width = names.map(\.count).max() ?? 0
        for (name, option) in zip(names, verb.options) {
            text += "  " + padded(name, width) + "  " + option.help + "\n"
        }
        return text
    }

    // MARK: Manual page

    /// roost(1) in the man macros.
    package static func manual(_ verbs: [Verb]) -> String {
        var text = """
            .TH ROOST 1
            .SH NAME
            roost \\- virtual machines, their disks and networks
            .SH SYNOPSIS
            .B roost
            [\\-\\-connect URI] [\\-\\-socket PATH] [\\-\\-json] VERB ...
            .SH DESCRIPTION
            Makes, runs and looks after virtual machines through roostd(8), or through libvirtd.
            .SH OPTIONS

            """
        text += globalOptions.map(entry).joined()
        text += ".SH VERBS\n"
        for verb in verbs {
            text += ".TP\n.B " + escaped(short(verb)) + "\n" + escaped(verb.help) + "\n"
            guard !verb.options.isEmpty else { continue }
            text += ".RS\n" + verb.options.map(entry).joined() + ".RE\n"
        }
        return text + """
            .SH ENVIRONMENT
            .TP
            .B LIBVIRT_DEFAULT_URI
            The server where \\-\\-connect does not name one.
            .SH EXIT STATUS
            0 when done, 1 for an error; ssh's or roost\\-img's own status where one of them was started.

            """
    }

    private static func entry(_ option: VerbOption) -> String {
        ".TP\n.B " + escaped("--\(option.name)\(option.value.map { " " + $0 } ?? "")") + "\n" + escaped(option.help)
            + "\n"
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "\\": result += "\\e"
            case "-": result += "\\-"
            default: result.append(character)
            }
        }
        return result.hasPrefix(".") || result.hasPrefix("'") ? "\\&" + result : result
    }

    // MARK: Completion

    /// A script that makes a shell complete roost's words by asking roost.
    /// - Returns: nil for a shell that is not known.
    package static func completionScript(_ shell: String) -> String? {
        switch shell {
        case "bash":
            """
            _roost() {
                local IFS=$'\\n'
                COMPREPLY=($(roost complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
                [ ${#COMPREPLY[@]} -eq 0 ] && COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}"))
            }
            complete -F _roost roost

            """
        case "zsh":
            """
            #compdef roost
            _roost() {
                local -a found
                found=("${(@f)$(roost complete -- "${words[@]:1:$((CURRENT-1))}" 2>/dev/null)}")
                if [[ -n "${found[1]}" ]]; then compadd -a found; else _files; fi
            }
            compdef _roost roost

            """
        case "fish":
            """
            complete -c roost -a '(roost complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'

            """
        default: nil
        }
    }

    /// The words that can stand where the last of `words` is being typed.
    /// - Parameter names: the names of existing things of a kind.
    package static func completions(_ words: [String], _ verbs: [Verb], names: (ArgumentKind) -> [String]) -> [String] {
        let typed = words.last ?? ""
        let before = words.dropLast()
        func matching(_ candidates: [String]) -> [String] {
            var seen: Set<String> = []
            return candidates.filter { $0.hasPrefix(typed) && seen.insert($0).inserted }
        }
        let chosen = verbs.filter { before.starts(with: $0.words) }.max { $0.words.count < $1.words.count }
        guard let verb = chosen else {
            let started = verbs.filter { $0.words.starts(with: before) && $0.words.count > before.count }
            return matching(started.map { $0.words[before.count] })
        }
        if typed.hasPrefix("-") { return matching(verb.options.map { "--" + $0.name } + ["--help", "--json"]) }
        var place = 0
        var takesValue = false
        for word in before.dropFirst(verb.words.count) {
            if takesValue {
                takesValue = false
            } else if word.hasPrefix("-") {
                takesValue = verb.options.contains { "--" + $0.name == word && $0.value != nil }
            } else {
                place += 1
            }
        }
        guard !takesValue else { return [] }
        let argument = place < verb.arguments.count ? verb.arguments[place] : verb.arguments.last { $0.isRest }
        return argument.map { matching(names($0.kind)) } ?? []
    }
}
