// SPDX-License-Identifier: Apache-2.0

internal import ControlProtocol
internal import DisplaySurfaces

extension HumanCommandTable {
    private static func refusal(_ body: () throws(QMPError) -> Void) throws(HumanFailure) {
        do throws(QMPError) { try body() } catch { throw .failed(error.description) }
    }

    /// Screens, keys and pointers.
    static let display = [
        HumanCommand("screendump", "filename [-f format]", "save screen as an image") { (call) throws(HumanFailure) in
            guard let path = try call.word() else { throw .usage("screendump: string expected") }
            let flag = try call.word(), format = try call.word()
            let isPNG = flag == "-f" && format == "png"
            let machine = call.machine
            try refusal { () throws(QMPError) in try ScreenActions.dump(machine, to: path, isPNG: isPNG) }
        },
        HumanCommand("sendkey", "keys [hold_ms]", "send keys to the VM (e.g. 'sendkey ctrl-alt-f1')") {
            (call) throws(HumanFailure) in
            guard let text = try call.word() else { throw .usage("sendkey: string expected") }
            let hold = try call.word().flatMap { Int64($0) } ?? 100
            var keys: [KeyCode] = []
            for part in text.split(separator: "-", omittingEmptySubsequences: true) {
                let name = part == "<" ? "less" : String(part)
                let number = name.hasPrefix("0x") ? Int(name.dropFirst(2), radix: 16) : nil
                guard let key = number.flatMap({ KeyCode.numbered($0) }) ?? KeyCode.named(name) else {
                    throw .failed("invalid parameter: \(name)")
                }
                keys.append(key)
            }
            let machine = call.machine, pressed = keys
            try refusal { () throws(QMPError) in
                try ScreenActions.press(machine, pressed, holdMilliseconds: hold)
            }
        },
        HumanCommand("mouse_move", "dx dy [dz]", "send mouse move events") { (call) throws(HumanFailure) in
            guard let x = try call.word().flatMap({ Int($0) }), let y = try call.word().flatMap({ Int($0) }) else {
                throw .usage("mouse_move: two numbers expected")
            }
            let z = try call.word().flatMap { Int($0) } ?? 0
            guard let router = (call.machine as? any DisplayControlling)?.inputRouter else { return }
            router.moveBy(x: x, y: y)
            if z != 0 {
                let button: PointerButton = z > 0 ? .wheelUp : .wheelDown
                router.send(button, isDown: true)
                router.send(button, isDown: false)
            }
            router.synchronize()
        },
        HumanCommand("mouse_button", "state", "change mouse button state (1=L, 2=M, 4=R)") {
            (call) throws(HumanFailure) in
            guard let state = try call.word().flatMap({ Int($0) }) else {
                throw .usage("mouse_button: a number expected")
            }
            guard let router = (call.machine as? any DisplayControlling)?.inputRouter else { return }
            for (bit, button) in [(1, PointerButton.left), (2, .middle), (4, .right)] {
                router.send(button, isDown: state & bit != 0)
            }
            router.synchronize()
        },
        HumanCommand("mouse_set", "index", "set which mouse device receives events") { (call) throws(HumanFailure) in
            let index = try call.word().flatMap { Int($0) } ?? -1
            guard (call.machine as? any DisplayControlling)?.inputRouter.choosePointer(index) == true else {
                throw .failed("Mouse at index '\(index)' not found")
            }
        },
    ]
}
