// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import Diagnostics
internal import Glibc
internal import HostIO
internal import HostSystem
internal import NBDProtocol
internal import TransportSecurity

extension ImageTool {
    /// Serves an image to NBD clients: the job of qemu-nbd, with its arguments.
    func serve(_ arguments: [String]) throws -> Int32 {
        var options = ServeArguments()
        options.flags.unmaps = false
        let operands: [String]
        do {
            operands = try OptionParser(ServeArguments.options).parse(arguments) { key, value in
                try take(key, value, &options)
            }
        } catch let failure as OptionParser.Failure where isServer {
            throw Exit(status: 1, lines: ["\(name): \(text(failure))\n", "\(name): \(serverHelpHint)"])
        }
        if options.lists {
            guard operands.isEmpty else { throw fail("List mode is incompatible with a file name") }
            return try list(options)
        }
        guard operands.count == 1 else {
            throw Exit(
                status: 1,
                lines: ["\(name): Invalid number of arguments\n", isServer ? serverHelpHint : tryHelp])
        }
        if options.socket != nil, options.port != nil || options.host != "0.0.0.0" {
            throw fail("Port and bind address cannot be used with a unix socket")
        }
        return try serve(operands[0], options)
    }

    private var serverHelpHint: String { "Try `\(name) --help' for more information.\n" }

    private func serve(_ filename: String, _ options: ServeArguments) throws -> Int32 {
        // Before the first thread, as fork asks for.
        var background: Background? = options.forks ? try inBackground() : nil
        let image = try openServed(filename, options)
        return try closing(image) {
            let export = try export(of: image, options)
            let server = try listen(export, options)
            if let path = options.pidFile { try writePID(path) }
            do throws(UserError) {
                try background.take()?.ready(in: nil, keepsErrors: options.isVerbose)
            } catch {
                throw fail(error.description)
            }
            stopOnSignals(server)
            server.run(isPersistent: options.isPersistent)
            options.pidFile.map { _ = unsafe unlink($0) }
            return 0
        }
    }

    private func inBackground() throws -> Background {
        flush()
        do throws(UserError) { return try Background.enter() } catch { throw fail(error.description) }
    }

    /// The image as it is to be seen: a snapshot of it, under an overlay, or a part of it.
    private func openServed(_ filename: String, _ options: ServeArguments) throws -> any BlockNode {
        var flags = options.flags
        if options.isSnapshot { flags.isWritable = false }
        if isServer, !options.isOptions, options.format == nil { flags.isExclusive = flags.isWritable }
        var image: any BlockNode
        do {
            image = try open(
                filename, format: options.format, isOptions: options.isOptions, flags: flags, extra: options.extra)
        } catch let exit as Exit where isServer {
            let usual = "\(name): Could not open '\(filename)': "
            let lines = exit.lines.map { line in
                line.hasPrefix(usual)
                    ? "\(name): Failed to blk_new_open '\(filename)': " + line.dropFirst(usual.count) : line
            }
            throw Exit(status: exit.status, lines: lines)
        }
        do {
            if let snapshot = options.snapshot { image = try view(of: image, snapshot: snapshot) }
            if options.isSnapshot {
                let base = image
                image = try attempt { () throws(BlockError) in try DiskImages.temporaryOverlay(over: base, in: graph) }
            }
            return try part(of: image, from: options.offset)
        } catch {
            closeQuietly(image)
            throw error
        }
    }

    private func part(of image: any BlockNode, from offset: Int64) throws -> any BlockNode {
        guard offset > 0 else { return image }
        guard offset <= image.length else {
            throw fail("Offset (\(offset)) has to be smaller than the image size (\(image.length))")
        }
        return try attempt { () throws(BlockError) in
            try graph.register(image, as: Self.servedNode)
            return try graph.open(
                nil,
                options: BlockOptions([
                    ("driver", .string("raw")), ("offset", .string(String(offset))), ("file", .string(Self.servedNode)),
                ]), flags: image.isReadOnly ? OpenFlags() : .writable)
        }
    }

    private static let servedNode = "#served"

    private func export(of image: any BlockNode, _ options: ServeArguments) throws -> NBDServedExport {
        var export = NBDServedExport(
            node: image, name: options.name, description: options.description,
            isReadOnly: !options.flags.isWritable, isShared: options.mostClients != 1)
        export.exposesDepth = options.exposesDepth
        for bitmap in options.bitmaps {
            let store = image.chain.lazy.compactMap { $0 as? any BitmapStore }.first {
                $0.bitmaps.contains { $0.name == bitmap }
            }
            guard let store else { throw fail("Bitmap '\(bitmap)' is not found") }
            let dirty = try attempt { () throws(BlockError) in try store.dirtyRanges(of: bitmap) }
            export.bitmaps.append((bitmap, dirty))
        }
        try attempt { () throws(BlockError) in
            if let identifier = options.credentials {
                export.credentials = try connectionObjects.credentials(identifier)
            }
            if let identifier = options.authorization {
                export.authorizedName = try connectionObjects.authorizedName(identifier)
            }
        }
        if let credentials = export.credentials, credentials.role != .server {
            throw fail("Expecting TLS credentials with a server endpoint")
        }
        if export.authorizedName != nil, export.credentials == nil {
            throw fail("--tls-authz may not be used without --tls-creds")
        }
        return export
    }

    private func listen(_ export: NBDServedExport, _ options: ServeArguments) throws -> NBDServer {
        let name = name
        let errors = errors
        let report: @Sendable (String) -> Void = { errors("\(name): \($0)\n") }
        if let descriptor = Self.inheritedSocket() {
            return NBDServer(
                export, inherited: FileDescriptor(owning: descriptor), mostClients: options.mostClients, report: report)
        }
        return try attempt { () throws(BlockError) in
            try NBDServer(export, on: options.address, mostClients: options.mostClients, report: report)
        }
    }

    /// The socket that the service manager listens on for us (sd_listen_fds(3)).
    private static func inheritedSocket() -> Int32? {
        guard ThisProgram.variable("LISTEN_PID") == String(getpid()), ThisProgram.variable("LISTEN_FDS") == "1" else {
            return nil
        }
        return 3
    }

    private func writePID(_ path: String) throws {
        do throws(Errno) {
            let file = try FileDescriptor.open(path, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
            try file.writeAll(Array("\(getpid())\n".utf8))
        } catch {
            throw fail("cannot create PID file: Cannot open pid file: \(error)")
        }
    }

    /// SIGTERM, SIGINT and SIGHUP end the server as its last client would.
    private func stopOnSignals(_ server: NBDServer) {
        var signals = sigset_t()
        // The set is this frame's.
        unsafe sigemptyset(&signals)
        for signal in [SIGTERM, SIGINT, SIGHUP] { unsafe sigaddset(&signals, signal) }
        unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
        let waiting = signals
        do {
            _ = try HostThread(name: "signals") {
                var set = waiting
                var number: Int32 = 0
                // Both live on this thread's frame.
                while unsafe sigwait(&set, &number) != 0 {}
                server.stop()
            }
        } catch {
            warning("signals end the server at once: \(error)")
            unsafe pthread_sigmask(SIG_UNBLOCK, &signals, nil)
        }
    }

    // MARK: Listing

    private func list(_ options: ServeArguments) throws -> Int32 {
        let exports = try attempt { () throws(BlockError) in
            try NBDListing.exports(
                of: options.address,
                credentials: try options.credentials.map { (id) throws(BlockError) in
                    try connectionObjects.credentials(id)
                }, hostname: options.tlsHostname)
        }
        output("exports available: \(exports.count)\n")
        for export in exports {
            output(" export: '\(export.name)'\n")
            if let description = export.description, !description.isEmpty {
                output("  description: \(description)\n")
            }
            output("  size:  \(export.size)\n")
            if export.flags & 1 != 0 {
                let names = export.flagNames.map { $0 + " " }.joined()
                output("  flags: 0x\(String(export.flags, radix: 16)) ( \(names))\n")
            }
            if let sizes = export.blockSizes {
                output(
                    "  min block: \(sizes.minimum)\n  opt block: \(sizes.preferred)\n  max block: \(sizes.maximum)\n")
            }
            if !export.contexts.isEmpty {
                output("  available meta contexts: \(export.contexts.count)\n")
                for context in export.contexts { output("   \(context)\n") }
            }
        }
        return 0
    }
}
