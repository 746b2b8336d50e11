// SPDX-License-Identifier: Apache-2.0

internal import CConfinement
internal import CLinux
internal import Glibc
internal import HostProcesses
internal import HostSystem

/// Runs programs confined. A process that is started for it takes its own rights away, one after the other, and then
/// becomes the program: `confine WORDS... -- PROGRAM ARGUMENTS...`. Another one shows a program that runs one more file:
/// `confine-show PROCESS WORDS...`.
public enum ConfinedLaunch {
    /// The first argument of a process that becomes a confined program.
    public static let word = "confine"
    /// The first argument of a process that shows files to a confined program.
    public static let showWord = "confine-show"

    /// Calls that no machine makes and that lead out of confinement; they fail.
    private static let denied = [
        "mount", "umount2", "pivot_root", "chroot", "setns", "unshare", "open_tree", "move_mount", "fsopen", "fsmount",
        "mount_setattr", "ptrace", "process_vm_readv", "process_vm_writev", "open_by_handle_at", "perf_event_open",
        "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "reboot", "swapon", "swapoff",
        "acct", "add_key", "request_key", "keyctl", "bpf", "settimeofday", "clock_settime", "adjtimex",
        "clock_adjtime", "sethostname", "setdomainname", "quotactl", "ioperm", "iopl", "syslog",
    ]

    /// Becomes a confined program. Returns the exit status only when that fails, after a line on standard error.
    /// - Parameter words: what follows `confine`.
    public static func run(_ words: [String]) -> Int32 {
        var rest: [String] = []
        guard let plan = ConfinementPlan(words, rest: &rest), let program = rest.first else {
            return fail("the words of a confined program mean nothing")
        }
        do throws(ConfinementError) {
            if let root = plan.root {
                try ConfinedView.check("leave the host's mounts", root) { roost_unshare_views() }
                try ConfinedView.enter(plan, root: root)
            } else {
                try ConfinedView.check("enter", "/") { unsafe chdir("/") }
            }
            if let identity = plan.identity {
                // The groups live for the call.
                try ConfinedView.check("become the user \(identity.user) of", program) {
                    unsafe roost_become(
                        identity.user, identity.group, identity.groups, Int32(identity.groups.count))
                }
            }
            try ConfinedView.check("give up privileges of", program) { roost_forbid_new_privileges() }
            try restrict(plan, program)
            // The names and the numbers live for the calls.
            let numbers = denied.map { unsafe roost_call_number($0) }
            try ConfinedView.check("filter the calls of", program) {
                unsafe roost_deny_calls(numbers, Int32(numbers.count), 0)
            }
        } catch { return fail("\(error)") }
        do throws(Errno) { try ChildProcess.replaceThisProcess(program, Array(rest.dropFirst())) } catch {
            return fail("cannot run '\(program)': \(error)")
        }
    }

    /// Places from which programs and libraries are run.
    private static let programs = ["/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin", "/opt", "/nix"]
    /// Places that everybody writes to.
    private static let common = ["/dev", "/proc/self", "/tmp", "/var/tmp"]

    /// Landlock: only the host's programs are run, nothing outside is signalled, and, for a program that sees the host's
    /// files, only its own are written.
    private static func restrict(_ plan: ConfinementPlan, _ program: String) throws(ConfinementError) {
        guard roost_landlock_version() > 0 else { return }
        let writes = plan.root == nil
        let classes = ROOST_LANDLOCK_EXECUTE | (writes ? ROOST_LANDLOCK_WRITE : 0)
        let created = roost_landlock_create(Int32(classes), 1)
        guard created >= 0 else { throw ConfinementError(what: "restrict", path: program, cause: .current) }
        let rules = FileDescriptor(owning: created)
        for path in programs + [program] { try allow(rules.number, ROOST_LANDLOCK_EXECUTE, path) }
        if writes {
            for path in common + plan.writable + plan.folders { try allow(rules.number, ROOST_LANDLOCK_WRITE, path) }
        }
        try ConfinedView.check("restrict", program) { roost_landlock_restrict(rules.number) }
    }

    private static func allow(_ rules: Int32, _ classes: Int, _ path: String) throws(ConfinementError) {
        guard ConfinedView.exists(path) else { return }
        do throws(Errno) {
            let pathOnly: Int32 = 0o10000000
            let place = try FileDescriptor.open(path, flags: pathOnly)
            if roost_landlock_allow(rules, Int32(classes), place.number) != 0 { throw Errno.current }
        } catch { throw ConfinementError(what: "allow", path: path, cause: error) }
    }

    private static func fail(_ text: String) -> Int32 {
        // Whoever started it reads this as the program's own words.
        try? FileDescriptor.writeAll(Array((text + "\n").utf8), to: STDERR_FILENO)
        return 1
    }

    // MARK: More files

    /// Shows files to a program that runs in a view of its own. Returns the exit status.
    /// - Parameter words: the process, then `--read PATH` and `--write PATH`.
    public static func show(_ words: [String]) -> Int32 {
        var rest: [String] = []
        guard let process = words.first.flatMap({ Int32($0) }),
            let plan = ConfinementPlan(Array(words.dropFirst()), rest: &rest)
        else { return fail("the words for a confined program mean nothing") }
        do throws(ConfinementError) {
            for (path, isReadOnly) in plan.readable.map({ ($0, true) }) + plan.writable.map({ ($0, false) }) {
                // Each file is opened here and put there by a process of its own: there is no way back.
                try show(path, isReadOnly: isReadOnly, process)
            }
            return 0
        } catch { return fail("\(error)") }
    }

    private static func show(_ path: String, isReadOnly: Bool, _ process: Int32) throws(ConfinementError) {
        let tree = try ConfinedView.open(path)
        let child = roost_fork()
        guard child >= 0 else { throw ConfinementError(what: "show", path: path, cause: .current) }
        if child == 0 {
            do throws(ConfinementError) {
                try ConfinedView.check("enter the view for", path) { roost_enter_mounts(process) }
                try ConfinedView.attach(tree.number, at: path, in: "", isReadOnly: isReadOnly, isDevice: true)
            } catch { _exit(fail("\(error)")) }
            _exit(0)
        }
        do throws(Errno) {
            guard try ChildProcess.wait(child) == .exited(0) else { throw Errno(EACCES) }
        } catch { throw ConfinementError(what: "show", path: path, cause: error) }
    }
}
