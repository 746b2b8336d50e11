// SPDX-License-Identifier: Apache-2.0

internal import JSONCoding

/// Reads the options in a `json:{...}` name into flat, dotted keys.
enum JSONOptions {
    private static let limits = JSONLimits(depth: 32, tokens: 65536, bytes: 1 << 20)

    static func parse(_ name: String) throws(BlockError) -> BlockOptions {
        let value: JSONValue
        do {
            value = try JSONValue(parsing: String(name.dropFirst("json:".count)), limits: limits)
        } catch {
            throw BlockError(.invalidArgument, "Could not parse the JSON options: \(error.message)")
        }
        guard case .object(let object) = value else {
            throw BlockError(.invalidArgument, "Invalid JSON object given")
        }
        var options = BlockOptions()
        for member in object.members { flatten(member.value, member.name, &options) }
        return options
    }

    /// The opposite of `parse`.
    static func name(_ options: BlockOptions) -> String {
        "json:" + tree(options).inQEMUOrder().printed()
    }

    private static func tree(_ options: BlockOptions) -> JSONValue {
        var object = JSONObject()
        for key in options.keys {
            // What belongs to no child node has dotted names in QEMU's own texts.
            let head = key.hasPrefix("encrypt.") ? key : String(key.prefix { $0 != "." })
            guard object[head] == nil else { continue }
            if head.utf8.count == key.utf8.count, let value = options[key] {
                object[head] = leaf(value)
            } else {
                var rest = options
                let below = tree(rest.takeSubtree(head))
                object[head] = list(below) ?? below
            }
        }
        return .object(object)
    }

    /// The members 0, 1, 2... of an object as an array.
    private static func list(_ value: JSONValue) -> JSONValue? {
        guard case .object(let object) = value else { return nil }
        var elements: [JSONValue] = []
        while let element = object["\(elements.count)"] { elements.append(element) }
        return elements.isEmpty || elements.count != object.members.count ? nil : .array(elements)
    }

    private static func leaf(_ value: BlockOptions.Value) -> JSONValue {
        switch value {
        case .string(let text): .string(text)
        case .number(let number): .integer(number)
        case .boolean(let truth): .bool(truth)
        case .null: .null
        }
    }

    private static func flatten(_ value: JSONValue, _ key: String, _ options: inout BlockOptions) {
        switch value {
        case .object(let object):
            for member in object.members { flatten(member.value, "\(key).\(member.name)", &options) }
        case .array(let elements):
            for (index, element) in elements.enumerated() { flatten(element, "\(key).\(index)", &options) }
        case .string(let text): options[key] = .string(text)
        case .integer(let number): options[key] = .number(number)
        case .bool(let truth): options[key] = .boolean(truth)
        case .null: options[key] = .null
        case .unsigned, .double: options[key] = .string(value.printed())
        }
    }
}
