// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import QCOW2Image
import StorageTestKit
import Testing

@Suite struct VMStateTests {
    private func pattern(_ seed: UInt8, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 / 7) ^ seed }
    }

    @Test(arguments: ["", "cluster_size=4k", "cluster_size=16k,extended_l2=on", "compat=0.10"])
    func aSnapshotKeepsTheState(options: String) throws {
        let images = Images()
        let path = try images.create("s.qcow2", size: 3 << 20, options)
        let node = try images.open(path)
        try node.write([UInt8](repeating: 1, count: 50_000), at: 0)
        for (index, name) in ["first", "second"].enumerated() {
            let state = pattern(UInt8(index + 1), 700_001 + index * 5_000_000)
            var position = 0
            while position < state.count {
                let part = Array(state[position..<min(state.count, position + 77_777)])
                try node.writeVMState(AlignedBuffer.holding(part).region, at: Int64(position))
                position += part.count
            }
            try node.createSnapshot(
                SnapshotInformation(identifier: "", name: name, vmStateSize: Int64(state.count), dateSeconds: 1))
        }
        for (index, name) in ["first", "second"].enumerated() {
            let state = pattern(UInt8(index + 1), 700_001 + index * 5_000_000)
            let snapshot = try #require(node.snapshots.first { $0.name == name })
            #expect(snapshot.vmStateSize == Int64(state.count))
            try node.applySnapshot(identifier: snapshot.identifier)
            let buffer = AlignedBuffer(count: state.count)
            try node.readVMState(buffer.region, at: 0)
            #expect(buffer.region.bytes == state)
        }
        #expect(try node.readBytes(at: 0, count: 50_000).allSatisfy { $0 == 1 })
        #expect(throws: BlockError.self) { try node.readVMState(AlignedBuffer(count: 1).region, at: .max) }
        try node.close()
        try expectClean(images, path, "\(options)")
        guard hasQEMU else { return }
        #expect(run("qemu-img snapshot -a first \(path)").status == 0)
        try [UInt8](pattern(1, 4096)).save(images.folder.file("expected"))
        let outcome = run("qemu-io -c 'read -b -v 0 512' \(path)")
        #expect(outcome.output.contains("01 01 01 01 01 01 01 00 00 00"), "\(outcome.output)")
    }

    @Test func theStateOfTheOriginalIsRead() throws {
        guard hasQEMU else { return }
        let images = Images()
        let path = images.folder.file("t.qcow2")
        _ = run("qemu-img create -q -f qcow2 \(path) 1M && qemu-io -c 'write -b -P 7 64k 200k' \(path)")
        let node = try images.open(path)
        let buffer = AlignedBuffer(count: 200 << 10)
        try node.readVMState(buffer.region, at: 64 << 10)
        #expect(buffer.region.bytes.allSatisfy { $0 == 7 })
        try node.close()
    }
}
