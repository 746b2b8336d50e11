// SPDX-License-Identifier: Apache-2.0

internal import CPUInterface
internal import MachineRuntime

extension DebuggerStub {
    private static let invalid = "E22", badAddress = "E14"
    /// Half of the longest packet: each byte takes two digits.
    private static let mostBytes = DebuggerPacketReader.longest / 2

    /// The answer to a packet; empty for one that is not known, nil when it comes later.
    func answer(_ body: [UInt8]) -> String? {
        guard let first = body.first else { return "" }
        if first == UInt8(ascii: "X") { return writeBinary(body) }
        let text = String(decoding: body, as: UTF8.self)
        let rest = text.dropFirst()
        switch first {
        case UInt8(ascii: "?"): return stopReply()
        case UInt8(ascii: "g"): return readAllRegisters()
        case UInt8(ascii: "G"): return writeAllRegisters(rest)
        case UInt8(ascii: "p"): return readRegister(rest)
        case UInt8(ascii: "P"): return writeRegister(rest)
        case UInt8(ascii: "m"): return readMemory(rest)
        case UInt8(ascii: "M"): return writeMemory(rest)
        case UInt8(ascii: "c"), UInt8(ascii: "s"): return resume(rest, isStep: first == UInt8(ascii: "s"))
        case UInt8(ascii: "C"), UInt8(ascii: "S"):
            // The signal is not delivered: a machine has none.
            return resume(rest.split(separator: ";").dropFirst().first ?? "", isStep: first == UInt8(ascii: "S"))
        case UInt8(ascii: "H"): return select(rest)
        case UInt8(ascii: "T"): return thread(rest) == nil ? Self.invalid : "OK"
        case UInt8(ascii: "Z"), UInt8(ascii: "z"): return point(rest, isInsertion: first == UInt8(ascii: "Z"))
        case UInt8(ascii: "v"): return extended(text)
        case UInt8(ascii: "q"), UInt8(ascii: "Q"): return query(text)
        case UInt8(ascii: "D"):
            reply("OK")
            detach()
            return nil
        case UInt8(ascii: "k"):
            runner.requestExit(status: 0, cause: .hostQMPQuit)
            return nil
        default: return ""
        }
    }

    // MARK: registers

    private func readAllRegisters() -> String {
        guard let registers = processor?.registers else { return Self.invalid }
        return DebuggerPacketReader.text(
            DebuggerRegisters.all.indices.flatMap { DebuggerRegisters.read($0, registers) ?? [] })
    }

    private func writeAllRegisters(_ text: Substring) -> String {
        guard let processor, let bytes = DebuggerPacketReader.bytes(text) else { return Self.invalid }
        var registers = processor.registers
        var place = 0
        for (number, register) in DebuggerRegisters.all.enumerated() {
            let end = place + register.bits / 8
            guard end <= bytes.count else { break }
            guard DebuggerRegisters.write(number, Array(bytes[place..<end]), to: &registers) else {
                return Self.invalid
            }
            place = end
        }
        processor.registers = registers
        return "OK"
    }

    private func readRegister(_ text: Substring) -> String {
        guard let processor, let number = Int(text, radix: 16),
            let bytes = DebuggerRegisters.read(number, processor.registers)
        else { return Self.invalid }
        return DebuggerPacketReader.text(bytes)
    }

    private func writeRegister(_ text: Substring) -> String {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let processor, let number = Int(parts[0], radix: 16),
            let bytes = DebuggerPacketReader.bytes(parts[1])
        else { return Self.invalid }
        var registers = processor.registers
        guard DebuggerRegisters.write(number, bytes, to: &registers) else { return Self.invalid }
        processor.registers = registers
        return "OK"
    }

    // MARK: memory

    /// `address,count`, and what stands behind a colon.
    private func range(_ text: Substring) -> (address: UInt64, count: Int, data: Substring)? {
        let halves = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let numbers = halves[0].split(separator: ",", omittingEmptySubsequences: false)
        guard numbers.count == 2, let address = UInt64(numbers[0], radix: 16),
            let count = UInt64(numbers[1], radix: 16),
            count <= UInt64(Self.mostBytes)
        else { return nil }
        return (address, Int(count), halves.count == 2 ? halves[1] : "")
    }

    private func readMemory(_ text: Substring) -> String {
        guard let range = range(text), let processor else { return Self.invalid }
        let inspector = MemoryInspector(machine)
        let bytes =
            usesPhysicalAddresses
            ? inspector.readPhysical(range.address, count: range.count)
            : inspector.readLinear(range.address, count: range.count, on: processor)
        return bytes.map { DebuggerPacketReader.text($0) } ?? Self.badAddress
    }

    private func writeMemory(_ text: Substring) -> String {
        guard let range = range(text), let bytes = DebuggerPacketReader.bytes(range.data), bytes.count == range.count
        else { return Self.invalid }
        return write(bytes, at: range.address)
    }

    private func writeBinary(_ body: [UInt8]) -> String {
        guard let colon = body.firstIndex(of: UInt8(ascii: ":")),
            let range = range(String(decoding: body[1..<colon], as: UTF8.self)[...]),
            body.count - colon - 1 == range.count
        else { return Self.invalid }
        return write(Array(body[(colon + 1)...]), at: range.address)
    }

    private func write(_ bytes: [UInt8], at address: UInt64) -> String {
        guard let processor else { return Self.invalid }
        let inspector = MemoryInspector(machine)
        let isWritten =
            usesPhysicalAddresses
            ? inspector.writePhysical(address, bytes) : inspector.writeLinear(address, bytes, on: processor)
        return isWritten ? "OK" : Self.badAddress
    }

    // MARK: threads and running

    /// The processor of a thread number; 0 and -1 mean the current one.
    private func thread(_ text: Substring) -> Int? {
        if text == "-1" || text == "0" || text.isEmpty { return current }
        // With `p` in front a process number comes first; there is one process.
        let number = text.hasPrefix("p") ? text.split(separator: ".").last ?? "" : text
        if number == "-1" || number == "0" { return current }
        guard let value = Int(number, radix: 16) else { return nil }
        return runner.processor(at: value &- 1)?.index
    }

    private func select(_ text: Substring) -> String {
        guard let operation = text.first, operation == "g" || operation == "c", let index = thread(text.dropFirst())
        else { return Self.invalid }
        if operation == "g" { current = index }
        return "OK"
    }

    private func resume(_ text: Substring, isStep: Bool) -> String? {
        guard let processor else { return Self.invalid }
        if !text.isEmpty {
            guard let address = UInt64(text, radix: 16) else { return Self.invalid }
            processor.registers.rip = address
        }
        return run(stepping: isStep ? [processor.index] : [], only: isStep ? processor.index : nil)
    }

    private func extended(_ text: String) -> String? {
        if text == "vCont?" { return "vCont;c;C;s;S;t" }
        if text.hasPrefix("vCont;") { return continueThreads(text.dropFirst("vCont;".utf8.count)) }
        if text.hasPrefix("vAttach;") { return stopReply() }
        if text.hasPrefix("vKill;") {
            reply("OK")
            runner.requestExit(status: 0, cause: .hostQMPQuit)
            return nil
        }
        return ""
    }

    /// `vCont;s:1;c`: for each thread the first action that names it counts.
    private func continueThreads(_ text: Substring) -> String? {
        var actions: [Int: Character] = [:]
        for part in text.split(separator: ";", omittingEmptySubsequences: false) {
            let sides = part.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard let letter = sides[0].first, "cCsSt".contains(letter) else { return Self.invalid }
            let isAll = sides.count == 1 || sides[1] == "-1" || sides[1].hasSuffix(".-1")
            let indices: [Int]
            if isAll {
                indices = runner.processors.map(\.index)
            } else {
                guard let index = thread(sides[1]) else { return Self.invalid }
                indices = [index]
            }
            for index in indices where actions[index] == nil { actions[index] = Character(letter.lowercased()) }
        }
        let stepping = Set(actions.filter { $0.value == "s" }.keys)
        let running = actions.filter { $0.value != "t" }.keys
        guard let first = running.first else { return stopReply() }
        if running.count == runner.processors.count { return run(stepping: stepping, only: nil) }
        guard running.count == 1 else { return Self.invalid }
        return run(stepping: stepping, only: first)
    }

    // MARK: breakpoints

    /// `type,address,kind`: 0 and 1 breakpoints, 2 write, 3 read, 4 access watchpoints.
    private func point(_ text: Substring, isInsertion: Bool) -> String {
        let parts = (text.split(separator: ";").first ?? "").split(separator: ",", omittingEmptySubsequences: false)
        guard parts.count == 3, let type = Int(parts[0]), let address = UInt64(parts[1], radix: 16),
            let kind = Int(parts[2], radix: 16)
        else { return Self.invalid }
        switch type {
        case 0, 1:
            if isInsertion { points.breakpoints.insert(address) } else { points.breakpoints.remove(address) }
        case 2, 3, 4:
            guard (1...8).contains(kind) else { return Self.invalid }
            let watch = DebugPoints.Watch(address: address, count: kind, onRead: type != 2, onWrite: type != 3)
            points.watchpoints.removeAll { $0 == watch }
            watchKinds[address] = isInsertion ? type : nil
            if isInsertion { points.watchpoints.append(watch) }
        default: return ""
        }
        applyPoints()
        return "OK"
    }

    // MARK: queries

    private func query(_ text: String) -> String? {
        if text.hasPrefix("qSupported") {
            return "PacketSize=\(String(DebuggerPacketReader.longest, radix: 16));qXfer:features:read+;vContSupported+;"
                + "QStartNoAckMode+;multiprocess-"
        }
        if text.hasPrefix("qXfer:features:read:") { return description(text) }
        if text == "qfThreadInfo" {
            return "m" + runner.processors.map { hex($0.index + 1, 2) }.joined(separator: ",")
        }
        if text == "qsThreadInfo" { return "l" }
        if text == "qC" { return "QC\(hex(current + 1, 2))" }
        if text.hasPrefix("qAttached") { return "1" }
        if text.hasPrefix("qThreadExtraInfo,") {
            guard let index = thread(text.dropFirst("qThreadExtraInfo,".utf8.count)),
                let processor = runner.processor(at: index)
            else { return Self.invalid }
            let state = processor.isHalted ? "halted " : "running"
            return DebuggerPacketReader.text("CPU#\(index) [\(state)]".utf8)
        }
        if text.hasPrefix("qRcmd,") { return monitorCommand(text.dropFirst("qRcmd,".utf8.count)) }
        if text == "qqemu.PhyMemMode" { return usesPhysicalAddresses ? "1" : "0" }
        if text.hasPrefix("Qqemu.PhyMemMode:") {
            usesPhysicalAddresses = text.hasSuffix(":1")
            return "OK"
        }
        return ""
    }

    private func description(_ text: String) -> String {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 5, parts[3] == "target.xml" else { return "E00" }
        let numbers = parts[4].split(separator: ",").compactMap { Int($0, radix: 16) }
        let document = Array(DebuggerRegisters.targetDescription.utf8)
        guard numbers.count == 2, numbers[0] >= 0, numbers[0] <= document.count, numbers[1] > 0 else { return "E00" }
        let end = numbers[0] + min(numbers[1], Self.mostBytes, document.count - numbers[0])
        return (end == document.count ? "l" : "m") + String(decoding: document[numbers[0]..<end], as: UTF8.self)
    }

    private func monitorCommand(_ text: Substring) -> String {
        guard let bytes = DebuggerPacketReader.bytes(text) else { return Self.invalid }
        monitor.currentProcessor = current
        let output = Array(monitor.run(String(decoding: bytes, as: UTF8.self)).utf8)
        let chunk = Self.mostBytes - 1
        for start in stride(from: 0, to: output.count, by: chunk) {
            reply("O" + DebuggerPacketReader.text(output[start..<min(start + chunk, output.count)]))
        }
        return "OK"
    }
}
