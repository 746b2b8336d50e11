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

    public func send(_ byte: UInt8) -> Bool { stream.send([byte]) == 1 }

    public func portCanReceive() { stream.resumeInput() }

    public var receiveCapacity: Int { machineLock.withLock { port.receiveCapacity } }

    public func receive(_ bytes: ArraySlice<UInt8>) {
        machineLock.withLock {
            for byte in bytes { port.receive(byte) }
        }
    }

    public func handle(_ event: CharacterEvent) {
        switch event {
        case .breakReceived: machineLock.withLock { port.receiveBreak() }
        // A null-modem cable stays plugged in, whoever is at the other terminal.
        case .opened, .closed, .focusGained, .focusLost: break
        }
    }

    public func outputIsReady() { machineLock.withLock { port.backendIsReady() } }
}
