// SPDX-License-Identifier: Apache-2.0

import InterruptControllers
import Testing

@Suite struct MonitorTextTests {
    @Test func controllersAtPowerOnAsQEMUShowsThem() {
        let controllers = SoftwareInterruptControllers()
        let lines = controllers.ioAPIC.monitorDescription.split(separator: "\n").map(String.init)
        #expect(lines.first == "ioapic0: ver=0x20 id=0x00 sel=0x00")
        #expect(
            lines[10] == "  pin 9  0x0000000000010000 dest=0 vec=0   active-hi edge  masked fixed  physical")
        #expect(lines[11].hasPrefix("  pin 10 0x"))
        #expect(lines.suffix(2) == ["  IRR      (none)", "  Remote IRR (none)"])
        #expect(
            controllers.pic.monitorDescription
                == "pic1: irr=00 imr=00 isr=00 hprio=0 irq_base=00 rr_sel=0 elcr=00 fnm=0\n"
                + "pic0: irr=00 imr=00 isr=00 hprio=0 irq_base=00 rr_sel=0 elcr=00 fnm=0\n")
    }

    @Test func firmwareSetsBothTriggerRegisters() {
        let controllers = SoftwareInterruptControllers()
        controllers.pic.setLevelTriggered(1 << 10 | 1 << 11 | 1)
        // IRQ 0 is edge-triggered for ever.
        #expect(controllers.pic.state.primary.levelTriggered == 0)
        #expect(controllers.pic.state.secondary.levelTriggered == 0x0C)
        #expect(controllers.pic.monitorDescription.contains("elcr=0c"))
    }

    @Test func risesAreCounted() {
        let controllers = SoftwareInterruptControllers()
        for level in [true, true, false, true, false] { controllers.setGSI(4, level: level) }
        controllers.setGSI(99, level: true)
        #expect(controllers.riseCounts[4] == 2)
        #expect(controllers.riseCounts.reduce(0, +) == 2)
    }
}
