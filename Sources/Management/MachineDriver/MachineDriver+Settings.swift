// SPDX-License-Identifier: Apache-2.0

internal import ControlProtocol
internal import Glibc
internal import HostInventory
public import HostSystem
internal import JSONCoding
public import ManagementModel
internal import ManagementXML
internal import StateStore
internal import XMLTree

/// What a change or a question is about: the machine that runs, its definition, or what it is limited to.
public struct ProcessorScope: Equatable, Sendable {
    /// The machine as it runs now; an error if it does not run.
    public var live: Bool
    /// The definition, from which the next start is made.
    public var configuration: Bool
    /// The most that it may have, not what it has.
    public var maximum: Bool
    /// Neither `live` nor `configuration` means whichever the machine's state suggests.
    public init(live: Bool, configuration: Bool, maximum: Bool) {
        self.live = live
        self.configuration = configuration
        self.maximum = maximum
    }
}

// Memory, processors, metadata, consoles.
extension MachineDriver {
    /// Which of the two a call means: without flags, what is there now.
    func resolve(_ machine: Machine, _ scope: ProcessorScope) throws -> (live: Bool, configuration: Bool) {
        let facts = machine.facts
        if !scope.live && !scope.configuration { return facts.isActive ? (true, false) : (false, true) }
        if scope.live && !facts.isActive { throw ManagementError(.operationInvalid, "domain is not running") }
        if scope.configuration && !facts.isPersistent {
            throw ManagementError(.operationInvalid, "transient domains do not have any persistent config")
        }
        return (scope.live, scope.configuration)
    }

    /// How many processors a machine has or may have.
    public func processorCount(_ uuid: UniqueID, _ scope: ProcessorScope) throws -> Int {
        let machine = try machine(uuid)
        let (live, _) = try resolve(machine, scope)
        if live {
            let facts = machine.facts
            return scope.maximum ? facts.maximumProcessors : facts.processors
        }
        let definition = try definition(of: machine)
        return scope.maximum ? definition.maximumProcessors : definition.processors
    }

    /// Changes the number of processors.
    public func setProcessors(_ uuid: UniqueID, _ count: Int, _ scope: ProcessorScope) throws {
        let machine = try machine(uuid)
        try machine.job.withLock {
            let (live, configuration) = try resolve(machine, scope)
            guard count > 0, count <= 4096 else {
                throw ManagementError(.invalidArg, "argument out of range: \(count)")
            }
            if live {
                if scope.maximum {
                    throw ManagementError(.operationInvalid, "maximum vcpu count of a live domain can't be modified")
                }
                try setLiveProcessors(machine, count)
            }
            guard configuration else { return }
            try update(machine) { definition in
                var element = definition.root[child: "vcpu"] ?? XMLElement("vcpu", text: "1")
                let maximum = definition.maximumProcessors
                if scope.maximum {
                    if definition.processors >= count { element["current"] = nil }
                    element.text = "\(count)"
                } else {
                    guard count <= maximum else {
                        throw ManagementError(
                            .invalidArg,
                            "requested vcpus is greater than max allowable vcpus for the persistent domain: \(count) > \(maximum)"
                        )
                    }
                    element["current"] = count == maximum ? nil : "\(count)"
                }
                definition.root[child: "vcpu"] = element
            }
        }
    }

    /// Changes the memory that the guest may use, or the memory that there is; KiB.
    public func setMemory(_ uuid: UniqueID, _ size: UInt64, _ scope: ProcessorScope) throws {
        let machine = try machine(uuid)
        try machine.job.withLock {
            let (live, configuration) = try resolve(machine, scope)
            guard size > 0 else {
                throw ManagementError(.invalidArg, "memory in virDomainSetMemory must be greater than 0", from: .domain)
            }
            if scope.maximum {
                if live {
                    throw ManagementError(.operationInvalid, "cannot resize the maximum memory on an active domain")
                }
            } else if size > machine.facts.maximumMemory {
                throw ManagementError(.invalidArg, "cannot set memory higher than max memory")
            }
            if live, let running = machine.live {
                do {
                    try running.monitor.execute("balloon", ["value": JSONValue(size &* 1024)])
                } catch let failure as MonitorClient.Failure { throw Self.error(of: failure) }
            }
            guard configuration else { return }
            try update(machine) { definition in
                if scope.maximum {
                    definition.root[child: "memory"]?.text = "\(size)"
                    if definition.memory > size { definition.root[child: "currentMemory"]?.text = "\(size)" }
                } else {
                    definition.root[child: "currentMemory"]?.text = "\(size)"
                }
            }
        }
    }

    /// Whether the memory of a machine that does not run was saved.
    public func hasSavedMemory(_ name: String) -> Bool { StateFiles.exists(folders.savedMemory(name)) }

    /// Nanoseconds that a running machine's process has used; 0 for others.
    public func processorTime(_ uuid: UniqueID) -> UInt64 {
        guard let process = (try? machine(uuid))?.live?.process else { return 0 }
        return ProcessTimes(process)?.total ?? 0
    }

    // MARK: Metadata

    private enum Metadata {
        static let description: Int32 = 0, title: Int32 = 1, element: Int32 = 2
    }

    /// The description, the title, or the element of a namespace.
    public func metadata(_ uuid: UniqueID, _ type: Int32, uri: String?, _ scope: ProcessorScope) throws -> String {
        let machine = try machine(uuid)
        let isLive = try resolve(machine, scope).live
        let definition = try isLive ? machine.requireLive().definition : definition(of: machine)
        let found: String?
        switch type {
        case Metadata.description: found = definition.root[child: "description"]?.text
        case Metadata.title: found = definition.root[child: "title"]?.text
        case Metadata.element:
            found = definition.root[child: "metadata"]?.elements.first { Self.namespace(of: $0) == uri }
                .map { Self.withoutPrefix($0).printed(.init(quote: "\"")) }
                .map { $0.hasSuffix("\n") ? String($0.dropLast()) : $0 }
        default: throw ManagementError(.invalidArg, "unknown metadata type")
        }
        guard let found else {
            throw ManagementError(.noDomainMetadata, "Requested metadata element is not present", from: .domain)
        }
        return found
    }

    private static func namespace(of element: XMLElement) -> String? {
        let parts = element.name.split(separator: ":")
        return element[parts.count == 2 ? "xmlns:\(parts[0])" : "xmlns"]
    }

    /// The element as its owner wrote it: with its namespace as the default one.
    private static func withoutPrefix(_ element: XMLElement) -> XMLElement {
        let parts = element.name.split(separator: ":")
        guard parts.count == 2 else { return element }
        let prefix = parts[0] + ":"
        func strip(_ element: XMLElement) -> XMLElement {
            var copy = element
            if copy.name.hasPrefix(prefix) { copy.name = String(copy.name.dropFirst(prefix.count)) }
            copy.children = copy.children.map { $0.element.map { .element(strip($0)) } ?? $0 }
            return copy
        }
        var bare = strip(element)
        bare["xmlns:\(parts[0])"] = nil
        return bare
    }

    /// Sets description (0), title (1) or the element of namespace `uri` (2); a nil text removes it.
    public func setMetadata(
        _ uuid: UniqueID, _ type: Int32, _ text: String?, key: String?, uri: String?, live: Bool, configuration: Bool
    ) throws {
        let machine = try machine(uuid)
        try machine.job.withLock {
            let scope = try resolve(machine, ProcessorScope(live: live, configuration: configuration, maximum: false))
            func change(_ definition: inout DomainDefinition) throws {
                try Self.setMetadata(&definition.root, type, text, key: key, uri: uri)
                definition.order()
            }
            if scope.live, var definition = machine.live?.definition {
                try change(&definition)
                machine.change { _, running in running?.definition = definition }
                saveStatus(machine)
            }
            if scope.configuration { try update(machine, change) }
            events.emit(.machine(machine.facts.reference, .metadataChange(type, uri: uri)))
        }
    }

    private static func setMetadata(
        _ root: inout XMLElement, _ type: Int32, _ text: String?, key: String?, uri: String?
    ) throws {
        switch type {
        case Metadata.description, Metadata.title:
            let name = type == Metadata.title ? "title" : "description"
            root[child: name] = text.flatMap { $0.isEmpty ? nil : XMLElement(name, text: $0) }
        case Metadata.element:
            var metadata = root[child: "metadata"] ?? XMLElement("metadata")
            metadata.elements = metadata.elements.filter { namespace(of: $0) != uri }
            if let text, let key, let uri {
                var element = try XMLDocument.parseAny(text, called: "metadata_xml")
                func prefix(_ element: XMLElement) -> XMLElement {
                    var copy = element
                    if !copy.name.contains(":") { copy.name = key + ":" + copy.name }
                    copy.children = copy.children.map { $0.element.map { .element(prefix($0)) } ?? $0 }
                    return copy
                }
                element = prefix(element)
                element["xmlns"] = nil
                element.attributes.insert(XMLAttribute("xmlns:\(key)", uri), at: 0)
                metadata.append(element)
            }
            root[child: "metadata"] = metadata.elements.isEmpty ? nil : metadata
        default: throw ManagementError(.invalidArg, "unknown metadata type")
        }
    }

    // MARK: Consoles

    /// The terminal of a console; the first one when none is named.
    public func openConsole(_ uuid: UniqueID, _ alias: String?) throws -> FileDescriptor {
        let live = try machine(uuid).requireLive()
        let kinds = ["console", "serial", "parallel", "channel"]
        let device = live.definition.devices.first { device in
            guard let alias else { return device.name == "console" || device.name == "serial" }
            return kinds.contains(device.name) && device[child: "alias"]?["name"] == alias
        }
        guard let device else {
            throw ManagementError(
                .internalError,
                alias.map { "cannot find character device \($0)" } ?? "cannot find default console device")
        }
        guard device["type"] == "pty", let path = device[child: "source"]?["path"] else {
            throw ManagementError(
                .internalError, "character device \(device[child: "alias"]?["name"] ?? device.name) is not using a PTY")
        }
        do throws(Errno) { return try FileDescriptor.open(path, flags: O_RDWR | O_NOCTTY) } catch {
            throw ManagementError(.systemError, "cannot open the terminal '\(path)': \(error)")
        }
    }
}
