// SPDX-License-Identifier: Apache-2.0

/// A control transfer that comes packet by packet (USB 2.0, 8.5.3), put together for the device.
struct USBControlPipe: Equatable, Sendable, Codable {
    private enum Stage: UInt8, Codable, Sendable { case idle, dataOut, dataIn, status }
    private static let setupSize = 8
    private var stage = Stage.idle
    private var packet: UInt64 = 0
    private var data: [UInt8] = []

    private var setup: USBSetup { USBSetup(packet: packet) }

    /// The packet that begins a transfer; any transfer that was not over is forgotten.
    mutating func begin(_ bytes: [UInt8], _ device: USBDevice) -> USBOutcome {
        self = USBControlPipe()
        guard bytes.count == Self.setupSize else { return .stalled }
        packet = bytes.enumerated().reduce(0) { $0 | UInt64($1.element) << UInt64($1.offset * 8) }
        guard setup.isToHost, setup.length > 0 else {
            stage = setup.length > 0 ? .dataOut : .status
            return .taken
        }
        // The answer is made at once; a request that the device does not know stalls in its data stage.
        guard case .data(let answer) = device.control(setup) else { return .taken }
        data = answer
        stage = .dataIn
        return .taken
    }

    /// A packet from the host.
    mutating func write(_ bytes: [UInt8], _ device: USBDevice) -> USBOutcome {
        switch stage {
        case .dataOut:
            data += bytes.prefix(max(0, Int(setup.length) - data.count))
            if data.count == Int(setup.length) { stage = .status }
            return .taken
        case .dataIn:
            // The status of a transfer to the host, perhaps before all was fetched.
            self = USBControlPipe()
            return .taken
        case .status, .idle: return .stalled
        }
    }

    /// A packet to the host.
    mutating func read(_ capacity: Int, _ device: USBDevice) -> USBOutcome {
        switch stage {
        case .dataIn:
            let part = Array(data.prefix(capacity))
            data.removeFirst(part.count)
            return .data(part)
        case .status:
            let outcome = device.control(setup, data: data)
            self = USBControlPipe()
            return outcome == .taken ? .data([]) : outcome == .notReady ? .notReady : .stalled
        case .dataOut, .idle: return .stalled
        }
    }

    var isSound: Bool { data.count <= Int(UInt16.max) }
}
