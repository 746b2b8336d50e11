// SPDX-License-Identifier: Apache-2.0

/// `-machine`.
public struct BoardSpec: Equatable, Sendable {
    /// The kinds of boards.
    public enum Kind: String, CaseIterable, Sendable {
        case pc, q35, microvm
        /// No processor start, no memory, no devices: for asking questions by QMP.
        case none
    }
    /// How much of the interrupt controllers KVM emulates.
    public enum KernelIRQChip: String, Equatable, Sendable { case on, off, split }

    /// Which board it is.
    public var kind = Kind.pc
    /// The full name: "pc-i440fx-7.2", "pc-q35-7.2".
    public var name = "pc-i440fx-7.2"
    /// Whether the guest finds ACPI tables.
    public var acpi = OnOffAuto.auto
    /// `graphics=off`: firmware and guest get no display.
    public var graphics = true
    /// Whether there is a high precision event timer.
    public var hpet = true
    /// Whether there is an SMBus controller.
    public var smbus = true
    /// `sata=off`: q35 without its AHCI controller.
    public var sata = true
    /// Whether there is a keyboard controller.
    public var i8042 = true
    /// Whether there is an interval timer.
    public var pit = OnOffAuto.auto
    /// Whether there is a pair of 8259 interrupt controllers.
    public var pic = OnOffAuto.auto
    /// microvm's: an RTC, an ISA serial port, PCIe, and the virtio-mmio devices on the kernel's command line.
    public var rtc = OnOffAuto.auto
    /// Whether there is a serial port (microvm).
    public var isaSerial = true
    /// Whether there is a PCI Express host (microvm).
    public var pcie = OnOffAuto.auto
    /// Whether the virtio-mmio devices are named on the kernel's command line (microvm).
    public var autoKernelCommandLine = true
    /// Whether virtio devices in memory have the registers of before Virtio 1.0 (`-global virtio-mmio.force-legacy=`).
    public var hasLegacyTransports = true
    /// `pflash0=`, `pflash1=`: the block nodes of the flash chips, by number.
    public var flash: [Int: String] = [:]
    /// `usb=on`: a USB controller of the board's own.
    public var usb = false
    /// Where KVM's interrupt controllers live; `nil` for the accelerator's default.
    public var kernelIRQChip: KernelIRQChip?
    /// `-global kvm-pit.lost_tick_policy=`: whether interrupts of the interval timer that a late host missed come later.
    public var makesUpLostTicks = true
    /// `dump-guest-core=off`: the guest's memory is left out of the process's core dumps.
    public var dumpsGuestMemory = true
    /// `mem-merge=off`: the host's page merging leaves the guest's memory alone.
    public var mergesMemory = true
    /// The most bytes below 4 GiB (`max-ram-below-4g`); nil for the board's own split.
    public var maximumLowMemory: UInt64?
    /// Everything at QEMU's default.
    public init() {}
}

/// One entry of -accel.
public struct AcceleratorSpec: Equatable, Sendable {
    /// The accelerators by the names that `-accel` takes.
    public enum Kind: String, Sendable {
        case kvm
        /// Roost's own processor; QEMU's users type `tcg`.
        case software = "tcg"
    }
    /// Which accelerator it is.
    public var kind: Kind
    /// `tb-size`: bytes of the translator's cache; nil for its own choice.
    public var translationCacheBytes: UInt64?
    /// `thread=single`: all vCPUs share one host thread.
    public var isSingleThreaded = false
    /// `jit`: hot code is translated to the host's, or all is interpreted; nil translates where the host lets it.
    public var translates: Bool?
    /// `lockstep`: translated code runs beside the interpreter, and the first difference stops the machine.
    public var isLockstep = false
    /// This accelerator with its defaults.
    public init(kind: Kind) { self.kind = kind }
}

/// `-cpu`.
public struct ProcessorSpec: Equatable, Sendable {
    /// `+name`, `-name`, `name=on`.
    public struct Feature: Equatable, Sendable {
        /// In QEMU's spelling with hyphens: "sse4.2", "x2apic".
        public var name: String
        /// Whether it is added or taken away.
        public var isOn: Bool
        /// One feature after the model's name.
        public init(name: String, isOn: Bool) {
            self.name = name
            self.isOn = isOn
        }
    }
    /// "max", "host", "qemu64"...
    public var model = "qemu64"
    /// In the order given; the last one of a name counts.
    public var features: [Feature] = []
    /// Properties with values: "vendor", "family", "model", "stepping", "model-id", "level", "xlevel", "phys-bits",
    /// "hv-vendor-id", "tsc-frequency"...
    public var properties: [String: String] = [:]
    /// `enforce`: refuse to start when a feature is missing.
    public var enforces = false
    /// `check`: warn when a feature is missing.
    public var checks = true
    /// Everything at QEMU's default.
    public init() {}

    /// What the options say about a feature; nil when they do not mention it.
    public func feature(_ name: String) -> Bool? { features.last { $0.name == name }?.isOn }
}

/// `-smp`, complete: `sockets` * `dies` * `cores` * `threads` = `maximum`.
public struct TopologySpec: Equatable, Sendable {
    /// vCPUs at start.
    public var count = 1
    /// With those that could be plugged in.
    public var maximum = 1
    /// Processor packages, at least 1.
    public var sockets = 1
    /// Dies in a package, at least 1.
    public var dies = 1
    /// Cores in a die, at least 1.
    public var cores = 1
    /// Threads in a core, at least 1.
    public var threads = 1
    /// Those of the first `count` that were taken out.
    public var removed: Set<Int> = []
    /// Processors of -device and device_add.
    public var plugged: [PluggedProcessor] = []
    /// Everything at QEMU's default.
    public init() {}

    /// A processor that was added by itself.
    public struct PluggedProcessor: Equatable, Sendable {
        /// Its place among all that are possible: threads first, then cores, then sockets.
        public var index: Int
        /// `id=`.
        public var identifier: String?
        /// A processor at this place.
        public init(index: Int, identifier: String?) { (self.index, self.identifier) = (index, identifier) }
    }

    /// Places that have a processor, in order.
    public var present: [Int] { ((0..<count).filter { !removed.contains($0) } + plugged.map(\.index)).sorted() }
}

/// `-m` and the object that backs the memory.
public struct MemorySpec: Equatable, Sendable {
    /// Bytes at start.
    public var bytes: UInt64 = 128 << 20
    /// Slots for memory that is plugged in later.
    public var slots = 0
    /// The most bytes it may grow to.
    public var maximumBytes: UInt64 = 128 << 20
    /// `-machine memory-backend=`: the identifier of a memory object.
    public var backend: String?
    /// `-mem-path`.
    public var path: String?
    /// `-mem-prealloc`.
    public var preallocates = false
    /// `-overcommit mem-lock=on`: nothing of the process is ever paged out.
    public var isLocked = false
    /// Everything at QEMU's default.
    public init() {}
}

/// `-kernel`, `-initrd`, `-append`, `-bios`, `-boot`.
public struct BootSpec: Equatable, Sendable {
    /// The kernel's file; `nil` to boot from firmware.
    public var kernel: String?
    /// One file, or for multiboot kernels a list as QEMU takes it: "a arg,b arg".
    public var initrd: String?
    /// What `-append` gave.
    public var commandLine: String?
    /// A file of -bios; nil for the board's own.
    public var bios: String?
    /// Letters a, c, d, n of `order=`.
    public var order: String?
    /// `once=`: for the first boot only.
    public var once: String?
    /// Whether the firmware offers its boot menu.
    public var menu = false
    /// Whether only what has a boot index is tried.
    public var isStrict = false
    /// Milliseconds.
    public var splashTime: Int?
    /// The picture that the firmware shows.
    public var splash: String?
    /// Milliseconds after a failed boot; -1 never.
    public var rebootTimeout: Int?
    /// Everything at QEMU's default.
    public init() {}
}
