// SPDX-License-Identifier: Apache-2.0

internal import BlockFilters
internal import BlockLayer
internal import HostSystem

/// The command `roost-img`, which under the name `qemu-img` names itself so.
public final class ImageTool {
    /// The name in messages.
    public let name: String
    let output: (String) -> Void
    let errors: @Sendable (String) -> Void
    let flush: () -> Void
    /// Whether people look at the output: a progress bar may be drawn over itself.
    let isTerminal: Bool
    private(set) var graph: BlockGraph
    private let secrets = SecretStore()
    let connectionObjects = ConnectionObjects()
    private let throttles = ThrottleGroups()

    /// - Parameters:
    ///   - name: how the program was called, without its folder.
    ///   - output: gets text for standard output.
    ///   - errors: gets text for standard error; may be called from several threads.
    ///   - flush: called before an error is told, so that what was said before comes before it.
    public init(
        name: String, isTerminal: Bool = false, output: @escaping (String) -> Void,
        errors: @escaping @Sendable (String) -> Void, flush: @escaping () -> Void = {}
    ) {
        self.flush = flush
        self.name = name
        self.isTerminal = isTerminal
        self.output = output
        self.errors = errors
        graph = DiskImages.graph(
            secrets: secrets, credentials: connectionObjects, throttles: throttles,
            warn: { errors(($0.hasPrefix("warning: ") ? "\(name): " : "") + $0 + "\n") })
    }

    /// Called as qemu-img: nothing but what qemu-img says is said.
    var isDropIn: Bool { name == "qemu-img" || isServer }

    /// Long work shows a bar without being asked.
    var hasProgressBar: Bool { isTerminal && !isDropIn }

    /// Runs one command line (without the program's name).
    /// - Returns: the exit status.
    public func run(_ arguments: [String]) -> Int32 {
        do {
            return try dispatch(arguments)
        } catch let exit as Exit {
            settle()
            for line in exit.lines { errors(line) }
            return exit.status
        } catch let failure as OptionParser.Failure {
            settle()
            errors("\(name): \(text(failure))\n")
            errors(tryHelp)
            return 1
        } catch {
            errors("\(name): \(error)\n")
            return 1
        }
    }

    func text(_ failure: OptionParser.Failure) -> String {
        switch failure {
        case .missingValue(let option): "missing argument for option '\(option)'"
        case .unknown(let option, let near):
            "unrecognized option '\(option)'"
                + (isDropIn ? "" : near.map { " (did you mean '\($0)'?)" } ?? "")
        }
    }

    /// What was said before comes before what is said now; in a pipe qemu-img says errors first, and scripts know it so.
    func settle() { if !isDropIn || isTerminal { flush() } }

    var tryHelp: String { "Try '\(name) --help' for more information\n" }

    /// Called as qemu-nbd: the verb is `serve`.
    var isServer: Bool { name == "qemu-nbd" }

    private func dispatch(_ arguments: [String]) throws -> Int32 {
        if isServer { return try serve(arguments) }
        var rest = arguments[...]
        while let first = rest.first, first.hasPrefix("-"), first != "-" {
            rest.removeFirst()
            if first == "--" { break }
            switch first {
            case "-h", "--help", "--hel", "--he", "--h": return help()
            case "-V", "--version": return version()
            case "-T", "--trace":
                guard let event = rest.popFirst() else { throw OptionParser.Failure.missingValue(first) }
                // There are no trace points here, so that there is none of this name.
                warning("trace event '\(event)' does not exist")
                if isDropIn, rest.isEmpty { return 0 }
            default: throw OptionParser.Failure.unknown(first)
            }
        }
        guard let verb = rest.popFirst() else { throw usage("Not enough arguments") }
        if !isDropIn, verb == "help" { return help() }
        if !isDropIn, verb == "version" { return version() }
        guard let body = verbs[verb] else { throw usage("Command not found: \(verb)\(suggestion(verb))") }
        return try body(Array(rest))
    }

    private var verbs: [String: ([String]) throws -> Int32] {
        [
            "amend": amend, "bench": bench, "bitmap": bitmap, "check": check, "commit": commit, "compare": compare,
            "convert": convert, "create": create, "dd": dd, "info": info, "map": map, "measure": measure,
            "rebase": rebase, "resize": resize, "serve": serve, "snapshot": snapshot,
        ]
    }

    private func suggestion(_ verb: String) -> String {
        if isDropIn { return "" }
        let verbs = verbs.keys.sorted()
        guard HostFiles.exists(verb), Advice.verbSynonyms[verb] == nil else { return Advice.verb(verb, among: verbs) }
        return " (did you mean 'info \(verb)'?)"
    }

    // MARK: Ends and messages

    /// The end of a verb before its last line.
    struct Exit: Error {
        let status: Int32
        var lines: [String]
    }

    func fail(_ message: String, status: Int32 = 1) -> Exit { Exit(status: status, lines: ["\(name): \(message)\n"]) }

    /// A failure with what stands before the cause's own words.
    func fail(_ prefix: String, _ error: BlockError, status: Int32 = 1) -> Exit {
        var lines = ["\(name): \(prefix)\(error.message)\n"]
        if isDropIn, let earlier = error.earlier { lines.insert("\(name): \(earlier)\n", at: 0) }
        if let hint = error.hint { lines.append(isDropIn && hint.hasPrefix("Detected format") ? hint : hint + "\n") }
        if !isDropIn {
            let more = Advice.lines(error, formats: graph.drivers.map(\.name))
            lines += ((error.advice.map { [$0] } ?? []) + more).map { $0 + "\n" }
        }
        return Exit(status: status, lines: lines)
    }

    /// - Parameter advice: a line for who is not called qemu-img.
    func usage(_ message: String, advice: String? = nil) -> Exit {
        let more = isDropIn ? nil : advice.map { $0 + "\n" }
        return Exit(status: 1, lines: ["\(name): \(message)\n"] + (more.map { [$0] } ?? []) + [tryHelp])
    }

    /// The end of a verb that wants one image and got none or several.
    func oneImage(_ operands: [String]) -> Exit {
        let joined = operands.joined(separator: " ")
        let hasSpaces = operands.count > 1 && HostFiles.exists(joined)
        return usage(
            "Expecting one image file name",
            advice: hasSpaces ? "A name with spaces has to be quoted: '\(joined)'" : nil)
    }

    /// The end of a verb that was given a format that does not exist.
    func unknownFormat(_ format: String) -> Exit {
        fail("", BlockError(.invalidArgument, "Unknown file format '\(format)'").about(.format(format)))
    }

    /// Says that a new image is raw, where its name promises another format and none was asked for.
    func noteFormat(of filename: String, given: String?, option: String) {
        guard !isDropIn, given == nil, let promised = Advice.promisedFormat(filename, unless: "raw") else { return }
        report(
            "note: '\(filename)' becomes a raw image, since no \(option) was given; for \(promised) add: \(option) \(promised)"
        )
    }

    func warning(_ message: String) { settle(); errors("\(name): warning: \(message)\n") }

    func report(_ message: String) { settle(); errors("\(name): \(message)\n") }

    /// A value of `-o`: several of them are joined with commas, so that none may take part in an escaped one.
    func optionList(_ text: String) throws -> String {
        let commas = text.reversed().prefix { $0 == "," }.count
        guard !text.isEmpty, !text.hasPrefix(","), commas % 2 == 0 else { throw fail("Invalid option list: \(text)") }
        return text
    }

    // MARK: Opening

    /// Options that many verbs share.
    func addSecret(_ text: String, status: Int32 = 1) throws {
        try attempt(status: status) { () throws(BlockError) in
            var options = try BlockOptions.parse(text, implied: "qom-type")
            guard options.string("qom-type") == "throttle-group" else {
                return try secrets.add(text, or: connectionObjects)
            }
            options["qom-type"] = nil
            try throttles.add(options)
        }
    }

    /// Opens an image as `-f`, `--image-opts` and the cache options say.
    func open(
        _ filename: String, format: String? = nil, isOptions: Bool = false, flags: OpenFlags,
        extra: BlockOptions = BlockOptions(), status: Int32 = 1
    ) throws -> any BlockNode {
        if isOptions, format != nil {
            throw fail("--image-opts and --format are mutually exclusive", status: status)
        }
        do {
            if isOptions {
                var options = try BlockOptions.parse(filename, implied: "file")
                if flags.forceShare, let share = options.string("force-share"), share != "on" {
                    throw fail("--force-share/-U conflicts with image options", status: status)
                }
                guard options.string("driver") != nil || options.hasSubtree("file") || options["file"] != nil else {
                    throw BlockError(.invalidArgument, "Must specify either driver or file")
                }
                for key in extra.keys { options[key] = extra[key] }
                return try graph.open(nil, options: options, flags: flags)
            }
            return try graph.open(filename, format: format, options: extra, flags: flags)
        } catch let exit as Exit {
            throw exit
        } catch let error as BlockError {
            throw fail(
                "Could not open '\(filename)': ", explained(error, filename, format, isOptions), status: status)
        }
    }

    /// What an image is that was opened in a format that it does not have.
    private func explained(
        _ error: BlockError, _ filename: String, _ format: String?, _ isOptions: Bool
    ) -> BlockError {
        guard !isDropIn, !isOptions, let format, error.kind == .invalidArgument, error.subject == nil else {
            return error
        }
        var flags = OpenFlags()
        flags.metadataOnly = true
        flags.withoutBacking = true
        flags.forceShare = true
        // Only a look: whatever keeps it from being opened is not what is to be told.
        guard let node = try? graph.open(filename, flags: flags) else { return error }
        let found = node.driverName
        closeQuietly(node)
        guard found != format else { return error }
        var failure = error
        failure.advice =
            found == "raw"
            ? "'\(filename)' does not begin like an image of the format '\(format)': it is raw, or damaged."
            : "'\(filename)' looks like an image of the format '\(found)': use -f \(found), or leave -f out."
        return failure
    }

    /// The page cache mode of `-t` or `-T`.
    func cacheMode(_ text: String, message: String, status: Int32 = 1) throws -> CacheMode {
        if text == "off" { return .none }
        guard let mode = CacheMode(rawValue: text) else { throw fail("\(message): \(text)", status: status) }
        return mode
    }

    func isJSON(_ text: String, status: Int32 = 1) throws -> Bool {
        switch text {
        case "json": return true
        case "human": return false
        default: throw fail("--output must be used with human or json as argument.", status: status)
        }
    }

    /// A size operand; qemu-img's words when it is none.
    func size(
        _ text: String, what: String, within range: ClosedRange<Int64> = 0...Int64.max, status: Int32 = 1
    ) throws -> Int64 {
        let wrong = "Invalid \(what) specified. Must be between \(range.lowerBound) and \(range.upperBound)."
        do {
            let size = try ByteSize.parse(text, kind: !isDropIn)
            guard range.contains(size) else { throw fail(wrong, status: status) }
            return size
        } catch ByteSize.Failure.outOfRange {
            throw fail(wrong, status: status)
        } catch let exit as Exit {
            throw exit
        } catch {
            throw Exit(
                status: status,
                lines: [
                    "\(name): Invalid \(what) specified. You may use k, M, G, T, P or E suffixes for\n",
                    "\(name): kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.\n",
                ])
        }
    }
}

/// Calls `body` and turns a block layer's failure into the end of the verb.
extension ImageTool {
    func attempt<R>(_ prefix: String = "", status: Int32 = 1, _ body: () throws(BlockError) -> R) throws -> R {
        do { return try body() } catch { throw fail(prefix, error, status: status) }
    }

    func closing<R>(_ node: any BlockNode, _ body: () throws -> R) throws -> R {
        let result: R
        do {
            result = try body()
        } catch {
            // The first failure is the one to tell.
            try? node.close()
            throw error
        }
        try attempt { () throws(BlockError) in try node.close() }
        return result
    }
}
