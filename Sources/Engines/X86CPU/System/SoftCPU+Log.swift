// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics

// What -d shows of the processor's work: `int` and `in_asm`.
extension SoftCPU {
    /// One line for an exception or interrupt about to be delivered.
    func logDelivery(_ event: PendingEvent) {
        guard Log.shared.isEnabled(.interrupts) else { return }
        let cs = state.segment(SegmentRegister.cs).pointee, ss = state.segment(SegmentRegister.ss).pointee
        var line = "CPU \(index): v=\(hex(UInt64(event.vector), 2)) e=\(hex(UInt64(event.errorCode ?? 0), 4)) "
        line += "i=\(event.origin == .software ? 1 : 0) cpl=\(state.pointee.cpl) "
        line += "IP=\(hex(UInt64(cs.selector), 4)):\(hex(event.returnIP, 16)) "
        line += "SP=\(hex(UInt64(ss.selector), 4)):\(hex(state[register: Register.rsp], 16)) "
        line += "EAX=\(hex(state[register: Register.rax], 16))"
        if event.vector == Vector.pageFault, event.origin == .exception { line += " CR2=\(hex(state.pointee.cr2, 16))" }
        Log.shared.write(.interrupts, line)
    }

    /// The instructions of a block that was decoded just now: address, bytes, mnemonic.
    func logDecoded(_ line: DecodedLine) {
        let bytes = line.bytes.map { hex(UInt64($0), 2) }.joined(separator: " ")
        let filler = String(repeating: " ", count: max(1, 46 - bytes.utf8.count))
        Log.shared.write(.guestCode, "CPU \(index): 0x\(hex(line.linear, 8)):  \(bytes)\(filler)\(line.name)")
    }

    /// One decoded instruction for the log.
    struct DecodedLine {
        var linear: UInt64
        var bytes: [UInt8]
        var name: String
    }

    private func hex(_ value: UInt64, _ width: Int) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }
}
