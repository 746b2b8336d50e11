// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem
public import ManagementModel

/// The administrator's scripts that are told of what happens to the service, its machines and its networks, and may
/// refuse it: libvirt's `hooks/daemon`, `hooks/qemu` and `hooks/network`, and after each the files of `hooks/qemu.d`
/// and so on, by name. They are looked for each time, so that a new one counts at once.
public struct HookScripts: Sendable {
    /// Whose scripts: the file's name.
    public enum Driver: String, Sendable {
        case daemon, qemu, network
    }

    private let folder: String

    /// - Parameter folder: where the scripts are (/etc/libvirt/hooks).
    public init(folder: String) { self.folder = folder }

    /// Runs the scripts of a driver until one refuses.
    /// - Parameters:
    ///   - object: the name of the machine or network, or `-`.
    ///   - operation: `prepare`, `start`, `started`, `stopped`, `release`...
    ///   - stage: `begin` or `end`.
    ///   - extra: the last argument.
    ///   - document: what they read on standard input: the document of what they are told of.
    /// - Returns: what they wrote, the last one's last.
    /// - Throws: `hookScriptFailed` when one does not end with status 0.
    @discardableResult
    public func run(
        _ driver: Driver, _ object: String, _ operation: String, _ stage: String, extra: String = "-",
        document: @autoclosure () -> String = ""
    ) throws(ManagementError) -> String {
        let scripts = scripts(of: driver)
        guard !scripts.isEmpty else { return "" }
        let text = document()
        var said = ""
        for script in scripts {
            let result = try HostTool.attempt(
                script, [object, operation, stage, extra], to: "run the hook script", from: .hook, input: text)
            guard result.succeeded else {
                let reason = result.reason(.last)
                throw ManagementError(
                    .hookScriptFailed,
                    "\(script) \(object) \(operation) \(stage) \(extra)" + (reason.isEmpty ? "" : ": \(reason)"),
                    from: .hook)
            }
            said += result.output
        }
        return said
    }

    /// The programs of a driver, in the order in which they run.
    private func scripts(of driver: Driver) -> [String] {
        let main = folder + "/" + driver.rawValue
        let more = (HostFolder.names(in: main + ".d") ?? []).sorted().map { main + ".d/" + $0 }
        return ([main] + more).filter(Self.isProgram)
    }

    private static func isProgram(_ path: String) -> Bool {
        var information = stat()
        // stat and access copy the path; the struct lives on this frame.
        return unsafe stat(path, &information) == 0 && information.st_mode & S_IFMT == S_IFREG
            && access(path, X_OK) == 0
    }
}
