// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
public import HostSystem

/// Starting other programs and waiting for them.
public enum ChildProcess {
    /// How a child came to its end.
    public enum Ending: Equatable, Sendable {
        case exited(Int32)
        case killed(signal: Int32)
    }

    /// Starts a program.
    /// - Parameters:
    ///   - input: the descriptor that becomes standard input; negative for /dev/null.
    ///   - output: the descriptor that becomes standard output and standard error; negative for /dev/null.
    ///   - passing: descriptors that the child has under the same numbers.
    ///   - newSession: whether the child leaves the caller's session, so that it outlives it.
    /// - Returns: the process number.
    public static func start(
        _ path: String, _ arguments: [String], environment: [String], input: Int32 = -1, output: Int32 = -1,
        passing: [Int32] = [], newSession: Bool = false
    ) throws(Errno) -> Int32 {
        var actions = unsafe posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        // Both objects live on this frame, are made here and destroyed before it ends.
        unsafe posix_spawn_file_actions_init(&actions)
        unsafe posix_spawnattr_init(&attributes)
        defer {
            unsafe posix_spawn_file_actions_destroy(&actions)
            unsafe posix_spawnattr_destroy(&attributes)
        }
        if input >= 0 {
            unsafe posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO)
        } else {
            unsafe posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        }
        for target in [STDOUT_FILENO, STDERR_FILENO] {
            if output >= 0 {
                unsafe posix_spawn_file_actions_adddup2(&actions, output, target)
            } else {
                unsafe posix_spawn_file_actions_addopen(&actions, target, "/dev/null", O_WRONLY, 0)
            }
        }
        // Duplicating a descriptor on itself clears its close-on-exec flag in the child.
        for number in passing { unsafe posix_spawn_file_actions_adddup2(&actions, number, number) }
        var none = sigset_t()
        unsafe sigemptyset(&none)
        unsafe posix_spawnattr_setsigmask(&attributes, &none)
        var all = sigset_t()
        unsafe sigemptyset(&all)
        for signal in [SIGPIPE, SIGCHLD, SIGTERM, SIGINT, SIGHUP] { unsafe sigaddset(&all, signal) }
        unsafe posix_spawnattr_setsigdefault(&attributes, &all)
        var flags = Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)
        if newSession { flags |= Int16(roost_spawn_new_session) }
        unsafe posix_spawnattr_setflags(&attributes, flags)
        var process: pid_t = 0
        // The lists of strings live until posix_spawn returns.
        let failure = unsafe withCStrings([path] + arguments) { argv in
            unsafe withCStrings(environment) { envp in
                unsafe posix_spawn(&process, path, &actions, &attributes, argv, envp)
            }
        }
        guard failure == 0 else { throw Errno(failure) }
        return process
    }

    /// Waits until a child ends.
    public static func wait(_ process: Int32) throws(Errno) -> Ending {
        var status: Int32 = 0
        // The status lives on this frame.
        _ = try retrying { unsafe waitpid(process, &status, 0) }
        return ending(status)
    }

    /// The end of a child that has ended; nil while it runs.
    public static func poll(_ process: Int32) throws(Errno) -> Ending? {
        var status: Int32 = 0
        // As above.
        let found = try retrying { unsafe waitpid(process, &status, WNOHANG) }
        return found == 0 ? nil : ending(status)
    }

    /// Runs a program to its end and gives what it wrote on standard output and standard error, at most `limit` bytes.
    /// - Parameter input: what it reads on standard input.
    public static func run(
        _ path: String, _ arguments: [String], environment: [String], input: String = "", limit: Int = 1 << 20
    ) throws(Errno) -> (ending: Ending, output: String) {
        var ends: [Int32] = [-1, -1]
        // pipe fills the two numbers.
        _ = try retrying { unsafe pipe(&ends) }
        let reading = FileDescriptor(owning: ends[0])
        let writing = FileDescriptor(owning: ends[1])
        for end in ends { _ = roost_fcntl(end, F_SETFD, Int(FD_CLOEXEC)) }
        let text = try input.isEmpty ? FileDescriptor.open("/dev/null", flags: O_RDONLY) : file(of: input)
        let process = try start(
            path, arguments, environment: environment, input: text.number, output: writing.number)
        _ = consume writing
        var said: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while true {
            // The chunk lives for the call.
            let read: Result<Int, Errno> = unsafe chunk.withUnsafeMutableBytes { bytes in
                do throws(Errno) { return .success(try unsafe reading.read(into: bytes)) } catch {
                    return .failure(error)
                }
            }
            let count = try read.get()
            if count == 0 { break }
            said += chunk.prefix(min(count, max(0, limit - said.count)))
        }
        return (try wait(process), String(decoding: said, as: UTF8.self))
    }

    /// A file in memory without a name: a program that reads none of it keeps nobody waiting.
    private static func file(of text: String) throws(Errno) -> FileDescriptor {
        let name = "/roost-input-\(UInt64.random(in: 0 ... .max))"
        // Both calls copy the name.
        let file = FileDescriptor(
            owning: try retrying { unsafe shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600) })
        _ = unsafe shm_unlink(name)
        try file.writeAll(Array(text.utf8))
        _ = lseek(file.number, 0, SEEK_SET)
        return file
    }

    /// Runs another program in this process, with the same environment and descriptors. Returns only when it fails.
    public static func replaceThisProcess(_ path: String, _ arguments: [String]) throws(Errno) -> Never {
        // The list of strings lives until execv fails.
        _ = unsafe withCStrings([path] + arguments) { unsafe execv(path, $0) }
        throw Errno.current
    }

    private static func ending(_ status: Int32) -> Ending {
        // The macros of sys/wait.h: the low seven bits are the signal, the next byte the exit status.
        status & 0x7f == 0 ? .exited(status >> 8 & 0xff) : .killed(signal: status & 0x7f)
    }

    private static func withCStrings<Result>(
        _ texts: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Result
    ) -> Result {
        // strdup's copies live until the body is done; the list ends with a null pointer.
        var list: [UnsafeMutablePointer<CChar>?] = unsafe texts.map { unsafe strdup($0) } + [nil]
        defer { unsafe list.forEach { unsafe free($0) } }
        return unsafe list.withUnsafeMutableBufferPointer { unsafe body($0.baseAddress!) }
    }
}
