// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer

extension ImageTool {
    /// The version whose arguments, output and exit codes this is.
    static var dialect: String { "7.2.22" }

    func version() -> Int32 {
        output("\(name) version \(Self.dialect) (Roost)\n")
        output("Copyright (c) the Roost authors, Apache License 2.0\n")
        return 0
    }

    func help() -> Int32 {
        _ = version()
        output("usage: \(name) [standard options] command [command options]\n")
        output("Disk images: make, look at, convert, check, change\n\n")
        output("    '-h', '--help'       show this\n    '-V', '--version'    show the version\n\nCommand syntax:\n")
        for line in Self.syntax where !(isDropIn && line.hasPrefix("serve")) { output("  \(line)\n") }
        output(
            """

            Sizes are in bytes, or end in k, M, G, T, P or E (powers of 1024).
            Cache modes: none, writeback (default), writethrough, directsync, unsafe (default for convert's output).
            -p shows progress, -q prints errors alone, -U shares an image that is in use, -o help lists a format's options.


            """)
        let names = graph.drivers.map(\.name).sorted()
        output("Supported formats: \(names.joined(separator: " "))\n")
        return 0
    }

    private static let syntax = [
        "amend [--object objectdef] [--image-opts] [-p] [-q] [-f fmt] [-t cache] [--force] -o options filename",
        "bench [-c count] [-d depth] [-f fmt] [--flush-interval=flush_interval] [-i aio] [-n] [--no-drain] [-o offset] [--pattern=pattern] [-q] [-s buffer_size] [-S step_size] [-t cache] [-w] [-U] filename",
        "bitmap (--merge SOURCE | --add | --remove | --clear | --enable | --disable)... [-b source_file [-F source_fmt]] [-g granularity] [--object objectdef] [--image-opts | -f fmt] filename bitmap",
        "check [--object objectdef] [--image-opts] [-q] [-f fmt] [--output=ofmt] [-r [leaks | all]] [-T src_cache] [-U] filename",
        "commit [--object objectdef] [--image-opts] [-q] [-f fmt] [-t cache] [-b base] [-r rate_limit] [-d] [-p] filename",
        "compare [--object objectdef] [--image-opts] [-f fmt] [-F fmt] [-T src_cache] [-p] [-q] [-s] [-U] filename1 filename2",
        "convert [--object objectdef] [--image-opts] [--target-image-opts] [--target-is-zero] [--bitmaps] [-U] [-C] [-c] [-p] [-q] [-n] [-f fmt] [-t cache] [-T src_cache] [-O output_fmt] [-B backing_file [-F backing_fmt]] [-o options] [-l snapshot_param] [-S sparse_size] [-r rate_limit] [-m num_coroutines] [-W] [--salvage] filename [filename2 [...]] output_filename",
        "create [--object objectdef] [-q] [-f fmt] [-b backing_file [-F backing_fmt]] [-u] [-o options] filename [size]",
        "dd [--image-opts] [-U] [-f fmt] [-O output_fmt] [bs=block_size] [count=blocks] [skip=blocks] if=input of=output",
        "info [--object objectdef] [--image-opts] [-f fmt] [--output=ofmt] [--backing-chain] [-U] filename",
        "map [--object objectdef] [--image-opts] [-f fmt] [--start-offset=offset] [--max-length=len] [--output=ofmt] [-U] filename",
        "measure [--output=ofmt] [-O output_fmt] [-o options] [--size N | [--object objectdef] [--image-opts] [-f fmt] [-l snapshot_param] filename]",
        "serve [-k socket | -p port] [-f fmt] [-r] [-t] [-e clients] [-x name] [--tls-creds id] [...] filename (see serve --help)",
        "snapshot [--object objectdef] [--image-opts] [-U] [-q] [-l | -a snapshot | -c snapshot | -d snapshot] filename",
        "rebase [--object objectdef] [--image-opts] [-U] [-q] [-f fmt] [-t cache] [-T src_cache] [-p] [-u] -b backing_file [-F backing_fmt] filename",
        "resize [--object objectdef] [--image-opts] [-f fmt] [--preallocation=prealloc] [-q] [--shrink] filename [+ | -]size",
    ]

    func serveHelp() -> Int32 {
        output(
            """
            Usage: \(isServer ? name : name + " serve") [OPTIONS] FILE
              or:  \(isServer ? name : name + " serve") -L [OPTIONS]
            Serves a disk image to NBD clients

            Connections:
              -p, --port=PORT           TCP port (10809)
              -b, --bind=ADDRESS        address to listen on (0.0.0.0)
              -k, --socket=PATH         unix socket instead
              -e, --shared=NUM          clients at the same time (1; 0 for any number)
              -t, --persistent          go on after the last client
              -x, --export-name=NAME    the name that clients ask for
              -D, --description=TEXT    a line for people
              -L, --list                list another server's exports

            What is shown of the image:
              -o, --offset=OFFSET       begin at this byte
              -A, --allocation-depth    tell which image of the chain the content comes from
              -B, --bitmap=NAME         tell what a dirty bitmap holds
              -r, --read-only           refuse writes
              -s, --snapshot            writes go to a temporary image
              -l, --load-snapshot=NAME  an internal snapshot, read-only

            Encryption:
              --object tls-creds-x509,id=ID,dir=PATH,endpoint=server[,verify-peer=on|off]
              --object tls-creds-psk,id=ID,dir=PATH,endpoint=server
              --object authz-simple,id=ID,identity=NAME
              --tls-creds=ID            the credentials to use
              --tls-authz=ID            the one client to let in
              --tls-hostname=NAME       the name in the server's certificate, for -L

            The image: -f FORMAT, --image-opts, --cache=MODE, -n, --aio=MODE, --discard=MODE, --object secret,...
            The process: --fork, --pid-file=PATH, -v (keep error messages after --fork), -h, -V

            """)
        return 0
    }

    /// The options of a format, sorted by name.
    func listOptions(_ title: String, _ options: [CreateOption]) {
        output(title + "\n")
        for option in options.sorted(by: { $0.name < $1.name }) {
            let kind =
                switch option.kind {
                case .text: "<str>"
                case .boolean: "<bool (on/off)>"
                case .number: "<num>"
                case .size: "<size>"
                }
            let head = "\(option.name)=\(kind)"
            let padding = String(repeating: " ", count: max(0, 22 - head.count))
            output(option.help.isEmpty ? "  \(head)\n" : "  \(head)\(padding) - \(option.help)\n")
        }
    }
}
