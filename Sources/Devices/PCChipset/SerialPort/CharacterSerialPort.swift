// SPDX-License-Identifier: Apache-2.0

public import CharacterStreams
public import HostSystem

/// Joins a serial port to a character stream. Whoever assembles the machine keeps it: both sides know it weakly.
///
/// The stream calls on the event loop's thread, the port with the machine lock held; the connection has no state.
public final class CharacterSerialPort: SerialBackend, CharacterFrontend, @unchecked Sendable {
    private let port: UART16550
    private let stream: any CharacterBackend
    private let machineLock: Lock

    /// Connects the two; the stream may bring bytes at once.
    public init(port: UART16550, stream: any CharacterBackend, machineLock: Lock) {
        self.port = port
        self.stream = stream
        self.machineLock = machineLock
        machineLock.withLock { port.backend = self }
        stream.frontend = self
    }

    /// Hands a byte to the stream; false when it has no room, then the port waits.
    public func send(_ byte: UInt8) -> Bool { stream.send([byte]) == 1 }

    /// The port's FIFO has room again: the stream may go on.
    public func portCanReceive() { stream.resumeInput() }

    /// Room in the port's FIFO; takes the machine lock.
    public var receiveCapacity: Int { machineLock.withLock { port.receiveCapacity } }

    /// Puts bytes into the port's FIFO under the machine lock.
    public func receive(_ bytes: ArraySlice<UInt8>) {
        machineLock.withLock {
            for byte in bytes { port.receive(byte) }
        }
    }

    /// A break reaches the guest; opening and closing do not, as on a null-modem cable.
    public func handle(_ event: CharacterEvent) {
        switch event {
        case .breakReceived: machineLock.withLock { port.receiveBreak() }
        // A null-modem cable stays plugged in, whoever is at the other terminal.
        case .opened, .closed, .focusGained, .focusLost: break
        }
    }

    /// The stream has room: the port sends the byte that was refused.
    public func outputIsReady() { machineLock.withLock { port.backendIsReady() } }
}
