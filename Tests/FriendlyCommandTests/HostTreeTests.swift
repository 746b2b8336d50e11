// SPDX-License-Identifier: Apache-2.0

import FriendlyCommand
import RandomKit
import StorageTestKit
import Testing

/// Hosts made of a few files.
@Suite("Looking at hosts of all sorts")
struct HostTreeTests {
    private func findings(_ files: [String: String]) -> [String: HostCheck.Finding] {
        let folder = Folder()
        for (path, text) in files {
            let full = folder.path + path
            let parent = full.split(separator: "/").dropLast().map { "/" + $0 }.joined()
            _ = run("mkdir -p '\(parent)' && printf '%s\\n' '\(text)' > '\(full)'")
        }
        let list = HostCheck(root: folder.path).findings()
        _ = run("rm -rf '\(folder.path)'/*")
        return Dictionary(list.map { ($0.check, $0) }) { first, _ in first }
    }

    @Test(
        "the processor's virtualization has its maker's name",
        arguments: [
            ("flags : fpu vmx sse", true, "the processor has VT-x"),
            ("flags : fpu svm", true, "the processor has AMD-V"),
            ("flags : fpu vmxx", false, "the processor shows neither VT-x nor AMD-V"),
            ("model name : vmx", false, "the processor shows neither VT-x nor AMD-V"),
        ])
    func processor(line: String, isFine: Bool, words: String) {
        let finding = findings(["/proc/cpuinfo": "processor : 0\n\(line)\n"])["hardware virtualization"]
        #expect((finding?.result == .fine) == isFine && finding?.found == words)
        #expect(finding?.remedy.isEmpty == isFine)
    }

    @Test("a guest is told to ask for nesting, a machine of its own to look at its setup")
    func surroundings() {
        let guest = findings([
            "/proc/cpuinfo": "flags : hypervisor", "/sys/class/dmi/id/sys_vendor": "QEMU",
            "/sys/class/dmi/id/product_name": "Standard PC", "/run/.containerenv": "",
        ])
        #expect(guest["this host"]?.found == "a container in a virtual machine (QEMU Standard PC)")
        #expect(guest["hardware virtualization"]?.remedy.contains("nested virtualization") == true)
        let bare = findings(["/proc/cpuinfo": "flags : fpu"])
        #expect(bare["this host"]?.found == "a machine of its own")
        #expect(bare["hardware virtualization"]?.remedy.contains("setup") == true)
    }

    @Test("KVM that is there and may be used")
    func kvm() {
        let host = findings(["/dev/kvm": "", "/sys/module/kvm_amd/parameters/nested": "1"])
        #expect(host["KVM"]?.result == .fine && host["access to KVM"]?.result == .fine)
        #expect(host["nested guests"]?.result == .fine)
        #expect(findings(["/sys/module/kvm_intel/parameters/nested": "N"])["nested guests"]?.result == .warning)
        #expect(findings(["/sys/module/kvm_intel/parameters/nested": "Y"])["nested guests"]?.result == .fine)
        let other = findings(["/sys/module/kvm_pvm/version": "", "/dev/kvm": ""])
        #expect(other["KVM's hardware"]?.result == .warning && other["nested guests"] == nil)
    }

    @Test("what is around machines")
    func around() {
        let host = findings([
            "/dev/net/tun": "", "/sys/kernel/security/lsm": "capability,landlock,yama",
            "/sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
            "/usr/share/seabios/bios.bin": "", "/sys/fs/cgroup/cgroup.controllers": "cpuset cpu memory",
            "/sys/class/iommu/dmar0/x": "",
        ])
        for check in ["tap devices", "Landlock", "huge pages", "SeaBIOS", "cgroup cpu", "cgroup memory", "IOMMU"] {
            #expect(host[check]?.result == .fine, "\(check)")
        }
        for check in ["OVMF", "cgroup io"] { #expect(host[check]?.result == .warning, "\(check)") }
        let off = findings(["/sys/kernel/mm/transparent_hugepage/enabled": "always madvise [never]"])
        #expect(off["huge pages"]?.result == .warning && off["tap devices"]?.result == .failed)
        #expect(off["OVMF"]?.remedy == "apt install ovmf")
    }
}

@Suite("Amounts and progress")
struct AmountTests {
    @Test("what is written can be read again, to a twentieth")
    func amounts() throws {
        var random = SeededGenerator(seed: 1)
        for _ in 0..<2000 {
            let bytes = UInt64.random(in: 1..<(1 << 62), using: &random) >> UInt64.random(in: 0...61, using: &random)
            let text = ByteAmount.text(bytes)
            guard !text.hasSuffix(" B") else { continue }
            let back = try ByteAmount.parse(text.filter { $0 != " " }, option: "x")
            #expect(back <= bytes && bytes - back <= bytes / 10, "\(bytes): \(text)")
        }
    }

    @Test("any text is an amount or none")
    func anyText() {
        var random = SeededGenerator(seed: 2)
        let letters = Array("0123456789.kKMGTPiIbB-+exX ")
        for _ in 0..<5000 {
            let count = Int.random(in: 0...6, using: &random)
            let text = String((0..<count).map { _ in letters.randomElement(using: &random) ?? "0" })
            if let amount = try? ByteAmount.parse(text, option: "x") { #expect(amount < 1 << 62) }
        }
    }

    @Test("progress is shown at any pace")
    func progress() {
        var random = SeededGenerator(seed: 3)
        for _ in 0..<2000 {
            let total = UInt64.random(in: 0...UInt64.max, using: &random) >> UInt64.random(in: 0...63, using: &random)
            let done = UInt64.random(in: 0...UInt64.max, using: &random) >> UInt64.random(in: 0...63, using: &random)
            let seconds: Double = ([0, 1e-9, 0.3, 7, 1e9] as [Double]).randomElement(using: &random) ?? 0
            let line = Progress.line("x", done: done, total: total, seconds: seconds)
            #expect(line.hasPrefix("x [") && line.contains("] ") && line.contains(" %"))
            #expect(line.filter { $0 == "#" || $0 == "-" }.count == 30 || seconds < 1)
        }
    }
}
