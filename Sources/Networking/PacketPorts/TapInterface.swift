// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import HostSystem

/// A tap device of one's own, without a guest.
public enum TapInterface {
    /// Makes a tap device, or takes one that nobody has; it goes away with the descriptor unless it was made to stay.
    /// Frames are plain: whole, with their checksums, and with VLAN tags in them.
    /// - Parameter name: at most 15 bytes.
    public static func open(_ name: String) throws(Errno) -> FileDescriptor {
        let tap = try FileDescriptor.open("/dev/net/tun", flags: O_RDWR)
        _ = try TapControl.attach(tap.number, interface: name, hasHeader: false)
        return tap
    }
}
