// SPDX-License-Identifier: Apache-2.0

public import BlockJobs
internal import BlockLayer
internal import ControlProtocol
internal import JSONCoding

/// The shapes of jobs in QMP, and calls into the machine's disks.
enum JobAnswers {
    static func machine(_ context: QMPContext) throws(QMPError) -> any BlockControlling {
        guard let machine = context.machine as? any BlockControlling else {
            throw QMPError("this machine has no disks that can be changed")
        }
        return machine
    }

    static func disks(_ context: QMPContext) throws(QMPError) -> BlockDevices { try machine(context).blockDevices }

    /// Does what a job's or disk's command asks for.
    static func perform(_ body: () throws(BlockError) -> Void) throws(QMPError) -> JSONValue {
        do throws(BlockError) { try body() } catch { throw failure(error) }
        return [:]
    }

    static func failure(_ error: BlockError) -> QMPError {
        let isDevice = error.kind == .notFound && error.message.hasPrefix("Device '")
        return QMPError(error.message, class: isDevice ? .deviceNotFound : .generic)
    }

    static func wish(_ body: () throws(JobRefusal) -> Void) throws(QMPError) -> JSONValue {
        do throws(JobRefusal) { try body() } catch {
            throw QMPError(error.description, class: error.isUnknown ? .deviceNotActive : .generic)
        }
        return [:]
    }

    static func job(_ report: JobReport) -> JSONValue {
        var object: JSONObject = [
            "current-progress": .integer(report.offset), "status": .string(report.status.rawValue),
            "total-progress": .integer(report.length), "type": .string(report.kind.rawValue),
            "id": .string(report.identifier),
        ]
        if let problem = report.problem { object["error"] = .string(problem) }
        return .object(object)
    }

    static func blockJob(_ report: JobReport) -> JSONValue {
        var object: JSONObject = [
            "auto-finalize": .bool(report.finalizesItself), "io-status": .string(report.ioStatus.rawValue),
            "device": .string(report.identifier),
            "auto-dismiss": .bool(report.dismissesItself), "busy": false, "len": .integer(report.length),
            "offset": .integer(report.offset), "status": .string(report.status.rawValue),
            "paused": .bool(report.isPaused), "speed": .integer(report.speed), "ready": .bool(report.isReady),
            "type": .string(report.kind.rawValue),
        ]
        if let problem = report.problem { object["error"] = .string(problem) }
        return .object(object)
    }
}

extension ControlServer {
    /// Tells QMP's clients what became of a job.
    public func handle(_ event: JobEvent) {
        func data(_ report: JobReport) -> JSONObject {
            var object: JSONObject = [
                "device": .string(report.identifier), "len": .integer(report.length),
                "offset": .integer(report.offset), "speed": .integer(report.speed),
                "type": .string(report.kind.rawValue),
            ]
            if let problem = report.problem { object["error"] = .string(problem) }
            return object
        }
        switch event {
        case .statusChanged(let identifier, let status):
            emit("JOB_STATUS_CHANGE", data: ["status": .string(status.rawValue), "id": .string(identifier)])
        case .ready(let report): emit("BLOCK_JOB_READY", data: data(report))
        case .pending(let report):
            emit(
                "BLOCK_JOB_PENDING",
                data: ["type": .string(report.kind.rawValue), "id": .string(report.identifier)])
        case .completed(let report): emit("BLOCK_JOB_COMPLETED", data: data(report))
        case .failed(let identifier, let isWrite, let action):
            emit(
                "BLOCK_JOB_ERROR",
                data: [
                    "device": .string(identifier), "operation": .string(isWrite ? "write" : "read"),
                    "action": .string(action.rawValue),
                ])
        case .cancelled(var report):
            report.problem = nil
            emit("BLOCK_JOB_CANCELLED", data: data(report))
        }
    }
}

extension QMPCommandTable {
    /// What is done with jobs of every kind.
    static let jobCommands = [
        QMPCommandDefinition("query-jobs") { context, _ in
            .array(((context.machine as? any BlockControlling)?.blockDevices.jobs.reports ?? []).map(JobAnswers.job))
        },
        QMPCommandDefinition("query-block-jobs") { context, _ in
            let reports = (context.machine as? any BlockControlling)?.blockDevices.jobs.reports ?? []
            return .array(reports.filter { $0.kind.isBlockJob }.map(JobAnswers.blockJob))
        },
        wish("job-cancel", "id", block: false) { (jobs, name, _) throws(JobRefusal) in
            try jobs.cancel(name, block: false, force: true)
        },
        wish("job-complete", "id", block: false) { (jobs, name, _) throws(JobRefusal) in
            try jobs.complete(name, block: false)
        },
        wish("job-pause", "id", block: false) { (jobs, name, _) throws(JobRefusal) in
            try jobs.pause(name, block: false, true)
        },
        wish("job-resume", "id", block: false) { (jobs, name, _) throws(JobRefusal) in
            try jobs.pause(name, block: false, false)
        },
        wish("job-finalize", "id", block: false) { (jobs, name, _) throws(JobRefusal) in
            try jobs.finalize(name, block: false)
        },
        wish("job-dismiss", "id", block: false) { (jobs, name, _) throws(JobRefusal) in
            try jobs.dismiss(name, block: false)
        },
        wish("block-job-cancel", "device", [QMPParameter("force", .boolean, optional: true)]) {
            (jobs, name, arguments) throws(JobRefusal) in
            try jobs.cancel(name, block: true, force: arguments.bool("force") ?? false)
        },
        wish("block-job-complete", "device") { (jobs, name, _) throws(JobRefusal) in
            try jobs.complete(name, block: true)
        },
        wish("block-job-pause", "device") { (jobs, name, _) throws(JobRefusal) in
            try jobs.pause(name, block: true, true)
        },
        wish("block-job-resume", "device") { (jobs, name, _) throws(JobRefusal) in
            try jobs.pause(name, block: true, false)
        },
        wish("block-job-finalize", "id") { (jobs, name, _) throws(JobRefusal) in
            try jobs.finalize(name, block: true)
        },
        wish("block-job-dismiss", "id") { (jobs, name, _) throws(JobRefusal) in
            try jobs.dismiss(name, block: true)
        },
        wish("block-job-set-speed", "device", [QMPParameter("speed", .integer)]) {
            (jobs, name, arguments) throws(JobRefusal) in
            try jobs.setSpeed(name, to: arguments.integer("speed") ?? 0)
        },
    ]

    private static func wish(
        _ command: String, _ name: String, _ more: [QMPParameter] = [], block: Bool = true,
        _ body: @escaping @Sendable (JobList, String, QMPArguments) throws(JobRefusal) -> Void
    ) -> QMPCommandDefinition {
        QMPCommandDefinition(command, [QMPParameter(name, .string)] + more) { (context, arguments) throws(QMPError) in
            let jobs = try JobAnswers.disks(context).jobs
            return try JobAnswers.wish { () throws(JobRefusal) in try body(jobs, arguments.string(name), arguments) }
        }
    }
}
