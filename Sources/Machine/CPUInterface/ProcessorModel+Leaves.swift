// SPDX-License-Identifier: Apache-2.0

/// The four registers that CPUID answers.
public struct CPUIDResult: Equatable, Sendable {
    /// As CPUID leaves them in the registers.
    public var eax: UInt32, ebx: UInt32, ecx: UInt32, edx: UInt32
    /// All zero unless given, as for a leaf that does not exist.
    public init(eax: UInt32 = 0, ebx: UInt32 = 0, ecx: UInt32 = 0, edx: UInt32 = 0) {
        self.eax = eax
        self.ebx = ebx
        self.ecx = ecx
        self.edx = edx
    }
}

/// What CPUID's answer depends on besides the model.
public struct CPUIDState: Equatable, Sendable {
    /// The vCPU's APIC identifier.
    public var identifier: UInt32
    /// IA32_APIC_BASE's enable bit.
    public var isAPICEnabled: Bool
    /// CR4.OSXSAVE and CR4.PKE.
    public var osxsave: Bool, ospke: Bool
    /// XCR0 and IA32_XSS.
    public var xcr0: UInt64, xss: UInt64

    /// A processor after RESET.
    public init(
        identifier: UInt32, isAPICEnabled: Bool = true, osxsave: Bool = false, ospke: Bool = false, xcr0: UInt64 = 1,
        xss: UInt64 = 0
    ) {
        self.identifier = identifier
        self.isAPICEnabled = isAPICEnabled
        self.osxsave = osxsave
        self.ospke = ospke
        self.xcr0 = xcr0
        self.xss = xss
    }
}

extension CPUModel {
    private static let firstHypervisorLeaf: UInt32 = 0x4000_0000
    private static let firstExtendedLeaf: UInt32 = 0x8000_0000
    /// Bytes of the legacy area and the header of XSAVE.
    private static let legacyStateSize: UInt32 = 576
    private static let cacheLineSize: UInt32 = 64

    /// CPUID's answer (SDM vol. 2, CPUID). Leaves beyond the model's highest answer as zero, as on AMD.
    public func leaf(function: UInt32, index: UInt32, state: CPUIDState) -> CPUIDResult {
        if function >= Self.firstExtendedLeaf { return extendedLeaf(function, index, state) }
        if function >= Self.firstHypervisorLeaf { return hypervisorLeaf(function) }
        guard function <= highestLeaf else { return CPUIDResult() }
        switch function {
        case 0:
            let words = Self.words(vendor)
            return CPUIDResult(eax: highestLeaf, ebx: words[0], ecx: words[2], edx: words[1])
        case 1: return basicLeaf(state)
        case 4: return cacheLeaf(index)
        case 6: return CPUIDResult(eax: 1 << 2)
        case 7:
            guard index == 0 else { return CPUIDResult() }
            let protectionKeys: UInt32 = 1 << 4
            return CPUIDResult(
                ebx: features[.structuredEBX], ecx: features[.structuredECX] | (state.ospke ? protectionKeys : 0),
                edx: features[.structuredEDX])
        case 0xB: return topologyLeaf(index, state)
        case 0xD: return extendedStateLeaf(index, state)
        default: return CPUIDResult()
        }
    }

    private func basicLeaf(_ state: CPUIDState) -> CPUIDResult {
        let processors = topology.cores * topology.threads
        var edx = features[.basicEDX]
        let apic: UInt32 = 1 << 9
        let hyperThreading: UInt32 = 1 << 28
        let osxsave: UInt32 = 1 << 27
        if !state.isAPICEnabled { edx &= ~apic }
        if processors > 1 { edx |= hyperThreading }
        // EBX: CLFLUSH line in quadwords, logical processors of the package, initial APIC identifier.
        let ebx = (Self.cacheLineSize / 8) << 8 | UInt32(min(processors, 255)) << 16 | (state.identifier & 0xFF) << 24
        return CPUIDResult(
            eax: signature.leaf, ebx: ebx, ecx: features[.basicECX] | (state.osxsave ? osxsave : 0), edx: edx)
    }

    /// Deterministic cache parameters: 32 KiB L1d and L1i, 512 KiB L2 of a core, 16 MiB L3 of a package.
    private func cacheLeaf(_ index: UInt32) -> CPUIDResult {
        let caches: [(type: UInt32, level: UInt32, ways: UInt32, sets: UInt32, sharing: Int)] = [
            (1, 1, 8, 64, topology.threads), (2, 1, 8, 64, topology.threads), (3, 2, 16, 512, topology.threads),
            (3, 3, 16, 16384, topology.threads * topology.cores),
        ]
        guard vendor == "GenuineIntel", Int(index) < caches.count else { return CPUIDResult() }
        let cache = caches[Int(index)]
        let selfInitializing: UInt32 = 1 << 8
        return CPUIDResult(
            eax: cache.type | cache.level << 5 | selfInitializing | UInt32(min(cache.sharing, 4096) - 1) << 14
                | UInt32(min(topology.cores, 64) - 1) << 26,
            ebx: (Self.cacheLineSize - 1) | (cache.ways - 1) << 22, ecx: cache.sets - 1)
    }

    /// Bits that number `count` things.
    private func width(_ count: Int) -> UInt32 {
        count <= 1 ? 0 : UInt32(Int.bitWidth - (count - 1).leadingZeroBitCount)
    }

    private func topologyLeaf(_ index: UInt32, _ state: CPUIDState) -> CPUIDResult {
        let threadBits = width(topology.threads)
        let packageBits = threadBits + width(topology.cores)
        var result = CPUIDResult(ecx: index & 0xFF, edx: state.identifier)
        switch index {
        case 0:
            result.eax = threadBits
            result.ebx = UInt32(topology.threads)
            result.ecx |= 1 << 8
        case 1:
            result.eax = packageBits
            result.ebx = UInt32(topology.threads * topology.cores)
            result.ecx |= 2 << 8
        default: break
        }
        return result
    }

    /// State components that the model's features come with, as XCR0 bits.
    public var supportedXCR0: UInt64 {
        guard has("xsave") else { return 0 }
        var mask: UInt64 = 3
        if has("avx") { mask |= 1 << 2 }
        // Mask registers, and the upper parts of the vectors.
        if has("avx512f") { mask |= 7 << 5 }
        if has("pku") { mask |= 1 << 9 }
        let known = capabilities.stateComponents.reduce(UInt64(3)) { $0 | 1 << UInt64($1.bit) }
        return mask & known
    }

    private func extendedStateLeaf(_ index: UInt32, _ state: CPUIDState) -> CPUIDResult {
        let supported = supportedXCR0
        guard supported != 0 else { return CPUIDResult() }
        let components = capabilities.stateComponents.filter { supported & (1 << UInt64($0.bit)) != 0 && $0.bit >= 2 }
        func size(_ mask: UInt64) -> UInt32 {
            components.reduce(Self.legacyStateSize) { total, component in
                mask & (1 << UInt64(component.bit)) != 0 ? max(total, component.offset + component.size) : total
            }
        }
        switch index {
        case 0:
            return CPUIDResult(
                eax: UInt32(truncatingIfNeeded: supported), ebx: size(state.xcr0), ecx: size(supported),
                edx: UInt32(truncatingIfNeeded: supported >> 32))
        case 1:
            var compacted = Self.legacyStateSize
            for component in components where (state.xcr0 | state.xss) & (1 << UInt64(component.bit)) != 0 {
                compacted += component.size
            }
            let eax = features[.extendedStateEAX]
            let compactForms: UInt32 = 0b1010
            return CPUIDResult(eax: eax, ebx: eax & compactForms != 0 ? compacted : 0)
        default:
            guard let component = components.first(where: { $0.bit == Int(index) }) else { return CPUIDResult() }
            return CPUIDResult(eax: component.size, ebx: component.offset)
        }
    }

    private func hypervisorLeaf(_ function: UInt32) -> CPUIDResult {
        guard has("hypervisor"), !capabilities.hypervisor.isEmpty else { return CPUIDResult() }
        switch function - Self.firstHypervisorLeaf {
        case 0:
            let words = Self.words(capabilities.hypervisor)
            return CPUIDResult(
                eax: Self.firstHypervisorLeaf + 1, ebx: words[0], ecx: words[1], edx: words[2])
        case 1: return CPUIDResult(eax: capabilities.hypervisorFeatures)
        default: return CPUIDResult()
        }
    }

    private func extendedLeaf(_ function: UInt32, _ index: UInt32, _ state: CPUIDState) -> CPUIDResult {
        guard function <= highestExtendedLeaf else { return CPUIDResult() }
        switch function - Self.firstExtendedLeaf {
        case 0:
            let words = Self.words(vendor)
            return CPUIDResult(eax: highestExtendedLeaf, ebx: words[0], ecx: words[2], edx: words[1])
        case 1:
            var edx = features[.extendedEDX]
            if vendor == "AuthenticAMD" { edx |= features[.basicEDX] & ProcessorFeature.repeatedInExtendedEDX }
            var ecx = features[.extendedECX]
            let legacyMultiprocessing: UInt32 = 1 << 1
            if topology.cores * topology.threads > 1 { ecx |= legacyMultiprocessing }
            return CPUIDResult(eax: signature.leaf, ecx: ecx, edx: edx)
        case 2, 3, 4:
            let padded = brand + String(repeating: "\0", count: max(0, 48 - brand.utf8.count))
            let words = Self.words(padded)
            let first = Int(function - Self.firstExtendedLeaf - 2) * 4
            return CPUIDResult(eax: words[first], ebx: words[first + 1], ecx: words[first + 2], edx: words[first + 3])
        case 5: return CPUIDResult(eax: 0x01FF_01FF, ebx: 0x01FF_01FF, ecx: 0x4002_0140, edx: 0x4002_0140)
        case 6: return CPUIDResult(eax: 0, ebx: 0x4200_4200, ecx: 0x0200_8140, edx: 0x0080_8140)
        case 7: return CPUIDResult(edx: features[.powerEDX])
        case 8:
            let linear: UInt32 = features.contains("la57") ? 57 : 48
            let processors = topology.cores * topology.threads
            return CPUIDResult(
                eax: UInt32(physicalAddressBits) | linear << 8, ebx: features[.capacityEBX],
                ecx: processors > 1 ? width(processors) << 12 | UInt32(min(processors, 256) - 1) : 0)
        default: return CPUIDResult()
        }
    }

    /// Text as little-endian words of four bytes.
    static func words(_ text: String) -> [UInt32] {
        let bytes = Array(text.utf8)
        return stride(from: 0, to: max(bytes.count, 12), by: 4).map { start in
            (0..<4).reduce(UInt32(0)) { word, place in
                start + place < bytes.count ? word | UInt32(bytes[start + place]) << UInt32(place * 8) : word
            }
        }
    }

    /// All leaves that answer anything, for an engine that wants a table (KVM).
    public func table(state: CPUIDState) -> [(function: UInt32, index: UInt32?, result: CPUIDResult)] {
        var rows: [(function: UInt32, index: UInt32?, result: CPUIDResult)] = []
        let basic = (0...highestLeaf).map { $0 }
        let extended = (Self.firstExtendedLeaf...highestExtendedLeaf).map { $0 }
        let hypervisor =
            has("hypervisor") && !capabilities.hypervisor.isEmpty
            ? [Self.firstHypervisorLeaf, Self.firstHypervisorLeaf + 1] : []
        for function in basic + hypervisor + extended {
            let indices: [UInt32?]
            switch function {
            case 4: indices = [0, 1, 2, 3, 4]
            case 7: indices = [0]
            case 0xB: indices = [0, 1, 2]
            case 0xD: indices = [0, 1] + capabilities.stateComponents.map { UInt32($0.bit) }.filter { $0 >= 2 }
            default: indices = [nil]
            }
            for index in indices {
                rows.append((function, index, leaf(function: function, index: index ?? 0, state: state)))
            }
        }
        return rows
    }
}
