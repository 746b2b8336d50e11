// SPDX-License-Identifier: Apache-2.0

/// What is at the other end of a serial port. All calls are made with the machine lock held and must not block.
public protocol SerialBackend: AnyObject {
    /// Takes one byte from the guest.
    /// - Returns: false when there is no room: the port keeps the byte, shows the guest a busy transmitter, and waits
    ///   for `UART16550.backendIsReady()`.
    func send(_ byte: UInt8) -> Bool
    /// The guest took bytes: `UART16550.receiveCapacity` is more than 0 again.
    func portCanReceive()
}

/// A back end that also looks at the line's control signals.
public protocol SerialLineBackend: SerialBackend {
    /// The guest begins or ends a break condition.
    func setBreak(_ isOn: Bool)
    /// The guest drives its modem-control outputs.
    func setModemControl(dataTerminalReady: Bool, requestToSend: Bool)
    /// The guest programmed the line.
    func setLine(_ parameters: SerialLineParameters)
}

/// Speed and frame of a serial line.
public struct SerialLineParameters: Equatable, Sendable {
    /// What the ninth bit is; `mark` and `space` keep it at 1 and 0.
    public enum Parity: Sendable { case none, odd, even, mark, space }
    /// Bits a second.
    public var speed: Int
    /// 5...8.
    public var dataBits: Int
    /// As the line control register's bits 3...5 say.
    public var parity: Parity
    /// 1 or 2.
    public var stopBits: Int

    /// The frame that a guest programmed.
    public init(speed: Int, dataBits: Int, parity: Parity, stopBits: Int) {
        self.speed = speed
        self.dataBits = dataBits
        self.parity = parity
        self.stopBits = stopBits
    }
}
