// SPDX-License-Identifier: Apache-2.0

internal import StateStore

/// Runs an operation once for each step of its changes of files, with the service killed or the disk full from that step
/// on, and says where something was lost, half there or left behind.
package struct FaultRun<Place, Findings: Equatable> {
    /// Makes a fresh place to work in.
    package var prepare: () throws -> Place
    /// What a service that starts there finds.
    package var findings: (Place) throws -> Findings
    /// What a service that has started there has left lying about.
    package var leftovers: (Place) -> [String]
    /// What the service that goes on says of itself; nil where that is not compared with what is found.
    package var present: ((Place) throws -> Findings)?

    /// A run with these parts.
    package init(
        prepare: @escaping () throws -> Place, findings: @escaping (Place) throws -> Findings,
        leftovers: @escaping (Place) -> [String] = { _ in [] }, present: ((Place) throws -> Findings)? = nil
    ) {
        self.prepare = prepare
        self.findings = findings
        self.leftovers = leftovers
        self.present = present
    }

    /// One line for each thing that went wrong; also when the operation changed nothing at all.
    package func problems(_ name: String, _ operation: (Place) throws -> Void) throws -> [String] {
        var problems: [String] = []
        for kind in [StateFaults.Kind.killed, .full] {
            let start = try prepare()
            let before = try findings(start)
            try operation(start)
            let after = try findings(start)
            var step = 0
            while true {
                let place = try prepare()
                let faults = StateFaults(kind, from: step)
                var failed = false
                StateFaults.$current.withValue(faults) { do { try operation(place) } catch { failed = true } }
                guard faults.struck else { break }
                let what = "\(name), \(kind) at step \(step)"
                let found = try findings(place)
                if found != before && found != after { problems.append("\(what): \(found)") }
                if !failed && found != after { problems.append("\(what): success was reported, and there is \(found)") }
                if kind == .full, let present, try present(place) != found {
                    problems.append("\(what): the service and its files differ")
                }
                let left = leftovers(place)
                if !left.isEmpty { problems.append("\(what): left behind \(left)") }
                step += 1
            }
            if step == 0 { problems.append("\(name): no step of it can fail") }
        }
        return problems
    }
}
