// SPDX-License-Identifier: Apache-2.0

import JSONCoding
import Testing

@Suite struct JSONParserTests {
    /// What qemu-img 7.2 says about `json:` followed by these texts.
    static let mistakes = [
        ("", "Expecting a JSON value"), ("{", "JSON parse error, premature EOI"),
        ("{'driver'", "JSON parse error, premature EOI"), ("{'driver':}", "JSON parse error, expecting value"),
        ("{'driver':'raw',}", "JSON parse error, expecting value"),
        ("{'driver':'raw','driver':'raw'}", "JSON parse error, duplicate key"),
        ("{driver:1}", "JSON parse error, invalid keyword 'driver'"),
        ("{'a':1}x", "Expecting at most one JSON value"), ("{} {}", "Expecting at most one JSON value"),
        ("{'a':tru}", "JSON parse error, invalid keyword 'tru'"), ("{'a':01}", "JSON parse error, stray '01'"),
        ("{'a':1.}", "JSON parse error, stray '1.}'"),
        ("{'a':'\\q'}", "JSON parse error, invalid escape sequence in string"),
        ("{'a':'\\u12'}", "JSON parse error, \\u12' is not a valid Unicode character"),
        ("{'a':'\\uD800'}", "JSON parse error, \\uD800 is not a valid Unicode character"),
        ("{'a' 1}", "JSON parse error, missing : in object pair"),
        ("{'a':1 'b':2}", "JSON parse error, expected separator in dict"),
        ("{'a':[1 2]}", "JSON parse error, expected separator in list"), ("{'a':%d}", "JSON parse error, stray '%'"),
        ("{'a':&}", "JSON parse error, stray '&'"), ("{'a':-}", "JSON parse error, stray '-}'"),
        ("{'a':'x", "JSON parse error, stray ''x'"), ("{1:2}", "JSON parse error, key is not a string in object"),
        ("]", "JSON parse error, expecting value"),
    ]

    @Test(arguments: mistakes)
    func namesTheMistakeAsQEMU(text: String, message: String) {
        #expect(throws: JSONError.self) { _ = try JSONValue(parsing: text) }
        do { _ = try JSONValue(parsing: text) } catch { #expect(error.message == message) }
    }

    @Test func saysWhereTheMistakeIs() {
        do {
            _ = try JSONValue(parsing: "{\n  \"a\": 1,\n  \"b\": &\n}")
            Issue.record("parsed")
        } catch {
            #expect(error.offset == 19 && error.line == 3 && error.column == 8)
            #expect(error.located == "line 3, column 8: JSON parse error, stray '&'")
        }
    }

    @Test func numbersKeepTheirKind() throws {
        let value = try JSONValue(
            parsing: "[0, -0, -9223372036854775808, 9223372036854775808, 18446744073709551616, 1.5e3]")
        #expect(
            value == [0, 0, .integer(.min), .unsigned(1 << 63), .double(18_446_744_073_709_551_616), .double(1500)])
        #expect(throws: JSONError.self) { _ = try JSONValue(parsing: "1e999") }
    }

    @Test func stringsDecodeEscapesInEitherQuotes() throws {
        #expect(try JSONValue(parsing: #"'a"\'\u00e9\ud83d\ude00\/\n'"#) == .string("a\"'é😀/\n"))
        #expect(try JSONValue(parsing: #""it's \u0000""#) == .string("it's \0"))
        #expect(throws: JSONError.self) { _ = try JSONValue(parsing: [0x22, 0xC3, 0x28, 0x22]) }
    }

    @Test func nestingIsBounded() throws {
        let deep = String(repeating: "[", count: 1024) + String(repeating: "]", count: 1024)
        _ = try JSONValue(parsing: deep)
        do {
            _ = try JSONValue(parsing: String(repeating: "[", count: 100_000))
            Issue.record("parsed")
        } catch { #expect(error.message == "JSON nesting depth limit exceeded") }
    }

    @Test func sizesAreBounded() {
        let limits = JSONLimits(depth: 8, tokens: 10, bytes: 100)
        do {
            _ = try JSONValue(parsing: "[1,2,3,4,5,6,7]", limits: limits)
            Issue.record("parsed")
        } catch { #expect(error.message == "JSON token count limit exceeded") }
        do {
            _ = try JSONValue(parsing: "\"" + String(repeating: "x", count: 200), limits: limits)
            Issue.record("parsed")
        } catch { #expect(error.message == "JSON token size limit exceeded") }
    }

    @Test func largeObjectsFindTheirMembers() throws {
        let text = "{" + (0..<1000).map { "\"k\($0)\":\($0)" }.joined(separator: ",") + "}"
        var object = try #require(try JSONValue(parsing: text).object)
        #expect(object["k999"] == 999 && object["k1000"] == nil)
        object["k3"] = nil
        #expect(object["k3"] == nil && object["k500"] == 500 && object.count == 999)
        object["k4"] = "new"
        #expect(object.names.prefix(4) == ["k0", "k1", "k2", "k4"] && object["k4"] == "new")
    }

    @Test func randomBytesNeverTrap() {
        var generator = SystemRandomNumberGenerator()
        let alphabet = Array("{}[]:,\"'\\u0129.eE+-tfn \u{1}x".utf8)
        for _ in 0..<2000 {
            let text = (0..<Int.random(in: 0..<60)).map { _ in alphabet.randomElement(using: &generator) ?? 0 }
            if let value = try? JSONValue(parsing: text) {
                // A double without a fraction prints as an integer, as QEMU's does: the text is what must stay.
                #expect((try? JSONValue(parsing: value.printed()))?.printed() == value.printed())
            }
        }
    }
}

@Suite struct JSONStreamTests {
    private func run(_ text: String, pieces: Int) -> [String] {
        var parser = JSONStreamParser()
        let bytes = Array(text.utf8)
        var lines: [String] = []
        for start in stride(from: 0, to: bytes.count, by: pieces) {
            for result in parser.feed(bytes[start..<min(start + pieces, bytes.count)]) {
                switch result {
                case .success(let value): lines.append(value.printed())
                case .failure(let error): lines.append(error.message)
                }
            }
        }
        return lines
    }

    @Test(arguments: [1, 2, 7, 1000])
    func valuesNeedNoSeparator(pieces: Int) {
        #expect(run("{\"a\":1}{'b':[2]} 5\n\"x\"", pieces: pieces) == ["{\"a\": 1}", "{\"b\": [2]}", "5", "\"x\""])
    }

    /// The same session at QEMU 7.2's QMP gives the same four answers.
    @Test func resumesBehindAMistakeAsQEMU() {
        let lines = run("{\"execute\":\"query-name\", & \"id\": 3}\n{\"execute\":\"query-name\"}", pieces: 1)
        #expect(
            lines == [
                "JSON parse error, stray '&'", "JSON parse error, expecting value", "3",
                "JSON parse error, expecting value", "{\"execute\": \"query-name\"}",
            ])
    }

    @Test func aClosingBraceTooManyIsOneMistake() {
        #expect(run("}{}", pieces: 1) == ["JSON parse error, expecting value", "{}"])
    }
}

@Suite struct JSONPrinterTests {
    @Test func compactAsOnQMP() {
        let value: JSONValue = [
            "return": [:], "id": [.double(0.1), .double(1e300), .double(-0.0), .double(1e20), "é\0\u{7F}😀/\"\u{8}<"],
        ]
        #expect(
            value.printed() == #"{"return": {}, "id": [0.10000000000000001, 1.0000000000000001e+300, -0, 1e+20, "#
                + #""\u00E9\u0000\u007F\uD83D\uDE00/\"\b<"]}"#)
    }

    @Test func prettyAsQEMU() {
        let value: JSONValue = ["return": [:], "id": [[], 1, ["x": .null]]]
        #expect(
            value.printed(pretty: true)
                == """
                {
                    "return": {
                    },
                    "id": [
                        [
                        ],
                        1,
                        {
                            "x": null
                        }
                    ]
                }
                """)
    }

    /// Orders seen on QEMU 7.2's QMP.
    @Test func dictionariesInQEMUsOrder() throws {
        let device: JSONValue = ["frontend-open": true, "label": "q", "filename": "stdio"]
        #expect(device.inQEMUOrder().object?.names == ["frontend-open", "filename", "label"])
        let version: JSONValue = ["major": 7, "minor": 2, "micro": 22]
        #expect(version.inQEMUOrder().object?.names == ["micro", "minor", "major"])
        let event: JSONValue = ["event": "SHUTDOWN", "data": ["reason": "x", "guest": false], "timestamp": [:]]
        #expect(event.inQEMUOrder()["data"]?.object?.names == ["guest", "reason"])
        #expect((["b": 1, "a": 2] as JSONValue).inQEMUOrder().object?.names == ["a", "b"])
    }
}
