// SPDX-License-Identifier: Apache-2.0

package import MachineDriver
internal import ManagementModel

/// Which machines a list is asked for, in libvirt's bits. Bits of one group are alternatives; a group without bits, or with
/// all of them, asks for all.
package struct MachineListFilter {
    /// The bits of each group.
    private static let groups: [UInt32] = [0x3, 0xc, 0xf0, 0x300, 0xc00, 0x3000, 0xc000]

    /// The bits of the groups that leave something out.
    private let flags: UInt32

    /// - Parameter flags: of `virConnectListAllDomains`.
    package init(_ flags: UInt32) {
        self.flags = Self.groups.reduce(0) { kept, group in
            flags & group == group ? kept : kept | flags & group
        }
    }

    /// Whether nothing is left out.
    package var takesAll: Bool { flags == 0 }

    /// Whether a machine is asked for.
    package func takes(_ facts: MachineFacts, _ machines: MachineDriver) -> Bool {
        if flags & 0x3 != 0, flags & (facts.isActive ? 1 : 2) == 0 { return false }
        if flags & 0xc != 0, flags & (facts.isPersistent ? 4 : 8) == 0 { return false }
        if flags & 0xf0 != 0, flags & Self.stateBit(facts.state) == 0 { return false }
        if flags & 0x300 != 0, flags & (machines.hasSavedMemory(facts.name) ? 0x100 : 0x200) == 0 { return false }
        if flags & 0xc00 != 0, flags & (facts.startsWithService ? 0x400 : 0x800) == 0 { return false }
        if flags & 0x3000 != 0, flags & (facts.snapshotCount > 0 ? 0x1000 : 0x2000) == 0 { return false }
        return flags & 0xc000 == 0 || flags & (machines.hasCheckpoints(facts.uuid) ? 0x4000 : 0x8000) != 0
    }

    /// The bit of a state: running, paused, shut off, or another.
    private static func stateBit(_ state: MachineState) -> UInt32 {
        if state.isRunning { return 0x10 }
        if state.isPaused { return 0x20 }
        return state.state == MachineState.shutOff.state ? 0x40 : 0x80
    }
}
