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

    @Test func memoryWithoutASizeIsAsLargeAsItsObject() throws {
        let object = "-object memory-backend-ram,id=m,size=96M -machine memory-backend=m"
        #expect(try spec(object).memory.bytes == 96 << 20)
        #expect(try spec(object + " -m 96").memory.bytes == 96 << 20)
        #expect(failure(object + " -m 128").contains("must match"))
        #expect(try spec("-machine memory-backend=m -object memory-backend-memfd,id=m,size=1G").memory.bytes == 1 << 30)
    }

    @Test func lockedMemory() throws {
        #expect(try spec("-overcommit mem-lock=on").memory.isLocked)
        #expect(try !spec("-overcommit mem-lock=off").memory.isLocked)
        #expect(try !spec("").memory.isLocked)
        #expect(failure("-overcommit cpu-pm=on").contains("cpu-pm=on"))
    }

    @Test func ticksThatALateHostMissed() throws {
        #expect(try spec("").board.makesUpLostTicks)
        #expect(try spec("-global kvm-pit.lost_tick_policy=delay").board.makesUpLostTicks)
        #expect(try !spec("-global kvm-pit.lost_tick_policy=discard").board.makesUpLostTicks)
        #expect(
            try !spec("-global driver=kvm-pit,property=lost_tick_policy,value=discard").board.makesUpLostTicks)
    }

    @Test func whereTheStateComesFrom() throws {
        #expect(try spec("-loadvm before").lifecycle.snapshot == "before")
        #expect(try spec("").lifecycle.snapshot == nil)
        for address in ["defer", "tcp:[::]:4444", "unix:/a:b", "exec:cat /x", "fd:3", "file:/y"] {
            #expect(try spec(["-incoming", address]).lifecycle.incoming == address)
        }
        #expect(failure("-incoming rdma:h:1").contains("unknown migration protocol: rdma:h:1"))
    }

    @Test func aBoardWithoutItsDiskController() throws {
        #expect(try spec("-M q35").board.sata)
        #expect(try !spec("-M q35,sata=off").board.sata)
    }

    @Test func kernelInterruptControllersBelongToKVM() throws {
        #expect(try spec("-accel kvm,kernel-irqchip=split").board.kernelIRQChip == .split)
        #expect(try spec("-M q35,kernel-irqchip=off").board.kernelIRQChip == .off)
        #expect(failure("-accel tcg,kernel-irqchip=on").contains("'tcg-accel.kernel-irqchip' not found"))
    }

    @Test func enlightenmentsAreRefusedByName() throws {
        for text in ["hv_relaxed", "hv-spinlocks=0x1fff", "+hv-time", "hv_vendor_id=x", "hv-passthrough=on"] {
            let problem = failure("-cpu qemu64,\(text)")
            #expect(problem.contains("'hv-") && problem.contains("Hyper-V"), "\(problem)")
        }
        #expect(try spec("-cpu qemu64,hv-relaxed=off,-hv-time").processor.model == "qemu64")
    }

    @Test func listsThatAreAskedFor() throws {
        let cards = try printed("-nic user,model=help")
        #expect(cards.contains("e1000e\n") && cards.contains("virtio-net-pci\n"))
        #expect(try printed("-net nic,model=help") == cards)
        #expect(try printed("-L help").contains("/usr/share/qemu\n"))
    }

    @Test func aServerMayLetTheHostChooseItsPort() throws {
        let device = try spec("-chardev socket,id=a,host=127.0.0.1,port=0,server=on,wait=off").characterDevices
        #expect(device.contains { $0.identifier == "a" })
        #expect(failure("-chardev socket,id=a,host=127.0.0.1,port=0").contains("port '0' is not valid"))
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
