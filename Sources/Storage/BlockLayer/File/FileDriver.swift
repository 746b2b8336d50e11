// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import HostSystem

/// Opens and makes files (`file`) and block devices (`host_device`) of the host.
public struct FileDriver: RemovingDriver, CreatingDriver {
    /// "file" or "host_device".
    public let name: String
    private let isDevice: Bool

    /// The driver for regular files, which also serves block devices that are named without a driver.
    public static let file = FileDriver(name: "file", isDevice: false)
    /// The driver for block devices alone.
    public static let hostDevice = FileDriver(name: "host_device", isDevice: true)

    private init(name: String, isDevice: Bool) {
        self.name = name
        self.isDevice = isDevice
    }

    /// "file" or "host_device".
    public var schemes: [String] { [name] }

    /// The name without its prefix, as the option `filename`.
    public func parse(filename: String) throws(BlockError) -> BlockOptions {
        let prefix = name + ":"
        var path = filename.hasPrefix(prefix) ? String(filename.dropFirst(prefix.count)) : filename
        // What stands before a colon in the rest is no protocol.
        if path.utf8.count < filename.utf8.count, ImageName.scheme(of: path) != nil { path = "./" + path }
        return BlockOptions([("filename", .string(path))])
    }

    /// Opens a file or device: `filename`, `locking` (on, off, auto), `aio` (threads, native, io_uring).
    public func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        guard let path = request.options.take("filename"), !path.isEmpty else {
            throw BlockError(.invalidArgument, "The '\(name)' block driver requires a file name")
        }
        let locking = try takeLocking(&request.options)
        try checkAIO(request.options.take("aio"), request.flags)
        let warn = request.graph.warn
        func open(_ flags: OpenFlags) throws(BlockError) -> FileNode {
            try FileNode.open(path, flags: flags, isDevice: isDevice, locking: locking, warn: warn)
        }
        var flags = request.flags
        do { return try open(flags) } catch {
            guard flags.fallsBackToReading, flags.isWritable, error.kind == .accessDenied else { throw error }
            flags.isWritable = false
            return try open(flags)
        }
    }

    private func takeLocking(_ options: inout BlockOptions) throws(BlockError) -> FileLocks.Mode {
        switch options.take("locking") {
        case nil, "auto": return .auto
        case "on": return .on
        case "off": return .off
        case let other?: throw BlockError(.invalidArgument, "invalid parameter value: \(other)")
        }
    }

    /// What is said of `aio=native` with the page cache.
    public static let nativeNeedsDirect =
        "aio=native was specified, but it requires cache.direct=on, which was not specified."

    /// All requests are plain system calls on this level; the name is checked for the sake of who mistyped it.
    private func checkAIO(_ mode: String?, _ flags: OpenFlags) throws(BlockError) {
        switch mode {
        case nil, "threads", "io_uring": return
        case "native":
            guard flags.cache.isDirect else {
                throw BlockError(.invalidArgument, Self.nativeNeedsDirect)
            }
        case let other?: throw BlockError(.invalidArgument, "invalid parameter value: \(other)")
        }
    }

    /// The options of a new file; a device is there already.
    public var createOptions: [CreateOption] {
        let size = CreateOption("size", .size, "Virtual disk size")
        if isDevice { return [size, CreateOption("preallocation", .text, "Preallocation mode (allowed values: off)")] }
        return [
            size,
            CreateOption("nocow", .boolean, "Turn off copy-on-write (valid only on btrfs)"),
            CreateOption("preallocation", .text, "Preallocation mode (allowed values: off, falloc, full)"),
            CreateOption("extent_size_hint", .size, "Extent size hint for the image file, 0 to disable"),
        ]
    }

    /// A plain file names no backing file.
    public var supportsBacking: Bool { false }

    /// Makes a file of `size` bytes, rounded up to whole sectors.
    public func create(_ request: CreateRequest) throws(BlockError) {
        let path = try parse(filename: request.filename).string("filename") ?? request.filename
        let mode = try Self.preallocation(request.options.string("preallocation"), allowed: [.off, .falloc, .full])
        let size = request.options.number("size") ?? 0
        let rounded = size > Int64.max - 511 ? size : (size + 511) & ~511
        var information = stat()
        // stat fills the struct on this frame.
        if unsafe stat(path, &information) == 0, information.st_mode & S_IFMT == S_IFBLK {
            return try checkDevice(path, rounded)
        }
        guard !isDevice else {
            do throws(BlockError) {
                try FileNode.open(path, flags: .writable, isDevice: true, locking: .auto, warn: { _ in }).close()
            } catch {
                throw error.prefixed(Self.cannotCreate(name))
            }
            throw BlockError(.notSupported, "Protocol driver '\(name)' does not support image creation")
        }
        let file = try FileNode.create(path)
        let hint = request.options.number("extent_size_hint") ?? 1 << 20
        file.setExtentSizeHint(hint)
        if request.options.bool("nocow") { file.disableCopyOnWrite() }
        try file.resize(to: rounded, preallocation: mode, exact: false)
        try file.close()
    }

    /// How the failure to open what cannot be made begins.
    public static func cannotCreate(_ driver: String) -> String {
        "Protocol driver '\(driver)' does not support image creation, and opening the image failed: "
    }

    /// Removes a regular file.
    public func remove(_ filename: String) {
        guard let path = try? parse(filename: filename).string("filename") else { return }
        var information = stat()
        // stat fills the struct on this frame; the name is a string that lives for the calls.
        guard unsafe stat(path, &information) == 0, information.st_mode & S_IFMT == S_IFREG else { return }
        unsafe unlink(path)
    }

    private func checkDevice(_ path: String, _ size: Int64) throws(BlockError) {
        let device = try FileNode.open(path, flags: .writable, isDevice: true, locking: .auto, warn: { _ in })
        guard device.length >= size else {
            throw BlockError(.noSpace, "Could not create '\(path)': the device has \(device.length) bytes, not \(size)")
        }
        // What an earlier image left must not be found by probing.
        try device.writeZeroes(at: 0, count: min(512, device.length), flags: [])
        try device.close()
    }

    /// Parses a preallocation mode's name.
    public static func preallocation(
        _ text: String?, allowed: [Preallocation]
    ) throws(BlockError) -> Preallocation {
        guard let text else { return .off }
        guard let mode = Preallocation(rawValue: text) else {
            throw BlockError(.invalidArgument, "Invalid parameter '\(text)'")
        }
        guard allowed.contains(mode) else {
            throw BlockError(.notSupported, "Unsupported preallocation mode: \(text)")
        }
        return mode
    }
}
