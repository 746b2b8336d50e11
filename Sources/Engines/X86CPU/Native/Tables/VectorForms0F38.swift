// SPDX-License-Identifier: Apache-2.0

/// Vector instructions of map 0F 38 that run through thunks; `VectorForm.parse` explains the columns.
let vectorForms0F38 = """
    00   -  PSHUFB          P,Q8        ssse3m/-/-
    00   66 PSHUFB          Vx,Hx,Wx    ssse3/avx/avx2
    01   -  PHADDW          P,Q8        ssse3m/-/-
    01   66 PHADDW          Vx,Hx,Wx    ssse3/avx/avx2
    02   -  PHADDD          P,Q8        ssse3m/-/-
    02   66 PHADDD          Vx,Hx,Wx    ssse3/avx/avx2
    03   -  PHADDSW         P,Q8        ssse3m/-/-
    03   66 PHADDSW         Vx,Hx,Wx    ssse3/avx/avx2
    04   -  PMADDUBSW       P,Q8        ssse3m/-/-
    04   66 PMADDUBSW       Vx,Hx,Wx    ssse3/avx/avx2
    05   -  PHSUBW          P,Q8        ssse3m/-/-
    05   66 PHSUBW          Vx,Hx,Wx    ssse3/avx/avx2
    06   -  PHSUBD          P,Q8        ssse3m/-/-
    06   66 PHSUBD          Vx,Hx,Wx    ssse3/avx/avx2
    07   -  PHSUBSW         P,Q8        ssse3m/-/-
    07   66 PHSUBSW         Vx,Hx,Wx    ssse3/avx/avx2
    08   -  PSIGNB          P,Q8        ssse3m/-/-
    08   66 PSIGNB          Vx,Hx,Wx    ssse3/avx/avx2
    09   -  PSIGNW          P,Q8        ssse3m/-/-
    09   66 PSIGNW          Vx,Hx,Wx    ssse3/avx/avx2
    0A   -  PSIGND          P,Q8        ssse3m/-/-
    0A   66 PSIGND          Vx,Hx,Wx    ssse3/avx/avx2
    0B   -  PMULHRSW        P,Q8        ssse3m/-/-
    0B   66 PMULHRSW        Vx,Hx,Wx    ssse3/avx/avx2
    0C   66 VPERMILPS       Vx,Hx,Wx    -/avx/avx w0
    0D   66 VPERMILPD       Vx,Hx,Wx    -/avx/avx w0
    0E   66 VTESTPS         Vx,Wx       -/avx/avx w0 flags
    0F   66 VTESTPD         Vx,Wx       -/avx/avx w0 flags
    10   66 PBLENDVB        Vx,Wx,0     sse41/-/-
    13   66 VCVTPH2PS       Vx,Wx2      -/f16c/f16c w0 fp
    14   66 BLENDVPS        Vx,Wx,0     sse41/-/-
    15   66 BLENDVPD        Vx,Wx,0     sse41/-/-
    16   66 VPERMPS         Vx,Hx,Wx    -/-/avx2 w0
    17   66 PTEST           Vx,Wx       sse41/avx/avx flags
    18   66 VBROADCASTSS    Vx,M4       -/avx/avx w0
    18   66 VBROADCASTSS    Vx,U        -/avx2/avx2 w0
    19   66 VBROADCASTSD    Vx,M8       -/-/avx w0
    19   66 VBROADCASTSD    Vx,U        -/-/avx2 w0
    1A   66 VBROADCASTF128  Vx,M16      -/-/avx w0
    1C   -  PABSB           P,Q8        ssse3m/-/-
    1C   66 PABSB           Vx,Wx       ssse3/avx/avx2
    1D   -  PABSW           P,Q8        ssse3m/-/-
    1D   66 PABSW           Vx,Wx       ssse3/avx/avx2
    1E   -  PABSD           P,Q8        ssse3m/-/-
    1E   66 PABSD           Vx,Wx       ssse3/avx/avx2
    20   66 PMOVSXBW        Vx,Wx2      sse41/avx/avx2
    21   66 PMOVSXBD        Vx,Wx4      sse41/avx/avx2
    22   66 PMOVSXBQ        Vx,Wx8      sse41/avx/avx2
    23   66 PMOVSXWD        Vx,Wx2      sse41/avx/avx2
    24   66 PMOVSXWQ        Vx,Wx4      sse41/avx/avx2
    25   66 PMOVSXDQ        Vx,Wx2      sse41/avx/avx2
    30   66 PMOVZXBW        Vx,Wx2      sse41/avx/avx2
    31   66 PMOVZXBD        Vx,Wx4      sse41/avx/avx2
    32   66 PMOVZXBQ        Vx,Wx8      sse41/avx/avx2
    33   66 PMOVZXWD        Vx,Wx2      sse41/avx/avx2
    34   66 PMOVZXWQ        Vx,Wx4      sse41/avx/avx2
    35   66 PMOVZXDQ        Vx,Wx2      sse41/avx/avx2
    28   66 PMULDQ          Vx,Hx,Wx    sse41/avx/avx2
    29   66 PCMPEQQ         Vx,Hx,Wx    sse41/avx/avx2
    2B   66 PACKUSDW        Vx,Hx,Wx    sse41/avx/avx2
    36   66 VPERMD          Vx,Hx,Wx    -/-/avx2 w0
    37   66 PCMPGTQ         Vx,Hx,Wx    sse42/avx/avx2
    38   66 PMINSB          Vx,Hx,Wx    sse41/avx/avx2
    39   66 PMINSD          Vx,Hx,Wx    sse41/avx/avx2
    3A   66 PMINUW          Vx,Hx,Wx    sse41/avx/avx2
    3B   66 PMINUD          Vx,Hx,Wx    sse41/avx/avx2
    3C   66 PMAXSB          Vx,Hx,Wx    sse41/avx/avx2
    3D   66 PMAXSD          Vx,Hx,Wx    sse41/avx/avx2
    3E   66 PMAXUW          Vx,Hx,Wx    sse41/avx/avx2
    3F   66 PMAXUD          Vx,Hx,Wx    sse41/avx/avx2
    40   66 PMULLD          Vx,Hx,Wx    sse41/avx/avx2
    41   66 PHMINPOSUW      Vx,Wx       sse41/avx/-
    45   66 VPSRLVD         Vx,Hx,Wx    -/avx2/avx2 w0
    45   66 VPSRLVQ         Vx,Hx,Wx    -/avx2/avx2 w1
    46   66 VPSRAVD         Vx,Hx,Wx    -/avx2/avx2 w0
    47   66 VPSLLVD         Vx,Hx,Wx    -/avx2/avx2 w0
    47   66 VPSLLVQ         Vx,Hx,Wx    -/avx2/avx2 w1
    58   66 VPBROADCASTD    Vx,W4       -/avx2/avx2 w0
    59   66 VPBROADCASTQ    Vx,W8       -/avx2/avx2 w0
    5A   66 VBROADCASTI128  Vx,M16      -/-/avx2 w0
    78   66 VPBROADCASTB    Vx,W1       -/avx2/avx2 w0
    79   66 VPBROADCASTW    Vx,W2       -/avx2/avx2 w0
    96   66 VFMADDSUB132PS  Vx,Hx,Wx    -/fma/fma w0 fp
    97   66 VFMSUBADD132PS  Vx,Hx,Wx    -/fma/fma w0 fp
    98   66 VFMADD132PS     Vx,Hx,Wx    -/fma/fma w0 fp
    99   66 VFMADD132SS     V,H,W4      -/fma/- w0 fp
    9A   66 VFMSUB132PS     Vx,Hx,Wx    -/fma/fma w0 fp
    9B   66 VFMSUB132SS     V,H,W4      -/fma/- w0 fp
    9C   66 VFNMADD132PS    Vx,Hx,Wx    -/fma/fma w0 fp
    9D   66 VFNMADD132SS    V,H,W4      -/fma/- w0 fp
    9E   66 VFNMSUB132PS    Vx,Hx,Wx    -/fma/fma w0 fp
    9F   66 VFNMSUB132SS    V,H,W4      -/fma/- w0 fp
    96   66 VFMADDSUB132PD  Vx,Hx,Wx    -/fma/fma w1 fp
    97   66 VFMSUBADD132PD  Vx,Hx,Wx    -/fma/fma w1 fp
    98   66 VFMADD132PD     Vx,Hx,Wx    -/fma/fma w1 fp
    99   66 VFMADD132SD     V,H,W8      -/fma/- w1 fp
    9A   66 VFMSUB132PD     Vx,Hx,Wx    -/fma/fma w1 fp
    9B   66 VFMSUB132SD     V,H,W8      -/fma/- w1 fp
    9C   66 VFNMADD132PD    Vx,Hx,Wx    -/fma/fma w1 fp
    9D   66 VFNMADD132SD    V,H,W8      -/fma/- w1 fp
    9E   66 VFNMSUB132PD    Vx,Hx,Wx    -/fma/fma w1 fp
    9F   66 VFNMSUB132SD    V,H,W8      -/fma/- w1 fp
    A6   66 VFMADDSUB213PS  Vx,Hx,Wx    -/fma/fma w0 fp
    A7   66 VFMSUBADD213PS  Vx,Hx,Wx    -/fma/fma w0 fp
    A8   66 VFMADD213PS     Vx,Hx,Wx    -/fma/fma w0 fp
    A9   66 VFMADD213SS     V,H,W4      -/fma/- w0 fp
    AA   66 VFMSUB213PS     Vx,Hx,Wx    -/fma/fma w0 fp
    AB   66 VFMSUB213SS     V,H,W4      -/fma/- w0 fp
    AC   66 VFNMADD213PS    Vx,Hx,Wx    -/fma/fma w0 fp
    AD   66 VFNMADD213SS    V,H,W4      -/fma/- w0 fp
    AE   66 VFNMSUB213PS    Vx,Hx,Wx    -/fma/fma w0 fp
    AF   66 VFNMSUB213SS    V,H,W4      -/fma/- w0 fp
    A6   66 VFMADDSUB213PD  Vx,Hx,Wx    -/fma/fma w1 fp
    A7   66 VFMSUBADD213PD  Vx,Hx,Wx    -/fma/fma w1 fp
    A8   66 VFMADD213PD     Vx,Hx,Wx    -/fma/fma w1 fp
    A9   66 VFMADD213SD     V,H,W8      -/fma/- w1 fp
    AA   66 VFMSUB213PD     Vx,Hx,Wx    -/fma/fma w1 fp
    AB   66 VFMSUB213SD     V,H,W8      -/fma/- w1 fp
    AC   66 VFNMADD213PD    Vx,Hx,Wx    -/fma/fma w1 fp
    AD   66 VFNMADD213SD    V,H,W8      -/fma/- w1 fp
    AE   66 VFNMSUB213PD    Vx,Hx,Wx    -/fma/fma w1 fp
    AF   66 VFNMSUB213SD    V,H,W8      -/fma/- w1 fp
    B6   66 VFMADDSUB231PS  Vx,Hx,Wx    -/fma/fma w0 fp
    B7   66 VFMSUBADD231PS  Vx,Hx,Wx    -/fma/fma w0 fp
    B8   66 VFMADD231PS     Vx,Hx,Wx    -/fma/fma w0 fp
    B9   66 VFMADD231SS     V,H,W4      -/fma/- w0 fp
    BA   66 VFMSUB231PS     Vx,Hx,Wx    -/fma/fma w0 fp
    BB   66 VFMSUB231SS     V,H,W4      -/fma/- w0 fp
    BC   66 VFNMADD231PS    Vx,Hx,Wx    -/fma/fma w0 fp
    BD   66 VFNMADD231SS    V,H,W4      -/fma/- w0 fp
    BE   66 VFNMSUB231PS    Vx,Hx,Wx    -/fma/fma w0 fp
    BF   66 VFNMSUB231SS    V,H,W4      -/fma/- w0 fp
    B6   66 VFMADDSUB231PD  Vx,Hx,Wx    -/fma/fma w1 fp
    B7   66 VFMSUBADD231PD  Vx,Hx,Wx    -/fma/fma w1 fp
    B8   66 VFMADD231PD     Vx,Hx,Wx    -/fma/fma w1 fp
    B9   66 VFMADD231SD     V,H,W8      -/fma/- w1 fp
    BA   66 VFMSUB231PD     Vx,Hx,Wx    -/fma/fma w1 fp
    BB   66 VFMSUB231SD     V,H,W8      -/fma/- w1 fp
    BC   66 VFNMADD231PD    Vx,Hx,Wx    -/fma/fma w1 fp
    BD   66 VFNMADD231SD    V,H,W8      -/fma/- w1 fp
    BE   66 VFNMSUB231PD    Vx,Hx,Wx    -/fma/fma w1 fp
    BF   66 VFNMSUB231SD    V,H,W8      -/fma/- w1 fp
    C8   -  SHA1NEXTE       V,W16       sha/-/- amd-na
    C9   -  SHA1MSG1        V,W16       sha/-/- amd-na
    CA   -  SHA1MSG2        V,W16       sha/-/- amd-na
    CB   -  SHA256RNDS2     V,W16,0     sha/-/- amd-na
    CC   -  SHA256MSG1      V,W16       sha/-/- amd-na
    CD   -  SHA256MSG2      V,W16       sha/-/- amd-na
    CF   66 GF2P8MULB       Vx,Hx,Wx    gfni/gfni+avx/gfni+avx w0
    DB   66 AESIMC          V,W16       aes/aes+avx/-
    DC   66 AESENC          Vx,Hx,Wx    aes/aes+avx/vaes
    DD   66 AESENCLAST      Vx,Hx,Wx    aes/aes+avx/vaes
    DE   66 AESDEC          Vx,Hx,Wx    aes/aes+avx/vaes
    DF   66 AESDECLAST      Vx,Hx,Wx    aes/aes+avx/vaes
    """
