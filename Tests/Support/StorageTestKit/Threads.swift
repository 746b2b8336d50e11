// SPDX-License-Identifier: Apache-2.0

internal import HostSystem

/// Runs `body` on a thread of its own and does not wait for it.
public func onThread(_ body: @escaping @Sendable () -> Void) throws {
    _ = try HostThread(name: "test", body: body)
}

/// Runs `body` on so many threads at once.
/// - Returns: what each gave back, in the order of their indices.
public func inParallel(_ count: Int, _ body: @escaping @Sendable (Int) -> Bool) throws -> [Bool] {
    let results = Results(count)
    let threads = try (0..<count).map { index in
        try HostThread(name: "test-\(index)") { results.set(index, body(index)) }
    }
    for thread in threads { thread.join() }
    return results.all
}

/// `lock` guards the values.
private final class Results: @unchecked Sendable {
    private let lock = Lock()
    private var values: [Bool]
    init(_ count: Int) { values = Array(repeating: false, count: count) }
    func set(_ index: Int, _ value: Bool) { lock.withLock { values[index] = value } }
    var all: [Bool] { lock.withLock { values } }
}
