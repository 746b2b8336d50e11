// SPDX-License-Identifier: Apache-2.0

package import JSONCoding
package import XMLTree

/// A backup that is being made of a machine that runs.
package struct Backup: Sendable {
    /// The work on one disk.
    package struct Job: Equatable, Sendable {
        /// The job's name for the emulator.
        package var id: String
        /// The disk.
        package var target: String
        /// Where the copy goes, or what the guest overwrites meanwhile.
        package var path: String
        /// Nodes of that file, the lowest first.
        package var nodes: [String]
        /// A bitmap that goes with the job, and its node.
        package var bitmap: BitmapPlace?
        /// What is exported, for a backup that a client pulls.
        package var export: String?
        /// Whether it was done, failed or was given up; nil while it runs.
        package var ending: Ending?

        /// Work that runs.
        package init(id: String, target: String, path: String, nodes: [String]) {
            self.id = id
            self.target = target
            self.path = path
            self.nodes = nodes
        }
    }

    /// A bitmap and the node that has it.
    package struct BitmapPlace: Equatable, Sendable {
        /// The node's name.
        package var node: String
        /// The bitmap's name.
        package var name: String

        /// A bitmap of that node.
        package init(node: String, name: String) {
            self.node = node
            self.name = name
        }
    }

    /// How the work on a disk came to its end.
    package enum Ending: String, Sendable {
        case completed, failed, cancelled
    }

    /// The document, completed.
    package var root: XMLElement
    /// One for each disk.
    package var jobs: [Job]
    /// Whether files were there before, and stay.
    package var reusesFiles: Bool
    /// Why it failed.
    package var problem: String?

    /// Whether a client reads it.
    package var isPull: Bool { root["mode"] == "pull" }
    /// Whether no disk is worked on any more.
    package var isOver: Bool { jobs.allSatisfy { $0.ending != nil } }
    /// A backup that a client pulls is over when it is given up, and successful.
    package var isSuccess: Bool { isPull || jobs.allSatisfy { $0.ending == .completed } }

    /// What the service needs to go on with it after a restart.
    package var status: XMLElement {
        var element = XMLElement("domainbackup", ["reuse": reusesFiles ? "yes" : "no"])
        element.append(root)
        for job in jobs {
            var entry = XMLElement(
                "job",
                [
                    "id": job.id, "target": job.target, "path": job.path, "nodes": job.nodes.joined(separator: " "),
                    "bitmapnode": job.bitmap?.node, "bitmap": job.bitmap?.name, "export": job.export,
                ])
            entry["ending"] = job.ending?.rawValue
            element.append(entry)
        }
        return element
    }

    /// A backup that begins.
    package init(root: XMLElement, jobs: [Job], reusesFiles: Bool) {
        self.root = root
        self.jobs = jobs
        self.reusesFiles = reusesFiles
    }

    /// Reads what `status` wrote; nil when it is not whole.
    package init?(status: XMLElement) {
        guard let root = status[child: "domainbackup"] else { return nil }
        self.init(
            root: root,
            jobs: status.all("job").compactMap { entry in
                guard let id = entry["id"], let target = entry["target"], let path = entry["path"] else { return nil }
                var job = Job(
                    id: id, target: target, path: path,
                    nodes: (entry["nodes"] ?? "").split(separator: " ").map(String.init))
                if let node = entry["bitmapnode"], let name = entry["bitmap"] {
                    job.bitmap = BitmapPlace(node: node, name: name)
                }
                job.export = entry["export"]
                job.ending = entry["ending"].flatMap { Ending(rawValue: $0) }
                return job
            }, reusesFiles: status["reuse"] == "yes")
    }

    /// Adds how far it is to an operation's figures.
    /// - Parameter answer: what the emulator says of its jobs.
    package func add(to figures: inout JobFigures, _ answer: [JSONValue]) {
        for job in jobs {
            guard let entry = answer.first(where: { $0["device"]?.string == job.id }) else { continue }
            figures.diskTotal &+= entry["len"]?.unsigned ?? 0
            figures.diskProcessed &+= entry["offset"]?.unsigned ?? 0
        }
    }
}
