// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import GuestMemory
internal import MachineModel

/// Finds or decodes the block at the current instruction pointer.
struct BlockBuilder {
    private let state: State
    private let cpu: SoftCPU
    private let mode: CodeMode
    private let features: InstructionFeatures
    private static let pageSize = Int(GuestMemory.pageSize)

    init(_ state: State, _ cpu: SoftCPU, _ mode: CodeMode) {
        self.state = state
        self.cpu = cpu
        self.mode = mode
        features = cpu.features.instructions
    }

    /// - Parameter linear: CS.base + rip.
    /// - Throws: the faults of an instruction fetch.
    func block(at linear: UInt64) throws(CPUFault) -> UnsafeMutablePointer<Block> {
        let physical = try state.translateFetch(linear)
        if let known = cpu.blocks.find(physical: physical, mode: mode),
            let block = try atSecondPage(of: known, linear)
        {
            remember(block, linear)
            return block
        }
        guard let region = cpu.environment.memory.region(at: physical) else {
            return try scratchBlock(at: linear, limit: .max)
        }
        let inPage = Int(physical) & (Self.pageSize - 1)
        let host = UnsafePointer((region.base + Int(physical &- region.start)).assumingMemoryBound(to: UInt8.self))
        let page = physical / GuestMemory.pageSize
        let available = Self.pageSize - inPage
        // Marked before the bytes are read, so that no change after that goes unseen.
        cpu.codePages.mark(page: page, offset: inPage, count: min(available, 64), by: cpu)
        let block = cpu.blocks.room(forInstructions: Block.maximumInstructions, isScratch: false)
        block.initialize(to: Block(physical: physical, mode: mode))
        decode(into: block, host, available, page: page, inPage: inPage)
        if block.pointee.count == 0 { try decodeAcross(into: block, linear, host, available) }
        finish(block)
        if Log.shared.isEnabled(.guestCode) { log(block, at: linear, host, available) }
        cpu.blocks.keep(block)
        remember(block, linear)
        return block
    }

    /// A block that crosses pages is the right one where its second page is the one that follows now.
    private func atSecondPage(
        of block: UnsafeMutablePointer<Block>, _ linear: UInt64
    ) throws(CPUFault) -> UnsafeMutablePointer<Block>? {
        guard block.pointee.secondPage != Block.noPage else { return block }
        let pageSize = GuestMemory.pageSize
        let second = try state.translateFetch(state.codeLinear((linear | (pageSize &- 1)) &+ 1))
        return cpu.blocks.find(like: block, secondPage: second / pageSize)
    }

    private func remember(_ block: UnsafeMutablePointer<Block>, _ linear: UInt64) {
        state.pointee.jumpCache[JumpCache.index(linear)] =
            JumpCacheEntry(linear: linear, key: state.pointee.fetchKey, block: block)
    }

    /// Tells of a block's instructions as far as they lie in its first page.
    private func log(
        _ block: UnsafeMutablePointer<Block>, at linear: UInt64, _ host: UnsafePointer<UInt8>, _ available: Int
    ) {
        for place in 0..<Int(block.pointee.count) {
            let instruction = block.instructions[place]
            let offset = Int(instruction.offset), length = Int(instruction.length)
            guard offset < available else { return }
            let bytes = (offset..<min(offset + length, available)).map { host[$0] }
            var decoder = InstructionDecoder(
                bytes: host + offset, available: available - offset, mode: mode, offset: instruction.offset)
            let result = decoder.decode()
            let name = result == .complete ? decoder.row.map { OpcodeTable.shared.rows[$0].name } : "(page end)"
            cpu.logDecoded(
                SoftCPU.DecodedLine(linear: linear &+ UInt64(offset), bytes: bytes, name: name ?? "(undefined)"))
        }
    }

    /// Decodes instructions that lie in one page.
    private func decode(
        into block: UnsafeMutablePointer<Block>, _ host: UnsafePointer<UInt8>, _ available: Int, page: UInt64,
        inPage: Int
    ) {
        let limit = mode.isSingle ? 1 : Block.maximumInstructions
        var offset = 0
        var marked = min(available, 64)
        while Int(block.pointee.count) < limit, offset < available {
            if offset + InstructionDecoder.maximumLength > marked, marked < available {
                let count = min(64, available - marked)
                cpu.codePages.mark(page: page, offset: inPage + marked, count: count, by: cpu)
                marked += count
            }
            var decoder = InstructionDecoder(
                bytes: host + offset, available: available - offset, mode: mode, offset: UInt16(offset),
                features: features)
            let result = decoder.decode()
            if result == .needsMore { return }
            offset += append(decoder, result, to: block)
            if result == .tooLong || decoder.row == nil || decoder.rowFlags.contains(.endsBlock) { return }
        }
    }

    /// - Returns: the instruction's length.
    private func append(
        _ decoder: InstructionDecoder, _ result: InstructionDecoder.Result, to block: UnsafeMutablePointer<Block>
    ) -> Int {
        var instruction = decoder.instruction
        if result == .tooLong {
            instruction.handler = tooLongHandler
            instruction.length = UInt8(InstructionDecoder.maximumLength)
        }
        let count = Int(block.pointee.count)
        instruction.ordinal = UInt8(count)
        (block.instructions + count).initialize(to: instruction)
        block.pointee.count += 1
        block.pointee.byteCount += Int32(instruction.length)
        return Int(instruction.length)
    }

    /// Adds the pseudo instruction behind the last one that goes on to the next block.
    private func finish(_ block: UnsafeMutablePointer<Block>) {
        var last = Instruction(handler: resumeHandler)
        last.offset = UInt16(block.pointee.byteCount)
        last.ordinal = UInt8(block.pointee.count)
        (block.instructions + Int(block.pointee.count)).initialize(to: last)
    }

    /// Decodes one instruction that begins in one page and ends in the next.
    private func decodeAcross(
        into block: UnsafeMutablePointer<Block>, _ linear: UInt64, _ host: UnsafePointer<UInt8>, _ available: Int
    ) throws(CPUFault) {
        var window = FetchWindow()
        for index in 0..<available { window.append(host[index]) }
        let second = state.codeLinear(linear &+ UInt64(available))
        let physical = try state.translateFetch(second)
        let wanted = InstructionDecoder.maximumLength - available
        let page = physical / GuestMemory.pageSize
        cpu.codePages.mark(page: page, offset: 0, count: wanted, by: cpu)
        block.pointee.secondPage = page
        for index in 0..<wanted { window.append(cpu.fetchByte(physical &+ UInt64(index))) }
        decodeOne(window, into: block)
    }

    private func decodeOne(_ window: borrowing FetchWindow, into block: UnsafeMutablePointer<Block>) {
        window.withBytes { bytes, count in
            var decoder = InstructionDecoder(bytes: bytes, available: count, mode: mode, offset: 0, features: features)
            let result = decoder.decode()
            _ = append(decoder, result, to: block)
        }
    }

    /// Decodes one instruction that is not kept.
    /// - Parameter limit: bytes that CS's limit leaves.
    /// - Throws: also #GP(0) where the instruction runs over the limit.
    func scratchBlock(at linear: UInt64, limit: UInt64) throws(CPUFault) -> UnsafeMutablePointer<Block> {
        var window = FetchWindow()
        let block = cpu.blocks.room(forInstructions: 1, isScratch: true)
        while true {
            guard window.count < limit else { throw state.generalProtection() }
            window.append(cpu.fetchByte(try state.translateFetch(state.codeLinear(linear &+ UInt64(window.count)))))
            let isDone = window.withBytes { bytes, count in
                var decoder = InstructionDecoder(
                    bytes: bytes, available: count, mode: mode, offset: 0, features: features)
                let result = decoder.decode()
                if result == .needsMore { return false }
                block.initialize(to: Block(physical: 0, mode: mode))
                _ = append(decoder, result, to: block)
                return true
            }
            if isDone { break }
        }
        finish(block)
        return block
    }
}

/// The bytes of one instruction that do not lie together in host memory.
struct FetchWindow: ~Copyable {
    private var bytes = InlineArray<16, UInt8>(repeating: 0)
    private(set) var count = 0

    mutating func append(_ byte: UInt8) {
        guard count < InstructionDecoder.maximumLength else { return }
        bytes[count] = byte
        count += 1
    }

    func withBytes<Result>(_ body: (UnsafePointer<UInt8>, Int) -> Result) -> Result {
        withUnsafePointer(to: bytes) {
            body(UnsafeRawPointer($0).assumingMemoryBound(to: UInt8.self), count)
        }
    }
}

extension SoftCPU {
    /// One byte of code by its physical address, from memory or from a device.
    func fetchByte(_ physical: UInt64) -> UInt8 {
        if let host = environment.memory.hostPointer(at: physical, count: 1, writable: false) {
            return host.load(as: UInt8.self)
        }
        return UInt8(truncatingIfNeeded: environment.devices.read(physical, size: 1))
    }
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// Cuts a linear address of code to the width of linear addresses.
    @inline(__always)
    func codeLinear(_ linear: UInt64) -> UInt64 { pointee.codeWidth == .bits64 ? linear : linear & 0xFFFF_FFFF }
}
