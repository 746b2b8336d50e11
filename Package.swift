// swift-tools-version: 6.3
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

/// What every module is compiled with.
let strict: [SwiftSetting] = [
    .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

/// The processor's hot files: every line would carry the word `unsafe`, so the module as a whole is the unsafe
/// region, behind a small documented surface (docs/architecture.md).
let hot: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
    .unsafeFlags(["-enforce-exclusivity=unchecked"]),
]

/// The layers that every guest request passes: their state is guarded by locks, and the runtime's own checks for
/// overlapping accesses cost a cached read a tenth of its time (docs/decisions/2026-11-21-block-layer-exclusivity.md).
let requestPath: [SwiftSetting] = strict + [.unsafeFlags(["-enforce-exclusivity=unchecked"])]

func module(
    _ name: String, in folder: String, _ dependencies: [Target.Dependency], settings: [SwiftSetting] = strict
) -> Target {
    .target(name: name, dependencies: dependencies, path: "Sources/\(folder)/\(name)", swiftSettings: settings)
}

/// A C header that one Swift module wraps; `package` is the Debian package that holds the library.
func library(_ name: String, pkgConfig: String? = nil, package: String) -> Target {
    .systemLibrary(name: name, path: "Sources/Shims/\(name)", pkgConfig: pkgConfig, providers: [.apt([package])])
}

func shim(_ name: String) -> Target {
    .target(name: name, path: "Sources/Shims/\(name)")
}

func program(_ name: String, _ dependencies: [Target.Dependency], linkedWith flags: [String] = []) -> Target {
    .executableTarget(
        name: name, dependencies: dependencies, path: "Sources/Executables/\(name)", swiftSettings: strict,
        linkerSettings: [.unsafeFlags(["-static-stdlib"] + flags)])
}

/// For a program that is started often and runs for a millisecond: nothing is shared but the C library itself, and
/// nothing is relocated (docs/decisions/2026-11-21-roost-img-linking.md).
let quickStart = [
    "-L", "\(Context.packageDirectory)/Sources/Shims/StaticLibraries", "-Xclang-linker", "-static-libgcc",
    "-Xclang-linker", "-no-pie", "-Xlinker", "--no-export-dynamic",
]

/// The tests of one module, in Tests/<module>Tests.
func tests(_ name: String, _ dependencies: [Target.Dependency] = [], settings: [SwiftSetting] = strict) -> Target {
    .testTarget(
        name: "\(name)Tests", dependencies: [.byName(name: name)] + dependencies, path: "Tests/\(name)Tests",
        exclude: name == "HTTPImage" ? ["server.py"] : [], swiftSettings: settings)
}

let shims: [Target] = [
    shim("CLinux"),
    shim("CX86Native"),
    shim("CGnuTLS"),
    shim("CAtomic"),
    shim("CCurl"),
    shim("CArgon2"),
    shim("CQuickStart"),
    shim("CConfinement"),
    shim("CPacketSocket"),
    library("CURing", package: "liburing-dev"),
    library("CDeflate", package: "libdeflate-dev"),
    library("CZlib", package: "zlib1g-dev"),
    library("CBzip2", package: "libbz2-dev"),
    library("CLZMA", package: "liblzma-dev"),
    library("CZstd", package: "libzstd-dev"),
    library("CCrypto", package: "libssl-dev"),
    library("CXML", pkgConfig: "libxml-2.0", package: "libxml2-dev"),
    library("CSlirp", pkgConfig: "slirp", package: "libslirp-dev"),
]

let modules: [Target] = [
    // Support
    module("ByteCoding", in: "Support", []),
    module("HostSystem", in: "Support", ["CLinux"]),
    module("Diagnostics", in: "Support", ["HostSystem"]),
    module("JSONCoding", in: "Support", []),
    module("CommandLineKit", in: "Support", ["Diagnostics", "JSONCoding"]),
    module("HostIO", in: "Support", ["HostSystem", "Diagnostics", "CLinux", "CURing"]),
    module("LocalSockets", in: "Support", ["HostSystem", "CLinux"]),
    module("HostProcesses", in: "Support", ["HostSystem", "CLinux"]),
    module(
        "ProcessConfinement", in: "Support", ["HostSystem", "HostProcesses", "CConfinement", "CLinux"]),
    module("XMLTree", in: "Support", ["CXML"]),
    module("Compression", in: "Support", ["CDeflate", "CZlib", "CZstd", "CBzip2", "CLZMA"]),
    module("Cryptography", in: "Support", ["CCrypto", "CArgon2"]),
    module("TransportSecurity", in: "Support", ["CGnuTLS"]),
    // Contract
    module("MachineSpec", in: "Contract", ["Diagnostics", "CommandLineKit", "JSONCoding"]),
    module("ControlProtocol", in: "Contract", ["JSONCoding"]),
    // Machine
    module("GuestMemory", in: "Machine", ["CAtomic", "HostSystem"]),
    module("MachineModel", in: "Machine", ["HostSystem", "Diagnostics"]),
    module("StateCoding", in: "Machine", ["ByteCoding", "Compression"]),
    module("CPUInterface", in: "Machine", ["GuestMemory", "MachineModel"]),
    // Engines
    module(
        "X86CPU", in: "Engines",
        [
            "StateCoding", "GuestMemory", "MachineModel", "CPUInterface", "CX86Native", "CLinux", "Diagnostics",
            "HostSystem",
        ],
        settings: hot),
    module("X86Translator", in: "Engines", ["X86CPU", "CX86Native", "Diagnostics", "HostSystem"], settings: hot),
    module(
        "KVMEngine", in: "Engines",
        ["StateCoding", "GuestMemory", "MachineModel", "CPUInterface", "CLinux", "HostSystem", "Diagnostics"]),
    // Storage
    module(
        "BlockLayer", in: "Storage",
        ["CLinux", "HostSystem", "HostIO", "Diagnostics", "JSONCoding", "CommandLineKit", "ByteCoding"],
        settings: requestPath),
    module("RawImage", in: "Storage", ["BlockLayer", "HostSystem", "HostIO"], settings: requestPath),
    module("QCOW2Image", in: "Storage", ["BlockLayer", "Compression", "HostSystem"], settings: requestPath),
    module("BlockMapping", in: "Storage", ["BlockLayer", "HostSystem", "ByteCoding"]),
    module("VDIImage", in: "Storage", ["BlockLayer", "BlockMapping", "ByteCoding", "Cryptography", "HostSystem"]),
    module("VHDImage", in: "Storage", ["BlockLayer", "BlockMapping", "ByteCoding", "Cryptography", "HostSystem"]),
    module(
        "VMDKImage", in: "Storage",
        ["BlockLayer", "BlockMapping", "ByteCoding", "Compression", "Cryptography", "HostSystem"]),
    module("VHDXImage", in: "Storage", ["BlockLayer", "BlockMapping", "ByteCoding", "Cryptography", "HostSystem"]),
    module(
        "LUKSImage", in: "Storage",
        ["BlockLayer", "BlockMapping", "ByteCoding", "Cryptography", "HostSystem", "JSONCoding"]),
    module("BochsImage", in: "Storage", ["BlockLayer", "BlockMapping", "ByteCoding", "HostSystem"]),
    module("CloopImage", in: "Storage", ["BlockLayer", "BlockMapping", "ByteCoding", "Compression", "HostSystem"]),
    module("DMGImage", in: "Storage", ["BlockLayer", "BlockMapping", "ByteCoding", "Compression", "HostSystem"]),
    module("ParallelsImage", in: "Storage", ["BlockLayer", "BlockMapping", "ByteCoding", "HostSystem"]),
    module(
        "QCOWImage", in: "Storage", ["BlockLayer", "BlockMapping", "ByteCoding", "Compression", "HostSystem"]),
    module("QEDImage", in: "Storage", ["BlockLayer", "BlockMapping", "ByteCoding", "HostSystem"]),
    module("HTTPImage", in: "Storage", ["BlockLayer", "HostSystem", "CCurl"]),
    module("BlockFilters", in: "Storage", ["BlockLayer", "HostSystem"]),
    module("NBDProtocol", in: "Storage", ["BlockLayer", "CLinux", "HostSystem", "TransportSecurity"]),
    module(
        "DiskImages", in: "Storage",
        [
            "BlockLayer", "RawImage", "QCOW2Image", "VDIImage", "VHDImage", "VMDKImage", "LUKSImage", "VHDXImage",
            "BochsImage", "CloopImage", "DMGImage", "ParallelsImage", "QCOWImage", "QEDImage", "BlockFilters",
            "NBDProtocol", "HTTPImage", "JSONCoding", "CommandLineKit", "HostSystem", "HostIO", "Cryptography",
            "Diagnostics", "TransportSecurity", "ByteCoding",
        ]),
    module("BlockJobs", in: "Storage", ["BlockLayer", "HostSystem", "NBDProtocol", "TransportSecurity"]),
    // Networking
    module("PacketPorts", in: "Networking", ["HostSystem", "HostIO", "Diagnostics", "CLinux"]),
    module(
        "VLANSwitch", in: "Networking", ["PacketPorts", "LocalSockets", "HostSystem", "Diagnostics", "CPacketSocket"]),
    module(
        "UserNetwork", in: "Networking", ["PacketPorts", "CSlirp", "HostIO", "HostSystem", "Diagnostics", "CLinux"]),
    // Presentation
    module("CharacterStreams", in: "Presentation", ["CLinux", "HostSystem", "HostIO", "Diagnostics"]),
    module("DisplaySurfaces", in: "Presentation", ["HostSystem", "Compression"]),
    module(
        "VNCServer", in: "Presentation",
        [
            "CharacterStreams", "DisplaySurfaces", "TransportSecurity", "Compression", "Cryptography", "HostIO",
            "HostSystem", "Diagnostics", "ByteCoding",
        ]),
    // Devices
    module(
        "InterruptControllers", in: "Devices",
        ["StateCoding", "MachineModel", "CPUInterface", "HostSystem", "Diagnostics"]),
    module("PCIBus", in: "Devices", ["StateCoding", "MachineModel", "GuestMemory", "ByteCoding", "Diagnostics"]),
    module(
        "PCChipset", in: "Devices",
        [
            "StateCoding", "MachineModel", "GuestMemory", "PCIBus", "InterruptControllers", "CharacterStreams",
            "HostSystem", "Diagnostics",
        ]),
    module("FirmwareTables", in: "Devices", ["ByteCoding", "GuestMemory"]),
    module("BootLoading", in: "Devices", ["GuestMemory", "ByteCoding", "Diagnostics", "CPUInterface", "HostSystem"]),
    module(
        "Virtio", in: "Devices",
        [
            "StateCoding", "MachineModel", "GuestMemory", "PCIBus", "ByteCoding", "Diagnostics", "HostSystem",
            "CAtomic", "CLinux",
        ]),
    module(
        "VirtioDevices", in: "Devices",
        [
            "StateCoding",
            "Virtio", "GuestMemory", "MachineModel", "BlockLayer", "PacketPorts", "CharacterStreams", "HostIO",
            "HostSystem",
            "Diagnostics", "CLinux",
        ]),
    module(
        "DiskControllers", in: "Devices",
        ["StateCoding", "MachineModel", "GuestMemory", "PCIBus", "BlockLayer", "ByteCoding", "HostIO", "HostSystem"]),
    module(
        "NetworkCards", in: "Devices",
        [
            "StateCoding", "MachineModel", "GuestMemory", "PCIBus", "PacketPorts", "ByteCoding", "HostIO", "HostSystem",
        ]),
    module(
        "USBDevices", in: "Devices",
        [
            "StateCoding", "MachineModel", "GuestMemory", "PCIBus", "BlockLayer", "ByteCoding", "DisplaySurfaces",
            "DiskControllers",
        ]),
    module(
        "DisplayAdapters", in: "Devices", ["StateCoding", "MachineModel", "GuestMemory", "PCIBus", "DisplaySurfaces"]),
    // VMM
    module(
        "MachineRuntime", in: "VMM",
        ["CPUInterface", "MachineModel", "GuestMemory", "HostIO", "Diagnostics", "HostSystem"]),
    module(
        "Migration", in: "VMM",
        [
            "StateCoding", "GuestMemory", "ByteCoding", "CharacterStreams", "Diagnostics", "HostSystem", "CLinux",
            "TransportSecurity",
        ]),
    module(
        "ControlServer", in: "VMM",
        [
            "ControlProtocol", "MachineRuntime", "MachineModel", "GuestMemory", "CharacterStreams", "JSONCoding",
            "CPUInterface", "Diagnostics", "HostIO", "HostSystem", "CommandLineKit", "MachineSpec", "DisplaySurfaces",
            "VNCServer", "TransportSecurity", "BlockLayer", "BlockJobs", "ByteCoding", "NBDProtocol", "Compression",
        ]),
    module(
        "MachineAssembly", in: "VMM",
        [
            "Migration",
            "StateCoding",
            "CLinux",
            "MachineSpec", "MachineRuntime", "X86CPU", "X86Translator", "KVMEngine", "InterruptControllers", "PCIBus",
            "PCChipset",
            "FirmwareTables", "BootLoading", "Virtio", "VirtioDevices", "DiskControllers", "DisplayAdapters",
            "NetworkCards", "USBDevices",
            "DisplaySurfaces", "VNCServer", "TransportSecurity", "DiskImages", "BlockLayer",
            "UserNetwork",
            "PacketPorts", "CharacterStreams", "GuestMemory", "MachineModel", "CPUInterface", "HostIO", "HostSystem",
            "Diagnostics", "JSONCoding", "CommandLineKit", "ControlServer", "ControlProtocol", "BlockJobs",
            "NBDProtocol", "ByteCoding",
        ]),
    // Management
    module("ManagementModel", in: "Management", []),
    module("ManagementXML", in: "Management", ["ManagementModel", "XMLTree"]),
    module("StateStore", in: "Management", ["ManagementModel", "HostSystem"]),
    module("HostTools", in: "Management", ["ManagementModel", "HostProcesses", "HostSystem"]),
    module(
        "HostInventory", in: "Management",
        ["ManagementModel", "XMLTree", "JSONCoding", "HostSystem", "HostProcesses", "Diagnostics"]),
    module(
        "MachineDriver", in: "Management",
        [
            "ManagementModel", "ManagementXML", "StateStore", "HostInventory", "ControlProtocol", "XMLTree",
            "JSONCoding", "LocalSockets", "HostProcesses", "HostIO", "HostSystem", "Diagnostics", "CLinux",
            "ByteCoding", "HostTools", "ProcessConfinement",
        ]),
    module(
        "StorageBackends", in: "Management",
        ["ManagementModel", "StateStore", "XMLTree", "HostTools", "HostSystem", "Diagnostics"]),
    module(
        "VirtualNetworks", in: "Management",
        ["ManagementModel", "StateStore", "XMLTree", "HostTools", "HostSystem", "Diagnostics"]),
    module(
        "SecretStore", in: "Management",
        ["ManagementModel", "StateStore", "XMLTree", "ByteCoding", "HostSystem", "Diagnostics"]),
    module(
        "NetworkFilters", in: "Management",
        ["ManagementModel", "StateStore", "XMLTree", "HostTools", "HostSystem", "Diagnostics"]),
    module(
        "ManagementCore", in: "Management",
        [
            "ManagementModel", "SecretStore", "NetworkFilters", "VirtualNetworks", "HostInventory", "MachineDriver",
            "StorageBackends", "StateStore",
            "HostSystem",
            "Diagnostics",
        ]),
    // Remote
    module("XDRCoding", in: "Remote", []),
    module("LibvirtProtocol", in: "Remote", ["XDRCoding", "ManagementModel"]),
    module(
        "LibvirtRPC", in: "Remote",
        [
            "LibvirtProtocol", "XDRCoding", "ManagementModel", "TransportSecurity", "HostIO", "HostSystem",
            "LocalSockets", "Diagnostics",
        ]),
    module("ClientKit", in: "Remote", ["LibvirtProtocol", "XDRCoding", "LocalSockets", "HostSystem"]),
    module(
        "LibvirtService", in: "Remote",
        [
            "LibvirtRPC", "LibvirtProtocol", "XDRCoding", "ManagementCore", "MachineDriver", "HostInventory",
            "StorageBackends", "VirtualNetworks", "SecretStore", "NetworkFilters", "ManagementModel",
            "ManagementXML", "HostIO", "HostSystem", "Diagnostics", "ClientKit", "XMLTree",
        ]),
    module(
        "DaemonAssembly", in: "Remote",
        [
            "LibvirtService", "LibvirtRPC", "ManagementCore", "MachineDriver", "HostInventory", "HostTools",
            "StateStore",
            "StorageBackends", "VirtualNetworks", "SecretStore", "NetworkFilters", "TransportSecurity",
            "ManagementModel", "LocalSockets", "CommandLineKit", "HostIO", "HostSystem", "Diagnostics", "CLinux",
            "ProcessConfinement", "XMLTree", "VLANSwitch",
        ]),
    module(
        "FriendlyCommand", in: "Remote",
        [
            "ClientKit", "LibvirtProtocol", "XDRCoding", "ManagementModel", "CharacterStreams", "CommandLineKit",
            "XMLTree", "JSONCoding", "HostProcesses", "HostSystem", "Diagnostics",
        ]),
]

let programs: [Target] = [
    program("roost-vmm", ["MachineAssembly", "MachineSpec", "Diagnostics", "HostSystem"]),
    program("roost-img", ["DiskImages", "CQuickStart"], linkedWith: quickStart),
    program("roostd", ["DaemonAssembly"]),
    program("roost", ["FriendlyCommand"]),
]

/// What several test targets share.
let testSupport: [Target] = [
    .target(name: "RandomKit", path: "Tests/Support/RandomKit", swiftSettings: strict),
    .target(
        name: "StreamTestKit", dependencies: ["CharacterStreams"], path: "Tests/Support/StreamTestKit",
        swiftSettings: strict),
    .target(
        name: "MachineTestKit",
        dependencies: [
            "MachineAssembly", "MachineRuntime", "MachineModel", "PCIBus", "GuestMemory", "CPUInterface", "StateCoding",
            "ControlServer", "MachineSpec", "JSONCoding", "Diagnostics", "HostSystem", "RandomKit", "StreamTestKit",
            "StorageTestKit", "BlockLayer", "QCOW2Image",
        ],
        path: "Tests/Support/MachineTestKit", swiftSettings: strict),
    .target(
        name: "VirtqueueDriver",
        dependencies: ["Virtio", "GuestMemory", "HostIO", "HostSystem", "MachineModel", "PCIBus"],
        path: "Tests/Support/VirtqueueDriver", swiftSettings: strict),
    .target(
        name: "StorageTestKit", dependencies: ["BlockLayer", "HostSystem"], path: "Tests/Support/StorageTestKit",
        swiftSettings: strict),
    .target(
        name: "ImageFuzzing", dependencies: ["RandomKit", "BlockLayer", "DiskImages", "StorageTestKit"],
        path: "Tests/Support/ImageFuzzing", swiftSettings: strict),
    .target(
        name: "ServiceTestKit", dependencies: ["HostInventory", "StateStore"], path: "Tests/Support/ServiceTestKit",
        swiftSettings: strict),
    .executableTarget(
        name: "fake-emulator", dependencies: ["HostSystem", "JSONCoding", "LocalSockets"],
        path: "Tests/Support/fake-emulator", swiftSettings: strict),
    .executableTarget(
        name: "confine-helper", dependencies: ["ProcessConfinement"], path: "Tests/Support/confine-helper",
        swiftSettings: strict),
    .target(
        name: "FaultTestKit", dependencies: ["StateStore"], path: "Tests/Support/FaultTestKit", swiftSettings: strict),
    .target(
        name: "RPCTestKit",
        dependencies: ["RandomKit", "LibvirtProtocol", "XDRCoding", "LocalSockets", "HostSystem"],
        path: "Tests/Support/RPCTestKit", swiftSettings: strict),
    .target(
        name: "VNCTestKit", dependencies: ["VNCServer", "Compression"], path: "Tests/Support/VNCTestKit",
        swiftSettings: strict),
    .target(
        name: "WireTestKit", dependencies: ["RandomKit", "LibvirtProtocol", "XDRCoding"],
        path: "Tests/Support/WireTestKit", swiftSettings: strict),
    .target(
        name: "FormatTestKit", dependencies: ["RandomKit", "BlockLayer", "StorageTestKit"],
        path: "Tests/Support/FormatTestKit",
        swiftSettings: strict),
]

let benchmarks: [Target] = [
    .executableTarget(
        name: "xml-normalize", dependencies: ["ManagementXML", "ManagementModel"], path: "Benchmarks/xml-normalize",
        swiftSettings: strict),
    .executableTarget(
        name: "cpu-benchmark",
        dependencies: ["X86CPU", "X86Translator", "GuestMemory", "MachineModel", "CPUInterface", "HostSystem"],
        path: "Benchmarks/cpu-benchmark", swiftSettings: strict),
    .executableTarget(
        name: "virtio-benchmark",
        dependencies: [
            "RandomKit",
            "VirtqueueDriver", "Virtio", "VirtioDevices", "BlockLayer", "RawImage", "QCOW2Image", "PacketPorts",
            "GuestMemory", "HostIO", "HostSystem",
        ],
        path: "Benchmarks/virtio-benchmark", swiftSettings: strict),
    .executableTarget(
        name: "block-benchmark",
        dependencies: ["RandomKit", "BlockLayer", "DiskImages", "RawImage", "StorageTestKit", "HostSystem"],
        path: "Benchmarks/block-benchmark", swiftSettings: strict),
    .executableTarget(
        name: "vnc-benchmark",
        dependencies: ["VNCServer", "DisplaySurfaces", "CharacterStreams", "HostIO", "HostSystem"],
        path: "Benchmarks/vnc-benchmark", swiftSettings: strict),
    .executableTarget(
        name: "fuzz-images", dependencies: ["RandomKit", "ImageFuzzing", "HostSystem"],
        path: "Fuzz/fuzz-images", swiftSettings: strict),
    .executableTarget(
        name: "fuzz-vnc", dependencies: ["RandomKit", "VNCTestKit", "VNCServer", "DisplaySurfaces"],
        path: "Fuzz/fuzz-vnc",
        swiftSettings: strict),
    .executableTarget(
        name: "fuzz-rpc",
        dependencies: [
            "RandomKit",
            "RPCTestKit", "StorageTestKit", "DaemonAssembly", "LibvirtService", "LibvirtRPC", "LibvirtProtocol",
            "XDRCoding", "XMLTree",
            "ManagementCore", "ManagementXML", "MachineDriver", "HostInventory", "ManagementModel", "StorageBackends",
            "VirtualNetworks", "NetworkFilters", "SecretStore", "StateStore",
        ],
        path: "Fuzz/fuzz-rpc", swiftSettings: strict),
    .executableTarget(
        name: "fuzz-virtio",
        dependencies: [
            "RandomKit",
            "VirtqueueDriver", "Virtio", "VirtioDevices", "BlockLayer", "PacketPorts", "GuestMemory", "Diagnostics",
            "HostSystem", "HostIO",
        ],
        path: "Fuzz/fuzz-virtio", swiftSettings: strict),
    .executableTarget(
        name: "fuzz-devices", dependencies: ["MachineTestKit", "Diagnostics"], path: "Fuzz/fuzz-devices",
        swiftSettings: strict),
    .executableTarget(
        name: "fuzz-qmp", dependencies: ["MachineTestKit", "Diagnostics"], path: "Fuzz/fuzz-qmp", swiftSettings: strict),
]

/// Runs instructions on the host's processor and on the software CPU, for tests and for the fuzz target.
let oracle: [Target] = [
    .target(name: "CHostOracle", path: "Tests/Support/CHostOracle"),
    .target(
        name: "HostOracle",
        dependencies: [
            "RandomKit",
            "CHostOracle", "X86CPU", "X86Translator", "GuestMemory", "MachineModel", "CPUInterface", "HostSystem",
        ],
        path: "Tests/Support/HostOracle", swiftSettings: strict),
    .executableTarget(
        name: "fuzz-cpu", dependencies: ["HostOracle"], path: "Fuzz/fuzz-cpu", swiftSettings: strict),
]

var testTargets: [Target] = [
    tests("XDRCoding"),
    tests("ManagementXML", ["ManagementModel", "XMLTree"]),
    tests("StateStore"),
    tests("VirtualNetworks", ["ManagementModel", "StateStore", "FaultTestKit"]),
    tests("SecretStore", ["ManagementModel", "StateStore", "FaultTestKit"]),
    tests("NetworkFilters", ["ManagementModel", "HostProcesses", "StateStore", "FaultTestKit"]),
    tests("HostInventory", ["ManagementModel", "XMLTree"]),
    tests(
        "MachineDriver",
        [
            "ServiceTestKit", "HostInventory", "ManagementModel", "ManagementXML", "StateStore", "JSONCoding",
            "HostSystem", "XMLTree",
            "fake-emulator", "FaultTestKit",
        ]),
    tests(
        "LibvirtService",
        [
            "ServiceTestKit", "RandomKit",
            "LibvirtProtocol", "LibvirtRPC", "XDRCoding", "WireTestKit", "StorageTestKit", "ClientKit",
            "ManagementCore", "ManagementModel", "MachineDriver", "HostInventory", "StorageBackends",
            "VirtualNetworks", "SecretStore", "NetworkFilters", "StateStore", "LocalSockets", "HostIO", "HostSystem",
        ]),
    tests(
        "DaemonAssembly",
        [
            "ServiceTestKit", "Diagnostics", "RPCTestKit", "LibvirtService", "LibvirtRPC", "LibvirtProtocol",
            "XDRCoding",
            "ManagementCore", "MachineDriver", "HostInventory", "ManagementModel", "StateStore", "LocalSockets",
            "HostIO", "HostSystem", "StorageBackends", "NetworkFilters", "SecretStore",
        ]),
    tests("StorageBackends", ["ManagementModel", "StateStore", "HostSystem", "XMLTree", "FaultTestKit"]),
    tests(
        "ClientKit", ["LibvirtProtocol", "LocalSockets", "ManagementModel", "XDRCoding", "HostSystem"]),
    tests("FriendlyCommand", ["RandomKit", "Diagnostics", "JSONCoding", "XMLTree", "StorageTestKit"]),
    tests(
        "LibvirtRPC",
        [
            "RandomKit",
            "LibvirtProtocol", "XDRCoding", "ManagementModel", "LocalSockets", "HostSystem", "RPCTestKit", "ClientKit",
        ]),
    tests("ProcessConfinement", ["HostProcesses", "HostSystem", "confine-helper"]),
    tests("XMLTree", ["RandomKit"]),
    tests("ManagementModel"),
    tests("LibvirtProtocol", ["RandomKit", "XDRCoding", "ManagementModel", "WireTestKit", "StorageTestKit"]),
    tests("GuestMemory", ["RandomKit"]),
    tests("InterruptControllers", ["RandomKit", "MachineModel", "CPUInterface", "HostSystem"]),
    tests(
        "PCChipset",
        ["RandomKit", "MachineModel", "GuestMemory", "StateCoding", "HostSystem", "CharacterStreams"]),
    tests("HostIO", ["HostSystem"]),
    tests(
        "MachineAssembly",
        ["MachineTestKit", "MachineSpec", "StateCoding", "JSONCoding", "StorageTestKit", "Diagnostics"]),
    tests("MachineRuntime", ["CPUInterface", "MachineModel", "HostIO", "HostSystem"]),
    tests("CharacterStreams", ["HostIO", "HostSystem"]),
    tests("Migration", ["Diagnostics", "GuestMemory", "HostIO", "HostSystem", "StateCoding"]),
    tests("StateCoding", ["ByteCoding"]),
    tests("CPUInterface"),
    tests("Cryptography"),
    tests("KVMEngine", ["CPUInterface", "GuestMemory", "MachineModel", "HostSystem", "StateCoding"]),
    tests("ByteCoding"),
    tests("HostSystem", ["StorageTestKit"]),
    tests("HostProcesses", ["HostSystem"]),
    tests("LocalSockets", ["HostSystem"]),
    tests("Compression", ["RandomKit"]),
    tests("MachineModel", ["RandomKit", "HostSystem"]),
    tests("HostTools", ["ManagementModel", "HostSystem"]),
    tests("ControlProtocol", ["JSONCoding"]),
    tests(
        "X86CPU", ["RandomKit", "GuestMemory", "MachineModel", "CPUInterface", "HostSystem", "HostOracle"],
        settings: hot),
    tests(
        "X86Translator",
        ["RandomKit", "X86CPU", "GuestMemory", "MachineModel", "CPUInterface", "HostSystem", "HostOracle"],
        settings: hot),
    tests("PCIBus", ["MachineModel", "GuestMemory", "HostSystem", "StateCoding"]),
    tests("FirmwareTables", ["ByteCoding", "GuestMemory", "HostSystem"]),
    tests("BootLoading", ["RandomKit", "ByteCoding", "GuestMemory", "CPUInterface", "HostSystem"]),
    tests("BlockLayer", ["RandomKit", "HostSystem", "StorageTestKit"]),
    tests("JSONCoding"),
    tests("MachineSpec", ["RandomKit", "Diagnostics", "CommandLineKit", "JSONCoding", "StorageTestKit"]),
    tests(
        "ControlServer",
        [
            "ControlProtocol", "MachineRuntime", "MachineModel", "GuestMemory", "CharacterStreams", "JSONCoding",
            "CPUInterface", "Diagnostics", "HostIO", "HostSystem", "MachineSpec", "StreamTestKit", "StorageTestKit",
            "Compression",
        ]),
    tests("CommandLineKit", ["Diagnostics", "JSONCoding"]),
    tests("Diagnostics", ["HostSystem"]),
    tests("LUKSImage", ["RandomKit", "BlockLayer", "Cryptography", "FormatTestKit", "StorageTestKit"]),
    tests("HTTPImage", ["RandomKit", "BlockLayer", "StorageTestKit"]),
    tests("DMGImage", ["BlockLayer", "StorageTestKit"]),
    tests("VHDXImage", ["BlockLayer", "FormatTestKit", "StorageTestKit"]),
    tests("VMDKImage", ["BlockLayer", "FormatTestKit", "StorageTestKit"]),
    tests("NBDProtocol", ["RandomKit", "BlockLayer", "StorageTestKit", "HostSystem"]),
    tests("QEDImage", ["RandomKit", "QCOWImage", "ParallelsImage", "BlockLayer", "FormatTestKit", "StorageTestKit"]),
    tests("BlockFilters", ["BlockLayer"]),
    tests("VDIImage", ["BlockLayer", "FormatTestKit", "StorageTestKit"]),
    tests("VHDImage", ["BlockLayer", "FormatTestKit", "StorageTestKit"]),
    tests("RawImage", ["BlockLayer", "StorageTestKit"]),
    tests("DiskImages", ["RandomKit", "StorageTestKit", "ImageFuzzing", "BlockLayer", "HostSystem"]),
    tests("QCOW2Image", ["RandomKit", "BlockLayer", "RawImage", "StorageTestKit", "HostSystem"]),
    tests("Virtio", ["RandomKit", "VirtqueueDriver", "HostSystem", "GuestMemory", "MachineModel", "PCIBus"]),
    tests(
        "VirtioDevices",
        [
            "RandomKit",
            "Virtio", "VirtqueueDriver", "GuestMemory", "MachineModel", "PCIBus", "HostIO", "HostSystem", "BlockLayer",
            "RawImage", "PacketPorts",
            "CharacterStreams", "Diagnostics",
        ]),
    tests(
        "BlockJobs",
        [
            "RandomKit", "BlockLayer", "DiskImages", "StorageTestKit", "HostSystem", "NBDProtocol", "QCOW2Image",
            "RawImage",
        ]),
    tests(
        "USBDevices",
        [
            "BlockLayer", "DiskControllers", "DisplaySurfaces", "GuestMemory", "HostSystem", "MachineModel", "PCIBus",
            "StateCoding",
        ]),
    tests("DisplayAdapters", ["RandomKit", "DisplaySurfaces", "GuestMemory", "HostSystem", "MachineModel", "PCIBus"]),
    tests("DisplaySurfaces", ["HostSystem"]),
    tests("VNCServer", ["VNCTestKit", "DisplaySurfaces", "CharacterStreams", "HostIO", "HostSystem"]),
    tests(
        "NetworkCards", ["GuestMemory", "HostIO", "HostSystem", "MachineModel", "PacketPorts", "PCIBus", "StateCoding"]),
    tests(
        "DiskControllers",
        ["RandomKit", "BlockLayer", "GuestMemory", "HostIO", "HostSystem", "MachineModel", "PCIBus", "StateCoding"]),
    tests("PacketPorts", ["HostIO", "HostSystem", "Diagnostics", "CLinux"]),
    tests("VLANSwitch"),
    tests("UserNetwork", ["PacketPorts", "HostIO", "HostSystem", "Diagnostics", "CLinux"]),
]

var targets = [shims, modules, programs, testSupport, benchmarks, oracle, testTargets].flatMap { $0 }

// ROOST_TESTS="VirtioTests,PCIBusTests" leaves only those tests and what they need: a shorter loop while working on one
// module.
if let only = Context.environment["ROOST_TESTS"]?.split(separator: ",").map(String.init), !only.isEmpty {
    var wanted = Set(only)
    var pending = only
    while let name = pending.popLast() {
        for case .byNameItem(let dependency, _) in targets.first(where: { $0.name == name })?.dependencies ?? []
        where wanted.insert(dependency).inserted {
            pending.append(dependency)
        }
    }
    targets.removeAll { !wanted.contains($0.name) }
}

let package = Package(name: "roost", targets: targets, swiftLanguageModes: [.v6])
