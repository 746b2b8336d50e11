// SPDX-License-Identifier: Apache-2.0

public import MachineModel

/// A wired-or: several devices on one interrupt input. The machine lock guards it.
public final class SharedInterruptLine {
    private let output: InterruptLine
    private var asserting = 0

    /// A wired-or without inputs.
    public init(output: InterruptLine) { self.output = output }

    /// One more device's line.
    public func makeInput() -> InterruptLine {
        InterruptLine { level in
            self.asserting += level ? 1 : -1
            self.output.set(self.asserting > 0)
        }
    }
}
