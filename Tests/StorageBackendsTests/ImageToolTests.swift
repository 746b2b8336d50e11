// SPDX-License-Identifier: Apache-2.0

import ManagementModel
import StateStore
import StorageBackends
import Testing

private func code(_ body: () throws -> Void) -> ErrorCode? {
    do {
        try body()
        return nil
    } catch { return (error as? ManagementError)?.code }
}

/// Pools whose images are made by a program that writes down what it is asked for.
@Suite struct ImageToolTests {
    private let folder = "/tmp/roost-tool-\(UniqueID.random())"
    private let pools: PoolDriver
    private let pool: ObjectReference

    init() throws {
        try StateFiles.makeFolder(folder)
        try StateFiles.write(
            folder + "/tool",
            """
            #!/bin/sh
            echo "$@" >> \(folder)/log
            case "$1" in
            create) for word; do last=$before; before=$word; done; echo image > "$last";;
            convert) for word; do last=$word; done; echo image > "$last";;
            resize) echo "it does not fit" >&2; exit 1;;
            esac
            """, mode: 0o700)
        pools = try PoolDriver(folder: folder + "/etc", imageTool: folder + "/tool", events: EventHub())
        pool = try pools.add(
            "<pool type='dir'><name>p</name><target><path>\(folder)/p//</path></target></pool>", persistent: true)
        try pools.start(pool.uuid, builds: true)
    }

    private func log() throws -> [String] {
        try (StateFiles.read(folder + "/log") ?? "").split(separator: "\n").map(String.init)
    }

    private func create(_ name: String, _ inside: String, from source: Volume? = nil) throws -> Volume {
        // Another test's child may still have the program open for writing.
        for _ in 0..<500 {
            do {
                return try pools.createVolume(
                    pool.uuid, "<volume><name>\(name)</name>\(inside)</volume>", from: source)
            } catch let error as ManagementError where error.description.contains("busy") { continue }
        }
        throw ManagementError(.systemError, "the program stays busy")
    }

    @Test func imagesAreMadeByTheProgram() throws {
        let volume = try create("a", "<capacity>1000</capacity><target><format type='qcow2'/></target>")
        #expect(volume.path == "\(folder)/p/a")
        _ = try create(
            "b",
            """
            <capacity>2000</capacity><target><format type='qcow2'/><compat>1.1</compat></target>
            <backingStore><path>\(folder)/p/a</path><format type='qcow2'/></backingStore>
            """)
        _ = try create("c", "<capacity>6</capacity><target><format type='vmdk'/></target>", from: volume)
        let path = folder + "/p"
        #expect(
            try log().prefix(3) == [
                "create -q -f qcow2 -o compat=0.10 \(path)/.roost-part-a 1000",
                "create -q -f qcow2 -b \(path)/a -F qcow2 -o compat=1.1 \(path)/.roost-part-b 2000",
                "convert -f raw -O vmdk \(path)/a \(path)/.roost-part-c",
            ])
    }

    @Test func aFailureIsReportedAndLeavesNothing() throws {
        let volume = try create("a", "<capacity>6</capacity><allocation>0</allocation>")
        let error = #expect(throws: ManagementError.self) {
            // A copy that has to grow.
            _ = try create("b", "<capacity>60000</capacity>", from: volume)
        }
        #expect(error?.description.contains("it does not fit") == true)
        #expect(!StateFiles.exists(folder + "/p/b"))
        #expect(code { try pools.resizeVolume(pool.uuid, named: "a", to: 100, shrinks: false) } == .internalError)
        #expect(code { try pools.resizeVolume(pool.uuid, named: "a", to: 1, shrinks: false) } == .invalidArg)
        #expect(try log().last == "resize -q -f raw \(folder)/p/a 100")
        #expect(code { try pools.resizeVolume(pool.uuid, named: "a", to: 1, shrinks: true) } == .internalError)
        #expect(try log().last == "resize -q -f raw --shrink \(folder)/p/a 1")
    }

    @Test func wipingLeavesZeroes() throws {
        _ = try create("a", "<capacity>6</capacity>")
        try StateFiles.write(folder + "/p/a", "secret")
        try pools.wipeVolume(pool.uuid, named: "a")
        #expect(try StateFiles.read(folder + "/p/a") == "\0\0\0\0\0\0")
    }

    @Test func whatOthersPutThereIsFoundByLookingAgain() throws {
        try StateFiles.write(folder + "/p/disc.iso", "x")
        try StateFiles.makeFolder(folder + "/p/inner")
        #expect(try pools.volumes(pool.uuid).isEmpty)
        try pools.refresh(pool.uuid)
        #expect(try pools.volumes(pool.uuid).map(\.name) == ["disc.iso", "inner"])
        #expect(try pools.volumes(pool.uuid).map(\.format) == ["iso", "dir"])
        #expect(try pools.volume(pool.uuid, named: "inner").type == 2)
        try pools.deleteVolume(pool.uuid, named: "inner")
        #expect(!StateFiles.exists(folder + "/p/inner"))
        #expect(try pools.volume(path: folder + "/p/disc.iso").volume.document.contains("<format type='iso'/>"))
    }

    @Test func slashesAtTheEndOfAPathAreDropped() throws {
        #expect(try pools.find(path: folder + "/p") == pool)
        #expect(try pools.document(pool.uuid, inactive: true).contains("<path>\(folder)/p</path>"))
    }

    @Test func eventsTellOfPools() throws {
        let hub = EventHub()
        let driver = try PoolDriver(folder: folder + "/other", imageTool: "/bin/false", events: hub)
        let seen = Seen()
        _ = hub.listen { event in
            switch event {
            case .pool(_, let number, _): seen.add(number)
            case .poolRefreshed: seen.add(100)
            default: seen.add(-1)
            }
        }
        let reference = try driver.add(
            "<pool type='dir'><name>e</name><target><path>\(folder)/e</path></target></pool>", persistent: true)
        try driver.start(reference.uuid, builds: true)
        try driver.refresh(reference.uuid)
        try driver.stop(reference.uuid)
        try driver.delete(reference.uuid)
        try driver.undefine(reference.uuid)
        let (defined, created, started, refreshed): (Int32, Int32, Int32, Int32) = (0, 4, 2, 100)
        let (stopped, deleted, undefined): (Int32, Int32, Int32) = (3, 5, 1)
        #expect(seen.all == [defined, created, started, refreshed, stopped, deleted, undefined])
    }

    @Test func aPoolThatIsNotKeptIsGoneWhenItStops() throws {
        try StateFiles.makeFolder(folder + "/t")
        let text = "<pool type='dir'><name>t</name><target><path>\(folder)/t</path></target></pool>"
        let transient = try pools.add(text, persistent: false)
        #expect(try pools.facts(transient.uuid).isActive)
        #expect(code { try pools.setAutostart(transient.uuid, true) } == .internalError)
        try pools.stop(transient.uuid)
        #expect(code { _ = try pools.facts(transient.uuid) } == .noStoragePool)
        // One that cannot start is not kept at all.
        let missing = text.replacing("\(folder)/t", with: "\(folder)/missing")
        #expect(code { _ = try pools.add(missing, persistent: false) } == .systemError)
        #expect(code { _ = try pools.find(named: "t") } == .noStoragePool)
    }

    @Test(arguments: [
        ("fs", "", ErrorCode.xmlError), ("netfs", "<source><host name='-o x'/><dir path='/d'/></source>", .xmlError),
        ("netfs", "<source><host name='h'/></source>", .xmlError),
        ("rbd", "", .operationUnsupported),
    ])
    func poolsThatCannotStart(_ type: String, _ source: String, _ expected: ErrorCode) throws {
        try StateFiles.makeFolder(folder + "/x")
        let text = "<pool type='\(type)'><name>x</name>\(source)<target><path>\(folder)/x</path></target></pool>"
        // One that says too little is not even kept.
        #expect(code { try pools.start(try pools.add(text, persistent: true).uuid, builds: false) } == expected)
        if let kept = try? pools.find(named: "x") { #expect(try pools.facts(kept.uuid).isActive == false) }
    }
}

private final class Seen: @unchecked Sendable {
    // Added to by the thread of the test alone.
    private(set) var all: [Int32] = []
    func add(_ number: Int32) { all.append(number) }
}
