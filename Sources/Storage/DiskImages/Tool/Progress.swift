// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import Glibc
internal import HostSystem
internal import Synchronization

/// SIGUSR1 came: somebody wants to know how far a verb is that shows no progress by itself.
private let wasAsked = Atomic<Bool>(false)

/// Shows how far a verb is: qemu-img's numbers where they are asked for with `-p`, else on a terminal, for what takes longer
/// than a moment, a bar with rate and time left.
final class Progress {
    private let tool: ImageTool
    private let style: Style
    /// Bytes, for the rate; 0 when it is not about bytes or not known yet.
    var total: Int64
    private let start = monotonicNanoseconds()
    private var last = -1.0
    private var drawn: UInt64 = 0
    private var hasEnded = false

    private enum Style { case none, numbers, bar }

    /// - Parameters:
    ///   - isAsked: `-p` was given.
    ///   - isQuiet: `-q` was given.
    ///   - total: bytes, for the rate; 0 when it is not about bytes.
    init(_ tool: ImageTool, isAsked: Bool, isQuiet: Bool, total: Int64 = 0) {
        self.tool = tool
        style = isQuiet ? .none : isAsked ? .numbers : tool.hasProgressBar ? .bar : .none
        self.total = total
        if style == .none {
            // The flag exists before a signal can come.
            wasAsked.store(false, ordering: .relaxed)
            // The handler only stores into an atomic.
            _ = signal(SIGUSR1) { _ in wasAsked.store(true, ordering: .relaxed) }
        }
        show(0)
    }

    /// Before this many nanoseconds there is no bar: most work is done by then.
    private static let patience: UInt64 = 500_000_000
    private static let pause: UInt64 = 100_000_000

    /// - Parameter part: 0 ... 1.
    func show(_ part: Double) {
        let percent = min(max(part, 0), 1) * 100
        guard style != .none else {
            if wasAsked.exchange(false, ordering: .relaxed) {
                tool.errors("    (\(Self.hundredths(percent))/100%)\n")
            }
            return
        }
        if style == .bar {
            let now = monotonicNanoseconds()
            guard now &- start > Self.patience, now &- drawn > Self.pause || (percent == 100 && drawn != 0) else {
                return
            }
            drawn = now
            return tool.output("\r" + bar(percent, now))
        }
        guard percent - last > 1 || percent < last - 1 || percent == 0 || percent == 100 else { return }
        last = percent
        tool.output("    (\(Self.hundredths(percent))/100%)\r")
    }

    /// The last line.
    func finish() {
        show(1)
        end()
    }

    /// Leaves the line as it is.
    func end() {
        if (style == .numbers && !hasEnded) || drawn != 0 { tool.output("\n") }
        hasEnded = true
        drawn = 0
    }

    /// Ends the line of a bar before something else is said; qemu-img's numbers stay where qemu-img has them.
    func endBar() { if style == .bar { end() } }

    private func bar(_ percent: Double, _ now: UInt64) -> String {
        let width = 30
        let filled = Int(percent / 100 * Double(width))
        let seconds = Double(now &- start) / 1e9
        var text = "[" + String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled) + "] "
        text += "\(Int(percent))%"
        if total > 0, seconds > 0, percent > 0 {
            let done = Double(total) * percent / 100
            text += "  \(ByteSize.text(Int64(done / seconds)))/s"
            let left = Int((seconds / percent * (100 - percent)).rounded(.up))
            text += percent < 100 ? "  \(left / 60):\(left % 60 < 10 ? "0" : "")\(left % 60) left" : ""
        }
        return text + String(repeating: " ", count: max(0, 78 - text.count))
    }

    static func hundredths(_ value: Double) -> String {
        let scaled = Int((value * 100).rounded(.toNearestOrEven))
        let fraction = scaled % 100
        return "\(scaled / 100).\(fraction < 10 ? "0" : "")\(fraction)"
    }
}
