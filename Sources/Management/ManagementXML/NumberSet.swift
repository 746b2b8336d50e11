// SPDX-License-Identifier: Apache-2.0

/// Numbers of processors or of memory nodes, as documents write them: `0-3,^2,8`.
struct NumberSet: Equatable {
    private(set) var numbers: Set<Int> = []

    /// Larger numbers mean nothing.
    private static let limit = 16384

    /// Reads a list; nil for one that means nothing.
    init?(_ text: String) {
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let item = String(part).trimmed
            if item.hasPrefix("^") {
                guard let number = Int(item.dropFirst()) else { return nil }
                numbers.remove(number)
                continue
            }
            let ends = item.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
            guard ends.count <= 2, let first = ends.first ?? nil, let last = ends.last ?? nil, first >= 0,
                first <= last,
                last < Self.limit
            else { return nil }
            numbers.formUnion(first...last)
        }
    }

    /// The shortest form, with ranges.
    var description: String {
        var parts: [String] = []
        var rest = numbers.sorted()[...]
        while let first = rest.popFirst() {
            var last = first
            while rest.first == last + 1 {
                last += 1
                rest.removeFirst()
            }
            parts.append(first == last ? "\(first)" : "\(first)-\(last)")
        }
        return parts.joined(separator: ",")
    }

    /// The text in its shortest form; one that means nothing as it is.
    static func normalized(_ text: String) -> String {
        NumberSet(text).map { $0.numbers.isEmpty ? text : $0.description } ?? text
    }
}
