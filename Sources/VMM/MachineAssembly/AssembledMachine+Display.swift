// SPDX-License-Identifier: Apache-2.0

internal import ControlServer
internal import Diagnostics
internal import DisplayAdapters
internal import DisplaySurfaces
internal import GuestMemory
internal import HostIO
internal import HostSystem
internal import MachineSpec
internal import PCChipset
internal import PCIBus
internal import VNCServer

extension AssembledMachine {
    private static let videoROM = "vgabios-stdvga.bin"

    /// Makes the memory of all display adapters, before the engine looks at the memory map.
    func addVideoMemory() throws(UserError) {
        for device in spec.devices {
            guard case .pc(.vga(let vga)) = device.model else { continue }
            do throws(Errno) {
                videoMemory.append(try guestMemory.addMovableRegion(name: "vga.vram", count: vga.memoryBytes))
            } catch { throw UserError("cannot map \(vga.memoryBytes >> 20) MiB of video memory", because: error) }
        }
    }

    func addVGA(_ vga: VGASpec, _ device: DeviceSpec, _ board: PCBoard) throws(UserError) {
        let region = videoMemory.removeFirst()
        var rom: [UInt8]?
        if !vga.isSecondary { rom = try optionROM(device.placement.romFile ?? Self.videoROM, device) }
        let card = VGADevice(
            name: device.typeName, memory: guestMemory, region: region, rom: rom, isSecondary: vga.isSecondary)
        if let size = vga.preferredSize { card.core.suggestSize(width: size.width, height: size.height) }
        if !vga.isSecondary { card.mapLegacy(ports: portSpace, memory: space) }
        try add(card, device, board)
        addConsole(
            DisplayConsole(
                name: device.typeName, identifier: device.identifier, source: card.core, machineLock: lock))
    }

    func addRAMFramebuffer(_ board: PCBoard) {
        let config = board.firmwareConfig
        config.addFile(
            RAMFramebuffer.fileName, [UInt8](repeating: 0, count: RAMFramebuffer.fileCount), isWritable: true)
        let source = RAMFramebuffer(memory: guestMemory) { [unowned config] in
            config.contents(ofFile: RAMFramebuffer.fileName)
        }
        kept.append(source)
        if let path = firmwareFiles.path(of: "vgabios-ramfb.bin"), let rom = try? firmwareFiles.read(path) {
            config.addFile("vgaroms/vgabios-ramfb.bin", rom)
        }
        addConsole(DisplayConsole(name: "ramfb", source: source, machineLock: lock))
    }

    private func addConsole(_ console: DisplayConsole) { consoles.append(console) }

    /// The image of an option ROM; nil where the person wants none, or nothing runs it.
    func optionROM(_ name: String, _ device: DeviceSpec) throws(UserError) -> [UInt8]? {
        guard !name.isEmpty, device.placement.hasROM else { return nil }
        guard let path = firmwareFiles.path(of: name) else {
            // A kernel that starts without firmware has nobody who would run it.
            if device.placement.romFile == nil { return nil }
            throw UserError("failed to find romfile \"\(name)\"")
        }
        return try firmwareFiles.read(path)
    }

    /// Connects what the board has for people.
    func addInput(_ board: PCBoard) {
        guard let keyboard = board.keyboard, let mouse = board.mouse else { return }
        keyboard.indicatorsChanged = { [weak self] lights in
            for server in self?.screenServers ?? [] { server.setIndicators(lights) }
        }
        input.add(PS2KeyboardInput(keyboard))
        input.add(PS2MouseInput(mouse))
    }
}

extension AssembledMachine: DisplayControlling {
    /// The display adapters' screens.
    var displays: [DisplayConsole] { consoles }
    /// Keyboards and pointers.
    var inputRouter: InputRouter { input }
    /// Runs something later on the event loop's thread.
    func later(milliseconds: UInt64, _ work: @escaping () -> Void) {
        let timer = loop.makeTimer { [weak self] in
            work()
            self?.pendingTimers.removeAll { !$0.isArmed }
        }
        pendingTimers.append(timer)
        timer.arm(at: monotonicNanoseconds() &+ milliseconds &* 1_000_000)
    }
}
