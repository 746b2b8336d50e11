// SPDX-License-Identifier: Apache-2.0

internal import BlockJobs
internal import BlockLayer
internal import ControlProtocol
internal import Diagnostics
internal import JSONCoding

/// Saving, loading and forgetting the whole machine as a job.
private final class SnapshotWork: JobWork, @unchecked Sendable {
    // Both are used on the loop's thread alone, where the job runs.
    private let body: () throws(UserError) -> Void

    init(_ body: @escaping () throws(UserError) -> Void) { self.body = body }

    func run(_ job: Job) throws(BlockError) {
        job.setLength(1)
        do throws(UserError) { try body() } catch {
            try job.advance(1, paced: false)
            throw BlockError(.inputOutput, error.description)
        }
        try job.advance(1, paced: false)
    }

    func settle(_ job: Job) {}
    func clean(_ job: Job) {}
}

extension QMPCommandTable {
    private static let devices = QMPParameter("devices", .array)

    /// Jobs that save, load and forget the machine.
    static let snapshotCommands = [
        snapshotJob("snapshot-save", .snapshotSave, [QMPParameter("vmstate", .string), devices]) {
            (machine, arguments) throws(UserError) in
            try machine.saveSnapshot(
                arguments.string("tag"), vmState: arguments.string("vmstate"), devices: names(arguments),
                replaces: false)
        },
        snapshotJob("snapshot-load", .snapshotLoad, [QMPParameter("vmstate", .string), devices]) {
            (machine, arguments) throws(UserError) in
            try machine.loadSnapshot(
                arguments.string("tag"), vmState: arguments.string("vmstate"), devices: names(arguments))
        },
        snapshotJob("snapshot-delete", .snapshotDelete, [devices]) { (machine, arguments) throws(UserError) in
            try machine.deleteSnapshot(arguments.string("tag"), devices: names(arguments))
        },
    ]

    private static func names(_ arguments: QMPArguments) -> [String] {
        (arguments["devices"]?.array ?? []).map { $0.string ?? "" }
    }

    private static func snapshotJob(
        _ name: String, _ kind: JobKind, _ parameters: [QMPParameter],
        _ body: @escaping @Sendable (any SnapshotControlling, QMPArguments) throws(UserError) -> Void
    ) -> QMPCommandDefinition {
        QMPCommandDefinition(name, [QMPParameter("job-id", .string), QMPParameter("tag", .string)] + parameters) {
            (context, arguments) throws(QMPError) in
            guard let machine = context.machine as? any SnapshotControlling else {
                throw QMPError("this machine cannot be saved")
            }
            var options = JobOptions(arguments.string("job-id"))
            options.dismissesItself = false
            return try JobAnswers.wish { () throws(JobRefusal) in
                try machine.blockDevices.jobs.start(
                    kind, options,
                    SnapshotWork { () throws(UserError) in try body(machine, arguments) }, onLoopThread: true)
            }
        }
    }
}
