// SPDX-License-Identifier: Apache-2.0

internal import LibvirtProtocol
internal import LibvirtRPC
internal import LibvirtService
internal import ManagementModel
internal import RandomKit
internal import RPCTestKit
internal import XDRCoding

/// Frames and the arguments of every call.
struct MessageFuzzing {
    private let table = ServiceTable.make()
    private let numbers: [(WireProgram, Int32)]
    private let seeds: [[UInt8]]

    init() {
        let table = table
        numbers = [WireProgram.remote, .qemu].flatMap { program in table.numbers(of: program).map { (program, $0) } }
        var handle = XDRWriter()
        DomainHandle(name: "machine", uuid: .random(), id: 7).encode(to: &handle)
        var parameters = XDRWriter()
        [
            TypedParameter("a", .int(1)), TypedParameter("b", .ulong(2)), TypedParameter("c", .text("text")),
            TypedParameter("d", .long(-1)), TypedParameter("e", .double(0.5)),
        ].encode(to: &parameters)
        var text = XDRWriter()
        "<domain><name>m</name></domain>".encode(to: &text)
        let ones = (0..<64).flatMap { _ in [0, 0, 0, 1] as [UInt8] }
        seeds = [
            handle.bytes + ones, handle.bytes + text.bytes + ones, handle.bytes + parameters.bytes + ones,
            text.bytes + ones, ones, [UInt8](repeating: 0, count: 256), parameters.bytes,
            handle.bytes + [0, 0, 0, 1] + text.bytes + parameters.bytes + ones,
        ]
    }

    /// Reads damaged arguments of any call; what can be read is the same when it is written and read again.
    func decode(_ random: inout SeededGenerator) {
        let (program, number) = numbers.randomElement(using: &random)!
        let header = FrameHeader(program: program.rawValue, procedure: number, type: .call, serial: 1)
        let payload = Damage.bytes(seeds.randomElement(using: &random)!, &random)
        guard let once = try? table.echo(header, payload) else { return }
        guard let twice = try? table.echo(header, once), twice == once else {
            fatalError("call \(number) reads \(payload) and writes \(once), which reads otherwise")
        }
    }

    /// Cuts damaged frames anywhere.
    func assemble(_ random: inout SeededGenerator) {
        var bytes: [UInt8] = []
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let (program, number) = numbers.randomElement(using: &random)!
            let type: FrameType = [.call, .callWithDescriptors, .stream, .streamHole].randomElement(using: &random)!
            let header = FrameHeader(program: program.rawValue, procedure: number, type: type, serial: 1)
            let payload = seeds.randomElement(using: &random)!
            bytes += Damage.bytes(header.frame { $0.raw(payload) }, &random)
        }
        var assembler = FrameAssembler()
        var rest = bytes[...]
        while !rest.isEmpty {
            let part = rest.prefix(Int.random(in: 1...200, using: &random))
            rest = rest.dropFirst(part.count)
            assembler.fill { buffer, _ in buffer += part }
            do {
                while let frame = try assembler.next() {
                    var payload = frame.payload
                    _ = payload.rest()
                }
            } catch { return }
            guard assembler.pendingBytes <= bytes.count else { fatalError("more is waiting than was sent") }
        }
    }
}
