// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
internal import Diagnostics

// Network back ends, and the cards of -nic and -net.
extension ArgumentReader {
    mutating func resolveNetworks() throws(UserError) {
        for entry in networks {
            do throws(UserError) {
                var list = entry.value
                let backend = try NetworkReader.backend(&list)
                let identifier = try OptionValue.identifier(try list.require("id"))
                try list.finish()
                try add(NetworkSpec(identifier: identifier, backend: backend))
            } catch { throw error.at(entry.place) }
        }
        try joinHub()
        for (number, entry) in networkCards.enumerated() {
            do throws(UserError) { try addCard(entry.value, number) } catch { throw error.at(entry.place) }
        }
        let isPC = spec.board.kind == .pc || spec.board.kind == .q35
        let hasCard = devices.contains { entry in
            guard let type = DeviceType.named(entry.value.peek("driver") ?? "") else { return false }
            return type.family == .network || type.family == .pc(.gigabit)
        }
        if isPC, hasDefaults, !hasNoNetwork, !hasCard, networks.isEmpty, networkCards.isEmpty,
            hubMembers.isEmpty
        {
            try addCard(try OptionList(parsing: "user", implied: "type"), 0)
        }
    }

    /// `-net nic` with one `-net` back end is one card with that back end, as -nic has it.
    private mutating func joinHub() throws(UserError) {
        let cards = hubMembers.filter { $0.value.peek("type") == "nic" }
        let ends = hubMembers.filter { $0.value.peek("type") != "nic" }
        guard let first = hubMembers.first else { return }
        guard cards.count == 1, ends.count <= 1 else {
            let what = cards.isEmpty ? "-net back ends without a -net nic" : "more than one card or back end"
            throw UserError("there are \(what)", remedy: "use -nic, or -netdev with -device", place: first.place)
        }
        let renamed = cards[0].value.entries.filter { $0.key != "type" }.map { entry in
            OptionList.Entry(key: entry.key == "macaddr" ? "mac" : entry.key, value: entry.value)
        }
        if let end = ends.first {
            networkCards.append(Placed(value: OptionList(end.value.entries + renamed), place: end.place))
        } else if renamed.contains(where: { $0.key == "netdev" }) {
            throw UserError("netdev= is not available here", remedy: "use -device with netdev=", place: cards[0].place)
        } else {
            var card = VirtioNetworkSpec()
            var list = OptionList(renamed)
            let gigabit: String?
            do throws(UserError) {
                gigabit = try readCard(&list, &card)
                try list.finish()
            } catch { throw error.at(cards[0].place) }
            addCard(card, gigabit)
        }
    }

    private mutating func add(_ network: NetworkSpec) throws(UserError) {
        guard !spec.networks.contains(where: { $0.identifier == network.identifier }) else {
            throw UserError("Duplicate ID '\(network.identifier)' for netdev")
        }
        spec.networks.append(network)
    }

    private mutating func addCard(_ options: OptionList, _ number: Int) throws(UserError) {
        var list = options
        if list.peek("type") == "none" {
            _ = list.take("type")
            try list.finish()
            return
        }
        guard spec.board.kind != .none else { throw UserError("machine 'none' has no network cards") }
        var card = VirtioNetworkSpec()
        let gigabit = try readCard(&list, &card)
        let identifier = try list.take("id").map { text throws(UserError) in try OptionValue.identifier(text) }
        let backend = try NetworkReader.backend(&list)
        try list.finish()
        // '#' keeps a made-up name apart from every name that a person can give.
        let name = identifier ?? "#net\(number)"
        try add(NetworkSpec(identifier: name, backend: backend))
        card.network = name
        addCard(card, gigabit)
    }

    /// The card's half of -nic.
    /// - Returns: the model's name where the card is one of Intel's.
    private func readCard(_ list: inout OptionList, _ card: inout VirtioNetworkSpec) throws(UserError) -> String? {
        let isMMIO = spec.board.kind == .microvm
        let virtio = isMMIO ? ["virtio", "virtio-net-device"] : ["virtio", "virtio-net-pci", "virtio-net"]
        let usual = isMMIO ? "virtio-net-device" : spec.board.kind == .q35 ? "e1000e" : "e1000"
        let model = list.take("model") ?? usual
        let gigabit = isMMIO ? nil : DeviceType.named(model).flatMap { $0.family == .pc(.gigabit) ? $0.name : nil }
        guard virtio.contains(model) || gigabit != nil else {
            throw UserError("Unsupported NIC model: \(model)", remedy: "see -nic model=help")
        }
        if let mac = list.take("mac") {
            guard let address = DeviceReader.macAddress(mac) else {
                throw UserError("invalid syntax for ethernet address", because: "'\(mac)'")
            }
            card.address = address
        }
        return gigabit
    }

    private mutating func addCard(_ card: VirtioNetworkSpec, _ gigabit: String?) {
        if let gigabit {
            var chip = NetworkCardSpec(model: gigabit)
            (chip.network, chip.address) = (card.network, card.address)
            spec.devices.append(DeviceSpec(typeName: gigabit, identifier: nil, model: .pc(.networkCard(chip))))
            return
        }
        let isMMIO = spec.board.kind == .microvm
        spec.devices.append(
            DeviceSpec(
                typeName: isMMIO ? "virtio-net-device" : "virtio-net-pci", identifier: nil,
                model: .virtioNetwork(VirtioTransportSpec(bus: isMMIO ? .mmio : .pci), card)))
    }
}
