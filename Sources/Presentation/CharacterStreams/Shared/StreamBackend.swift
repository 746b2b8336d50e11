// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
public import HostIO
public import HostSystem

/// What all streams over file descriptors share: bounded buffers both ways, and the waiting for room.
///
/// A subclass calls `attach` when somebody is at the other end and is told by `ended` when nobody is any more. Output
/// state is guarded by `lock`, since `send` is called from any thread; the rest lives on the event loop's thread.
open class StreamBackend: CharacterBackend, @unchecked Sendable {
    /// The identifier of -chardev, or the one made for it.
    public let label: String
    /// The loop that serves the stream.
    public let loop: EventLoop
    private let lock = Lock()
    /// Bytes that the other end has not taken.
    private var output: [UInt8] = []
    private var frontendWaits = false
    private var outputFile: Int32 = -1
    private var outputIsWatched = false
    /// Input and output are separate descriptors, since one epoll set holds each once.
    private var files: StreamFiles?
    private var inputFile: Int32 = -1
    private var inputWatch: EventLoop.Watch?
    private var outputWatch: EventLoop.Watch?
    /// Bytes that came and that the front end has no room for.
    private var input: ArraySlice<UInt8> = []
    private var inputEnded = false
    private weak var currentFrontend: (any CharacterFrontend)?

    /// The most bytes kept for an other end that does not read.
    static let outputLimit = 64 << 10
    private static let readSize = 4096

    /// A stream with nobody at the other end yet.
    public init(label: String, loop: EventLoop) {
        self.label = label
        self.loop = loop
    }

    /// What `query-chardev` shows.
    open var filename: String { "" }

    /// Whether there is a file to write to; true from `attach` to `detach`.
    public var isOpen: Bool { lock.withLock { outputFile >= 0 } }

    /// Held weakly. A new one is told `.opened` at once, and gets input that waited.
    public var frontend: (any CharacterFrontend)? {
        get { currentFrontend }
        set {
            currentFrontend = newValue
            guard let newValue else { return }
            if isOpen { newValue.handle(.opened) }
            deliver()
        }
    }

    // MARK: for subclasses

    /// Somebody is there: starts to read and write. Ends an earlier connection.
    /// - Throws: the descriptor cannot be watched for another reason than being a plain file.
    public func attach(_ files: consuming StreamFiles) throws(Errno) {
        detach()
        let reader = files.input
        let writer = files.output
        inputFile = reader
        self.files = consume files
        lock.withLock {
            outputFile = writer
            output = []
        }
        inputEnded = reader < 0
        if reader >= 0 {
            inputWatch = try loop.watch(reader, .readable) { [weak self] readiness in self?.inputIsReady(readiness) }
        }
        Trace.emit(.characterStreamOpened, label)
        currentFrontend?.handle(.opened)
    }

    /// Nobody is there any more; the descriptors are closed.
    public func detach() {
        inputWatch?.cancel()
        outputWatch?.cancel()
        inputWatch = nil
        outputWatch = nil
        input = []
        let wasOpen = lock.withLock {
            defer {
                outputFile = -1
                output = []
                outputIsWatched = false
            }
            return outputFile >= 0
        }
        files = nil
        inputFile = -1
        if wasOpen {
            Trace.emit(.characterStreamClosed, label)
            currentFrontend?.handle(.closed)
            if takeWait() { currentFrontend?.outputIsReady() }
        }
    }

    /// The other end closed the stream, or it failed. The default detaches.
    open func ended() { detach() }

    /// Reads what came. As read(2): 0 at the end, -1 with errno.
    open func read(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        // The kernel writes only inside the buffer.
        unsafe Glibc.read(descriptor, buffer.baseAddress, buffer.count)
    }

    /// An error or an empty message is not the end: there is no connection that could end.
    open var isConnectionless: Bool { false }

    /// Turns bytes from the other end into what the front end gets: telnet, and the keys of a multiplexer.
    open func decode(_ bytes: [UInt8]) -> [UInt8] { bytes }

    /// Turns bytes of the front end into what is sent.
    open func encode(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> { bytes }

    /// Sends bytes that are not the front end's (telnet's negotiation), as far as there is room.
    func sendRaw(_ bytes: [UInt8]) { _ = enqueue(bytes[...]) }

    // MARK: output

    /// Takes what the bounded output buffer holds; from any thread, never waits.
    public func send(_ bytes: ArraySlice<UInt8>) -> Int {
        let encoded = encode(bytes)
        let taken = enqueue(encoded)
        if taken == encoded.count { return bytes.count }
        // Of an encoded form only a whole number of bytes may be taken: encodings here never shrink, and what is over
        // the limit is kept, so that none is sent twice.
        return encoded.count == bytes.count ? taken : bytes.count
    }

    private func enqueue(_ bytes: ArraySlice<UInt8>) -> Int {
        lock.withLock {
            guard outputFile >= 0 else { return bytes.count }
            var rest = bytes
            if output.isEmpty { rest = rest.dropFirst(write(rest)) }
            guard !rest.isEmpty else { return bytes.count }
            let room = max(0, Self.outputLimit - output.count)
            output.append(contentsOf: rest.prefix(room))
            watchOutput()
            if rest.count > room { frontendWaits = true }
            return bytes.count - max(0, rest.count - room)
        }
    }

    /// Writes what the descriptor takes now; what cannot be written because the other end is gone counts as written.
    private func write(_ bytes: ArraySlice<UInt8>) -> Int {
        guard !bytes.isEmpty else { return 0 }
        let file = outputFile
        // The kernel reads only inside the slice's storage, for the length of the call.
        let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(file, $0.baseAddress, $0.count) }
        if count >= 0 { return count }
        return errno == EAGAIN || errno == EINTR ? 0 : bytes.count
    }

    /// Asks the loop to say when there is room. `lock` is held.
    private func watchOutput() {
        guard !outputIsWatched else { return }
        outputIsWatched = true
        loop.post { [weak self] in self?.startOutputWatch() }
    }

    private func startOutputWatch() {
        let file = lock.withLock { outputFile }
        guard file >= 0, outputWatch == nil else { return }
        do throws(Errno) {
            outputWatch = try loop.watch(file, .writable) { [weak self] readiness in
                self?.outputIsReady(readiness)
            }
        } catch {
            // A plain file cannot be watched and always takes everything.
            outputIsReady(.writable)
        }
    }

    private func outputIsReady(_ readiness: EventLoop.Readiness) {
        let isEmpty = lock.withLock {
            output.removeFirst(write(output[...]))
            if readiness.contains(.hangup) { output = [] }
            if output.isEmpty { outputIsWatched = false }
            return output.isEmpty
        }
        guard isEmpty else { return }
        outputWatch?.cancel()
        outputWatch = nil
        if takeWait() { currentFrontend?.outputIsReady() }
    }

    private func takeWait() -> Bool {
        lock.withLock {
            defer { frontendWaits = false }
            return frontendWaits
        }
    }

    // MARK: input

    /// Delivers on the loop's thread what was held back.
    public func resumeInput() { loop.post { [weak self] in self?.deliver() } }

    private func inputIsReady(_ readiness: EventLoop.Readiness) {
        if input.isEmpty { readInput() }
        deliver()
        if readiness.contains(.hangup), !input.isEmpty {
            // Reported for ever otherwise; the rest is read when the front end has taken what is here.
            inputWatch?.cancel()
            inputWatch = nil
        }
    }

    /// Reads once; at the end of the stream remembers it.
    private func readInput() {
        let reader = inputFile
        guard reader >= 0, !inputEnded else { return }
        var buffer = [UInt8](repeating: 0, count: Self.readSize)
        // Lent for the length of the call.
        let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(reader, into: $0) }
        if count > 0 {
            input = decode(Array(buffer.prefix(count)))[...]
        } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
            inputEnded = !isConnectionless
        }
    }

    /// Hands over what the front end has room for, and reads on when all is gone.
    private func deliver() {
        while let frontend = currentFrontend, !input.isEmpty {
            let capacity = frontend.receiveCapacity
            guard capacity > 0 else { break }
            let part = input.prefix(capacity)
            input = input.dropFirst(capacity)
            frontend.receive(part)
            if input.isEmpty, inputWatch == nil, !inputEnded { readInput() }
        }
        if input.isEmpty, inputEnded, inputFile >= 0 {
            ended()
            return
        }
        // A failure to change the interest leaves a watch that fires once too often.
        try? inputWatch?.setInterest(input.isEmpty && currentFrontend != nil ? .readable : [])
    }

    /// Ends the stream.
    open func close() { detach() }
}

/// The descriptors of one connection: owned, and closed with it.
public struct StreamFiles: ~Copyable {
    private let reader: FileDescriptor
    private let writer: FileDescriptor
    private static let none: Int32 = -1

    /// Separate files; nil for a direction that there is none of.
    public init(input: consuming FileDescriptor?, output: consuming FileDescriptor?) {
        reader = input ?? FileDescriptor(owning: Self.none)
        writer = output ?? FileDescriptor(owning: Self.none)
    }

    /// One file for both directions.
    public init(both: consuming FileDescriptor) throws(Errno) {
        writer = try both.duplicate()
        reader = both
    }

    var input: Int32 { reader.number }
    var output: Int32 { writer.number }
}
