// SPDX-License-Identifier: Apache-2.0

import MachineSpec
import Testing

@Suite struct ProcessFlagTests {
    @Test func theSystemCallFilter() throws {
        #expect(try spec("-sandbox off").process.sandbox == nil)
        #expect(try spec("").process.sandbox == nil)
        var wanted = SandboxSpec()
        #expect(try spec("-sandbox on").process.sandbox == wanted)
        wanted.deniesPrivileges = true
        wanted.deniesSpawning = true
        wanted.deniesResourceControl = true
        // As libvirt types it.
        #expect(
            try spec("-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny").process.sandbox
                == wanted)
        #expect(try spec("-sandbox on,obsolete=allow").process.sandbox?.allowsObsolete == true)
        #expect(try spec("-sandbox on,elevateprivileges=children").process.sandbox?.deniesPrivileges == true)
    }

    @Test func memoryOfTheBoard() throws {
        let board = try spec("-M q35,max-ram-below-4g=1G,mem-merge=off,dump-guest-core=off").board
        #expect(board.maximumLowMemory == 1 << 30 && !board.mergesMemory && !board.dumpsGuestMemory)
        #expect(try spec("-M pc").board.mergesMemory)
    }

    @Test func tablesOfManagement() throws {
        let firmware = try spec(
            "-smbios type=2,product=board -smbios type=4,sock_pfx=Socket,max-speed=3000 -smbios type=17,loc_pfx=Slot "
                + "-smbios type=0,release=4.2,uefi=on -smbios type=11,value=a -smbios type=11,value=b"
        ).firmware
        #expect(firmware.smbios[2] == ["product": "board"])
        #expect(firmware.smbios[4] == ["sock_pfx": "Socket", "max-speed": "3000"])
        #expect(firmware.smbios[17] == ["loc_pfx": "Slot"])
        #expect(firmware.smbios[0] == ["release": "4.2", "uefi": "on"])
        #expect(firmware.oemStrings == ["a", "b"])
    }

    @Test func nographicInTheBackgroundNeedsItsPortsElsewhere() throws {
        #expect(failure("-nographic -daemonize").contains("-nographic cannot be used with -daemonize"))
        #expect(try spec("-nodefaults -nographic -daemonize").process.daemonizes)
    }

    @Test func machineOptionsAreListed() {
        let options = MachineArguments.machineOptions
        #expect(options.contains { $0.name == "hpet" && $0.type == "boolean" })
        #expect(options.contains { $0.name == "max-ram-below-4g" && $0.type == "size" })
    }
}
