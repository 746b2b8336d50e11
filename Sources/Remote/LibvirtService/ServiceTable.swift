// SPDX-License-Identifier: Apache-2.0

public import LibvirtRPC

/// The calls of the management service.
public enum ServiceTable {
    /// A table that answers every call that there is.
    public static func make() -> CallTable<ServiceConnection> {
        let table = CallTable<ServiceConnection>()
        ConnectionCalls.register(in: table)
        NodeCalls.register(in: table)
        ProcessorCalls.register(in: table)
        EventCalls.register(in: table)
        DomainCalls.register(in: table)
        DomainLifeCalls.register(in: table)
        StorageCalls.register(in: table)
        NetworkCalls.register(in: table)
        StatisticsCalls.register(in: table)
        HostObjectCalls.register(in: table)
        DomainDeviceCalls.register(in: table)
        DomainTuningCalls.register(in: table)
        DomainSaveCalls.register(in: table)
        DomainAgentCalls.register(in: table)
        DomainGuestCalls.register(in: table)
        DomainMigrationCalls.register(in: table)
        SnapshotCalls.register(in: table)
        CheckpointCalls.register(in: table)
        return table
    }
}

/// Arguments with a meaning of their own.
enum Flags {
    /// Refuses flags that the call does not know.
    static func check(_ flags: UInt32, allowed: UInt32, _ function: String) throws {
        guard flags & ~allowed == 0 else {
            throw ManagementError(
                .invalidArg, "unsupported flags (0x\(String(flags & ~allowed, radix: 16))) in function \(function)")
        }
    }
}

internal import ManagementModel
