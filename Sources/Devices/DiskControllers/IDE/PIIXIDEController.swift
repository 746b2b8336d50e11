// SPDX-License-Identifier: Apache-2.0

public import GuestMemory
public import MachineModel
public import PCIBus
public import StateCoding

/// The IDE function of the PIIX3 (Intel 82371SB datasheet): 8086:7010 at 01.1, two channels at their ISA places.
public final class PIIXIDEController: PCIDevice, @unchecked Sendable {
    /// ISA ports and interrupts of the channels.
    public static let places: [(command: UInt64, control: UInt64, interrupt: Int)] = [
        (0x1F0, 0x3F6, 14), (0x170, 0x376, 15),
    ]
    private static let busMasterCount: UInt64 = 16
    private enum Timing {
        static let first = 0x40, secondary = 0x42, end = 0x50
        static let decodes: UInt16 = 0x8000
    }

    /// First and second channel.
    public let channels: [IDEChannel]

    /// - Parameters:
    ///   - ports: the channels are mapped at once.
    ///   - interrupts: ISA interrupts 14 and 15.
    public init(memory: GuestMemory, ports: AddressSpace, interrupts: [InterruptLine]) {
        precondition(interrupts.count == Self.places.count)
        channels = interrupts.map { IDEChannel(memory: memory, interrupt: $0) }
        super.init(
            name: "piix3-ide", identity: PCIIdentity(vendor: 0x8086, device: 0x7010, classCode: 0x01_0180),
            isMultifunction: false)
        // Timing registers, whose top bits enable the channels.
        for offset in Timing.first..<Timing.end { config.setWritable(offset, UInt8.max) }
        let channels = channels
        addBaseAddress(
            4, kind: .io, size: Self.busMasterCount, name: "bmdma",
            window: ChannelWindow(
                read: { offset, size in
                    var value: UInt64 = 0
                    for index in 0..<UInt64(min(size, 8)) where offset + index < Self.busMasterCount {
                        let place = Int(offset + index)
                        value |= UInt64(channels[place >> 3].busMaster.read(place & 7)) << (index * 8)
                    }
                    return value
                },
                write: { offset, size, value in
                    for index in 0..<UInt64(min(size, 8)) where offset + index < Self.busMasterCount {
                        let place = Int(offset + index)
                        channels[place >> 3].busMaster.write(
                            place & 7, UInt8(truncatingIfNeeded: value >> (index * 8)))
                    }
                }))
        for (channel, place) in zip(channels, Self.places) {
            channel.busMaster.isBusMaster = { [unowned self] in isBusMaster }
            ports.map(channel.commandBlock, at: place.command, count: IDEChannel.commandCount, name: "ide")
            ports.map(channel.controlBlock, at: place.control, count: 1, name: "ide")
        }
    }

    /// The function's registers and both channels'; throws while a drive works.
    public override func saveState(as name: String) throws(StateError) -> StateRecord {
        try StateRecord(name: name, try settledState(name))
    }

    /// Refuses a state that does not fit; the result puts it in.
    public override func checkState(_ record: StateRecord) throws(StateError) -> () -> Void {
        let state = try record.decode(replacing: controllerState)
        return { [self] in
            apply(state.function)
            for (channel, saved) in zip(channels, state.channels) { channel.restore(saved) }
        }
    }

    private var controllerState: IDEControllerState {
        IDEControllerState(function: pciState, channels: channels.map(\.state))
    }

    private func settledState(_ name: String) throws(StateError) -> IDEControllerState {
        try ATADriveState.settle(channels.flatMap(\.drives), of: name)
        return controllerState
    }

    /// Takes back the timings (40h...) and puts both channels to power-on.
    public override func reset() {
        super.reset()
        for offset in Timing.first..<Timing.end { config.set(offset, UInt8(0)) }
        config.set(PCIRegister.status, setting: 0x0280)
        for channel in channels { channel.reset() }
    }

    /// Sets what firmware sets: both channels answer.
    public func configureAsFirmware() {
        config.set(Timing.first, Timing.decodes)
        config.set(Timing.secondary, Timing.decodes)
    }
}
