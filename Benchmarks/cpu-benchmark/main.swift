// SPDX-License-Identifier: Apache-2.0

// Runs a flat binary of 64-bit code on the software CPU and prints its speed: cpu-benchmark FILE [MILLIONS]. The code is
// loaded and entered at 1 MiB with a stack below; it ends with HLT or after MILLIONS of instructions.

internal import CPUInterface
internal import Glibc
internal import GuestMemory
internal import HostSystem
internal import MachineModel
internal import X86CPU
internal import X86Translator

/// A fatal error of the command line.
func fail(_ text: String) -> Never {
    var bytes = Array("cpu-benchmark: \(text)\n".utf8)
    // The array holds `count` bytes during the call.
    _ = unsafe write(STDERR_FILENO, &bytes, bytes.count)
    exit(1)
}

func fileBytes(_ path: String) -> [UInt8] {
    // Closed below; the mode and path are valid C strings during the call.
    guard let file = unsafe fopen(path, "rb") else { fail("cannot open \(path)") }
    defer { unsafe fclose(file) }
    var bytes: [UInt8] = []
    while case let byte = unsafe fgetc(file), byte != EOF { bytes.append(UInt8(truncatingIfNeeded: byte)) }
    return bytes
}

func seconds() -> Double {
    var time = timespec()
    // `time` is a valid place for the result.
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

let arguments = CommandLine.arguments
guard arguments.count >= 2 else { fail("usage: cpu-benchmark FILE [MILLIONS]") }
let entry: UInt64 = 1 << 20
let memory = GuestMemory()
try memory.addRegion(name: "ram", start: 0, count: 64 << 20)
try memory.write(fileBytes(arguments[1]), at: entry)
let lock = Lock()
let environment = try SoftCPU.Environment(
    memory: memory, ports: AddressSpace(machineLock: lock), devices: AddressSpace(machineLock: lock),
    model: CPUModel(named: "max", capabilities: SoftCPU.capabilities()))
let cpu = try SoftCPU(index: 0, environment: environment)
cpu.setFlatMode(bits: 64)
cpu.instructionPointer = entry
cpu[general: 4] = entry
if arguments.count > 3, arguments[3] == "jit" { try Translator.install(on: cpu, cacheBytes: 64 << 20) }
let limit = UInt64(arguments.count > 2 ? arguments[2] : "1000") ?? 1000
let start = seconds()
let stop = cpu.execute(limit: limit * 1_000_000)
let elapsed = seconds() - start
let millions = Double(cpu.retiredCount) / 1e6
print("\(stop) rax=\(cpu[general: 0]) \(millions) M instructions in \(elapsed) s: \(millions / elapsed) M/s")
