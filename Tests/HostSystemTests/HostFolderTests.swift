// SPDX-License-Identifier: Apache-2.0

import HostSystem
import Testing

@Suite struct HostFolderTests {
    @Test func namesAreGivenWithoutTheFolderItself() throws {
        let names = try #require(HostFolder.names(in: "/proc/self/fdinfo/.."))
        #expect(names.contains("status"))
        #expect(!names.contains("."))
        #expect(!names.contains(".."))
    }

    @Test func noMoreNamesThanAskedFor() {
        #expect(HostFolder.names(in: "/proc/self", most: 3)?.count == 3)
        #expect(HostFolder.names(in: "/proc/self", most: 0)?.isEmpty == true)
    }

    @Test func whatIsNoFolderHasNone() {
        #expect(HostFolder.names(in: "/proc/self/status") == nil)
        #expect(HostFolder.names(in: "/no/such/folder") == nil)
    }
}

@Suite struct ThisProgramTests {
    @Test func variablesAreThoseOfTheEnvironment() throws {
        let path = try #require(ThisProgram.variable("PATH"))
        #expect(ThisProgram.environment.contains("PATH=" + path))
        #expect(ThisProgram.variable("NO_SUCH_VARIABLE_IS_SET") == nil)
    }

    @Test func neighboursAreInTheFolderOfTheProgram() {
        let neighbour = ThisProgram.beside("neighbour")
        #expect(neighbour.hasPrefix("/"))
        #expect(neighbour.hasSuffix("/neighbour"))
    }
}
