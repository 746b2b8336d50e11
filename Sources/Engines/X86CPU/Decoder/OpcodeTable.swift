// SPDX-License-Identifier: Apache-2.0

/// The instruction set: rows by map and opcode. Built once; the one source for the decoder and for the tests.
///
/// Each group of instructions has a file in `Tables/` with a function that adds its rows; `build` below lists them. Rows
/// of one opcode are tried in the order of their registration, the first that matches wins.
struct OpcodeTable: @unchecked Sendable {
    /// All rows, those of one cell together. Never freed: there is one table in a process.
    let rows: UnsafeMutablePointer<OpcodeRow>
    let count: Int
    /// First row of each cell; a cell's rows end where the next cell's begin.
    private let starts: UnsafeMutablePointer<UInt32>

    static let cellCount = 2 * 4 * 256

    /// The one table.
    static let shared = build()

    private static func build() -> OpcodeTable {
        var builder = OpcodeTableBuilder()
        registerIntegerRows(&builder)
        registerSystemRows(&builder)
        registerNativeRows(&builder)
        return OpcodeTable(builder.rows)
    }

    init(_ all: [OpcodeRow]) {
        let cell = { (row: OpcodeRow) in
            Self.cell(isVEX: row.vex != nil, map: row.map.rawValue, opcode: row.opcode)
        }
        // Sorted by cell and then by place of registration, since sort(by:) alone is not documented to be stable.
        let sorted = all.enumerated().sorted { (cell($0.element), $0.offset) < (cell($1.element), $1.offset) }
        count = sorted.count
        rows = .allocate(capacity: max(count, 1))
        starts = .allocate(capacity: Self.cellCount + 1)
        starts.initialize(repeating: 0, count: Self.cellCount + 1)
        for (index, row) in sorted.enumerated() {
            var element = row.element
            let needed = InstructionFeatures.needed(by: element)
            element.needs = element.needs ?? needed.narrow
            element.needsWide = element.needsWide ?? needed.wide
            (rows + index).initialize(to: element)
            starts[cell(row.element) + 1] = UInt32(index + 1)
        }
        for index in 1...Self.cellCount where starts[index] < starts[index - 1] { starts[index] = starts[index - 1] }
    }

    static func cell(isVEX: Bool, map: UInt8, opcode: UInt8) -> Int {
        (isVEX ? 1024 : 0) + Int(map & 3) * 256 + Int(opcode)
    }

    /// The rows of one opcode.
    @inline(__always)
    func candidates(isVEX: Bool, map: UInt8, opcode: UInt8) -> Range<Int> {
        let cell = Self.cell(isVEX: isVEX, map: map, opcode: opcode)
        return Int(starts[cell])..<Int(starts[cell + 1])
    }
}

/// Collects rows. One call for each group of opcodes that share everything.
struct OpcodeTableBuilder {
    private(set) var rows: [OpcodeRow] = []

    /// Says what the last row needs of the processor; where it is not said its name decides.
    mutating func lastNeeds(_ features: InstructionFeatures, wide: InstructionFeatures) {
        guard !rows.isEmpty else { return }
        rows[rows.count - 1].needs = features
        rows[rows.count - 1].needsWide = wide
    }

    /// Adds a row for each opcode of a range, whose handler is chosen when an instruction is decoded.
    mutating func add(
        _ name: String, _ map: OpcodeMap, _ opcodes: ClosedRange<UInt8>, prefix: OpcodePrefixes = .any,
        digit: UInt8? = nil, rm: UInt8? = nil, mod: ModForm = .any, vex: VEXForm? = nil, widths: CodeWidths = .all,
        size: OperandSizeRule = .variable, immediate: ImmediateForm = .none, _ flags: RowFlags = [],
        select: @escaping HandlerSelector
    ) {
        for opcode in opcodes {
            rows.append(
                OpcodeRow(
                    map: map, opcode: opcode, name: name, prefix: prefix, digit: digit, rm: rm, mod: mod, vex: vex,
                    widths: widths, size: size, immediate: immediate, flags: flags, select: select))
        }
    }

    /// Adds a row for one opcode, whose handler is chosen when an instruction is decoded.
    mutating func add(
        _ name: String, _ map: OpcodeMap, _ opcode: UInt8, prefix: OpcodePrefixes = .any,
        digit: UInt8? = nil, rm: UInt8? = nil, mod: ModForm = .any, vex: VEXForm? = nil, widths: CodeWidths = .all,
        size: OperandSizeRule = .variable, immediate: ImmediateForm = .none, _ flags: RowFlags = [],
        select: @escaping HandlerSelector
    ) {
        add(
            name, map, opcode...opcode, prefix: prefix, digit: digit, rm: rm, mod: mod, vex: vex, widths: widths,
            size: size, immediate: immediate, flags, select: select)
    }

    /// Adds a row for one opcode with one handler.
    mutating func add(
        _ name: String, _ map: OpcodeMap, _ opcode: UInt8, prefix: OpcodePrefixes = .any,
        digit: UInt8? = nil, rm: UInt8? = nil, mod: ModForm = .any, vex: VEXForm? = nil, widths: CodeWidths = .all,
        size: OperandSizeRule = .variable, immediate: ImmediateForm = .none, _ flags: RowFlags = [],
        run handler: @escaping Handler
    ) {
        add(
            name, map, opcode...opcode, prefix: prefix, digit: digit, rm: rm, mod: mod, vex: vex, widths: widths,
            size: size, immediate: immediate, flags
        ) { _, _ in handler }
    }
}
