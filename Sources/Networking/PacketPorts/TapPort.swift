// SPDX-License-Identifier: Apache-2.0

public import CLinux
public import Diagnostics
internal import Glibc
public import HostIO
internal import HostSystem

/// What can be said of a tap on the command line.
public struct TapOptions: Equatable, Sendable {
    /// `ifname=`: an interface that exists, or the name for a new one; empty lets the kernel choose.
    public var interface = ""
    /// `script=` and `downscript=`: run with the interface's name after it is opened and before it is closed; nil for
    /// none ("no").
    public var script: String? = TapOptions.defaultScript, downScript: String? = TapOptions.defaultDownScript
    /// `vnet_hdr=`: frames with virtio headers.
    public var allowsHeader = true
    /// `sndbuf=`: bytes under way in the kernel before sending waits; nil for the kernel's own limit.
    public var sendBuffer: Int?

    /// The scripts of a QEMU installation.
    public static let defaultScript = "/etc/qemu-ifup", defaultDownScript = "/etc/qemu-ifdown"

    /// QEMU's defaults.
    public init() {}
}

/// An interface of the host's kernel (/dev/net/tun). Used on the loop's thread.
@safe
public final class TapPort: PacketPort, @unchecked Sendable {
    private static let device = "/dev/net/tun"
    private static let standardHeader = 10, mergeableHeader = 12
    /// Frames read before other events of the loop get their turn.
    private static let batch = 64

    /// Who gets the frames; nobody reads the interface while it is nil.
    public weak var receiver: (any PacketReceiver)? { didSet { watchForInput() } }
    /// What the kernel took when the interface was opened; empty without `vnet_hdr=`.
    public let supportedOffloads: PacketOffloads
    /// Bytes of virtio header that the receiver uses: 0, 10 or 12.
    public private(set) var headerSize = 0
    /// The kernel's header, which is in front also while the receiver wants none.
    private let hasKernelHeader: Bool
    private var kernelHeaderSize = 0
    /// The interface's name.
    public let interface: String
    private let downScript: String?
    private let file: FileDescriptor
    private let loop: EventLoop
    private var watch: EventLoop.Watch?
    private let buffer: UnsafeMutableRawBufferPointer
    /// Bytes of a frame in `buffer` for which the receiver had no room.
    private var pending = 0
    private var isSenderWaiting = false
    private var isClosed = false

    /// QEMU's text for `info network`.
    public var description: String { "index=0,type=tap,ifname=\(interface)" }

    /// Opens an interface and runs its script.
    /// - Throws: a line that names the interface and what the kernel said.
    public convenience init(_ options: TapOptions, on loop: EventLoop) throws(UserError) {
        let file: FileDescriptor
        do {
            file = try FileDescriptor.open(Self.device, flags: O_RDWR)
        } catch {
            throw UserError("could not open \(Self.device)", because: error)
        }
        let supported = TapControl.supportedFlags(file.number)
        let wantsHeader = options.allowsHeader && supported & TapControl.Flag.header != 0
        let name: String
        do {
            name = try TapControl.attach(file.number, interface: options.interface, hasHeader: wantsHeader)
        } catch {
            let what = options.interface.isEmpty ? Self.device : "\(Self.device) (\(options.interface))"
            throw UserError(
                "could not configure \(what)", because: error,
                remedy: error == Errno(EPERM) ? "make the interface beforehand with 'ip tuntap add', owned by you" : "")
        }
        if let script = options.script { try TapScript.run(script, interface: name) }
        try self.init(
            taking: file, interface: name, hasHeader: wantsHeader, downScript: options.downScript,
            sendBuffer: options.sendBuffer, on: loop)
    }

    /// `fd=`: an interface that was opened by whoever started the program, and which belongs to the port from here on.
    public convenience init(inheriting descriptor: Int32, identifier: String, on loop: EventLoop) throws(UserError) {
        if let failure = TapControl.checkOpen(descriptor) {
            throw UserError("\(identifier): Can't use file descriptor \(descriptor)", because: failure)
        }
        let attached: (name: String, flags: UInt16)
        do {
            attached = try TapControl.query(descriptor)
        } catch {
            throw UserError("Unable to query TUNGETIFF on FD \(descriptor)", because: error)
        }
        try self.init(
            taking: FileDescriptor(owning: descriptor), interface: attached.name,
            hasHeader: attached.flags & TapControl.Flag.header != 0, downScript: nil, sendBuffer: nil, on: loop)
    }

    private init(
        taking file: consuming FileDescriptor, interface: String, hasHeader: Bool, downScript: String?,
        sendBuffer: Int?, on loop: EventLoop
    ) throws(UserError) {
        self.interface = interface
        self.downScript = downScript
        self.loop = loop
        hasKernelHeader = hasHeader
        supportedOffloads = hasHeader ? TapControl.probeOffloads(file.number) : []
        do {
            try file.setNonBlocking(true)
            if let sendBuffer { try TapControl.setSendBuffer(file.number, sendBuffer) }
            if hasHeader {
                try TapControl.setHeaderSize(file.number, Self.standardHeader)
                kernelHeaderSize = Self.standardHeader
            }
        } catch {
            throw UserError("could not set up the interface '\(interface)'", because: error)
        }
        self.file = file
        unsafe buffer = .allocate(byteCount: maximumFrameCount, alignment: 16)
    }

    deinit { unsafe buffer.deallocate() }

    // MARK: Headers

    /// 0, 10 or 12 bytes; false where the kernel gives no header.
    public func setHeader(size: Int) -> Bool {
        guard size != 0 else {
            headerSize = 0
            return true
        }
        guard hasKernelHeader, size == Self.standardHeader || size == Self.mergeableHeader else { return false }
        do { try TapControl.setHeaderSize(file.number, size) } catch { return false }
        kernelHeaderSize = size
        headerSize = size
        return true
    }

    /// Tells the kernel what it may leave unfinished in frames for the guest.
    public func setReceiveOffloads(_ offloads: PacketOffloads) {
        guard hasKernelHeader else { return }
        // The driver was offered only what the probe found possible, so a refusal concerns congestion marks at most.
        if !TapControl.setOffloads(file.number, offloads) {
            _ = TapControl.setOffloads(file.number, offloads.subtracting([.congestion, .udp]))
        }
    }

    // MARK: Sending

    /// One write(2); adds the kernel's header where the sender has none.
    public func send(_ vectors: UnsafeBufferPointer<iovec>) -> PacketDisposition {
        guard !isClosed else { return .accepted }
        if headerSize == kernelHeaderSize { return unsafe write(vectors) }
        // The kernel wants a header that the sender did not write: one that asks for nothing.
        return unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: vectors.count + 1) { list in
            unsafe withUnsafeTemporaryAllocation(byteCount: kernelHeaderSize, alignment: 8) { header in
                unsafe header.initializeMemory(as: UInt8.self, repeating: 0)
                unsafe list.initializeElement(
                    at: 0, to: iovec(iov_base: header.baseAddress, iov_len: header.count))
                for index in 0..<vectors.count { unsafe list.initializeElement(at: index + 1, to: vectors[index]) }
                return unsafe write(UnsafeBufferPointer(list))
            }
        }
    }

    private func write(_ vectors: UnsafeBufferPointer<iovec>) -> PacketDisposition {
        do {
            // The kernel reads only inside the vectors that the sender lends for the call.
            _ = try retrying { unsafe writev(file.number, vectors.baseAddress, Int32(min(vectors.count, 1024))) }
            return .accepted
        } catch Errno.wouldBlock {
            isSenderWaiting = true
            updateWatch()
            return .busy
        } catch {
            // An interface that is down or a malformed frame: lost, as on a wire.
            return .accepted
        }
    }

    // MARK: Receiving

    private func watchForInput() {
        guard watch == nil, receiver != nil, !isClosed else { return updateWatch() }
        watch = try? loop.watch(file.number, .readable) { [weak self] in self?.ready($0) }
        if watch == nil {
            Console.shared.warning("no frames will come from '\(interface)': the event loop has no room for it")
        }
    }

    private func updateWatch() {
        var interest: EventLoop.Readiness = []
        if pending == 0, receiver != nil { interest.insert(.readable) }
        if isSenderWaiting { interest.insert(.writable) }
        // Changing a watch that exists fails only when the descriptor was closed.
        try? watch?.setInterest(interest)
    }

    private func ready(_ readiness: EventLoop.Readiness) {
        if readiness.contains(.writable), isSenderWaiting {
            isSenderWaiting = false
            updateWatch()
            receiver?.portIsReady()
        }
        if readiness.contains(.readable) { readFrames() }
        if readiness == .hangup {
            // The interface was deleted: nothing comes any more, and the loop would be told so for ever.
            watch?.cancel()
            watch = nil
            receiver?.linkChanged(isUp: false)
        }
    }

    private func readFrames() {
        for _ in 0..<Self.batch where pending == 0 {
            // The kernel writes at most the buffer's length.
            guard let count = try? unsafe file.read(into: buffer), count > 0 else { return }
            pending = count
            offerPending()
        }
    }

    /// Offers the frame in the buffer, without the kernel's header where the receiver knows none.
    private func offerPending() {
        let skipped = headerSize == kernelHeaderSize ? 0 : kernelHeaderSize
        guard pending > skipped, let receiver else {
            pending = 0
            return
        }
        let frame = unsafe UnsafeRawBufferPointer(rebasing: buffer[skipped..<pending])
        if unsafe receiver.receive(frame) == .accepted { pending = 0 } else { updateWatch() }
    }

    /// Offers the frames that were read and refused, then reads on.
    public func receiverIsReady() {
        guard pending > 0 else { return }
        offerPending()
        if pending == 0 { updateWatch() }
    }

    /// Stops watching, and runs the script that takes the interface down.
    public func close() {
        guard !isClosed else { return }
        isClosed = true
        watch?.cancel()
        watch = nil
        receiver = nil
        guard let downScript else { return }
        do { try TapScript.run(downScript, interface: interface) } catch { Console.shared.warning(error.description) }
    }
}
