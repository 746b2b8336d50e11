// SPDX-License-Identifier: Apache-2.0

import BlockJobs
import BlockLayer
import DiskImages
import HostSystem
import StorageTestKit
import Testing

/// The loop's thread of a test: work that others post is run when the test looks.
final class TestLoop: @unchecked Sendable {
    private let lock = Lock()
    private var work: [@Sendable () -> Void] = []

    func post(_ item: @escaping @Sendable () -> Void) {
        lock.withLock {
            work.append(item)
            lock.broadcast()
        }
    }

    /// Runs what was posted so far.
    func runPending() {
        while true {
            let next: (@Sendable () -> Void)? = lock.withLock { work.isEmpty ? nil : work.removeFirst() }
            guard let next else { return }
            next()
        }
    }

    /// Runs posted work until something holds; fails after a generous time.
    func run(until isDone: () -> Bool) throws {
        let deadline = monotonicNanoseconds() + 60_000_000_000
        while !isDone() {
            let next: (@Sendable () -> Void)? = lock.withLock {
                while work.isEmpty {
                    if !lock.wait(until: min(deadline, monotonicNanoseconds() + 10_000_000)) { break }
                }
                return work.isEmpty ? nil : work.removeFirst()
            }
            next?()
            try #require(monotonicNanoseconds() < deadline)
        }
    }
}

/// Disks of a machine without the machine.
final class Disks {
    let folder = Folder()
    let loop = TestLoop()
    let devices: BlockDevices
    var events: [JobEvent] = []

    init() throws {
        let loop = loop
        let jobs = JobList { loop.post($0) }
        devices = BlockDevices(graph: DiskImages.graph(), jobs: jobs)
        jobs.observer = { [unowned self] event in events.append(event) }
    }

    deinit { devices.closeAll { _, _ in } }

    static let mebibyte: Int64 = 1 << 20

    /// A drive on a new qcow2 image of 8 MiB.
    @discardableResult
    func addDrive(
        _ file: String = "a.qcow2", size: Int64 = 8 * mebibyte, name: String = "d0"
    ) throws -> BlockBackend {
        let path = folder.file(file)
        let driver = try #require(devices.graph.driver("qcow2") as? any CreatingDriver)
        var options = CreateOptions(driver.createOptions)
        try options.set("size", String(size))
        try driver.create(CreateRequest(filename: path, options: options, graph: devices.graph))
        var flags = OpenFlags.writable
        flags.isExclusive = true
        devices.addDrive(name, try devices.graph.open(path, format: "qcow2", flags: flags), flags: flags)
        return try #require(devices.backend(of: name))
    }

    func snapshot(_ file: String, nodeName: String? = nil) throws {
        var request = BlockDevices.OverlayRequest(file: folder.file(file))
        request.nodeName = nodeName
        let node = try devices.node(device: "d0", name: nil)
        try devices.take([devices.prepare(request, over: node)])
    }

    /// A blank image that is a node of its own, under its file's name.
    /// - Parameter backing: the node that it stands above.
    @discardableResult
    func addTarget(
        _ name: String, size: Int64 = 8 * mebibyte, format: String = "qcow2", backing: String? = nil
    ) throws -> any BlockNode {
        let path = folder.file(name)
        let driver = try #require(devices.graph.driver(format) as? any CreatingDriver)
        var create = CreateOptions(driver.createOptions)
        try create.set("size", String(size))
        try driver.create(CreateRequest(filename: path, options: create, graph: devices.graph))
        var options = BlockOptions([
            ("driver", .string(format)), ("node-name", .string(name)), ("file.driver", .string("file")),
            ("file.filename", .string(path)),
        ])
        if let backing { options["backing"] = .string(backing) }
        try devices.add(options, flags: .writable)
        return try devices.node(name)
    }

    func status(_ job: String) -> JobStatus? { devices.jobs.reports.first { $0.identifier == job }?.status }

    func wait(for job: String, _ status: JobStatus?) throws { try loop.run { self.status(job) == status } }
}

extension BlockNode {
    func fill(_ byte: UInt8, at offset: Int64, count: Int) throws {
        try write([UInt8](repeating: byte, count: count), at: offset)
    }

    func byte(at offset: Int64) throws -> UInt8 { try readBytes(at: offset, count: 1)[0] }
}
