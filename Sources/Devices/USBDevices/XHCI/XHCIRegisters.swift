// SPDX-License-Identifier: Apache-2.0

/// Registers and constants of xHCI 1.1, by the section that says them.
enum XHCI {
    static let slotCount = 64, interrupterCount = 16, endpointCount = 31
    /// The parts of the window.
    static let operational: UInt64 = 0x40, ports: UInt64 = 0x440, runtime: UInt64 = 0x1000, doorbells: UInt64 = 0x2000
    static let registerCount: UInt64 = 0x3000, messageTable: UInt32 = 0x3000, messagePending: UInt32 = 0x3800
    static let windowCount: UInt64 = 0x4000
    static let portStride: UInt64 = 16, interrupterStride: UInt64 = 32, interrupters: UInt64 = 0x20
    static let blockSize = 16

    /// 5.3: capabilities.
    enum Capability {
        static let version: UInt32 = 0x0100_0000
        /// 64-bit addresses; the list of extended capabilities begins at 0x20.
        static let parameters: UInt32 = 0x0008_0001
        static let isochronousThreshold: UInt32 = 0xF
        static let extended: UInt64 = 0x20
    }

    /// 5.4.1 and 5.4.2.
    enum Command {
        static let run: UInt32 = 1, reset: UInt32 = 2, interrupts: UInt32 = 4, lightReset: UInt32 = 0x80
        static let save: UInt32 = 0x100, restore: UInt32 = 0x200, wrapEvents: UInt32 = 0x400
        static let kept: UInt32 = run | interrupts | 8 | wrapEvents
    }
    enum Status {
        static let halted: UInt32 = 1, hostError: UInt32 = 4, event: UInt32 = 8, portChange: UInt32 = 0x10
        static let restoreError: UInt32 = 0x400, controllerError: UInt32 = 0x1000
        static let clearable: UInt32 = hostError | event | portChange | restoreError
    }
    /// 5.4.5.
    enum CommandRing {
        static let cycle: UInt64 = 1, stop: UInt64 = 2, abort: UInt64 = 4, running: UInt64 = 8
    }

    /// 5.4.8.
    enum Port {
        static let connected: UInt32 = 1, enabled: UInt32 = 2, reset: UInt32 = 0x10, power: UInt32 = 0x200
        static let linkMask: UInt32 = 0x1E0, linkShift: UInt32 = 5, speedMask: UInt32 = 0x3C00, speedShift: UInt32 = 10
        static let linkStrobe: UInt32 = 1 << 16, connectChanged: UInt32 = 1 << 17, enableChanged: UInt32 = 1 << 18
        static let warmResetChanged: UInt32 = 1 << 19, resetChanged: UInt32 = 1 << 21, linkChanged: UInt32 = 1 << 22
        static let changes: UInt32 = 0xFE << 16
        static let warmReset: UInt32 = 1 << 31
        /// Wishes to be woken, and the indicators.
        static let writable: UInt32 = 0xE00_C000
    }
    /// Link states.
    enum Link {
        static let on: UInt32 = 0, suspended: UInt32 = 3, noDevice: UInt32 = 5, polling: UInt32 = 7,
            resuming: UInt32 = 15
    }

    /// 5.5.2.
    enum Interrupter {
        static let pending: UInt32 = 1, enabled: UInt32 = 2
        static let handlerBusy: UInt64 = 8
    }

    /// 6.4.6: types of transfer request blocks.
    enum BlockType {
        static let normal = 1, setup = 2, data = 3, status = 4, isochronous = 5, link = 6, eventData = 7,
            noOperation = 8
        static let enableSlot = 9, disableSlot = 10, addressDevice = 11, configureEndpoint = 12, evaluateContext = 13
        static let resetEndpoint = 14, stopEndpoint = 15, setDequeue = 16, resetDevice = 17, portBandwidth = 21
        static let commandNoOperation = 23
        static let necFirmware = 49
        static let transferEvent = 32, commandEvent = 33, portEvent = 34, controllerEvent = 37, necEvent = 48
    }

    /// Bits of a block's last word.
    enum Flag {
        static let cycle: UInt32 = 1, toggle: UInt32 = 2, shortEvent: UInt32 = 4, chain: UInt32 = 0x10
        static let event: UInt32 = 0x20, immediate: UInt32 = 0x40
        /// Of commands: do not set the address; take the endpoints away.
        static let blockAddress: UInt32 = 1 << 9
        static let typeShift: UInt32 = 10, toHost: UInt32 = 1 << 16
        /// Of transfer events: the parameter is data, not a place.
        static let isData: UInt32 = 4
    }

    /// 6.4.5.
    enum Completion {
        static let success: UInt8 = 1, transactionError: UInt8 = 4, blockError: UInt8 = 5, stall: UInt8 = 6
        static let noSlots: UInt8 = 9, slotNotEnabled: UInt8 = 11, endpointNotEnabled: UInt8 = 12
        static let shortPacket: UInt8 = 13, parameterError: UInt8 = 17, contextStateError: UInt8 = 19
        static let ringStopped: UInt8 = 24, stopped: UInt8 = 26
    }

    /// 6.2: contexts.
    enum Context {
        static let size: UInt64 = 32
        /// States of a slot.
        static let slotDefault: UInt32 = 1, slotAddressed: UInt32 = 2, slotConfigured: UInt32 = 3
        static let entriesShift: UInt32 = 27, slotStateShift: UInt32 = 27
    }
    enum EndpointState: UInt8, Codable, Sendable { case disabled, running, halted, stopped, error }
    static let controlEndpoint: UInt32 = 4
}
