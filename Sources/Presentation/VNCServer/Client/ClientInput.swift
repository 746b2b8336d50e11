// SPDX-License-Identifier: Apache-2.0

package import DisplaySurfaces
internal import HostIO

/// A client's keyboard and pointer, turned into events for the guest.
package struct ClientInput {
    private var heldKeys: [KeyCode] = []
    /// The key for which shift is held that the client did not press itself.
    private var lentShift: UInt8?
    private var buttons: UInt8 = 0
    private var last: (x: Int, y: Int)?
    /// Ends a client that does not come in.
    var handshakeTimer: LoopTimer?
    /// What the client was told of the pointer.
    var knownIsAbsolute: Bool?
    /// Positions around which a client that knows the pointer type sends movements.
    private static let still = 0x7FFF
    private static let buttonBits: [(UInt8, PointerButton)] = [
        (1, .left), (2, .middle), (4, .right), (8, .wheelUp), (16, .wheelDown), (32, .wheelLeft), (64, .wheelRight),
    ]

    package init() {}

    /// A key by the name of what it writes. Clients that type a text send names alone; shift is held for them where the
    /// guest's keyboard needs it.
    package mutating func key(named keysym: UInt32, isDown: Bool, capsLockIsOn: Bool, to router: InputRouter) {
        guard let key = Keysyms.key(keysym), let shift = Keysyms.key(Keysyms.shift) else { return }
        if let wantsShift = Keysyms.wantsShift(keysym, capsLockIsOn: capsLockIsOn) {
            if isDown, !wantsShift { takeShiftBack(router) }
            if isDown, wantsShift, !heldKeys.contains(where: Keysyms.isShift) {
                self.key(shift, isDown: true, to: router)
                lentShift = key.number
            }
        } else if Keysyms.isShift(key) {
            lentShift = nil
        }
        self.key(key, isDown: isDown, to: router)
        if !isDown, lentShift == key.number { takeShiftBack(router) }
    }

    private mutating func takeShiftBack(_ router: InputRouter) {
        guard lentShift != nil else { return }
        lentShift = nil
        key(Keysyms.key(Keysyms.shift), isDown: false, to: router)
    }

    mutating func key(_ key: KeyCode?, isDown: Bool, to router: InputRouter) {
        guard let key else { return }
        heldKeys.removeAll { $0.number == key.number }
        if isDown { heldKeys.append(key) }
        router.send(key, isDown: isDown)
    }

    /// - Parameters:
    ///   - size: of the screen.
    ///   - knowsType: the client switches to movements by itself.
    mutating func pointer(
        _ mask: UInt8, x: Int, y: Int, size: (width: Int, height: Int), knowsType: Bool, to router: InputRouter
    ) {
        if router.pointerIsAbsolute {
            let range = InputRouter.largestPosition
            router.moveTo(x: x * range / max(size.width - 1, 1), y: y * range / max(size.height - 1, 1))
        } else if knowsType {
            router.moveBy(x: x - Self.still, y: y - Self.still)
        } else {
            if let last { router.moveBy(x: x - last.x, y: y - last.y) }
            last = (x, y)
        }
        for (bit, button) in Self.buttonBits where (mask ^ buttons) & bit != 0 {
            router.send(button, isDown: mask & bit != 0)
        }
        buttons = mask
        router.synchronize()
    }

    /// Lets go of everything that is held.
    package mutating func release(_ router: InputRouter) {
        for key in heldKeys.reversed() { router.send(key, isDown: false) }
        heldKeys = []
        lentShift = nil
        for (bit, button) in Self.buttonBits where buttons & bit != 0 { router.send(button, isDown: false) }
        if buttons != 0 { router.synchronize() }
        buttons = 0
    }
}
