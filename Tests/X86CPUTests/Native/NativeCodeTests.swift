// SPDX-License-Identifier: Apache-2.0

import Testing
import X86CPU

@Suite struct NativeCodeTests {
    @Test func runsWhatWasAppended() {
        var words: [UInt64] = [1, 42]
        let result = words.withUnsafeMutableBytes { NativeSupport.call(NativeSupport.copyingCode, $0.baseAddress!) }
        #expect(result == 42)
        #expect(words == [42, 42])
    }

    @Test(arguments: [(1, 256), (16, 256), (17, 128), (4096, 1), (4097, 0)])
    func refusesWhatDoesNotFit(size: Int, pieces: Int) {
        #expect(NativeSupport.pieces(of: size) == pieces)
    }

    @Test func tablesAreSound() {
        #expect(NativeSupport.tablesAreSound)
        #expect(NativeSupport.longestThunkBytes <= 112)
        #expect(NativeSupport.worstCaseCodeBytes < 32 << 20)
    }
}
