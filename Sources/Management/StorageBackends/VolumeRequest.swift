// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
internal import XMLTree

/// What a volume's document asks for.
package struct VolumeRequest {
    /// The name of the file.
    package let name: String
    /// Bytes.
    package let capacity: UInt64
    /// Bytes that are to be taken from the host's disk at once.
    package let allocation: UInt64
    /// As libvirt names it.
    package let format: String
    /// `0.10`, or `1.1`: digits and dots, for it becomes part of an option.
    package let compatibility: String
    /// Permissions of the file.
    package let mode: UInt32
    /// The image below, and its format.
    package let backing: (path: String, format: String)?
    /// Where the passphrase is kept; nil for a volume that is not encrypted.
    let encryption: SecretReference?
    /// Whether the tables of a qcow2 image are made at once.
    var preallocatesMetadata = false
    /// What the image tool is told of that, behind other options.
    var preallocation: String { preallocatesMetadata ? ",preallocation=metadata" : "" }

    /// A secret, by its UUID or by what it is used for.
    enum SecretReference: Equatable {
        case uuid(UniqueID)
        case usage(String)
    }

    /// Reads a volume's document.
    package init(parsing text: String) throws {
        let root: XMLElement
        do throws(XMLSyntaxError) { root = try XMLParser.parse(text) } catch {
            throw ManagementError(
                .xmlDetail, "(storage_volume_definition):\(error.line): \(error.message)\n\(error.context)", from: .xml)
        }
        guard root.name == "volume" else {
            throw ManagementError(
                .xmlError, "unexpected root element <\(root.name)>, expecting <volume>", from: .storage)
        }
        guard let name = root[child: "name"]?.text, !name.isEmpty else {
            throw ManagementError(.xmlError, "missing volume name element", from: .storage)
        }
        guard !name.contains("/"), name != ".", name != ".." else {
            throw ManagementError(.operationInvalid, "volume name '\(name)' cannot contain '/'", from: .storage)
        }
        self.name = name
        backing = root[child: "backingStore"].flatMap { store in
            store[child: "path"].map { ($0.text, store[child: "format"]?["type"] ?? "raw") }
        }
        var size = try root[child: "capacity"].map(Self.bytes)
        if size == nil, let backing { size = ImageProbe(path: backing.path)?.capacity }
        guard let size else { throw ManagementError(.xmlError, "missing capacity element", from: .storage) }
        capacity = size
        allocation = try root[child: "allocation"].map(Self.bytes) ?? size
        let target = root[child: "target"]
        let wanted = target?[child: "format"]?["type"] ?? "raw"
        let known = ["raw", "qcow2", "qcow", "vmdk", "vdi", "vpc", "vhdx", "qed", "iso", "dir"]
        guard known.contains(wanted) else {
            throw ManagementError(.configUnsupported, "unknown volume format type \(wanted)", from: .storage)
        }
        format = wanted
        compatibility = target?[child: "compat"]?.text ?? (target?[child: "features"] != nil ? "1.1" : "0.10")
        // More than a number would be further options of the image tool.
        guard compatibility.allSatisfy({ "0123456789.".contains($0) }) else {
            throw ManagementError(.xmlError, "forbidden characters in 'compat' attribute", from: .storage)
        }
        encryption = try target?[child: "encryption"].map { try Self.secret($0, format: wanted) }
        mode = target?.at("permissions", "mode").flatMap { UInt32($0.text, radix: 8) } ?? 0o600
    }

    private static func secret(_ element: XMLElement, format: String) throws -> SecretReference {
        guard element["format"] == "luks", format == "raw" || format == "qcow2" else {
            throw ManagementError(
                .configUnsupported,
                "unsupported volume encryption format '\(element["format"] ?? "")' in a volume of format '\(format)'",
                from: .storage)
        }
        let secrets = element.all("secret").filter { $0["type"] == "passphrase" }
        guard secrets.count == 1, let secret = secrets.first else {
            throw ManagementError(
                .invalidArg,
                "A single <secret type='passphrase'...> element is expected in encryption description", from: .storage)
        }
        if let uuid = secret["uuid"].flatMap({ UniqueID($0) }) { return .uuid(uuid) }
        if let usage = secret["usage"] { return .usage(usage) }
        throw ManagementError(.xmlError, "missing secret uuid or usage attribute", from: .storage)
    }

    private static func bytes(_ element: XMLElement) throws -> UInt64 {
        let powers = [
            "": 0, "b": 0, "bytes": 0, "k": 1, "kib": 1, "m": 2, "mib": 2, "g": 3, "gib": 3, "t": 4, "tib": 4,
            "p": 5, "pib": 5, "e": 6, "eib": 6,
        ]
        let decimal = ["kb": 1, "mb": 2, "gb": 3, "tb": 4, "pb": 5, "eb": 6]
        let text = element.text.filter { !$0.isWhitespace }
        let unit = (element["unit"] ?? "").lowercased()
        guard let number = UInt64(text) else {
            throw ManagementError(.xmlError, "malformed \(element.name) element", from: .storage)
        }
        let scale: (UInt64, Int)? = powers[unit].map { (1024, $0) } ?? decimal[unit].map { (1000, $0) }
        guard let (base, power) = scale else {
            throw ManagementError(.invalidArg, "unknown suffix '\(element["unit"] ?? "")'", from: .none)
        }
        return try (0..<power).reduce(number) { product, _ in
            let (value, overflow) = product.multipliedReportingOverflow(by: base)
            if overflow { throw ManagementError(.overflow, "\(element.name) is too large", from: .storage) }
            return value
        }
    }
}
