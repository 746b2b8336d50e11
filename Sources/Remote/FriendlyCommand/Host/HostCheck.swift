// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem

/// What this host can virtualize: what virt-host-validate and virt-what say, and how to mend what is missing.
package struct HostCheck {
    /// The raw value is the word that people see.
    package enum Result: String { case fine = "ok", warning, failed }

    /// What one check found.
    package struct Finding {
        /// What was looked at, in a few words.
        package let check: String
        /// How it is.
        package let result: Result
        /// What is there, or what is missing.
        package let found: String
        /// What to do about it; empty where all is well.
        package let remedy: String

        /// A finding; a remedy for what is fine is dropped.
        package init(_ check: String, _ result: Result, _ found: String, remedy: String = "") {
            self.check = check
            self.result = result
            self.found = found
            self.remedy = result == .fine ? "" : remedy
        }
    }

    /// What files of the host say; tests give their own root.
    private let root: String

    /// The host's files below `root`, which is empty but in tests.
    package init(root: String = "") { self.root = root }

    private func text(_ path: String) -> String? { ProgramFiles.text(root + path) }
    private func exists(_ path: String) -> Bool { ProgramFiles.exists(root + path) }

    /// The processor's features, as Linux lists them.
    private var processorFlags: Set<Substring> {
        let line = text("/proc/cpuinfo")?.split(separator: "\n").first { $0.hasPrefix("flags") }
        return Set(line?.split(separator: ":").last?.split(separator: " ") ?? [])
    }

    /// All checks in the order in which they are shown; reads files, changes nothing.
    package func findings() -> [Finding] {
        [virtualization, kernelModule, nested, kvmAccess, surroundings, iommu]
            + [
                tun, bridges, dhcp, firewall, landlock, hugePages,
                firmware("SeaBIOS", "/usr/share/seabios/bios.bin", "seabios"),
            ]
            + [firmware("OVMF", "/usr/share/OVMF/OVMF_CODE_4M.fd", "ovmf")] + controllers
    }

    // MARK: The processor

    private var virtualization: Finding {
        let flags = processorFlags
        let kind = flags.contains("vmx") ? "VT-x" : flags.contains("svm") ? "AMD-V" : nil
        return Finding(
            "hardware virtualization", kind == nil ? .warning : .fine,
            kind.map { "the processor has \($0)" } ?? "the processor shows neither VT-x nor AMD-V",
            remedy: flags.contains("hypervisor")
                ? "ask for nested virtualization where this host is a guest; until then the software CPU is used"
                : "switch it on in the firmware's setup; until then the software CPU is used")
    }

    private var kernelModule: Finding {
        Finding(
            "KVM", exists("/dev/kvm") ? .fine : .warning,
            exists("/dev/kvm") ? "/dev/kvm is there" : "/dev/kvm is absent",
            remedy: "modprobe kvm_intel or kvm_amd; machines use the software CPU until then")
    }

    private var nested: Finding {
        if exists("/sys/module/kvm_pvm") {
            return Finding(
                "KVM's hardware", .warning, "KVM works without VT-x or AMD-V here (kvm_pvm)",
                remedy: "use the software CPU for operating systems: -accel tcg")
        }
        let on = ["/sys/module/kvm_intel/parameters/nested", "/sys/module/kvm_amd/parameters/nested"]
            .compactMap(text).contains { ["Y", "1"].contains($0) }
        return Finding(
            "nested guests", on ? .fine : .warning, on ? "guests can run KVM themselves" : "guests cannot run KVM",
            remedy: "load kvm_intel or kvm_amd with nested=1 if guests need it")
    }

    private var kvmAccess: Finding {
        // access copies the path.
        let isUsable = unsafe access(root + "/dev/kvm", R_OK | W_OK) == 0
        return Finding(
            "access to KVM", isUsable ? .fine : .warning,
            isUsable ? "you may use /dev/kvm" : "you may not use /dev/kvm",
            remedy: exists("/dev/kvm") ? "join the group kvm: sudo usermod -aG kvm $USER, then log in again" : "see KVM"
        )
    }

    /// What this host itself runs on.
    private var surroundings: Finding {
        let vendor = text("/sys/class/dmi/id/sys_vendor") ?? ""
        let product = text("/sys/class/dmi/id/product_name") ?? ""
        let isGuest = processorFlags.contains("hypervisor")
        let inContainer = exists("/.dockerenv") || exists("/run/.containerenv")
        let where_ = isGuest ? "a virtual machine" : "a machine of its own"
        let name = [vendor, product].filter { !$0.isEmpty }.joined(separator: " ")
        return Finding(
            "this host", .fine,
            (inContainer ? "a container in " : "") + where_ + (name.isEmpty ? "" : " (\(name))"))
    }

    private var iommu: Finding {
        let isOn = !(HostFolder.names(in: root + "/sys/class/iommu") ?? []).isEmpty
        return Finding(
            "IOMMU", isOn ? .fine : .warning, isOn ? "devices can be handed to guests" : "no IOMMU is in use",
            remedy: "start Linux with intel_iommu=on if guests are to have real devices")
    }

    // MARK: Around machines

    private var tun: Finding {
        Finding(
            "tap devices", exists("/dev/net/tun") ? .fine : .failed,
            exists("/dev/net/tun") ? "/dev/net/tun is there" : "/dev/net/tun is absent",
            remedy: "modprobe tun; user networking works without it")
    }

    private var bridges: Finding {
        let tool = ProgramFiles.find("ip")
        return Finding(
            "networks", tool == nil ? .failed : .fine,
            tool.map { "bridges are made by \($0)" } ?? "ip is not installed",
            remedy: "apt install iproute2")
    }

    private var dhcp: Finding {
        let tool = ProgramFiles.find("dnsmasq")
        return Finding(
            "addresses for guests", tool == nil ? .warning : .fine,
            tool.map { "DHCP and DNS come from \($0)" } ?? "dnsmasq is not installed",
            remedy: "apt install dnsmasq-base")
    }

    private var firewall: Finding {
        let tool = ProgramFiles.find("nft")
        return Finding(
            "NAT", tool == nil ? .warning : .fine, tool.map { "rules are set by \($0)" } ?? "nft is not installed",
            remedy: "apt install nftables")
    }

    private var landlock: Finding {
        let isOn = text("/sys/kernel/security/lsm")?.split(separator: ",").contains("landlock") == true
        return Finding(
            "Landlock", isOn ? .fine : .warning,
            isOn ? "machines can be kept from others' files by the kernel" : "this kernel does not use Landlock",
            remedy: "start Linux with lsm=landlock,... where it is built in")
    }

    private var hugePages: Finding {
        let mode = text("/sys/kernel/mm/transparent_hugepage/enabled") ?? ""
        let isOff = mode.contains("[never]") || mode.isEmpty
        return Finding(
            "huge pages", isOff ? .warning : .fine,
            isOff ? "transparent huge pages are off" : "transparent huge pages are on",
            remedy: "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")
    }

    private func firmware(_ name: String, _ path: String, _ package: String) -> Finding {
        Finding(
            name, exists(path) ? .fine : .warning, exists(path) ? "firmware is at \(path)" : "\(path) is absent",
            remedy: "apt install \(package)")
    }

    private var controllers: [Finding] {
        let available = (text("/sys/fs/cgroup/cgroup.controllers") ?? "").split(separator: " ")
        return ["cpu", "memory", "io"].map { name in
            let isThere = available.contains(Substring(name))
            return Finding(
                "cgroup \(name)", isThere ? .fine : .warning,
                isThere ? "limits can be set" : "no cgroup-v2 controller '\(name)'",
                remedy: "mount cgroup v2 with this controller to limit machines")
        }
    }
}
