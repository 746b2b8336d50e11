// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc

/// What a running program knows of itself.
public enum ThisProgram {
    /// A variable of the environment; nil where it is not set. No program of Roost changes its variables while others
    /// of its threads read them.
    public static func variable(_ name: String) -> String? {
        // getenv's text is copied at once.
        unsafe getenv(name).map { unsafe String(cString: $0) }
    }

    /// All variables of the environment, as NAME=VALUE.
    public static var environment: [String] {
        var entries: [String] = []
        // The list ends with a null pointer, each entry with a zero.
        guard var next = unsafe roost_environment() else { return [] }
        while let entry = unsafe next.pointee {
            unsafe entries.append(String(cString: entry))
            unsafe next += 1
        }
        return entries
    }

    /// Where the program of a name is that was installed with this one.
    public static func beside(_ name: String) -> String {
        var path = [UInt8](repeating: 0, count: Int(PATH_MAX))
        // readlink writes at most the array's size.
        let count = unsafe path.withUnsafeMutableBytes {
            unsafe readlink("/proc/self/exe", $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
        }
        let own = String(decoding: path.prefix(max(0, count)), as: UTF8.self)
        guard let slash = own.lastIndex(of: "/") else { return "/usr/bin/" + name }
        return own[...slash] + name
    }
}
