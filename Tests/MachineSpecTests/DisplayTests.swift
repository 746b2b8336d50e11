// SPDX-License-Identifier: Apache-2.0

import Diagnostics
import MachineSpec
import Testing

@Suite struct DisplayFlagTests {
    private func servers(_ line: String) throws -> DisplaySpec { try spec(line).display }

    @Test func withoutAWordThereIsAServerOnThisHost() throws {
        let display = try servers("")
        #expect(display.isDefault)
        #expect(
            display.vncServers.map(\.address) == [.tcp(host: "localhost", firstPort: 5900, lastPort: 5999)])
        for line in ["-display none", "-nographic -serial null", "-vnc none -nodefaults"] {
            #expect(try !servers(line).isDefault, "\(line)")
        }
        #expect(try servers("-display none").vncServers.isEmpty)
    }

    @Test func placesAreRead() throws {
        let display = try servers("-vnc :3 -display vnc=[::1]:4,to=6,websocket=on,id=b -vnc unix:/run/x")
        #expect(
            display.vncServers.map(\.address) == [
                .tcp(host: "", firstPort: 5903, lastPort: 5903), .tcp(host: "::1", firstPort: 5904, lastPort: 5906),
                .unix(path: "/run/x"),
            ])
        #expect(display.vncServers.map(\.identifier) == ["default", "b", "vnc3"])
        #expect(display.vncServers[1].webAddress == .tcp(host: "::1", firstPort: 5704, lastPort: 5706))
    }

    @Test func secretsAndCertificatesMustBeThere() throws {
        let server = try servers(
            "-object secret,id=s,data=x -object tls-creds-x509,id=t,dir=/x,endpoint=server,verify-peer=off "
                + "-vnc :0,password-secret=s,tls-creds=t,share=ignore,power-control=on"
        ).vncServers[0]
        #expect(server.needsPassword && server.credentials == "t" && server.passwordSecret == "s")
        #expect(server.sharePolicy == "ignore" && server.allowsPowerControl)
        for line in [
            "-vnc :0,password-secret=s", "-vnc :0,tls-creds=t", "-vnc :0,share=never", "-vnc :99999", "-vnc x:",
            "-object tls-creds-x509,id=t,dir=/x -vnc :0,tls-creds=t", "-display gtk", "-vnc :0,sasl=on",
            "-vnc :0,nix=1",
            "-object secret,id=s,data=x -vnc :0,password=on,password-secret=s",
        ] {
            #expect(throws: UserError.self, "\(line)") { _ = try servers(line) }
        }
    }
}
