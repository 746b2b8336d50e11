// SPDX-License-Identifier: Apache-2.0

internal import LibvirtProtocol
internal import LibvirtRPC
internal import MachineDriver
internal import ManagementCore
internal import ManagementModel
internal import XDRCoding

/// Devices of machines, and work on their disks.
enum DomainDeviceCalls {
    static func register(in table: CallTable<ServiceConnection>) {
        registerDevices(in: table)
        registerDisks(in: table)
    }

    private static func registerDevices(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainAttachDevice, .blocking) { client, _, domain, text in
            try client.core.machines.attachDevice(client.checked(domain), text, ProcessorScope(1))
        }
        table.answer(Procedures.domainAttachDeviceFlags, .blocking) { client, _, domain, text, flags in
            try Flags.check(flags, allowed: 3, "qemuDomainAttachDeviceFlags")
            try client.core.machines.attachDevice(client.checked(domain), text, ProcessorScope(flags))
        }
        table.answer(Procedures.domainDetachDevice, .blocking) { client, _, domain, text in
            try client.core.machines.detachDevice(client.checked(domain), text, ProcessorScope(1))
        }
        table.answer(Procedures.domainDetachDeviceFlags, .blocking) { client, _, domain, text, flags in
            try Flags.check(flags, allowed: 3, "qemuDomainDetachDeviceFlags")
            try client.core.machines.detachDevice(client.checked(domain), text, ProcessorScope(flags))
        }
        table.answer(Procedures.domainDetachDeviceAlias, .blocking) { client, _, domain, alias, flags in
            try client.core.machines.detachDevice(client.checked(domain), alias: alias, ProcessorScope(flags))
        }
        table.answer(Procedures.domainUpdateDeviceFlags, .blocking) { client, _, domain, text, flags in
            let force: UInt32 = 4
            try client.core.machines.updateDevice(
                client.checked(domain), text, ProcessorScope(flags & ~force), force: flags & force != 0)
        }
    }

    private static func registerDisks(in table: CallTable<ServiceConnection>) {
        let mebibyte: UInt64 = 1 << 20
        table.answer(Procedures.domainBlockPull, .blocking) { client, _, domain, path, bandwidth, flags in
            let inBytes: UInt32 = 64
            try client.core.machines.pullDisk(
                client.checked(domain), path, base: nil,
                bandwidth: flags & inBytes != 0 ? bandwidth : bandwidth &* mebibyte)
        }
        table.answer(Procedures.domainBlockRebase, .blocking) { client, _, domain, path, base, bandwidth, flags in
            let (copies, inBytes): (UInt32, UInt32) = (8, 64)
            let speed = flags & inBytes != 0 ? bandwidth : bandwidth &* mebibyte
            guard flags & copies != 0 else {
                return try client.core.machines.pullDisk(client.checked(domain), path, base: base, bandwidth: speed)
            }
            try client.core.machines.copyDisk(
                client.checked(domain), path, to: Self.copyDocument(base ?? "", flags), bandwidth: speed,
                flags: flags & 3)
        }
        table.answer(Procedures.domainBlockCopy, .blocking) { client, _, domain, path, destination, parameters, flags in
            var speed: UInt64 = 0
            for parameter in parameters {
                if parameter.name == "bandwidth", case .ulong(let number) = parameter.value { speed = number }
            }
            try client.core.machines.copyDisk(
                client.checked(domain), path, to: destination, bandwidth: speed, flags: flags)
        }
        table.answer(Procedures.domainBlockCommit, .blocking) { client, _, domain, path, base, top, bandwidth, flags in
            let inBytes: UInt32 = 16
            try client.core.machines.commitDisk(
                client.checked(domain), path, base: base, top: top,
                bandwidth: flags & inBytes != 0 ? bandwidth : bandwidth &* mebibyte, flags: flags)
        }
        table.answer(Procedures.domainGetBlockJobInfo, .blocking) { client, _, domain, path, flags in
            let inBytes: UInt32 = 1
            guard let figures = try client.core.machines.diskJobFigures(client.checked(domain), path) else {
                return (0, 0, 0, 0, 0)
            }
            let speed = flags & inBytes != 0 ? figures.bandwidth : (figures.bandwidth &+ mebibyte &- 1) / mebibyte
            return (1, figures.kind, speed, figures.done, figures.total)
        }
        table.answer(Procedures.domainBlockJobSetSpeed, .blocking) { client, _, domain, path, bandwidth, flags in
            let inBytes: UInt32 = 1
            try client.core.machines.setDiskJobSpeed(
                client.checked(domain), path, flags & inBytes != 0 ? bandwidth : bandwidth &* mebibyte)
        }
        table.answer(Procedures.domainBlockJobAbort, .blocking) { client, _, domain, path, flags in
            try client.core.machines.abortDiskJob(client.checked(domain), path, flags: flags)
        }
        table.answer(Procedures.domainBlockResize, .blocking) { client, _, domain, path, size, flags in
            let inBytes: UInt32 = 1
            try client.core.machines.resizeDisk(
                client.checked(domain), path, flags & inBytes != 0 ? size : size &* 1024)
        }
        table.answer(Procedures.domainSetBlockThreshold, .blocking) { client, _, domain, device, threshold, _ in
            try client.core.machines.setThreshold(client.checked(domain), device, threshold)
        }
        table.answer(Procedures.domainBlockPeek, .blocking) { client, _, domain, path, offset, size, _ in
            let uuid = try client.checked(domain)
            try check(size)
            return Bytes(try client.core.machines.readDisk(uuid, path, at: offset, count: size))
        }
        table.answer(Procedures.domainMemoryPeek, .blocking) { client, _, domain, start, size, flags in
            let uuid = try client.checked(domain)
            try check(size)
            let (isVirtual, isPhysical): (UInt32, UInt32) = (1, 2)
            guard flags == isVirtual || flags == isPhysical else {
                throw ManagementError(.invalidArg, "flags parameter must be VIR_MEMORY_VIRTUAL or VIR_MEMORY_PHYSICAL")
            }
            return Bytes(
                try client.core.machines.readMemory(
                    uuid, at: start, count: size, isVirtual: flags == isVirtual))
        }
        table.answer(Procedures.domainSetBlockIoTune, .blocking) { client, _, domain, disk, parameters, flags in
            try client.core.machines.setDiskLimits(client.checked(domain), disk, parameters, ProcessorScope(flags))
        }
        table.answer(Procedures.domainGetBlockIoTune, .blocking) { client, _, domain, disk, count, flags in
            let limits = try disk.map {
                try client.core.machines.diskLimits(client.checked(domain), $0, ProcessorScope(flags & 3))
            }
            let all = limits ?? DomainTuningCalls.diskLimitsTemplate
            return (count == 0 ? [] : Array(all.prefix(Int(max(0, count)))), Int32(all.count))
        }
    }

    /// What one reply carries of a guest's memory or of its disk.
    private static func check(_ size: UInt32) throws {
        let limit: UInt32 = 4 << 20
        guard size <= limit else { throw ManagementError(.rpc, "size \(size) too large for a reply", from: .rpc) }
    }

    private static func copyDocument(_ path: String, _ flags: UInt32) -> String {
        let (raw, isDevice): (UInt32, UInt32) = (4, 32)
        let escaped = path.split(separator: "&", omittingEmptySubsequences: false).joined(separator: "&amp;")
            .split(separator: "'", omittingEmptySubsequences: false).joined(separator: "&apos;")
            .split(separator: "<", omittingEmptySubsequences: false).joined(separator: "&lt;")
        let driver = flags & raw != 0 ? "<driver type='raw'/>" : ""
        return flags & isDevice != 0
            ? "<disk type='block'><source dev='\(escaped)'/>\(driver)</disk>"
            : "<disk type='file'><source file='\(escaped)'/>\(driver)</disk>"
    }
}

extension ServiceConnection {
    /// The UUID of the machine that a client means.
    /// - Throws: libvirt's error, with the name that the client knows, when there is none.
    func checked(_ domain: DomainHandle) throws -> UniqueID { try facts(domain).uuid }
}
