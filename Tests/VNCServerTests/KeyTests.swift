// SPDX-License-Identifier: Apache-2.0

import DisplaySurfaces
import HostSystem
import Testing
import VNCServer

/// What a guest's keyboard gets of clients that send names of keys.
@Suite struct KeyTests {
    private final class Keyboard: KeyboardSink {
        var keys = ""

        func send(_ key: KeyCode, isDown: Bool) { keys += (isDown ? "+" : "-") + key.name + " " }
    }

    /// - Parameter names: keysyms; negative ones are let go.
    private func typed(_ names: [Int], capsLock: Bool = false) -> String {
        let router = InputRouter(machineLock: Lock()), keyboard = Keyboard()
        router.add(keyboard)
        var hands = ClientInput()
        for name in names {
            hands.key(named: UInt32(abs(name)), isDown: name > 0, capsLockIsOn: capsLock, to: router)
        }
        hands.release(router)
        return keyboard.keys
    }

    private func presses(_ text: String) -> [Int] { text.unicodeScalars.flatMap { [Int($0.value), -Int($0.value)] } }

    @Test func shiftIsHeldForWhatNeedsIt() {
        #expect(typed(presses("a_")) == "+a -a +shift +minus -minus -shift ")
        #expect(typed(presses("A1:")) == "+shift +a -a -shift +1 -1 +shift +semicolon -semicolon -shift ")
        #expect(typed(presses(" \r")) == "+spc -spc ")
    }

    @Test func aClientsOwnShiftIsLeftAlone() {
        #expect(typed([0xFFE1, 0x41, -0x41, 0x42, -0x42, -0xFFE1]) == "+shift +a -a +b -b -shift ")
        #expect(typed([0xFFE2, 0x5F, -0x5F, -0xFFE2]) == "+shift_r +minus -minus -shift_r ")
        // It comes late: nothing that was lent is taken back.
        #expect(typed([0x41, 0xFFE1, -0x41, 0x42, -0x42, -0xFFE1]) == "+shift +a +shift -a +b -b -shift ")
    }

    @Test func shiftDoesNotReachTheNextKey() {
        #expect(typed([0x41, 0x62, -0x41, -0x62]) == "+shift +a -shift +b -a -b ")
        #expect(typed([0x41, 0x42, -0x41, -0x42]) == "+shift +a +b -a -shift -b ")
        #expect(typed([0x41]) == "+shift +a -a -shift ")
    }

    @Test func capsLockWritesLettersAlone() {
        #expect(typed(presses("Aa_"), capsLock: true) == "+a -a +shift +a -a -shift +shift +minus -minus -shift ")
    }
}
