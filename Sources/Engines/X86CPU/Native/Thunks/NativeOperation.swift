// SPDX-License-Identifier: Apache-2.0

internal import CX86Native
internal import HostSystem

/// Host code that runs one form of instruction: pointers to the modrm.reg operand, the vvvv operand, the r/m operand (a
/// register's place or a copy of memory), the MXCSR exchange, and the further operand where there is one. Gives back
/// RFLAGS where the form sets flags.
typealias NativeCode =
    @convention(c) (
        UnsafeMutableRawPointer, UnsafeMutableRawPointer, UnsafeMutableRawPointer, UnsafeMutableRawPointer,
        UnsafeMutableRawPointer
    ) -> UInt64

/// What a handler must know to run one form natively. Made once per form and never freed; `Instruction.immediate` of
/// such an instruction is its address.
struct NativeOperation {
    struct Traits: OptionSet {
        let rawValue: UInt16
        /// VEX-encoded.
        static let avx = Traits(rawValue: 1 << 0)
        /// Some register operand is an MMX register.
        static let mmx = Traits(rawValue: 1 << 1)
        static let floatingPoint = Traits(rawValue: 1 << 2)
        static let setsFlags = Traits(rawValue: 1 << 3)
        /// modrm.reg names an MMX register; a general register.
        static let regMMX = Traits(rawValue: 1 << 4)
        static let regGeneral = Traits(rawValue: 1 << 5)
        /// The r/m register is an MMX register; a general register.
        static let rmMMX = Traits(rawValue: 1 << 6)
        static let rmGeneral = Traits(rawValue: 1 << 7)
        /// The r/m operand is written.
        static let writesRM = Traits(rawValue: 1 << 8)
        /// The modrm.reg operand is written.
        static let writesReg = Traits(rawValue: 1 << 9)
        static let string = Traits(rawValue: 1 << 10)
        static let memory = Traits(rawValue: 1 << 11)
    }

    var code: NativeCode
    var traits: Traits
    /// Bytes of the memory operand; for a general r/m register that is written, the bytes that the code writes.
    var memoryBytes: UInt8
    /// 15 where the memory operand must be 16-byte aligned, else 0.
    var alignmentMask: UInt8
}

extension UnsafePointer where Pointee == Instruction {
    /// The operation that the selector put into `immediate`.
    @inline(__always)
    var operation: UnsafePointer<NativeOperation> {
        UnsafePointer<NativeOperation>(bitPattern: UInt(pointee.immediate)).unsafelyUnwrapped
    }
}

/// All native code of the process, by form. Thread-safe.
final class NativeLibrary: @unchecked Sendable {
    /// The one library.
    static let shared = NativeLibrary()

    /// More than all forms with all their immediates need (a test adds them up); only what is used takes up memory.
    static let capacity = 32 << 20

    private let lock = Lock()
    /// Guarded by `lock`; nil where the host refuses executable memory.
    private var memory: CodeMemory?
    private var operations: [UInt64: UnsafePointer<NativeOperation>] = [:]

    private init() {
        // A host that refuses executable memory has no vector and x87 instructions: they raise #UD.
        memory = try? CodeMemory(capacity: Self.capacity)
    }

    /// False where the host refuses executable memory, so that no native instruction can run.
    var isUsable: Bool { lock.withLock { memory != nil } }

    /// Bytes of code made so far.
    var usedBytes: Int { lock.withLock { memory?.used ?? 0 } }

    /// True once traps of vector code are caught: needed only for guests that unmask exceptions.
    static let catchesVectorTraps: Bool = {
        guard let start = shared.executableStart else { return false }
        return roost_catch_vector_traps(
            start, UInt64(capacity), Int32(VectorBlock.controlStored), VectorBlock.hostMXCSR) == 0
    }()

    private var executableStart: UnsafeRawPointer? { lock.withLock { memory?.executableStart } }

    /// The operation of a key, made by `make` the first time; nil where code memory ran out.
    func operation(
        _ key: UInt64, make: () -> (code: [UInt8], operation: (NativeCode) -> NativeOperation)
    ) -> UnsafePointer<NativeOperation>? {
        lock.withLock {
            if let known = operations[key] { return known }
            let (bytes, operation) = make()
            guard let place = memory?.append(bytes) else { return nil }
            let made = UnsafeMutablePointer<NativeOperation>.allocate(capacity: 1)
            made.initialize(to: operation(unsafeBitCast(place, to: NativeCode.self)))
            operations[key] = UnsafePointer(made)
            return UnsafePointer(made)
        }
    }
}
