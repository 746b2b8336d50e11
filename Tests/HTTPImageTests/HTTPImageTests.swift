// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import Glibc
import HTTPImage
import RandomKit
import StorageTestKit
import Testing

/// The server of `server.py` on the loopback device, as long as this lives.
@safe
final class WebServer {
    let folder = Folder()
    let port: Int
    // The pipe to the program, whose input ends when it is closed.
    private let pipe: UnsafeMutablePointer<FILE>

    init?() {
        let script = #filePath.split(separator: "/").dropLast().joined(separator: "/")
        let answer = folder.file("port")
        guard let pipe = unsafe popen("exec python3 /\(script)/server.py \(folder.path) > \(answer)", "w") else {
            return nil
        }
        unsafe self.pipe = pipe
        let number = run("for i in $(seq 100); do [ -s \(answer) ] && break; sleep 0.1; done; cat \(answer)").output
        guard let port = Int(number.filter(\.isNumber)) else {
            unsafe pclose(pipe)
            return nil
        }
        self.port = port
    }

    deinit { _ = unsafe pclose(pipe) }

    /// Puts a file there and names it.
    func put(_ name: String, _ bytes: [UInt8]) throws {
        let graph = BlockGraph(drivers: [FileDriver.file])
        var options = CreateOptions(FileDriver.file.createOptions)
        try options.set("size", String(bytes.count))
        try FileDriver.file.create(CreateRequest(filename: folder.file(name), options: options, graph: graph))
        var flags = OpenFlags.writable
        flags.mayResize = true
        let node = try graph.open(
            folder.file(name), options: BlockOptions([("driver", .string("file"))]), flags: flags)
        try node.write(bytes, at: 0)
        try (node as? any ResizableNode)?.resize(to: Int64(bytes.count), preallocation: .off, exact: true)
        try node.close()
    }

    func url(_ kind: String, _ name: String) -> String { "http://127.0.0.1:\(port)/\(kind)/\(name)" }
}

/// The library and the server's interpreter are there.
let canServe = isInstalled("python3") && run("ldconfig -p | grep -q libcurl").status == 0

@Suite(.enabled(if: canServe, "needs python3 and libcurl")) struct HTTPImageTests {
    let server: WebServer
    let bytes: [UInt8]
    let graph = BlockGraph(drivers: [FileDriver.file] + HTTPDriver.all)

    init() throws {
        server = try #require(WebServer())
        var random = SeededGenerator(seed: 5)
        bytes = (0..<700_001).map { _ in UInt8.random(in: 0...255, using: &random) }
        try server.put("disk", bytes)
    }

    func open(_ url: String, _ more: [(String, BlockOptions.Value)] = []) throws -> any BlockNode {
        try graph.open(
            nil, options: BlockOptions([("driver", .string("http")), ("url", .string(url))] + more), flags: OpenFlags())
    }

    @Test(arguments: [0, 512, 4096, 262_144]) func readsWhatIsThere(readahead: Int64) throws {
        let node = try open(server.url("file", "disk"), [("readahead", .number(readahead))])
        #expect(node.length == Int64(bytes.count) && node.isReadOnly)
        #expect(try node.readBytes(at: 0, count: bytes.count) == bytes)
        for (offset, count) in [(1, 1), (262_143, 2), (699_000, 1001), (100_000, 300_000)] {
            #expect(try node.readBytes(at: Int64(offset), count: count) == Array(bytes[offset..<offset + count]))
        }
        // As with a file, what is past the end is zeroes.
        let tail = try node.readBytes(at: Int64(bytes.count) - 1, count: 3)
        #expect(tail == [bytes[bytes.count - 1], 0, 0])
        try node.close()
    }

    @Test func severalThreadsReadAtTheSameTime() throws {
        let node = try open(server.url("moved", "disk"), [("readahead", .number(8192))])
        let bytes = bytes
        let results = try inParallel(4) { thread in
            (0..<20).allSatisfy { round in
                let offset = (round * 37 + thread * 11) * 700 % 600_000
                return (try? node.readBytes(at: Int64(offset), count: 20_000)) == Array(bytes[offset..<offset + 20_000])
            }
        }
        #expect(results == [true, true, true, true])
        try node.close()
    }

    @Test func cookiesAreSent() throws {
        let url = server.url("cookie", "disk")
        #expect(throws: BlockError.self) { try open(url) }
        let node = try open(url, [("cookie", .string("a=b"))])
        #expect(try node.readBytes(at: 5, count: 9) == Array(bytes[5..<14]))
        #expect(node.location.filename.hasPrefix("json:{"))
        try node.close()
    }

    @Test func whatAServerCannotDoIsTold() throws {
        func message(_ body: () throws -> Void) -> String {
            do {
                try body()
                return ""
            } catch {
                return "\(error)"
            }
        }
        #expect(message { _ = try open(server.url("whole", "disk")) }.contains("does not support 'range'"))
        #expect(message { _ = try open(server.url("file", "none")) }.contains("404"))
        let short = try open(server.url("short", "disk"))
        #expect(message { _ = try short.readBytes(at: 0, count: 512) }.contains("CURL: Error reading"))
        #expect(message { try short.write([1], at: 0) }.contains("only read"))
        try short.close()
    }

    @Test func optionsAreChecked() {
        let url = server.url("file", "disk")
        #expect(throws: BlockError.self) { try open(url, [("readahead", .number(100))]) }
        #expect(throws: BlockError.self) { try open(url, [("timeout", .number(-1))]) }
        #expect(throws: BlockError.self) { try open("https://127.0.0.1/x") }
        #expect(throws: BlockError.self) { try open(url, [("cookie", .string("x")), ("cookie-secret", .string("y"))]) }
        #expect(throws: BlockError.self) { try graph.open(url, flags: .writable) }
    }
}
