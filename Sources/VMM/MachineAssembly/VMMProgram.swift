// SPDX-License-Identifier: Apache-2.0

internal import CPUInterface
internal import Diagnostics
internal import Glibc
internal import HostIO
internal import HostSystem
internal import MachineRuntime
internal import MachineSpec

/// The program behind `roost-vmm`: reads the command line, builds the machine, runs it.
public enum VMMProgram {
    /// Runs the program.
    /// - Parameter arguments: without the program's name.
    /// - Returns: the exit status.
    public static func run(_ arguments: [String]) -> Int32 {
        let console = Console.shared
        do throws(UserError) {
            switch try MachineArguments.parse(arguments, readFile: readFile) {
            case .print(let text):
                writeText(text)
                return ExitStatus.success
            case .listProcessors:
                writeText(processorList())
                return ExitStatus.success
            case .run(let spec):
                return try run(spec, console)
            }
        } catch {
            console.error(error)
            return error.exitStatus
        }
    }

    private static func run(_ spec: MachineSpec, _ console: Console) throws(UserError) -> Int32 {
        try Logging.apply(spec, console, readFile: readFile)
        guard spec.process.daemonizes else { return try run(spec, console) {} }
        var background: Background? = try Background.enter()
        return try run(spec, console) { () throws(UserError) in try background.take()?.ready() }
    }

    /// - Parameter isMade: called when the machine is made, just before it runs.
    private static func run(
        _ spec: MachineSpec, _ console: Console, isMade: () throws(UserError) -> Void
    ) throws(UserError) -> Int32 {
        let loop: EventLoop
        do throws(Errno) { loop = try EventLoop() } catch {
            throw UserError("cannot make the event loop", because: error)
        }
        let process = try ProcessSetup(spec.process, loop: loop)
        try process.writePIDFile()
        defer { process.end() }
        let machine = try AssembledMachine(spec, loop: loop, messages: console)
        process.watchSignals { signal, sender in
            let name = ProcessSetup.name(of: sender)
            console.error("terminating on signal \(signal)" + (sender == 0 ? "" : " from pid \(sender) (\(name))"))
            machine.runner.requestShutdownBySignal()
        }
        if let sandbox = spec.process.sandbox { try Sandbox.enter(sandbox) }
        try isMade()
        return try machine.run()
    }

    /// The text of a small file: configuration, not images.
    private static func readFile(_ path: String) throws(UserError) -> String {
        let limit = 1 << 20
        do throws(Errno) {
            let file = try FileDescriptor.open(path)
            var bytes: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 65536)
            while bytes.count < limit {
                let count = try readSome(file, &buffer)
                if count == 0 { break }
                bytes += buffer.prefix(count)
            }
            return String(decoding: bytes, as: UTF8.self)
        } catch { throw UserError("cannot read '\(path)'", because: error) }
    }

    private static func readSome(_ file: borrowing FileDescriptor, _ buffer: inout [UInt8]) throws(Errno) -> Int {
        var failure: Errno?
        var count = 0
        // The kernel fills at most the buffer.
        unsafe buffer.withUnsafeMutableBytes { bytes in
            do throws(Errno) { count = try unsafe file.read(into: bytes) } catch { failure = error }
        }
        if let failure { throw failure }
        return count
    }

    private static func writeText(_ text: String) {
        // A closed standard output leaves nobody to tell.
        try? FileDescriptor.writeAll(Array(text.utf8), to: 1)
    }

    private static func processorList() -> String {
        var lines = ["Available CPUs:"]
        for definition in CPUModel.definitions {
            let name = definition.name + String(repeating: " ", count: max(1, 22 - definition.name.utf8.count))
            lines.append("x86 \(name)\(definition.summary)")
        }
        lines.append("\nRecognized CPUID flags:")
        var line = " "
        for feature in ProcessorFeature.all.map(\.name).sorted() {
            if line.utf8.count + feature.utf8.count > 74 {
                lines.append(line)
                line = " "
            }
            line += " " + feature
        }
        lines.append(line)
        return lines.joined(separator: "\n") + "\n"
    }
}
