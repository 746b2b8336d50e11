// SPDX-License-Identifier: Apache-2.0

package import ControlServer
package import Diagnostics
package import GuestMemory
internal import HostIO
internal import HostSystem
package import MachineModel
package import MachineRuntime
internal import MachineSpec
package import PCIBus
package import StateCoding

/// The machine of a command line whose processors stand still and whose events come when they are asked for: what tests
/// and fuzz targets use of it.
package final class MachineUnderTest {
    private let machine: AssembledMachine
    private let loop: EventLoop

    /// Builds the machine and lets its time pass.
    /// - Parameter arguments: what roost-vmm would be given; files of options cannot be read.
    /// - Throws: what roost-vmm would say of it.
    package init(_ arguments: [String]) throws(UserError) {
        do throws(Errno) { loop = try EventLoop() } catch {
            throw UserError("cannot make the event loop", because: error)
        }
        let request = try MachineArguments.parse(arguments) { path throws(UserError) in
            throw UserError("cannot read '\(path)'")
        }
        guard case .run(let spec) = request else { throw UserError("these arguments make no machine") }
        machine = try AssembledMachine(spec, loop: loop, messages: Console.shared)
        machine.runner.performReset(.hostQMPSystemReset)
        machine.runner.resume()
    }

    deinit { machine.close() }

    /// Pauses, resets and goes on.
    package var runner: MachineRunner { machine.runner }
    /// RAM and ROM.
    package var memory: GuestMemory { machine.guestMemory }
    /// The size of its RAM.
    package var memoryBytes: UInt64 { machine.spec.memory.bytes }
    /// Ports, and registers in memory.
    package var spaces: (ports: AddressSpace, registers: AddressSpace) { (machine.portSpace, machine.space) }
    /// The functions on the root bus.
    package var functions: [PCIDevice] { machine.board?.bus.devices ?? [] }
    /// Monitors can be added to it.
    package var control: ControlServer? { machine.control }

    /// Handles what is ready, after some milliseconds at most.
    package func handleEvents(within milliseconds: Int32 = 0) { loop.runOnce(timeoutMilliseconds: milliseconds) }

    /// What firmware does, so that base addresses and controllers are in use.
    package func configure() { machine.lock.withLock { try? machine.board?.configureAsFirmware() } }

    /// Everything that a snapshot keeps beside the memory. The machine is paused.
    package func save() throws(StateError) -> [StateRecord] { try machine.saveSections() }

    /// Puts a state back that was looked at as a whole before. The machine is paused.
    /// - Throws: what is wrong with it; the machine is as it was.
    package func load(_ records: [StateRecord]) throws(StateError) {
        let restore = try machine.checkSections(records)
        machine.runner.resetForState()
        restore()
    }
}
