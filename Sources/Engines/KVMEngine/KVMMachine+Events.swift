// SPDX-License-Identifier: Apache-2.0

internal import CLinux
public import HostSystem
public import MachineModel

/// The kernel's table of interrupt routes (KVM_SET_GSI_ROUTING), which is replaced as a whole.
final class RouteTable: @unchecked Sendable {
    private let file: Int32
    /// Numbers below it are the wires of the board.
    private static let firstMessage: UInt32 = 24
    private let limit: UInt32
    // Guards what follows; devices change their messages on any thread.
    private let lock = Lock()
    private var wires: [kvm_irq_routing_entry]
    private var messages: [UInt32: (address: UInt64, data: UInt32)] = [:]
    private var used: Set<UInt32> = []

    /// - Parameter limit: as many routes as the kernel takes.
    init(file: Int32, wires: [kvm_irq_routing_entry], limit: Int) {
        self.file = file
        self.wires = wires
        self.limit = UInt32(clamping: limit)
    }

    /// A number that nothing else uses; nil when the kernel takes no more.
    func allocate() -> UInt32? {
        lock.withLock {
            guard wires.count + used.count < Int(limit) else { return nil }
            var number = Self.firstMessage
            while used.contains(number) { number += 1 }
            guard number < limit else { return nil }
            used.insert(number)
            return number
        }
    }

    /// Gives a number back. Its route is left out when the table is next told.
    func free(_ number: UInt32) {
        lock.withLock {
            used.remove(number)
            messages[number] = nil
        }
    }

    /// Routes a number to a message and tells the kernel, if that is new.
    func set(_ number: UInt32, address: UInt64, data: UInt32) throws(Errno) {
        let failure: Errno? = lock.withLock {
            let old = messages[number]
            if let old, old == (address, data) { return nil }
            messages[number] = (address, data)
            do throws(Errno) { try commitLocked() } catch {
                messages[number] = old
                return error
            }
            return nil
        }
        if let failure { throw failure }
    }

    /// Leads one of the board's wires to a message, where the I/O APIC is not the kernel's.
    func setWire(_ pin: Int, address: UInt64, data: UInt32) throws(Errno) {
        let entry = Self.entry(UInt32(pin), address, data)
        let failure: Errno? = lock.withLock {
            wires.removeAll { $0.gsi == UInt32(pin) }
            wires.append(entry)
            do throws(Errno) { try commitLocked() } catch { return error }
            return nil
        }
        if let failure { throw failure }
    }

    /// Tells the kernel all of it.
    func commit() throws(Errno) {
        let failure: Errno? = lock.withLock {
            do throws(Errno) { try commitLocked() } catch { return error }
            return nil
        }
        if let failure { throw failure }
    }

    private func commitLocked() throws(Errno) {
        let all = wires + messages.map { Self.entry($0.key, $0.value.address, $0.value.data) }
        let header = MemoryLayout<kvm_irq_routing>.size
        let stride = MemoryLayout<kvm_irq_routing_entry>.stride
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: header + stride * all.count, alignment: 8)
        defer { unsafe buffer.deallocate() }
        // The table is a header and its entries, all inside the buffer of exactly that size.
        var head = kvm_irq_routing()
        head.nr = UInt32(all.count)
        unsafe buffer.storeBytes(of: head, as: kvm_irq_routing.self)
        for (index, route) in all.enumerated() {
            unsafe (buffer + header + stride * index).storeBytes(of: route, as: kvm_irq_routing_entry.self)
        }
        let number = file
        _ = try retrying { unsafe roost_ioctl_pointer(number, ROOST_KVM_SET_GSI_ROUTING, buffer) }
    }

    private static func entry(_ number: UInt32, _ address: UInt64, _ data: UInt32) -> kvm_irq_routing_entry {
        var entry = kvm_irq_routing_entry()
        entry.gsi = number
        entry.type = UInt32(KVM_IRQ_ROUTING_MSI)
        unsafe entry.u.msi.address_lo = UInt32(truncatingIfNeeded: address)
        unsafe entry.u.msi.address_hi = UInt32(truncatingIfNeeded: address >> 32)
        unsafe entry.u.msi.data = data
        return entry
    }
}

/// A message on an event file (irqfd), as long as the object lives.
private final class KVMMessageRoute: MessageRoute {
    private let machine: KVMMachine
    private let number: UInt32
    private let event: EventFile

    /// nil where the kernel refuses.
    init?(_ machine: KVMMachine) {
        guard let event = try? EventFile(), let number = machine.routes.allocate() else { return nil }
        self.machine = machine
        self.number = number
        self.event = event
        guard machine.connect(event, to: number, isOn: true) else {
            machine.routes.free(number)
            return nil
        }
    }

    deinit {
        _ = machine.connect(event, to: number, isOn: false)
        machine.routes.free(number)
    }

    func setMessage(address: UInt64, data: UInt32) -> Bool {
        do throws(Errno) { try machine.routes.set(number, address: address, data: data) } catch { return false }
        return true
    }

    func signal() { event.signal() }
}

extension KVMMachine: EventPaths {
    /// KVM_IOEVENTFD; false when the kernel refuses, and the write then exits as ever.
    public func watch(_ write: WatchedWrite, signalling event: EventFile) -> Bool {
        change(write, event, isOn: true)
    }

    /// Ends a watch of just this write and event.
    public func unwatch(_ write: WatchedWrite, signalling event: EventFile) {
        _ = change(write, event, isOn: false)
    }

    /// An entry of the kernel's routing table; its interrupts need no thread of ours.
    public func makeMessageRoute() -> (any MessageRoute)? { KVMMessageRoute(self) }

    private func change(_ write: WatchedWrite, _ event: EventFile, isOn: Bool) -> Bool {
        var request = kvm_ioeventfd()
        request.addr = write.address
        request.len = UInt32(write.count)
        request.fd = event.number
        request.datamatch = write.value ?? 0
        request.flags =
            (write.value == nil ? 0 : UInt32(ROOST_KVM_IOEVENTFD_DATAMATCH))
            | (write.isPort ? UInt32(ROOST_KVM_IOEVENTFD_PIO) : 0)
            | (isOn ? 0 : UInt32(ROOST_KVM_IOEVENTFD_DEASSIGN))
        // Copied from this frame.
        return unsafe roost_ioctl_pointer(file, ROOST_KVM_IOEVENTFD, &request) == 0
    }

    /// Injects the interrupt of a route whenever the event file is signalled, or no more.
    fileprivate func connect(_ event: EventFile, to route: UInt32, isOn: Bool) -> Bool {
        var request = kvm_irqfd()
        request.fd = UInt32(bitPattern: event.number)
        request.gsi = route
        request.flags = isOn ? 0 : UInt32(ROOST_KVM_IRQFD_FLAG_DEASSIGN)
        // Copied from this frame.
        return unsafe roost_ioctl_pointer(file, ROOST_KVM_IRQFD, &request) == 0
    }
}
