// SPDX-License-Identifier: Apache-2.0

import InterruptControllers
import Testing

@Suite struct VectorSetTests {
    @Test func everyVectorIsItsOwnMember() {
        for vector in UInt8.min...UInt8.max {
            var set = VectorSet()
            #expect(set.highest == nil)
            set.insert(vector)
            #expect(set.highest == vector)
            #expect(set.contains(vector) && !set.contains(vector ^ 0x41))
            #expect(set.registerWord(Int(vector) / 32) == 1 << UInt32(vector % 32))
            #expect(set != VectorSet())
            set.remove(vector)
            #expect(set == VectorSet())
        }
    }

    @Test func highestOfSeveral() {
        var set = VectorSet()
        for vector in [3, 64, 130, 255] as [UInt8] {
            set.insert(vector)
            #expect(set.highest == vector)
        }
        set.remove(255)
        #expect(set.highest == 130)
    }
}
