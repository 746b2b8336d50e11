// SPDX-License-Identifier: Apache-2.0

public import LibvirtProtocol
internal import XDRCoding

/// A call or a message of the tables with its types taken away.
public struct WireProbe: Sendable, CustomStringConvertible {
    /// What the tables call it.
    public let name: String
    public let program: WireProgram
    public let number: Int32
    /// Nil for messages that the server sends.
    public let access: Access?
    /// What a call takes, or what a message says.
    public let arguments: WirePart
    /// What a call gives; nil for messages.
    public let results: WirePart?

    init<Arguments: XDRValue, Results: XDRValue>(_ procedure: Procedure<Arguments, Results>) {
        name = procedure.name
        program = procedure.program
        number = procedure.number
        access = procedure.access
        arguments = WirePart(Arguments.self)
        results = WirePart(Results.self)
    }

    init<Body: XDRValue>(_ event: EventMessage<Body>, _ name: String) {
        self.name = name
        program = event.program
        number = event.number
        access = nil
        arguments = WirePart(Body.self)
        results = nil
    }

    /// Both types.
    public var parts: [WirePart] { [arguments] + (results.map { [$0] } ?? []) }

    public var description: String { "\(name) (\(number))" }
}
