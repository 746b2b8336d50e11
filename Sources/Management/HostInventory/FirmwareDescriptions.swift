// SPDX-License-Identifier: Apache-2.0

internal import JSONCoding

/// A firmware that is installed on this host, as its description says (QEMU's docs/interop/firmware.json).
public struct FirmwareDescription: Equatable, Sendable {
    /// `uefi`, `bios`.
    public var interfaces: [String]
    /// `flash` or `memory`.
    public var device: String
    /// The firmware itself.
    public var program: String
    /// An empty store of its variables, for firmware in flash memory.
    public var variables: String?
    /// Architectures and patterns of machines (`pc-q35-*`).
    public var targets: [(architecture: String, machines: [String])]
    /// `secure-boot`, `requires-smm`, `enrolled-keys`, ...
    public var features: Set<String>

    public static func == (left: FirmwareDescription, right: FirmwareDescription) -> Bool {
        left.program == right.program && left.variables == right.variables && left.features == right.features
            && left.interfaces == right.interfaces && left.device == right.device
    }

    /// Descriptions are small.
    private static let sizeLimit = 1 << 18

    /// - Returns: nil for a text that is no description of a firmware that can be used here.
    public init?(parsing text: String) {
        guard text.utf8.count <= Self.sizeLimit, let root = try? JSONValue(parsing: text),
            let mapping = root["mapping"], let device = mapping["device"]?.string
        else { return nil }
        self.device = device
        interfaces = root["interface-types"]?.array?.compactMap(\.string) ?? []
        switch device {
        case "flash":
            guard let program = mapping["executable"]?["filename"]?.string,
                mapping["executable"]?["format"]?.string == "raw"
            else { return nil }
            self.program = program
            variables = mapping["nvram-template"]?["filename"]?.string
        case "memory":
            guard let program = mapping["filename"]?.string else { return nil }
            self.program = program
        default: return nil
        }
        targets = (root["targets"]?.array ?? []).map { target in
            (target["architecture"]?.string ?? "", target["machines"]?.array?.compactMap(\.string) ?? [])
        }
        features = Set(root["features"]?.array?.compactMap(\.string) ?? [])
    }

    /// Where descriptions are; one in a later folder replaces one of the same name.
    public static let folders = ["/usr/share/qemu/firmware", "/etc/qemu/firmware"]

    /// All firmware of this host, by the names of the descriptions. An empty description takes one away.
    public static func installed(_ folders: [String] = FirmwareDescription.folders) -> [FirmwareDescription] {
        var texts: [String: String] = [:]
        for folder in folders {
            for name in TextFile.names(in: folder) where name.hasSuffix(".json") {
                texts[name] = TextFile.read(folder + "/" + name, limit: sizeLimit) ?? ""
            }
        }
        return texts.sorted { $0.key < $1.key }.compactMap { FirmwareDescription(parsing: $0.value) }
    }

    /// Whether it works with a machine.
    /// - Parameter machine: the versioned name.
    public func serves(_ architecture: String, _ machine: String) -> Bool {
        targets.contains { target in
            target.architecture == architecture && target.machines.contains { Self.matches(machine, $0) }
        }
    }

    /// The only sign in a pattern is a `*` at its end.
    private static func matches(_ name: String, _ pattern: String) -> Bool {
        pattern.hasSuffix("*") ? name.hasPrefix(pattern.dropLast()) : name == pattern
    }
}

/// What a document wants of its firmware.
public struct FirmwareWish: Sendable {
    /// `efi` or `bios`.
    public var kind: String
    public var architecture: String
    /// The versioned name.
    public var machine: String
    /// Features that it must have or must not have.
    public var features: [String: Bool]

    public init(kind: String, architecture: String, machine: String, features: [String: Bool] = [:]) {
        self.kind = kind
        self.architecture = architecture
        self.machine = machine
        self.features = features
    }

    /// What needs system management mode, and is used only when something of it is wanted.
    private static let guarded: Set<String> = ["secure-boot", "enrolled-keys", "requires-smm"]

    /// The first firmware that does what is wanted.
    public func choice(among installed: [FirmwareDescription]) -> FirmwareDescription? {
        let interface = kind == "efi" ? "uefi" : kind
        let wantsGuarded = Self.guarded.contains { features[$0] == true }
        return installed.first { firmware in
            firmware.interfaces.contains(interface) && firmware.serves(architecture, machine)
                && features.allSatisfy { firmware.features.contains($0.key) == $0.value }
                && (wantsGuarded || !firmware.features.contains("requires-smm"))
        }
    }
}
