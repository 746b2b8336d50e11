// SPDX-License-Identifier: Apache-2.0

public import BlockLayer

/// Enciphers clusters of an encrypted image.
public protocol ClusterCipher: Sendable {
    /// Deciphers in place; the region is whole sectors.
    func decrypt(_ region: ByteRegion, guestOffset: Int64, hostOffset: Int64) throws(BlockError)
    /// Enciphers in place; the region is whole sectors.
    func encrypt(_ region: ByteRegion, guestOffset: Int64, hostOffset: Int64) throws(BlockError)
    /// What `info` shows under "encrypt".
    var facts: [(String, SpecificInformation.Fact)] { get }
    /// Changes who can open the image.
    /// - Parameters:
    ///   - force: also do what makes the content unreadable.
    ///   - value: the text of an option under `encrypt.`, nil when not given.
    func amend(
        force: Bool, secrets: any SecretProvider, options value: (String) -> String?
    ) throws(BlockError)
}

/// How an image is encrypted, by the number in its header and the name of `encrypt.format`.
public enum EncryptionMethod: UInt32, Sendable, CaseIterable {
    /// AES in CBC mode with the password as the key: to read what there is; it protects little.
    case aes = 1
    /// LUKS with its header inside the image.
    case luks = 2

    /// "aes" or "luks".
    public var name: String { self == .aes ? "aes" : "luks" }
    /// The method with a name.
    public init?(name: String) {
        guard let method = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = method
    }
}

/// Opens and makes the ciphers of encrypted images, which stand in another module.
public protocol ClusterCipherProvider: Sendable {
    /// Opens the cipher of an image.
    /// - Parameters:
    ///   - headerRange: where the LUKS header lies in `file`; nil for AES.
    ///   - options: those under `encrypt.`, from which known ones are taken.
    ///   - metadataOnly: the content is not going to be looked at, so no secret is needed.
    func open(
        _ method: EncryptionMethod, file: any BlockNode, headerRange: Range<Int64>?, options: inout BlockOptions,
        secrets: any SecretProvider, metadataOnly: Bool
    ) throws(BlockError) -> any ClusterCipher

    /// The bytes that the header of a new image takes up; 0 for AES.
    /// - Parameter value: the text of an option under `encrypt.`, nil when not given.
    func headerLength(_ method: EncryptionMethod, options value: (String) -> String?) throws(BlockError) -> Int64

    /// Makes the header of a new image, or just sees that the secret is there.
    func create(
        _ method: EncryptionMethod, file: any BlockNode, at offset: Int64, secrets: any SecretProvider,
        options value: (String) -> String?
    ) throws(BlockError)
}

/// The encryption of an image that is being made.
struct NewEncryption {
    let method: EncryptionMethod
    let provider: any ClusterCipherProvider
    let secrets: any SecretProvider
    let options: CreateOptions

    /// What the options ask for; nil for a plain image.
    init?(_ options: CreateOptions, _ provider: (any ClusterCipherProvider)?, _ secrets: any SecretProvider)
        throws(BlockError)
    {
        let isOn = options.bool("encryption")
        let name = options.string("encrypt.format")
        if isOn, name != nil {
            throw BlockError(
                .invalidArgument, "'encrypt.format' and its alias 'encryption' can't be used at the same time")
        }
        guard let name = name ?? (isOn ? "aes" : nil) else { return nil }
        guard let method = EncryptionMethod(name: name) else {
            throw BlockError(.invalidArgument, "Parameter 'format' does not accept value '\(name)'")
        }
        guard let provider else {
            throw BlockError(.notSupported, "Creating encrypted images (\(name)) is not supported by this build")
        }
        guard options.string("encrypt.key-secret") != nil else {
            throw BlockError(.invalidArgument, "Parameter 'encrypt.key-secret' is required for cipher")
        }
        self.method = method
        self.provider = provider
        self.secrets = secrets
        self.options = options
    }

    func headerLength() throws(BlockError) -> Int64 {
        try provider.headerLength(method) { options.string("encrypt.\($0)") }
    }

    func create(_ file: any BlockNode, at offset: Int64) throws(BlockError) {
        try provider.create(method, file: file, at: offset, secrets: secrets) { options.string("encrypt.\($0)") }
    }
}
