// SPDX-License-Identifier: Apache-2.0

/// Names of images: paths, names with a protocol prefix, and names relative to another image.
public enum ImageName {
    /// The protocol prefix of a name, nil for a path: what stands before a colon that no slash precedes.
    public static func scheme(of name: String) -> String? {
        for (offset, byte) in name.utf8.enumerated() {
            if byte == UInt8(ascii: "/") { return nil }
            if byte == UInt8(ascii: ":") { return String(decoding: name.utf8.prefix(offset), as: UTF8.self) }
        }
        return nil
    }

    /// Whether a name is complete without another one.
    public static func isAbsolute(_ name: String) -> Bool { name.hasPrefix("/") || scheme(of: name) != nil }

    /// A name that counts from the folder of `base`.
    public static func combine(_ base: String, _ name: String) -> String {
        isAbsolute(name) ? name : join(base, name)
    }

    /// A file in the folder of `base`, whatever its name looks like; only a path from the root stands for itself.
    public static func join(_ base: String, _ name: String) -> String {
        if name.hasPrefix("/") { return name }
        var body = base
        var prefix = ""
        if let scheme = scheme(of: base) {
            prefix = scheme + ":"
            body = String(base.dropFirst(prefix.count))
        }
        guard let slash = body.lastIndex(of: "/") else { return prefix + name }
        return prefix + body[...slash] + name
    }

    /// The full name of a backing or data file that an image names.
    public static func resolve(_ name: String, against parent: NodeLocation) throws(BlockError) -> String {
        if isAbsolute(name) { return name }
        guard let path = parent.path else {
            throw BlockError(
                .invalidArgument, "Cannot use relative backing file names for '\(parent.filename)'")
        }
        return combine(path, name)
    }
}
