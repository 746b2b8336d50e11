// SPDX-License-Identifier: Apache-2.0

/// What switches tasks.
enum TaskSwitchCause {
    case jump, call, interrupt, `return`
}

/// Places in a TSS (SDM vol. 3, "32-Bit Task-State Segment (TSS)", "16-Bit Task-State Segment").
private struct TaskLayout {
    let isWide: Bool
    /// Bytes of the part that a switch reads.
    var minimumLimit: UInt32 { isWide ? 0x67 : 0x2B }
    var size: UInt64 { isWide ? 4 : 2 }
    var instructionPointer: UInt64 { isWide ? 0x20 : 0x0E }
    var flags: UInt64 { isWide ? 0x24 : 0x10 }
    var registers: UInt64 { isWide ? 0x28 : 0x12 }
    var segments: UInt64 { isWide ? 0x48 : 0x22 }
    /// Segment registers that it holds: without FS and GS in the 16-bit form.
    var segmentCount: UInt64 { isWide ? 6 : 4 }
    var localTable: UInt64 { isWide ? 0x60 : 0x2A }
    static let tableBase: UInt64 = 0x1C, debugTrap: UInt64 = 0x64
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// The TSS that a task gate or the back link names.
    func taskDescriptor(_ selector: UInt16, external: UInt32 = 0) throws(CPUFault) -> Descriptor {
        let code = selector.selectorCode | external
        guard selector & 4 == 0, !selector.isNullSelector else { throw generalProtection(code) }
        let descriptor = try descriptor(selector, external: external)
        guard !descriptor.isSegment,
            descriptor.type == SystemType.availableTSS || descriptor.type == SystemType.availableTSS16
        else { throw generalProtection(code) }
        guard descriptor.isPresent else { throw fault(Vector.segmentNotPresent, code: code) }
        return descriptor
    }

    /// IRET with NT: back to the task that the back link names.
    func returnFromTask(_ returnIP: UInt64) throws(CPUFault) {
        let own = segment(SegmentRegister.tr).pointee
        let link: UInt16 = try asSupervisor { () throws(CPUFault) in try load(own.base) }
        guard link & 4 == 0, !link.isNullSelector else { throw fault(Vector.invalidTSS, code: link.selectorCode) }
        let descriptor = try descriptor(link, orRaise: Vector.invalidTSS)
        guard !descriptor.isSegment,
            descriptor.type == SystemType.busyTSS || descriptor.type == SystemType.busyTSS16
        else { throw fault(Vector.invalidTSS, code: link.selectorCode) }
        guard descriptor.isPresent else { throw fault(Vector.segmentNotPresent, code: link.selectorCode) }
        try switchTask(descriptor, link, .return, returnIP: returnIP, savedFlags: flags)
    }

    /// Switches to another task (SDM vol. 3, "Task Switching"). Faults after the new state is loaded are raised in the
    /// new task, as the processor does.
    func switchTask(
        _ target: Descriptor, _ selector: UInt16, _ cause: TaskSwitchCause, returnIP: UInt64, savedFlags: UInt64,
        external: UInt32 = 0
    ) throws(CPUFault) {
        let new = TaskLayout(isWide: target.type & 8 != 0)
        guard target.limit >= new.minimumLimit else {
            throw fault(Vector.invalidTSS, code: selector.selectorCode | external)
        }
        let own = segment(SegmentRegister.tr).pointee
        try saveTask(
            own, TaskLayout(isWide: own.attributes & 8 != 0), returnIP: returnIP,
            flags: cause == .return ? savedFlags & ~Flag.nestedTask : savedFlags)
        let image = try readTask(target.base, new)
        let nests = cause == .call || cause == .interrupt
        if nests {
            try asSupervisor { () throws(CPUFault) in try store(target.base, own.selector) }
        } else if let place = descriptorAddress(own.selector) {
            // The task that is left is no longer busy.
            try changeDescriptorType(Descriptor(raw: 0, address: place)) { $0 & ~2 }
        }
        if cause != .return { try changeDescriptorType(target) { $0 | 2 } }
        var register = target.segment(selector)
        register.attributes |= 2
        segment(SegmentRegister.tr).pointee = register
        pointee.cr0 |= ControlRegister0.taskSwitched
        if pointee.debug[7] & DebugControl.local != 0 {
            pointee.debug[7] &= ~DebugControl.local
            updateWatches()
        }
        pointee.hasTaskFault = true
        try loadTask(image, new, nests: nests, external: external)
        pointee.hasTaskFault = false
    }

    private func saveTask(_ task: SegmentState, _ layout: TaskLayout, returnIP: UInt64, flags: UInt64) throws(CPUFault)
    {
        try asSupervisor { () throws(CPUFault) in
            // All or nothing: both ends are writable before anything is written.
            try probeWrite(task.base, size: Int(layout.minimumLimit))
            func put(_ offset: UInt64, _ value: UInt64) throws(CPUFault) {
                if layout.isWide {
                    try store(task.base &+ offset, UInt32(truncatingIfNeeded: value))
                } else {
                    try store(task.base &+ offset, UInt16(truncatingIfNeeded: value))
                }
            }
            try put(layout.instructionPointer, returnIP)
            try put(layout.flags, flags)
            for index in 0..<8 {
                try put(layout.registers &+ UInt64(index) &* layout.size, self[register: index])
            }
            for index in 0..<layout.segmentCount {
                try store(
                    task.base &+ layout.segments &+ index &* layout.size, segment(Int(index)).pointee.selector)
            }
        }
    }

    private struct TaskImage {
        var tableBase: UInt64 = 0
        var instructionPointer: UInt64 = 0
        var flags: UInt64 = 0
        var registers = InlineArray<8, UInt64>(repeating: 0)
        var segments = InlineArray<6, UInt16>(repeating: 0)
        var localTable: UInt16 = 0
        var trapsDebug = false
    }

    private func readTask(_ base: UInt64, _ layout: TaskLayout) throws(CPUFault) -> TaskImage {
        try asSupervisor { () throws(CPUFault) in
            func get(_ offset: UInt64) throws(CPUFault) -> UInt64 {
                if layout.isWide { return UInt64(try load(base &+ offset, as: UInt32.self)) }
                return UInt64(try load(base &+ offset, as: UInt16.self))
            }
            var image = TaskImage()
            if layout.isWide {
                image.tableBase = try get(TaskLayout.tableBase)
                image.trapsDebug = try load(base &+ TaskLayout.debugTrap, as: UInt16.self) & 1 != 0
            }
            image.instructionPointer = try get(layout.instructionPointer)
            image.flags = try get(layout.flags)
            for index in 0..<8 {
                let value = try get(layout.registers &+ UInt64(index) &* layout.size)
                image.registers[index] = layout.isWide ? value : value | 0xFFFF_0000
            }
            for index in 0..<Int(layout.segmentCount) {
                image.segments[index] = try load(base &+ layout.segments &+ UInt64(index) &* layout.size)
            }
            image.localTable = try load(base &+ layout.localTable)
            return image
        }
    }

    private func loadTask(
        _ image: TaskImage, _ layout: TaskLayout, nests: Bool, external: UInt32
    ) throws(CPUFault) {
        if layout.isWide, pointee.cr0 & ControlRegister0.paging != 0 { try loadCR3(image.tableBase) }
        pointee.rip = image.instructionPointer
        let flags = image.flags | (nests ? Flag.nestedTask : 0)
        pointee.systemFlags = flags & 0x3F_7FD5 & ~Flag.arithmetic | 2
        if !layout.isWide { pointee.systemFlags &= ~Flag.virtual8086 }
        setArithmeticFlags(flags)
        for index in 0..<8 { self[register: index] = image.registers[index] }
        // Selectors first, without their descriptors, so that a fault shows the new task's.
        clearSegment(SegmentRegister.ldtr, image.localTable)
        for index in 0..<6 { clearSegment(index, image.segments[index]) }
        if isVirtual8086 {
            for index in 0..<6 { loadRealSegment(index, image.segments[index]) }
            updateWidths()
            setPrivilege(3)
            try loadTaskTable(image, external)
        } else {
            try loadTaskSegments(image, external)
        }
        if image.trapsDebug {
            pointee.pendingDebug |= DebugStatus.taskSwitch
            cpu.raiseAttention(Attention.debugTrap)
        }
        guard pointee.rip <= UInt64(segment(SegmentRegister.cs).pointee.limit) else {
            throw generalProtection(external)
        }
    }

    private func loadTaskTable(_ image: TaskImage, _ external: UInt32) throws(CPUFault) {
        guard !image.localTable.isNullSelector else { return }
        let code = image.localTable.selectorCode | external
        guard image.localTable & 4 == 0 else { throw fault(Vector.invalidTSS, code: code) }
        let table = try descriptor(image.localTable, orRaise: Vector.invalidTSS, external: external)
        guard !table.isSegment, table.type == SystemType.ldt, table.isPresent else {
            throw fault(Vector.invalidTSS, code: code)
        }
        segment(SegmentRegister.ldtr).pointee = table.segment(image.localTable)
    }

    private func loadTaskSegments(_ image: TaskImage, _ external: UInt32) throws(CPUFault) {
        try loadTaskTable(image, external)
        let selector = image.segments[SegmentRegister.cs]
        let level = selector.requestedPrivilege
        // Until CS is known good the processor is at the level of its selector.
        setPrivilege(level)
        let code = selector.selectorCode | external
        let target = try descriptor(selector, orRaise: Vector.invalidTSS, external: external)
        guard target.isCode, target.isConforming ? target.privilege <= level : target.privilege == level else {
            throw fault(Vector.invalidTSS, code: code)
        }
        guard target.isPresent else { throw fault(Vector.segmentNotPresent, code: code) }
        try loadCodeSegment(target, selector, privilege: level)
        updateWidths()
        segment(SegmentRegister.ss).pointee = try checkedStackSegment(
            image.segments[SegmentRegister.ss], privilege: level, Vector.invalidTSS, external: external)
        updateWidths()
        for index in [SegmentRegister.es, SegmentRegister.ds, SegmentRegister.fs, SegmentRegister.gs] {
            let selector = image.segments[index]
            if selector.isNullSelector { continue }
            let data = try descriptor(selector, orRaise: Vector.invalidTSS, external: external)
            let isAllowed =
                data.isReadable
                && (data.isConforming || max(selector.requestedPrivilege, level) <= data.privilege)
            guard isAllowed else { throw fault(Vector.invalidTSS, code: selector.selectorCode | external) }
            guard data.isPresent else {
                throw fault(Vector.segmentNotPresent, code: selector.selectorCode | external)
            }
            try markAccessed(data)
            segment(index).pointee = data.segment(selector)
        }
        updateWidths()
    }
}
