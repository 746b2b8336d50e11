// SPDX-License-Identifier: Apache-2.0

/// Edits one line on a terminal: cursor keys, deletion, history, completion of the first word.
struct LineEditor {
    /// What a byte led to.
    enum Outcome: Equatable {
        case none
        /// The line is complete.
        case line(String)
    }

    private var line: [UInt8] = []
    private var cursor = 0
    private var history: [[UInt8]] = []
    private var historyPlace = 0
    private var escape: [UInt8] = []
    private static let longestLine = 4096
    private static let historyLimit = 64
    /// What was typed before, the oldest first.
    var earlierLines: [String] { history.map { String(decoding: $0, as: UTF8.self) } }
    let prompt: String
    /// Words that Tab completes.
    let words: [String]

    init(prompt: String, words: [String]) {
        self.prompt = prompt
        self.words = words
    }

    /// Takes one byte from the terminal.
    /// - Parameter echo: bytes to show.
    mutating func take(_ byte: UInt8, echo: inout [UInt8]) -> Outcome {
        if !escape.isEmpty {
            takeEscape(byte, &echo)
            return .none
        }
        switch byte {
        case 0x0A, 0x0D: return finish(&echo)
        case 0x1B: escape = [byte]
        case 0x7F, 0x08: deleteBackwards(&echo)
        case 0x01: moveTo(0, &echo)
        case 0x05: moveTo(line.count, &echo)
        case 0x02: moveTo(cursor - 1, &echo)
        case 0x06: moveTo(cursor + 1, &echo)
        case 0x04: deleteForwards(&echo)
        case 0x0B: replace(with: Array(line.prefix(cursor)), &echo)
        case 0x15: replace(with: Array(line.dropFirst(cursor)), &echo)
        case 0x17: deleteWord(&echo)
        case 0x10: recall(-1, &echo)
        case 0x0E: recall(1, &echo)
        case 0x09: complete(&echo)
        case 0x20...0x7E, 0x80...: insert(byte, &echo)
        default: break
        }
        return .none
    }

    /// The prompt with what was typed so far.
    var shown: [UInt8] { Array(prompt.utf8) + line }

    /// Forgets the line, for a new connection.
    mutating func reset() {
        line = []
        cursor = 0
        escape = []
    }

    private mutating func finish(_ echo: inout [UInt8]) -> Outcome {
        echo += [0x0D, 0x0A]
        if !line.isEmpty, history.last != line {
            history.append(line)
            if history.count > Self.historyLimit { history.removeFirst() }
        }
        historyPlace = history.count
        defer { reset() }
        return .line(String(decoding: line, as: UTF8.self))
    }

    private mutating func takeEscape(_ byte: UInt8, _ echo: inout [UInt8]) {
        escape.append(byte)
        if escape.count == 2 {
            if byte != UInt8(ascii: "[") && byte != UInt8(ascii: "O") { escape = [] }
            return
        }
        // A sequence ends with a letter or ~; numbers may stand before it.
        let isFinal = (0x40...0x7E).contains(byte)
        guard isFinal || escape.count > 8 else { return }
        let parameter = escape.count > 3 ? escape[2] : 0
        escape = []
        switch (byte, parameter) {
        case (UInt8(ascii: "A"), _): recall(-1, &echo)
        case (UInt8(ascii: "B"), _): recall(1, &echo)
        case (UInt8(ascii: "C"), _): moveTo(cursor + 1, &echo)
        case (UInt8(ascii: "D"), _): moveTo(cursor - 1, &echo)
        case (UInt8(ascii: "H"), _), (UInt8(ascii: "~"), UInt8(ascii: "1")): moveTo(0, &echo)
        case (UInt8(ascii: "F"), _), (UInt8(ascii: "~"), UInt8(ascii: "4")): moveTo(line.count, &echo)
        case (UInt8(ascii: "~"), UInt8(ascii: "3")): deleteForwards(&echo)
        default: break
        }
    }

    private mutating func insert(_ byte: UInt8, _ echo: inout [UInt8]) {
        guard line.count < Self.longestLine else { return }
        line.insert(byte, at: cursor)
        cursor += 1
        echo += line[(cursor - 1)...]
        back(line.count - cursor, &echo)
    }

    private func back(_ count: Int, _ echo: inout [UInt8]) {
        if count > 0 { echo += Array("\u{1B}[\(count)D".utf8) }
    }

    private mutating func moveTo(_ place: Int, _ echo: inout [UInt8]) {
        let target = min(max(place, 0), line.count)
        if target < cursor { back(cursor - target, &echo) }
        if target > cursor { echo += Array("\u{1B}[\(target - cursor)C".utf8) }
        cursor = target
    }

    private mutating func replace(with text: [UInt8], _ echo: inout [UInt8]) {
        moveTo(0, &echo)
        echo += Array("\u{1B}[K".utf8) + text
        line = text
        cursor = text.count
    }

    private mutating func deleteBackwards(_ echo: inout [UInt8]) {
        guard cursor > 0 else { return }
        moveTo(cursor - 1, &echo)
        deleteForwards(&echo)
    }

    private mutating func deleteForwards(_ echo: inout [UInt8]) {
        guard cursor < line.count else { return }
        line.remove(at: cursor)
        echo += Array("\u{1B}[K".utf8) + line[cursor...]
        back(line.count - cursor, &echo)
    }

    private mutating func deleteWord(_ echo: inout [UInt8]) {
        while cursor > 0, line[cursor - 1] == 0x20 { deleteBackwards(&echo) }
        while cursor > 0, line[cursor - 1] != 0x20 { deleteBackwards(&echo) }
    }

    private mutating func recall(_ step: Int, _ echo: inout [UInt8]) {
        let place = min(max(historyPlace + step, 0), history.count)
        guard place != historyPlace else { return }
        historyPlace = place
        replace(with: place < history.count ? history[place] : [], &echo)
    }

    private mutating func complete(_ echo: inout [UInt8]) {
        let typed = String(decoding: line.prefix(cursor), as: UTF8.self)
        guard cursor == line.count, !typed.isEmpty else { return }
        let matching = words.filter { $0.hasPrefix(typed) }
        guard let first = matching.first else { return }
        var common = first
        for word in matching { while !word.hasPrefix(common) { common.removeLast() } }
        if matching.count == 1 { common += " " }
        if common.utf8.count > typed.utf8.count {
            for byte in common.utf8.dropFirst(typed.utf8.count) { insert(byte, &echo) }
        } else {
            echo += Array(("\r\n" + matching.joined(separator: " ") + "\r\n").utf8) + shown
        }
    }
}
