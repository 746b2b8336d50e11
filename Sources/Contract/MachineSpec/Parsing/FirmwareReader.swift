// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
internal import Diagnostics

/// Reads -fw_cfg, -smbios, -boot, -rtc, -action and -sandbox.
enum FirmwareReader {
    /// The address of -incoming, whose kind must be one that there is.
    static func incoming(_ text: String) throws(UserError) -> String {
        let kinds = ["tcp", "unix", "exec", "fd", "file"]
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard text == "defer" || parts.count == 2 && kinds.contains(String(parts[0])) else {
            throw UserError(
                "unknown migration protocol: \(text)", remedy: "write tcp:, unix:, exec:, fd: or file:, or defer")
        }
        return text
    }

    private static let longestName = 55

    static func entry(_ options: OptionList) throws(UserError) -> FirmwareSpec.Entry {
        var list = options
        let name = list.take("name"), file = list.take("file"), text = list.take("string")
        try list.finish()
        guard let name, !name.isEmpty, (file == nil) != (text == nil) else {
            throw UserError("name, plus exactly one of file and string, are needed")
        }
        guard name.utf8.count <= longestName else {
            throw UserError("name too long", because: "max. \(longestName) char")
        }
        if let file { return FirmwareSpec.Entry(name: name, content: .file(file)) }
        return FirmwareSpec.Entry(name: name, content: .text(text ?? ""))
    }

    /// Fields by table type, in QEMU's spelling.
    private static let fields: [Int: [String]] = [
        0: ["vendor", "version", "date", "release", "uefi"],
        1: ["manufacturer", "product", "version", "serial", "uuid", "sku", "family"],
        2: ["manufacturer", "product", "version", "serial", "asset", "location"],
        3: ["manufacturer", "version", "serial", "asset", "sku"],
        4: [
            "sock_pfx", "manufacturer", "version", "serial", "asset", "part", "max-speed", "current-speed",
            "processor-id",
        ],
        17: ["loc_pfx", "bank", "manufacturer", "serial", "asset", "part", "speed"],
    ]
    /// Fields that hold numbers, and the largest.
    private static let numbers: [String: Int] = [
        "max-speed": 0xFFFF, "current-speed": 0xFFFF, "processor-id": Int.max, "speed": 0xFFFF,
    ]

    static func smbios(_ options: OptionList, into firmware: inout FirmwareSpec) throws(UserError) {
        var list = options
        try list.refuse("file", except: [], because: "give the fields with type=N")
        guard let type = list.take("type").flatMap({ Int($0) }) else { throw UserError("Parameter 'type' is missing") }
        if type == 11 {
            firmware.oemStrings += list.takeAll("value")
            try list.refuse("path", except: [], because: "give the text with value=")
            return try list.finish()
        }
        guard let known = fields[type] else {
            throw UserError(
                "Don't know how to build fields for SMBIOS type \(type)", remedy: "use 0, 1, 2, 3, 4, 11 or 17")
        }
        for field in known {
            guard let value = list.take(field) else { continue }
            if let most = numbers[field] { _ = try OptionValue.integer(value, for: field, in: 0...most) }
            if field == "uefi" { _ = try OptionValue.bool(value, for: field) }
            if field == "release" { try checkRelease(value) }
            firmware.smbios[type, default: [:]][field] = value
        }
        try list.finish()
        if let uuid = firmware.smbios[1]?["uuid"], GuestUUID(uuid) == nil { throw UserError("Invalid UUID") }
    }

    /// `major.minor` of type 0, a byte each.
    private static func checkRelease(_ text: String) throws(UserError) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ UInt8($0) != nil }) else { throw UserError("Invalid release") }
    }

    static func sandbox(_ options: OptionList) throws(UserError) -> SandboxSpec? {
        var list = options
        let isOn = try list.takeBool("enable") ?? true
        var sandbox = SandboxSpec()
        func denies(_ key: String, _ words: [String] = []) throws(UserError) -> Bool? {
            guard let text = list.take(key) else { return nil }
            guard ["allow", "deny"].contains(text) || words.contains(text) else {
                throw UserError("invalid argument for \(key)", remedy: "use allow or deny")
            }
            return text != "allow"
        }
        sandbox.allowsObsolete = try denies("obsolete") == false
        sandbox.deniesPrivileges = try denies("elevateprivileges", ["children"]) ?? false
        sandbox.deniesSpawning = try denies("spawn") ?? false
        sandbox.deniesResourceControl = try denies("resourcecontrol") ?? false
        try list.finish()
        return isOn ? sandbox : nil
    }

    static func boot(_ options: OptionList, into boot: inout BootSpec) throws(UserError) {
        var list = options
        boot.order = try order(list.take("order"))
        boot.once = try order(list.take("once"))
        boot.menu = try list.takeBool("menu") ?? false
        boot.isStrict = try list.takeBool("strict") ?? false
        boot.splash = list.take("splash")
        boot.splashTime = try list.takeInteger("splash-time", in: 0...0xFFFF)
        boot.rebootTimeout = try list.takeInteger("reboot-timeout", in: -1...0xFFFF)
        try list.finish()
    }

    private static func order(_ text: String?) throws(UserError) -> String? {
        guard let text else { return nil }
        var seen: Set<Character> = []
        for letter in text {
            guard ("a"..."p").contains(letter) else { throw UserError("Invalid boot device '\(letter)'") }
            guard seen.insert(letter).inserted else { throw UserError("Boot device '\(letter)' was given twice") }
        }
        return text
    }

    static func clock(_ options: OptionList) throws(UserError) -> ClockSpec {
        var list = options
        var clock = ClockSpec()
        switch list.take("base") {
        case nil, "utc": break
        case "localtime": clock.base = .localTime
        case let text?:
            guard let start = CalendarTime.seconds(text) else {
                throw UserError(
                    "invalid datetime format", because: "'\(text)'",
                    remedy: "valid formats: '2006-06-17T16:01:21' or '2006-06-17'")
            }
            clock.base = .start(start)
        }
        if let text = list.take("clock") {
            guard let source = ClockSpec.Source(rawValue: text) else {
                throw UserError("invalid option value '\(text)'", remedy: "use clock=host, rt or vm")
            }
            clock.source = source
        }
        switch list.take("driftfix") {
        case nil, "none": break
        case "slew": clock.catchesUp = true
        case let text?: throw UserError("invalid option value '\(text)'", remedy: "use driftfix=none or slew")
        }
        try list.finish()
        return clock
    }

    static func actions(_ options: OptionList, into lifecycle: inout LifecycleSpec) throws(UserError) {
        var list = options
        if let text = list.take("reboot") {
            guard ["reset", "shutdown"].contains(text) else {
                throw OptionValue.refusal(of: text, for: "reboot", among: ["reset", "shutdown"])
            }
            lifecycle.resetShutsDown = text == "shutdown"
        }
        if let text = list.take("shutdown") {
            guard ["poweroff", "pause"].contains(text) else {
                throw OptionValue.refusal(of: text, for: "shutdown", among: ["poweroff", "pause"])
            }
            lifecycle.shutdownPauses = text == "pause"
        }
        if let text = list.take("panic") {
            guard let action = LifecycleSpec.PanicAction(rawValue: text) else {
                throw OptionValue.refusal(
                    of: text, for: "panic", among: ["pause", "shutdown", "exit-failure", "none"])
            }
            lifecycle.panic = action
        }
        try list.refuse("watchdog", except: [], because: "there is no watchdog")
        try list.finish()
    }
}

/// Dates of the Gregorian calendar as -rtc takes them.
enum CalendarTime {
    /// `YYYY-MM-DD` or `YYYY-MM-DDTHH:MM:SS` in UTC, as seconds since 1970; nil for anything else.
    static func seconds(_ text: String) -> Int64? {
        let halves = text.split(separator: "T", omittingEmptySubsequences: false)
        guard (1...2).contains(halves.count), let date = numbers(halves[0], "-"), date.count == 3 else { return nil }
        var time = [0, 0, 0]
        if halves.count == 2 {
            guard let given = numbers(halves[1], ":"), given.count == 3 else { return nil }
            time = given
        }
        let (year, month, day) = (date[0], date[1], date[2])
        guard (1970...2200).contains(year), (1...12).contains(month), day >= 1, day <= days(month, year),
            time[0] < 24, time[1] < 60, time[2] < 60
        else { return nil }
        var total = day - 1
        for earlier in 1970..<year { total += isLeap(earlier) ? 366 : 365 }
        for earlier in 1..<month { total += days(earlier, year) }
        return Int64(total * 86400 + time[0] * 3600 + time[1] * 60 + time[2])
    }

    private static func numbers(_ text: Substring, _ separator: Character) -> [Int]? {
        let parts = text.split(separator: separator, omittingEmptySubsequences: false)
        let numbers = parts.compactMap { part in
            part.utf8.count <= 4 && part.allSatisfy({ ("0"..."9").contains($0) }) ? Int(part) : nil
        }
        return numbers.count == parts.count ? numbers : nil
    }

    private static func isLeap(_ year: Int) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }

    private static func days(_ month: Int, _ year: Int) -> Int {
        switch month {
        case 2: isLeap(year) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }
}
