// SPDX-License-Identifier: Apache-2.0

/// A node that shows the disk of another one, whose backing chain is therefore its own.
public protocol FilterNode: BlockNode {
    /// The node whose disk this is.
    var filtered: any BlockNode { get }
}

/// A node that wants to know what the format above it is about to do: blkdebug, which lets chosen steps fail.
public protocol EventNode: BlockNode {
    /// Called before the step. The names are those of blkdebug's rules: "write_aio", "l1_update"...
    func note(event: String)
}

extension BlockNode {
    /// Tells the node of a step, if it wants to know.
    @inlinable
    public func tell(_ event: @autoclosure () -> String) {
        if let node = self as? any EventNode { node.note(event: event()) }
    }
}

extension NodeLocation {
    /// The location of a node over another one: named as that is, when its name says all, and by all options if not.
    /// - Parameters:
    ///   - driver: the upper node's driver.
    ///   - child: the lower node's role.
    ///   - extra: further options of the upper node.
    public static func over(
        _ lower: NodeLocation, driver: String, as child: String = "file", extra: BlockOptions = BlockOptions()
    ) -> NodeLocation {
        var options = BlockOptions([("driver", .string(driver))])
        options.add(extra)
        options.add(lower.options, under: child)
        // A plain name would open something else where options of the node itself say what it is.
        let isPlain = extra.keys.isEmpty && !lower.filename.hasPrefix("json:")
        let name = isPlain ? lower.filename : options.jsonName
        return NodeLocation(filename: name, path: lower.path, options: options)
    }
}
