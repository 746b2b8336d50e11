// SPDX-License-Identifier: Apache-2.0

/// A file that is handed to a multiboot kernel with a line of text.
struct MultibootModule {
    let file: BootFile
    /// The file's name and arguments as they were typed.
    let text: String

    /// Reads "file arguments,file2 arguments"; a comma inside is doubled.
    static func parse(_ request: BootRequest) throws(BootError) -> [MultibootModule] {
        if let file = request.initrdFile { return [MultibootModule(file: file, text: request.initrd ?? file.name)] }
        guard let typed = request.initrd else { return [] }
        var modules: [MultibootModule] = []
        for text in split(typed) {
            let path = String(text.prefix { $0 != " " })
            guard !path.isEmpty else { throw BootError("-initrd '\(typed)' names an empty file") }
            modules.append(MultibootModule(file: try BootFile(path: path), text: text))
        }
        return modules
    }

    /// Parts between single commas, with doubled ones put right.
    static func split(_ text: String) -> [String] {
        var parts = [""]
        var pendingComma = false
        for character in text {
            if pendingComma {
                pendingComma = false
                if character == "," {
                    parts[parts.count - 1].append(",")
                    continue
                }
                parts.append("")
            }
            if character == "," { pendingComma = true } else { parts[parts.count - 1].append(character) }
        }
        return parts
    }
}

/// Hands out memory after the kernel for what a multiboot kernel is told.
struct MultibootArea {
    private var next: UInt64
    private let end: UInt64
    private let name: String
    /// Texts with their end marks and where they go.
    private(set) var texts: [(address: UInt64, bytes: [UInt8])] = []

    /// Memory from the first whole page after the kernel.
    init(start: UInt64, end: UInt64, name: String) {
        next = (start &+ 4095) & ~4095
        self.end = end
        self.name = name
    }

    /// Room for a text and its end mark.
    mutating func reserve(text: String) throws(BootError) -> UInt64 {
        let bytes = Array(text.utf8) + [0]
        let address = try reserve(count: UInt64(bytes.count), alignment: 1)
        texts.append((address, bytes))
        return address
    }

    /// Room for `count` bytes.
    mutating func reserve(count: UInt64, alignment: UInt64) throws(BootError) -> UInt64 {
        let address = (next + alignment - 1) & ~(alignment - 1)
        guard address <= end, count <= end - address else {
            throw BootError(
                "no room for \(mebibytes(count)) of modules after '\(name)': memory ends at \(mebibytes(end)); give the "
                    + "machine more with -m")
        }
        next = address + count
        return address
    }
}
