// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
internal import XMLTree

// One form for what can be written in several.
extension DomainBuilder {
    /// The name space of what only QEMU's driver knows.
    private static let emulatorSpace = "http://libvirt.org/schemas/domain/qemu/1.0"
    private static let emulatorPrefix = "qemu"

    /// Gives the parts for the emulator the prefix that they are printed with, whatever they were written with.
    mutating func normalizePrefix() {
        var prefixes: [String] = []
        for attribute in root.attributes where attribute.value == Self.emulatorSpace {
            if attribute.name.hasPrefix("xmlns:") { prefixes.append(String(attribute.name.dropFirst(6))) }
        }
        // A prefix that is declared where it is used.
        root.elements = root.elements.map { element in
            var element = element
            for attribute in element.attributes where attribute.value == Self.emulatorSpace {
                guard attribute.name == "xmlns" || attribute.name.hasPrefix("xmlns:") else { continue }
                let old = attribute.name == "xmlns" ? "" : String(attribute.name.dropFirst(6))
                element[attribute.name] = nil
                element = Self.renamed(element, old)
            }
            for prefix in prefixes where prefix != Self.emulatorPrefix { element = Self.renamed(element, prefix) }
            return element
        }
        root.attributes.removeAll { $0.name.hasPrefix("xmlns:") }
        if root.elements.contains(where: { $0.name.hasPrefix(Self.emulatorPrefix + ":") }) {
            root["xmlns:" + Self.emulatorPrefix] = Self.emulatorSpace
        }
    }

    private static func renamed(_ element: XMLElement, _ old: String) -> XMLElement {
        var element = element
        if old.isEmpty ? !element.name.contains(":") : element.name.hasPrefix(old + ":") {
            element.name = emulatorPrefix + ":" + element.name.dropFirst(old.isEmpty ? 0 : old.count + 1)
        }
        element.children = element.children.map { node in
            node.element.map { .element(renamed($0, old)) } ?? node
        }
        return element
    }

    /// Sets of processors and nodes, tuning and features.
    mutating func normalizeForms() throws {
        normalizeSets()
        try normalizeFeatures()
        completeThreads()
        normalizeSecurity()
        try normalizeBoot()
    }

    private mutating func normalizeSets() {
        // Who lets the host choose processors lets it choose memory as well, and the other way round.
        let isAuto = root[child: "vcpu"]?["placement"] == "auto"
        if isAuto, root[child: "numatune"]?[child: "memory"] == nil {
            var tune = root[child: "numatune"] ?? XMLElement("numatune")
            tune.append(XMLElement("memory", ["mode": "strict", "placement": "auto"]))
            root[child: "numatune"] = tune
        }
        if root.at("numatune", "memory")?["placement"] == "auto", root[child: "vcpu"]?["cpuset"] == nil,
            !hasGivenPlacement
        {
            root[child: "vcpu"]?["placement"] = "auto"
        }
        if let set = root[child: "vcpu"]?["cpuset"] { root[child: "vcpu"]?["cpuset"] = NumberSet.normalized(set) }
        if var tune = root[child: "cputune"] {
            for place in tune.children.indices {
                guard case .element(var element) = tune.children[place] else { continue }
                for name in ["cpuset", "vcpus", "iothreads"] {
                    if let set = element[name] { element[name] = NumberSet.normalized(set) }
                }
                tune.children[place] = .element(element)
            }
            // One line for each processor and thread.
            tune.elements = tune.elements.flatMap { element -> [XMLElement] in
                let names = ["vcpusched": "vcpus", "iothreadsched": "iothreads"]
                guard let name = names[element.name], let set = element[name].flatMap({ NumberSet($0) }) else {
                    return [element]
                }
                return set.numbers.sorted().map { number in
                    var single = element
                    single[name] = "\(number)"
                    return single
                }
            }
            tune.sort("iothreadpin", by: "iothread")
            tune.sort("vcpupin", by: "vcpu")
            root[child: "cputune"] = tune
        }
        if var tune = root[child: "numatune"] {
            for place in tune.children.indices {
                guard case .element(var element) = tune.children[place] else { continue }
                if let set = element["nodeset"] { element["nodeset"] = NumberSet.normalized(set) }
                if element.name == "memory" {
                    if element["nodeset"] == nil, element["placement"] == nil, element["mode"] != nil {
                        element["placement"] = "auto"
                    }
                    // Where the host chooses there is no set.
                    if element["placement"] == "auto" { element["nodeset"] = nil }
                    if element["placement"] == "static" { element["placement"] = nil }
                }
                tune.children[place] = .element(element)
            }
            tune.sort("memnode", by: "cellid")
            root[child: "numatune"] = tune
        }
        for name in ["hard_limit", "soft_limit", "swap_hard_limit"] {
            // Without a limit there is none to print.
            guard root[child: "memtune"]?[child: name]?.text == Self.noLimit else { continue }
            root[child: "memtune"]?[child: name] = nil
        }
        if root[child: "memtune"]?.elements.isEmpty ?? false { root[child: "memtune"] = nil }
    }

    /// KiB that stand for no limit.
    private static let noLimit = "9007199254740991"

    private mutating func normalizeFeatures() throws {
        guard var features = root[child: "features"] else { return }
        if var hyperv = features[child: "hyperv"] {
            if hyperv["mode"] == nil { hyperv["mode"] = "custom" }
            // Printed with its end, although nothing is in it.
            if hyperv.elements.isEmpty { hyperv.children = [.text("\n    ")] }
            features[child: "hyperv"] = hyperv
        }
        if features[child: "vmcoreinfo"] != nil, features[child: "vmcoreinfo"]?["state"] == nil {
            features[child: "vmcoreinfo"]?["state"] = "on"
        }
        if features[child: "pmu"] != nil, features[child: "pmu"]?["state"] == nil {
            features[child: "pmu"]?["state"] = "on"
        }
        if var smm = features[child: "smm"], smm[child: "tseg"] != nil {
            if smm[child: "tseg"]?["unit"] == nil { smm[child: "tseg"]?["unit"] = "MiB" }
            features[child: "smm"] = smm
        }
        root[child: "features"] = features
    }

    /// Threads for disks have numbers; those that the document does not give are the smallest that are free.
    private mutating func completeThreads() {
        guard let count = root[child: "iothreads"].flatMap({ Int($0.text.trimmed) }), count > 0, count <= 4096 else {
            return
        }
        guard var list = root[child: "iothreadids"] else { return }
        var known = Set(list.all("iothread").compactMap { $0["id"].flatMap { Int($0) } })
        var next = 1
        while list.all("iothread").count < count {
            while known.contains(next) { next += 1 }
            known.insert(next)
            list.append(XMLElement("iothread", ["id": "\(next)"]))
        }
        root[child: "iothreads"] = XMLElement("iothreads", text: "\(max(count, list.all("iothread").count))")
        root[child: "iothreadids"] = list
    }

    /// Labels of models that this host does not have are made when a machine starts, and not kept.
    private mutating func normalizeSecurity() {
        var hasOwn = false
        root.elements = root.elements.compactMap { element in
            guard element.name == "seclabel" else { return element }
            var label = element
            label[child: "imagelabel"] = nil
            guard label["model"] == nil else { return label }
            guard !hasOwn else { return nil }
            hasOwn = true
            return XMLElement("seclabel", ["type": "none", "model": "none"])
        }
    }

    private mutating func normalizeBoot() throws {
        guard var system = root[child: "os"] else { return }
        if var loader = system[child: "loader"] {
            if loader["type"] == nil, !loader.text.trimmed.isEmpty { loader["type"] = "rom" }
            system[child: "loader"] = loader
        }
        let store = system[child: "nvram"]
        let isSplit = system[child: "loader"]?["type"] == "pflash" && system[child: "loader"]?["readonly"] == "yes"
        let hasTemplate = store?["template"] != nil && store?.elements.isEmpty ?? true
        if isSplit && store?.text.isEmpty ?? true || hasTemplate && store?.text.trimmed.isEmpty ?? true {
            var named = store ?? XMLElement("nvram")
            named.text = context.variableStores + "/" + (root[child: "name"]?.text ?? "") + "_VARS.fd"
            system[child: "nvram"] = named
        }
        root[child: "os"] = system
    }

    // MARK: Devices

    /// Places on buses of drives, other machines' devices and ports.
    mutating func normalizeAddresses() {
        for place in devices.indices {
            if var address = devices[place][child: "address"], address["type"] == "drive" {
                for name in ["controller", "bus", "target", "unit"] where address[name] == nil { address[name] = "0" }
                devices[place][child: "address"] = address
            }
            if var address = devices[place][child: "address"], address["type"] == "virtio-serial",
                address["port"] != nil
            {
                for name in ["controller", "bus"] where address[name] == nil { address[name] = "0" }
                devices[place][child: "address"] = address
            }
            guard devices[place].name == "hostdev" || devices[place].name == "interface",
                var address = devices[place].at("source", "address"),
                address["type"] == nil || address["type"] == "pci", address["uuid"] == nil,
                devices[place]["type"] == "pci" || devices[place].name == "interface"
            else { continue }
            for (name, digits) in [("domain", 4), ("bus", 2), ("slot", 2), ("function", 1)] {
                guard let number = address[name].map({ Values.integer($0) ?? 0 }) ?? (name == "domain" ? 0 : nil) else {
                    continue
                }
                address[name] = Values.hex(number, digits: digits)
            }
            devices[place][child: "source"]?[child: "address"] = address
        }
    }

    /// Memory modules take slots.
    mutating func numberMemory() {
        var used = Set<Int>()
        for device in devices where device.name == "memory" {
            if let slot = device[child: "address"]?["slot"].flatMap(Values.integer),
                device[child: "address"]?["type"] == "dimm"
            {
                used.insert(slot)
            }
        }
        change("memory") { device in
            guard ["dimm", "nvdimm"].contains(device["model"] ?? ""), device[child: "address"] == nil else { return }
            let slot = (0...).first { !used.contains($0) } ?? 0
            used.insert(slot)
            device[child: "address"] = XMLElement("address", ["type": "dimm", "slot": "\(slot)"])
        }
    }

    /// Rules for USB devices that are handed on.
    static func normalizeRedirection(_ filter: inout XMLElement) {
        filter.elements = filter.elements.map { rule in
            var rule = rule
            for name in ["class", "vendor", "product", "version"] where rule[name] == "-1" { rule[name] = nil }
            if let version = rule["version"], let dot = version.firstIndex(of: ".") {
                let digits = version[version.index(after: dot)...]
                if digits.count == 1 { rule["version"] = version + "0" }
            }
            return rule
        }
    }

    /// Sizes that are printed in bytes.
    static func normalizeCache(_ element: inout XMLElement) {
        for place in element.children.indices {
            guard case .element(var child) = element.children[place] else { continue }
            if child.name == "max_size", let number = UInt64(child.text.trimmed),
                let scale = Values.bytes(inUnit: child["unit"] ?? "bytes")
            {
                child = XMLElement("max_size", text: "\(number &* scale)")
                child["unit"] = "bytes"
            } else if child.name == "encryption", child["format"] == "luks", child["engine"] == nil {
                child["engine"] = "qemu"
            } else {
                normalizeCache(&child)
            }
            element.children[place] = .element(child)
        }
    }

    /// What devices of several kinds have when the document does not say.
    mutating func completeRarities() {
        change("rng") { device in
            if device[child: "backend"]?["model"] == "random", device[child: "backend"]?.text.trimmed.isEmpty ?? false {
                device[child: "backend"]?.text = "/dev/random"
            }
            Self.completeProtocol(&device[child: "backend"])
        }
        for name in ["serial", "parallel", "console", "channel", "smartcard", "redirdev"] {
            change(name) { device in
                guard device["type"] == "tcp" else { return }
                if device[child: "protocol"]?["type"] == nil {
                    device[child: "protocol"] = XMLElement("protocol", ["type": "raw"])
                }
            }
        }
        change("shmem") { device in
            if device[child: "size"] == nil, device[child: "server"] == nil {
                device[child: "size"] = XMLElement("size", text: "4")
                device[child: "size"]?["unit"] = "M"
            }
            if device[child: "msi"] != nil, device[child: "msi"]?["ioeventfd"] == nil {
                device[child: "msi"]?["ioeventfd"] = "on"
            }
        }
        change("filesystem") { device in
            for name in ["fmode", "dmode"] {
                guard let mode = device[name], mode.count < 4 else { continue }
                device[name] = String(repeating: "0", count: 4 - mode.count) + mode
            }
        }
        change("hostdev") { device in
            if device["type"] == "mdev" {
                if device["managed"] == nil { device["managed"] = "no" }
                if device["model"] == "vfio-pci", device["display"] == nil { device["display"] = "off" }
            }
            if var source = device[child: "source"], source["protocol"] == "iscsi" {
                Self.normalizeServer(&source)
                device[child: "source"] = source
            }
        }
        completeCompanions()
    }

    private static func completeProtocol(_ backend: inout XMLElement?) {
        guard backend?["model"] == "egd", backend?["type"] == "tcp", backend?[child: "protocol"] == nil else { return }
        backend?.append(XMLElement("protocol", ["type": "raw"]))
    }

    /// Companions of a USB 2 controller share its ports, two each.
    private mutating func completeCompanions() {
        let starts = ["ich9-uhci1": "0", "ich9-uhci2": "2", "ich9-uhci3": "4"]
        let mains = Set(
            devices.filter { $0.name == "controller" && $0["model"] == "ich9-ehci1" }.compactMap { $0["index"] })
        change("controller") { controller in
            guard controller[child: "master"] == nil, mains.contains(controller["index"] ?? ""),
                let start = controller["model"].flatMap({ starts[$0] })
            else { return }
            controller[child: "master"] = XMLElement("master", ["startport": start])
        }
    }

    /// Ports of servers that speak a protocol when none is named.
    private static let ports = [
        "gluster": "24007", "nbd": "10809", "iscsi": "3260", "http": "80", "https": "443", "ftp": "21", "ftps": "990",
        "tftp": "69", "sheepdog": "7000", "ssh": "22",
    ]

    static func normalizeServer(_ source: inout XMLElement) {
        guard let name = source["protocol"] else { return }
        if name == "iscsi", let target = source["name"], !target.contains("/") { source["name"] = target + "/0" }
        guard let port = ports[name] else { return }
        source.elements = source.elements.map { element in
            guard element.name == "host", element["name"] != nil, element["port"] == nil,
                element["transport"] == nil || element["transport"] == "tcp"
            else { return element }
            var host = element
            host["port"] = port
            return host
        }
    }
}

extension XMLElement {
    /// Puts elements of one name in the order of a number; all others stay where they are.
    fileprivate mutating func sort(_ name: String, by attribute: String) {
        let places = children.indices.filter { children[$0].element?.name == name }
        let sorted = places.compactMap { children[$0].element }.enumerated().sorted {
            (Int($0.element[attribute] ?? "") ?? 0, $0.offset) < (Int($1.element[attribute] ?? "") ?? 0, $1.offset)
        }
        for (place, entry) in zip(places, sorted) { children[place] = .element(entry.element) }
    }

    /// Drops text of blanks alone between elements, and in elements that have no text.
    mutating func dropBlankText(keeping names: Set<String>) {
        guard !names.contains(name) else { return }
        if !attributes.isEmpty || children.contains(where: { $0.element != nil }) {
            children.removeAll { node in
                if case .text(let part) = node { return part.allSatisfy(\.isWhitespace) }
                return false
            }
        }
        for place in children.indices {
            guard case .element(var child) = children[place] else { continue }
            child.dropBlankText(keeping: names)
            children[place] = .element(child)
        }
    }
}
