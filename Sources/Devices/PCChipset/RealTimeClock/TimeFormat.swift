// SPDX-License-Identifier: Apache-2.0

/// How register B says that time is written: BCD or binary, 12 or 24 hours.
struct TimeFormat {
    private typealias Register = RealTimeClock.Register
    let isBinary: Bool
    let is24Hours: Bool

    init(registerB: UInt8) {
        isBinary = registerB & RealTimeClock.Bits.binary != 0
        is24Hours = registerB & RealTimeClock.Bits.hours24 != 0
    }

    func encode(_ value: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: isBinary ? value : (value / 10 % 10) << 4 | value % 10)
    }

    func decode(_ byte: UInt8) -> Int {
        isBinary ? Int(byte) : Int(byte >> 4) * 10 + Int(byte & 0xF)
    }

    func encodeHour(_ hour: Int) -> UInt8 {
        guard !is24Hours else { return encode(hour) }
        let onDial = hour % 12 == 0 ? 12 : hour % 12
        return encode(onDial) | (hour >= 12 ? 0x80 : 0)
    }

    func decodeHour(_ byte: UInt8) -> Int {
        guard !is24Hours else { return decode(byte) }
        return decode(byte & 0x7F) % 12 + (byte & 0x80 != 0 ? 12 : 0)
    }

    func store(_ time: CalendarTime, in memory: inout [UInt8]) {
        memory[Register.seconds] = encode(time.second)
        memory[Register.minutes] = encode(time.minute)
        memory[Register.hours] = encodeHour(time.hour)
        memory[Register.weekday] = encode(time.weekday)
        memory[Register.day] = encode(time.day)
        memory[Register.month] = encode(time.month)
        memory[Register.year] = encode(time.year % 100)
        memory[Register.century] = encode(time.year / 100)
        memory[Register.centuryCopy] = memory[Register.century]
    }

    func load(from memory: [UInt8]) -> CalendarTime {
        CalendarTime(
            year: decode(memory[Register.century]) * 100 + decode(memory[Register.year]),
            month: decode(memory[Register.month]), day: decode(memory[Register.day]),
            hour: decodeHour(memory[Register.hours]), minute: decode(memory[Register.minutes]),
            second: decode(memory[Register.seconds]))
    }
}

/// The three alarm registers; a value from 0xC0 up matches everything.
struct AlarmPattern {
    private let hour: Int?
    private let minute: Int?
    private let second: Int?

    init(memory: [UInt8], format: TimeFormat) {
        func field(_ place: Int, _ decode: (UInt8) -> Int) -> Int? {
            memory[place] & 0xC0 == 0xC0 ? nil : decode(memory[place])
        }
        hour = field(RealTimeClock.Register.hoursAlarm, format.decodeHour)
        minute = field(RealTimeClock.Register.minutesAlarm, format.decode)
        second = field(RealTimeClock.Register.secondsAlarm, format.decode)
    }

    /// The first second after `moment` that matches; nil for a pattern that no time has.
    func next(after moment: Int64) -> Int64? {
        guard hour.map({ $0 < 24 }) ?? true, minute.map({ $0 < 60 }) ?? true, second.map({ $0 < 60 }) ?? true else {
            return nil
        }
        var candidate = moment &+ 1
        // Each step reaches the next boundary of the coarsest unit that does not match, so a day takes under 150 steps.
        for _ in 0..<256 {
            let ofDay = Int((candidate % 86_400 + 86_400) % 86_400)
            if let hour, ofDay / 3600 != hour {
                candidate += Int64(3600 - ofDay % 3600)
            } else if let minute, ofDay / 60 % 60 != minute {
                candidate += Int64(60 - ofDay % 60)
            } else if let second, ofDay % 60 != second {
                candidate += 1
            } else {
                return candidate
            }
        }
        return nil
    }
}
