// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

extension ImageTool {
    func resize(_ arguments: [String]) throws -> Int32 {
        // The size comes last and may begin with a minus, which is no option.
        guard arguments.contains("-h") || arguments.contains("--help") || arguments.count >= 2 else {
            throw usage("Not enough arguments")
        }
        var arguments = arguments
        var sizeText = ""
        if !arguments.contains("-h"), !arguments.contains("--help") { sizeText = arguments.removeLast() }
        var format: String?
        var isQuiet = false
        var isOptions = false
        var mayShrink = false
        var preallocation = Preallocation.off
        let operands = try OptionParser([
            .init("f", value: true), .init("h", "help"), .init("q"), .init(nil, "object", value: true),
            .init(nil, "image-opts"), .init(nil, "preallocation", value: true), .init(nil, "shrink"),
        ]).parse(arguments) { key, value in
            switch key {
            case "help": throw Exit(status: help(), lines: [])
            case "f": format = value
            case "q": isQuiet = true
            case "image-opts": isOptions = true
            case "shrink": mayShrink = true
            case "preallocation":
                guard let mode = Preallocation(rawValue: value) else {
                    throw fail("Invalid preallocation mode '\(value)'")
                }
                preallocation = mode
            default: try addSecret(value)
            }
        }
        guard operands.count == 1 else { throw usage("Expecting image file name and size") }
        let change = try parseChange(sizeText, operands[0])
        var flags = OpenFlags.writable
        flags.mayResize = true
        let node = try open(operands[0], format: format, isOptions: isOptions, flags: flags)
        return try closing(node) {
            try resize(node, change, preallocation, mayShrink: mayShrink)
            if !isQuiet { output("Image resized.\n") }
            return 0
        }
    }

    private func parseChange(_ text: String, _ filename: String) throws -> (sign: Int64, size: Int64) {
        var body = text
        var sign: Int64 = 0
        if let first = text.first, first == "+" || first == "-" {
            sign = first == "+" ? 1 : -1
            body.removeFirst()
        }
        if !isDropIn, let size = try? ByteSize.parse(body, kind: true) { return (sign, size) }
        do {
            return (sign, try ByteSize.parseOption(body, name: "size"))
        } catch {
            // What only an unsigned number holds comes out negative in the original.
            if (try? ByteSize.parse(body)) == nil, body.hasSuffix("E"), let count = Double(body.dropLast()), count < 16
            {
                throw fail("New image size must be positive")
            }
            var failure = error
            if Advice.isSize(filename) { failure.advice = "The size comes last: resize \(text) \(filename)" }
            throw fail("", failure)
        }
    }

    private func resize(
        _ node: any BlockNode, _ change: (sign: Int64, size: Int64), _ preallocation: Preallocation, mayShrink: Bool
    ) throws {
        let current = node.length
        var (total, overflow) = (change.size, false)
        if change.sign != 0 { (total, overflow) = current.addingReportingOverflow(change.sign * change.size) }
        guard total > 0, !overflow else { throw fail("New image size must be positive") }
        if total <= current, preallocation != .off { throw fail("Preallocation can only be used for growing images") }
        if total < current, !mayShrink {
            throw Exit(
                status: 1,
                lines: [
                    "\(name): Use the --shrink option to perform a shrink operation.\n",
                    "\(name): warning: Shrinking an image will delete all data beyond the shrunken image's end. Before performing such an operation, make sure there is no important data there.\n",
                ])
        }
        guard let resizable = node as? any ResizableNode else {
            throw fail("Image format driver does not support resize")
        }
        try attempt { () throws(BlockError) in
            try resizable.resizeOverBacking(to: total, preallocation: preallocation)
        }
    }
}
