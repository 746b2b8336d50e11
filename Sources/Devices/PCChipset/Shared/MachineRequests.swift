// SPDX-License-Identifier: Apache-2.0

/// What chipset devices ask of the machine. Called with the machine lock held; an implementation notes the wish and
/// returns at once.
public protocol MachineRequests: AnyObject {
    /// The guest asked for a system reset.
    func requestReset()
    /// The guest switched itself off.
    func requestPowerOff()
    /// The process is to end with this status: isa-debug-exit.
    func requestExit(status: Int32)
    /// The guest reported its own crash through the pvpanic port.
    /// - Parameter isCrashLoaded: it goes on into a crash kernel and must not be stopped.
    func guestPanicked(isCrashLoaded: Bool)
}
