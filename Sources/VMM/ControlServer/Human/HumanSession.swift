// SPDX-License-Identifier: Apache-2.0

internal import CharacterStreams
internal import ControlProtocol

/// One person at the monitor: greeting, prompt, line editing.
final class HumanSession: CharacterFrontend {
    private let stream: any CharacterBackend
    private let monitor: HumanMonitor
    private var editor: LineEditor
    private var output = OutputQueue()
    private var hasGreeted = false
    /// On a shared stream only the front end with the focus shows its prompt.
    private var hasFocus: Bool
    private static let inputChunk = 512

    init(server: ControlServer, stream: any CharacterBackend) {
        self.stream = stream
        monitor = HumanMonitor(server: server)
        let words = HumanCommandTable.all.flatMap(\.names) + InfoTable.all.map { "info " + $0.names[0] }
        editor = LineEditor(prompt: "(qemu) ", words: words.sorted())
        hasFocus = !(stream is MultiplexedBackend)
        monitor.history = { [unowned self] in editor.earlierLines }
        stream.frontend = self
    }

    var receiveCapacity: Int { output.isCongested ? 0 : Self.inputChunk }

    func receive(_ bytes: ArraySlice<UInt8>) {
        for byte in bytes {
            var echo: [UInt8] = []
            let outcome = editor.take(byte, echo: &echo)
            show(echo)
            if case .line(let line) = outcome {
                show(terminalBytes(monitor.run(line)))
                show(editor.shown)
            }
        }
    }

    func handle(_ event: CharacterEvent) {
        switch event {
        case .opened:
            editor.reset()
            output.clear()
            hasGreeted = false
            if hasFocus { greet() }
        case .closed:
            output.clear()
            hasGreeted = false
        case .focusGained:
            hasFocus = true
            if hasGreeted { show(Array("\r\n".utf8) + editor.shown) } else { greet() }
        case .focusLost: hasFocus = false
        case .breakReceived: break
        }
    }

    func outputIsReady() {
        let wasCongested = output.isCongested
        output.flush(to: stream)
        if wasCongested && !output.isCongested { stream.resumeInput() }
    }

    private func greet() {
        hasGreeted = true
        let version = QMPVersion.emulated
        show(
            Array(
                "QEMU \(version.major).\(version.minor).\(version.micro) monitor - type 'help' for more information\r\n"
                    .utf8)
                + editor.shown)
    }

    private func show(_ bytes: [UInt8]) {
        guard !bytes.isEmpty else { return }
        output.send(bytes, to: stream)
    }

    private func terminalBytes(_ text: String) -> [UInt8] {
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            if byte == 0x0A { bytes.append(0x0D) }
            bytes.append(byte)
        }
        return bytes
    }
}
