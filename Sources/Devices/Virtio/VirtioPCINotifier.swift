// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
internal import MachineModel

/// Has the engine take a function's notifications to the device's threads, past the run loop and the machine lock.
///
/// Guarded by the machine lock.
final class VirtioPCINotifier {
    private struct Watched {
        var queue: Int
        var write: WatchedWrite
    }

    private let core: VirtioCore
    /// By queue; made when the device is first active.
    private var events: [Int: EventFile] = [:]
    private var isConnected = false
    private var watched: [Watched] = []
    private weak var paths: (any EventPaths)?

    init(_ core: VirtioCore) { self.core = core }

    deinit { drop() }

    /// Follows where the notification registers are and whether the device is active.
    /// - Parameters:
    ///   - paths: nil where the engine has none.
    ///   - modern: where BAR 4 is mapped.
    ///   - legacy: where BAR 0 is mapped.
    func update(paths: (any EventPaths)?, modern: UInt64?, legacy: UInt64?) {
        guard let paths else { return drop() }
        guard let device = core.device as? any VirtioThreadedDevice else { return }
        self.paths = paths
        let wanted = core.isActive ? writes(device, modern: modern, legacy: legacy) : []
        guard wanted.map(\.write) != watched.map(\.write) else { return }
        drop()
        watched = wanted.filter { entry in
            events[entry.queue].map { paths.watch(entry.write, signalling: $0) } ?? false
        }
    }

    private func drop() {
        for entry in watched {
            if let event = events[entry.queue] { paths?.unwatch(entry.write, signalling: event) }
        }
        watched = []
    }

    private func writes(
        _ device: any VirtioThreadedDevice, modern: UInt64?, legacy: UInt64?
    ) -> [Watched] {
        connect(device)
        var result: [Watched] = []
        for queue in core.queues where queue.isReady && events[queue.index] != nil {
            if let modern {
                let address = modern + VirtioPCIModernWindow.notifyOffset(queue.index)
                result.append(Watched(queue: queue.index, write: WatchedWrite(address: address, count: 0)))
            }
            if let legacy {
                let address = legacy + VirtioPCILegacyWindow.notifyOffset
                result.append(
                    Watched(
                        queue: queue.index,
                        write: WatchedWrite(address: address, count: 2, value: UInt64(queue.index), isPort: true)))
            }
        }
        return result
    }

    /// Without descriptors left, notifications take the usual way.
    private func connect(_ device: any VirtioThreadedDevice) {
        guard !isConnected else { return }
        isConnected = true
        for queue in core.queues where queue.maximumSize > 0 {
            guard let event = try? EventFile(), device.serve(queue.index, whenSignalled: event) else { continue }
            events[queue.index] = event
        }
    }
}
