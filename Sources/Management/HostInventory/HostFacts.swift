// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem
public import ManagementModel

/// What the host is: processor, memory, names.
public struct HostFacts: Sendable {
    /// Sockets, cores of each, threads of each.
    public struct Topology: Equatable, Sendable {
        /// The product is the number of logical processors, where the kernel tells the truth.
        public var sockets = 1, cores = 1, threads = 1
        /// One processor, until /proc/cpuinfo says more.
        public init() {}
    }

    /// `GenuineIntel` or `AuthenticAMD`.
    public var vendor = ""
    /// As /proc/cpuinfo shows them, extended parts included.
    public var family = 0, model = 0, stepping = 0
    /// The revision; 0 where the kernel does not tell, and documents leave it out.
    public var microcode: UInt64 = 0
    /// Feature names as the kernel lists them.
    public var flags: [String] = []
    /// The processor by a model and features; nil where no model describes it.
    public private(set) var processor: ProcessorDocument?
    /// Of the first processor when it was looked at; 0 if unknown.
    public var megahertz = 0
    /// Logical processors that are online.
    public var processors = 1
    /// How those are laid out.
    public var topology = Topology()
    /// Memory in KiB.
    public var memoryKiB: UInt64 = 0
    /// Width of physical addresses; 0 if unknown.
    public var physicalBits = 0
    /// As gethostname(2) has it.
    public var hostname = "localhost"
    /// The board's, or /etc/machine-id's; random where neither can be read.
    public var uuid: UniqueID

    /// Looks at /proc and /sys.
    public init() {
        uuid = Self.readUUID()
        readProcessor()
        processor = ProcessorMap.standard.host(self)
        memoryKiB = Self.memoryInfo()["MemTotal"] ?? 0
        hostname = Self.readHostname()
    }

    private mutating func readProcessor() {
        var packages: Set<String> = []
        var count = 0
        var siblings = 1
        var cores = 1
        for line in TextFile.lines("/proc/cpuinfo") {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let name = line[..<colon].trimmed
            let value = String(line[line.index(after: colon)...].trimmed)
            switch name {
            case "processor": count += 1
            case "vendor_id": vendor = value
            case "cpu family": family = Int(value) ?? 0
            case "model": model = Int(value) ?? 0
            case "stepping": stepping = Int(value) ?? 0
            case "microcode": microcode = UInt64(value.dropFirst(2), radix: 16) ?? 0
            case "cpu MHz": megahertz = Int(Double(value) ?? 0)
            case "physical id": packages.insert(value)
            case "siblings": siblings = max(1, Int(value) ?? 1)
            case "cpu cores": cores = max(1, Int(value) ?? 1)
            case "flags" where flags.isEmpty: flags = value.split(separator: " ").map(String.init)
            case "address sizes": physicalBits = Int(value.prefix { $0.isNumber }) ?? 0
            default: break
            }
        }
        processors = max(1, count)
        topology.sockets = max(1, packages.count)
        topology.cores = cores
        topology.threads = max(1, siblings / cores)
    }

    /// Values of /proc/meminfo in KiB.
    public static func memoryInfo() -> [String: UInt64] {
        var values: [String: UInt64] = [:]
        for line in TextFile.lines("/proc/meminfo") {
            let parts = line.split(whereSeparator: { $0 == " " || $0 == ":" })
            if parts.count >= 2, let value = UInt64(parts[1]) { values[String(parts[0])] = value }
        }
        return values
    }

    private static func readUUID() -> UniqueID {
        for path in ["/sys/class/dmi/id/product_uuid", "/etc/machine-id"] {
            if let line = TextFile.lines(path).first, let uuid = UniqueID(String(line)) { return uuid }
        }
        return .random()
    }

    private static func readHostname() -> String {
        var name = [UInt8](repeating: 0, count: 256)
        // gethostname writes at most the buffer's size less the zero that stays.
        let failed = unsafe name.withUnsafeMutableBytes {
            unsafe gethostname($0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count - 1)
        }
        guard failed == 0 else { return "localhost" }
        return String(decoding: name.prefix { $0 != 0 }, as: UTF8.self)
    }
}
