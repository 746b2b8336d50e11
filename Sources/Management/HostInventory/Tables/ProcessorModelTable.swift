// SPDX-License-Identifier: Apache-2.0

/// Models of x86 processors that clients of libvirt 9 know, the newest last: name; whether it may describe a host (h) and a
/// guest (g); vendor; signatures as family.model[.steppings]; features, of which `-` marks those that the emulator's model of
/// that name had once. Lines that begin with a blank go on.
let processorModelNames = """
    486 hg - - fpu pse vme
    pentium hg - - cx8 de fpu mce mmx msr pse tsc vme
    pentium2 hg - - cmov cx8 de fpu fxsr mca mce mmx msr mtrr pae pat pge pse pse36 sep tsc vme
    pentium3 hg - - cmov cx8 de fpu fxsr mca mce mmx msr mtrr pae pat pge pse pse36 sep sse tsc vme
    pentiumpro hg - - apic cmov cx8 de fpu fxsr mce mmx msr pae pat pge pse sep sse sse2 tsc
    coreduo hg Intel - apic clflush cmov cx8 de fpu fxsr mca mce mmx monitor msr mtrr nx pae pat pge pni pse sep sse
     sse2 tsc vme
    n270 hg Intel - apic clflush cmov cx8 de fpu fxsr mca mce mmx monitor msr mtrr nx pae pat pge pni pse sep sse
     sse2 ssse3 tsc vme
    core2duo hg Intel - apic clflush cmov cx8 de fpu fxsr lm mca mce mmx monitor msr mtrr nx pae pat pge pni pse
     pse36 sep sse sse2 ssse3 syscall tsc vme
    qemu32 hg - - apic cmov cx8 de fpu fxsr mce mmx msr pae pat pge pni pse sep sse sse2 tsc
    kvm32 hg - - apic clflush cmov cx8 de fpu fxsr mca mce mmx msr mtrr pae pat pge pni pse pse36 sep sse sse2 tsc
    cpu64-rhel5 - - - apic clflush cmov cx8 de fpu fxsr lm mca mce mmx msr mtrr nx pae pat pge pni pse pse36 sep sse
     sse2 syscall tsc
    cpu64-rhel6 - - - apic clflush cmov cx16 cx8 de fpu fxsr lahf_lm lm mca mce mmx msr mtrr nx pae pat pge pni pse
     pse36 sep sse sse2 syscall tsc
    qemu64 hg - - apic clflush cmov cx16 cx8 de fpu fxsr lm mca mce mmx msr mtrr nx pae pat pge pni pse pse36 sep
     sse sse2 svm syscall tsc
    kvm64 hg - - apic clflush cmov cx16 cx8 de fpu fxsr lm mca mce mmx msr mtrr nx pae pat pge pni pse pse36 sep sse
     sse2 syscall tsc
    Conroe hg Intel 6.15,6.22 apic clflush cmov cx8 de fpu fxsr lahf_lm lm mca mce mmx msr mtrr nx pae pat pge pni
     pse pse36 sep sse sse2 ssse3 syscall tsc
    Penryn hg Intel 6.23,6.29 apic clflush cmov cx16 cx8 de fpu fxsr lahf_lm lm mca mce mmx msr mtrr nx pae pat pge
     pni pse pse36 sep sse sse2 sse4.1 ssse3 syscall tsc
    Nehalem hg Intel 6.26,6.30,6.31,6.46 apic clflush cmov cx16 cx8 de fpu fxsr lahf_lm lm mca mce mmx msr mtrr nx
     pae pat pge pni popcnt pse pse36 sep sse sse2 sse4.1 sse4.2 ssse3 syscall tsc
    Nehalem-IBRS hg Intel 6.26,6.30,6.31,6.46 apic clflush cmov cx16 cx8 de fpu fxsr lahf_lm lm mca mce mmx msr mtrr
     nx pae pat pge pni popcnt pse pse36 sep spec-ctrl sse sse2 sse4.1 sse4.2 ssse3 syscall tsc
    Westmere hg Intel 6.44,6.47,6.37 aes apic clflush cmov cx16 cx8 de fpu fxsr lahf_lm lm mca mce mmx msr mtrr nx
     pae pat pge pni popcnt pse pse36 sep sse sse2 sse4.1 sse4.2 ssse3 syscall tsc
    Westmere-IBRS hg Intel 6.44 aes apic clflush cmov cx16 cx8 de fpu fxsr lahf_lm lm mca mce mmx msr mtrr nx pae
     pat pge pni popcnt pse pse36 sep spec-ctrl sse sse2 sse4.1 sse4.2 ssse3 syscall tsc
    SandyBridge hg Intel 6.42,6.45 aes apic avx clflush cmov cx16 cx8 de fpu fxsr lahf_lm lm mca mce mmx msr mtrr nx
     pae pat pclmuldq pge pni popcnt pse pse36 rdtscp sep sse sse2 sse4.1 sse4.2 ssse3 syscall tsc tsc-deadline
     x2apic xsave
    SandyBridge-IBRS hg Intel 6.42,6.45 aes apic avx clflush cmov cx16 cx8 de fpu fxsr lahf_lm lm mca mce mmx msr
     mtrr nx pae pat pclmuldq pge pni popcnt pse pse36 rdtscp sep spec-ctrl sse sse2 sse4.1 sse4.2 ssse3 syscall tsc
     tsc-deadline x2apic xsave
    IvyBridge hg Intel 6.58,6.62 aes apic avx clflush cmov cx16 cx8 de erms f16c fpu fsgsbase fxsr lahf_lm lm mca
     mce mmx msr mtrr nx pae pat pclmuldq pge pni popcnt pse pse36 rdrand rdtscp sep smep sse sse2 sse4.1 sse4.2
     ssse3 syscall tsc tsc-deadline vme x2apic xsave
    IvyBridge-IBRS hg Intel 6.58,6.62 aes apic avx clflush cmov cx16 cx8 de erms f16c fpu fsgsbase fxsr lahf_lm lm
     mca mce mmx msr mtrr nx pae pat pclmuldq pge pni popcnt pse pse36 rdrand rdtscp sep smep spec-ctrl sse sse2
     sse4.1 sse4.2 ssse3 syscall tsc tsc-deadline vme x2apic xsave
    Haswell-noTSX hg Intel 6.60,6.63,6.69,6.70 aes apic avx avx2 bmi1 bmi2 clflush cmov cx16 cx8 de erms fma fpu
     fsgsbase fxsr invpcid lahf_lm lm mca mce mmx movbe msr mtrr nx pae pat pcid pclmuldq pge pni popcnt pse pse36
     rdtscp sep smep sse sse2 sse4.1 sse4.2 ssse3 syscall tsc tsc-deadline x2apic xsave
    Haswell-noTSX-IBRS hg Intel 6.60,6.63,6.69,6.70 aes apic avx avx2 bmi1 bmi2 clflush cmov cx16 cx8 de erms fma
     fpu fsgsbase fxsr invpcid lahf_lm lm mca mce mmx movbe msr mtrr nx pae pat pcid pclmuldq pge pni popcnt pse
     pse36 rdtscp sep smep spec-ctrl sse sse2 sse4.1 sse4.2 ssse3 syscall tsc tsc-deadline x2apic xsave
    Haswell hg Intel 6.60,6.63,6.69,6.70 aes apic avx avx2 bmi1 bmi2 clflush cmov cx16 cx8 de erms fma fpu fsgsbase
     fxsr hle invpcid lahf_lm lm mca mce mmx movbe msr mtrr nx pae pat pcid pclmuldq pge pni popcnt pse pse36 rdtscp
     rtm sep smep sse sse2 sse4.1 sse4.2 ssse3 syscall tsc tsc-deadline x2apic xsave
    Haswell-IBRS hg Intel 6.60,6.63,6.69,6.70 aes apic avx avx2 bmi1 bmi2 clflush cmov cx16 cx8 de erms fma fpu
     fsgsbase fxsr hle invpcid lahf_lm lm mca mce mmx movbe msr mtrr nx pae pat pcid pclmuldq pge pni popcnt pse
     pse36 rdtscp rtm sep smep spec-ctrl sse sse2 sse4.1 sse4.2 ssse3 syscall tsc tsc-deadline x2apic xsave
    Broadwell-noTSX hg Intel 6.61,6.71,6.79,6.86 3dnowprefetch adx aes apic avx avx2 bmi1 bmi2 clflush cmov cx16 cx8
     de erms fma fpu fsgsbase fxsr invpcid lahf_lm lm mca mce mmx movbe msr mtrr nx pae pat pcid pclmuldq pge pni
     popcnt pse pse36 rdseed rdtscp sep smap smep sse sse2 sse4.1 sse4.2 ssse3 syscall tsc tsc-deadline x2apic xsave
    Broadwell-noTSX-IBRS hg Intel 6.61,6.71,6.79,6.86 3dnowprefetch adx aes apic avx avx2 bmi1 bmi2 clflush cmov
     cx16 cx8 de erms fma fpu fsgsbase fxsr invpcid lahf_lm lm mca mce mmx movbe msr mtrr nx pae pat pcid pclmuldq
     pge pni popcnt pse pse36 rdseed rdtscp sep smap smep spec-ctrl sse sse2 sse4.1 sse4.2 ssse3 syscall tsc
     tsc-deadline x2apic xsave
    Broadwell hg Intel 6.61,6.71,6.79,6.86 3dnowprefetch adx aes apic avx avx2 bmi1 bmi2 clflush cmov cx16 cx8 de
     erms fma fpu fsgsbase fxsr hle invpcid lahf_lm lm mca mce mmx movbe msr mtrr nx pae pat pcid pclmuldq pge pni
     popcnt pse pse36 rdseed rdtscp rtm sep smap smep sse sse2 sse4.1 sse4.2 ssse3 syscall tsc tsc-deadline x2apic
     xsave
    Broadwell-IBRS hg Intel 6.61,6.71,6.79,6.86 3dnowprefetch adx aes apic avx avx2 bmi1 bmi2 clflush cmov cx16 cx8
     de erms fma fpu fsgsbase fxsr hle invpcid lahf_lm lm mca mce mmx movbe msr mtrr nx pae pat pcid pclmuldq pge
     pni popcnt pse pse36 rdseed rdtscp rtm sep smap smep spec-ctrl sse sse2 sse4.1 sse4.2 ssse3 syscall tsc
     tsc-deadline x2apic xsave
    Skylake-Client hg Intel 6.94,6.78,6.142,6.158 3dnowprefetch abm adx aes apic arat avx avx2 bmi1 bmi2 clflush
     cmov cx16 cx8 de erms f16c fma fpu fsgsbase fxsr hle invpcid lahf_lm lm mca mce mmx movbe mpx msr mtrr nx pae
     pat pcid pclmuldq pge pni popcnt pse pse36 rdrand rdseed rdtscp rtm sep smap smep sse sse2 sse4.1 sse4.2 ssse3
     syscall tsc tsc-deadline vme x2apic xgetbv1 xsave xsavec xsaveopt
    Skylake-Client-IBRS hg Intel 6.94,6.78,6.142,6.158 3dnowprefetch abm adx aes apic arat avx avx2 bmi1 bmi2
     clflush cmov cx16 cx8 de erms f16c fma fpu fsgsbase fxsr hle invpcid lahf_lm lm mca mce mmx movbe mpx msr mtrr
     nx pae pat pcid pclmuldq pge pni popcnt pse pse36 rdrand rdseed rdtscp rtm sep smap smep spec-ctrl sse sse2
     sse4.1 sse4.2 ssse3 syscall tsc tsc-deadline vme x2apic xgetbv1 xsave xsavec xsaveopt
    Skylake-Client-noTSX-IBRS h Intel 6.94,6.78,6.142,6.158 3dnowprefetch abm adx aes apic arat avx avx2 bmi1 bmi2
     clflush cmov cx16 cx8 de erms f16c fma fpu fsgsbase fxsr invpcid lahf_lm lm mca mce mmx movbe mpx msr mtrr nx
     pae pat pcid pclmuldq pge pni popcnt pse pse36 rdrand rdseed rdtscp sep smap smep spec-ctrl sse sse2 sse4.1
     sse4.2 ssse3 syscall tsc tsc-deadline vme x2apic xgetbv1 xsave xsavec xsaveopt
    Skylake-Server hg Intel 6.85.0-4 3dnowprefetch abm adx aes apic arat avx avx2 avx512bw avx512cd avx512dq avx512f
     avx512vl bmi1 bmi2 clflush clwb cmov cx16 cx8 de erms f16c fma fpu fsgsbase fxsr hle invpcid lahf_lm lm mca mce
     mmx movbe mpx msr mtrr nx pae pat pcid pclmuldq pdpe1gb pge pni popcnt pse pse36 rdrand rdseed rdtscp rtm sep
     smap smep sse sse2 sse4.1 sse4.2 ssse3 syscall tsc tsc-deadline vme x2apic xgetbv1 xsave xsavec xsaveopt
    Skylake-Server-IBRS hg Intel 6.85.0-4 3dnowprefetch abm adx aes apic arat avx avx2 avx512bw avx512cd avx512dq
     avx512f avx512vl bmi1 bmi2 clflush clwb cmov cx16 cx8 de erms f16c fma fpu fsgsbase fxsr hle invpcid lahf_lm lm
     mca mce mmx movbe mpx msr mtrr nx pae pat pcid pclmuldq pdpe1gb pge pni popcnt pse pse36 rdrand rdseed rdtscp
     rtm sep smap smep spec-ctrl sse sse2 sse4.1 sse4.2 ssse3 syscall tsc tsc-deadline vme x2apic xgetbv1 xsave
     xsavec xsaveopt
    Skylake-Server-noTSX-IBRS h Intel 6.85.0-4 3dnowprefetch abm adx aes apic arat avx avx2 avx512bw avx512cd
     avx512dq avx512f avx512vl bmi1 bmi2 clflush clwb cmov cx16 cx8 de erms f16c fma fpu fsgsbase fxsr invpcid
     lahf_lm lm mca mce mmx movbe mpx msr mtrr nx pae pat pcid pclmuldq pdpe1gb pge pni popcnt pse pse36 rdrand
     rdseed rdtscp sep smap smep spec-ctrl sse sse2 sse4.1 sse4.2 ssse3 syscall tsc tsc-deadline vme x2apic xgetbv1
     xsave xsavec xsaveopt
    Cascadelake-Server hg Intel 6.85.5-7 3dnowprefetch abm adx aes apic arat avx avx2 avx512bw avx512cd avx512dq
     avx512f avx512vl avx512vnni bmi1 bmi2 clflush clflushopt clwb cmov cx16 cx8 de erms f16c fma fpu fsgsbase fxsr
     hle invpcid lahf_lm lm mca mce mmx movbe mpx msr mtrr nx pae pat pcid pclmuldq pdpe1gb pge pni popcnt pse pse36
     rdrand rdseed rdtscp rtm sep smap smep spec-ctrl ssbd sse sse2 sse4.1 sse4.2 ssse3 syscall tsc tsc-deadline vme
     x2apic xgetbv1 xsave xsavec xsaveopt
    Cascadelake-Server-noTSX h Intel 6.85.5-7 3dnowprefetch abm adx aes apic arat avx avx2 avx512bw avx512cd
     avx512dq avx512f avx512vl avx512vnni bmi1 bmi2 clflush clflushopt clwb cmov cx16 cx8 de erms f16c fma fpu
     fsgsbase fxsr invpcid lahf_lm lm mca mce mmx movbe mpx msr mtrr nx pae pat pcid pclmuldq pdpe1gb pge pni popcnt
     pse pse36 rdrand rdseed rdtscp sep smap smep spec-ctrl ssbd sse sse2 sse4.1 sse4.2 ssse3 syscall tsc
     tsc-deadline vme x2apic xgetbv1 xsave xsavec xsaveopt
    Icelake-Client hg Intel 6.126 3dnowprefetch abm adx aes apic arat avx avx2 avx512-vpopcntdq avx512bitalg
     avx512vbmi avx512vbmi2 avx512vnni bmi1 bmi2 clflush cmov cx16 cx8 de erms f16c fma fpu fsgsbase fxsr gfni hle
     invpcid lahf_lm lm mca mce mmx movbe mpx msr mtrr nx pae pat pcid pclmuldq pge pku pni popcnt pse pse36 rdrand
     rdseed rdtscp rtm sep smap smep spec-ctrl ssbd sse sse2 sse4.1 sse4.2 ssse3 syscall tsc tsc-deadline umip vaes
     vme vpclmulqdq wbnoinvd x2apic xgetbv1 xsave xsavec xsaveopt -intel-pt
    Icelake-Client-noTSX h Intel 6.126 3dnowprefetch abm adx aes apic arat avx avx2 avx512-vpopcntdq avx512bitalg
     avx512vbmi avx512vbmi2 avx512vnni bmi1 bmi2 clflush cmov cx16 cx8 de erms f16c fma fpu fsgsbase fxsr gfni
     invpcid lahf_lm lm mca mce mmx movbe mpx msr mtrr nx pae pat pcid pclmuldq pge pku pni popcnt pse pse36 rdrand
     rdseed rdtscp sep smap smep spec-ctrl ssbd sse sse2 sse4.1 sse4.2 ssse3 syscall tsc tsc-deadline umip vaes vme
     vpclmulqdq wbnoinvd x2apic xgetbv1 xsave xsavec xsaveopt -intel-pt
    Icelake-Server hg Intel 6.106 3dnowprefetch abm adx aes apic arat avx avx2 avx512-vpopcntdq avx512bitalg
     avx512bw avx512cd avx512dq avx512f avx512vbmi avx512vbmi2 avx512vl avx512vnni bmi1 bmi2 clflush clflushopt clwb
     cmov cx16 cx8 de erms f16c fma fpu fsgsbase fxsr gfni hle invpcid la57 lahf_lm lm mca mce mmx movbe mpx msr
     mtrr nx pae pat pcid pclmuldq pdpe1gb pge pku pni popcnt pse pse36 rdrand rdseed rdtscp rtm sep smap smep
     spec-ctrl ssbd sse sse2 sse4.1 sse4.2 ssse3 syscall tsc tsc-deadline umip vaes vme vpclmulqdq wbnoinvd x2apic
     xgetbv1 xsave xsavec xsaveopt -intel-pt
    Icelake-Server-noTSX h Intel 6.106 3dnowprefetch abm adx aes apic arat avx avx2 avx512-vpopcntdq avx512bitalg
     avx512bw avx512cd avx512dq avx512f avx512vbmi avx512vbmi2 avx512vl avx512vnni bmi1 bmi2 clflush clflushopt clwb
     cmov cx16 cx8 de erms f16c fma fpu fsgsbase fxsr gfni invpcid la57 lahf_lm lm mca mce mmx movbe mpx msr mtrr nx
     pae pat pcid pclmuldq pdpe1gb pge pku pni popcnt pse pse36 rdrand rdseed rdtscp sep smap smep spec-ctrl ssbd
     sse sse2 sse4.1 sse4.2 ssse3 syscall tsc tsc-deadline umip vaes vme vpclmulqdq wbnoinvd x2apic xgetbv1 xsave
     xsavec xsaveopt -intel-pt
    Cooperlake hg Intel 6.85.10-11 3dnowprefetch abm adx aes apic arat arch-capabilities avx avx2 avx512-bf16
     avx512bw avx512cd avx512dq avx512f avx512vl avx512vnni bmi1 bmi2 clflush clflushopt clwb cmov cx16 cx8 de erms
     f16c fma fpu fsgsbase fxsr hle ibrs-all invpcid lahf_lm lm mca mce mds-no mmx movbe msr mtrr nx pae pat pcid
     pclmuldq pdpe1gb pge pku pni popcnt pschange-mc-no pse pse36 rdctl-no rdrand rdseed rdtscp rtm sep
     skip-l1dfl-vmentry smap smep spec-ctrl ssbd sse sse2 sse4.1 sse4.2 ssse3 stibp syscall taa-no tsc tsc-deadline
     vme x2apic xgetbv1 xsave xsavec xsaveopt
    Snowridge hg Intel 6.134 3dnowprefetch aes apic arat arch-capabilities cldemote clflush clflushopt clwb cmov
     core-capability cx16 cx8 de erms fpu fsgsbase fxsr gfni lahf_lm lm mca mce mmx movbe movdir64b movdiri msr mtrr
     nx pae pat pclmuldq pdpe1gb pge pni popcnt pse pse36 rdrand rdseed rdtscp sep sha-ni smap smep spec-ctrl
     split-lock-detect ssbd sse sse2 sse4.1 sse4.2 ssse3 syscall tsc tsc-deadline umip vme x2apic xgetbv1 xsave
     xsavec xsaveopt
    athlon hg AMD - 3dnow 3dnowext apic cmov cx8 de fpu fxsr mce mmx mmxext msr mtrr pae pat pge pse pse36 sep sse
     sse2 tsc vme
    phenom hg AMD - 3dnow 3dnowext apic clflush cmov cx8 de fpu fxsr fxsr_opt lm mca mce mmx mmxext monitor msr mtrr
     nx pae pat pge pni pse pse36 sep sse sse2 svm syscall tsc
    Opteron_G1 hg AMD 15.6 apic clflush cmov cx8 de fpu fxsr lm mca mce mmx msr mtrr nx pae pat pge pni pse pse36
     sep sse sse2 syscall tsc
    Opteron_G2 hg AMD 15.6 apic clflush cmov cx16 cx8 de fpu fxsr lahf_lm lm mca mce mmx msr mtrr nx pae pat pge pni
     pse pse36 rdtscp sep sse sse2 svm syscall tsc
    Opteron_G3 hg AMD 15.6 abm apic clflush cmov cx16 cx8 de fpu fxsr lahf_lm lm mca mce misalignsse mmx msr mtrr nx
     pae pat pge pni popcnt pse pse36 rdtscp sep sse sse2 sse4a svm syscall tsc -monitor
    Opteron_G4 hg AMD 21.1 3dnowprefetch abm aes apic avx clflush cmov cx16 cx8 de fma4 fpu fxsr lahf_lm lm mca mce
     misalignsse mmx msr mtrr nx pae pat pclmuldq pdpe1gb pge pni popcnt pse pse36 rdtscp sep sse sse2 sse4.1 sse4.2
     sse4a ssse3 svm syscall tsc xop xsave
    Opteron_G5 hg AMD 21.2 3dnowprefetch abm aes apic avx clflush cmov cx16 cx8 de f16c fma fma4 fpu fxsr lahf_lm lm
     mca mce misalignsse mmx msr mtrr nx pae pat pclmuldq pdpe1gb pge pni popcnt pse pse36 rdtscp sep sse sse2
     sse4.1 sse4.2 sse4a ssse3 svm syscall tbm tsc xop xsave
    EPYC hg AMD 23.1 3dnowprefetch abm adx aes apic arat avx avx2 bmi1 bmi2 clflush clflushopt cmov cr8legacy cx16
     cx8 de f16c fma fpu fsgsbase fxsr fxsr_opt lahf_lm lm mca mce misalignsse mmx mmxext movbe msr mtrr nx osvw pae
     pat pclmuldq pdpe1gb pge pni popcnt pse pse36 rdrand rdseed rdtscp sep sha-ni smap smep sse sse2 sse4.1 sse4.2
     sse4a ssse3 svm syscall tsc vme xgetbv1 xsave xsavec xsaveopt -monitor
    EPYC-IBPB hg AMD 23.1 3dnowprefetch abm adx aes apic arat avx avx2 bmi1 bmi2 clflush clflushopt cmov cr8legacy
     cx16 cx8 de f16c fma fpu fsgsbase fxsr fxsr_opt ibpb lahf_lm lm mca mce misalignsse mmx mmxext movbe msr mtrr
     nx osvw pae pat pclmuldq pdpe1gb pge pni popcnt pse pse36 rdrand rdseed rdtscp sep sha-ni smap smep sse sse2
     sse4.1 sse4.2 sse4a ssse3 svm syscall tsc vme xgetbv1 xsave xsavec xsaveopt -monitor
    EPYC-Rome hg AMD 23.49 3dnowprefetch abm adx aes amd-stibp apic arat avx avx2 bmi1 bmi2 clflush clflushopt clwb
     clzero cmov cr8legacy cx16 cx8 de f16c fma fpu fsgsbase fxsr fxsr_opt ibpb lahf_lm lm mca mce misalignsse mmx
     mmxext movbe msr mtrr npt nrip-save nx osvw pae pat pclmuldq pdpe1gb perfctr_core pge pni popcnt pse pse36
     rdpid rdrand rdseed rdtscp sep sha-ni smap smep sse sse2 sse4.1 sse4.2 sse4a ssse3 svm syscall tsc umip vme
     wbnoinvd xgetbv1 xsave xsavec xsaveerptr xsaveopt
    EPYC-Milan hg AMD 25.1 3dnowprefetch abm adx aes amd-ssbd amd-stibp apic arat avx avx2 bmi1 bmi2 clflush
     clflushopt clwb clzero cmov cr8legacy cx16 cx8 de erms f16c fma fpu fsgsbase fsrm fxsr fxsr_opt ibpb ibrs
     invpcid lahf_lm lm mca mce misalignsse mmx mmxext movbe msr mtrr npt nrip-save nx osvw pae pat pcid pclmuldq
     pdpe1gb perfctr_core pge pku pni popcnt pse pse36 rdpid rdrand rdseed rdtscp sep sha-ni smap smep sse sse2
     sse4.1 sse4.2 sse4a ssse3 svm svme-addr-chk syscall tsc umip vme wbnoinvd xgetbv1 xsave xsavec xsaveerptr
     xsaveopt xsaves
    Dhyana hg Hygon 24.0 3dnowprefetch abm adx apic arat avx avx2 bmi1 bmi2 clflush clflushopt cmov cr8legacy cx16
     cx8 de f16c fma fpu fsgsbase fxsr fxsr_opt ibpb lahf_lm lm mca mce misalignsse mmx mmxext movbe msr mtrr nx
     osvw pae pat pdpe1gb pge pni popcnt pse pse36 rdrand rdseed rdtscp sep smap smep sse sse2 sse4.1 sse4.2 sse4a
     ssse3 svm syscall tsc vme xgetbv1 xsave xsavec xsaveopt -monitor
    """
