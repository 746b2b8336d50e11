// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Diagnostics
internal import HostSystem
internal import MachineSpec

/// `-sandbox on`: system calls that a machine never needs are denied to the whole process.
enum Sandbox {
    private static let always = [
        "reboot", "swapon", "swapoff", "syslog", "mount", "umount2", "kexec_load", "kexec_file_load", "afs_syscall",
        "getpmsg", "putpmsg", "security", "tuxcall", "vserver", "init_module", "finit_module", "delete_module",
        "acct", "add_key", "request_key", "keyctl", "ioperm", "iopl", "pivot_root", "chroot", "settimeofday",
        "clock_settime", "adjtimex", "clock_adjtime", "sethostname", "setdomainname", "quotactl", "bpf", "userfaultfd",
    ]
    private static let obsolete = [
        "_sysctl", "create_module", "get_kernel_syms", "query_module", "nfsservctl", "lookup_dcookie", "sysfs",
        "uselib",
        "ustat",
    ]
    private static let privileges = [
        "setuid", "setgid", "setpgid", "setsid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid",
        "setfsgid",
    ]
    private static let spawning = ["fork", "vfork", "execve", "execveat", "clone", "clone3", "setns", "unshare"]
    private static let resources = ["setpriority", "sched_setparam", "sched_setscheduler", "sched_setaffinity"]

    /// Installs the filter for all threads, for good. A denied call ends the process.
    static func enter(_ spec: SandboxSpec) throws(UserError) {
        var names = always
        if !spec.allowsObsolete { names += obsolete }
        if spec.deniesPrivileges { names += privileges }
        if spec.deniesSpawning { names += spawning }
        if spec.deniesResourceControl { names += resources }
        // The strings and the numbers live for the calls.
        let numbers = names.map { unsafe roost_call_number($0) }
        guard unsafe roost_deny_calls(numbers, Int32(numbers.count), 1) == 0 else {
            throw UserError("failed to install seccomp syscall filter", because: Errno.current, place: "-sandbox on")
        }
    }
}
