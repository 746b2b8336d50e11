// SPDX-License-Identifier: Apache-2.0

/// The part of the service that an error comes from, in libvirt's numbers.
public enum ErrorOrigin: Int32, Sendable {
    case none = 0
    case xml = 5
    case domainObject = 6
    case rpc = 7
    case configuration = 9
    case machineDriver = 10
    case remote = 13
    case storage = 18
    case network = 19
    case domain = 20
    case nodeDevice = 22
    case security = 24
    case interface = 26
    case secret = 30
    case cpu = 31
    case networkFilter = 33
    case hook = 34
    case snapshot = 35
    case streams = 38
    case capabilities = 44
    case device = 49
    case checkpoint = 69
}

/// An error as a client sees it: libvirt's code and words, and the detail.
public struct ManagementError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What went wrong.
    public let code: ErrorCode
    /// Where.
    public let origin: ErrorOrigin
    /// On what and why; may be empty.
    public let detail: String

    /// An error of `code` about `detail`.
    public init(_ code: ErrorCode, _ detail: String, from origin: ErrorOrigin = .machineDriver) {
        self.code = code
        self.origin = origin
        self.detail = detail
    }

    /// The whole line.
    public var description: String {
        guard !detail.isEmpty else { return code.text }
        guard let place = code.format.firstRange(of: "%s") else { return code.format }
        return code.format.replacingCharacters(in: place, with: detail)
    }
}

extension String {
    fileprivate func firstRange(of part: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(part) { return start..<index(start, offsetBy: part.count) }
            start = index(after: start)
        }
        return nil
    }

    fileprivate func replacingCharacters(in range: Range<Index>, with text: String) -> String {
        String(self[..<range.lowerBound]) + text + String(self[range.upperBound...])
    }
}
