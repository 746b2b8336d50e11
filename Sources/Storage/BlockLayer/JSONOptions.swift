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
            throw BlockError(.invalidArgument, "Could not parse the JSON options: Invalid JSON object given")
        }
        var options = BlockOptions()
        for member in object.members { flatten(member.value, member.name, &options) }
        return options
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
