// SPDX-License-Identifier: Apache-2.0

/// What is known of x86 processors by the names that clients of libvirt use: features and models.
public struct ProcessorMap: Sendable {
    /// Where a feature's bit is.
    public struct Place: Equatable, Sendable {
        /// CPUID's leaf, or the number of a model-specific register.
        public var leaf: UInt32
        /// CPUID's index.
        public var index: UInt32
        /// Whether the bit is in a model-specific register.
        public var isModelSpecific: Bool
        /// 0...3 for EAX, EBX, ECX and EDX; of a model-specific register, 0 and 3 are its halves.
        public var register: Int
        /// 0...31.
        public var bit: UInt32
    }

    /// A feature.
    public struct Feature: Equatable, Sendable {
        /// As documents have it.
        public var name: String
        /// Where the processor shows it.
        public var place: Place
        /// Whether machines that have it can move.
        public var isMigratable: Bool
        /// Names that emulators have for it besides.
        public var aliases: [String]
    }

    /// A model.
    public struct Model: Sendable {
        /// As documents have it.
        public var name: String
        /// It may stand for a host, and for a guest.
        public var describesHost: Bool, describesGuest: Bool
        /// Families, models and steppings; without steppings for all.
        public var signatures: [(family: Int, model: Int, steppings: [ClosedRange<Int>])]
        /// Features, and the maker.
        public var features: ProcessorFeatureSet
        /// Features that emulators' models of that name had once; a guest's description says that it has them not.
        public var removed: [String]

        func matches(_ signature: ProcessorSignature) -> Bool {
            signatures.contains {
                $0.family == signature.family && $0.model == signature.model
                    && ($0.steppings.isEmpty || $0.steppings.contains { $0.contains(signature.stepping) })
            }
        }
    }

    /// All features; an index into this list names one.
    public let features: [Feature]
    /// All models, the newest last.
    public let models: [Model]
    private let indices: [String: Int]

    /// The one that there is.
    public static let standard = ProcessorMap()

    /// Makers by the names that CPUID has, and documents.
    static let vendors = ["GenuineIntel": "Intel", "AuthenticAMD": "AMD", "HygonGenuine": "Hygon"]

    private init() {
        var features: [Feature] = []
        var indices: [String: Int] = [:]
        for line in processorFeatureTable.split(separator: "\n") {
            let words = line.split(separator: " ").map(String.init)
            guard words.count >= 2, let place = Place(words[1]) else { preconditionFailure("feature: \(line)") }
            for name in [words[0]] + words.dropFirst(2) { indices[name] = features.count }
            features.append(
                Feature(
                    name: words[0], place: place, isMigratable: !words[1].hasSuffix("!"),
                    aliases: Array(words.dropFirst(2))))
        }
        precondition(features.count <= ProcessorFeatureSet.capacity)
        self.features = features
        self.indices = indices
        var lines: [[Substring]] = []
        for line in processorModelNames.split(separator: "\n") {
            if line.hasPrefix(" ") {
                lines[lines.count - 1] += line.split(separator: " ")
            } else {
                lines.append(line.split(separator: " "))
            }
        }
        models = lines.map { Model($0.map(String.init), indices) }
    }

    /// The index of a feature by its name or an emulator's name for it.
    public func index(of name: String) -> Int? { indices[name] }

    /// The index of a feature by the name that documents have; emulators' names are not known there.
    func documentedIndex(of name: String) -> Int? { indices[name].flatMap { features[$0].name == name ? $0 : nil } }

    /// The model of a name.
    public func model(_ name: String) -> Model? { models.first { $0.name == name } }

    /// Names of the features of a set, in the map's order.
    public func names(of set: ProcessorFeatureSet) -> [String] {
        features.indices.filter { set[$0] }.map { features[$0].name }
    }
}

/// Family, model and stepping as /proc/cpuinfo shows them.
public struct ProcessorSignature: Equatable, Sendable {
    /// Extended parts are added already.
    public var family: Int, model: Int, stepping: Int
    /// Three numbers.
    public init(family: Int, model: Int, stepping: Int) {
        (self.family, self.model, self.stepping) = (family, model, stepping)
    }
}

extension ProcessorMap.Place {
    /// `7.0.b5`, with `m` in front for a model-specific register.
    fileprivate init?(_ text: String) {
        let isModelSpecific = text.hasPrefix("m")
        let parts = text.split(separator: ".")
        let letters: [Character] = ["a", "b", "c", "d"]
        guard parts.count == 3, let leaf = UInt32(isModelSpecific ? parts[0].dropFirst() : parts[0], radix: 16),
            let index = UInt32(parts[1], radix: 16), let letter = parts[2].first,
            let register = letters.firstIndex(of: letter),
            let bit = UInt32(parts[2].dropFirst().prefix { $0.isNumber })
        else { return nil }
        self.init(leaf: leaf, index: index, isModelSpecific: isModelSpecific, register: register, bit: bit)
    }
}

extension ProcessorMap.Model {
    fileprivate init(_ words: [String], _ indices: [String: Int]) {
        func range(_ text: Substring) -> ClosedRange<Int>? {
            let ends = text.split(separator: "-").compactMap { Int($0) }
            return ends.count == 2 ? ends[0]...ends[1] : ends.first.map { $0...$0 }
        }
        name = words[0]
        (describesHost, describesGuest) = (words[1].contains("h"), words[1].contains("g"))
        signatures = words[3].split(separator: ",").compactMap { text in
            let parts = text.split(separator: ".")
            guard parts.count >= 2, let family = Int(parts[0]), let model = Int(parts[1]) else { return nil }
            return (family, model, parts.count > 2 ? parts[2].split(separator: "+").compactMap(range) : [])
        }
        features = ProcessorFeatureSet()
        removed = []
        features.vendor = words[2] == "-" ? nil : words[2]
        for word in words.dropFirst(4) {
            if word.hasPrefix("-") {
                removed.append(String(word.dropFirst()))
            } else if let index = indices[word] {
                features[index] = true
            } else {
                preconditionFailure("model \(name): feature \(word)")
            }
        }
    }
}
