// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
internal import ControlProtocol
internal import Diagnostics
internal import HostSystem
internal import JSONCoding
internal import MachineModel

extension HumanCall {
    /// Does what a QMP command does, with the arguments that are given.
    @discardableResult
    func perform(_ name: String, _ arguments: [(String, JSONValue?)] = []) throws(HumanFailure) -> JSONValue {
        do throws(QMPError) {
            guard let definition = QMPCommandTable.byName[name] else {
                throw QMPError("The command \(name) has not been found", class: .commandNotFound)
            }
            var object = JSONObject()
            for (key, value) in arguments { if let value { object[key] = value } }
            let checked = try QMPArguments(
                object, checkedBy: definition.parameters, takesOthers: definition.takesOthers)
            return try definition.run(QMPContext(server: monitor.server, stream: nil), checked)
        } catch { throw HumanFailure(error) }
    }

    /// The next word as JSON's text.
    mutating func text() throws(HumanFailure) -> JSONValue? { try word().map { .string($0) } }

    /// The next expression, if there is one, as JSON's number.
    mutating func number() throws(HumanFailure) -> JSONValue? { hasMore ? .integer(try expression()) : nil }
}

/// Commands that are QMP's in other words.
extension HumanCommandTable {
    static let wrapped = dumping + copies + serving + objects

    private static let dumping = [
        HumanCommand(
            "dump-guest-memory", "[-p] [-d] [-z|-l|-s|-w] filename [begin length]",
            "dump guest memory into file 'filename' (-p: with the guest's paging, -d: in the background, -z: kdump-zlib)"
        ) { (call) throws(HumanFailure) in
            let usesPaging = call.takeFlag("p"), isDetached = call.takeFlag("d")
            let letters: [(Character, String)] = [
                ("z", "kdump-zlib"), ("l", "kdump-lzo"), ("s", "kdump-snappy"), ("w", "win-dmp"),
            ]
            let formats = letters.filter { call.takeFlag($0.0) }.map(\.1)
            guard formats.count <= 1 else { throw .failed("only one of '-z|-l|-s|-w' can be set") }
            let file = try call.requiredWord("filename")
            try call.perform(
                "dump-guest-memory",
                [
                    ("paging", .bool(usesPaging)), ("protocol", .string("file:" + file)), ("detach", .bool(isDetached)),
                    ("begin", try call.number()), ("length", try call.number()),
                    ("format", formats.first.map { .string($0) }),
                ])
        },
        HumanCommand("gpa2hpa", "addr", "print the host physical address corresponding to a guest physical address") {
            (call) throws(HumanFailure) in
            let address = UInt64(bitPattern: try call.expression())
            let (name, host) = try hostAddress(address, call)
            var found: UInt64?
            do throws(Errno) { found = try HostPages.physical(host) } catch {
                throw .failed("cannot read /proc/self/pagemap: \(error)")
            }
            guard let found else { throw .failed("the page is not in the host's memory") }
            call.print(
                "Host physical address for 0x\(String(address, radix: 16)) (\(name)) is \(prefixed(found))\n")
        },
    ]

    private static func source(_ call: inout HumanCall) throws(HumanFailure) -> [(String, JSONValue?)] {
        [
            ("device", .string(try call.requiredWord("block device name"))), ("target", try call.text()),
            ("format", try call.text()),
        ]
    }

    private static let copies = [
        HumanCommand(
            "drive_backup", "[-n] [-f] [-c] device target [format]",
            "initiates a point-in-time copy for a device (-n: into an existing image, -f: all of it, -c: compressed)"
        ) { (call) throws(HumanFailure) in
            let exists = call.takeFlag("n"), isFull = call.takeFlag("f"), compresses = call.takeFlag("c")
            try call.perform(
                "drive-backup",
                try source(&call) + [
                    ("sync", .string(isFull ? "full" : "top")), ("mode", exists ? "existing" : "absolute-paths"),
                    ("compress", .bool(compresses)),
                ])
        },
        HumanCommand(
            "drive_mirror", "[-n] [-f] device target [format]",
            "initiates live storage migration for a device (-n: into an existing image, -f: all of it)"
        ) { (call) throws(HumanFailure) in
            let exists = call.takeFlag("n"), isFull = call.takeFlag("f")
            try call.perform(
                "drive-mirror",
                try source(&call) + [
                    ("sync", .string(isFull ? "full" : "top")), ("mode", exists ? "existing" : "absolute-paths"),
                ])
        },
        HumanCommand("snapshot_blkdev_internal", "device name", "take an internal snapshot of device") {
            (call) throws(HumanFailure) in
            let device = try call.requiredWord("block device name"), name = try call.requiredWord("string")
            try call.perform(
                "blockdev-snapshot-internal-sync", [("device", .string(device)), ("name", .string(name))])
        },
        HumanCommand(
            "snapshot_delete_blkdev_internal", "device name [id]", "delete an internal snapshot of device"
        ) { (call) throws(HumanFailure) in
            let device = try call.requiredWord("block device name"), name = try call.requiredWord("string")
            try call.perform(
                "blockdev-snapshot-delete-internal-sync",
                [("device", .string(device)), ("name", .string(name)), ("id", try call.text())])
        },
        HumanCommand(
            "block_set_io_throttle", "device bps bps_rd bps_wr iops iops_rd iops_wr",
            "change I/O throttle limits for a block drive"
        ) { (call) throws(HumanFailure) in
            var arguments: [(String, JSONValue?)] = [("device", .string(try call.requiredWord("block device name")))]
            for name in ["bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"] {
                arguments.append((name, .integer(try call.expression())))
            }
            try call.perform("block_set_io_throttle", arguments)
        },
    ]

    private static let serving = [
        HumanCommand("nbd_server_start", "[-a] [-w] host:port", "serve block devices on the given host and port") {
            (call) throws(HumanFailure) in
            let offersAll = call.takeFlag("a"), isWritable = call.takeFlag("w")
            let place = try call.requiredWord("string")
            guard let colon = place.lastIndex(of: ":") else {
                throw .failed("address '\(place)' has no port; give it as host:port")
            }
            let address: JSONValue = [
                "type": "inet",
                "data": [
                    "host": .string(String(place[..<colon])),
                    "port": .string(String(place[place.index(after: colon)...])),
                ],
            ]
            try call.perform("nbd-server-start", [("addr", address)])
            guard offersAll else { return }
            for report in (call.machine as? any BlockReporting)?.blockReports() ?? []
            where !report.device.isEmpty && report.medium != nil {
                try call.perform(
                    "nbd-server-add", [("device", .string(report.device)), ("writable", .bool(isWritable))])
            }
        },
        HumanCommand("nbd_server_add", "[-w] device [name]", "export a block device via NBD") {
            (call) throws(HumanFailure) in
            let isWritable = call.takeFlag("w"), device = try call.requiredWord("block device name")
            try call.perform(
                "nbd-server-add",
                [("device", .string(device)), ("name", try call.text()), ("writable", .bool(isWritable))])
        },
        HumanCommand("nbd_server_remove", "[-f] name", "remove an export previously exposed via NBD") {
            (call) throws(HumanFailure) in
            let isHard = call.takeFlag("f"), name = try call.requiredWord("string")
            try call.perform(
                "nbd-server-remove", [("name", .string(name)), ("mode", isHard ? "hard" : "safe")])
        },
        HumanCommand("nbd_server_stop", "", "stop serving block devices using the NBD protocol") {
            (call) throws(HumanFailure) in try call.perform("nbd-server-stop")
        },
        HumanCommand(
            "hostfwd_add", "[netdev_id] [tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport",
            "redirect TCP or UDP connections from host to guest"
        ) { (call) throws(HumanFailure) in
            let (network, rule) = try forwarding(&call)
            let machine = try forwarder(call)
            do throws(UserError) { try machine.addForward(rule, network: network) } catch {
                call.print("\(error.description)\n")
            }
        },
        HumanCommand("hostfwd_remove", "[netdev_id] [tcp|udp]:[hostaddr]:hostport", "remove host-to-guest redirection")
        {
            (call) throws(HumanFailure) in
            let (network, rule) = try forwarding(&call)
            let machine = try forwarder(call)
            do throws(UserError) {
                let isGone = try machine.removeForward(rule, network: network)
                call.print("host forwarding rule for \(rule) \(isGone ? "removed" : "not found")\n")
            } catch { call.print("\(error.description)\n") }
        },
    ]

    private static func forwarding(_ call: inout HumanCall) throws(HumanFailure) -> (network: String?, rule: String) {
        let first = try call.requiredWord("string")
        guard let second = try call.word() else { return (nil, first) }
        return (first, second)
    }

    private static func forwarder(_ call: HumanCall) throws(HumanFailure) -> any PortForwarding {
        guard let machine = call.machine as? any PortForwarding else { throw .failed("this machine has no networks") }
        return machine
    }

    private static let objects = [
        HumanCommand("object_add", "[qom-type=]type,id=str[,prop=value][,...]", "create QOM object") {
            (call) throws(HumanFailure) in
            var arguments: [(String, JSONValue?)] = []
            do throws(UserError) {
                arguments = try OptionList(parsing: call.remainder(), implied: "qom-type").entries.map {
                    ($0.key, .string($0.value))
                }
            } catch { throw .failed("\(error)") }
            try call.perform("object-add", arguments)
        },
        HumanCommand("object_del", "id", "destroy QOM object") { (call) throws(HumanFailure) in
            let name = try call.requiredWord("string")
            try call.perform("object-del", [("id", .string(name))])
        },
        HumanCommand("qom-list", "path", "list QOM properties") { (call) throws(HumanFailure) in
            guard let path = try call.word() else { return call.print("/\n") }
            for entry in try call.perform("qom-list", [("path", .string(path))]).array ?? [] {
                call.print("\(entry["name"]?.string ?? "") (\(entry["type"]?.string ?? ""))\n")
            }
        },
        HumanCommand("qom-get", "path property", "print QOM property") { (call) throws(HumanFailure) in
            let path = try call.requiredWord("string"), name = try call.requiredWord("string")
            let value = try call.perform("qom-get", [("path", .string(path)), ("property", .string(name))])
            call.print(value.printed(pretty: true) + "\n")
        },
        HumanCommand("qom-set", "[-j] path property value", "set QOM property (-j: the value is JSON)") {
            (call) throws(HumanFailure) in
            let isJSON = call.takeFlag("j")
            let path = try call.requiredWord("string"), name = try call.requiredWord("string")
            let text = isJSON ? call.remainder() : try call.requiredWord("string")
            var value: JSONValue = Int64(text).map { .integer($0) } ?? .string(text)
            if isJSON {
                guard let parsed = try? JSONValue(parsing: text) else { throw .failed("JSON parse error") }
                value = parsed
            }
            try call.perform("qom-set", [("path", .string(path)), ("property", .string(name)), ("value", value)])
        },
        HumanCommand("boot_set", "bootdevice", "define new values for the boot device list") {
            (call) throws(HumanFailure) in
            let letters = try call.requiredWord("string")
            guard let machine = call.machine as? any BootOrdering else {
                throw .failed("no function defined to set boot device list for this architecture")
            }
            for (place, letter) in letters.enumerated() {
                guard ("a"..."p").contains(letter) else { return call.print("Invalid boot device '\(letter)'\n") }
                guard !letters.prefix(place).contains(letter) else {
                    return call.print("Boot device '\(letter)' was given twice\n")
                }
            }
            machine.setBootOrder(letters)
            call.print("boot device list now set to \(letters)\n")
        },
        HumanCommand("closefd", "name", "close a file descriptor previously passed via SCM rights") {
            (call) throws(HumanFailure) in
            let name = try call.requiredWord("string")
            try call.perform("closefd", [("fdname", .string(name))])
        },
        HumanCommand("ringbuf_write", "device data", "Write to a ring buffer character device") {
            (call) throws(HumanFailure) in
            let name = try call.requiredWord("string"), data = try call.requiredWord("string")
            try call.perform("ringbuf-write", [("device", .string(name)), ("data", .string(data))])
        },
        HumanCommand("ringbuf_read", "device size", "Read from a ring buffer character device") {
            (call) throws(HumanFailure) in
            let name = try call.requiredWord("string"), size = try call.expression()
            let data = try call.perform("ringbuf-read", [("device", .string(name)), ("size", .integer(size))])
            for scalar in (data.string ?? "").unicodeScalars {
                let isPlain =
                    scalar == "\n" || scalar == "\t" || scalar == "\r" || scalar.value >= 0x20 && scalar.value != 0x7F
                if scalar == "\\" {
                    call.print("\\\\")
                } else {
                    call.print(isPlain ? String(Character(scalar)) : "\\u" + hex(UInt64(scalar.value), 4))
                }
            }
            call.print("\n")
        },
    ]
}
