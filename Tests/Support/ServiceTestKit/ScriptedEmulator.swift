// SPDX-License-Identifier: Apache-2.0

public import HostInventory
internal import StateStore

/// An emulator that says what it has and runs no machine.
public enum ScriptedEmulator {
    private static let script = """
        #!/bin/sh
        case "$1" in
        --version) echo "QEMU emulator version 7.2.0";;
        -machine) echo "Supported machines are:"; echo "pc  Standard PC (alias of pc-i440fx-7.2)"; echo "pc-i440fx-7.2 x"
          echo "q35 Q35 (alias of pc-q35-7.2)"; echo "pc-q35-7.2 x";;
        -cpu) echo "x86 qemu64 x";;
        -device) echo 'name "virtio-blk-pci"';;
        *) echo "no machine runs here" >&2; exit 1;;
        esac
        """

    /// Writes the program.
    public static func install(at path: String) throws { try StateFiles.write(path, script, mode: 0o700) }

    /// What a management service learns of it. A process that another test starts just then may still have the program
    /// open for writing, so it is asked again.
    public static func facts(_ path: String) throws -> EmulatorFacts {
        for _ in 0..<1000 {
            if let facts = try? EmulatorFacts(probing: path) { return facts }
        }
        return try EmulatorFacts(probing: path)
    }
}
