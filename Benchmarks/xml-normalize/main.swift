// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import ManagementModel
internal import ManagementXML

// xml-normalize IN OUT [IN OUT]...: completes machines' documents.
func read(_ path: String) -> String? {
    // The stream is closed before the text is used.
    guard let file = unsafe fopen(path, "r") else { return nil }
    defer { unsafe fclose(file) }
    var bytes: [UInt8] = []
    while case let c = unsafe fgetc(file), c >= 0 { bytes.append(UInt8(truncatingIfNeeded: c)) }
    return String(decoding: bytes, as: UTF8.self)
}
func write(_ path: String, _ text: String) {
    guard let file = unsafe fopen(path, "w") else { return }
    unsafe fputs(text, file)
    unsafe fclose(file)
}
let raw = CommandLine.arguments.contains("--raw")
let context = DomainContext(
    emulator: { arch in
        arch == "i686" ? "/usr/bin/qemu-system-i386" : arch == "x86_64" ? "/usr/bin/qemu-system-x86_64" : nil
    },
    canonicalMachine: { name, _ in raw ? name : name == "pc" ? "pc-i440fx-7.2" : name == "q35" ? "pc-q35-7.2" : name })
var rest = CommandLine.arguments.dropFirst().filter { $0 != "--raw" }[...]
while let input = rest.popFirst(), let output = rest.popFirst() {
    guard let text = read(input) else { continue }
    do { write(output, try DomainDefinition(parsing: text, context).printed()) } catch {
        write(output, "ERROR \(error)\n")
    }
}
