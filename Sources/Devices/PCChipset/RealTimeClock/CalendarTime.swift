// SPDX-License-Identifier: Apache-2.0

/// A date and time of day of the proleptic Gregorian calendar, without a time zone.
public struct CalendarTime: Equatable, Sendable {
    /// The year of the Gregorian calendar.
    public var year: Int
    /// 1...12.
    public var month: Int
    /// 1...31.
    public var day: Int
    /// 0...23.
    public var hour: Int
    /// 0...59.
    public var minute: Int
    /// 0...59.
    public var second: Int

    /// From seconds since 1970-01-01.
    public init(secondsSinceEpoch seconds: Int64) {
        let bounded = min(max(seconds, -(1 << 40)), 1 << 40)
        let days = Int(bounded >= 0 ? bounded / 86_400 : (bounded - 86_399) / 86_400)
        let rest = Int(bounded) - days * 86_400
        hour = rest / 3600
        minute = rest / 60 % 60
        second = rest % 60
        // Years begin in March, so that the leap day is the last of its year; eras are of 400 years.
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }

    /// From fields of any value; those out of range carry into the next larger one.
    public init(year: Int, month: Int, day: Int, hour: Int, minute: Int, second: Int) {
        (self.year, self.month, self.day) = (year, month, day)
        (self.hour, self.minute, self.second) = (hour, minute, second)
    }

    /// Seconds since 1970-01-01. Fields must be small (what a clock chip can hold).
    public var secondsSinceEpoch: Int64 {
        let carried = month - 1
        let monthIndex = ((carried % 12) + 12) % 12
        let fullYear = year + (carried - monthIndex) / 12
        let shiftedYear = monthIndex < 2 ? fullYear - 1 : fullYear
        let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
        let yearOfEra = shiftedYear - era * 400
        let shiftedMonth = (monthIndex + 10) % 12
        let dayOfYear = (153 * shiftedMonth + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        let days = era * 146_097 + dayOfEra - 719_468
        return Int64(days) * 86_400 + Int64(hour * 3600 + minute * 60 + second)
    }

    /// 1 for Sunday ... 7 for Saturday, as clock chips count.
    public var weekday: Int {
        let days = (secondsSinceEpoch - (secondsSinceEpoch % 86_400 + 86_400) % 86_400) / 86_400
        return Int(((days + 4) % 7 + 7) % 7) + 1
    }
}
