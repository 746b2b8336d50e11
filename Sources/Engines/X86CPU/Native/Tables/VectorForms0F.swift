// SPDX-License-Identifier: Apache-2.0

/// Vector instructions of map 0F that run through thunks; `VectorForm.parse` explains the columns.
let vectorForms0F = """
    12 F3 MOVSLDUP  Vx,Wx      sse3/avx/avx
    12 F2 MOVDDUP   Vx,Wd      sse3/avx/avx na
    14 -  UNPCKLPS  Vx,Hx,Wx   sse/avx/avx
    14 66 UNPCKLPD  Vx,Hx,Wx   sse/avx/avx
    15 -  UNPCKHPS  Vx,Hx,Wx   sse/avx/avx
    15 66 UNPCKHPD  Vx,Hx,Wx   sse/avx/avx
    16 F3 MOVSHDUP  Vx,Wx      sse3/avx/avx
    2A -  CVTPI2PS  V,Q8       sse/-/- fp
    2A 66 CVTPI2PD  V,Q8       sse/-/- fp
    2A F3 CVTSI2SS  V,H,Ey     sse/avx/- fp
    2A F2 CVTSI2SD  V,H,Ey     sse/avx/- fp
    2C -  CVTTPS2PI P,W8       sse/-/- fp
    2C 66 CVTTPD2PI P,W16      sse/-/- fp
    2C F3 CVTTSS2SI Gy,W4      sse/avx/- fp
    2C F2 CVTTSD2SI Gy,W8      sse/avx/- fp
    2D -  CVTPS2PI  P,W8       sse/-/- fp
    2D 66 CVTPD2PI  P,W16      sse/-/- fp
    2D F3 CVTSS2SI  Gy,W4      sse/avx/- fp
    2D F2 CVTSD2SI  Gy,W8      sse/avx/- fp
    2E -  UCOMISS   V,W4       sse/avx/- fp flags
    2E 66 UCOMISD   V,W8       sse/avx/- fp flags
    2F -  COMISS    V,W4       sse/avx/- fp flags
    2F 66 COMISD    V,W8       sse/avx/- fp flags
    50 -  MOVMSKPS  Gd,Ux      sse/avx/avx
    50 66 MOVMSKPD  Gd,Ux      sse/avx/avx
    51 -  SQRTPS    Vx,Wx      sse/avx/avx fp
    51 66 SQRTPD    Vx,Wx      sse/avx/avx fp
    51 F3 SQRTSS    V,H,W4     sse/avx/- fp
    51 F2 SQRTSD    V,H,W8     sse/avx/- fp
    52 -  RSQRTPS   Vx,Wx      sse/avx/avx fp
    52 F3 RSQRTSS   V,H,W4     sse/avx/- fp
    53 -  RCPPS     Vx,Wx      sse/avx/avx fp
    53 F3 RCPSS     V,H,W4     sse/avx/- fp
    54 -  ANDPS     Vx,Hx,Wx   sse/avx/avx
    54 66 ANDPD     Vx,Hx,Wx   sse/avx/avx
    55 -  ANDNPS    Vx,Hx,Wx   sse/avx/avx
    55 66 ANDNPD    Vx,Hx,Wx   sse/avx/avx
    56 -  ORPS      Vx,Hx,Wx   sse/avx/avx
    56 66 ORPD      Vx,Hx,Wx   sse/avx/avx
    57 -  XORPS     Vx,Hx,Wx   sse/avx/avx
    57 66 XORPD     Vx,Hx,Wx   sse/avx/avx
    58 -  ADDPS     Vx,Hx,Wx   sse/avx/avx fp
    58 66 ADDPD     Vx,Hx,Wx   sse/avx/avx fp
    58 F3 ADDSS     V,H,W4     sse/avx/- fp
    58 F2 ADDSD     V,H,W8     sse/avx/- fp
    59 -  MULPS     Vx,Hx,Wx   sse/avx/avx fp
    59 66 MULPD     Vx,Hx,Wx   sse/avx/avx fp
    59 F3 MULSS     V,H,W4     sse/avx/- fp
    59 F2 MULSD     V,H,W8     sse/avx/- fp
    5A -  CVTPS2PD  Vx,Wx2     sse/avx/avx fp
    5A 66 CVTPD2PS  Vx,Wx      sse/avx/avx fp
    5A F3 CVTSS2SD  V,H,W4     sse/avx/- fp
    5A F2 CVTSD2SS  V,H,W8     sse/avx/- fp
    5B -  CVTDQ2PS  Vx,Wx      sse/avx/avx fp
    5B 66 CVTPS2DQ  Vx,Wx      sse/avx/avx fp
    5B F3 CVTTPS2DQ Vx,Wx      sse/avx/avx fp
    5C -  SUBPS     Vx,Hx,Wx   sse/avx/avx fp
    5C 66 SUBPD     Vx,Hx,Wx   sse/avx/avx fp
    5C F3 SUBSS     V,H,W4     sse/avx/- fp
    5C F2 SUBSD     V,H,W8     sse/avx/- fp
    5D -  MINPS     Vx,Hx,Wx   sse/avx/avx fp
    5D 66 MINPD     Vx,Hx,Wx   sse/avx/avx fp
    5D F3 MINSS     V,H,W4     sse/avx/- fp
    5D F2 MINSD     V,H,W8     sse/avx/- fp
    5E -  DIVPS     Vx,Hx,Wx   sse/avx/avx fp
    5E 66 DIVPD     Vx,Hx,Wx   sse/avx/avx fp
    5E F3 DIVSS     V,H,W4     sse/avx/- fp
    5E F2 DIVSD     V,H,W8     sse/avx/- fp
    5F -  MAXPS     Vx,Hx,Wx   sse/avx/avx fp
    5F 66 MAXPD     Vx,Hx,Wx   sse/avx/avx fp
    5F F3 MAXSS     V,H,W4     sse/avx/- fp
    5F F2 MAXSD     V,H,W8     sse/avx/- fp
    60 -  PUNPCKLBW P,Q4       mmx/-/-
    60 66 PUNPCKLBW Vx,Hx,Wx   sse/avx/avx2
    61 -  PUNPCKLWD P,Q4       mmx/-/-
    61 66 PUNPCKLWD Vx,Hx,Wx   sse/avx/avx2
    62 -  PUNPCKLDQ P,Q4       mmx/-/-
    62 66 PUNPCKLDQ Vx,Hx,Wx   sse/avx/avx2
    63 -  PACKSSWB  P,Q8       mmx/-/-
    63 66 PACKSSWB  Vx,Hx,Wx   sse/avx/avx2
    64 -  PCMPGTB   P,Q8       mmx/-/-
    64 66 PCMPGTB   Vx,Hx,Wx   sse/avx/avx2
    65 -  PCMPGTW   P,Q8       mmx/-/-
    65 66 PCMPGTW   Vx,Hx,Wx   sse/avx/avx2
    66 -  PCMPGTD   P,Q8       mmx/-/-
    66 66 PCMPGTD   Vx,Hx,Wx   sse/avx/avx2
    67 -  PACKUSWB  P,Q8       mmx/-/-
    67 66 PACKUSWB  Vx,Hx,Wx   sse/avx/avx2
    68 -  PUNPCKHBW P,Q8       mmx/-/-
    68 66 PUNPCKHBW Vx,Hx,Wx   sse/avx/avx2
    69 -  PUNPCKHWD P,Q8       mmx/-/-
    69 66 PUNPCKHWD Vx,Hx,Wx   sse/avx/avx2
    6A -  PUNPCKHDQ P,Q8       mmx/-/-
    6A 66 PUNPCKHDQ Vx,Hx,Wx   sse/avx/avx2
    6B -  PACKSSDW  P,Q8       mmx/-/-
    6B 66 PACKSSDW  Vx,Hx,Wx   sse/avx/avx2
    6C 66 PUNPCKLQDQ Vx,Hx,Wx  sse/avx/avx2
    6D 66 PUNPCKHQDQ Vx,Hx,Wx  sse/avx/avx2
    70 -  PSHUFW    P,Q8,I     mmx/-/-
    70 66 PSHUFD    Vx,Wx,I    sse/avx/avx2
    70 F3 PSHUFHW   Vx,Wx,I    sse/avx/avx2
    70 F2 PSHUFLW   Vx,Wx,I    sse/avx/avx2
    71/2 -  PSRLW   N,I        mmx/-/-
    71/2 66 PSRLW   Hx,Ux,I    sse/avx/avx2
    71/4 -  PSRAW   N,I        mmx/-/-
    71/4 66 PSRAW   Hx,Ux,I    sse/avx/avx2
    71/6 -  PSLLW   N,I        mmx/-/-
    71/6 66 PSLLW   Hx,Ux,I    sse/avx/avx2
    72/2 -  PSRLD   N,I        mmx/-/-
    72/2 66 PSRLD   Hx,Ux,I    sse/avx/avx2
    72/4 -  PSRAD   N,I        mmx/-/-
    72/4 66 PSRAD   Hx,Ux,I    sse/avx/avx2
    72/6 -  PSLLD   N,I        mmx/-/-
    72/6 66 PSLLD   Hx,Ux,I    sse/avx/avx2
    73/2 -  PSRLQ   N,I        mmx/-/-
    73/2 66 PSRLQ   Hx,Ux,I    sse/avx/avx2
    73/3 66 PSRLDQ  Hx,Ux,I    sse/avx/avx2
    73/6 -  PSLLQ   N,I        mmx/-/-
    73/6 66 PSLLQ   Hx,Ux,I    sse/avx/avx2
    73/7 66 PSLLDQ  Hx,Ux,I    sse/avx/avx2
    74 -  PCMPEQB   P,Q8       mmx/-/-
    74 66 PCMPEQB   Vx,Hx,Wx   sse/avx/avx2
    75 -  PCMPEQW   P,Q8       mmx/-/-
    75 66 PCMPEQW   Vx,Hx,Wx   sse/avx/avx2
    76 -  PCMPEQD   P,Q8       mmx/-/-
    76 66 PCMPEQD   Vx,Hx,Wx   sse/avx/avx2
    7C 66 HADDPD    Vx,Hx,Wx   sse3/avx/avx fp
    7C F2 HADDPS    Vx,Hx,Wx   sse3/avx/avx fp
    7D 66 HSUBPD    Vx,Hx,Wx   sse3/avx/avx fp
    7D F2 HSUBPS    Vx,Hx,Wx   sse3/avx/avx fp
    C2 -  CMPPS     Vx,Hx,Wx,I sse/avx/avx fp
    C2 66 CMPPD     Vx,Hx,Wx,I sse/avx/avx fp
    C2 F3 CMPSS     V,H,W4,I   sse/avx/- fp
    C2 F2 CMPSD     V,H,W8,I   sse/avx/- fp
    C4 -  PINSRW    P,E2,I     mmx/-/-
    C4 66 PINSRW    V,H,E2,I   sse/avx/-
    C5 -  PEXTRW    Gd,N,I     mmx/-/-
    C5 66 PEXTRW    Gd,U,I     sse/avx/-
    C6 -  SHUFPS    Vx,Hx,Wx,I sse/avx/avx
    C6 66 SHUFPD    Vx,Hx,Wx,I sse/avx/avx
    D0 66 ADDSUBPD  Vx,Hx,Wx   sse3/avx/avx fp
    D0 F2 ADDSUBPS  Vx,Hx,Wx   sse3/avx/avx fp
    D1 -  PSRLW     P,Q8       mmx/-/-
    D1 66 PSRLW     Vx,Hx,W16  sse/avx/avx2
    D2 -  PSRLD     P,Q8       mmx/-/-
    D2 66 PSRLD     Vx,Hx,W16  sse/avx/avx2
    D3 -  PSRLQ     P,Q8       mmx/-/-
    D3 66 PSRLQ     Vx,Hx,W16  sse/avx/avx2
    D4 -  PADDQ     P,Q8       mmx/-/-
    D4 66 PADDQ     Vx,Hx,Wx   sse/avx/avx2
    D5 -  PMULLW    P,Q8       mmx/-/-
    D5 66 PMULLW    Vx,Hx,Wx   sse/avx/avx2
    D7 -  PMOVMSKB  Gd,N       mmx/-/-
    D7 66 PMOVMSKB  Gd,Ux      sse/avx/avx2
    D8 -  PSUBUSB   P,Q8       mmx/-/-
    D8 66 PSUBUSB   Vx,Hx,Wx   sse/avx/avx2
    D9 -  PSUBUSW   P,Q8       mmx/-/-
    D9 66 PSUBUSW   Vx,Hx,Wx   sse/avx/avx2
    DA -  PMINUB    P,Q8       mmx/-/-
    DA 66 PMINUB    Vx,Hx,Wx   sse/avx/avx2
    DB -  PAND      P,Q8       mmx/-/-
    DB 66 PAND      Vx,Hx,Wx   sse/avx/avx2
    DC -  PADDUSB   P,Q8       mmx/-/-
    DC 66 PADDUSB   Vx,Hx,Wx   sse/avx/avx2
    DD -  PADDUSW   P,Q8       mmx/-/-
    DD 66 PADDUSW   Vx,Hx,Wx   sse/avx/avx2
    DE -  PMAXUB    P,Q8       mmx/-/-
    DE 66 PMAXUB    Vx,Hx,Wx   sse/avx/avx2
    DF -  PANDN     P,Q8       mmx/-/-
    DF 66 PANDN     Vx,Hx,Wx   sse/avx/avx2
    E0 -  PAVGB     P,Q8       mmx/-/-
    E0 66 PAVGB     Vx,Hx,Wx   sse/avx/avx2
    E1 -  PSRAW     P,Q8       mmx/-/-
    E1 66 PSRAW     Vx,Hx,W16  sse/avx/avx2
    E2 -  PSRAD     P,Q8       mmx/-/-
    E2 66 PSRAD     Vx,Hx,W16  sse/avx/avx2
    E3 -  PAVGW     P,Q8       mmx/-/-
    E3 66 PAVGW     Vx,Hx,Wx   sse/avx/avx2
    E4 -  PMULHUW   P,Q8       mmx/-/-
    E4 66 PMULHUW   Vx,Hx,Wx   sse/avx/avx2
    E5 -  PMULHW    P,Q8       mmx/-/-
    E5 66 PMULHW    Vx,Hx,Wx   sse/avx/avx2
    E6 66 CVTTPD2DQ Vx,Wx      sse/avx/avx fp
    E6 F3 CVTDQ2PD  Vx,Wx2     sse/avx/avx fp
    E6 F2 CVTPD2DQ  Vx,Wx      sse/avx/avx fp
    E8 -  PSUBSB    P,Q8       mmx/-/-
    E8 66 PSUBSB    Vx,Hx,Wx   sse/avx/avx2
    E9 -  PSUBSW    P,Q8       mmx/-/-
    E9 66 PSUBSW    Vx,Hx,Wx   sse/avx/avx2
    EA -  PMINSW    P,Q8       mmx/-/-
    EA 66 PMINSW    Vx,Hx,Wx   sse/avx/avx2
    EB -  POR       P,Q8       mmx/-/-
    EB 66 POR       Vx,Hx,Wx   sse/avx/avx2
    EC -  PADDSB    P,Q8       mmx/-/-
    EC 66 PADDSB    Vx,Hx,Wx   sse/avx/avx2
    ED -  PADDSW    P,Q8       mmx/-/-
    ED 66 PADDSW    Vx,Hx,Wx   sse/avx/avx2
    EE -  PMAXSW    P,Q8       mmx/-/-
    EE 66 PMAXSW    Vx,Hx,Wx   sse/avx/avx2
    EF -  PXOR      P,Q8       mmx/-/-
    EF 66 PXOR      Vx,Hx,Wx   sse/avx/avx2
    F1 -  PSLLW     P,Q8       mmx/-/-
    F1 66 PSLLW     Vx,Hx,W16  sse/avx/avx2
    F2 -  PSLLD     P,Q8       mmx/-/-
    F2 66 PSLLD     Vx,Hx,W16  sse/avx/avx2
    F3 -  PSLLQ     P,Q8       mmx/-/-
    F3 66 PSLLQ     Vx,Hx,W16  sse/avx/avx2
    F4 -  PMULUDQ   P,Q8       mmx/-/-
    F4 66 PMULUDQ   Vx,Hx,Wx   sse/avx/avx2
    F5 -  PMADDWD   P,Q8       mmx/-/-
    F5 66 PMADDWD   Vx,Hx,Wx   sse/avx/avx2
    F6 -  PSADBW    P,Q8       mmx/-/-
    F6 66 PSADBW    Vx,Hx,Wx   sse/avx/avx2
    F8 -  PSUBB     P,Q8       mmx/-/-
    F8 66 PSUBB     Vx,Hx,Wx   sse/avx/avx2
    F9 -  PSUBW     P,Q8       mmx/-/-
    F9 66 PSUBW     Vx,Hx,Wx   sse/avx/avx2
    FA -  PSUBD     P,Q8       mmx/-/-
    FA 66 PSUBD     Vx,Hx,Wx   sse/avx/avx2
    FB -  PSUBQ     P,Q8       mmx/-/-
    FB 66 PSUBQ     Vx,Hx,Wx   sse/avx/avx2
    FC -  PADDB     P,Q8       mmx/-/-
    FC 66 PADDB     Vx,Hx,Wx   sse/avx/avx2
    FD -  PADDW     P,Q8       mmx/-/-
    FD 66 PADDW     Vx,Hx,Wx   sse/avx/avx2
    FE -  PADDD     P,Q8       mmx/-/-
    FE 66 PADDD     Vx,Hx,Wx   sse/avx/avx2
    """
