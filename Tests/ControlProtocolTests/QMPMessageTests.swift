// SPDX-License-Identifier: Apache-2.0

import ControlProtocol
import JSONCoding
import Testing

@Suite struct QMPCommandTests {
    /// Words of QEMU 7.2 for what is not a command.
    @Test(arguments: [
        ("[]", "QMP input must be a JSON object"), ("1", "QMP input must be a JSON object"),
        ("{}", "QMP input lacks member 'execute'"), ("{\"id\": 1}", "QMP input lacks member 'execute'"),
        ("{\"execute\": 1}", "QMP input member 'execute' must be a string"),
        ("{\"exec-oob\": null}", "QMP input member 'exec-oob' must be a string"),
        ("{\"execute\": \"stop\", \"arguments\": []}", "QMP input member 'arguments' must be an object"),
        ("{\"execute\": \"stop\", \"extra\": 1}", "QMP input member 'extra' is unexpected"),
        (
            "{\"execute\": \"stop\", \"exec-oob\": \"stop\"}",
            "QMP input members 'execute' and 'exec-oob' are mutually exclusive"
        ),
    ])
    func whatIsNoCommandIsRefused(_ text: String, _ refusal: String) throws {
        let message = try JSONValue(parsing: text)
        let error = #expect(throws: QMPError.self) { try QMPCommand(message) }
        #expect(error?.text == refusal)
        #expect(error?.errorClass == .generic)
    }

    @Test func aCommandComesBackAsItWasSent() throws {
        let command = QMPCommand(name: "query-block", arguments: ["flat": .bool(true)], identifier: ["a": .integer(1)])
        #expect(command.json.printed() == #"{"execute": "query-block", "arguments": {"flat": true}, "id": {"a": 1}}"#)
        #expect(try QMPCommand(command.json) == command)
        #expect(QMPCommand(name: "stop").json.printed() == #"{"execute": "stop"}"#)
    }

    @Test func outOfBandIsKept() throws {
        let command = try QMPCommand(try JSONValue(parsing: #"{"exec-oob": "migrate-pause", "id": "x"}"#))
        #expect(command.isOutOfBand && command.name == "migrate-pause" && command.identifier == .string("x"))
    }
}

@Suite struct QMPAnswerTests {
    @Test func answersCarryTheClientsMark() {
        #expect(QMPResponse.success([:], identifier: nil).json.printed() == #"{"return": {}}"#)
        #expect(QMPResponse.success(.integer(3), identifier: .integer(7)).json.printed() == #"{"return": 3, "id": 7}"#)
        #expect(
            QMPResponse.failure(QMPError("no", class: .deviceNotFound), identifier: .integer(7)).json.printed()
                == #"{"id": 7, "error": {"class": "DeviceNotFound", "desc": "no"}}"#)
    }

    @Test func eventsCarryTheirTime() {
        #expect(
            QMPEvent("STOP", microseconds: 12_000_345).json.printed()
                == #"{"timestamp": {"seconds": 12, "microseconds": 345}, "event": "STOP"}"#)
        #expect(QMPEvent("RESET", data: ["guest": .bool(true)], microseconds: 0).json["data"]?["guest"] == .bool(true))
    }

    @Test func theGreetingNamesTheRelease() {
        let version = QMPVersion.greeting["QMP"]?["version"]
        #expect(version?["qemu"]?["major"] == .integer(7))
        #expect(version?["package"]?.string == "Roost")
        #expect(QMPVersion.json == version)
    }
}
