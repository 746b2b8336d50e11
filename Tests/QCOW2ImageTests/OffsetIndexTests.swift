// SPDX-License-Identifier: Apache-2.0

import QCOW2Image
import RandomKit
import Testing

@Suite struct OffsetIndexTests {
    @Test func answersAsADictionaryDoes() {
        var random = SeededGenerator(seed: 11)
        var index = OffsetIndex()
        var model: [Int64: Int] = [:]
        for _ in 0..<20_000 {
            let key = Int64.random(in: 0..<700, using: &random) << 12
            if Bool.random(using: &random) {
                let value = Int.random(in: 0..<100_000, using: &random)
                index[key] = value
                model[key] = value
            } else {
                index[key] = nil
                model[key] = nil
            }
            #expect(index.count == model.count)
        }
        for key in stride(from: Int64(0), to: 800 << 12, by: 1 << 12) { #expect(index[key] == model[key]) }
        #expect(index[-4096] == nil)
        index.removeAll()
        #expect(index.count == 0 && index[0] == nil)
    }
}
