// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Diagnostics
internal import Glibc
internal import HostIO
internal import HostSystem
internal import MachineSpec

/// What the process owes its surroundings: a pid file, signals, and what becomes of it in the background.
final class ProcessSetup {
    private let spec: ProcessSpec
    private let loop: EventLoop
    private let signals: FileDescriptor
    private var watch: EventLoop.Watch?
    private static let ending: [Int32] = [SIGTERM, SIGINT, SIGHUP]

    /// Watches signals from now on.
    init(_ spec: ProcessSpec, loop: EventLoop) throws(UserError) {
        self.spec = spec
        self.loop = loop
        // A closed pipe or socket is an error of the write, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
        var set = sigset_t()
        // The set lives on this frame; signalfd copies it.
        unsafe sigemptyset(&set)
        for number in Self.ending { unsafe sigaddset(&set, number) }
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        do throws(Errno) {
            let flags = Int32(SFD_CLOEXEC) | Int32(SFD_NONBLOCK)
            let number = try retrying { unsafe signalfd(-1, &set, flags) }
            signals = FileDescriptor(owning: number)
        } catch { throw UserError("cannot watch signals", because: error) }
    }

    /// Writes the pid file: everything before the machine's making went well.
    func writePIDFile() throws(UserError) {
        guard let path = spec.pidFile else { return }
        do throws(Errno) {
            let file = try FileDescriptor.open(path, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
            try file.writeAll(Array("\(getpid())\n".utf8))
        } catch { throw UserError("cannot create PID file '\(path)'", because: error) }
    }

    /// Calls `handler` with the signal's number when somebody asks the process to end.
    /// - Parameter handler: also told which process sent it; 0 for the terminal.
    func watchSignals(_ handler: @escaping (_ signal: Int32, _ sender: UInt32) -> Void) {
        do throws(Errno) {
            watch = try loop.watch(signals.number, .readable) { [signals = signals.number] _ in
                var information = signalfd_siginfo()
                let size = MemoryLayout<signalfd_siginfo>.size
                // The kernel fills whole structs; one fits.
                if unsafe Glibc.read(signals, &information, size) == size {
                    handler(Int32(information.ssi_signo), information.ssi_pid)
                }
            }
        } catch {
            Console.shared.warning("signals are not watched: \(error)")
        }
    }

    /// What a process is called, for the line about its signal.
    static func name(of process: UInt32) -> String {
        var buffer = [UInt8](repeating: 0, count: 64)
        guard process != 0, let file = try? FileDescriptor.open("/proc/\(process)/comm") else {
            return "<unknown process>"
        }
        // The kernel fills at most the buffer.
        let count = unsafe buffer.withUnsafeMutableBytes { bytes in (try? unsafe file.read(into: bytes)) ?? 0 }
        let text = String(decoding: buffer.prefix(count).prefix { $0 != 10 }, as: UTF8.self)
        return text.isEmpty ? "<unknown process>" : text
    }

    /// Takes the pid file away.
    func end() {
        // Whoever removed it before did the same.
        if let path = spec.pidFile { _ = unsafe unlink(path) }
    }
}
