// SPDX-License-Identifier: Apache-2.0

import MachineDriver
import ManagementXML
import Testing
import XMLTree

@Suite struct DiskThreadTests {
    private func definition(_ text: String) throws -> DomainDefinition {
        DomainDefinition(complete: try XMLParser.parse("<domain>\(text)</domain>"))
    }

    @Test func threadsWithoutNumbersAreGivenTheFirstFree() throws {
        #expect(try definition("<iothreads>3</iothreads>").threadNumbers == [1, 2, 3])
        #expect(
            try definition("<iothreads>3</iothreads><iothreadids><iothread id='2'/></iothreadids>").threadNumbers
                == [1, 2, 3])
        #expect(try definition("<iothreadids><iothread id='7'/></iothreadids>").threadNumbers == [7])
        #expect(try definition("").threadNumbers.isEmpty)
    }

    @Test func aCountWithoutBoundsIsBounded() throws {
        #expect(try definition("<iothreads>4000000000</iothreads>").threadNumbers.count == 1024)
    }

    @Test func pinsGoWithTheirThreads() throws {
        var machine = try definition(
            """
            <iothreads>2</iothreads><cputune><iothreadpin iothread='1' cpuset='0'/>
            <iothreadpin iothread='2' cpuset='1'/></cputune>
            """)
        machine.setThreads([2])
        #expect(machine.threadNumbers == [2])
        #expect(machine.root[child: "cputune"]?.all("iothreadpin").count == 1)
        machine.setThreads([])
        #expect(machine.root[child: "iothreads"] == nil && machine.root[child: "cputune"] == nil)
    }

    @Test func sizesAreReadFromHeaders() {
        var header: [UInt8] = [0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3] + [UInt8](repeating: 0, count: 24)
        header[29] = 1
        #expect(ImageHeader.capacity(ofHeader: header) == 65536)
        #expect(ImageHeader.capacity(ofHeader: [UInt8](repeating: 0, count: 32)) == nil)
        #expect(ImageHeader.capacity(ofHeader: [0x51]) == nil)
        #expect(ImageHeader.capacity("/nowhere") == nil)
    }
}
