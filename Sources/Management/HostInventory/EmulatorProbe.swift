// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostProcesses
public import HostSystem

extension EmulatorFacts {
    /// Asks an emulator what it has, by its `help` listings.
    /// - Throws: the host's error when the program cannot be run.
    public init(probing path: String) throws(Errno) {
        func ask(_ arguments: String...) throws(Errno) -> [Substring] {
            try ChildProcess.run(path, arguments, environment: ["PATH=/usr/bin:/bin", "LC_ALL=C"]).output
                .split(separator: "\n")
        }
        self.path = path
        version = Self.version(try ask("--version").first ?? "")
        machines = Self.machines(try ask("-machine", "help"))
        processorModels = try ask("-cpu", "help").compactMap { line in
            let words = line.split(separator: " ")
            return words.count >= 2 && words[0] == "x86" ? String(words[1]) : nil
        }
        devices = Set(try ask("-device", "help").flatMap(Self.names))
        let options = try ask("-help")
        hasSandbox = options.contains { $0.hasPrefix("-sandbox") }
        hasSpice = options.contains { $0.hasPrefix("-spice") }
        // A nested KVM without hardware below it runs no operating system. access copies the paths.
        hasKVM = unsafe access("/dev/kvm", R_OK | W_OK) == 0 && access("/sys/module/kvm_pvm", F_OK) != 0
    }

    /// The name and the alias in a line of the list of devices: `name "ich9-ahci", bus PCI, alias "ahci"`.
    package static func names(_ line: Substring) -> [String] {
        let parts = line.split(separator: "\"", omittingEmptySubsequences: false)
        guard parts.count >= 3, parts[0] == "name " else { return [] }
        let alias = parts.indices.dropLast().first { parts[$0].hasSuffix("alias ") }.map { String(parts[$0 + 1]) }
        return [String(parts[1])] + (alias.map { [$0] } ?? [])
    }

    private static func version(_ line: Substring) -> UInt64 {
        let numbers =
            line.split(separator: " ").first { $0.first?.isNumber == true }?
            .split(separator: ".").compactMap { UInt64($0) } ?? []
        guard numbers.count == 3 else { return 0 }
        return numbers[0] &* 1_000_000 &+ numbers[1] &* 1000 &+ numbers[2]
    }

    private static func machines(_ lines: [Substring]) -> [Machine] {
        let found: [Machine] = lines.dropFirst().compactMap { line in
            guard let name = line.split(separator: " ").first else { return nil }
            let alias = "(alias of "
            var canonical: String?
            if let start = line.range(of: alias) { canonical = String(line[start...].prefix { $0 != ")" }) }
            return Machine(
                name: String(name), canonical: canonical, maximumProcessors: name.contains("q35") ? 288 : 255)
        }
        // Clients take the first one for what they know nothing of: it is the emulator's own choice, then its short name.
        let chosen = lines.first { $0.contains("(default)") }?.split(separator: " ").first.map(String.init)
        func rank(_ machine: Machine) -> Int { machine.name == chosen ? 0 : machine.canonical == chosen ? 1 : 2 }
        return found.filter { $0.name != "none" }.enumerated().sorted {
            (rank($0.element), $0.offset) < (rank($1.element), $1.offset)
        }.map(\.element)
    }
}

extension Substring {
    /// The place behind the first occurrence of `part`.
    fileprivate func range(of part: String) -> Index? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(part) { return index(start, offsetBy: part.count) }
            start = index(after: start)
        }
        return nil
    }
}
