// SPDX-License-Identifier: Apache-2.0

internal import BlockJobs
internal import BlockLayer
internal import ControlProtocol
internal import JSONCoding

/// Dirty bitmaps in QMP.
enum BitmapAnswers {
    static func bitmap(_ report: BlockDeviceReport.DirtyBitmap) -> JSONValue {
        var object: JSONObject = [
            "name": .string(report.name), "recording": .bool(report.isRecording || report.isBusy),
            "persistent": .bool(report.isPersistent), "busy": .bool(report.isBusy),
            "granularity": .integer(report.granularity), "count": .integer(report.count),
        ]
        if report.isInconsistent { object["inconsistent"] = true }
        return .object(object)
    }

    /// Bitmaps by name, or by node and name.
    static func list(_ values: [JSONValue], _ parameter: String) throws(BlockError) -> [(node: String?, name: String)] {
        var found: [(node: String?, name: String)] = []
        for (place, value) in values.enumerated() {
            if let name = value.string {
                found.append((nil, name))
            } else if let node = value["node"]?.string, let name = value["name"]?.string {
                found.append((node, name))
            } else {
                throw BlockError(
                    .invalidArgument,
                    "Invalid parameter type for '\(parameter)[\(place)]', expected: BlockDirtyBitmapOrStr")
            }
        }
        return found
    }
}

extension QMPCommandTable {
    private static let place = [QMPParameter("node", .string), QMPParameter("name", .string)]

    /// Commands about bitmaps, each of which can stand in a transaction.
    static let bitmapActions: [String: [QMPParameter]] = [
        "block-dirty-bitmap-add": place + [
            QMPParameter("granularity", .integer, optional: true),
            QMPParameter("persistent", .boolean, optional: true), QMPParameter("disabled", .boolean, optional: true),
        ],
        "block-dirty-bitmap-remove": place, "block-dirty-bitmap-clear": place, "block-dirty-bitmap-enable": place,
        "block-dirty-bitmap-disable": place,
        "block-dirty-bitmap-merge": [
            QMPParameter("node", .string), QMPParameter("target", .string), QMPParameter("bitmaps", .array),
        ],
    ]

    static let bitmapCommands = bitmapActions.keys.sorted().map { action($0, bitmapActions[$0] ?? []) }

    /// What one of the commands asks for.
    static func bitmapChange(_ command: String, _ arguments: QMPArguments) throws(BlockError) -> BitmapChange {
        let node = arguments.string("node"), name = arguments.string("name")
        switch command {
        case "block-dirty-bitmap-add":
            return .add(
                node: node, name: name, granularity: arguments.integer("granularity"),
                isPersistent: arguments.bool("persistent") ?? false, isDisabled: arguments.bool("disabled") ?? false)
        case "block-dirty-bitmap-remove": return .remove(node: node, name: name)
        case "block-dirty-bitmap-clear": return .clear(node: node, name: name)
        case "block-dirty-bitmap-enable": return .setRecording(node: node, name: name, true)
        case "block-dirty-bitmap-disable": return .setRecording(node: node, name: name, false)
        default:
            return .merge(
                node: node, target: arguments.string("target"),
                sources: try BitmapAnswers.list(arguments["bitmaps"]?.array ?? [], "bitmaps"))
        }
    }
}
