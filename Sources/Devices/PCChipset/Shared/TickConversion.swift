// SPDX-License-Identifier: Apache-2.0

/// Conversions between nanoseconds and a counter's ticks that neither overflow nor lose precision.
enum TickConversion {
    static let nanosecondsPerSecond: UInt64 = 1_000_000_000

    /// `value * numerator / denominator`, rounded down, at most `UInt64.max`.
    /// - Precondition: `denominator` is a constant above 0.
    static func scale(_ value: UInt64, by numerator: UInt64, over denominator: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: numerator)
        guard product.high < denominator else { return .max }
        return denominator.dividingFullWidth(product).quotient
    }

    /// Ticks of a counter of `frequency` hertz that pass in that time.
    static func ticks(nanoseconds: UInt64, frequency: UInt64) -> UInt64 {
        scale(nanoseconds, by: frequency, over: nanosecondsPerSecond)
    }

    /// The first nanosecond at which that many ticks have passed.
    static func nanoseconds(ticks: UInt64, frequency: UInt64) -> UInt64 {
        let whole = scale(ticks, by: nanosecondsPerSecond, over: frequency)
        guard whole < .max else { return .max }
        return self.ticks(nanoseconds: whole, frequency: frequency) < ticks ? whole + 1 : whole
    }
}

extension UInt64 {
    /// The sum, or the largest value where it does not fit.
    func addingClamped(_ other: UInt64) -> UInt64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}
