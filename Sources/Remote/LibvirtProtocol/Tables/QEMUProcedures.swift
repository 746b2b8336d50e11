// SPDX-License-Identifier: Apache-2.0

public import XDRCoding

/// Calls: QEMU. Number, the name that clients know the call by, and whether it changes anything; argument and result types are in the order of the wire.
extension Procedures {
    /// Takes domain, command, flags; gives result.
    public static let qemuDomainMonitorCommand = Procedure<Message<DomainHandle, String, UInt32>, Message<String>>(
        1, "virDomainQemuMonitorCommand", .write, program: .qemu)
    /// Takes process, flags; gives domain.
    public static let qemuDomainAttach = Procedure<Message<UInt32, UInt32>, Message<DomainHandle>>(
        2, "virDomainQemuAttach", .write, program: .qemu)
    /// Takes domain, command, timeout, flags; gives result.
    public static let qemuDomainAgentCommand = Procedure<
        Message<DomainHandle, String, Int32, UInt32>, Message<String?>
    >(3, "virDomainQemuAgentCommand", .write, program: .qemu)
    /// Takes domain, event, flags; gives callback.
    public static let qemuConnectDomainMonitorEventRegister = Procedure<
        Message<DomainHandle?, String?, UInt32>, Message<Int32>
    >(4, "virConnectDomainQemuMonitorEventRegister", .write, program: .qemu)
    /// Takes callback.
    public static let qemuConnectDomainMonitorEventDeregister = Procedure<Message<Int32>, Message<>>(
        5, "virConnectDomainQemuMonitorEventDeregister", .write, program: .qemu)
    /// Takes domain, command, flags; gives result.
    public static let qemuDomainMonitorCommandWithFiles = Procedure<
        Message<DomainHandle, String, UInt32>, Message<String>
    >(7, "virDomainQemuMonitorCommandWithFiles", .write, program: .qemu)
}
