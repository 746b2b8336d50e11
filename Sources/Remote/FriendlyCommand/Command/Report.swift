// SPDX-License-Identifier: Apache-2.0

package import HostSystem
package import JSONCoding

/// A list of things, shown as a table or as JSON.
package struct Report {
    /// A column: its title, the name of its member in JSON, and whether it is set flush right.
    package struct Column {
        /// The table's heading, in capitals.
        package let title: String
        /// The member's name in JSON.
        package let key: String
        /// Set flush right in the table.
        package let isNumber: Bool

        /// A column; flush left unless it is of numbers.
        package init(title: String, key: String, isNumber: Bool = false) {
            self.title = title
            self.key = key
            self.isNumber = isNumber
        }
    }
    /// What a row says in one column: the value, and the text where that is not the value itself.
    package struct Cell {
        /// What JSON shows.
        package let value: JSONValue
        /// What the table shows.
        package let text: String

        /// A value that people read in another form.
        package init(_ value: JSONValue, text: String) {
            self.value = value
            self.text = text
        }
        /// A text; nil is `null` in JSON and a dash in the table.
        package init(_ text: String?) {
            value = text.map { .string($0) } ?? .null
            self.text = text ?? "-"
        }
        /// A number, the same in both forms.
        package init(_ number: Int) { self.init(JSONValue(number), text: String(number)) }
        /// True and false in JSON, yes and no in the table.
        package init(_ truth: Bool) { self.init(.bool(truth), text: truth ? "yes" : "no") }
        /// An amount of bytes.
        package init(bytes: UInt64) { self.init(JSONValue(bytes), text: ByteAmount.text(bytes)) }
    }

    /// In the order of the table.
    package let columns: [Column]
    /// Each with as many cells as there are columns.
    package var rows: [[Cell]] = []

    /// A report without rows yet.
    package init(_ columns: [Column]) { self.columns = columns }

    /// The rows as JSON objects.
    package var json: JSONValue {
        .array(rows.map { row in .object(JSONObject(zip(columns, row).map { ($0.key, $1.value) })) })
    }

    /// The rows under their titles, columns aligned.
    package var table: String {
        let lines = [columns.map(\.title)] + rows.map { $0.map(\.text) }
        let widths = columns.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
        return lines.map { line in
            var text = ""
            for (column, cell) in line.enumerated() {
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                text += columns[column].isNumber ? padding + cell : cell + padding
                text += "  "
            }
            while text.last == " " { text.removeLast() }
            return text + "\n"
        }.joined()
    }
}

/// What goes to standard output.
package enum Output {
    /// All of it, as it is; throws where standard output is closed or full.
    package static func write(_ text: String) throws(Errno) {
        try FileDescriptor.writeAll(Array(text.utf8), to: 1)
    }

    /// A report in the form that was asked for.
    package static func write(_ report: Report, _ settings: GlobalSettings) throws(Errno) {
        try write(settings.json ? report.json.printed(pretty: true) + "\n" : report.table)
    }

    /// One sentence for people; nothing with --json.
    package static func say(_ text: String, _ settings: GlobalSettings) throws(Errno) {
        if !settings.json { try write(text + "\n") }
    }
}
