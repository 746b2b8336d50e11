// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import BlockFilters
internal import BochsImage
internal import CloopImage
internal import DMGImage
internal import HTTPImage
internal import LUKSImage
public import NBDProtocol
internal import ParallelsImage
internal import QCOW2Image
internal import QCOWImage
internal import QEDImage
internal import RawImage
internal import VDIImage
internal import VHDImage
internal import VHDXImage
internal import VMDKImage

/// The storage library with all of its formats and protocols.
public enum DiskImages {
    /// All drivers, in the order in which they are probed.
    public static var drivers: [any BlockDriver] { drivers(credentials: nil) }

    static func drivers(credentials: (any TLSCredentialProvider)?) -> [any BlockDriver] {
        [
            RawDriver(), QCOW2Driver(ciphers: ImageCiphers()), VDIDriver(), VHDDriver(), VMDKDriver(), LUKSDriver(),
            VHDXDriver(),
            BochsDriver(), CloopDriver(), DMGDriver(), ParallelsDriver(), QCOWDriver(), QEDDriver(), FaultDriver(),
            QuorumDriver(),
            FileDriver.file, FileDriver.hostDevice, NullDriver(name: "null-co"), NullDriver(name: "null-aio"),
            NBDDriver(credentials: credentials),
        ] + HTTPDriver.all
    }

    /// A graph with all drivers.
    /// - Parameters:
    ///   - secrets: knows what `key-secret=` and the like name.
    ///   - credentials: knows what `tls-creds=` names.
    ///   - warn: told what a person should know.
    public static func graph(
        secrets: any SecretProvider = NoSecrets(), credentials: (any TLSCredentialProvider)? = nil,
        warn: @escaping @Sendable (String) -> Void = { _ in }
    ) -> BlockGraph {
        graph(secrets: secrets, credentials: credentials, throttles: ThrottleGroups(), warn: warn)
    }

    /// A graph with all drivers, of which `throttle` finds these groups.
    static func graph(
        secrets: any SecretProvider, credentials: (any TLSCredentialProvider)?, throttles: ThrottleGroups,
        warn: @escaping @Sendable (String) -> Void
    ) -> BlockGraph {
        BlockGraph(
            drivers: drivers(credentials: credentials) + [ThrottleDriver(groups: throttles)], secrets: secrets,
            warn: warn)
    }

    /// Opens an image and its backing chain.
    /// - Parameters:
    ///   - filename: a path, `json:{...}` or a URL.
    ///   - format: "raw", "qcow2"...; nil to look at the content (unsafe for a raw disk that a guest can write).
    public static func open(
        _ filename: String, format: String? = nil, flags: OpenFlags = OpenFlags()
    ) throws(BlockError) -> any BlockNode {
        try graph().open(filename, format: format, flags: flags)
    }
}

extension DiskImages {
    /// The lines of a table of snapshots, as `info` and the machine's monitor print it.
    public static func snapshotTable(_ snapshots: [SnapshotInformation]) -> [String] { SnapshotText.table(snapshots) }
}
