// SPDX-License-Identifier: Apache-2.0

public import MachineModel

/// The reset control register at port 0xCF9 (ICH9 and PIIX3).
public final class ResetControl: Device {
    /// For logs and saved states: QEMU has the register inside other devices.
    public let name = "reset-control"
    /// The port, which lies inside the PCI configuration address and takes precedence over it for byte accesses.
    public static let port: UInt64 = 0xCF9
    /// Bit 1 chooses a hard reset, bit 3 a power cycle; bit 2 does it.
    private static let resetProcessor: UInt8 = 0x04
    private static let kept: UInt8 = 0x0A
    /// Everything that a saved machine keeps.
    public struct State: Equatable, Sendable, Codable {
        /// The bits that read back as they were written.
        public internal(set) var kept: UInt8 = 0
    }

    /// What a saved machine keeps.
    public var state = State()
    private unowned let requests: any MachineRequests

    /// - Parameter requests: asked for the reset; must outlive this device.
    public init(requests: any MachineRequests) { self.requests = requests }

    /// Puts the register at port 0xCF9.
    public func map(in ports: AddressSpace) {
        ports.map(
            ByteWindow(
                count: 1, read: { [self] _ in state.kept },
                write: { [self] _, value in
                    if value & Self.resetProcessor != 0 { return requests.requestReset() }
                    state.kept = value & Self.kept
                }),
            at: Self.port, count: 1, name: "reset-control", priority: 1)
    }

    /// The register reads 0 again.
    public func reset() { state = State() }
}
