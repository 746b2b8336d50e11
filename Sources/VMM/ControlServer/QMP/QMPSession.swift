// SPDX-License-Identifier: Apache-2.0

internal import CharacterStreams
internal import ControlProtocol
internal import Diagnostics
internal import JSONCoding

/// One QMP connection.
///
///     closed ──open──▶ greeting sent ──qmp_capabilities──▶ command mode ──close──▶ closed
final class QMPSession: CharacterFrontend {
    private unowned let server: ControlServer
    private let stream: any CharacterBackend
    private let isPretty: Bool
    private var parser = JSONStreamParser(limits: QMPSession.limits)
    private var output = OutputQueue()
    private var isNegotiated = false
    private var isConnected = false
    private var acceptsOutOfBand = false
    private static let limits = JSONLimits(depth: 1024, tokens: 1 << 18, bytes: 4 << 20)
    private static let inputChunk = 4096

    init(server: ControlServer, stream: any CharacterBackend, isPretty: Bool) {
        self.server = server
        self.stream = stream
        self.isPretty = isPretty
        stream.frontend = self
    }

    // MARK: CharacterFrontend

    var receiveCapacity: Int { output.isCongested ? 0 : Self.inputChunk }

    func receive(_ bytes: ArraySlice<UInt8>) {
        for result in parser.feed(bytes) {
            switch result {
            case .failure(let error): send(QMPResponse.failure(QMPError(error.message), identifier: nil).json)
            case .success(let message): execute(message)
            }
        }
    }

    func handle(_ event: CharacterEvent) {
        switch event {
        case .opened:
            isConnected = true
            isNegotiated = false
            parser.reset()
            output.clear()
            send(QMPVersion.greeting)
        case .closed:
            isConnected = false
            isNegotiated = false
            parser.reset()
            output.clear()
        case .breakReceived, .focusGained, .focusLost: break
        }
    }

    func outputIsReady() {
        let wasCongested = output.isCongested
        output.flush(to: stream)
        if wasCongested && !output.isCongested { stream.resumeInput() }
    }

    // MARK: commands

    /// Events go only to clients that have finished the negotiation; one that does not read loses them.
    func send(_ event: QMPEvent) {
        guard isNegotiated, !output.isCongested else { return }
        Trace.emit(.monitorEvent, event.name)
        send(event.json)
    }

    private func send(_ message: JSONValue) {
        guard isConnected else { return }
        output.send(Array((message.printed(pretty: isPretty) + "\r\n").utf8), to: stream)
    }

    private func execute(_ message: JSONValue) {
        let identifier = message["id"]
        do throws(QMPError) {
            let command = try QMPCommand(message)
            Trace.emit(.monitorCommand, command.name)
            let value = try answer(command)
            send(QMPResponse.success(value, identifier: identifier).json)
        } catch {
            send(QMPResponse.failure(error, identifier: identifier).json)
        }
    }

    private func answer(_ command: QMPCommand) throws(QMPError) -> JSONValue {
        guard let definition = QMPCommandTable.byName[command.name] else {
            throw QMPError("The command \(command.name) has not been found", class: .commandNotFound)
        }
        if command.name == "qmp_capabilities" {
            guard !isNegotiated else {
                throw QMPError(
                    "Capabilities negotiation is already complete, command ignored", class: .commandNotFound)
            }
        } else if !isNegotiated {
            throw QMPError("Expecting capabilities negotiation with 'qmp_capabilities'", class: .commandNotFound)
        }
        if command.isOutOfBand {
            guard acceptsOutOfBand else { throw QMPError("QMP input member 'exec-oob' is unexpected") }
            guard command.name == "qmp_capabilities" || command.name == "yank" else {
                throw QMPError("The command \(command.name) does not support OOB")
            }
        }
        let arguments = try QMPArguments(
            command.arguments, checkedBy: definition.parameters, takesOthers: definition.takesOthers)
        let value = try definition.run(QMPContext(server: server, stream: stream), arguments)
        if command.name == "qmp_capabilities" {
            isNegotiated = true
            acceptsOutOfBand = command.arguments["enable"]?.array?.contains { $0.string == "oob" } ?? false
        }
        return value
    }
}
