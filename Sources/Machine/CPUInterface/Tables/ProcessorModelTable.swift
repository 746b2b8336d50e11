// SPDX-License-Identifier: Apache-2.0

// The named processors: name; the version that an alias stands for; vendor; family.model.stepping; highest leaves; feature
// words (hexadecimal, in the order of `CPUModel.tableRegisters`); brand.
let processorModelTable = """
    486;486-v1;GenuineIntel;4.8.0;1.0;9,0,0,0,0,0,0,0,0,0;
    486-v1;;GenuineIntel;4.8.0;1.0;9,0,0,0,0,0,0,0,0,0;
    athlon;athlon-v1;AuthenticAMD;6.2.3;2.80000008;783fbfd,0,0,0,0,0,c0400000,0,0,0;QEMU Virtual CPU version 2.5+
    athlon-v1;;AuthenticAMD;6.2.3;2.80000008;783fbfd,0,0,0,0,0,c0400000,0,0,0;QEMU Virtual CPU version 2.5+
    Broadwell;Broadwell-v1;GenuineIntel;6.61.2;d.80000008;78bfbfd,77fa3203,1c0fb9,0,0,1,28100800,121,0,0;Intel Core Processor (Broadwell)
    Broadwell-IBRS;Broadwell-v3;GenuineIntel;6.61.2;d.80000008;78bfbfd,77fa3203,1c0fb9,0,4000000,1,28100800,121,0,0;Intel Core Processor (Broadwell, IBRS)
    Broadwell-noTSX;Broadwell-v2;GenuineIntel;6.61.2;d.80000008;78bfbfd,77fa3203,1c07a9,0,0,1,28100800,121,0,0;Intel Core Processor (Broadwell, no TSX)
    Broadwell-noTSX-IBRS;Broadwell-v4;GenuineIntel;6.61.2;d.80000008;78bfbfd,77fa3203,1c07a9,0,4000000,1,28100800,121,0,0;Intel Core Processor (Broadwell, no TSX, IBRS)
    Broadwell-v1;;GenuineIntel;6.61.2;d.80000008;78bfbfd,77fa3203,1c0fb9,0,0,1,28100800,121,0,0;Intel Core Processor (Broadwell)
    Broadwell-v2;;GenuineIntel;6.61.2;d.80000008;78bfbfd,77fa3203,1c07a9,0,0,1,28100800,121,0,0;Intel Core Processor (Broadwell, no TSX)
    Broadwell-v3;;GenuineIntel;6.61.2;d.80000008;78bfbfd,77fa3203,1c0fb9,0,4000000,1,28100800,121,0,0;Intel Core Processor (Broadwell, IBRS)
    Broadwell-v4;;GenuineIntel;6.61.2;d.80000008;78bfbfd,77fa3203,1c07a9,0,4000000,1,28100800,121,0,0;Intel Core Processor (Broadwell, no TSX, IBRS)
    Cascadelake-Server;Cascadelake-Server-v1;GenuineIntel;6.85.6;d.80000008;78bfbfd,77fa3203,d19f0fb9,808,84000000,7,2c100800,121,0,0;Intel Xeon Processor (Cascadelake)
    Cascadelake-Server-noTSX;Cascadelake-Server-v3;GenuineIntel;6.85.6;d.80000008;78bfbfd,77fa3203,d19f07a9,808,a4000000,7,2c100800,121,0,0;Intel Xeon Processor (Cascadelake)
    Cascadelake-Server-v1;;GenuineIntel;6.85.6;d.80000008;78bfbfd,77fa3203,d19f0fb9,808,84000000,7,2c100800,121,0,0;Intel Xeon Processor (Cascadelake)
    Cascadelake-Server-v2;;GenuineIntel;6.85.6;d.80000008;78bfbfd,77fa3203,d19f0fb9,808,a4000000,7,2c100800,121,0,0;Intel Xeon Processor (Cascadelake)
    Cascadelake-Server-v3;;GenuineIntel;6.85.6;d.80000008;78bfbfd,77fa3203,d19f07a9,808,a4000000,7,2c100800,121,0,0;Intel Xeon Processor (Cascadelake)
    Cascadelake-Server-v4;;GenuineIntel;6.85.6;d.80000008;78bfbfd,77fa3203,d19f07a9,808,a4000000,7,2c100800,121,0,0;Intel Xeon Processor (Cascadelake)
    Cascadelake-Server-v5;;GenuineIntel;6.85.6;d.80000008;78bfbfd,77fa3203,d19f07a9,808,a4000000,f,2c100800,121,0,0;Intel Xeon Processor (Cascadelake)
    Conroe;Conroe-v1;GenuineIntel;6.15.3;a.80000008;78bfbfd,201,0,0,0,0,20100800,1,0,0;Intel Celeron_4x0 (Conroe/Merom Class Core 2)
    Conroe-v1;;GenuineIntel;6.15.3;a.80000008;78bfbfd,201,0,0,0,0,20100800,1,0,0;Intel Celeron_4x0 (Conroe/Merom Class Core 2)
    Cooperlake;Cooperlake-v1;GenuineIntel;6.85.10;d.80000008;78bfbfd,77fa3203,d19f0fb9,808,ac000000,7,2c100800,121,0,0;Intel Xeon Processor (Cooperlake)
    Cooperlake-v1;;GenuineIntel;6.85.10;d.80000008;78bfbfd,77fa3203,d19f0fb9,808,ac000000,7,2c100800,121,0,0;Intel Xeon Processor (Cooperlake)
    Cooperlake-v2;;GenuineIntel;6.85.10;d.80000008;78bfbfd,77fa3203,d19f0fb9,808,ac000000,f,2c100800,121,0,0;Intel Xeon Processor (Cooperlake)
    core2duo;core2duo-v1;GenuineIntel;6.15.11;a.80000008;fcbfbfd,2209,0,0,0,0,20100800,1,0,0;Intel(R) Core(TM)2 Duo CPU     T7700  @ 2.40GHz
    core2duo-v1;;GenuineIntel;6.15.11;a.80000008;fcbfbfd,2209,0,0,0,0,20100800,1,0,0;Intel(R) Core(TM)2 Duo CPU     T7700  @ 2.40GHz
    coreduo;coreduo-v1;GenuineIntel;6.14.8;a.80000008;fc9fbfd,9,0,0,0,0,100000,0,0,0;Genuine Intel(R) CPU           T2600  @ 2.16GHz
    coreduo-v1;;GenuineIntel;6.14.8;a.80000008;fc9fbfd,9,0,0,0,0,100000,0,0,0;Genuine Intel(R) CPU           T2600  @ 2.16GHz
    Denverton;Denverton-v1;GenuineIntel;6.95.1;15.80000008;78bfbfd,47f8220b,20944281,0,a4000000,7,2c100800,101,0,0;Intel Atom Processor (Denverton)
    Denverton-v1;;GenuineIntel;6.95.1;15.80000008;78bfbfd,47f8220b,20944281,0,a4000000,7,2c100800,101,0,0;Intel Atom Processor (Denverton)
    Denverton-v2;;GenuineIntel;6.95.1;15.80000008;78bfbfd,47f82203,20940281,0,a4000000,7,2c100800,101,0,0;Intel Atom Processor (Denverton)
    Denverton-v3;;GenuineIntel;6.95.1;15.80000008;78bfbfd,47f82203,20940281,0,a4000000,f,2c100800,101,0,0;Intel Atom Processor (Denverton)
    Dhyana;Dhyana-v1;HygonGenuine;24.0.1;d.8000001e;78bfbfd,74d83209,9c01a9,0,0,7,2e500800,4003f5,0,1000;Hygon Dhyana Processor
    Dhyana-v1;;HygonGenuine;24.0.1;d.8000001e;78bfbfd,74d83209,9c01a9,0,0,7,2e500800,4003f5,0,1000;Hygon Dhyana Processor
    Dhyana-v2;;HygonGenuine;24.0.1;d.8000001e;78bfbfd,74d83209,9c01a9,0,0,f,2e500800,4003f5,0,1000;Hygon Dhyana Processor
    EPYC;EPYC-v1;AuthenticAMD;23.1.2;d.8000001e;78bfbfd,76d8320b,209c01a9,0,0,7,2e500800,4003f5,0,0;AMD EPYC Processor
    EPYC-IBPB;EPYC-v2;AuthenticAMD;23.1.2;d.8000001e;78bfbfd,76d8320b,209c01a9,0,0,7,2e500800,4003f5,0,1000;AMD EPYC Processor (with IBPB)
    EPYC-Milan;EPYC-Milan-v1;AuthenticAMD;25.1.1;d.8000001e;78bfbfd,76da320b,219c07a9,40000c,10,f,2e500800,c003f5,0,100d205;AMD EPYC-Milan Processor
    EPYC-Milan-v1;;AuthenticAMD;25.1.1;d.8000001e;78bfbfd,76da320b,219c07a9,40000c,10,f,2e500800,c003f5,0,100d205;AMD EPYC-Milan Processor
    EPYC-Rome;EPYC-Rome-v1;AuthenticAMD;23.49.0;d.8000001e;78bfbfd,76d8320b,219c01a9,400004,0,f,2e500800,c003f5,0,9205;AMD EPYC-Rome Processor
    EPYC-Rome-v1;;AuthenticAMD;23.49.0;d.8000001e;78bfbfd,76d8320b,219c01a9,400004,0,f,2e500800,c003f5,0,9205;AMD EPYC-Rome Processor
    EPYC-Rome-v2;;AuthenticAMD;23.49.0;d.8000001e;78bfbfd,76d8320b,219c01a9,400004,0,f,2e500800,c003f5,0,100d205;AMD EPYC-Rome Processor
    EPYC-v1;;AuthenticAMD;23.1.2;d.8000001e;78bfbfd,76d8320b,209c01a9,0,0,7,2e500800,4003f5,0,0;AMD EPYC Processor
    EPYC-v2;;AuthenticAMD;23.1.2;d.8000001e;78bfbfd,76d8320b,209c01a9,0,0,7,2e500800,4003f5,0,1000;AMD EPYC Processor (with IBPB)
    EPYC-v3;;AuthenticAMD;23.1.2;d.8000001e;78bfbfd,76d8320b,209c01a9,0,0,f,2e500800,c003f5,0,1005;AMD EPYC Processor
    Haswell;Haswell-v1;GenuineIntel;6.60.4;d.80000008;78bfbfd,77fa3203,fb9,0,0,1,28100800,21,0,0;Intel Core Processor (Haswell)
    Haswell-IBRS;Haswell-v3;GenuineIntel;6.60.4;d.80000008;78bfbfd,77fa3203,fb9,0,4000000,1,28100800,21,0,0;Intel Core Processor (Haswell, IBRS)
    Haswell-noTSX;Haswell-v2;GenuineIntel;6.60.1;d.80000008;78bfbfd,77fa3203,7a9,0,0,1,28100800,21,0,0;Intel Core Processor (Haswell, no TSX)
    Haswell-noTSX-IBRS;Haswell-v4;GenuineIntel;6.60.1;d.80000008;78bfbfd,77fa3203,7a9,0,4000000,1,28100800,21,0,0;Intel Core Processor (Haswell, no TSX, IBRS)
    Haswell-v1;;GenuineIntel;6.60.4;d.80000008;78bfbfd,77fa3203,fb9,0,0,1,28100800,21,0,0;Intel Core Processor (Haswell)
    Haswell-v2;;GenuineIntel;6.60.1;d.80000008;78bfbfd,77fa3203,7a9,0,0,1,28100800,21,0,0;Intel Core Processor (Haswell, no TSX)
    Haswell-v3;;GenuineIntel;6.60.4;d.80000008;78bfbfd,77fa3203,fb9,0,4000000,1,28100800,21,0,0;Intel Core Processor (Haswell, IBRS)
    Haswell-v4;;GenuineIntel;6.60.1;d.80000008;78bfbfd,77fa3203,7a9,0,4000000,1,28100800,21,0,0;Intel Core Processor (Haswell, no TSX, IBRS)
    Icelake-Server;Icelake-Server-v1;GenuineIntel;6.134.0;d.80000008;78bfbfd,77fa3203,d19f0fb9,15f4e,84000000,7,2c100800,121,0,200;Intel Xeon Processor (Icelake)
    Icelake-Server-noTSX;Icelake-Server-v2;GenuineIntel;6.134.0;d.80000008;78bfbfd,77fa3203,d19f07a9,15f4e,84000000,7,2c100800,121,0,200;Intel Xeon Processor (Icelake)
    Icelake-Server-v1;;GenuineIntel;6.134.0;d.80000008;78bfbfd,77fa3203,d19f0fb9,15f4e,84000000,7,2c100800,121,0,200;Intel Xeon Processor (Icelake)
    Icelake-Server-v2;;GenuineIntel;6.134.0;d.80000008;78bfbfd,77fa3203,d19f07a9,15f4e,84000000,7,2c100800,121,0,200;Intel Xeon Processor (Icelake)
    Icelake-Server-v3;;GenuineIntel;6.134.0;d.80000008;78bfbfd,77fa3203,d19f07a9,15f4e,a4000000,7,2c100800,121,0,200;Intel Xeon Processor (Icelake)
    Icelake-Server-v4;;GenuineIntel;6.106.0;d.80000008;78bfbfd,77fa3203,f1bf07a9,415f4e,a4000010,7,2c100800,121,0,200;Intel Xeon Processor (Icelake)
    Icelake-Server-v5;;GenuineIntel;6.106.0;d.80000008;78bfbfd,77fa3203,f1bf07a9,415f4e,a4000010,f,2c100800,121,0,200;Intel Xeon Processor (Icelake)
    Icelake-Server-v6;;GenuineIntel;6.106.0;d.80000008;78bfbfd,77fa3203,f1bf07a9,415f4e,a4000010,f,2c100800,121,0,200;Intel Xeon Processor (Icelake)
    IvyBridge;IvyBridge-v1;GenuineIntel;6.58.9;d.80000008;78bfbfd,77b82203,281,0,0,1,28100800,1,0,0;Intel Xeon E3-12xx v2 (Ivy Bridge)
    IvyBridge-IBRS;IvyBridge-v2;GenuineIntel;6.58.9;d.80000008;78bfbfd,77b82203,281,0,4000000,1,28100800,1,0,0;Intel Xeon E3-12xx v2 (Ivy Bridge, IBRS)
    IvyBridge-v1;;GenuineIntel;6.58.9;d.80000008;78bfbfd,77b82203,281,0,0,1,28100800,1,0,0;Intel Xeon E3-12xx v2 (Ivy Bridge)
    IvyBridge-v2;;GenuineIntel;6.58.9;d.80000008;78bfbfd,77b82203,281,0,4000000,1,28100800,1,0,0;Intel Xeon E3-12xx v2 (Ivy Bridge, IBRS)
    KnightsMill;KnightsMill-v1;GenuineIntel;6.133.0;d.80000008;f8bfbfd,77f83203,1c0d03a9,4000,c,1,2c100800,121,0,0;Intel Xeon Phi Processor (Knights Mill)
    KnightsMill-v1;;GenuineIntel;6.133.0;d.80000008;f8bfbfd,77f83203,1c0d03a9,4000,c,1,2c100800,121,0,0;Intel Xeon Phi Processor (Knights Mill)
    kvm32;kvm32-v1;GenuineIntel;15.6.1;5.80000008;78bfbfd,1,0,0,0,0,0,0,0,0;Common 32-bit KVM processor
    kvm32-v1;;GenuineIntel;15.6.1;5.80000008;78bfbfd,1,0,0,0,0,0,0,0,0;Common 32-bit KVM processor
    kvm64-v1;;GenuineIntel;15.6.1;d.80000008;78bfbfd,2001,0,0,0,0,20100800,0,0,0;Common KVM processor
    n270;n270-v1;GenuineIntel;6.28.2;a.80000008;fc9fbfd,400209,0,0,0,0,100000,1,0,0;Intel(R) Atom(TM) CPU N270   @ 1.60GHz
    n270-v1;;GenuineIntel;6.28.2;a.80000008;fc9fbfd,400209,0,0,0,0,100000,1,0,0;Intel(R) Atom(TM) CPU N270   @ 1.60GHz
    Nehalem;Nehalem-v1;GenuineIntel;6.26.3;b.80000008;78bfbfd,982201,0,0,0,0,20100800,1,0,0;Intel Core i7 9xx (Nehalem Class Core i7)
    Nehalem-IBRS;Nehalem-v2;GenuineIntel;6.26.3;b.80000008;78bfbfd,982201,0,0,4000000,0,20100800,1,0,0;Intel Core i7 9xx (Nehalem Core i7, IBRS update)
    Nehalem-v1;;GenuineIntel;6.26.3;b.80000008;78bfbfd,982201,0,0,0,0,20100800,1,0,0;Intel Core i7 9xx (Nehalem Class Core i7)
    Nehalem-v2;;GenuineIntel;6.26.3;b.80000008;78bfbfd,982201,0,0,4000000,0,20100800,1,0,0;Intel Core i7 9xx (Nehalem Core i7, IBRS update)
    Opteron_G1;Opteron_G1-v1;AuthenticAMD;15.6.1;5.80000008;78bfbfd,1,0,0,0,0,20100800,0,0,0;AMD Opteron 240 (Gen 1 Class Opteron)
    Opteron_G1-v1;;AuthenticAMD;15.6.1;5.80000008;78bfbfd,1,0,0,0,0,20100800,0,0,0;AMD Opteron 240 (Gen 1 Class Opteron)
    Opteron_G2;Opteron_G2-v1;AuthenticAMD;15.6.1;5.8000000a;78bfbfd,2001,0,0,0,0,20100800,5,0,0;AMD Opteron 22xx (Gen 2 Class Opteron)
    Opteron_G2-v1;;AuthenticAMD;15.6.1;5.8000000a;78bfbfd,2001,0,0,0,0,20100800,5,0,0;AMD Opteron 22xx (Gen 2 Class Opteron)
    Opteron_G3;Opteron_G3-v1;AuthenticAMD;16.2.3;5.8000000a;78bfbfd,802009,0,0,0,0,28100800,e5,0,0;AMD Opteron 23xx (Gen 3 Class Opteron)
    Opteron_G3-v1;;AuthenticAMD;16.2.3;5.8000000a;78bfbfd,802009,0,0,0,0,28100800,e5,0,0;AMD Opteron 23xx (Gen 3 Class Opteron)
    Opteron_G4;Opteron_G4-v1;AuthenticAMD;21.1.2;d.8000001a;78bfbfd,16982203,0,0,0,0,2c100800,109e5,0,0;AMD Opteron 62xx class CPU
    Opteron_G4-v1;;AuthenticAMD;21.1.2;d.8000001a;78bfbfd,16982203,0,0,0,0,2c100800,109e5,0,0;AMD Opteron 62xx class CPU
    Opteron_G5;Opteron_G5-v1;AuthenticAMD;21.2.0;d.8000001a;78bfbfd,36983203,0,0,0,0,2c100800,2109e5,0,0;AMD Opteron 63xx class CPU
    Opteron_G5-v1;;AuthenticAMD;21.2.0;d.8000001a;78bfbfd,36983203,0,0,0,0,2c100800,2109e5,0,0;AMD Opteron 63xx class CPU
    Penryn;Penryn-v1;GenuineIntel;6.23.3;a.80000008;78bfbfd,82201,0,0,0,0,20100800,1,0,0;Intel Core 2 Duo P9xxx (Penryn Class Core 2)
    Penryn-v1;;GenuineIntel;6.23.3;a.80000008;78bfbfd,82201,0,0,0,0,20100800,1,0,0;Intel Core 2 Duo P9xxx (Penryn Class Core 2)
    pentium;pentium-v1;GenuineIntel;5.4.3;1.0;8003bd,0,0,0,0,0,0,0,0,0;
    pentium-v1;;GenuineIntel;5.4.3;1.0;8003bd,0,0,0,0,0,0,0,0,0;
    pentium2;pentium2-v1;GenuineIntel;6.5.2;2.0;183fbfd,0,0,0,0,0,0,0,0,0;
    pentium2-v1;;GenuineIntel;6.5.2;2.0;183fbfd,0,0,0,0,0,0,0,0,0;
    pentium3;pentium3-v1;GenuineIntel;6.7.3;3.0;383fbfd,0,0,0,0,0,0,0,0,0;
    pentium3-v1;;GenuineIntel;6.7.3;3.0;383fbfd,0,0,0,0,0,0,0,0,0;
    phenom;phenom-v1;AuthenticAMD;16.2.3;5.8000001a;78bfbfd,802009,0,0,0,0,ee500800,65,0,0;AMD Phenom(tm) 9550 Quad-Core Processor
    phenom-v1;;AuthenticAMD;16.2.3;5.8000001a;78bfbfd,802009,0,0,0,0,ee500800,65,0,0;AMD Phenom(tm) 9550 Quad-Core Processor
    qemu32;qemu32-v1;GenuineIntel;6.6.3;4.80000004;781abfd,1,0,0,0,0,0,0,0,0;QEMU Virtual CPU version 2.5+
    qemu32-v1;;GenuineIntel;6.6.3;4.80000004;781abfd,1,0,0,0,0,0,0,0,0;QEMU Virtual CPU version 2.5+
    qemu64-v1;;AuthenticAMD;15.107.1;d.8000000a;78bfbfd,2001,0,0,0,0,20100800,5,0,0;QEMU Virtual CPU version 2.5+
    SandyBridge;SandyBridge-v1;GenuineIntel;6.42.1;d.80000008;78bfbfd,17b82203,0,0,0,1,28100800,1,0,0;Intel Xeon E312xx (Sandy Bridge)
    SandyBridge-IBRS;SandyBridge-v2;GenuineIntel;6.42.1;d.80000008;78bfbfd,17b82203,0,0,4000000,1,28100800,1,0,0;Intel Xeon E312xx (Sandy Bridge, IBRS update)
    SandyBridge-v1;;GenuineIntel;6.42.1;d.80000008;78bfbfd,17b82203,0,0,0,1,28100800,1,0,0;Intel Xeon E312xx (Sandy Bridge)
    SandyBridge-v2;;GenuineIntel;6.42.1;d.80000008;78bfbfd,17b82203,0,0,4000000,1,28100800,1,0,0;Intel Xeon E312xx (Sandy Bridge, IBRS update)
    Skylake-Client;Skylake-Client-v1;GenuineIntel;6.94.3;d.80000008;78bfbfd,77fa3203,1c0fb9,0,0,7,28100800,121,0,0;Intel Core Processor (Skylake)
    Skylake-Client-IBRS;Skylake-Client-v2;GenuineIntel;6.94.3;d.80000008;78bfbfd,77fa3203,1c0fb9,0,4000000,7,28100800,121,0,0;Intel Core Processor (Skylake, IBRS)
    Skylake-Client-noTSX-IBRS;Skylake-Client-v3;GenuineIntel;6.94.3;d.80000008;78bfbfd,77fa3203,1c07a9,0,4000000,7,28100800,121,0,0;Intel Core Processor (Skylake, IBRS, no TSX)
    Skylake-Client-v1;;GenuineIntel;6.94.3;d.80000008;78bfbfd,77fa3203,1c0fb9,0,0,7,28100800,121,0,0;Intel Core Processor (Skylake)
    Skylake-Client-v2;;GenuineIntel;6.94.3;d.80000008;78bfbfd,77fa3203,1c0fb9,0,4000000,7,28100800,121,0,0;Intel Core Processor (Skylake, IBRS)
    Skylake-Client-v3;;GenuineIntel;6.94.3;d.80000008;78bfbfd,77fa3203,1c07a9,0,4000000,7,28100800,121,0,0;Intel Core Processor (Skylake, IBRS, no TSX)
    Skylake-Client-v4;;GenuineIntel;6.94.3;d.80000008;78bfbfd,77fa3203,1c07a9,0,4000000,f,28100800,121,0,0;Intel Core Processor (Skylake, IBRS, no TSX)
    Skylake-Server;Skylake-Server-v1;GenuineIntel;6.85.4;d.80000008;78bfbfd,77fa3203,d19f0fb9,8,0,7,2c100800,121,0,0;Intel Xeon Processor (Skylake)
    Skylake-Server-IBRS;Skylake-Server-v2;GenuineIntel;6.85.4;d.80000008;78bfbfd,77fa3203,d11f0fb9,8,4000000,7,2c100800,121,0,0;Intel Xeon Processor (Skylake, IBRS)
    Skylake-Server-noTSX-IBRS;Skylake-Server-v3;GenuineIntel;6.85.4;d.80000008;78bfbfd,77fa3203,d11f07a9,8,4000000,7,2c100800,121,0,0;Intel Xeon Processor (Skylake, IBRS, no TSX)
    Skylake-Server-v1;;GenuineIntel;6.85.4;d.80000008;78bfbfd,77fa3203,d19f0fb9,8,0,7,2c100800,121,0,0;Intel Xeon Processor (Skylake)
    Skylake-Server-v2;;GenuineIntel;6.85.4;d.80000008;78bfbfd,77fa3203,d11f0fb9,8,4000000,7,2c100800,121,0,0;Intel Xeon Processor (Skylake, IBRS)
    Skylake-Server-v3;;GenuineIntel;6.85.4;d.80000008;78bfbfd,77fa3203,d11f07a9,8,4000000,7,2c100800,121,0,0;Intel Xeon Processor (Skylake, IBRS, no TSX)
    Skylake-Server-v4;;GenuineIntel;6.85.4;d.80000008;78bfbfd,77fa3203,d11f07a9,8,4000000,7,2c100800,121,0,0;Intel Xeon Processor (Skylake, IBRS, no TSX)
    Skylake-Server-v5;;GenuineIntel;6.85.4;d.80000008;78bfbfd,77fa3203,d11f07a9,8,4000000,f,2c100800,121,0,0;Intel Xeon Processor (Skylake, IBRS, no TSX)
    Snowridge;Snowridge-v1;GenuineIntel;6.134.1;1b.80000008;78bfbfd,47f8220b,21944281,1a000104,e4000000,7,2c100800,101,0,0;Intel Atom Processor (SnowRidge)
    Snowridge-v1;;GenuineIntel;6.134.1;1b.80000008;78bfbfd,47f8220b,21944281,1a000104,e4000000,7,2c100800,101,0,0;Intel Atom Processor (SnowRidge)
    Snowridge-v2;;GenuineIntel;6.134.1;1b.80000008;78bfbfd,47f8220b,21940281,1a000104,e4000000,7,2c100800,101,0,0;Intel Atom Processor (Snowridge, no MPX)
    Snowridge-v3;;GenuineIntel;6.134.1;1b.80000008;78bfbfd,47f8220b,21940281,1a000104,e4000000,f,2c100800,101,0,0;Intel Atom Processor (Snowridge, no MPX)
    Snowridge-v4;;GenuineIntel;6.134.1;1b.80000008;78bfbfd,47f8220b,21940281,1a000104,a4000000,f,2c100800,101,0,0;Intel Atom Processor (Snowridge, no MPX)
    Westmere;Westmere-v1;GenuineIntel;6.44.1;b.80000008;78bfbfd,2982203,0,0,0,0,20100800,1,0,0;Westmere E56xx/L56xx/X56xx (Nehalem-C)
    Westmere-IBRS;Westmere-v2;GenuineIntel;6.44.1;b.80000008;78bfbfd,2982203,0,0,4000000,0,20100800,1,0,0;Westmere E56xx/L56xx/X56xx (IBRS update)
    Westmere-v1;;GenuineIntel;6.44.1;b.80000008;78bfbfd,2982203,0,0,0,0,20100800,1,0,0;Westmere E56xx/L56xx/X56xx (Nehalem-C)
    Westmere-v2;;GenuineIntel;6.44.1;b.80000008;78bfbfd,2982203,0,0,4000000,0,20100800,1,0,0;Westmere E56xx/L56xx/X56xx (IBRS update)
    """
