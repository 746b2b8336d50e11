// SPDX-License-Identifier: Apache-2.0

/// Vector instructions of map 0F 3A that run through thunks; `VectorForm.parse` explains the columns.
let vectorForms0F3A = """
    00   66 VPERMQ          Vx,Wx,I     -/-/avx2 w1-amd
    01   66 VPERMPD         Vx,Wx,I     -/-/avx2 w1-amd
    02   66 VPBLENDD        Vx,Hx,Wx,I  -/avx2/avx2 w0
    04   66 VPERMILPS       Vx,Wx,I     -/avx/avx w0
    05   66 VPERMILPD       Vx,Wx,I     -/avx/avx w0
    06   66 VPERM2F128      Vx,Hx,Wx,I  -/-/avx w0
    08   66 ROUNDPS         Vx,Wx,I     sse41/avx/avx fp
    09   66 ROUNDPD         Vx,Wx,I     sse41/avx/avx fp
    0A   66 ROUNDSS         V,H,W4,I    sse41/avx/- fp
    0B   66 ROUNDSD         V,H,W8,I    sse41/avx/- fp
    0C   66 BLENDPS         Vx,Hx,Wx,I  sse41/avx/avx
    0D   66 BLENDPD         Vx,Hx,Wx,I  sse41/avx/avx
    0E   66 PBLENDW         Vx,Hx,Wx,I  sse41/avx/avx2
    0F   -  PALIGNR         P,Q8,I      ssse3m/-/-
    0F   66 PALIGNR         Vx,Hx,Wx,I  ssse3/avx/avx2
    14   66 PEXTRB          E1,V,I      sse41/avx/-
    15   66 PEXTRW          E2,V,I      sse41/avx/-
    16   66 PEXTRD          Ey,V,I      sse41/avx/-
    17   66 EXTRACTPS       E4,V,I      sse41/avx/-
    18   66 VINSERTF128     Vx,Hx,W16,I -/-/avx w0
    19   66 VEXTRACTF128    W16,Vx,I    -/-/avx w0
    1D   66 VCVTPS2PH       Wx2,Vx,I    -/f16c/f16c w0 fp
    20   66 PINSRB          V,H,E1,I    sse41/avx/-
    21   66 INSERTPS        V,H,W4,I    sse41/avx/-
    22   66 PINSRD          V,H,Ey,I    sse41/avx/-
    38   66 VINSERTI128     Vx,Hx,W16,I -/-/avx2 w0
    39   66 VEXTRACTI128    W16,Vx,I    -/-/avx2 w0
    40   66 DPPS            Vx,Hx,Wx,I  sse41/avx/avx fp
    41   66 DPPD            V,H,W16,I   sse41/avx/- fp
    42   66 MPSADBW         Vx,Hx,Wx,I  sse41/avx/avx2
    44   66 PCLMULQDQ       Vx,Hx,Wx,I  pclmul/pclmul+avx/vpclmul
    46   66 VPERM2I128      Vx,Hx,Wx,I  -/-/avx2 w0
    4A   66 VBLENDVPS       Vx,Hx,Wx,L  -/avx/avx w0
    4B   66 VBLENDVPD       Vx,Hx,Wx,L  -/avx/avx w0
    4C   66 VPBLENDVB       Vx,Hx,Wx,L  -/avx/avx2 w0
    60   66 PCMPESTRM       V,W16,I     sse42/avx/- string na
    61   66 PCMPESTRI       V,W16,I     sse42/avx/- string na
    62   66 PCMPISTRM       V,W16,I     sse42/avx/- string na
    63   66 PCMPISTRI       V,W16,I     sse42/avx/- string na
    CC   -  SHA1RNDS4       V,W16,I     sha/-/- amd-na
    CE   66 GF2P8AFFINEQB   Vx,Hx,Wx,I  gfni/gfni+avx/gfni+avx w1
    CF   66 GF2P8AFFINEINVQB Vx,Hx,Wx,I  gfni/gfni+avx/gfni+avx w1
    DF   66 AESKEYGENASSIST V,W16,I     aes/aes+avx/-
    """
