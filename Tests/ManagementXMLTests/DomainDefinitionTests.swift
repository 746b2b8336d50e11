// SPDX-License-Identifier: Apache-2.0

import ManagementModel
import ManagementXML
import Testing
import XMLTree

let context = DomainContext(
    emulator: { $0 == "x86_64" ? "/usr/bin/qemu-system-x86_64" : nil },
    canonicalMachine: { name, _ in
        ["pc": "pc-i440fx-7.2", "q35": "pc-q35-7.2"][name] ?? (name.hasPrefix("pc-") ? name : nil)
    })

/// A small machine with the parts that a test is about.
func define(_ devices: String = "", _ more: String = "", machine: String = "pc") throws -> DomainDefinition {
    try DomainDefinition(
        parsing: """
            <domain type='qemu'><name>m</name><memory unit='MiB'>64</memory>\(more)
            <os><type machine='\(machine)'>hvm</type></os><devices>\(devices)</devices></domain>
            """, context)
}

@Suite struct DomainDefinitionTests {
    @Test func aMinimalMachineIsCompleted() throws {
        let definition = try define()
        #expect(definition.maximumMemory == 65536)
        #expect(definition.memory == 65536)
        #expect(definition.maximumProcessors == 1)
        #expect(definition.machine == "pc-i440fx-7.2")
        #expect(definition.emulator == "/usr/bin/qemu-system-x86_64")
        let text = definition.printed()
        for line in [
            "<vcpu placement='static'>1</vcpu>", "<boot dev='hd'/>", "<clock offset='utc'/>",
            "<on_poweroff>destroy</on_poweroff>", "<model fallback='forbid'>qemu64</model>",
            "<input type='mouse' bus='ps2'/>", "<audio id='1' type='none'/>", "<memballoon model='virtio'>",
        ] { #expect(text.contains(line), "\(line)") }
    }

    @Test func whatIsCompleteStaysAsItIs() throws {
        let once = try define("<disk><source file='/a'/><target dev='vda'/></disk><serial type='pty'/>").printed()
        #expect(try DomainDefinition(parsing: once, context).printed() == once)
    }

    @Test(arguments: [
        ("<domain/>", ErrorCode.noName), ("<pool/>", .xmlError), ("x", .xmlDetail),
        ("<domain type='xen'/>", .noName),
        ("<domain type='xen'><name>a</name></domain>", .configUnsupported), ("<domain type='qemu'/>", .noName),
        ("<domain type='qemu'><name>a/b</name></domain>", .xmlError),
        ("<domain type='qemu'><name>a</name><uuid>1</uuid></domain>", .internalError),
        ("<domain type='qemu'><name>a</name></domain>", .xmlError),
        ("<domain type='qemu'><name>a</name><memory>x</memory></domain>", .xmlError),
        ("<domain type='qemu'><name>a</name><memory unit='ZiB'>1</memory></domain>", .invalidArg),
        ("<domain type='qemu'><name>a</name><memory unit='EiB'>99</memory></domain>", .overflow),
        ("<domain type='qemu'><name>a</name><memory>1</memory><vcpu>0</vcpu></domain>", .xmlError),
        ("<domain type='qemu'><name>a</name><memory>1</memory></domain>", .xmlError),
        (
            "<domain type='qemu'><name>a</name><memory>1</memory><os><type machine='s390'>hvm</type></os></domain>",
            .configUnsupported
        ),
    ])
    func badDocumentsAreRefused(_ text: String, _ code: ErrorCode) {
        #expect {
            try DomainDefinition(parsing: text, context)
        } throws: { ($0 as? ManagementError)?.code == code }
    }

    @Test(arguments: [("1", nil, 1), ("1", "b", 1), ("1025", "bytes", 2), ("1", "MB", 977), ("1", "G", 1_048_576)])
    func memoryIsKeptInKiB(_ number: String, _ unit: String?, _ expected: UInt64) throws {
        let attribute = unit.map { " unit='\($0)'" } ?? ""
        let text =
            "<domain type='qemu'><name>a</name><memory\(attribute)>\(number)</memory><os><type>hvm</type></os></domain>"
        #expect(try DomainDefinition(parsing: text, context).maximumMemory == expected)
    }

    @Test func elementsAreOrderedAndUnknownOnesKept() throws {
        let text = try define("", "<wonder a='1'/><title>t</title>").printed()
        let title = try #require(text.range(ofText: "<title>"))
        let memory = try #require(text.range(ofText: "<memory "))
        let wonder = try #require(text.range(ofText: "<wonder a='1'/>"))
        #expect(title < memory && memory < wonder)
    }

    @Test func passwordsAreShownOnlyOnDemand() throws {
        let definition = try define("<graphics type='vnc' passwd='secret'/>")
        #expect(definition.printed(secure: true).contains("secret"))
        #expect(!definition.printed(secure: false).contains("secret"))
        #expect(definition.printed(id: 7).hasPrefix("<domain type='qemu' id='7'>"))
    }
}

extension String {
    func range(ofText part: String) -> Int? {
        let (all, wanted) = (Array(utf8), Array(part.utf8))
        return (0...max(0, all.count - wanted.count)).first {
            Array(all[$0..<min(all.count, $0 + wanted.count)]) == wanted
        }
    }
}
