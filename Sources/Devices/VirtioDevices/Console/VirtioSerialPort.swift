// SPDX-License-Identifier: Apache-2.0

public import CharacterStreams
internal import HostSystem
internal import Virtio

/// One port of a `virtio-serial` device: `virtconsole` or `virtserialport`.
///
/// Its state is guarded by the machine lock, which the stream's calls take here; they come on the loop's thread without
/// it.
public final class VirtioSerialPort: CharacterFrontend, @unchecked Sendable {
    /// A console of the guest (hvc0) rather than a named stream.
    public let isConsole: Bool
    /// `name=`: /dev/virtio-ports/<name> in the guest; empty for none.
    public let portName: String
    /// `nr=`: nil for the first free one.
    public let wantedNumber: Int?
    /// What is at the host's end; nil swallows everything.
    public let backend: (any CharacterBackend)?
    /// Its number in the device, once added.
    public internal(set) var number = 0
    weak var device: VirtioSerialDevice?
    /// Somebody is at the host's end. A console always counts as open.
    var isHostOpen: Bool
    /// The guest has opened its end.
    var isGuestOpen = false {
        didSet { if isGuestOpen != oldValue { guestOpened?(isGuestOpen) } }
    }
    /// Told when the guest opens or closes its end, with the machine lock held.
    public var guestOpened: ((Bool) -> Void)?

    /// A port for `VirtioSerialDevice.add`.
    public init(isConsole: Bool, name: String = "", number: Int? = nil, backend: (any CharacterBackend)?) {
        self.isConsole = isConsole
        portName = name
        wantedNumber = number
        self.backend = backend
        isHostOpen = backend != nil && (isConsole || backend?.isOpen == true)
    }

    func connect() { backend?.frontend = self }

    // MARK: CharacterFrontend

    /// Room in the guest's next buffer; 0 while its end is closed or it gave none.
    public var receiveCapacity: Int {
        guard let device else { return 0 }
        return device.machineLock.withLock { device.receiveCapacity(of: self) }
    }

    /// Fills the guest's next buffer and gives it back, full or not.
    public func receive(_ bytes: ArraySlice<UInt8>) {
        guard let device else { return }
        device.machineLock.withLock { device.receive(bytes, for: self) }
    }

    /// Opening and closing are told to the driver; a console port ignores them.
    public func handle(_ event: CharacterEvent) {
        guard let device, !isConsole else { return }
        switch event {
        case .opened: device.machineLock.withLock { device.setHostOpen(self, true) }
        case .closed: device.machineLock.withLock { device.setHostOpen(self, false) }
        case .breakReceived, .focusGained, .focusLost: break
        }
    }

    /// The stream has room: sends the rest of the guest's buffers.
    public func outputIsReady() {
        guard let device else { return }
        device.machineLock.withLock { device.transmit(of: self) }
    }
}
