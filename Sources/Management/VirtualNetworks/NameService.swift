// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
internal import XMLTree

/// What dnsmasq is told of a network: its arguments, and the two files that it reads again when asked to.
package struct NameService {
    let definition: NetworkDefinition
    let addressings: [NetworkDefinition.Addressing]
    /// Files without their suffix.
    let base: String

    /// What dnsmasq is told of all addresses of a network.
    /// - Parameter base: the path of its files without their suffix.
    package init(_ definition: NetworkDefinition, base: String) throws {
        self.init(definition: definition, addressings: try definition.addressings(), base: base)
    }

    init(definition: NetworkDefinition, addressings: [NetworkDefinition.Addressing], base: String) {
        self.definition = definition
        self.addressings = addressings
        self.base = base
    }

    var pidPath: String { base + ".pid" }
    var leasesPath: String { base + ".leases" }
    /// Fixed addresses.
    var hostsPath: String { base + ".hostsfile" }
    /// Names of the document.
    var namesPath: String { base + ".addnhosts" }

    private var dns: XMLElement? { definition.root[child: "dns"] }
    private var answersNames: Bool { dns?["enable"] != "no" }

    /// A line for each fixed address: `MAC,address,name,lease`, or `id:ID,name,[address],lease` for IPv6.
    package var hosts: String {
        addressings.flatMap { addressing in
            addressing.hosts.map { host in
                let address = host.address.map { addressing.isIPv6 ? "[\($0)]" : $0 }
                let places = addressing.isIPv6 ? [host.name, address] : [address, host.name]
                return ([host.id.map { "id:" + $0 }, host.mac] + places + [host.lease]).compactMap { $0 }
                    .joined(separator: ",") + "\n"
            }
        }.joined()
    }

    /// `address name name` a line.
    package var names: String {
        (dns?.all("host") ?? []).map { host in
            ([host["ip"] ?? ""] + host.all("hostname").map(\.text)).joined(separator: "\t") + "\n"
        }.joined()
    }

    /// The arguments of the program.
    package var arguments: [String] {
        var list = [
            "--conf-file=", "--strict-order", "--bind-dynamic", "--interface=\(definition.bridge)",
            "--except-interface=lo", "--pid-file=\(pidPath)", "--dhcp-no-override", "--dhcp-authoritative",
        ]
        if !answersNames { list.append("--port=0") }
        list += nameArguments
        if addressings.contains(where: \.hasDHCP) {
            list += ["--dhcp-leasefile=\(leasesPath)", "--dhcp-hostsfile=\(hostsPath)"]
            // Fixed addresses need no bound of their own.
            let leases = addressings.flatMap(\.ranges).reduce(0) {
                $0 + NetworkDefinition.count(from: $1.start, to: $1.end)
            }
            if leases > 0 { list.append("--dhcp-lease-max=\(leases)") }
        }
        for addressing in addressings { list += leaseArguments(addressing) }
        if addressings.contains(where: { $0.isIPv6 && $0.hasDHCP }) { list.append("--enable-ra") }
        // Guests of an isolated network have no way out, so they are told of none.
        if definition.forwarding == nil { list += ["--dhcp-option=3", "--no-resolv", "--ra-param=*,0,0"] }
        return list
    }

    private func leaseArguments(_ addressing: NetworkDefinition.Addressing) -> [String] {
        var list: [String] = []
        if addressing.hasDHCP {
            list += addressing.ranges.map { range in
                let network = addressing.isIPv6 ? "\(addressing.prefix)" : NetworkDefinition.mask(addressing.prefix)
                return "--dhcp-range=\(range.start),\(range.end),\(network)" + (range.lease.map { ",\($0)" } ?? "")
            }
            if addressing.ranges.isEmpty {
                // Fixed addresses alone.
                list.append(
                    "--dhcp-range=\(addressing.address),static" + (addressing.isIPv6 ? ",\(addressing.prefix)" : ""))
            }
        } else if addressing.isIPv6 {
            // Guests make up their own addresses below the prefix that they are told (RFC 4862).
            list.append("--dhcp-range=\(addressing.address),ra-only")
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
        list += addressings.compactMap(\.reverseZone).map { "--local=/\($0)/" }
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
