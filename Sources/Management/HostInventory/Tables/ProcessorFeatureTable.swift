// SPDX-License-Identifier: Apache-2.0

/// Features of x86 processors by the names that clients of libvirt 9 use: name, place, other names; `!` after the place keeps
/// one out of machines that move. A place is CPUID's leaf and index, or `m` and a model-specific register, in hexadecimal,
/// and the register with its bit.
let processorFeatureTable = """
    fpu 1.0.d0
    vme 1.0.d1
    de 1.0.d2
    pse 1.0.d3
    tsc 1.0.d4
    msr 1.0.d5
    pae 1.0.d6
    mce 1.0.d7
    cx8 1.0.d8
    apic 1.0.d9
    sep 1.0.d11
    mtrr 1.0.d12
    pge 1.0.d13
    mca 1.0.d14
    cmov 1.0.d15
    pat 1.0.d16
    pse36 1.0.d17
    pn 1.0.d18
    clflush 1.0.d19
    ds 1.0.d21
    acpi 1.0.d22
    mmx 1.0.d23
    fxsr 1.0.d24
    sse 1.0.d25
    sse2 1.0.d26
    ss 1.0.d27
    ht 1.0.d28
    tm 1.0.d29
    ia64 1.0.d30
    pbe 1.0.d31
    pni 1.0.c0 sse3
    pclmuldq 1.0.c1 pclmulqdq
    dtes64 1.0.c2
    monitor 1.0.c3
    ds_cpl 1.0.c4 ds-cpl
    vmx 1.0.c5
    smx 1.0.c6
    est 1.0.c7
    tm2 1.0.c8
    ssse3 1.0.c9
    cid 1.0.c10
    fma 1.0.c12
    cx16 1.0.c13
    xtpr 1.0.c14
    pdcm 1.0.c15
    pcid 1.0.c17
    dca 1.0.c18
    sse4.1 1.0.c19 sse4-1 sse4_1
    sse4.2 1.0.c20 sse4-2 sse4_2
    x2apic 1.0.c21
    movbe 1.0.c22
    popcnt 1.0.c23
    tsc-deadline 1.0.c24
    aes 1.0.c25
    xsave 1.0.c26
    osxsave 1.0.c27
    avx 1.0.c28
    f16c 1.0.c29
    rdrand 1.0.c30
    hypervisor 1.0.c31
    arat 6.0.a2
    fsgsbase 7.0.b0
    tsc_adjust 7.0.b1 tsc-adjust
    sgx 7.0.b2
    bmi1 7.0.b3
    hle 7.0.b4
    avx2 7.0.b5
    smep 7.0.b7
    bmi2 7.0.b8
    erms 7.0.b9
    invpcid 7.0.b10
    rtm 7.0.b11
    cmt 7.0.b12
    mpx 7.0.b14
    avx512f 7.0.b16
    avx512dq 7.0.b17
    rdseed 7.0.b18
    adx 7.0.b19
    smap 7.0.b20
    avx512ifma 7.0.b21
    pcommit 7.0.b22
    clflushopt 7.0.b23
    clwb 7.0.b24
    intel-pt 7.0.b25
    avx512pf 7.0.b26
    avx512er 7.0.b27
    avx512cd 7.0.b28
    sha-ni 7.0.b29
    avx512bw 7.0.b30
    avx512vl 7.0.b31
    avx512vbmi 7.0.c1
    umip 7.0.c2
    pku 7.0.c3
    ospke 7.0.c4
    waitpkg 7.0.c5
    avx512vbmi2 7.0.c6
    gfni 7.0.c8
    vaes 7.0.c9
    vpclmulqdq 7.0.c10
    avx512vnni 7.0.c11
    avx512bitalg 7.0.c12
    avx512-vpopcntdq 7.0.c14
    la57 7.0.c16
    rdpid 7.0.c22
    bus-lock-detect 7.0.c24
    cldemote 7.0.c25
    movdiri 7.0.c27
    movdir64b 7.0.c28
    sgxlc 7.0.c30
    pks 7.0.c31
    avx512-4vnniw 7.0.d2
    avx512-4fmaps 7.0.d3
    fsrm 7.0.d4
    avx512-vp2intersect 7.0.d8
    md-clear 7.0.d10
    serialize 7.0.d14
    tsx-ldtrk 7.0.d16
    pconfig 7.0.d18
    arch-lbr 7.0.d19
    amx-bf16 7.0.d22
    avx512-fp16 7.0.d23
    amx-tile 7.0.d24
    amx-int8 7.0.d25
    spec-ctrl 7.0.d26
    stibp 7.0.d27
    arch-capabilities 7.0.d29
    core-capability 7.0.d30
    ssbd 7.0.d31
    avx-vnni 7.1.a4
    avx512-bf16 7.1.a5
    xsaveopt d.1.a0
    xsavec d.1.a1
    xgetbv1 d.1.a2
    xsaves d.1.a3!
    xfd d.1.a4
    mbm_total f.1.d1
    mbm_local f.1.d2
    sgx1 12.0.a0
    sgx2 12.0.a1
    sgx-exinfo 12.0.b0
    sgx-debug 12.1.a1
    sgx-mode64 12.1.a2
    sgx-provisionkey 12.1.a4
    sgx-tokenkey 12.1.a5
    sgx-kss 12.1.a7
    intel-pt-lip 14.0.c31
    syscall 80000001.0.d11
    nx 80000001.0.d20 xd
    mmxext 80000001.0.d22
    fxsr_opt 80000001.0.d25 ffxsr fxsr-opt
    pdpe1gb 80000001.0.d26
    rdtscp 80000001.0.d27
    lm 80000001.0.d29 i64
    3dnowext 80000001.0.d30
    3dnow 80000001.0.d31
    lahf_lm 80000001.0.c0 lahf-lm
    cmp_legacy 80000001.0.c1 cmp-legacy
    svm 80000001.0.c2
    extapic 80000001.0.c3
    cr8legacy 80000001.0.c4
    abm 80000001.0.c5
    sse4a 80000001.0.c6
    misalignsse 80000001.0.c7
    3dnowprefetch 80000001.0.c8
    osvw 80000001.0.c9
    ibs 80000001.0.c10
    xop 80000001.0.c11
    skinit 80000001.0.c12
    wdt 80000001.0.c13
    lwp 80000001.0.c15
    fma4 80000001.0.c16
    tce 80000001.0.c17
    cvt16 80000001.0.c18
    nodeid_msr 80000001.0.c19 nodeid-msr
    tbm 80000001.0.c21
    topoext 80000001.0.c22
    perfctr_core 80000001.0.c23 perfctr-core
    perfctr_nb 80000001.0.c24 perfctr-nb
    invtsc 80000007.0.d8!
    clzero 80000008.0.b0
    xsaveerptr 80000008.0.b2
    wbnoinvd 80000008.0.b9
    ibpb 80000008.0.b12
    ibrs 80000008.0.b14
    amd-stibp 80000008.0.b15
    amd-ssbd 80000008.0.b24
    virt-ssbd 80000008.0.b25
    amd-no-ssb 80000008.0.b26
    npt 8000000a.0.d0
    lbrv 8000000a.0.d1
    svm-lock 8000000a.0.d2 svm_lock
    nrip-save 8000000a.0.d3 nrip_save
    tsc-scale 8000000a.0.d4 tsc_scale
    vmcb-clean 8000000a.0.d5 vmcb_clean
    flushbyasid 8000000a.0.d6
    decodeassists 8000000a.0.d7
    pause-filter 8000000a.0.d10 pause_filter
    pfthreshold 8000000a.0.d12
    avic 8000000a.0.d13
    v-vmsave-vmload 8000000a.0.d15
    vgif 8000000a.0.d16
    svme-addr-chk 8000000a.0.d28
    rdctl-no m10a.0.a0
    ibrs-all m10a.0.a1
    rsba m10a.0.a2
    skip-l1dfl-vmentry m10a.0.a3
    ssb-no m10a.0.a4
    mds-no m10a.0.a5
    pschange-mc-no m10a.0.a6
    tsx-ctrl m10a.0.a7
    taa-no m10a.0.a8
    split-lock-detect mcf.0.a5
    """
