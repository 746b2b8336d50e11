// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

extension ImageTool {
    private struct CopyArguments {
        var format: String?
        var outputFormat = "raw"
        var isOptions = false
        var isShared = false
        var blockSize: Int64 = 512
        var count: Int64?
        var skip: Int64 = 0
        var input: String?
        var output: String?
    }

    func dd(_ arguments: [String]) throws -> Int32 {
        var result = CopyArguments()
        let operands = try OptionParser([
            .init("h", "help"), .init("f", value: true), .init("O", value: true), .init("U", "force-share"),
            .init(nil, "object", value: true), .init(nil, "image-opts"),
        ]).parse(arguments) { key, value in
            switch key {
            case "help": throw Exit(status: help(), lines: [])
            case "f": result.format = value
            case "O": result.outputFormat = value
            case "force-share": result.isShared = true
            case "image-opts": result.isOptions = true
            default: try addSecret(value)
            }
        }
        for operand in operands { try parse(operand, &result) }
        guard let input = result.input, let target = result.output else {
            throw fail("Must specify both input and output files")
        }
        if result.isOptions, result.format != nil { throw fail("--image-opts and --format are mutually exclusive") }
        var flags = OpenFlags()
        flags.forceShare = result.isShared
        let source = try open(input, format: result.format, isOptions: result.isOptions, flags: flags)
        return try closing(source) { try copy(source, to: target, result) }
    }

    private func parse(_ operand: String, _ result: inout CopyArguments) throws {
        guard let equals = operand.firstIndex(of: "=") else { throw fail("unrecognized operand \(operand)") }
        let key = String(operand[..<equals])
        let value = String(operand[operand.index(after: equals)...])
        switch key {
        case "bs":
            result.blockSize = try size(value, what: "bs", within: 1...Int64(Int32.max))
        case "count": result.count = try size(value, what: "count")
        case "skip": result.skip = try size(value, what: "skip")
        case "if": result.input = value
        case "of": result.output = value
        default: throw fail("unrecognized operand \(key)")
        }
    }

    private func copy(_ source: any BlockNode, to target: String, _ arguments: CopyArguments) throws -> Int32 {
        guard let driver = graph.driver(arguments.outputFormat) else {
            throw isDropIn ? fail("Unknown file format") : unknownFormat(arguments.outputFormat)
        }
        guard let creating = driver as? any CreatingDriver else {
            throw fail("Format driver '\(arguments.outputFormat)' does not support image creation")
        }
        let block = arguments.blockSize
        var end = source.length
        if let count = arguments.count {
            let (limit, overflow) = count.multipliedReportingOverflow(by: block)
            if !overflow { end = min(end, limit) }
        }
        let (start, overflow) = arguments.skip.multipliedReportingOverflow(by: block)
        let isPast = overflow || start > source.length
        let size = isPast ? 0 : max(end - start, 0)
        if isPast { report("\(source.location.filename): cannot skip to specified offset") }
        var options = CreateOptions(try attempt { () throws(BlockError) in try allOptions(creating, target) })
        do throws(BlockError) {
            try options.set("size", String(size))
            try creating.create(CreateRequest(filename: target, options: options, graph: graph))
        } catch {
            throw fail("\(target): error while creating output image: ", error)
        }
        var flags = OpenFlags.writable
        flags.mayResize = true
        let node = try open(target, format: arguments.outputFormat, flags: flags)
        return try closing(node) {
            if size > 0 { try transfer(source, start, node, size, block) }
            return 0
        }
    }

    private func transfer(
        _ source: any BlockNode, _ start: Int64, _ node: any BlockNode, _ size: Int64, _ block: Int64
    ) throws {
        let buffer = AlignedBuffer(count: Int(min(max(block, 1 << 20), 16 << 20)))
        var done: Int64 = 0
        while done < size {
            let region = buffer.region.slice(0, Int(min(Int64(buffer.region.count), size - done)))
            try attempt("error while reading from input image file: ") { () throws(BlockError) in
                try source.read(region, at: start + done)
            }
            try attempt("error while writing to output image file: ") { () throws(BlockError) in
                try node.write(region, at: done)
            }
            done += Int64(region.count)
        }
    }
}
