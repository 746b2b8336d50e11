// SPDX-License-Identifier: Apache-2.0

internal import PCIBus
public import StateCoding

/// What a saved machine keeps of a virtio function.
struct VirtioPCIState: SavedState, Equatable {
    var function: PCIDeviceState
    var core: VirtioCore.State
    var configVector: UInt16
    var queueVectors: [UInt16]
    var deviceFeatureSelect: UInt32, driverFeatureSelect: UInt32
    /// What the device model keeps, as a section of its own; version 0 where it keeps nothing.
    var deviceVersion: UInt32
    var device: [UInt8]
}

/// A device model that works on requests beside the vCPUs.
public protocol VirtioDrainingDevice: VirtioDevice {
    /// Waits until the host is done with every request that was taken. The vCPUs stand still.
    /// - Throws: a request that waits for something else.
    func drain() throws(StateError)
}

extension VirtioPCIDevice {
    private var virtioState: VirtioPCIState {
        VirtioPCIState(
            function: pciState, core: core.state, configVector: configVector,
            queueVectors: core.queues.map { queueVector($0.index) }, deviceFeatureSelect: modern.deviceFeatureSelect,
            driverFeatureSelect: modern.driverFeatureSelect, deviceVersion: 0, device: [])
    }

    func saveVirtioState(as name: String) throws(StateError) -> StateRecord {
        if let device = device as? any VirtioDrainingDevice { try device.drain() }
        var state = virtioState
        if let device = device as? any Stateful {
            let record = try device.saveState(as: name)
            state.deviceVersion = record.version
            state.device = record.payload
        }
        return try StateRecord(name: name, state)
    }

    func checkVirtioState(_ record: StateRecord) throws(StateError) -> () -> Void {
        let state = try record.decode(replacing: virtioState)
        let problem = state.function.problem(replacing: pciState) ?? core.problem(of: state.core)
        if let problem { throw StateError("the saved state of '\(record.name)' is refused: \(problem)") }
        var restoreDevice: () -> Void = {}
        if let device = device as? any Stateful {
            restoreDevice = try device.checkState(
                StateRecord(name: record.name, version: state.deviceVersion, payload: state.device))
        }
        return { [self] in
            apply(state.function)
            setVectors(config: state.configVector, queues: state.queueVectors)
            modern.deviceFeatureSelect = state.deviceFeatureSelect
            modern.driverFeatureSelect = state.driverFeatureSelect
            core.restore(state.core)
            restoreDevice()
        }
    }
}
