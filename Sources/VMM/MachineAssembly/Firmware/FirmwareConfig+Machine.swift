// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import FirmwareTables
internal import GuestMemory
internal import MachineSpec
internal import PCChipset
internal import PCIBus

extension AssembledMachine {
    private static let fourGiB: UInt64 = 1 << 32

    /// Tells firmware about the machine through fw_cfg. All devices are on their buses.
    func fillFirmwareConfig(_ board: PCBoard) throws(UserError) {
        let config = board.firmwareConfig
        let layout = board.options.memory
        config.setMachine(
            ramSize: spec.memory.bytes, processors: spec.topology.present.count,
            maximumProcessors: spec.topology.maximum,
            showsBootMenu: spec.boot.menu)
        config.set(FirmwareConfig.Item.isNographic, to: UInt16(spec.board.graphics ? 0 : 1))
        config.set(FirmwareConfig.Item.uuid, to: spec.identity.uuid.bytes)
        var ranges = [FirmwareConfig.MemoryRange(start: 0, count: layout.low, kind: .ram)]
        if layout.high > 0 {
            ranges.append(FirmwareConfig.MemoryRange(start: Self.fourGiB, count: layout.high, kind: .ram))
        }
        config.addMemoryMap(ranges)
        addSystemTables(board)
        for file in smbios(board, forFirmware: true).firmwareFiles { config.addFile(file.name, file.bytes) }
        try addBootFiles(to: config)
        for entry in spec.firmware.entries {
            let bytes: [UInt8]
            switch entry.content {
            case .text(let text): bytes = Array(text.utf8)
            case .file(let path): bytes = try firmwareFiles.read(path)
            }
            guard config.addFile(entry.name, bytes) else {
                throw UserError("-fw_cfg name=\(entry.name)", because: "there are too many entries")
            }
        }
    }

    /// ACPI's tables, as far as the machine has them.
    func addSystemTables(_ board: PCBoard) {
        guard spec.board.acpi.resolved(true) else { return }
        for file in ACPITables(description(board)).firmwareFiles {
            board.firmwareConfig.addFile(file.name, file.bytes)
        }
    }

    /// The letters of -boot order= as firmware has them in CMOS memory; disk, floppy and CD-ROM by default.
    static func bootDevices(_ letters: String?) -> [CMOSConfiguration.BootDevice] {
        (letters ?? "cad").compactMap { letter in
            switch letter {
            case "a": .floppy
            case "c": .disk
            case "d": .cdrom
            case "n": .network
            default: nil
            }
        }
    }

    /// Notes a device with a bootindex under the name that firmware gives it.
    func noteBootIndex(of device: DeviceSpec, at function: PCIDevice) {
        switch device.model {
        case .virtioBlock(_, let block):
            if let index = block.bootIndex {
                bootEntries.append((index, Self.firmwarePath("scsi", function) + "/disk@0,0"))
            }
        case .virtioNetwork(_, let card):
            if let index = card.bootIndex {
                bootEntries.append((index, Self.firmwarePath("ethernet", function) + "/ethernet-phy@0"))
            }
        case .pc(.networkCard(let card)):
            if let index = card.bootIndex {
                bootEntries.append((index, Self.firmwarePath("ethernet", function) + "/ethernet-phy@0"))
            }
        default: break
        }
    }

    /// Firmware's name of a PCI function; behind a port it leads through the bridge.
    static func firmwarePath(_ kind: String, _ function: PCIDevice) -> String {
        let bridge = function.bus?.port.map { "/pci-bridge@" + unitAddress($0.address) } ?? ""
        return "/pci@i0cf8\(bridge)/\(kind)@\(unitAddress(function.address))"
    }

    /// `1f,2` of Open Firmware's names; function 0 is left out.
    private static func unitAddress(_ address: PCIAddress) -> String {
        let slot = String(address.slot, radix: 16)
        return address.function == 0 ? slot : "\(slot),\(address.function)"
    }

    private func addBootFiles(to config: FirmwareConfig) throws(UserError) {
        if let path = spec.boot.splash {
            let bytes = try firmwareFiles.read(firmwareFiles.path(of: path) ?? path)
            let isJPEG = bytes.starts(with: [0xFF, 0xD8])
            guard isJPEG || bytes.starts(with: Array("BM".utf8)) else {
                throw UserError("-boot splash=\(path)", because: "it is neither a JPEG nor a BMP picture")
            }
            config.addFile(isJPEG ? "bootsplash.jpg" : "bootsplash.bmp", bytes)
        }
        if let time = spec.boot.splashTime { config.addFile("etc/boot-menu-wait", Self.littleEndian(UInt32(time), 2)) }
        if let timeout = spec.boot.rebootTimeout {
            config.addFile("etc/boot-fail-wait", Self.littleEndian(UInt32(truncatingIfNeeded: timeout), 4))
        }
        let order = bootOrder()
        if !order.isEmpty {
            config.addFile("bootorder", Array(order.joined(separator: "\n").utf8) + [0])
        }
    }

    private static func littleEndian(_ value: UInt32, _ count: UInt32) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }

    /// Firmware's names of the devices with a bootindex, lowest first.
    private func bootOrder() -> [String] {
        var names = bootEntries.sorted { $0.index < $1.index }.map(\.path)
        if spec.boot.isStrict, !names.isEmpty { names.append("HALT") }
        return names
    }
}
