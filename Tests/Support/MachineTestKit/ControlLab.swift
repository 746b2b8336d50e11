// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
public import Diagnostics
internal import QCOW2Image
internal import StorageTestKit

/// A folder with the images that machines at whose monitors somebody talks have.
public final class ControlLab {
    private let folder = Folder()
    private static let imageBytes = 1 << 20

    /// A folder with the qcow2 images d0, a and b, and a file `a.raw`.
    /// - Throws: the images cannot be made.
    public init() throws(UserError) {
        do throws(BlockError) {
            for name in ["d0", "a", "b"] { try create(name + ".qcow2", QCOW2Driver()) }
            try create("a.raw", FileDriver.file)
        } catch { throw UserError("cannot make an image", because: error.message) }
    }

    private func create(_ name: String, _ driver: any CreatingDriver) throws(BlockError) {
        let graph = BlockGraph(drivers: [QCOW2Driver(), FileDriver.file])
        var options = CreateOptions(driver.createOptions)
        try options.set("size", String(Self.imageBytes))
        try driver.create(CreateRequest(filename: folder.file(name), options: options, graph: graph))
    }

    /// A machine with arguments in which `$F` is the folder.
    public func abuse(_ line: String, seed: UInt64) throws(UserError) -> ControlAbuse {
        let arguments = line.replacing("$F", with: folder.path).split(separator: " ").map(String.init)
        return try ControlAbuse(arguments, seed: seed, folder: folder.path)
    }
}
