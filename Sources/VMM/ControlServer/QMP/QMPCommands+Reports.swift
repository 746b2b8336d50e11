// SPDX-License-Identifier: Apache-2.0

internal import CharacterStreams
internal import ControlProtocol
internal import CPUInterface
internal import HostSystem
internal import JSONCoding
internal import MachineRuntime

extension QMPCommandTable {
    static let processorCommands = [
        QMPCommandDefinition("query-cpus-fast") { context, _ in
            let facts = context.machine.facts
            return .array(
                context.machine.runner.processors.map { processor in
                    [
                        "thread-id": .integer(Int64(processor.hostThreadIdentifier)),
                        "props": properties(of: processor.index, facts),
                        "qom-path": .string(facts.processorPath(processor.index)),
                        "cpu-index": .integer(Int64(processor.index)), "target": "x86_64",
                    ]
                })
        },
        QMPCommandDefinition("query-hotpluggable-cpus") { (context, _) throws(QMPError) in
            let facts = context.machine.facts
            guard facts.machineType != "none" else {
                throw QMPError("The feature 'query-hotpluggable-cpus' is not enabled")
            }
            let runner = context.machine.runner
            let places = max(facts.maximumProcessors, (runner.processors.last?.index ?? 0) + 1)
            return .array(
                (0..<places).reversed().map { index in
                    var place: JSONObject = ["props": properties(of: index, facts), "vcpus-count": 1]
                    // Places without a processor have no path.
                    if runner.processor(at: index) != nil { place["qom-path"] = .string(facts.processorPath(index)) }
                    place["type"] = .string(facts.processorType)
                    return .object(place)
                })
        },
        QMPCommandDefinition("query-cpu-definitions") { context, _ in
            let offered = (context.machine as? any ProcessorReporting)?.processorCapabilities
            return .array(CPUModel.definitions.map { definition($0.name, $0.features, offered) })
        },
        QMPCommandDefinition(
            "query-cpu-model-expansion",
            [QMPParameter("type", .string, words: ["static", "full"]), QMPParameter("model", .object)]
        ) { (context, arguments) throws(QMPError) in
            guard let name = arguments["model"]?["name"]?.string else { throw QMPError("Parameter 'name' is missing") }
            guard let offered = (context.machine as? any ProcessorReporting)?.processorCapabilities else {
                throw QMPError("this machine has no processor")
            }
            var changes: [(String, Bool)] = []
            // It says which of the host's features may be offered; none here hinders a move to another host.
            for member in arguments["model"]?["props"]?.object?.members ?? [] where member.name != "migratable" {
                guard let isOn = member.value.bool else {
                    throw QMPError("Invalid parameter type for '\(member.name)', expected: boolean")
                }
                changes.append((member.name, isOn))
            }
            guard CPUModel.definitions.contains(where: { $0.name == name }) else {
                throw QMPError("The CPU type '\(name)' is not a recognized CPU type")
            }
            do throws(CPUModelError) {
                let model = try CPUModel(named: name, changes: changes, capabilities: offered)
                var props = JSONObject()
                for feature in ProcessorFeature.all {
                    for name in ProcessorAnswers.names(of: feature) { props[name] = .bool(model.has(feature.name)) }
                }
                ProcessorAnswers.addIdentity(of: model, to: &props)
                let isStatic = arguments.string("type") == "static"
                return ["model": ["name": .string(isStatic ? "base" : name), "props": .object(props)]]
            } catch { throw QMPError(error.description) }
        },
    ]

    private static func properties(of index: Int, _ facts: MachineFacts) -> JSONValue {
        let threads = max(1, facts.threads), cores = max(1, facts.cores)
        return [
            "core-id": .integer(Int64(index / threads % cores)), "thread-id": .integer(Int64(index % threads)),
            "socket-id": .integer(Int64(index / threads / cores)),
        ]
    }

    private static func definition(
        _ name: String, _ features: FeatureSet?, _ offered: CPUModel.Capabilities?
    ) -> JSONValue {
        var missing: [String] = []
        if let features, let offered { missing = features.missing(from: offered.features).map(\.name) }
        return [
            "name": .string(name), "typename": .string("\(name)-x86_64-cpu"),
            "unavailable-features": .array(missing.map(JSONValue.string)), "static": .bool(name == "base"),
            "migration-safe": .bool(name != "host" && name != "max"), "deprecated": false,
        ]
    }

    // MARK: disks

    static let blockCommands = [
        QMPCommandDefinition("query-block") { context, _ in
            .array(BlockAnswers.backends(of: context.machine).map(BlockAnswers.block))
        },
        QMPCommandDefinition(
            "query-blockstats", [QMPParameter("query-nodes", .boolean, optional: true)]
        ) { context, arguments in
            let reports = (context.machine as? any BlockReporting)?.blockReports() ?? []
            let showsNodes = arguments.bool("query-nodes") ?? false
            return .array(reports.filter { showsNodes || $0.isBackend }.map(BlockAnswers.statistics))
        },
        QMPCommandDefinition(
            "query-named-block-nodes", [QMPParameter("flat", .boolean, optional: true)]
        ) { context, _ in
            .array(((context.machine as? any BlockReporting)?.nodeReports() ?? []).map(BlockAnswers.inserted))
        },
    ]

    // MARK: PCI

    static let deviceCommands = [
        QMPCommandDefinition("query-pci") { context, _ in
            let functions = (context.machine as? any PCIReporting)?.pciReports() ?? []
            let buses = Set(functions.map(\.bus)).sorted()
            return .array(
                buses.map { bus in
                    [
                        "bus": .integer(Int64(bus)),
                        "devices": .array(functions.filter { $0.bus == bus }.map(PCIAnswers.function)),
                    ]
                })
        },
        QMPCommandDefinition("query-iothreads") { context, _ in
            .array(
                ((context.machine as? any ThreadReporting)?.ioThreads ?? []).map { thread in
                    [
                        "poll-shrink": 0, "thread-id": .integer(Int64(thread.hostIdentifier)), "poll-grow": 0,
                        "poll-max-ns": 0, "aio-max-batch": 0, "id": .string(thread.name),
                    ]
                })
        },
        QMPCommandDefinition("query-rx-filter", [QMPParameter("name", .string, optional: true)]) {
            (_, arguments) throws(QMPError) in
            if let name = arguments["name"]?.string { throw QMPError("invalid net client name: \(name)") }
            return []
        },
        QMPCommandDefinition("query-tpm") { _, _ in [] },
    ]
}

/// The shapes of disks in QMP.
enum BlockAnswers {
    /// What has a place in `query-block`.
    static func backends(of machine: any ControlledMachine) -> [BlockDeviceReport] {
        ((machine as? any BlockReporting)?.blockReports() ?? []).filter(\.isBackend)
    }

    static func block(_ report: BlockDeviceReport) -> JSONValue {
        var object: JSONObject = [:]
        if let status = report.ioStatus { object["io-status"] = .string(status) }
        object["device"] = .string(report.device)
        object["locked"] = .bool(report.isLocked)
        object["removable"] = .bool(report.isRemovable)
        if let medium = report.medium { object["inserted"] = inserted(medium) }
        if let qdev = report.qdev { object["qdev"] = .string(qdev) }
        if let open = report.trayOpen { object["tray_open"] = .bool(open) }
        object["type"] = "unknown"
        return .object(object)
    }

    static func inserted(_ medium: BlockDeviceReport.Medium) -> JSONValue {
        var object: JSONObject = [
            "iops_rd": 0, "detect_zeroes": .string(medium.detectZeroes),
            "image": image(medium, medium.backingImages[...]),
            "iops_wr": 0,
            "ro": .bool(medium.isReadOnly), "node-name": .string(medium.nodeName),
            "backing_file_depth": .integer(Int64(medium.backingDepth)), "drv": .string(medium.format), "iops": 0,
            "bps_wr": 0, "write_threshold": 0, "encrypted": false, "bps": 0, "bps_rd": 0,
            "cache": [
                "no-flush": .bool(medium.ignoresFlush), "direct": .bool(medium.isDirect),
                "writeback": .bool(medium.writeBack),
            ],
            "file": .string(medium.file),
        ]
        if let backing = medium.backingFile { object["backing_file"] = .string(backing) }
        for (name, value) in medium.limits.sorted(by: { $0.key < $1.key }) { object[name] = JSONValue(value) }
        if let group = medium.limitGroup { object["group"] = .string(group) }
        if !medium.dirtyBitmaps.isEmpty {
            object["dirty-bitmaps"] = .array(medium.dirtyBitmaps.map(BitmapAnswers.bitmap))
        }
        return .object(object)
    }

    private static func image(
        _ medium: BlockDeviceReport.Medium, _ below: ArraySlice<BlockDeviceReport.Medium>
    ) -> JSONValue {
        var image: JSONObject = [:]
        if let next = below.first { image["backing-image"] = self.image(next, below.dropFirst()) }
        if !medium.snapshots.isEmpty { image["snapshots"] = .array(medium.snapshots.map(snapshot)) }
        if let format = medium.backingFormat { image["backing-filename-format"] = .string(format) }
        image["virtual-size"] = JSONValue(medium.virtualSize)
        image["filename"] = .string(medium.file)
        if let size = medium.clusterSize { image["cluster-size"] = .integer(Int64(size)) }
        image["format"] = .string(medium.format)
        if let size = medium.actualSize { image["actual-size"] = JSONValue(size) }
        if let full = medium.fullBackingFile { image["full-backing-filename"] = .string(full) }
        if let backing = medium.backingFile { image["backing-filename"] = .string(backing) }
        image["dirty-flag"] = false
        return .object(image)
    }

    private static func snapshot(_ snapshot: BlockDeviceReport.Snapshot) -> JSONValue {
        let second: UInt64 = 1_000_000_000
        return [
            "vm-clock-nsec": JSONValue(snapshot.clock % second), "name": .string(snapshot.name),
            "date-sec": .integer(snapshot.seconds), "date-nsec": .integer(snapshot.nanoseconds),
            "vm-clock-sec": JSONValue(snapshot.clock / second), "id": .string(snapshot.identifier),
            "vm-state-size": .integer(snapshot.stateSize),
        ]
    }

    static func statistics(_ report: BlockDeviceReport) -> JSONValue {
        let counts = report.statistics
        var object: JSONObject = ["device": .string(report.device)]
        var stats: JSONObject = [
            "rd_bytes": JSONValue(counts.readBytes), "wr_bytes": JSONValue(counts.writtenBytes),
            "unmap_bytes": JSONValue(counts.unmappedBytes), "rd_operations": JSONValue(counts.reads),
            "wr_operations": JSONValue(counts.writes), "flush_operations": JSONValue(counts.flushes),
            "unmap_operations": JSONValue(counts.unmaps), "rd_total_time_ns": JSONValue(counts.readNanoseconds),
            "wr_total_time_ns": JSONValue(counts.writeNanoseconds),
            "flush_total_time_ns": JSONValue(counts.flushNanoseconds),
            "unmap_total_time_ns": JSONValue(counts.unmapNanoseconds),
            "failed_rd_operations": JSONValue(counts.failedReads),
            "failed_wr_operations": JSONValue(counts.failedWrites),
            "failed_flush_operations": JSONValue(counts.failedFlushes),
            "failed_unmap_operations": JSONValue(counts.failedUnmaps), "invalid_rd_operations": 0,
            "invalid_wr_operations": 0, "invalid_flush_operations": 0, "invalid_unmap_operations": 0,
            "rd_merged": 0, "wr_merged": 0, "unmap_merged": 0,
            "wr_highest_offset": JSONValue(counts.highestWrite), "account_invalid": true, "account_failed": true,
            "timed_stats": [],
        ]
        if let idle = counts.idleNanoseconds { stats["idle_time_ns"] = JSONValue(idle) }
        object["stats"] = .object(stats)
        if let medium = report.medium { object["node-name"] = .string(medium.nodeName) }
        if let qdev = report.qdev { object["qdev"] = .string(qdev) }
        return .object(object)
    }
}

/// The shapes of PCI functions in QMP.
enum PCIAnswers {
    static func function(_ report: PCIFunctionReport) -> JSONValue {
        var identity: JSONObject = [
            "device": .integer(Int64(report.device)), "vendor": .integer(Int64(report.vendor)),
        ]
        if report.subsystemVendor != 0 || report.subsystem != 0 {
            identity["subsystem"] = .integer(Int64(report.subsystem))
            identity["subsystem-vendor"] = .integer(Int64(report.subsystemVendor))
        }
        var object: JSONObject = [
            "bus": .integer(Int64(report.bus)), "slot": .integer(Int64(report.slot)),
            "function": .integer(Int64(report.function)), "qdev_id": .string(report.identifier),
            "class_info": ["class": .integer(Int64(report.classCode)), "desc": .string(report.className)],
            "id": .object(identity), "irq_pin": .integer(Int64(report.interruptPin)),
            "regions": .array(report.regions.map(region)),
        ]
        if report.interruptPin != 0 { object["irq"] = .integer(Int64(report.interruptLine)) }
        return .object(object)
    }

    private static func region(_ region: PCIFunctionReport.Region) -> JSONValue {
        // QEMU shows an unmapped address as -1.
        let address = JSONValue.integer(Int64(bitPattern: region.address))
        var object: JSONObject = [
            "bar": .integer(Int64(region.bar)), "size": JSONValue(region.count), "address": address,
        ]
        if region.isIO {
            object["type"] = "io"
        } else {
            object["type"] = "memory"
            object["prefetch"] = .bool(region.isPrefetchable)
            object["mem_type_64"] = .bool(region.is64Bit)
        }
        return .object(object)
    }
}
