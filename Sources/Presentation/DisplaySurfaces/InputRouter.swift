// SPDX-License-Identifier: Apache-2.0

public import HostSystem

/// A keyboard of the guest. Called with the machine lock held.
public protocol KeyboardSink: AnyObject {
    /// A key goes down or up.
    func send(_ key: KeyCode, isDown: Bool)
}

/// A button of a pointing device.
public enum PointerButton: String, CaseIterable, Sendable {
    case left, middle, right
    case wheelUp = "wheel-up"
    case wheelDown = "wheel-down"
    case side, extra
    case wheelLeft = "wheel-left"
    case wheelRight = "wheel-right"

    /// The button's bit in the reports of mice, PS/2 and USB alike (HID 1.11, appendix B.2); nil for a wheel's step.
    public var mouseBit: UInt8? {
        switch self {
        case .left: 1
        case .right: 2
        case .middle: 4
        case .side: 8
        case .extra: 16
        case .wheelUp, .wheelDown, .wheelLeft, .wheelRight: nil
        }
    }
}

/// A pointing device of the guest. Called with the machine lock held.
public protocol PointerSink: AnyObject {
    /// For `query-mice`: "QEMU PS/2 Mouse", "QEMU HID Tablet".
    var pointerName: String { get }
    /// Takes positions, not movements.
    var isAbsolute: Bool { get }
    /// A movement in steps; right and down are positive. Only called when `isAbsolute` is false.
    func moveBy(x: Int, y: Int)
    /// A position, 0...0x7FFF from the left and from the top. Only called when `isAbsolute` is true.
    func moveTo(x: Int, y: Int)
    /// A button goes down or up; a wheel's step is both.
    func send(_ button: PointerButton, isDown: Bool)
    /// What was sent since the last call belongs together: the device tells its driver.
    func synchronize()
}

/// Takes a person's input to the guest's devices: the keyboard and the pointer that were added or chosen last get it.
///
/// Used on the event loop's thread, without the machine lock, which it takes.
public final class InputRouter: @unchecked Sendable {
    /// The largest coordinate of an absolute position.
    public static let largestPosition = 0x7FFF
    private let machineLock: Lock
    // Guarded by the machine lock, since devices come and go by hot plug.
    private var keyboards: [any KeyboardSink] = []
    private var pointers: [any PointerSink] = []
    // Of the event loop's thread.
    private var lastPosition = (x: 0, y: 0)

    /// A router without devices.
    public init(machineLock: Lock) { self.machineLock = machineLock }

    /// Adds a keyboard, which gets the keys from now on. The machine lock is held, or the machine does not run yet.
    public func add(_ keyboard: any KeyboardSink) { keyboards.append(keyboard) }

    /// Adds a pointer, which gets the movements from now on. The machine lock is held, or the machine does not run yet.
    public func add(_ pointer: any PointerSink) { pointers.append(pointer) }

    /// Adds a keyboard that gets the keys when `activate` says so, or where there is no other.
    public func addIdle(_ keyboard: any KeyboardSink) { keyboards.insert(keyboard, at: 0) }

    /// Adds a pointer that gets the movements when `activate` says so, or where there is no other.
    public func addIdle(_ pointer: any PointerSink) { pointers.insert(pointer, at: 0) }

    /// A device gets the input from now on: the guest has begun to listen to it. The machine lock is held.
    public func activate(_ device: AnyObject) {
        if let place = keyboards.firstIndex(where: { $0 === device }) { keyboards.append(keyboards.remove(at: place)) }
        if let place = pointers.firstIndex(where: { $0 === device }) { pointers.append(pointers.remove(at: place)) }
    }

    /// A device gets the input no more where there is another: the guest has stopped to listen. The machine lock is held.
    public func deactivate(_ device: AnyObject) {
        if let place = keyboards.firstIndex(where: { $0 === device }) {
            keyboards.insert(keyboards.remove(at: place), at: 0)
        }
        if let place = pointers.firstIndex(where: { $0 === device }) {
            pointers.insert(pointers.remove(at: place), at: 0)
        }
    }

    /// Takes a device out. The machine lock is held.
    public func remove(_ device: AnyObject) {
        keyboards.removeAll { $0 === device }
        pointers.removeAll { $0 === device }
    }

    /// All pointers, the one in use last.
    public var pointerDescriptions: [(name: String, isAbsolute: Bool)] {
        machineLock.withLock { pointers.map { ($0.pointerName, $0.isAbsolute) } }
    }

    /// Makes a pointer the one in use, by its place in `pointerDescriptions`.
    /// - Returns: false when there is none.
    public func choosePointer(_ index: Int) -> Bool {
        machineLock.withLock {
            guard pointers.indices.contains(index) else { return false }
            pointers.append(pointers.remove(at: index))
            return true
        }
    }

    /// Whether the pointer in use takes positions.
    public var pointerIsAbsolute: Bool { machineLock.withLock { pointers.last?.isAbsolute ?? false } }

    /// A key goes down or up.
    /// - Returns: false when there is no keyboard.
    @discardableResult
    public func send(_ key: KeyCode, isDown: Bool) -> Bool {
        machineLock.withLock {
            keyboards.last?.send(key, isDown: isDown)
            return !keyboards.isEmpty
        }
    }

    /// A movement in steps; dropped where the pointer in use takes positions.
    public func moveBy(x: Int, y: Int) {
        machineLock.withLock {
            if let pointer = pointers.last, !pointer.isAbsolute { pointer.moveBy(x: x, y: y) }
        }
    }

    /// A position, 0...0x7FFF; dropped where the pointer in use takes movements.
    public func moveTo(x: Int, y: Int) {
        func clamp(_ value: Int) -> Int { max(0, min(value, Self.largestPosition)) }
        machineLock.withLock {
            if let pointer = pointers.last, pointer.isAbsolute { pointer.moveTo(x: clamp(x), y: clamp(y)) }
        }
    }

    /// One or both coordinates of a position, 0...0x7FFF; the other stays as it was last.
    public func moveAxis(x: Int?, y: Int?) {
        if let x { lastPosition.x = x }
        if let y { lastPosition.y = y }
        moveTo(x: lastPosition.x, y: lastPosition.y)
    }

    /// A button goes down or up.
    public func send(_ button: PointerButton, isDown: Bool) {
        machineLock.withLock { pointers.last?.send(button, isDown: isDown) }
    }

    /// What was sent since the last call belongs together.
    public func synchronize() { machineLock.withLock { pointers.last?.synchronize() } }
}
