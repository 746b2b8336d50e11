// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem
internal import Synchronization

extension ImageTool {
    private struct BenchArguments {
        var format: String?
        var isOptions = false
        var count: Int64 = 75000
        var depth: Int64 = 64
        var flushInterval: Int64 = 0
        var offset: Int64 = 0
        var pattern: Int64 = 0
        var size: Int64 = 4096
        var step: Int64 = 0
        var flags = OpenFlags()
        var aio: String?
    }

    func bench(_ arguments: [String]) throws -> Int32 {
        var result = BenchArguments()
        var cache: String?
        let operands = try OptionParser([
            .init("h", "help"), .init("c", value: true), .init("d", value: true), .init("f", value: true),
            .init(nil, "flush-interval", value: true), .init("i", value: true), .init("n"), .init(nil, "no-drain"),
            .init("o", value: true), .init(nil, "pattern", value: true), .init("q"), .init("s", value: true),
            .init("S", value: true), .init("t", value: true), .init("w"), .init("U", "force-share"),
            .init(nil, "image-opts"),
        ]).parse(arguments) { key, value in
            switch key {
            case "help": throw Exit(status: help(), lines: [])
            case "f": result.format = value
            case "image-opts": result.isOptions = true
            case "i":
                guard ["native", "threads", "io_uring"].contains(value) else {
                    throw fail("Invalid aio option: \(value)")
                }
                result.aio = value
            case "n": result.aio = "native"
            case "q": break
            case "t": cache = value
            case "w": result.flags.isWritable = true
            case "force-share": result.flags.forceShare = true
            default: try parseNumber(key, value, &result)
            }
        }
        guard operands.count == 1 else { throw oneImage(operands) }
        if let cache {
            guard let mode = try? cacheMode(cache, message: "") else { throw fail("Invalid cache mode") }
            result.flags.cache = mode
        }
        if !result.flags.isWritable, result.flushInterval > 0 {
            throw fail("--flush-interval is only available in write tests")
        }
        if result.flushInterval > 0, result.flushInterval < result.depth {
            throw fail("Flush interval can't be smaller than depth")
        }
        if result.aio == "native", !result.flags.cache.isDirect {
            throw fail("Could not open '\(operands[0])': \(FileDriver.nativeNeedsDirect)")
        }
        let node = try open(operands[0], format: result.format, isOptions: result.isOptions, flags: result.flags)
        return try closing(node) { try bench(node, result) }
    }

    private func parseNumber(_ key: String, _ value: String, _ result: inout BenchArguments) throws {
        func number(_ what: String, _ range: ClosedRange<Int64>) throws -> Int64 {
            guard let number = Int64(value), range.contains(number) else { throw fail("Invalid \(what) specified") }
            return number
        }
        switch key {
        case "c": result.count = try number("request count", 0...Int64(Int32.max))
        case "d": result.depth = try number("queue depth", 1...Int64(Int32.max))
        case "flush-interval": result.flushInterval = try number("flush interval", 0...Int64(Int32.max))
        case "pattern": result.pattern = try number("pattern byte", 0...255)
        case "o": result.offset = try size(value, what: "offset")
        case "s":
            result.size = try size(value, what: "buffer size", within: 0...Int64(Int32.max))
        case "S": result.step = try size(value, what: "step_size")
        // Without draining a flush does not wait for the writes before it; each thread flushes on its own here.
        default: break
        }
    }

    private func bench(_ node: any BlockNode, _ arguments: BenchArguments) throws -> Int32 {
        let step = arguments.step == 0 ? arguments.size : arguments.step
        guard arguments.size > 0 else { throw fail("Invalid buffer size specified") }
        do {
            let verb = arguments.flags.isWritable ? "write" : "read"
            output(
                "Sending \(arguments.count) \(verb) requests, \(arguments.size) bytes each, \(arguments.depth) in parallel (starting at offset \(arguments.offset), step size \(step))\n"
            )
            if arguments.flushInterval > 0 {
                output("Sending flush every \(arguments.flushInterval) requests\n")
            }
        }
        let run = BenchRun(node, arguments.count, Int(arguments.size), arguments.offset, step)
        run.flushInterval = arguments.flushInterval
        run.pattern = UInt8(arguments.pattern)
        run.isWriting = arguments.flags.isWritable
        let start = monotonicNanoseconds()
        try run.go(threads: Int(min(arguments.depth, BenchRun.mostThreads)))
        let seconds = Double(monotonicNanoseconds() - start) / 1e9
        if let failure = run.failure { throw fail("Failed request: \(failure.errno)") }
        do {
            let thousandths = Int((seconds * 1000).rounded())
            let fraction = String(thousandths % 1000)
            output(
                "Run completed in \(thousandths / 1000).\(String(repeating: "0", count: 3 - fraction.count))\(fraction) seconds.\n"
            )
        }
        return 0
    }
}

/// Sends requests from several threads. The fields are set before the threads start; `failure` is guarded by `lock`.
private final class BenchRun: @unchecked Sendable {
    static let mostThreads: Int64 = 8

    private let node: any BlockNode
    private let count: Int64
    private let size: Int
    private let offset: Int64
    private let step: Int64
    private let next = Atomic<Int64>(0)
    private let lock = Lock()
    var flushInterval: Int64 = 0
    var pattern: UInt8 = 0
    var isWriting = false
    private(set) var failure: BlockError?

    init(_ node: any BlockNode, _ count: Int64, _ size: Int, _ offset: Int64, _ step: Int64) {
        self.node = node
        self.count = count
        self.size = size
        self.offset = offset
        self.step = step
    }

    func go(threads: Int) throws(Errno) {
        var started: [HostThread] = []
        for _ in 0..<threads { started.append(try HostThread(name: "bench") { [self] in work() }) }
        for thread in started { thread.join() }
    }

    private func work() {
        let buffer = AlignedBuffer(count: size)
        buffer.region.fill(pattern)
        let span = node.length - offset
        do throws(BlockError) {
            while true {
                let number = next.add(1, ordering: .relaxed).oldValue
                guard number < count, lock.withLock({ failure == nil }) else { return }
                let position = span > 0 ? offset + number &* step % span : offset
                if isWriting {
                    try node.write(buffer.region, at: position)
                } else {
                    try node.read(buffer.region, at: position)
                }
                if flushInterval > 0, number % flushInterval == flushInterval - 1 { try node.flush() }
            }
        } catch {
            lock.withLock { if failure == nil { failure = error } }
        }
    }
}
