// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import HostSystem

/// Puts the process's terminal into raw mode, and back on every way out of the process.
public enum TerminalMode {
    /// The settings found at the start, for the signal handlers: written once before they are installed.
    nonisolated(unsafe) private static let saved = UnsafeMutablePointer<termios>.allocate(capacity: 1)
    nonisolated(unsafe) private static let raw = UnsafeMutablePointer<termios>.allocate(capacity: 1)
    nonisolated(unsafe) private static var isRaw = false
    private static let terminal: Int32 = 0

    /// Characters one by one and unchanged, no echo. Does nothing where standard input is no terminal.
    /// - Parameter signals: Ctrl-C and Ctrl-Z still send signals.
    public static func enterRaw(signals: Bool) {
        var settings = termios()
        // tcgetattr fills the struct on this frame.
        guard unsafe !isRaw, unsafe tcgetattr(terminal, &settings) == 0 else { return }
        unsafe saved.initialize(to: settings)
        settings.c_iflag &= ~tcflag_t(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON)
        settings.c_oflag |= tcflag_t(OPOST)
        settings.c_lflag &= ~tcflag_t(ECHO | ECHONL | ICANON | IEXTEN)
        if !signals { settings.c_lflag &= ~tcflag_t(ISIG) }
        settings.c_cflag = settings.c_cflag & ~tcflag_t(CSIZE | PARENB) | tcflag_t(CS8)
        unsafe raw.initialize(to: settings)
        unsafe isRaw = true
        unsafe tcsetattr(terminal, TCSANOW, raw)
        installHandlers
    }

    /// The settings found at the start.
    public static func restore() {
        guard unsafe isRaw else { return }
        unsafe isRaw = false
        unsafe tcsetattr(terminal, TCSANOW, saved)
    }

    /// exit(3), and the signals that end a process: each restores the terminal and then does what it does by default.
    private static let installHandlers: Void = {
        atexit { TerminalMode.restore() }
        for signal in [SIGSEGV, SIGBUS, SIGILL, SIGABRT, SIGTRAP, SIGQUIT] {
            var action = sigaction()
            unsafe action.__sigaction_handler.sa_handler = { number in
                // tcsetattr, signal and raise are async-signal-safe.
                TerminalMode.restore()
                signal_default(number)
                raise(number)
            }
            // Handlers that are installed already (a crash reporter's) are left alone.
            var current = sigaction()
            unsafe sigaction(signal, nil, &current)
            if unsafe current.__sigaction_handler.sa_handler == nil { unsafe sigaction(signal, &action, nil) }
        }
        var resume = sigaction()
        unsafe resume.__sigaction_handler.sa_handler = { _ in
            // A shell's fg: raw mode again.
            if unsafe TerminalMode.isRaw { unsafe tcsetattr(TerminalMode.terminal, TCSANOW, TerminalMode.raw) }
        }
        unsafe sigaction(SIGCONT, &resume, nil)
    }()

    private static func signal_default(_ number: Int32) {
        var action = sigaction()
        unsafe action.__sigaction_handler.sa_handler = nil
        unsafe sigaction(number, &action, nil)
    }
}
