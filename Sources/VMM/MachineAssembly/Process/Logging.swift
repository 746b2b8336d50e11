// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Diagnostics
internal import HostSystem
internal import MachineSpec

/// -d, -D, -trace, -msg and `-name process=`, before anything else happens.
enum Logging {
    /// - Parameter readFile: for `-trace events=`.
    static func apply(
        _ spec: MachineSpec, _ console: Console, readFile: (String) throws(UserError) -> String
    ) throws(UserError) {
        let process = spec.process
        console.setShowsTime(process.messagesShowTime)
        if process.messagesShowGuest { console.setGuestName(spec.identity.name) }
        if let name = spec.identity.processName {
            // Names the calling thread, which is the process's first: what ps shows.
            _ = unsafe roost_name_thread(name)
        }
        if let path = process.logFile {
            do throws(UserError) { try Log.shared.open(path) } catch { throw error.at("-D \(path)") }
        }
        if let items = process.logItems {
            do throws(UserError) { try Log.shared.enable(items: items) } catch { throw error.at("-d \(items)") }
        }
        for pattern in process.tracePatterns {
            do throws(UserError) { try Trace.enable(pattern: pattern) } catch { throw error.at("-trace \(pattern)") }
        }
        for path in process.traceEventFiles {
            do throws(UserError) { try Trace.enable(listedIn: readFile(path)) } catch {
                throw error.at("-trace events=\(path)")
            }
        }
    }
}
