// SPDX-License-Identifier: Apache-2.0

public import ManagementModel

/// All machines of this service.
public final class MachineDriver: Sendable {
    private let events: EventHub

    public init(events: EventHub) {
        self.events = events
    }

    /// All machines.
    public var all: [MachineReference] { [] }
}
