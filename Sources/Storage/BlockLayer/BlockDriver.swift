// SPDX-License-Identifier: Apache-2.0

/// Opens nodes of one kind. Formats (`qcow2`, `raw`) sit on a "file" child, protocols (`file`, `nbd`) at the bottom.
public protocol BlockDriver: Sendable {
    /// The name as in `driver=`.
    var name: String { get }
    /// Opens a node. The driver takes the options that it knows out of the request; the opener refuses the rest.
    func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode
    /// The driver itself where it is a `ProbingDriver`, else nil. Asking so costs nothing, while a cast looks through
    /// every conformance of the program, which is most of the time that a short command takes.
    var asProbing: (any ProbingDriver)? { get }
    /// The driver itself where it is a `ProtocolDriver`, else nil.
    var asProtocol: (any ProtocolDriver)? { get }
}

extension BlockDriver {
    /// Not one that probes.
    public var asProbing: (any ProbingDriver)? { nil }
    /// Not a protocol.
    public var asProtocol: (any ProtocolDriver)? { nil }
}

/// A driver whose images are recognised by their first bytes.
public protocol ProbingDriver: BlockDriver {
    /// How sure the driver is that this is its format: 0 not at all, 100 a magic number.
    /// - Parameters:
    ///   - head: the first bytes of the file, at most 2048 (`BlockGraph.probeLength`).
    ///   - filename: for formats that go by the name.
    func probe(head: [UInt8], filename: String) -> Int
}

extension ProbingDriver {
    /// This driver.
    public var asProbing: (any ProbingDriver)? { self }
}

/// A driver at the bottom of a graph, which a file name can select.
public protocol ProtocolDriver: BlockDriver {
    /// The prefixes of names that belong to the driver, without the colon: "nbd", "nbd+unix".
    var schemes: [String] { get }
    /// Turns a name with one of the prefixes into options.
    func parse(filename: String) throws(BlockError) -> BlockOptions
}

extension ProtocolDriver {
    /// This driver.
    public var asProtocol: (any ProtocolDriver)? { self }
}

/// A protocol driver that can take back what it made.
public protocol RemovingDriver: ProtocolDriver {
    /// Removes a file, if it is a regular one; that it cannot be removed is nobody's concern.
    func remove(_ filename: String)
}

/// A driver that can make new images.
public protocol CreatingDriver: BlockDriver {
    /// The options of `create`, in the order in which they are told when an image is made (help sorts them).
    var createOptions: [CreateOption] { get }
    /// Whether an image can name a backing file.
    var supportsBacking: Bool { get }
    /// Makes a new image at a name, over whatever is there.
    func create(_ request: CreateRequest) throws(BlockError)
}

/// What an image will take up, in bytes.
public struct ImageMeasure: Sendable, Equatable {
    /// For the content as it is.
    public var required: Int64
    /// When every cluster is allocated.
    public var fullyAllocated: Int64
    /// For the persistent bitmaps; nil when there are none to copy.
    public var bitmaps: Int64?

    /// All parts.
    public init(required: Int64, fullyAllocated: Int64, bitmaps: Int64? = nil) {
        self.required = required
        self.fullyAllocated = fullyAllocated
        self.bitmaps = bitmaps
    }
}

/// A driver that can say beforehand how large an image becomes.
public protocol MeasuringDriver: CreatingDriver {
    /// The size of a new image with these options and the source's content (nil: an empty image).
    func measure(_ options: CreateOptions, source: (any BlockNode)?) throws(BlockError) -> ImageMeasure
}

/// A driver whose existing images can be changed by `amend`.
public protocol AmendingDriver: BlockDriver {
    /// The options of `amend`.
    var amendOptions: [CreateOption] { get }
}

/// One option of `create` or `amend`.
public struct CreateOption: Sendable, Equatable {
    /// How a value is written.
    public enum Kind: Sendable, Equatable { case text, boolean, number, size }

    /// The name.
    public let name: String
    /// How its value is written.
    public let kind: Kind
    /// One line for people; may be empty.
    public let help: String
    /// The value when it is not given, as text.
    public let defaultValue: String?

    /// All parts.
    public init(_ name: String, _ kind: Kind, _ help: String, default defaultValue: String? = nil) {
        self.name = name
        self.kind = kind
        self.help = help
        self.defaultValue = defaultValue
    }
}

/// Values for a driver's `CreateOption`s, checked against them.
public struct CreateOptions: Sendable {
    /// What can be set.
    public let descriptions: [CreateOption]
    private var values: [String: String] = [:]

    /// No values yet.
    public init(_ descriptions: [CreateOption]) { self.descriptions = descriptions }

    /// Parses `name=value,...` over what is there.
    public mutating func parse(_ text: String) throws(BlockError) {
        let parsed = try BlockOptions.parse(text)
        for key in parsed.keys { try set(key, parsed.string(key) ?? "") }
    }

    /// Sets one option, checking name and value.
    public mutating func set(_ name: String, _ value: String) throws(BlockError) {
        guard let description = descriptions.first(where: { $0.name == name }) else {
            throw BlockError(.invalidArgument, "Invalid parameter '\(name)'")
                .about(.option(name, known: descriptions.map(\.name)))
        }
        switch description.kind {
        case .text: break
        case .boolean:
            guard BlockOptions.parseBool(value) != nil else {
                throw BlockError(.invalidArgument, "Parameter '\(name)' expects 'on' or 'off'")
            }
        case .number: _ = try ByteSize.parseNumber(value, name: name)
        case .size: _ = try ByteSize.parseOption(value, name: name)
        }
        values[name] = value
    }

    /// Takes an option out.
    public mutating func remove(_ name: String) { values[name] = nil }

    /// Whether the driver has such an option.
    public func accepts(_ name: String) -> Bool { descriptions.contains { $0.name == name } }

    /// Whether a value was given.
    public func isSet(_ name: String) -> Bool { values[name] != nil }

    /// The text given, or the default.
    public func string(_ name: String) -> String? {
        values[name] ?? descriptions.first { $0.name == name }?.defaultValue
    }

    /// The switch given, or the default, or off.
    public func bool(_ name: String) -> Bool { string(name).flatMap(BlockOptions.parseBool) ?? false }

    /// The size or number given, or the default.
    public func number(_ name: String) -> Int64? {
        string(name).flatMap { text in
            switch descriptions.first(where: { $0.name == name })?.kind {
            case .size: try? ByteSize.parse(text)
            default: try? ByteSize.parseNumber(text, name: name)
            }
        }
    }

    /// The names with values given, in the order of the descriptions.
    public var setNames: [String] { descriptions.map(\.name).filter { values[$0] != nil } }
}

/// Where and how a new image is to be made.
public struct CreateRequest: Sendable {
    /// The name of the file (or `nbd:` and so on).
    public let filename: String
    /// The options, with `size` among them.
    public var options: CreateOptions
    /// For making and opening the file below.
    public let graph: BlockGraph

    /// All parts.
    public init(filename: String, options: CreateOptions, graph: BlockGraph) {
        self.filename = filename
        self.options = options
        self.graph = graph
    }
}
