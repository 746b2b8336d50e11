// SPDX-License-Identifier: Apache-2.0

import DaemonAssembly
import Diagnostics
import Testing

@Suite struct DaemonConfigurationTests {
    @Test func settingsAreReadAsLibvirtWritesThem() throws {
        let settings = try DaemonConfiguration(
            """
            # a remark
            listen_tls = 1   # another
            ca_file = "/x#y"
            tls_allowed_dn_list = ["C=GB,*",
               "O=two"]
            unix_sock_rw_perms = "0770"
            something_else = 3
            """, called: "f")
        #expect(try settings.number("listen_tls", in: 0...1) == 1)
        #expect(try settings.text("ca_file") == "/x#y")
        #expect(try settings.list("tls_allowed_dn_list") == ["C=GB,*", "O=two"])
        #expect(try settings.permissions("unix_sock_rw_perms") == 0o770)
        #expect(settings.unknown == ["something_else"])
        #expect(try settings.number("max_clients", in: 1...9) == nil)
    }

    @Test(arguments: ["x", "listen_tls", "listen_tls = ", "ca_file = \"x", "tls_port = maybe"])
    func badLinesAreNamed(_ text: String) {
        #expect(throws: UserError.self) { try DaemonConfiguration(text, called: "f") }
    }

    @Test func valuesOutOfRangeAreRefused() throws {
        let settings = try DaemonConfiguration("max_clients = 0\nca_file = [\"a\"]", called: "f")
        #expect(throws: UserError.self) { try settings.number("max_clients", in: 1...9) }
        #expect(throws: UserError.self) { try settings.text("ca_file") }
    }
}
