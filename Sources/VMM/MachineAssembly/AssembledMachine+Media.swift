// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import ControlServer
internal import Diagnostics
internal import DiskControllers
internal import HostIO
internal import HostSystem
internal import JSONCoding

extension AssembledMachine: MediaControlling {
    private func removable(_ name: String) -> CDROMCommands? {
        drives.first { $0.name == name || $0.backend == name }?.disc
    }

    /// Whether a device's or drive's name is that of a CD-ROM drive.
    func hasRemovableMedium(_ name: String) -> Bool { removable(name) != nil }

    func openTray(_ name: String, force: Bool) throws(UserError) {
        guard let drive = removable(name) else { return }
        let isOpen = lock.withLock { drive.open(force: force) }
        guard isOpen else {
            throw UserError(
                "Device '\(name)' is locked and force was not specified, wait for tray to open and try again")
        }
    }

    func closeTray(_ name: String) throws(UserError) {
        guard let drive = removable(name) else { return }
        lock.withLock { drive.close() }
    }

    func setMedium(_ name: String, to medium: MediumChoice) throws(UserError) {
        guard let drive = removable(name) else { return }
        guard lock.withLock({ drive.state.isTrayOpen }) else { throw UserError("Tray of device '\(name)' is not open") }
        let node: (any BlockNode)?
        switch medium {
        case .none: node = nil
        case .node(let identifier): node = try storage.node(identifier)
        case .file(let path, let format): node = try storage.openMedium(path, format: format, as: name)
        }
        lock.withLock { drive.change(to: node) }
        storage.closeRetired(messages)
    }

    /// Tells QMP's clients when a tray moves.
    func watchTray(of assembled: AssembledDrive) {
        guard let commands = assembled.disc else { return }
        let backend = assembled.backend, identifier = assembled.name
        commands.trayMoved = { [weak self] isOpen in
            // Said with the machine lock held, on a processor's thread.
            guard let self else { return }
            loop.post { [self] in
                control?.emit(
                    "DEVICE_TRAY_MOVED",
                    data: ["device": .string(backend), "id": .string(identifier), "tray-open": .bool(isOpen)])
            }
        }
    }
}
