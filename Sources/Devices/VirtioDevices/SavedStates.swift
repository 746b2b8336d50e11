// SPDX-License-Identifier: Apache-2.0

public import StateCoding

/// What a disk keeps beside its queues.
public struct VirtioBlockState: SavedState, Equatable {
    var hasWriteCache: Bool
}

/// What a network card keeps beside its queues.
public struct VirtioNetworkState: SavedState, Equatable {
    var filter: VirtioNetworkFilter
    var isAnnouncePending: Bool
    /// What the driver takes unfinished, by `PacketOffloads`.
    var receiveOffloads: UInt64

    /// Refuses filter tables of another length.
    public func problem(replacing current: VirtioNetworkState) -> String? {
        filter.hasShape(of: current.filter) ? nil : "its tables have other lengths"
    }
}

/// What a balloon keeps beside its queues.
public struct VirtioBalloonState: SavedState, Equatable {
    var wantedPages: UInt32, actualPages: UInt32, poison: UInt32
}

/// What a serial bus keeps beside its queues.
public struct VirtioSerialState: SavedState, Equatable {
    /// Control messages that the driver has not taken.
    var waitingControl: [[UInt8]]
    /// Numbers of the ports that the guest has open.
    var openPorts: [Int]

    /// Refuses more waiting messages than a device keeps.
    public func problem(replacing current: VirtioSerialState) -> String? {
        waitingControl.count <= VirtioSerialDevice.controlLimit ? nil : "it has too many messages"
    }
}
