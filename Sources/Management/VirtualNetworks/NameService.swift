// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
internal import XMLTree

/// What dnsmasq is told of a network: its arguments, and the two files that it reads again when asked to.
struct NameService {
    let definition: NetworkDefinition
    let addressings: [NetworkDefinition.Addressing]
    /// Files without their suffix.
    let base: String

    var pidPath: String { base + ".pid" }
    var leasesPath: String { base + ".leases" }
    /// Fixed addresses.
    var hostsPath: String { base + ".hostsfile" }
    /// Names of the document.
    var namesPath: String { base + ".addnhosts" }

    private var dns: XMLElement? { definition.root[child: "dns"] }
    private var answersNames: Bool { dns?["enable"] != "no" }

    /// `MAC,address,name` or `id:...` a line.
    var hosts: String {
        addressings.flatMap(\.hosts).map { host in
            var parts: [String] = []
            if let id = host.id { parts.append("id:" + id) }
            if let mac = host.mac { parts.append(mac) }
            if let address = host.address { parts.append(address.contains(":") ? "[\(address)]" : address) }
            if let name = host.name { parts.append(name) }
            return parts.joined(separator: ",") + "\n"
        }.joined()
    }

    /// `address name name` a line.
    var names: String {
        (dns?.all("host") ?? []).map { host in
            ([host["ip"] ?? ""] + host.all("hostname").map(\.text)).joined(separator: "\t") + "\n"
        }.joined()
    }

    var arguments: [String] {
        var list = [
            "--conf-file=", "--strict-order", "--bind-dynamic", "--interface=\(definition.bridge)",
            "--except-interface=lo", "--pid-file=\(pidPath)", "--dhcp-no-override", "--dhcp-authoritative",
        ]
        if !answersNames { list.append("--port=0") }
        list += nameArguments
        let leases = addressings.flatMap(\.ranges).reduce(0) { $0 + NetworkDefinition.count($1) }
        if addressings.contains(where: \.hasDHCP) {
            list += [
                "--dhcp-leasefile=\(leasesPath)", "--dhcp-lease-max=\(max(1, leases))",
                "--dhcp-hostsfile=\(hostsPath)",
            ]
        }
        for addressing in addressings where addressing.hasDHCP { list += leaseArguments(addressing) }
        // Guests of an isolated network have no way out, so they are told of none.
        if definition.forwarding == nil { list.append("--dhcp-option=3") }
        return list
    }

    private func leaseArguments(_ addressing: NetworkDefinition.Addressing) -> [String] {
        var list = addressing.ranges.map { range in
            "--dhcp-range=\(range.start),\(range.end)"
                + (addressing.isIPv6
                    ? ",\(addressing.prefix)" : ",\(NetworkDefinition.mask(addressing.prefix))")
        }
        if addressing.ranges.isEmpty {
            // Fixed addresses alone.
            list.append("--dhcp-range=\(addressing.address),static")
        }
        if let boot = addressing.bootFile {
            list.append("--dhcp-boot=\(boot)" + (addressing.bootServer.map { ",,\($0)" } ?? ""))
        }
        if let root = addressing.tftpRoot { list += ["--enable-tftp", "--tftp-root=\(root)"] }
        return list
    }

    private var nameArguments: [String] {
        var list: [String] = []
        if let domain = definition.root[child: "domain"], let name = domain["name"] {
            list += ["--domain=\(name)", "--expand-hosts"]
            if domain["localOnly"] == "yes" { list.append("--local=/\(name)/") }
        }
        if dns?["forwardPlainNames"] == "no" { list += ["--domain-needed", "--local=//"] }
        let forwarders = dns?.all("forwarder") ?? []
        if forwarders.contains(where: { $0["domain"] == nil }) { list.append("--no-resolv") }
        for forwarder in forwarders {
            let domain = forwarder["domain"].map { "/\($0)/" } ?? ""
            list.append("--server=\(domain)\(forwarder["addr"] ?? "#")")
        }
        for text in dns?.all("txt") ?? [] {
            list.append("--txt-record=\(text["name"] ?? "")" + (text["value"].map { ",\($0)" } ?? ""))
        }
        for service in dns?.all("srv") ?? [] {
            let name = "_\(service["service"] ?? "")._\(service["protocol"] ?? "")"
            var record = "--srv-host=" + name + (service["domain"].map { ".\($0)" } ?? "")
            if let target = service["target"] {
                record += ",\(target),\(service["port"] ?? "1")"
                if service["priority"] != nil || service["weight"] != nil {
                    record += ",\(service["priority"] ?? "0"),\(service["weight"] ?? "0")"
                }
            }
            list.append(record)
        }
        if dns?.all("host").isEmpty == false { list.append("--addn-hosts=\(namesPath)") }
        for option in definition.root[child: "dnsmasq:options"]?.all("dnsmasq:option") ?? [] {
            if let value = option["value"] { list.append("--" + value) }
        }
        return list
    }
}
