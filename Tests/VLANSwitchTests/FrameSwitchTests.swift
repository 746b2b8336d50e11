// SPDX-License-Identifier: Apache-2.0

import Testing
import VLANSwitch

/// A frame between two hosts, whose addresses end with these numbers; 255 is everybody.
private func frame(_ from: UInt8, _ to: UInt8, tag: UInt16? = nil) -> [UInt8] {
    var bytes: [UInt8] = to == 255 ? [255, 255, 255, 255, 255, 255] : [2, 0, 0, 0, 0, to]
    bytes += [2, 0, 0, 0, 0, from]
    if let tag { bytes += [0x81, 0, UInt8(tag >> 8), UInt8(tag & 255)] }
    bytes += [8, 0]
    return bytes + [UInt8](repeating: 7, count: 46)
}

extension FrameSwitch {
    fileprivate mutating func pass(_ bytes: [UInt8], tag: UInt16? = nil, from: Int, now: UInt64 = 0) -> Delivery? {
        unsafe bytes.withUnsafeBytes { unsafe forward($0, tag: tag, from: from, now: now) }
    }

    fileprivate mutating func reached(_ bytes: [UInt8], from: Int, now: UInt64 = 0) -> Set<Int> {
        Set((pass(bytes, from: from, now: now)?.ports ?? []).map(\.port))
    }
}

@Suite struct FrameSwitchTests {
    /// Two ports each of VLAN 10 and 20, a trunk of both, and the bridge's side.
    private func lab() -> FrameSwitch {
        var frames = FrameSwitch()
        frames.add(0, SwitchPort(native: 1))
        for number in [1, 2] { frames.add(number, SwitchPort(native: 10)) }
        for number in [3, 4] { frames.add(number, SwitchPort(native: 20)) }
        frames.add(5, SwitchPort(tagged: [10, 20]))
        return frames
    }

    @Test func vlansDoNotMeet() {
        var frames = lab()
        #expect(frames.reached(frame(1, 255), from: 1) == [2, 5])
        #expect(frames.reached(frame(3, 255), from: 3) == [4, 5])
        #expect(frames.reached(frame(9, 255), from: 0) == [])
    }

    @Test func addressesAreLearntInEachVLANOfItsOwn() {
        var frames = lab()
        _ = frames.pass(frame(1, 255), from: 1)
        #expect(frames.reached(frame(2, 1), from: 2) == [1])
        // The same address is unknown in the other VLAN.
        #expect(frames.reached(frame(3, 1), from: 3) == [4, 5])
        // A host that moved is found where it is.
        _ = frames.pass(frame(1, 255), from: 2)
        #expect(frames.reached(frame(6, 1, tag: 10), from: 5) == [2])
    }

    @Test func aTrunkHasTags() throws {
        var frames = lab()
        let outFound = frames.pass(frame(1, 255), from: 1)
        let out = try #require(outFound)
        #expect(out.tag & 0xfff == 10 && out.skipped == 0)
        #expect(Set(out.ports) == [.init(port: 2, isTagged: false), .init(port: 5, isTagged: true)])
        let backFound = frames.pass(frame(6, 255, tag: 0x600a), from: 5)
        let back = try #require(backFound)
        #expect(back.tag == 0x600a && back.skipped == 4)
        #expect(Set(back.ports.map(\.port)) == [1, 2])
        // The kernel takes the tag out of the frame and says it beside it.
        let besideFound = frames.pass(frame(6, 255), tag: 20, from: 5)
        let beside = try #require(besideFound)
        #expect(beside.skipped == 0 && Set(beside.ports.map(\.port)) == [3, 4])
    }

    @Test func whatAPortDoesNotCarryIsDropped() {
        var frames = lab()
        #expect(frames.pass(frame(1, 255, tag: 20), from: 1) == nil)
        #expect(frames.pass(frame(6, 255), from: 5) == nil)
        #expect(frames.pass(frame(6, 255, tag: 30), from: 5) == nil)
        #expect(frames.pass(frame(6, 255, tag: 0xfff), from: 5) == nil)
        #expect(frames.pass(frame(1, 255), from: 99) == nil)
        #expect(frames.pass([], from: 1) == nil)
        #expect(frames.pass(Array(frame(1, 255, tag: 10).prefix(15)), from: 1) == nil)
    }

    @Test func aPriorityAloneIsNoVLAN() throws {
        var frames = lab()
        let outFound = frames.pass(frame(1, 255, tag: 0xe000), from: 1)
        let out = try #require(outFound)
        #expect(out.tag == 0xe00a && out.skipped == 4)
    }

    @Test func aNativeVLANMayKeepItsTag() throws {
        var frames = FrameSwitch()
        frames.add(1, SwitchPort(tagged: [10, 42], native: 42))
        frames.add(2, SwitchPort(tagged: [10], native: 42))
        let outFound = frames.pass(frame(1, 255), from: 1)
        let out = try #require(outFound)
        #expect(out.ports == [.init(port: 2, isTagged: false)])
        let backFound = frames.pass(frame(2, 255), from: 2)
        let back = try #require(backFound)
        #expect(back.ports == [.init(port: 1, isTagged: true)])
    }

    @Test func oldAddressesAndThoseOfLostPortsAreForgotten() {
        var frames = lab()
        _ = frames.pass(frame(1, 255), from: 1, now: 5)
        #expect(frames.reached(frame(2, 1), from: 2, now: 6) == [1])
        #expect(frames.reached(frame(2, 1), from: 2, now: 5 + FrameSwitch.lifetime) == [1, 5])
        _ = frames.pass(frame(1, 255), from: 1, now: 7)
        frames.remove(1)
        #expect(frames.reached(frame(2, 1), from: 2, now: 8) == [5])
    }

    @Test func aGuestThatInventsAddressesFillsNothing() {
        var frames = lab()
        for number in 0..<(3 * FrameSwitch.capacity) {
            var bytes = frame(1, 255)
            (bytes[9], bytes[10]) = (UInt8(truncatingIfNeeded: number >> 8), UInt8(truncatingIfNeeded: number))
            _ = frames.pass(bytes, from: 1, now: UInt64(number))
        }
        #expect(frames.known <= FrameSwitch.capacity)
    }

    /// Whatever comes in: nothing leaves by the port that it came in at, nor where its VLAN is not carried.
    @Test func noFrameCrosses() {
        var frames = lab()
        var random = SystemRandomNumberGenerator()
        for step in 0..<20_000 {
            let count = Int.random(in: 0...80, using: &random)
            var bytes = (0..<count).map { _ in UInt8.random(in: 0...3, using: &random) }
            if count > 14, step % 2 == 0 { (bytes[12], bytes[13]) = (0x81, 0) }
            let source = Int.random(in: 0...6, using: &random)
            let beside = step % 3 == 0 ? UInt16.random(in: 0...30, using: &random) : nil
            guard let out = frames.pass(bytes, tag: beside, from: source, now: UInt64(step)) else { continue }
            for exit in out.ports {
                #expect(exit.port != source && frames.ports[exit.port]?.carries(out.tag & 0xfff) == true)
            }
            #expect(frames.ports[source]?.carries(out.tag & 0xfff) == true)
        }
    }
}

@Suite struct SwitchPortTests {
    @Test(arguments: [
        SwitchPort(native: 1, carriesAll: true), SwitchPort(tagged: [7, 4094], native: 7), SwitchPort(),
    ])
    func wordsAreReadAgain(_ port: SwitchPort) { #expect(SwitchPort(words: port.words.map { Substring($0) }) == port) }

    @Test(arguments: ["native=0", "native=4095", "tagged=", "tagged=1,,2", "tagged=1,x", "what", "native=-1"])
    func rubbishIsNoPort(_ word: Substring) { #expect(SwitchPort(words: [word]) == nil) }
}
