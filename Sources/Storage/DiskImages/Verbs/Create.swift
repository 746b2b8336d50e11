// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import Glibc
internal import HostSystem

/// Whether an option list asks for help rather than giving values.
func asksForHelp(_ options: [String]) -> Bool {
    options.contains(where: BlockOptions.asksForHelp)
}

extension ImageTool {
    func create(_ arguments: [String]) throws -> Int32 {
        var givenFormat: String?
        var backing: String?
        var backingFormat: String?
        var optionTexts: [String] = []
        var isQuiet = false
        var isUnsafe = false
        let operands = try OptionParser([
            .init("h", "help"), .init("f", value: true), .init("b", value: true), .init("F", value: true),
            .init("o", value: true), .init("q"), .init("u"), .init(nil, "object", value: true),
        ]).parse(arguments) { key, value in
            switch key {
            case "help": throw Exit(status: help(), lines: [])
            case "f": givenFormat = value
            case "b": backing = value
            case "F": backingFormat = value
            case "o": optionTexts.append(try optionList(value))
            case "q": isQuiet = true
            case "u": isUnsafe = true
            default: try addSecret(value)
            }
        }
        let format = givenFormat ?? "raw"
        if asksForHelp(optionTexts) { return try listCreateOptions(format, operands.first) }
        guard let filename = operands.first else { throw usage("Expecting image file name") }
        var size: Int64?
        if operands.count > 2, !isDropIn {
            throw usage("Unexpected argument: \(operands[2])", advice: Self.adviceOnSize(operands))
        }
        if operands.count > 1 { size = try imageSize(operands) }
        if operands.count > 2 { throw usage("Unexpected argument: \(operands[2])") }
        noteFormat(of: filename, given: givenFormat, option: "-f")
        do {
            let request = NewImage(
                filename: filename, format: format, backing: backing, backingFormat: backingFormat,
                options: optionTexts, size: size, opensBacking: !isUnsafe)
            try make(request, isQuiet: isQuiet)
        } catch {
            throw fail("\(filename): ", error)
        }
        return 0
    }

    private func imageSize(_ operands: [String]) throws -> Int64 {
        do {
            return try size(operands[1], what: "image size")
        } catch var exit as Exit {
            if !isDropIn, let advice = Self.adviceOnSize(operands) { exit.lines.append(advice + "\n") }
            throw exit
        }
    }

    /// Where name and size have changed places, or the size fell into two words.
    private static func adviceOnSize(_ operands: [String]) -> String? {
        if Advice.isSize(operands[0]), !Advice.isSize(operands[1]) {
            return "The name comes first: create ... \(operands[1]) \(operands[0])"
        }
        if operands.count > 2, Advice.isSize(operands[1] + operands[2]) {
            return "Write the size as one word: \(operands[1])\(operands[2])"
        }
        return nil
    }

    func listCreateOptions(_ format: String, _ filename: String?) throws -> Int32 {
        guard let driver = graph.driver(format) else { throw unknownFormat(format) }
        guard let creating = driver as? any CreatingDriver else {
            throw fail("Format driver '\(format)' does not support image creation")
        }
        guard let filename else {
            listOptions("Supported \(format) options:", creating.createOptions)
            output(
                "\nThe protocol level may support further options.\nSpecify the target filename to include those options.\n"
            )
            return 0
        }
        let options = try attempt { () throws(BlockError) in try allOptions(creating, filename) }
        listOptions("Supported options:", options)
        return 0
    }

    /// A format's options and those of the protocol below.
    func allOptions(_ driver: any CreatingDriver, _ filename: String) throws(BlockError) -> [CreateOption] {
        var options = driver.createOptions
        let below = try graph.protocolDriver(for: filename)
        guard let creating = below as? any CreatingDriver else {
            if driver.asProtocol != nil { return options }
            throw BlockError(.notSupported, "Protocol driver '\(below.name)' does not support image creation")
        }
        for option in creating.createOptions where !options.contains(where: { $0.name == option.name }) {
            options.append(option)
        }
        return options
    }

    /// What `create` is asked for.
    struct NewImage {
        let filename: String
        let format: String
        var backing: String?
        var backingFormat: String?
        var options: [String]
        var size: Int64?
        var opensBacking: Bool
    }

    private func make(_ request: NewImage, isQuiet: Bool) throws(BlockError) {
        guard let driver = graph.driver(request.format) else {
            throw BlockError(.invalidArgument, "Unknown file format '\(request.format)'").about(.format(request.format))
        }
        _ = try graph.protocolDriver(for: request.filename)
        guard let creating = driver as? any CreatingDriver else {
            throw BlockError(.notSupported, "Format driver '\(request.format)' does not support image creation")
        }
        var options = CreateOptions(try allOptions(creating, request.filename))
        for text in request.options { try options.parse(text) }
        if let size = request.size {
            if options.isSet("size") {
                throw BlockError(.invalidArgument, "The image size must be specified only once")
            }
            try options.set("size", String(size))
        }
        if let backing = request.backing {
            guard options.accepts("backing_file") else {
                throw BlockError(.notSupported, "Backing file not supported for file format '\(request.format)'")
            }
            try options.set("backing_file", backing)
        }
        if let format = request.backingFormat {
            guard options.accepts("backing_fmt") else {
                throw BlockError(.notSupported, "Backing file format not supported for file format '\(request.format)'")
            }
            try options.set("backing_fmt", format)
        }
        if let backing = options.string("backing_file"), options.isSet("backing_file") {
            try checkBacking(backing, request, &options)
        }
        guard options.isSet("size") else { throw BlockError(.invalidArgument, "Image creation needs a size parameter") }
        if !isQuiet { output("Formatting '\(request.filename)', fmt=\(request.format) \(describe(options))\n") }
        flush()
        do {
            try creating.create(CreateRequest(filename: request.filename, options: options, graph: graph))
        } catch  where error.errno.code == EFBIG {
            let hint = (options.number("cluster_size") ?? 0) > 0 ? " (try using a larger cluster size)" : ""
            throw BlockError(
                .outOfRange, "The image size is too large for file format '\(request.format)'\(hint)",
                errno: error.errno)
        }
    }

    private func checkBacking(
        _ backing: String, _ request: NewImage, _ options: inout CreateOptions
    ) throws(BlockError) {
        if backing == request.filename {
            throw BlockError(
                .invalidArgument, "Error: Trying to create an image with the same filename as the backing file")
        }
        if backing.isEmpty {
            throw BlockError(.invalidArgument, "Expected backing file name, got empty string")
        }
        let format = options.isSet("backing_fmt") ? options.string("backing_fmt") : nil
        guard request.opensBacking else {
            guard format != nil else {
                throw BlockError(.invalidArgument, "Backing file specified without backing format")
            }
            return
        }
        let node: any BlockNode
        do {
            let parent = NodeLocation(filename: request.filename, path: request.filename)
            let full = try ImageName.resolve(backing, against: parent)
            var flags = OpenFlags()
            // Nothing is read, so that whoever has the image open is not in the way.
            flags.metadataOnly = true
            flags.forceShare = true
            node = try graph.open(full, format: format, flags: flags)
        } catch {
            var failure = error
            failure.hint = "Could not open backing image."
            throw failure
        }
        let length = node.length
        let detected = node.driverName
        try node.close()
        if format == nil {
            throw BlockError(
                .invalidArgument, "Backing file specified without backing format",
                hint: "Detected format of \(detected).")
        }
        if !options.isSet("size") { try options.set("size", String(length)) }
    }

    /// The options as `name=value` in the formats' order, defaults included.
    private func describe(_ options: CreateOptions) -> String {
        options.descriptions.compactMap { option -> String? in
            guard let text = options.string(option.name) else { return nil }
            let value =
                switch option.kind {
                case .text, .boolean: text.replacing(",", with: ",,")
                case .number, .size: options.number(option.name).map { String($0) } ?? text
                }
            return "\(option.name)=\(value)"
        }.joined(separator: " ")
    }
}

extension String {
    fileprivate func replacing(_ part: Character, with other: String) -> String {
        var result = ""
        for character in self { if character == part { result += other } else { result.append(character) } }
        return result
    }
}
