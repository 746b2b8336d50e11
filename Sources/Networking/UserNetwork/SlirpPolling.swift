// SPDX-License-Identifier: Apache-2.0

internal import CSlirp
internal import Diagnostics
internal import HostIO

/// Which descriptors libslirp wants to wait for, and the loop's watches for them.
///
/// The library thinks in rounds of poll(2): it lists descriptors, then asks by place in that list what came true. The
/// list is compared with that of the round before, so that the kernel is told of changes only.
struct SlirpPolling {
    private struct Entry {
        let descriptor: Int32
        let events: Int32
        var ready: Int32 = 0
    }
    /// The list of this round, by the numbers that the library was given.
    private var entries: [Entry] = []
    /// Where a descriptor stands in the list.
    private var places: [Int32: Int] = [:]
    private var watches: [Int32: EventLoop.Watch] = [:]
    /// What came true, by descriptor; shared with the watches' handlers.
    private let state = Readiness()
    var isRefreshPosted = false
    var isPollPosted = false

    private final class Readiness {
        var ready: [Int32: Int32] = [:]
    }
    private enum Event {
        static let input = Int32(SLIRP_POLL_IN), output = Int32(SLIRP_POLL_OUT)
        static let error = Int32(SLIRP_POLL_ERR), hangup = Int32(SLIRP_POLL_HUP)
    }

    mutating func beginFill() {
        entries.removeAll(keepingCapacity: true)
        places.removeAll(keepingCapacity: true)
    }

    /// One descriptor of the round. Returns its number.
    mutating func add(_ descriptor: Int32, events: Int32) -> Int32 {
        places[descriptor] = entries.count
        entries.append(Entry(descriptor: descriptor, events: events))
        return Int32(truncatingIfNeeded: entries.count - 1)
    }

    /// What came true for a number of the round.
    func readiness(_ number: Int32) -> Int32 {
        guard number >= 0, Int(number) < entries.count else { return 0 }
        let entry = entries[Int(number)]
        return (state.ready[entry.descriptor] ?? 0) & (entry.events | Event.error | Event.hangup)
    }

    func clearReadiness() { state.ready.removeAll(keepingCapacity: true) }

    /// Makes the loop wait for exactly the round's list.
    mutating func apply(on loop: EventLoop, ready: @escaping () -> Void) {
        for descriptor in watches.keys where places[descriptor] == nil { forget(descriptor) }
        for entry in entries {
            var interest: EventLoop.Readiness = []
            if entry.events & Event.input != 0 { interest.insert(.readable) }
            if entry.events & Event.output != 0 { interest.insert(.writable) }
            do {
                if let watch = watches[entry.descriptor] {
                    try watch.setInterest(interest)
                } else {
                    watches[entry.descriptor] = try watch(entry.descriptor, interest, on: loop, ready)
                }
            } catch {
                Console.shared.warning("the user-mode network cannot wait for a connection: \(error)")
                forget(entry.descriptor)
            }
        }
    }

    private func watch(
        _ descriptor: Int32, _ interest: EventLoop.Readiness, on loop: EventLoop, _ ready: @escaping () -> Void
    ) throws -> EventLoop.Watch {
        let state = state
        return try loop.watch(descriptor, interest) { readiness in
            var events: Int32 = 0
            if readiness.contains(.readable) { events |= Event.input }
            if readiness.contains(.writable) { events |= Event.output }
            if readiness.contains(.hangup) { events |= Event.hangup | Event.error | Event.input }
            state.ready[descriptor, default: 0] |= events
            ready()
        }
    }

    /// The library is about to close a descriptor.
    mutating func forget(_ descriptor: Int32) {
        state.ready[descriptor] = nil
        watches.removeValue(forKey: descriptor)?.cancel()
    }

    mutating func removeAll() {
        for watch in watches.values { watch.cancel() }
        watches = [:]
        clearReadiness()
        beginFill()
    }
}
