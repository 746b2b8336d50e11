// SPDX-License-Identifier: Apache-2.0

internal import HostIO
internal import HostSystem

/// One stream shared by several front ends, of which one at a time gets the input (`mux=on`, `mon:`, `-nographic`).
///
/// Ctrl-a is the escape: `c` goes to the next front end, `x` ends the program, `b` sends a break, `h` shows help, `t`
/// shows or hides times, and Ctrl-a again sends one Ctrl-a.
public final class Multiplexer: CharacterFrontend, @unchecked Sendable {
    /// The shared stream.
    public let stream: any CharacterBackend
    private var members: [MultiplexedBackend] = []
    private var focus = 0
    private var sawEscape = false
    private var input: [UInt8] = []
    private let quit: () -> Void
    /// The character that begins a command: Ctrl-a, or what -echr says.
    public var escape: UInt8 = 1
    private static let inputLimit = 1024

    /// Takes over a stream.
    /// - Parameter quit: called for Ctrl-a x, on the event loop's thread.
    public init(stream: any CharacterBackend, quit: @escaping () -> Void) {
        self.stream = stream
        self.quit = quit
        stream.frontend = self
    }

    /// A further front end's own end of the stream; the first one made gets the input.
    public func makeBackend() -> MultiplexedBackend {
        let backend = MultiplexedBackend(multiplexer: self, index: members.count)
        members.append(backend)
        return backend
    }

    fileprivate func hasFocus(_ index: Int) -> Bool { index == focus }

    // MARK: input

    /// What the buffer for the front end with the focus can still hold; it stays put meanwhile.
    public var receiveCapacity: Int { max(0, Self.inputLimit - input.count) }

    /// Takes the escapes out and keeps the rest for the front end with the focus.
    public func receive(_ bytes: ArraySlice<UInt8>) {
        for byte in bytes {
            if sawEscape {
                sawEscape = false
                command(byte)
            } else if byte == escape {
                sawEscape = true
            } else {
                input.append(byte)
            }
        }
        deliver()
    }

    fileprivate func deliver() {
        while !input.isEmpty, members.indices.contains(focus), let frontend = members[focus].frontend {
            let capacity = frontend.receiveCapacity
            guard capacity > 0 else { return }
            let part = input.prefix(capacity)
            let count = part.count
            frontend.receive(Array(part)[...])
            input.removeFirst(min(count, input.count))
        }
        if input.count < Self.inputLimit { stream.resumeInput() }
    }

    private func command(_ byte: UInt8) {
        switch byte {
        case escape: input.append(byte)
        case UInt8(ascii: "x"):
            say("\r\nterminated by Ctrl-a x\r\n")
            quit()
        case UInt8(ascii: "c"): focusNext()
        case UInt8(ascii: "b"): members.indices.contains(focus) ? members[focus].frontend?.handle(.breakReceived) : ()
        case UInt8(ascii: "h"), UInt8(ascii: "?"):
            say(
                "\r\nC-a h    print this help\r\nC-a x    exit\r\nC-a b    send break\r\n"
                    + "C-a c    switch between console and monitor\r\nC-a C-a  sends C-a\r\n")
        default: break
        }
    }

    private func focusNext() {
        guard members.count > 1 else { return }
        deliver()
        members[focus].frontend?.handle(.focusLost)
        focus = (focus + 1) % members.count
        members[focus].frontend?.handle(.focusGained)
    }

    private func say(_ text: String) { _ = stream.send(Array(text.utf8)) }

    // MARK: events

    /// Opening and closing go to all front ends, a break to the one with the focus.
    public func handle(_ event: CharacterEvent) {
        switch event {
        case .opened, .closed:
            for member in members { member.frontend?.handle(event) }
        case .breakReceived:
            if members.indices.contains(focus) { members[focus].frontend?.handle(event) }
        case .focusGained, .focusLost: break
        }
    }

    /// Told to all: any of them may have been refused.
    public func outputIsReady() {
        for member in members { member.frontend?.outputIsReady() }
    }
}

/// One front end's end of a shared stream.
public final class MultiplexedBackend: CharacterBackend, @unchecked Sendable {
    private let multiplexer: Multiplexer
    private let index: Int

    fileprivate init(multiplexer: Multiplexer, index: Int) {
        self.multiplexer = multiplexer
        self.index = index
    }

    /// The shared stream's.
    public var label: String { multiplexer.stream.label }
    /// As `info chardev` calls every front end of a shared stream.
    public var filename: String { "mux" }
    /// As the shared stream.
    public var isOpen: Bool { multiplexer.stream.isOpen }
    /// Told at once whether somebody is there and whether it has the focus.
    public weak var frontend: (any CharacterFrontend)? {
        didSet {
            guard let frontend else { return }
            if isOpen { frontend.handle(.opened) }
            if multiplexer.hasFocus(index) { frontend.handle(.focusGained) }
            multiplexer.deliver()
        }
    }

    /// Output needs no focus: it goes straight to the shared stream.
    public func send(_ bytes: ArraySlice<UInt8>) -> Int { multiplexer.stream.send(bytes) }
    /// Delivers what the multiplexer holds, then lets the shared stream read on.
    public func resumeInput() {
        // What the multiplexer holds comes first; the stream has nothing of its own to deliver while it does.
        (multiplexer.stream as? StreamBackend)?.loop.post { [multiplexer] in multiplexer.deliver() }
        multiplexer.stream.resumeInput()
    }
    /// The shared stream is closed by who made it.
    public func close() {}
}
