// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import JSONCoding

extension ImageTool {
    func check(_ arguments: [String]) throws -> Int32 {
        var format: String?
        var json = false
        var repair: RepairOptions = []
        var isQuiet = false
        var isOptions = false
        var flags = OpenFlags()
        flags.forChecking = true
        let operands = try OptionParser([
            .init("h", "help"), .init("f", "format", value: true), .init("r", "repair", value: true),
            .init(nil, "output", value: true), .init("T", value: true), .init("q"), .init(nil, "object", value: true),
            .init(nil, "image-opts"), .init("U", "force-share"),
        ]).parse(arguments) { key, value in
            switch key {
            case "help": throw Exit(status: help(), lines: [])
            case "format": format = value
            case "repair":
                flags.isWritable = true
                switch value {
                case "leaks": repair = .leaks
                case "all": repair = [.leaks, .errors]
                default: throw usage("Unknown option value for -r (expecting 'leaks' or 'all'): \(value)")
                }
            case "output": json = try isJSON(value)
            case "T": flags.cache = try cacheMode(value, message: "Invalid source cache option")
            case "q": isQuiet = true
            case "image-opts": isOptions = true
            case "force-share": flags.forceShare = true
            default: try addSecret(value)
            }
        }
        guard operands.count == 1 else { throw oneImage(operands) }
        let node = try open(operands[0], format: format, isOptions: isOptions, flags: flags)
        guard let checkable = node as? any CheckableNode else {
            try? node.close()
            throw fail("This image format does not support checks", status: 63)
        }
        guard repair.isEmpty || checkable.canRepair else {
            closeQuietly(node)
            throw fail("This image format does not support checks", status: 63)
        }
        var text = json || isQuiet ? "" : ""
        return try closing(node) {
            try check(checkable, operands[0], repair, json: json, isQuiet: isQuiet, &text)
        }
    }

    /// Findings stand for themselves; that the snapshot table cannot be read is told like a failure of the program.
    private static func checkLine(_ line: String, _ name: String) -> String {
        let isFailure =
            line.hasPrefix("ERROR failed to read the snapshot") || line.hasPrefix("ERROR snapshot table too")
        return (isFailure ? "\(name): " : "") + line + "\n"
    }

    private func check(
        _ node: any CheckableNode, _ filename: String, _ repair: RepairOptions, json: Bool, isQuiet: Bool,
        _ text: inout String
    ) throws -> Int32 {
        let errors = errors
        var result: CheckResult
        do {
            result = try node.check(repair: repair) { [name] in errors(Self.checkLine($0, name)) }
        } catch {
            throw fail("Check failed: ", error)
        }
        let fixed = (result.corruptionsFixed, result.leaksFixed)
        if fixed.0 > 0 || fixed.1 > 0 {
            if !json, !isQuiet {
                output(
                    "The following inconsistencies were found and repaired:\n\n    \(fixed.1) leaked clusters\n    \(fixed.0) corruptions\n\nDouble checking the fixed image now...\n"
                )
            }
            do {
                result = try node.check(repair: []) { [name] in errors(Self.checkLine($0, name)) }
            } catch {
                throw fail("Check failed: ", error)
            }
            (result.corruptionsFixed, result.leaksFixed) = fixed
        }
        if json {
            output(result.json(filename: filename, format: node.driverName).inQEMUOrder().printed(pretty: true) + "\n")
        } else if !isQuiet {
            output(result.text)
        }
        if result.checkErrors > 0 { throw fail("Check failed") }
        if result.corruptions > 0 { return 2 }
        return result.leaks > 0 ? 3 : 0
    }
}

extension CheckResult {
    fileprivate var text: String {
        var text = ""
        if corruptions == 0, leaks == 0, checkErrors == 0 {
            text += "No errors were found on the image.\n"
        } else {
            if corruptions > 0 {
                text +=
                    "\n\(corruptions) errors were found on the image.\nData may be corrupted, or further writes to the image may corrupt it.\n"
            }
            if leaks > 0 {
                text +=
                    "\n\(leaks) leaked clusters were found on the image.\nThis means waste of disk space, but no harm to data.\n"
            }
            if checkErrors > 0 { text += "\n\(checkErrors) internal errors have occurred during the check.\n" }
        }
        if totalClusters != 0, allocatedClusters != 0 {
            let used = Double(allocatedClusters) * 100 / Double(totalClusters)
            let pieces = Double(fragmentedClusters) * 100 / Double(allocatedClusters)
            let packed = Double(compressedClusters) * 100 / Double(allocatedClusters)
            text += "\(allocatedClusters)/\(totalClusters) = \(Progress.hundredths(used))% allocated, "
            text += "\(Progress.hundredths(pieces))% fragmented, \(Progress.hundredths(packed))% compressed clusters\n"
        }
        if imageEndOffset > 0 { text += "Image end offset: \(imageEndOffset)\n" }
        return text
    }

    fileprivate func json(filename: String, format: String) -> JSONValue {
        var object = JSONObject([
            ("filename", .string(filename)), ("format", .string(format)), ("check-errors", .integer(checkErrors)),
        ])
        let optional: [(String, Int64)] = [
            ("image-end-offset", imageEndOffset), ("corruptions", corruptions), ("leaks", leaks),
            ("corruptions-fixed", corruptionsFixed), ("leaks-fixed", leaksFixed), ("total-clusters", totalClusters),
            ("allocated-clusters", allocatedClusters), ("fragmented-clusters", fragmentedClusters),
            ("compressed-clusters", compressedClusters),
        ]
        for (name, value) in optional where value != 0 { object[name] = .integer(value) }
        return .object(object)
    }
}
