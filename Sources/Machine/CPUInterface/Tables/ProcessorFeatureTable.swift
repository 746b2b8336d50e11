// SPDX-License-Identifier: Apache-2.0

extension ProcessorFeature {
    private static func row(_ register: CPUIDRegister, _ names: [(Int, String)]) -> [ProcessorFeature] {
        names.map { ProcessorFeature(name: $0.1, register: register, bit: $0.0) }
    }

    /// Every feature that can be named with `-cpu`, by QEMU's names (SDM vol. 2, CPUID; AMD APM vol. 3, appendix E).
    public static let all: [ProcessorFeature] =
        row(
            .basicEDX,
            [
                (0, "fpu"), (1, "vme"), (2, "de"), (3, "pse"), (4, "tsc"), (5, "msr"), (6, "pae"), (7, "mce"),
                (8, "cx8"),
                (9, "apic"), (11, "sep"), (12, "mtrr"), (13, "pge"), (14, "mca"), (15, "cmov"), (16, "pat"),
                (17, "pse36"),
                (19, "clflush"), (21, "ds"), (22, "acpi"), (23, "mmx"), (24, "fxsr"), (25, "sse"), (26, "sse2"),
                (27, "ss"),
                (28, "ht"), (29, "tm"), (31, "pbe"),
            ])
        + row(
            .basicECX,
            [
                (0, "sse3"), (1, "pclmulqdq"), (2, "dtes64"), (3, "monitor"), (4, "ds-cpl"), (5, "vmx"), (6, "smx"),
                (7, "est"), (8, "tm2"), (9, "ssse3"), (12, "fma"), (13, "cx16"), (14, "xtpr"), (15, "pdcm"),
                (17, "pcid"),
                (18, "dca"), (19, "sse4.1"), (20, "sse4.2"), (21, "x2apic"), (22, "movbe"), (23, "popcnt"),
                (24, "tsc-deadline"), (25, "aes"), (26, "xsave"), (28, "avx"), (29, "f16c"), (30, "rdrand"),
                (31, "hypervisor"),
            ])
        + row(
            .structuredEBX,
            [
                (0, "fsgsbase"), (1, "tsc-adjust"), (3, "bmi1"), (4, "hle"), (5, "avx2"), (7, "smep"), (8, "bmi2"),
                (9, "erms"), (10, "invpcid"), (11, "rtm"), (14, "mpx"), (16, "avx512f"), (17, "avx512dq"),
                (18, "rdseed"),
                (19, "adx"), (20, "smap"), (21, "avx512ifma"), (23, "clflushopt"), (24, "clwb"), (25, "intel-pt"),
                (26, "avx512pf"), (27, "avx512er"), (28, "avx512cd"), (29, "sha-ni"), (30, "avx512bw"),
                (31, "avx512vl"),
            ])
        + row(
            .structuredECX,
            [
                (1, "avx512vbmi"), (2, "umip"), (3, "pku"), (5, "waitpkg"), (6, "avx512vbmi2"), (8, "gfni"),
                (9, "vaes"),
                (10, "vpclmulqdq"), (11, "avx512vnni"), (12, "avx512bitalg"), (14, "avx512-vpopcntdq"), (16, "la57"),
                (22, "rdpid"), (24, "bus-lock-detect"), (25, "cldemote"), (27, "movdiri"), (28, "movdir64b"),
                (30, "sgxlc"),
                (31, "pks"),
            ])
        + row(
            .structuredEDX,
            [
                (2, "avx512-4vnniw"), (3, "avx512-4fmaps"), (4, "fsrm"), (8, "avx512-vp2intersect"), (10, "md-clear"),
                (14, "serialize"), (16, "tsx-ldtrk"), (19, "arch-lbr"), (22, "amx-bf16"), (23, "avx512-fp16"),
                (24, "amx-tile"), (25, "amx-int8"), (26, "spec-ctrl"), (27, "stibp"), (29, "arch-capabilities"),
                (30, "core-capability"), (31, "ssbd"),
            ])
        + row(.extendedStateEAX, [(0, "xsaveopt"), (1, "xsavec"), (2, "xgetbv1"), (3, "xsaves"), (4, "xfd")])
        + row(
            .extendedEDX,
            [
                (11, "syscall"), (19, "mp"), (20, "nx"), (22, "mmxext"), (25, "fxsr-opt"), (26, "pdpe1gb"),
                (27, "rdtscp"),
                (29, "lm"), (30, "3dnowext"), (31, "3dnow"),
            ])
        + row(
            .extendedECX,
            [
                (0, "lahf-lm"), (1, "cmp-legacy"), (2, "svm"), (3, "extapic"), (4, "cr8legacy"), (5, "abm"),
                (6, "sse4a"),
                (7, "misalignsse"), (8, "3dnowprefetch"), (9, "osvw"), (10, "ibs"), (11, "xop"), (12, "skinit"),
                (13, "wdt"),
                (15, "lwp"), (16, "fma4"), (17, "tce"), (19, "nodeid-msr"), (21, "tbm"), (22, "topoext"),
                (23, "perfctr-core"), (24, "perfctr-nb"),
            ])
        + row(.powerEDX, [(8, "invtsc")])
        + row(
            .capacityEBX,
            [
                (0, "clzero"), (2, "xsaveerptr"), (9, "wbnoinvd"), (12, "ibpb"), (14, "ibrs"), (15, "amd-stibp"),
                (24, "amd-ssbd"), (25, "virt-ssbd"), (26, "amd-no-ssb"), (28, "amd-psfd"),
            ])

    /// Other spellings that QEMU takes.
    public static let aliases: [String: String] = [
        "pni": "sse3", "sse4-1": "sse4.1", "sse4_1": "sse4.1", "sse4-2": "sse4.2", "sse4_2": "sse4.2",
        "cmpxchg16b": "cx16",
        "i64": "lm", "xd": "nx", "lzcnt": "abm", "ffxsr": "fxsr-opt", "lahf_lm": "lahf-lm", "tsc_adjust": "tsc-adjust",
        "sha_ni": "sha-ni", "cmp_legacy": "cmp-legacy", "nodeid_msr": "nodeid-msr", "perfctr_core": "perfctr-core",
        "fxsr_opt": "fxsr-opt", "pclmuldq": "pclmulqdq", "ds_cpl": "ds-cpl", "tsc_deadline": "tsc-deadline",
    ]

    /// Features of AMD's leaf that repeat those of leaf 1 at the same bits.
    static let repeatedInExtendedEDX: UInt32 = 0x0183_F3FF
}
