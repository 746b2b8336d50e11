// SPDX-License-Identifier: Apache-2.0

package import HostSystem
package import LibvirtProtocol
internal import LocalSockets
package import XDRCoding

/// A client that speaks the wire with blocking calls.
package struct WireClient: ~Copyable {
    package let socket: FileDescriptor

    package init(_ path: String) throws { socket = try LocalSocket.connect(path: path) }

    package func send(_ bytes: [UInt8]) throws {
        var done = 0
        while done < bytes.count { done += try LocalSocket.send(socket.number, bytes, from: done) }
    }

    /// Sends a call and does not wait for the answer.
    package func call<A: XDRValue, R: XDRValue>(
        _ procedure: Procedure<A, R>, _ arguments: A, serial: UInt32 = 1
    ) throws {
        let header = FrameHeader(
            program: procedure.program.rawValue, procedure: procedure.number, type: .call, serial: serial)
        try send(header.frame { arguments.encode(to: &$0) })
    }

    /// The next frame; nil at the end of the connection.
    package func receive() throws -> (header: FrameHeader, body: XDRReader)? {
        var bytes: [UInt8] = []
        var descriptors: [Int32] = []
        guard try fill(&bytes, to: 4, &descriptors) else { return nil }
        var head = XDRReader(bytes)
        guard try fill(&bytes, to: Int(try head.word()), &descriptors) else { return nil }
        for number in descriptors { _ = FileDescriptor(owning: number) }
        var reader = XDRReader(bytes, at: 4)
        return (try FrameHeader(from: &reader), reader)
    }

    private func fill(_ bytes: inout [UInt8], to count: Int, _ descriptors: inout [Int32]) throws -> Bool {
        while bytes.count < count {
            let limit = count - bytes.count
            do throws(Errno) {
                guard try LocalSocket.receive(socket.number, limit: limit, into: &bytes, descriptors: &descriptors) > 0
                else { return false }
            } catch {
                // A server that drops a client with input unread resets the connection.
                if error.code == 104 { return false }
                throw error
            }
        }
        return true
    }

    /// Makes calls of a client and gives the error of the answer, nil for success.
    package func error<A: XDRValue, R: XDRValue>(_ procedure: Procedure<A, R>, _ arguments: A) throws -> WireError? {
        try call(procedure, arguments)
        guard var reply = try receive() else { throw Errno(104) }
        return reply.header.status == FrameStatus.error.rawValue ? try WireError(from: &reply.body) : nil
    }
}
