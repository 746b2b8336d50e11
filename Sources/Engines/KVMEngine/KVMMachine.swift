// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
public import GuestMemory
internal import HostSystem
public import MachineModel

/// A PIC that is not the kernel's (`kernel-irqchip=split`). Called on the first vCPU's thread.
public protocol ExternalInterruptSource: AnyObject, Sendable {
    /// It asks for an interrupt.
    var isRequesting: Bool { get }
    /// The vector of the interrupt that the processor takes now; nil where there is none any more.
    func acknowledge() -> UInt8?
    /// A processor ended the service of a level-triggered vector; on any vCPU's thread.
    func endOfInterrupt(vector: UInt8)
}

/// One machine of the kernel's: memory slots and the in-kernel PIC, I/O APIC, local APICs and PIT.
public final class KVMMachine: @unchecked Sendable {
    let system: KVMSystem
    /// The machine's file descriptor, which `system` owns.
    let file: Int32
    let memory: GuestMemory
    /// Where x86 keeps three pages for real mode on Intel processors: below the firmware, where nothing else lies.
    private static let identityMapAddress: UInt64 = 0xFEFF_C000
    private static let taskStateAddress: UInt = 0xFEFF_D000
    /// The PICs and the I/O APIC as the kernel made them, `kvm_irqchip` each.
    private(set) var controllersAtReset: [[UInt8]] = []
    let routes: RouteTable
    /// Inputs of the I/O APIC whose messages the kernel knows.
    private static let wireCount: UInt = 24
    /// The PIC where it is not the kernel's; set before the machine runs.
    public weak var externalInterrupts: (any ExternalInterruptSource)?
    /// The kernel notes which pages are written. Changed and used on the loop's thread or with the vCPUs parked.
    private var logsWrites = false

    /// Furnishes the machine of `system` with this memory, which is complete; once for each `system`.
    /// - Parameters:
    ///   - hasTimer: also the PIT in the kernel; without it the machine models its own.
    ///   - isSplit: the PIC and the I/O APIC are the machine's own too.
    public init(
        system: KVMSystem, memory: GuestMemory, hasTimer: Bool, isSplit: Bool = false
    ) throws(KVMUnusable) {
        self.system = system
        self.memory = memory
        file = system.machineFile.number
        let number = file
        routes = RouteTable(
            file: number, wires: isSplit ? [] : Self.standardRoutes, limit: system.extensionValue(KVM_CAP_IRQ_ROUTING))
        var identity = Self.identityMapAddress
        // The kernel copies the address from this frame.
        try check(unsafe roost_ioctl_pointer(number, ROOST_KVM_SET_IDENTITY_MAP_ADDR, &identity), "place its pages")
        try check(roost_ioctl(number, ROOST_KVM_SET_TSS_ADDR, Self.taskStateAddress), "place its pages")
        if isSplit {
            guard system.extensionValue(KVM_CAP_SPLIT_IRQCHIP) > 0 else {
                throw KVMUnusable("KVM on this host has no split interrupt controllers: leave kernel-irqchip=split out")
            }
            var capability = kvm_enable_cap()
            capability.cap = UInt32(KVM_CAP_SPLIT_IRQCHIP)
            capability.args.0 = UInt64(Self.wireCount)
            // Copied from this frame.
            try check(
                unsafe roost_ioctl_pointer(number, ROOST_KVM_ENABLE_CAP, &capability), "split its interrupt controllers"
            )
        } else {
            try check(roost_ioctl(number, ROOST_KVM_CREATE_IRQCHIP, 0), "make interrupt controllers")
        }
        if hasTimer {
            var configuration = kvm_pit_config()
            // Copied from this frame.
            try check(unsafe roost_ioctl_pointer(number, ROOST_KVM_CREATE_PIT2, &configuration), "make a timer")
        }
        for (slot, region) in memory.regions.enumerated() where region.isMapped {
            var map = unsafe kvm_userspace_memory_region(
                slot: UInt32(slot), flags: region.isReadOnly ? UInt32(ROOST_KVM_MEM_READONLY) : 0,
                guest_phys_addr: region.start, memory_size: region.count,
                userspace_addr: UInt64(UInt(bitPattern: region.base)))
            // The region stays mapped as long as `memory`, which this object keeps.
            try check(
                unsafe roost_ioctl_pointer(number, ROOST_KVM_SET_USER_MEMORY_REGION, &map),
                "map \(region.count >> 20) MiB of memory")
        }
        let chips = isSplit ? [] : [KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, KVM_IRQCHIP_IOAPIC]
        controllersAtReset = try chips.map {
            chip throws(KVMUnusable) in
            var image = [UInt8](repeating: 0, count: MemoryLayout<kvm_irqchip>.size)
            image[0] = UInt8(chip)
            // The kernel fills the struct, as large as the array, of the chip that its first word names.
            let status = unsafe image.withUnsafeMutableBytes {
                unsafe roost_ioctl_pointer(number, ROOST_KVM_GET_IRQCHIP, $0.baseAddress!)
            }
            try check(status, "read an interrupt controller")
            return image
        }
        memory.mapObserver = self
    }

    private func check(_ status: Int32, _ action: String) throws(KVMUnusable) {
        if status < 0 { throw KVMUnusable("KVM cannot \(action): \(Errno.current)") }
    }

    // MARK: interrupts

    /// Drives a global system interrupt's level. The machine lock is held.
    public func setGSI(_ gsi: Int, level: Bool) {
        var line = kvm_irq_level()
        line.irq = UInt32(gsi)
        line.level = level ? 1 : 0
        // Copied from this frame. It fails only for a number that has no route, which then has no wire either.
        _ = unsafe roost_ioctl_pointer(file, ROOST_KVM_IRQ_LINE, &line)
    }

    /// Leads an input of an I/O APIC that is not the kernel's to a message. Any thread.
    public func setRoute(pin: Int, address: UInt64, data: UInt32) {
        // A table that the kernel refuses leaves the input as it was; its interrupts are sent as messages all the same.
        try? routes.setWire(pin, address: address, data: data)
    }

    /// Puts the PICs and the I/O APIC back into the state of power-on.
    public func resetInterruptControllers() {
        for image in controllersAtReset {
            var image = image
            // Copied from the array, which is as large as the struct. The kernel takes back what it gave.
            _ = unsafe image.withUnsafeMutableBytes {
                unsafe roost_ioctl_pointer(file, ROOST_KVM_SET_IRQCHIP, $0.baseAddress!)
            }
        }
    }

    /// GSI 0 at I/O APIC pin 2 as the MADT says, all others at their own pin, 0...15 at the PIC as well.
    private static var standardRoutes: [kvm_irq_routing_entry] {
        var routes: [kvm_irq_routing_entry] = []
        func add(_ gsi: UInt32, chip: UInt32, pin: UInt32) {
            var entry = kvm_irq_routing_entry()
            entry.gsi = gsi
            entry.type = UInt32(KVM_IRQ_ROUTING_IRQCHIP)
            unsafe entry.u.irqchip.irqchip = chip
            unsafe entry.u.irqchip.pin = pin
            routes.append(entry)
        }
        for gsi in UInt32(0)..<16 where gsi != 2 {
            add(gsi, chip: gsi < 8 ? UInt32(KVM_IRQCHIP_PIC_MASTER) : UInt32(KVM_IRQCHIP_PIC_SLAVE), pin: gsi % 8)
        }
        for gsi in UInt32(0)..<24 where gsi != 2 {
            add(gsi, chip: UInt32(KVM_IRQCHIP_IOAPIC), pin: gsi == 0 ? 2 : gsi)
        }
        return routes
    }

    /// Makes the routes known; once before the machine runs.
    public func commitRoutes() throws(KVMUnusable) {
        do throws(Errno) { try routes.commit() } catch { throw KVMUnusable("KVM cannot route interrupts: \(error)") }
    }

    // MARK: dirty pages

    /// Starts or stops logging of written pages.
    public func setDirtyLogging(_ on: Bool) throws(KVMUnusable) {
        logsWrites = on
        for slot in memory.regions.indices where isLogged(slot) {
            var map = slotMap(slot)
            // As in init.
            try check(
                unsafe roost_ioctl_pointer(file, ROOST_KVM_SET_USER_MEMORY_REGION, &map), "log dirty pages")
        }
    }

    /// The guest can write to a region, where it is mapped: the kernel keeps no log of others.
    private func isLogged(_ slot: Int) -> Bool {
        let region = memory.region(index: slot)
        return !region.isReadOnly && region.isMapped
    }

    /// What the kernel is told of a region.
    private func slotMap(_ slot: Int) -> kvm_userspace_memory_region {
        let region = memory.region(index: slot)
        let log = logsWrites ? UInt32(ROOST_KVM_MEM_LOG_DIRTY_PAGES) : 0
        // The address alone is taken.
        return unsafe kvm_userspace_memory_region(
            slot: UInt32(slot), flags: region.isReadOnly ? UInt32(ROOST_KVM_MEM_READONLY) : log,
            guest_phys_addr: region.start, memory_size: region.count,
            userspace_addr: UInt64(UInt(bitPattern: region.base)))
    }

    /// Moves the kernel's log into the regions' page flags and clears it.
    public func collectDirtyPages() throws(KVMUnusable) {
        for slot in memory.regions.indices where isLogged(slot) { try collectDirtyPages(of: slot) }
    }

    private func collectDirtyPages(of slot: Int) throws(KVMUnusable) {
        let region = memory.region(index: slot)
        let pages = Int(region.count / GuestMemory.pageSize)
        var bitmap = [UInt64](repeating: 0, count: (pages + 63) / 64)
        // One bit a page, rounded up to 64 bits: the size that the kernel writes.
        let status = unsafe bitmap.withUnsafeMutableBytes { bits in
            var log = unsafe kvm_dirty_log()
            unsafe log.slot = UInt32(slot)
            unsafe log.dirty_bitmap = bits.baseAddress
            return unsafe roost_ioctl_pointer(file, ROOST_KVM_GET_DIRTY_LOG, &log)
        }
        try check(status, "read its log of dirty pages")
        for (word, bits) in bitmap.enumerated() where bits != 0 {
            var rest = bits
            while rest != 0 {
                let page = word * 64 + rest.trailingZeroBitCount
                rest &= rest &- 1
                if page < pages { region.setDirty(page: page) }
            }
        }
    }
}

extension KVMMachine: MemoryMapObserver {
    /// The kernel takes a slot away and makes it anew; it tells its processors by itself. What it has logged of the slot
    /// goes with it, so that a region that moves while the log is kept counts as written.
    public func memoryRegionMoved(_ index: Int, of memory: GuestMemory) {
        let region = memory.region(index: index)
        var map = slotMap(index)
        map.guest_phys_addr = 0
        map.memory_size = 0
        // As in init. A slot that was not there cannot be taken away, which is as good.
        _ = unsafe roost_ioctl_pointer(file, ROOST_KVM_SET_USER_MEMORY_REGION, &map)
        if logsWrites, !region.isReadOnly {
            for page in 0..<Int(region.count / GuestMemory.pageSize) {
                region.setDirty(page: page)
            }
        }
        guard region.isMapped else { return }
        map = slotMap(index)
        // As in init. Where the kernel refuses the place, accesses go to the device's registers behind it.
        _ = unsafe roost_ioctl_pointer(file, ROOST_KVM_SET_USER_MEMORY_REGION, &map)
    }
}

extension KVMMachine: MessageInterruptSink {
    /// Injects one message (KVM_SIGNAL_MSI). Callable on any thread.
    public func deliver(address: UInt64, data: UInt32) {
        var message = kvm_msi()
        message.address_lo = UInt32(truncatingIfNeeded: address)
        message.address_hi = UInt32(truncatingIfNeeded: address >> 32)
        message.data = data
        // Copied from this frame. A message that no processor takes is lost, as on the bus.
        _ = unsafe roost_ioctl_pointer(file, ROOST_KVM_SIGNAL_MSI, &message)
    }
}
