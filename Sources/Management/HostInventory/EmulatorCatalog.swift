// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem
internal import ManagementModel

/// The emulators that documents name; each is asked once what it has.
public final class EmulatorCatalog: @unchecked Sendable {
    /// The emulator of machines that name none.
    public let standard: EmulatorFacts
    private let lock = Lock()
    // Guarded by `lock`.
    private var known: [String: (facts: EmulatorFacts, changed: Int)] = [:]
    private var processors: [String: (processors: EmulatorProcessors, changed: Int)] = [:]
    /// Emulators that are remembered.
    private static let limit = 64

    public init(standard: EmulatorFacts) { self.standard = standard }

    /// What an emulator has.
    /// - Parameter path: nil for the standard one.
    /// - Throws: libvirt's error for a program that is not there or is no emulator.
    public func facts(of path: String?) throws -> EmulatorFacts {
        guard let path, path != standard.path else { return standard }
        let changed = try Self.changeTime(path)
        if let entry = lock.withLock({ known[path] }), entry.changed == changed { return entry.facts }
        let facts: EmulatorFacts
        do throws(Errno) { facts = try EmulatorFacts(probing: path) } catch {
            throw ManagementError(.systemError, "Cannot check QEMU binary \(path): \(error)")
        }
        guard !facts.machines.isEmpty else {
            throw ManagementError(.internalError, "'\(path)' is no emulator that this service can drive")
        }
        lock.withLock {
            if known.count >= Self.limit { known = [:] }
            known[path] = (facts, changed)
        }
        return facts
    }

    /// The processors that an emulator gives; asked when they are wanted first.
    /// - Parameter type: `kvm` or `qemu`.
    /// - Throws: libvirt's error for a program that does not say.
    public func processors(of path: String, type: String) throws -> EmulatorProcessors {
        let changed = try Self.changeTime(path), key = type + " " + path
        if let entry = lock.withLock({ processors[key] }), entry.changed == changed { return entry.processors }
        let found = try EmulatorProcessors(probing: path, type: type)
        lock.withLock {
            if processors.count >= Self.limit { processors = [:] }
            processors[key] = (found, changed)
        }
        return found
    }

    /// When a program was replaced last, in seconds.
    private static func changeTime(_ path: String) throws -> Int {
        var status = stat()
        // stat fills in the structure, which lives for the call.
        guard unsafe stat(path, &status) == 0 else {
            throw ManagementError(.systemError, "Cannot check QEMU binary \(path): \(Errno.current)")
        }
        return status.st_mtim.tv_sec
    }
}
