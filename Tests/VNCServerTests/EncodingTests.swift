// SPDX-License-Identifier: Apache-2.0

import DisplaySurfaces
import Testing
import VNCServer
import VNCTestKit

/// Pictures of several kinds, from the same numbers each time.
enum Pictures {
    static func make(_ kind: Int, width: Int, height: Int) -> DisplayImage {
        var image = DisplayImage(width: width, height: height)
        var seed = UInt64(kind) &* 7919 &+ 17
        func random() -> UInt64 {
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return seed >> 33
        }
        let colours: [UInt32] = (0..<200).map { _ in UInt32(truncatingIfNeeded: random()) & 0xFF_FFFF }
        for index in image.pixels.indices {
            switch kind {
            case 0: image.pixels[index] = 0x123456
            case 1: image.pixels[index] = random() & 15 == 0 ? 0xFFFFFF : 0
            case 2: image.pixels[index] = colours[Int(random() % 5)]
            case 3: image.pixels[index] = colours[index / 7 % 13]
            case 4: image.pixels[index] = colours[index / 5 % 180]
            default: image.pixels[index] = UInt32(truncatingIfNeeded: random()) & 0xFF_FFFF
            }
        }
        return image
    }
}

@Suite struct EncodingTests {
    @Test(arguments: VNCEncoding.allCases)
    func picturesComeBackAsTheyWere(_ encoding: VNCEncoding) throws {
        let encoder = UpdateEncoder()
        var choice = EncodingChoice()
        choice.encoding = encoding
        var decoder = PictureDecoder(width: 197, height: 83)
        // The same streams carry all pictures.
        for kind in 0..<6 {
            choice.level = kind
            let image = Pictures.make(kind, width: 197, height: 83)
            try decoder.read(try encoder.update(image, [image.bounds], choice))
            #expect(decoder.pixels == image.pixels, "picture \(kind)")
        }
        #expect(decoder.encodings == [encoding.rawValue])
    }

    @Test(arguments: VNCEncoding.allCases)
    func onlyTheRectanglesAreSent(_ encoding: VNCEncoding) throws {
        let image = Pictures.make(3, width: 300, height: 100)
        var choice = EncodingChoice()
        choice.encoding = encoding
        var decoder = PictureDecoder(width: 300, height: 100)
        let parts = [
            PixelRectangle(x: 64, y: 16, width: 65, height: 17), PixelRectangle(x: 299, y: 99, width: 1, height: 1),
        ]
        try decoder.read(try UpdateEncoder().update(image, parts, choice))
        for y in 0..<100 {
            for x in 0..<300 {
                let isInside = parts.contains {
                    x >= $0.x && x < $0.x + $0.width && y >= $0.y && y < $0.y + $0.height
                }
                #expect(decoder.pixels[y * 300 + x] == (isInside ? image[x, y] : 0))
            }
        }
    }

    @Test func wideAndHighPicturesAreCutForTight() throws {
        let image = Pictures.make(4, width: 2500, height: 70)
        var choice = EncodingChoice()
        choice.encoding = .tight
        var decoder = PictureDecoder(width: 2500, height: 70)
        try decoder.read(try UpdateEncoder().update(image, [image.bounds], choice))
        #expect(decoder.pixels == image.pixels)
    }

    @Test func localClientsGetPhotographsRawAndDrawingsSmall() throws {
        var choice = EncodingChoice()
        choice.encoding = .tight
        choice.isLocal = true
        for (kind, expected) in [(5, Int32(0)), (3, 7)] {
            let image = Pictures.make(kind, width: 200, height: 90)
            var decoder = PictureDecoder(width: 200, height: 90)
            try decoder.read(try UpdateEncoder().update(image, [image.bounds], choice))
            #expect(decoder.encodings == [expected])
            #expect(decoder.pixels == image.pixels)
        }
    }

    @Test(
        arguments: [
            // bits, big-endian, maxima, shifts, white, red in memory
            ([16, 16, 0, 1, 0, 31, 0, 63, 0, 31, 11, 5, 0], [0xFF, 0xFF, 0x00, 0xF8]),
            ([16, 16, 1, 1, 0, 31, 0, 63, 0, 31, 11, 5, 0], [0xFF, 0xFF, 0xF8, 0x00]),
            ([8, 8, 0, 1, 0, 7, 0, 7, 0, 3, 0, 3, 6], [0xFF, 0x07]),
            ([32, 24, 1, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0], [0, 255, 255, 255, 0, 255, 0, 0]),
        ] as [([UInt8], [UInt8])])
    func pixelsAreTurnedIntoTheClientsFormat(_ format: [UInt8], _ expected: [UInt8]) throws {
        let message = try ClientMessage(from: VNCReader(ScriptedChannel([0, 0, 0, 0] + format + [0, 0, 0])))
        guard case .setPixelFormat(let format) = message else {
            Issue.record("\(message)")
            return
        }
        var image = DisplayImage(width: 2, height: 1)
        image.pixels = [0xFFFFFF, 0xFF0000]
        var choice = EncodingChoice()
        choice.format = format
        let update = try UpdateEncoder().update(image, [image.bounds], choice)
        #expect(Array(update.dropFirst(16)) == expected)
    }

    @Test func impossiblePixelFormatsAreRefused() {
        for format: [UInt8] in [
            [24, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0], [32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 33, 8, 0],
            [8, 8, 0, 1, 0, 255, 0, 7, 0, 3, 6, 3, 0], [32, 24, 0, 1, 0, 0, 0, 255, 0, 255, 16, 8, 0],
        ] {
            #expect(throws: VNCFailure.self) {
                _ = try ClientMessage(from: VNCReader(ScriptedChannel([0, 0, 0, 0] + format + [0, 0, 0])))
            }
        }
    }
}
