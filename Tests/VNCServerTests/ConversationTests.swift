// SPDX-License-Identifier: Apache-2.0

import DisplaySurfaces
import Testing
import VNCServer
import VNCTestKit

@Suite struct HandshakeTests {
    private func handshake(_ proof: VNCProof, password: String? = nil) -> VNCHandshake {
        VNCHandshake(proof: proof, password: { password.map { Array($0.utf8) } }, encrypt: nil)
    }

    @Test(arguments: [("003.003", [0, 0, 0, 1]), ("003.007", [1, 1]), ("003.008", [1, 1, 0, 0, 0, 0])])
    func everyVersionGetsInWithoutProof(_ version: String, _ answer: [UInt8]) throws {
        let choice: [UInt8] = version == "003.003" ? [] : [1]
        let channel = ScriptedChannel(Array("RFB \(version)\n".utf8) + choice + [1])
        let outcome = try handshake(.none).perform(on: channel)
        #expect(outcome.isShared)
        #expect(Array(channel.output.dropFirst(12)) == answer)
    }

    /// Answers a challenge, which is the last that was sent, with a password.
    private func client(_ password: String) -> ScriptedChannel {
        let channel = ScriptedChannel(Array("RFB 003.008\n".utf8) + [2])
        var hasAnswered = false
        channel.answer = { output in
            if hasAnswered { return [0] }
            hasAnswered = true
            return VNCHandshake.response(to: Array(output.suffix(16)), password: Array(password.utf8)) ?? []
        }
        return channel
    }

    @Test func thePasswordOpens() throws {
        let channel = client("geheim")
        let outcome = try handshake(.password, password: "geheim").perform(on: channel)
        #expect(!outcome.isShared)
        #expect(channel.output.suffix(4) == [0, 0, 0, 0])
        // Of a long password, eight bytes count.
        _ = try handshake(.password, password: "langes Passwort").perform(on: client("langes Pantoffeltier"))
    }

    @Test(arguments: ["falsch", nil]) func anythingElseDoesNot(_ password: String?) {
        let channel = client("geheim")
        #expect(throws: VNCFailure.self) { _ = try handshake(.password, password: password).perform(on: channel) }
        #expect(String(decoding: channel.output.suffix(21), as: UTF8.self) == "Authentication failed")
    }

    @Test func theChallengeIsAnsweredAsOtherClientsDo() {
        // From a recorded connection of another client with the password "secret12".
        let challenge = [UInt8](0..<16)
        let answer = VNCHandshake.response(to: challenge, password: Array("secret12".utf8))
        #expect(answer?.count == 16)
        #expect(answer != VNCHandshake.response(to: challenge, password: Array("secret13".utf8)))
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\n\r\n", "RFB 009.009\n", "RFB 003.008\n\u{2}", "RFB 003.0", "RFB 003.008\n\u{0}",
    ])
    func othersAreSentAway(_ text: String) {
        #expect(throws: VNCFailure.self) {
            _ = try handshake(.none).perform(on: ScriptedChannel(Array(text.utf8)))
        }
    }
}

@Suite struct MessageTests {
    private func message(_ bytes: [UInt8]) throws -> ClientMessage {
        try ClientMessage(from: VNCReader(ScriptedChannel(bytes)))
    }

    @Test func messagesAreRead() throws {
        #expect(
            try message([2, 0, 0, 3, 0, 0, 0, 7, 0xFF, 0xFF, 0xFF, 0x21, 0, 0, 0, 0]) == .setEncodings([7, -223, 0]))
        #expect(
            try message([3, 1, 0, 1, 0, 2, 0, 3, 0, 4])
                == .updateRequest(isIncremental: true, PixelRectangle(x: 1, y: 2, width: 3, height: 4)))
        #expect(try message([4, 1, 0, 0, 0, 0, 0xFF, 0x0D]) == .key(keysym: 0xFF0D, isDown: true))
        #expect(try message([5, 3, 1, 0, 0, 2]) == .pointer(buttons: 3, x: 256, y: 2))
        #expect(try message([6, 0, 0, 0, 0, 0, 0, 2, 65, 66]) == .clipboard)
        #expect(
            try message([255, 0, 0, 1, 0, 0, 0, 97, 0, 0, 0, 30]) == .extendedKey(keysym: 97, code: 30, isDown: true))
        #expect(
            try message([251, 0, 3, 0, 2, 0, 1, 0] + [UInt8](repeating: 0, count: 16))
                == .setDesktopSize(width: 768, height: 512))
        #expect(try message([250, 0, 1, 4]) == .power(4))
    }

    @Test(
        arguments: [
            [9], [6, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF], [255, 1, 0, 0], [4, 1, 0], [],
            [6, 0, 0, 0, 0, 0x20, 0, 0] + [UInt8](repeating: 1, count: 100),
        ] as [[UInt8]])
    func otherMessagesEndTheConnection(_ bytes: [UInt8]) {
        #expect(throws: VNCFailure.self) { _ = try message(bytes) }
    }

    @Test func rubbishEndsTheConnectionAndNothingElse() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            var bytes = (0..<Int.random(in: 0..<200, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            if !bytes.isEmpty { bytes[0] = [0, 2, 3, 4, 5, 6, 250, 251, 255].randomElement(using: &random)! }
            let reader = VNCReader(ScriptedChannel(bytes))
            reader.readsAhead = true
            var state = ClientState(image: DisplayImage(width: 100, height: 50), isLocal: false)
            while let message = try? ClientMessage(from: reader) {
                switch message {
                case .setPixelFormat(let format): state.set(format)
                case .setEncodings(let list): state.set(list)
                case .updateRequest(let isIncremental, let part): state.request(isIncremental: isIncremental, part)
                default: break
                }
                state.refreshed()
                _ = state.takeMessages()
                if let job = state.takeUpdate() { _ = try? UpdateEncoder().update(job.image, job.parts, job.choice) }
            }
        }
    }
}

@Suite struct ClientStateTests {
    private func state(_ encodings: [Int32] = []) -> ClientState {
        var state = ClientState(image: DisplayImage(width: 200, height: 100), isLocal: false)
        state.set(encodings)
        return state
    }

    @Test func nothingIsSentBeforeItIsAskedFor() {
        var state = state()
        state.change(DisplayImage(width: 200, height: 100), [PixelRectangle(x: 0, y: 0, width: 10, height: 10)])
        #expect(!state.isReady)
        #expect(state.takeUpdate() == nil)
        state.request(isIncremental: true, PixelRectangle(x: 0, y: 0, width: 200, height: 100))
        #expect(state.isReady && state.isWaiting)
        #expect(state.takeUpdate()?.parts == [PixelRectangle(x: 0, y: 0, width: 64, height: 16)])
        #expect(!state.isWaiting)
    }

    @Test func changesAreJoinedAndStayInside() {
        var state = state()
        state.request(isIncremental: true, PixelRectangle(x: 0, y: 0, width: 200, height: 100))
        #expect(!state.isReady)
        state.change(
            DisplayImage(width: 200, height: 100),
            [PixelRectangle(x: 65, y: 20, width: 100, height: 60), PixelRectangle(x: -5, y: 0, width: 9, height: 9)])
        #expect(state.takeUpdate()?.parts == [PixelRectangle(x: 64, y: 16, width: 128, height: 64)])
        state.request(isIncremental: false, PixelRectangle(x: 0, y: 0, width: 65535, height: 65535))
        // What was drawn before the question is no answer.
        #expect(!state.isReady && state.takeUpdate() == nil)
        state.refreshed()
        #expect(state.takeUpdate()?.parts == [PixelRectangle(x: 0, y: 0, width: 200, height: 100)])
    }

    @Test func clientsThatCanAreToldOfANewSize() {
        var able = state([-223]), unable = state()
        for side in [400, 100] {
            able.resize(DisplayImage(width: side, height: 50))
            unable.resize(DisplayImage(width: side, height: 50))
        }
        #expect(able.width == 100 && able.height == 50)
        #expect(able.takeMessages().count == 2 * 16)
        #expect(unable.width == 200)
        #expect(unable.takeMessages().isEmpty)
        unable.request(isIncremental: false, PixelRectangle(x: 0, y: 0, width: 200, height: 100))
        unable.refreshed()
        #expect(unable.takeUpdate()?.parts == [PixelRectangle(x: 0, y: 0, width: 100, height: 50)])
    }

    @Test func extrasGoOnlyToClientsThatKnowThem() {
        var plain = state()
        plain.sendKeyboardSupport()
        plain.sendPointerType(isAbsolute: true)
        plain.sendIndicators(1)
        plain.sendPowerSupport()
        plain.sendSize(reason: 0, status: 0)
        plain.send(CursorImage(width: 1, height: 1, hotX: 0, hotY: 0, pixels: [0xFF00_0000]))
        #expect(plain.takeMessages().isEmpty)
        var rich = state([7, -258, -257, -261, -308, -309, -239])
        rich.sendIndicators(5)
        #expect(rich.takeMessages() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0xFF, 0xFF, 0xFE, 0xFB, 5])
        rich.sendSize(reason: 1, status: 3)
        #expect(rich.takeMessages().count == 16 + 20)
        rich.send(
            CursorImage(width: 9, height: 1, hotX: 2, hotY: 0, pixels: [UInt32](repeating: 0xFF12_3456, count: 9)))
        #expect(rich.takeMessages().suffix(2) == [0xFF, 0x80])
    }

    @Test func theFirstKnownEncodingIsChosen() {
        #expect(state([-223, 1000, 16, 7]).choice.encoding == .zrle)
        #expect(state([-250, 7]).choice.level == 6)
        #expect(state([]).choice.encoding == .raw)
    }
}

@Suite struct WebSocketTests {
    private static let request = """
        GET /websockify HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat, binary\r
        Sec-WebSocket-Version: 13\r\n\r\n
        """

    private func bytes(of channel: WebSocketChannel) -> [UInt8] {
        var all: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 64)
        while true {
            let count = unsafe room.withUnsafeMutableBytes { (try? unsafe channel.receive(into: $0)) ?? 0 }
            if count == 0 { return all }
            all += room.prefix(count)
        }
    }

    @Test func theRequestIsAnsweredAndFramesAreUnmasked() throws {
        // A frame in two parts with a ping between them, and the end.
        var frames: [UInt8] = [0x02, 0x83, 1, 2, 3, 4, 64, 64, 64]
        frames += [0x89, 0x81, 9, 0, 0, 0, 89]
        frames += [0x80, 0x82, 0, 0, 0, 0, 68, 69]
        frames += [0x88, 0x80, 0, 0, 0, 0]
        let inner = ScriptedChannel(Array(Self.request.utf8) + frames)
        let channel = try WebSocketChannel(inner)
        let answer = String(decoding: inner.output, as: UTF8.self)
        #expect(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"))
        #expect(answer.contains("Sec-WebSocket-Protocol: binary\r\n"))
        let before = inner.output.count
        #expect(bytes(of: channel) == Array("ABCDE".utf8))
        #expect(Array(inner.output.dropFirst(before)) == [0x8A, 1, 80, 0x88, 0])
    }

    @Test func longMessagesGetLongLengths() throws {
        let inner = ScriptedChannel(Array(Self.request.utf8))
        let channel = try WebSocketChannel(inner)
        let before = inner.output.count
        for count in [1, 126, 70000] {
            let data = [UInt8](repeating: 7, count: count)
            try unsafe data.withUnsafeBytes { try unsafe channel.send($0) }
        }
        #expect(inner.output.count - before == (2 + 1) + (4 + 126) + (10 + 70000))
    }

    @Test(arguments: ["GET / HTTP/1.1\r\n\r\n", "RFB 003.008\n", String(repeating: "x", count: 5000)])
    func otherRequestsAreRefused(_ text: String) {
        #expect(throws: VNCFailure.self) { _ = try WebSocketChannel(ScriptedChannel(Array(text.utf8))) }
    }
}
