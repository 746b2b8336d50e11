// SPDX-License-Identifier: Apache-2.0

import CPUInterface
import CharacterStreams
import ControlProtocol
import ControlServer
import GuestMemory
import JSONCoding
import MachineRuntime
import MachineSpec
import StreamTestKit
import Testing

/// A QMP session that has finished its negotiation.
final class QMPClient {
    let machine: SmallMachine
    let stream = MemoryStream("compat_monitor0")

    init(processors: Int = 1) throws {
        machine = try SmallMachine(processors: processors)
        machine.server.addMonitor(on: stream, mode: .control)
        machine.characterDevices.add(stream)
        stream.type("{'execute':'qmp_capabilities'}")
        _ = stream.takeText()
    }

    /// The answers to one line.
    func lines(_ line: String) -> [String] {
        stream.type(line)
        machine.pump()
        return stream.takeLines()
    }

    func value(_ command: String, _ arguments: String = "{}") throws -> JSONValue {
        let line = try #require(lines("{'execute':'\(command)','arguments':\(arguments)}").first)
        return try #require(try JSONValue(parsing: line)["return"])
    }

    func error(_ command: String, _ arguments: String = "{}") throws -> String {
        let line = try #require(lines("{'execute':'\(command)','arguments':\(arguments)}").first)
        let error = try #require(try JSONValue(parsing: line)["error"])
        return "\(error["class"]?.string ?? ""): \(error["desc"]?.string ?? "")"
    }
}

@Suite struct QMPProtocolTests {
    @Test func greetingAndNegotiation() throws {
        let machine = try SmallMachine()
        let stream = MemoryStream()
        machine.server.addMonitor(on: stream, mode: .control)
        let version = #"{"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Roost"}"#
        #expect(stream.takeText() == #"{"QMP": {"version": \#(version), "capabilities": ["oob"]}}"# + "\r\n")
        stream.type(#"{"execute":"query-status"}"#)
        #expect(
            stream.takeLines() == [
                #"{"error": {"class": "CommandNotFound", "desc": "Expecting capabilities negotiation with 'qmp_capabilities'"}}"#
            ])
        stream.type(#"{"execute":"qmp_capabilities","id":7}{"execute":"query-version"}"#)
        #expect(stream.takeLines() == [#"{"return": {}, "id": 7}"#, #"{"return": \#(version)}"#])
    }

    @Test func aNewClientNegotiatesAnew() throws {
        let client = try QMPClient()
        client.stream.setOpen(false)
        client.machine.runner.resume()
        client.stream.setOpen(true)
        #expect(client.stream.takeLines().count == 1)
        #expect(try client.error("query-name").hasPrefix("CommandNotFound: Expecting capabilities"))
    }

    @Test func prettySessions() throws {
        let machine = try SmallMachine()
        let stream = MemoryStream()
        machine.server.addMonitor(on: stream, mode: .control, isPretty: true)
        _ = stream.takeText()
        stream.type("{'execute':'qmp_capabilities'}")
        #expect(stream.takeText() == "{\n    \"return\": {\n    }\n}\r\n")
    }

    /// The same lines at qemu-system-x86_64 7.2 give these answers.
    @Test(arguments: [
        ("[1,2]", "QMP input must be a JSON object"), ("5 ", "QMP input must be a JSON object"),
        ("{'execute':5}", "QMP input member 'execute' must be a string"),
        ("{'execute':'query-name','foo':1}", "QMP input member 'foo' is unexpected"),
        ("{'arguments':{}}", "QMP input lacks member 'execute'"),
        ("{'execute':'query-name','arguments':5}", "QMP input member 'arguments' must be an object"),
        ("{'execute':'query-name','arguments':{'a':1}}", "Parameter 'a' is unexpected"),
        ("{'execute':'memsave','arguments':{'val':1}}", "Parameter 'size' is missing"),
        ("{'execute':'memsave','arguments':{'val':'x'}}", "Invalid parameter type for 'val', expected: integer"),
        (
            "{'execute':'human-monitor-command','arguments':{'command-line':5}}",
            "Invalid parameter type for 'command-line', expected: string"
        ),
        ("}", "JSON parse error, expecting value"),
        ("{'execute':'qmp_capabilities'}", "Capabilities negotiation is already complete, command ignored"),
        ("{'execute':'nope'}", "The command nope has not been found"),
        ("{'exec-oob':'query-name'}", "QMP input member 'exec-oob' is unexpected"),
    ])
    func mistakesAsQEMU(line: String, text: String) throws {
        let client = try QMPClient()
        let answer = try JSONValue(parsing: try #require(client.lines(line).first))
        #expect(answer["error"]?["desc"] == .string(text))
    }

    @Test func identifiersAreEchoedInErrorsToo() throws {
        let client = try QMPClient()
        #expect(
            client.lines("{'execute':'nope','id':{'a':[1]}}") == [
                #"{"id": {"a": [1]}, "error": {"class": "CommandNotFound", "desc": "The command nope has not been found"}}"#
            ])
    }

    @Test func aClientThatDoesNotReadLosesNothingButEvents() throws {
        let client = try QMPClient()
        client.stream.room = 10
        client.stream.type("{'execute':'query-name'}{'execute':'query-status'}")
        #expect(client.stream.takeText().utf8.count == 10)
        client.stream.room = nil
        client.stream.frontend?.outputIsReady()
        #expect(client.stream.takeText().hasSuffix("\"running\": false}}\r\n"))
    }

    @Test func randomInputNeverTraps() throws {
        let client = try QMPClient()
        let names = try #require(try client.value("query-commands").array).compactMap { $0["name"]?.string }
            .filter { !["memsave", "pmemsave", "quit"].contains($0) }
        let values = ["1", "-1", "\"x\"", "{}", "[]", "null", "true", "99999999999999999999", "{\"a\":{}}"]
        for _ in 0..<2000 {
            let name = names.randomElement() ?? ""
            let key =
                ["id", "val", "size", "name", "path", "property", "device", "value", "model", "type"].randomElement()
                ?? ""
            client.stream.type("{\"execute\":\"\(name)\",\"arguments\":{\"\(key)\":\(values.randomElement() ?? "")}}")
            client.machine.pump()
        }
        #expect(!client.stream.takeText().isEmpty)
    }
}

@Suite struct QMPCommandTests {
    @Test func stateAndEvents() throws {
        let client = try QMPClient()
        #expect(
            try client.value("query-status").printed()
                == #"{"status": "prelaunch", "singlestep": false, "running": false}"#)
        let stamp = #"{"timestamp": {"seconds": 1500000, "microseconds": 123456}, "event""#
        #expect(client.lines("{'execute':'cont'}") == [stamp + #": "RESUME"}"#, #"{"return": {}}"#])
        #expect(try client.value("query-status")["status"] == "running")
        #expect(client.lines("{'execute':'stop'}") == [stamp + #": "STOP"}"#, #"{"return": {}}"#])
        #expect(try client.value("query-status")["status"] == "paused")
        #expect(
            client.lines("{'execute':'system_reset'}") == [
                stamp + #": "RESET", "data": {"guest": false, "reason": "host-qmp-system-reset"}}"#, #"{"return": {}}"#,
            ])
        #expect(
            client.lines("{'execute':'system_powerdown'}") == [stamp + #": "POWERDOWN"}"#, #"{"return": {}}"#])
        #expect(
            client.lines("{'execute':'quit'}") == [
                stamp + #": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}}"#, #"{"return": {}}"#,
            ])
    }

    @Test func noRebootTurnsEveryResetIntoAShutdown() throws {
        let client = try QMPClient()
        client.machine.runner.policy.resetShutsDown = true
        #expect(client.lines("{'execute':'system_reset'}").first?.contains("SHUTDOWN") == true)
    }

    @Test func outOfBandCommandsNeedTheCapability() throws {
        let machine = try SmallMachine()
        let stream = MemoryStream()
        machine.server.addMonitor(on: stream, mode: .control)
        stream.type("{'execute':'qmp_capabilities','arguments':{'enable':['warp']}}")
        #expect(stream.takeText().contains("does not accept value 'warp'"))
        stream.type("{'execute':'qmp_capabilities','arguments':{'enable':['oob']}}{'exec-oob':'query-name','id':1}")
        let lines = stream.takeLines()
        #expect(lines.first == #"{"return": {}}"#)
        #expect(lines.last?.contains("The command query-name does not support OOB") == true)
        stream.type("{'exec-oob':'yank','id':2,'arguments':{'instances':[]}}")
        #expect(stream.takeLines() == [#"{"return": {}, "id": 2}"#])
        stream.type("{'exec-oob':'yank','execute':'stop'}")
        #expect(stream.takeText().contains("mutually exclusive"))
    }

    @Test func whatGuestsReportReachesClients() throws {
        let client = try QMPClient()
        for (event, text) in [
            (MachineEvent.guestPanicked(action: "pause"), #""GUEST_PANICKED", "data": {"action": "pause"}"#),
            (.guestCrashLoaded(action: "run"), #""GUEST_CRASHLOADED", "data": {"action": "run"}"#),
            (.balloonChanged(actualBytes: 4096), #""BALLOON_CHANGE", "data": {"actual": 4096}"#),
            (
                .serialPortChanged(identifier: "agent", isOpen: true),
                #""VSERPORT_CHANGE", "data": {"open": true, "id": "agent"}"#
            ),
            (
                .blockError(
                    MachineEvent.BlockFailure(
                        device: "d", nodeName: "n", isWrite: true, action: "stop", isNoSpace: true, reason: "full")),
                #""BLOCK_IO_ERROR", "data": {"device": "d", "nospace": true, "reason": "full", "operation": "write", "#
                    + #""action": "stop", "node-name": "n"}"#
            ),
        ] {
            client.machine.runner.announce(event)
            client.machine.pump()
            #expect(client.stream.takeText().contains(text))
        }
    }

    @Test func whatManagementProgramsAskFirst() throws {
        let client = try QMPClient()
        let all = try #require(try client.value("qom-list-types").array).compactMap { $0["name"]?.string }
        for name in ["virtio-blk-pci", "pc-q35-7.2-machine", "memory-backend-file", "max-x86_64-cpu", "secret"] {
            #expect(all.contains(name))
        }
        let devices = client.lines("{'execute':'qom-list-types','arguments':{'implements':'device'}}").joined()
        #expect(devices.contains("virtio-blk-pci") && !devices.contains("machine"))
        let machine = client.lines(
            "{'execute':'qom-list-properties','arguments':{'typename':'pc-q35-7.2-machine'}}"
        ).joined()
        #expect(machine.contains(#""name": "hpet""#))
        let options = try #require(try client.value("query-command-line-options").array)
        let sandbox = try #require(options.first { $0["option"] == "sandbox" })
        #expect(sandbox["parameters"]?.array?.contains { $0["name"] == "elevateprivileges" } == true)
        #expect(options.contains { $0["option"] == "smp-opts" })
        #expect(
            client.lines(
                "{'execute':'migrate-set-capabilities','arguments':{'capabilities':[{'capability':'events','state':true}]}}"
            ) == [#"{"return": {}}"#])
        let capabilities = try #require(try client.value("query-migrate-capabilities").array)
        #expect(capabilities.contains(["state": true, "capability": "events"]))
        #expect(capabilities.contains { $0["capability"] == "multifd" })
        #expect(
            client.lines(
                "{'execute':'migrate-set-capabilities','arguments':{'capabilities':[{'capability':'xbzrle','state':true}]}}"
            ).joined().contains("migration capability 'xbzrle' is not supported"))
    }

    /// What QEMU 7.2 says to parameters and capabilities of moves that cannot be.
    @Test(arguments: [
        ("'downtime-limit':'x'", "Parameter 'downtime-limit' expects uint64"),
        (
            "'downtime-limit':3000000",
            "Parameter 'downtime_limit' expects an integer in the range of 0 to (2000 * 1000) ms"
        ),
        ("'multifd-channels':0", "Parameter 'multifd_channels' expects a value between 1 and 255"),
        ("'multifd-channels':300", "Parameter 'multifd-channels' expects uint8_t"),
        ("'compress-level':10", "Parameter 'compress_level' expects a value between 0 and 9"),
        ("'cpu-throttle-initial':0", "Parameter 'cpu_throttle_initial' expects an integer in the range of 1 to 99"),
        (
            "'max-cpu-throttle':10",
            "Parameter 'max_cpu_throttle' expects an integer in the range of cpu_throttle_initial to 99"
        ),
        (
            "'xbzrle-cache-size':1000",
            "Parameter 'xbzrle_cache_size' expects a power of two no less than the target page size"
        ),
        ("'announce-initial':100001", "Parameter 'announce_initial' expects a value between 0 and 100000"),
        ("'multifd-compression':'bad'", "Parameter 'multifd-compression' does not accept value 'bad'"),
        ("'multifd-compression':'zlib'", "multifd-compression=zlib is not supported"),
    ])
    func parametersOfMovesThatCannotBe(argument: String, text: String) throws {
        let client = try QMPClient()
        let answer = client.lines("{'execute':'migrate-set-parameters','arguments':{\(argument)}}").joined()
        #expect(answer.contains(text), "\(answer)")
    }

    @Test(arguments: [
        ("migrate", "{'uri':'x','resume':true}", "Cannot resume if there is no paused migration"),
        ("migrate", "{'uri':'x','blk':true}", "migrate with 'blk' is not supported"),
        ("migrate", "{'uri':'x'}", "Parameter 'uri' expects a valid migration protocol"),
        ("migrate-continue", "{'state':'bad'}", "Parameter 'state' does not accept value 'bad'"),
        ("migrate-continue", "{'state':'pre-switchover'}", "Migration not in expected state: none"),
        ("migrate-incoming", "{'uri':'tcp:1:2'}", "'-incoming' was not specified on the command line"),
        ("migrate-recover", "{'uri':'x'}", "Migrate recover can only be run when postcopy is paused."),
        ("migrate-pause", "{}", "migrate-pause is currently only supported during postcopy-active state"),
        (
            "migrate-start-postcopy", "{}",
            "Enable postcopy with migrate_set_capability before the start of migration"
        ),
    ])
    func movesThatCannotBe(command: String, arguments: String, text: String) throws {
        let client = try QMPClient()
        let answer = client.lines("{'execute':'\(command)','arguments':\(arguments)}").joined()
        #expect(answer.contains(text), "\(answer)")
    }

    @Test func cardsAreAnnounced() throws {
        let client = try QMPClient()
        let answer = client.lines(
            "{'execute':'announce-self','arguments':{'initial':1,'max':2,'rounds':3,'step':4,'interfaces':['n'],'id':'i'}}"
        )
        #expect(answer == [#"{"return": {}}"#])
        let settings = try #require(client.machine.announced.first)
        #expect(settings.initial == 1 && settings.maximum == 2 && settings.rounds == 3 && settings.step == 4)
        #expect(settings.cards == ["n"] && settings.identifier == "i")
        #expect(
            client.lines("{'execute':'announce-self','arguments':{'initial':1}}").joined()
                .contains("Parameter 'max' is missing"))
    }

    @Test func parametersOfMovesThatCanBe() throws {
        let client = try QMPClient()
        for argument in ["'max-bandwidth':-1", "'block-bitmap-mapping':[]", "'tls-creds':''", "'announce-step':10000"] {
            let answer = client.lines("{'execute':'migrate-set-parameters','arguments':{\(argument)}}")
            #expect(answer == [#"{"return": {}}"#])
        }
        #expect(try client.value("query-migrate-parameters")["announce-step"] == 10000)
        let answer = client.lines(
            "{'execute':'migrate-set-capabilities','arguments':{'capabilities':[{'state':true}]}}")
        #expect(answer.joined().contains("Parameter 'capabilities[0].capability' is missing"))
    }

    @Test func actionsChangeThePolicy() throws {
        let client = try QMPClient()
        #expect(
            client.lines("{'execute':'set-action','arguments':{'reboot':'shutdown','shutdown':'pause','panic':'none'}}")
                == [#"{"return": {}}"#])
        #expect(client.machine.runner.policy.resetShutsDown)
        #expect(client.machine.runner.policy.shutdownPauses)
        #expect(client.machine.runner.policy.panicAction == "none")
    }

    @Test func facts() throws {
        let client = try QMPClient(processors: 2)
        client.machine.facts.name = "web"
        #expect(try client.value("query-name") == ["name": "web"])
        #expect(try client.value("query-uuid")["UUID"] == "00000000-0000-0000-0000-000000000000")
        #expect(try client.value("query-kvm") == ["enabled": false, "present": true])
        let processors = try client.value("query-cpus-fast")
        #expect(processors.array?.count == 2)
        #expect(
            processors.array?.first?.printed()
                == #"{"thread-id": 4242, "props": {"core-id": 0, "thread-id": 0, "socket-id": 0}, "#
                + #""qom-path": "/machine/unattached/device[0]", "cpu-index": 0, "target": "x86_64"}"#)
        #expect(processors.array?.last?["qom-path"] == "/machine/unattached/device[2]")
        let machines = try #require(try client.value("query-machines").array)
        #expect(machines.compactMap { $0["alias"]?.string } == ["pc", "q35"])
        #expect(
            try client.value("query-chardev").printed()
                == #"[{"frontend-open": true, "filename": "memory", "label": "compat_monitor0"}]"#)
    }

    @Test func everyCommandIsListedAndInTheSchema() throws {
        let client = try QMPClient()
        let names = try #require(try client.value("query-commands").array).compactMap { $0["name"]?.string }
        for expected in [
            "query-status", "query-version", "query-kvm", "query-commands", "query-cpus-fast", "query-block",
            "query-chardev", "query-machines", "query-cpu-definitions", "query-name", "query-uuid", "stop", "cont",
            "system_reset", "system_powerdown", "quit", "memsave", "pmemsave", "human-monitor-command",
        ] { #expect(names.contains(expected)) }
        let schema = try #require(try client.value("query-qmp-schema").array)
        let commands = schema.filter { $0["meta-type"] == "command" }.compactMap { $0["name"]?.string }
        #expect(commands == names)
        let types = Set(schema.compactMap { $0["name"]?.string })
        for entry in schema {
            if let argument = entry["arg-type"]?.string { #expect(types.contains(argument)) }
        }
    }

    @Test func disks() throws {
        let client = try QMPClient()
        var report = BlockDeviceReport()
        report.device = "dr"
        report.qdev = "/machine/peripheral/d1/virtio-backend"
        report.ioStatus = "ok"
        var medium = BlockDeviceReport.Medium()
        (medium.file, medium.nodeName, medium.virtualSize, medium.actualSize) = ("d.img", "#block156", 1 << 20, 4096)
        report.medium = medium
        report.statistics.reads = 3
        client.machine.blocks = [report]
        let block = try #require(try client.value("query-block").array?.first)
        // QEMU 7.2's members, in whatever order.
        #expect(
            Set(block.object?.names ?? []) == [
                "io-status", "device", "locked", "removable", "inserted", "qdev", "type",
            ])
        #expect(block["inserted"]?["image"]?["virtual-size"] == 1_048_576 && block["inserted"]?["drv"] == "raw")
        #expect(block["inserted"]?.object?.count == 16)
        let statistics = try #require(try client.value("query-blockstats").array?.first)
        #expect(statistics["stats"]?["rd_operations"] == 3 && statistics["node-name"] == "#block156")
    }

    @Test func memoryIsSaved() throws {
        let client = try QMPClient()
        try client.machine.memory.write(Array("hello".utf8), at: 0x1000)
        client.machine.processors[0].offset = 0x800
        #expect(
            try client.error("memsave", "{'val':0,'size':16,'filename':'/nonexistent/x'}")
                == "GenericError: Could not open '/nonexistent/x': No such file or directory")
        #expect(
            try client.error("memsave", "{'val':0,'size':16,'filename':'/dev/null','cpu-index':9}")
                == "GenericError: Parameter 'cpu-index' expects a CPU number")
        #expect(try client.value("memsave", "{'val':2048,'size':5,'filename':'/dev/null'}") == [:])
        #expect(try client.value("pmemsave", "{'val':4096,'size':5,'filename':'/dev/null'}") == [:])
        #expect(
            try client.error("pmemsave", "{'val':65530,'size':16,'filename':'/dev/null'}").hasPrefix(
                "GenericError: Invalid addr 0x000000000000fffa"))
    }

    @Test func errorsAsQEMU() throws {
        let client = try QMPClient()
        for (command, arguments, text) in [
            ("system_wakeup", "{}", "GenericError: Unable to wake up: guest is not in suspended state"),
            ("query-balloon", "{}", "DeviceNotActive: No balloon device has been activated"),
            ("set_link", "{'name':'x','up':true}", "DeviceNotFound: Device 'x' not found"),
            ("getfd", "{'fdname':'a'}", "GenericError: No file descriptor supplied via SCM_RIGHTS"),
            ("closefd", "{'fdname':'a'}", "GenericError: File descriptor named 'a' not found"),
            ("remove-fd", "{'fdset-id':1}", "GenericError: File descriptor named 'fdset-id:1' not found"),
            ("chardev-remove", "{'id':'zz'}", "GenericError: Chardev 'zz' not found"),
            (
                "qom-get", "{'path':'/machine/nope','property':'type'}",
                "DeviceNotFound: Device '/machine/nope' not found"
            ),
            (
                "qom-get", "{'path':'/machine','property':'nope'}",
                "GenericError: Property 'pc-q35-7.2-machine.nope' not found"
            ),
            ("device-list-properties", "{'typename':'foo'}", "DeviceNotFound: Device 'foo' not found"),
            ("query-command-line-options", "{'option':'foo'}", "GenericError: invalid option name: foo"),
        ] { #expect(try client.error(command, arguments) == text) }
    }

    @Test func devicesAndObjects() throws {
        let client = try QMPClient()
        #expect(
            try client.value("set_link", "{'name':'net0','up':false}") == [:] && client.machine.links["net0"] == false)
        client.machine.balloonActualBytes = 1 << 20
        #expect(try client.value("query-balloon") == ["actual": 1_048_576])
        #expect(try client.value("balloon", "{'value':4096}") == [:] && client.machine.balloonActualBytes == 4096)
        #expect(try client.value("inject-nmi") == [:] && client.machine.nonMaskableInterrupts == 1)
        #expect(try client.value("qom-get", "{'path':'/machine','property':'type'}") == "pc-q35-7.2-machine")
        #expect(
            try client.value("qom-list", "{'path':'/machine/peripheral'}").printed()
                == #"[{"name": "type", "type": "string"}, {"name": "rng0", "type": "child<virtio-rng-pci>"}]"#)
        let properties = try #require(try client.value("device-list-properties", "{'typename':'virtio-rng-pci'}").array)
        #expect(properties.contains { $0["name"] == "max-bytes" && $0["default-value"] == .integer(.max) })
    }

    @Test func pciFunctions() throws {
        let client = try QMPClient()
        var function = PCIFunctionReport()
        (function.vendor, function.device, function.slot, function.interruptPin) = (0x1AF4, 0x1005, 1, 1)
        function.regions = [
            .init(bar: 4, isIO: false, is64Bit: true, isPrefetchable: true, address: .max, count: 0x4000)
        ]
        client.machine.functions = [function]
        let bus = try #require(try client.value("query-pci").array?.first)
        let device = try #require(bus["devices"]?.array?.first)
        #expect(device["id"]?["vendor"] == 0x1AF4 && device["irq"] == 0)
        #expect(
            device["regions"]?.printed()
                == #"[{"bar": 4, "size": 16384, "address": -1, "type": "memory", "prefetch": true, "mem_type_64": true}]"#
        )
    }

    @Test func humanCommandsThroughQMP() throws {
        let client = try QMPClient()
        #expect(try client.value("human-monitor-command", "{'command-line':'foo'}") == "unknown command: 'foo'\r\n")
        #expect(
            try client.value("human-monitor-command", "{'command-line':'info status'}")
                == "VM status: paused (prelaunch)\r\n")
    }
}
