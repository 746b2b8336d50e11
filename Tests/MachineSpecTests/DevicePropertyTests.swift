// SPDX-License-Identifier: Apache-2.0

import JSONCoding
import MachineSpec
import RandomKit
import StorageTestKit
import Testing

/// Every device of the table with every property of the table.
@Suite struct DevicePropertyTests {
    /// What devices need beside themselves, so that one of them is a machine.
    private static func line(_ type: DeviceType, _ more: String = "") -> String {
        var board = type.bus == "virtio-bus" ? "-M microvm" : "-M q35"
        if type.bus == "IDE" && type.name != "ide-cd" { board = "-M pc" }
        var line = "-nodefaults \(board) -drive if=none,id=dd,file=x,format=raw -chardev null,id=cc "
        line += "-netdev user,id=nn -object rng-builtin,id=rr -object iothread,id=tt "
        if type.bus == "virtio-serial-bus" { line += "-device virtio-serial-pci " }
        if type.bus == "usb-bus" { line += "-device qemu-xhci " }
        line += "-device \(type.name)"
        let names = type.properties.map(\.name)
        let given = more.split(separator: "=").first.map(String.init)
        for (name, value) in [("drive", "dd"), ("chardev", "cc")] where names.contains(name) && given != name {
            // An optical drive may be empty, a disk may not.
            line += ",\(name)=\(value)"
        }
        return line + (more.isEmpty ? "" : ",\(more)")
    }

    @Test(arguments: DeviceType.all.map(\.name)) func aDeviceAloneIsAMachine(_ name: String) throws {
        let type = try #require(DeviceType.named(name))
        let machine = try spec(Self.line(type))
        #expect(machine.devices.last?.typeName == name)
    }

    @Test(arguments: DeviceType.all.map(\.name)) func everyPropertyIsKnownToTheReader(_ name: String) throws {
        let type = try #require(DeviceType.named(name))
        for property in type.properties {
            for value in ["on", "1", "auto", "text", ""] {
                let text = failure(Self.line(type, "\(property.name)=\(value)"))
                #expect(
                    !text.contains("not found\n") && !text.contains("\(name).\(property.name)' not found"), "\(text)")
                #expect(!text.contains("\n"))
            }
        }
    }

    @Test(arguments: DeviceType.all.map(\.name)) func switchesTakeOnAndOffAlone(_ name: String) throws {
        let type = try #require(DeviceType.named(name))
        for property in type.properties where property.type == "bool" && property.name != "edid" {
            let fixed = property.summary == "only off"
            #expect(failure(Self.line(type, "\(property.name)=off")) == "no error", "\(property.name)")
            let on = failure(Self.line(type, "\(property.name)=on"))
            #expect((on == "no error") != fixed, "\(property.name): \(on)")
            for value in ["maybe", "2", "ON"] {
                let text = failure(Self.line(type, "\(property.name)=\(value)"))
                #expect(text != "no error" && text.dropFirst(2).contains(property.name), "\(text)")
            }
        }
    }

    @Test(arguments: DeviceType.all.map(\.name)) func numbersAreNumbersInTheirRange(_ name: String) throws {
        let type = try #require(DeviceType.named(name))
        for property in type.properties {
            let limits: [String: String] = ["uint8": "256", "uint16": "65536", "uint32": "4294967296"]
            guard let beyond = limits[property.type] else { continue }
            for value in [beyond, "-2", "x", "1x", "", "99999999999999999999999"] {
                #expect(
                    failure(Self.line(type, "\(property.name)=\(value)")) != "no error", "\(property.name)=\(value)")
            }
        }
    }

    @Test(arguments: DeviceType.all.map(\.name)) func otherPropertiesAreNotFound(_ name: String) throws {
        let type = try #require(DeviceType.named(name))
        let text = failure(Self.line(type, "nothing-like-it=1"))
        #expect(text.contains("Property '\(name).nothing-like-it' not found"), "\(text)")
    }

    @Test(arguments: DeviceType.all.map(\.name)) func jsonMeansTheSame(_ name: String) throws {
        let type = try #require(DeviceType.named(name))
        for property in type.properties where property.type == "bool" && property.summary != "only off" {
            let plain = Self.line(type, "\(property.name)=on,id=it")
            var words = plain.split(separator: " ").map(String.init)
            guard let device = words.popLast() else { continue }
            let pairs = device.split(separator: ",").dropFirst().map {
                $0.split(separator: "=", maxSplits: 1).map(String.init)
            }
            var members = ["\"driver\":\"\(name)\""]
            for pair in pairs {
                members.append("\"\(pair[0])\":" + (pair[1] == "on" ? "true" : "\"\(pair[1])\""))
            }
            guard case .run(let json) = try request(words + ["{" + members.joined(separator: ",") + "}"]) else {
                Issue.record("no machine")
                continue
            }
            #expect(try spec(plain).devices.last == json.devices.last, "\(property.name)")
        }
    }

    @Test(arguments: DeviceType.all.map(\.name)) func theHelpNamesEveryProperty(_ name: String) throws {
        let type = try #require(DeviceType.named(name))
        let text = try printed("-device \(name),help")
        for property in type.properties { #expect(text.contains("  \(property.name)=<\(property.type)>")) }
        #expect(try printed("-device help").contains("name \"\(name)\", bus \(type.bus)"))
    }

    @Test func aliasesAreTheSameDevice() throws {
        for type in DeviceType.all {
            guard let alias = type.alias else { continue }
            var other = type
            other.name = alias
            #expect(try spec(Self.line(other)).devices.last == spec(Self.line(type)).devices.last, "\(alias)")
        }
    }

    /// Any values for any properties, several at a time.
    @Test func anyPropertiesAreAMachineOrOneLine() {
        var random = SeededGenerator(seed: 11)
        let values = [
            "on", "off", "auto", "0", "1", "-1", "256", "65535", "65536", "4294967295", "1k", "7", "0x10", "dd", "cc",
            "nn", "rr", "tt", "", "52:54:00:00:00:01", "06.7", "1f", "a,,b", "pcie.0", "stop",
        ]
        var machines = 0
        for _ in 0..<4000 {
            guard let type = DeviceType.all.randomElement(using: &random) else { return }
            let count = Int.random(in: 1...4, using: &random)
            let pairs = (0..<count).map { _ in
                let name = type.properties.randomElement(using: &random)?.name ?? "bus"
                return name + "=" + (values.randomElement(using: &random) ?? "")
            }
            let text = failure(Self.line(type, pairs.joined(separator: ",")))
            if text == "no error" { machines += 1 }
            #expect(!text.contains("\n") && text.utf8.count < 400)
        }
        #expect(machines > 100)
    }
}
