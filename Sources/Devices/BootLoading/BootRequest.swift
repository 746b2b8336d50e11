// SPDX-License-Identifier: Apache-2.0

public import CPUInterface
public import GuestMemory

/// What a person wants to start, and what the machine tells it.
public struct BootRequest: Sendable {
    /// `-kernel`.
    public var kernel: BootFile
    /// `-initrd` as it was typed: one file, or for multiboot "file arguments,file2 arguments".
    public var initrd: String?
    /// An initrd that is already read; used in place of the file that `initrd` names.
    public var initrdFile: BootFile?
    /// `-append`.
    public var commandLine: String
    /// By ascending address.
    public var memoryMap: [MemoryMapEntry]
    /// Guest-physical address of the ACPI root pointer; nil where there are no tables.
    public var rsdpAddress: UInt64?

    /// A kernel alone.
    public init(
        kernel: BootFile, initrd: String? = nil, initrdFile: BootFile? = nil, commandLine: String = "",
        memoryMap: [MemoryMapEntry], rsdpAddress: UInt64? = nil
    ) {
        self.kernel = kernel
        self.initrd = initrd
        self.initrdFile = initrdFile
        self.commandLine = commandLine
        self.memoryMap = memoryMap
        self.rsdpAddress = rsdpAddress
    }

    /// The initrd for protocols that know one.
    func openInitrd() throws(BootError) -> BootFile? {
        if let initrdFile { return initrdFile }
        guard let initrd else { return nil }
        return try BootFile(path: initrd)
    }

    /// The end of the usable memory that holds the first MiB of extended memory.
    var lowMemoryEnd: UInt64 {
        let extended: UInt64 = 0x10_0000
        return memoryMap.first { $0.kind == .usable && $0.start <= extended && $0.end > extended }?.end ?? 0
    }
}

/// How a kernel was recognised and started.
public enum BootProtocol: Equatable, Sendable {
    /// The Linux boot protocol, at the 64-bit or the 32-bit entry.
    case linux64
    case linux32
    /// An ELF with Xen's note of a physical 32-bit entry.
    case pvh
    /// Multiboot 0.6.96.
    case multiboot
}

/// A kernel in guest memory, ready to run.
public struct LoadedKernel: Equatable, Sendable {
    /// How it is entered.
    public let bootProtocol: BootProtocol
    /// The state of the bootstrap processor.
    public let registers: X86Registers
    /// Where the initrd is, guest-physical.
    public let initrd: Range<UInt64>?
}

extension BootFile {
    /// Whether it starts as a Linux kernel does (bzImage); false also where it cannot be read.
    public var isLinux: Bool { (try? bytes(at: 0, count: LinuxImage.probeCount)).map(LinuxImage.isPresent) ?? false }
}

/// Loads what `-kernel` names.
public enum KernelLoader {
    /// Puts a kernel and what it needs into guest memory.
    ///
    /// The formats are tried as QEMU does: Linux's bzImage, multiboot, ELF with a PVH note.
    /// - Throws: one line that says what is wrong with which file.
    public static func load(_ request: BootRequest, into memory: GuestMemory) throws(BootError) -> LoadedKernel {
        let head = try request.kernel.bytes(at: 0, count: LinuxImage.probeCount)
        if LinuxImage.isPresent(in: head) {
            return try LinuxImage(parsing: head, of: request.kernel).load(request, into: memory)
        }
        if let image = try MultibootImage(probing: head, of: request.kernel) {
            return try image.load(request, into: memory)
        }
        if ELFImage.isPresent(in: head) {
            return try ELFImage(parsing: request.kernel).loadPVH(request, into: memory)
        }
        throw BootError(
            "'\(request.kernel.name)' is not a kernel: neither a Linux bzImage nor a multiboot image nor an ELF with a "
                + "PVH note")
    }
}
