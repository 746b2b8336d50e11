// SPDX-License-Identifier: Apache-2.0

/// Finds what a mistyped word was meant to be.
public enum Suggestion {
    private static let longest = 64

    /// The word nearest to `text`, if it is near enough to be a typing error.
    public static func nearest(to text: String, among words: [String]) -> String? {
        let lower = text.lowercased()
        guard !lower.isEmpty, lower.utf8.count <= longest else { return nil }
        let allowed = max(1, min(3, lower.utf8.count / 3))
        var best: (word: String, distance: Int)?
        for word in words {
            let candidate = word.lowercased()
            guard abs(candidate.utf8.count - lower.utf8.count) <= allowed else { continue }
            let distance = distance(lower, candidate)
            if distance <= allowed, distance < best?.distance ?? .max { best = (word, distance) }
        }
        // A word that the text begins or completes is what was meant, however much is missing.
        let prefixed = words.filter { $0.lowercased().hasPrefix(lower) }
        return best?.word ?? (lower.utf8.count >= 3 ? prefixed.min { $0.utf8.count < $1.utf8.count } : nil)
    }

    /// "did you mean 'x'?", or "choose one of a, b, c" where nothing is near and there are few words, or nothing.
    public static func sentence(for text: String, among words: [String]) -> String {
        if let word = nearest(to: text, among: words) { return "did you mean '\(word)'?" }
        return (1...12).contains(words.count) ? "use \(words.joined(separator: ", "))" : ""
    }

    /// Insertions, deletions, replacements and swaps of neighbours that turn one text into the other.
    static func distance(_ left: String, _ right: String) -> Int {
        let left = Array(left.utf8), right = Array(right.utf8)
        var older: [Int] = []
        var previous = Array(0...right.count)
        for (row, byte) in left.enumerated() {
            var current = [row + 1]
            for (column, other) in right.enumerated() {
                var cost = min(
                    previous[column] + (byte == other ? 0 : 1), previous[column + 1] + 1, current[column] + 1)
                if row > 0, column > 0, byte == right[column - 1], left[row - 1] == other {
                    cost = min(cost, older[column - 1] + 1)
                }
                current.append(cost)
            }
            older = previous
            previous = current
        }
        return previous[right.count]
    }
}
