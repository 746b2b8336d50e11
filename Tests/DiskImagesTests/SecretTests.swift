// SPDX-License-Identifier: Apache-2.0

import DiskImages
import StorageTestKit
import Testing

/// Secrets of the command line, seen through what they open.
@Suite struct SecretTests {
    private func open(_ path: String, _ objects: [String]) -> (status: Int32, text: String) {
        var line = ["map", "--output=json"]
        for object in objects { line += ["--object", object] }
        return tool(line + ["--image-opts", "driver=luks,key-secret=s,file.filename=\(path)"])
    }

    private func makeVolume(_ folder: Folder) -> String {
        let path = folder.file("v.luks")
        let made = tool([
            "create", "-q", "--object", "secret,id=s,data=correct horse battery", "-f", "luks", "-o",
            "key-secret=s,iter-time=10", path, "1M",
        ])
        #expect(made.status == 0, "\(made.text)")
        return path
    }

    /// Made by openssl enc -aes-256-cbc with the key "kkkk..." and the vector "0123456789abcdef".
    private let encrypted = "yWThLxiqFpIsp+CqjftzgJAUu2QF+Jul+eYPc1A73Iw="
    private let key = "secret,id=k,data=a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="
    private let vector = "iv=MDEyMzQ1Njc4OWFiY2RlZg=="

    @Test func everyWayToSayASecret() {
        let folder = Folder()
        let path = makeVolume(folder)
        #expect(open(path, ["secret,id=s,data=correct horse battery"]).status == 0)
        #expect(open(path, ["secret,id=s,format=base64,data=Y29ycmVjdCBob3JzZSBiYXR0ZXJ5"]).status == 0)
        #expect(open(path, [key, "secret,id=s,format=base64,data=\(encrypted),keyid=k,\(vector)"]).status == 0)
        #expect(open(path, ["secret,id=s,data=wrong"]).text.contains("Invalid password"))
    }

    @Test func mistakes() {
        let folder = Folder()
        let path = makeVolume(folder)
        #expect(open(path, ["secret,id=s"]).text.contains("Either 'file' or 'data' must be provided"))
        #expect(open(path, ["secret,id=s,data=x,file=y"]).text.contains("mutually exclusive"))
        #expect(open(path, ["secret,id=s,data=x,nope=1"]).text.contains("Parameter 'nope' is unexpected"))
        #expect(open(path, ["secret,id=s,data=x,format=hex"]).text.contains("does not accept value 'hex'"))
        #expect(open(path, ["secret,id=s,file=/nonexistent"]).text.contains("Unable to read /nonexistent"))
        #expect(open(path, ["secret,id=s,data=x,keyid=k"]).text.contains("No secret with id 'k'"))
        #expect(open(path, [key, "secret,id=s,data=x,keyid=k"]).text.contains("IV is required"))
        let short = open(path, [key, "secret,id=s,format=base64,data=\(encrypted),keyid=k,iv=MDEy"])
        #expect(short.text.contains("IV should be 16 bytes in length"))
        let cut = open(path, [key, "secret,id=s,format=base64,data=MDEy,keyid=k,\(vector)"])
        #expect(cut.text.contains("no whole blocks"))
        let other = "secret,id=k,data=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
        let garbled = open(path, [other, "secret,id=s,format=base64,data=\(encrypted),keyid=k,\(vector)"])
        #expect(garbled.status == 1)
    }
}
