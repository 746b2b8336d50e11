// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import X86CPU

/// What `-d op` and `-d out_asm` show of a block that was translated just now.
enum BlockLog {
    /// - Parameters:
    ///   - host: where `code` is run.
    ///   - cold: what stands out of line.
    static func write(
        _ block: BlockTranslator, host: UnsafeRawPointer, code: UnsafeRawBufferPointer, cold: UnsafeRawBufferPointer
    ) {
        let physical = block.page << 12
        if Log.shared.isEnabled(.operations) {
            var text = "OP: block at physical 0x\(String(physical | UInt64(block.start), radix: 16))\n"
            for item in block.body {
                let name = instructionName(ofKind: Int(item.instruction.counter))
                text += " ---- 0x\(String(physical | UInt64(item.offset), radix: 16)) \(name): \(item.kind)"
                text += item.flagsAreLive || !item.effect.contains(.writes) ? "\n" : ", flags dead\n"
            }
            Log.shared.write(.operations, text)
        }
        if Log.shared.isEnabled(.hostCode) {
            Log.shared.write(
                .hostCode,
                "OUT: [size=\(code.count + cold.count)]\n0x\(String(UInt(bitPattern: host), radix: 16)):  OBJD-H: "
                    + "\(digits(code))\nout of line:  OBJD-H: \(digits(cold))\n")
        }
    }

    private static func digits(_ code: UnsafeRawBufferPointer) -> String {
        code.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
