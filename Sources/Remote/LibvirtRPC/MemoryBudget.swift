// SPDX-License-Identifier: Apache-2.0

internal import HostSystem

/// What all clients of a server may tie up together, in bytes or in descriptors. A large message of one client is fine;
/// large messages of all of them at once are not, so that what is beyond the budget ends the client that asks for it.
public final class SharedBudget: @unchecked Sendable {
    /// Units that may be held at a time.
    public let limit: Int
    private let lock = Lock()
    // Guarded by `lock`.
    private var held = 0

    /// A budget of which nothing is held.
    public init(limit: Int) { self.limit = limit }

    /// Units that are held now.
    public var used: Int { lock.withLock { held } }

    /// Whether more than half is held: time to be strict with those who hold a lot.
    public var isTight: Bool { lock.withLock { held > limit / 2 } }

    /// Takes units, or none and says so.
    func take(_ count: Int) -> Bool {
        lock.withLock {
            guard count <= limit &- held else { return false }
            held += count
            return true
        }
    }

    /// Takes units that are there already, whether or not the budget has them.
    func force(_ count: Int) { lock.withLock { held += count } }

    /// Gives units back.
    func give(_ count: Int) { lock.withLock { held -= count } }
}

/// What one client holds of a budget, brought in line with what it needs now; given back at the end.
struct BudgetShare: ~Copyable {
    private let budget: SharedBudget
    private(set) var held = 0

    init(_ budget: SharedBudget) { self.budget = budget }

    deinit { budget.give(held) }

    /// Holds `count` units from now on; false when the budget does not have them.
    mutating func hold(_ count: Int) -> Bool {
        if count > held {
            guard budget.take(count - held) else { return false }
        } else {
            budget.give(held - count)
        }
        held = count
        return true
    }
}
