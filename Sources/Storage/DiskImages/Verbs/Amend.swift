// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

extension ImageTool {
    func amend(_ arguments: [String]) throws -> Int32 {
        var format: String?
        var texts: [String] = []
        var showsProgress = false
        var isQuiet = false
        var cache: String?
        var isForced = false
        var isOptions = false
        var flags = OpenFlags.writable
        flags.mayResize = true
        let operands = try OptionParser([
            .init("h", "help"), .init("o", value: true), .init("f", value: true), .init("t", value: true), .init("p"),
            .init("q"), .init(nil, "object", value: true), .init(nil, "image-opts"), .init(nil, "force"),
        ]).parse(arguments) { key, value in
            switch key {
            case "help": throw Exit(status: help(), lines: [])
            case "o": texts.append(try optionList(value))
            case "f": format = value
            case "t": cache = value
            case "p": showsProgress = true
            case "q": isQuiet = true
            case "force": isForced = true
            case "image-opts": isOptions = true
            default: try addSecret(value)
            }
        }
        guard !texts.isEmpty else { throw usage("Must specify options (-o)") }
        if asksForHelp(texts), let format { return try listAmendOptions(format) }
        guard operands.count == 1 else { throw fail("Expecting one image file name") }
        if let cache { flags.cache = try cacheMode(cache, message: "Invalid cache option") }
        let node = try open(operands[0], format: format, isOptions: isOptions, flags: flags)
        return try closing(node) {
            if asksForHelp(texts) { return try listAmendOptions(node.driverName) }
            guard let driver = graph.driver(node.driverName) as? any AmendingDriver,
                let amendable = node as? any AmendableNode
            else { throw fail("Format driver '\(node.driverName)' does not support option amendment") }
            let options = try parseAmend(texts, driver)
            let progress = Progress(self, isAsked: showsProgress, isQuiet: isQuiet, total: 0)
            // Said whether or not it went well, as qemu-img says it.
            defer { progress.finish() }
            try attempt { () throws(BlockError) in
                try amendable.amend(options, force: isForced) { progress.show($0) }
            }
            return 0
        }
    }

    private func listAmendOptions(_ format: String) throws -> Int32 {
        guard let driver = graph.driver(format) as? any AmendingDriver, !driver.amendOptions.isEmpty else {
            throw fail("Format driver '\(format)' does not support option amendment")
        }
        listOptions("Amend options for '\(format)':", driver.amendOptions)
        return 0
    }

    private func parseAmend(_ texts: [String], _ driver: any AmendingDriver) throws -> CreateOptions {
        var options = CreateOptions(driver.amendOptions)
        for text in texts {
            do throws(BlockError) {
                try options.parse(text)
            } catch {
                var failure = error
                let creation = (driver as? any CreatingDriver)?.createOptions ?? []
                if creation.contains(where: { error.message == "Invalid parameter '\($0.name)'" }) {
                    failure.hint = "This option is only supported for image creation"
                }
                throw fail("", failure)
            }
        }
        return options
    }
}
