// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import DiskImages
public import RandomKit
internal import StorageTestKit

/// A sound image to be damaged.
public struct ImageSample: Sendable {
    /// What it is: the format and its options.
    public let name: String
    /// The driver's name.
    public let format: String
    /// The whole file.
    public let bytes: [UInt8]
}

/// The passphrase of encrypted samples.
struct SamplePassphrase: SecretProvider {
    func secret(_ identifier: String) throws(BlockError) -> [UInt8] { Array("secret".utf8) }
}

/// Makes sound images of every format, damages them and does with them everything that a program does. A trap, more than
/// a few seconds or much memory is a bug; an error is what is expected.
public struct ImageFuzzer {
    /// The images.
    public let samples: [ImageSample]
    private static let diskSize: Int64 = 1 << 20

    private static let recipes: [(format: String, options: String)] = [
        ("qcow2", "cluster_size=4k"), ("qcow2", "cluster_size=512,compat=0.10"),
        ("qcow2", "cluster_size=16k,extended_l2=on"), ("qcow2", "cluster_size=4k,refcount_bits=1"),
        ("qcow2", "compression_type=zstd"), ("qcow2", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"),
        ("vdi", ""), ("vpc", ""), ("vpc", "subformat=fixed"), ("vmdk", "subformat=monolithicSparse"),
        ("vmdk", "subformat=streamOptimized"), ("vhdx", ""), ("luks", "key-secret=s,iter-time=10"), ("raw", ""),
    ]

    /// Makes the samples.
    /// - Parameter format: only those of one format.
    public init(format: String? = nil) throws {
        var samples: [ImageSample] = []
        for recipe in Self.recipes where format == nil || recipe.format == format {
            samples.append(try Self.make(recipe.format, recipe.options))
        }
        samples += ReadOnlySamples.all.filter { format == nil || $0.format == format }
        guard !samples.isEmpty else { throw BlockError(.notFound, "no images of the format '\(format ?? "")'") }
        self.samples = samples
    }

    private static func make(_ format: String, _ options: String) throws -> ImageSample {
        let folder = Folder()
        let path = folder.file("sample")
        let graph = DiskImages.graph(secrets: SamplePassphrase())
        guard let driver = graph.driver(format) as? any CreatingDriver else {
            throw BlockError(.notSupported, "no driver for \(format)")
        }
        var values = CreateOptions(driver.createOptions)
        if !options.isEmpty { try values.parse(options) }
        try values.set("size", String(diskSize))
        try driver.create(CreateRequest(filename: path, options: values, graph: graph))
        var flags = OpenFlags.writable
        flags.cache = .unsafe
        let node = try graph.open(path, format: format, options: secrets(format, options), flags: flags)
        try fill(node)
        try node.close()
        let raw = try graph.open(path, format: "raw")
        defer { try? raw.close() }
        return ImageSample(
            name: "\(format) \(options)", format: format, bytes: try raw.readBytes(at: 0, count: Int(raw.length)))
    }

    private static func secrets(_ format: String, _ options: String) -> BlockOptions {
        if format == "luks" { return BlockOptions([("key-secret", .string("s"))]) }
        return options.contains("encrypt") ? BlockOptions([("encrypt.key-secret", .string("s"))]) : BlockOptions()
    }

    /// Some content, a snapshot and a bitmap, as far as the format goes.
    private static func fill(_ node: any BlockNode) throws {
        if let target = node as? any CompressedWriting, node.driverName == "vmdk" || node.driverName == "qcow2" {
            let cluster = AlignedBuffer(zeroed: target.compressor.clusterSize)
            for index in 0..<cluster.region.count { cluster.region[index] = UInt8(truncatingIfNeeded: index / 7) }
            // Encrypted images refuse it.
            try? target.writeCompressing(cluster.region, at: diskSize / 2)
        }
        // Stream-optimised images take nothing else.
        try? node.write([UInt8](repeating: 1, count: 100_000), at: 5120)
        if let store = node as? any SnapshotStore {
            try? store.createSnapshot(SnapshotInformation(identifier: "", name: "s", dateSeconds: 1))
        }
        try? (node as? any BitmapStore)?.addBitmap(
            BitmapInformation(name: "b", granularity: 65536, isEnabled: true))
        try? node.write([UInt8](repeating: 3, count: 5120), at: 0)
    }

    /// The sample with some bytes changed, mostly where the tables are, or cut.
    public func damage(_ sample: ImageSample, _ random: inout SeededGenerator) -> [UInt8] {
        var bytes = sample.bytes
        for _ in 0..<Int.random(in: 1...6, using: &random) {
            let limit = [128, 4096, 1 << 17, bytes.count][Int.random(in: 0..<4, using: &random)]
            let place = Int.random(in: 0..<min(limit, bytes.count), using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 2: for index in place..<min(place + 8, bytes.count) { bytes[index] = 0xff }
            case 3: for index in place..<min(place + 8, bytes.count) { bytes[index] = 0 }
            case 4:
                // One field takes another's value.
                let source = Int.random(in: 0..<bytes.count, using: &random) & ~7
                for index in 0..<8 where (place & ~7) + index < bytes.count && source + index < bytes.count {
                    bytes[(place & ~7) + index] = bytes[source + index]
                }
            default:
                if Int.random(in: 0..<4, using: &random) == 0 { bytes.removeLast(bytes.count - max(place, 512)) }
            }
        }
        return bytes
    }
}
