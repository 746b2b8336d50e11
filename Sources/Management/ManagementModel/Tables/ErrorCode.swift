// SPDX-License-Identifier: Apache-2.0

/// What went wrong, in the numbers and texts that libvirt's clients know.
public struct ErrorCode: Hashable, Sendable {
    /// The number on the wire.
    public let number: Int32
    /// The text without details.
    public let text: String
    /// The text with `%s` where the detail goes.
    public let format: String

    private init(_ number: Int32, _ text: String, _ format: String) {
        self.number = number
        self.text = text
        self.format = format
    }
}

extension ErrorCode {
    public static let internalError = ErrorCode(1, "internal error", "internal error: %s")
    public static let noMemory = ErrorCode(2, "out of memory", "out of memory: %s")
    public static let noSupport = ErrorCode(
        3, "this function is not supported by the connection driver",
        "this function is not supported by the connection driver: %s")
    public static let unknownHost = ErrorCode(4, "unknown host", "unknown host %s")
    public static let noConnect = ErrorCode(
        5, "no connection driver available", "no connection driver available for %s")
    public static let invalidConn = ErrorCode(6, "invalid connection pointer in", "invalid connection pointer in %s")
    public static let invalidDomain = ErrorCode(7, "invalid domain pointer in", "invalid domain pointer in %s")
    public static let invalidArg = ErrorCode(8, "invalid argument", "invalid argument: %s")
    public static let operationFailed = ErrorCode(9, "operation failed", "operation failed: %s")
    public static let getFailed = ErrorCode(10, "GET operation failed", "GET operation failed: %s")
    public static let postFailed = ErrorCode(11, "POST operation failed", "POST operation failed: %s")
    public static let httpError = ErrorCode(12, "got unknown HTTP error code", "got unknown HTTP error code %s")
    public static let sexprSerial = ErrorCode(13, "failed to serialize S-Expr", "failed to serialize S-Expr: %s")
    public static let noXen = ErrorCode(
        14, "could not use Xen hypervisor entry", "could not use Xen hypervisor entry %s")
    public static let xenCall = ErrorCode(15, "failed Xen syscall", "failed Xen syscall %s")
    public static let osType = ErrorCode(16, "unknown OS type", "unknown OS type %s")
    public static let noKernel = ErrorCode(17, "missing kernel information", "missing kernel information: %s")
    public static let noRoot = ErrorCode(18, "missing root device information", "missing root device information in %s")
    public static let noSource = ErrorCode(
        19, "missing source information for device", "missing source information for device %s")
    public static let noTarget = ErrorCode(
        20, "missing target information for device", "missing target information for device %s")
    public static let noName = ErrorCode(21, "missing name information", "missing name information in %s")
    public static let noOs = ErrorCode(
        22, "missing operating system information", "missing operating system information for %s")
    public static let noDevice = ErrorCode(23, "missing devices information", "missing devices information for %s")
    public static let noXenstore = ErrorCode(24, "could not connect to Xen Store", "could not connect to Xen Store %s")
    public static let driverFull = ErrorCode(25, "too many drivers registered", "too many drivers registered in %s")
    public static let callFailed = ErrorCode(26, "library call failed", "library call failed: %s")
    public static let xmlError = ErrorCode(27, "XML description is invalid or not well formed", "XML error: %s")
    public static let domExist = ErrorCode(28, "this domain exists already", "domain %s exists already")
    public static let operationDenied = ErrorCode(
        29, "operation forbidden for read only access", "operation forbidden: %s")
    public static let openFailed = ErrorCode(
        30, "failed to open configuration file", "failed to open configuration file %s")
    public static let readFailed = ErrorCode(
        31, "failed to read configuration file", "failed to read configuration file %s")
    public static let parseFailed = ErrorCode(
        32, "failed to parse configuration file", "failed to parse configuration file %s")
    public static let confSyntax = ErrorCode(
        33, "configuration file syntax error", "configuration file syntax error: %s")
    public static let writeFailed = ErrorCode(
        34, "failed to write configuration file", "failed to write configuration file: %s")
    public static let xmlDetail = ErrorCode(35, "parser error", "%s")
    public static let invalidNetwork = ErrorCode(36, "invalid network pointer in", "invalid network pointer in %s")
    public static let networkExist = ErrorCode(37, "this network exists already", "network %s exists already")
    public static let systemError = ErrorCode(38, "system call error", "%s")
    public static let rpc = ErrorCode(39, "RPC error", "%s")
    public static let gnutlsError = ErrorCode(40, "GNUTLS call error", "%s")
    public static let noDomain = ErrorCode(42, "Domain not found", "Domain not found: %s")
    public static let noNetwork = ErrorCode(43, "Network not found", "Network not found: %s")
    public static let invalidMac = ErrorCode(44, "invalid MAC address", "invalid MAC address: %s")
    public static let authFailed = ErrorCode(45, "authentication failed", "authentication failed: %s")
    public static let invalidStoragePool = ErrorCode(
        46, "invalid storage pool pointer in", "invalid storage pool pointer in %s")
    public static let invalidStorageVol = ErrorCode(
        47, "invalid storage volume pointer in", "invalid storage volume pointer in %s")
    public static let noStoragePool = ErrorCode(49, "Storage pool not found", "Storage pool not found: %s")
    public static let noStorageVol = ErrorCode(50, "Storage volume not found", "Storage volume not found: %s")
    public static let invalidNodeDevice = ErrorCode(
        52, "invalid node device pointer", "invalid node device pointer in %s")
    public static let noNodeDevice = ErrorCode(53, "Node device not found", "Node device not found: %s")
    public static let noSecurityModel = ErrorCode(54, "Security model not found", "Security model not found: %s")
    public static let operationInvalid = ErrorCode(
        55, "Requested operation is not valid", "Requested operation is not valid: %s")
    public static let noInterface = ErrorCode(57, "Interface not found", "Interface not found: %s")
    public static let invalidInterface = ErrorCode(
        58, "invalid interface pointer in", "invalid interface pointer in %s")
    public static let multipleInterfaces = ErrorCode(
        59, "multiple matching interfaces found", "multiple matching interfaces found: %s")
    public static let invalidNwfilter = ErrorCode(61, "Invalid network filter", "Invalid network filter: %s")
    public static let noNwfilter = ErrorCode(62, "Network filter not found", "Network filter not found: %s")
    public static let buildFirewall = ErrorCode(
        63, "Error while building firewall", "Error while building firewall: %s")
    public static let invalidSecret = ErrorCode(65, "Invalid secret", "Invalid secret: %s")
    public static let noSecret = ErrorCode(66, "Secret not found", "Secret not found: %s")
    public static let configUnsupported = ErrorCode(67, "unsupported configuration", "unsupported configuration: %s")
    public static let operationTimeout = ErrorCode(68, "Timed out during operation", "Timed out during operation: %s")
    public static let migratePersistFailed = ErrorCode(
        69, "Failed to make domain persistent after migration", "Failed to make domain persistent after migration: %s")
    public static let hookScriptFailed = ErrorCode(
        70, "Hook script execution failed", "Hook script execution failed: %s")
    public static let invalidDomainSnapshot = ErrorCode(71, "Invalid domain snapshot", "Invalid domain snapshot: %s")
    public static let noDomainSnapshot = ErrorCode(72, "Domain snapshot not found", "Domain snapshot not found: %s")
    public static let invalidStream = ErrorCode(73, "invalid stream pointer", "invalid stream pointer in %s")
    public static let argumentUnsupported = ErrorCode(74, "argument unsupported", "argument unsupported: %s")
    public static let storageProbeFailed = ErrorCode(75, "Storage pool probe failed", "Storage pool probe failed: %s")
    public static let storagePoolBuilt = ErrorCode(76, "Storage pool already built", "Storage pool already built: %s")
    public static let snapshotRevertRisky = ErrorCode(77, "revert requires force", "revert requires force: %s")
    public static let operationAborted = ErrorCode(78, "operation aborted", "operation aborted: %s")
    public static let authCancelled = ErrorCode(79, "authentication cancelled", "authentication cancelled: %s")
    public static let noDomainMetadata = ErrorCode(80, "metadata not found", "metadata not found: %s")
    public static let migrateUnsafe = ErrorCode(81, "Unsafe migration", "Unsafe migration: %s")
    public static let overflow = ErrorCode(82, "numerical overflow", "numerical overflow: %s")
    public static let blockCopyActive = ErrorCode(83, "block copy still active", "block copy still active: %s")
    public static let operationUnsupported = ErrorCode(84, "Operation not supported", "Operation not supported: %s")
    public static let ssh = ErrorCode(85, "SSH transport error", "SSH transport error: %s")
    public static let agentUnresponsive = ErrorCode(
        86, "Guest agent is not responding", "Guest agent is not responding: %s")
    public static let resourceBusy = ErrorCode(87, "resource busy", "resource busy: %s")
    public static let accessDenied = ErrorCode(88, "access denied", "access denied: %s")
    public static let dbusService = ErrorCode(89, "error from service", "error from service: %s")
    public static let storageVolExist = ErrorCode(
        90, "this storage volume exists already", "storage volume %s exists already")
    public static let cpuIncompatible = ErrorCode(
        91, "the CPU is incompatible with host CPU", "the CPU is incompatible with host CPU: %s")
    public static let xmlInvalidSchema = ErrorCode(
        92, "XML document failed to validate against schema", "XML document failed to validate against schema: %s")
    public static let migrateFinishOk = ErrorCode(
        93, "migration successfully aborted", "migration successfully aborted: %s")
    public static let authUnavailable = ErrorCode(94, "authentication unavailable", "authentication unavailable: %s")
    public static let noServer = ErrorCode(95, "Server not found", "Server not found: %s")
    public static let noClient = ErrorCode(96, "Client not found", "Client not found: %s")
    public static let agentUnsynced = ErrorCode(
        97, "guest agent replied with wrong id to guest-sync command",
        "guest agent replied with wrong id to guest-sync command: %s")
    public static let libssh = ErrorCode(98, "libssh transport error", "libssh transport error: %s")
    public static let deviceMissing = ErrorCode(99, "device not found", "device not found: %s")
    public static let invalidNwfilterBinding = ErrorCode(
        100, "Invalid network filter binding", "Invalid network filter binding: %s")
    public static let noNwfilterBinding = ErrorCode(
        101, "Network filter binding not found", "Network filter binding not found: %s")
    public static let invalidDomainCheckpoint = ErrorCode(
        102, "Invalid domain checkpoint", "Invalid domain checkpoint: %s")
    public static let noDomainCheckpoint = ErrorCode(
        103, "Domain checkpoint not found", "Domain checkpoint not found: %s")
    public static let noDomainBackup = ErrorCode(
        104, "Domain backup job id not found", "Domain backup job id not found: %s")
    public static let invalidNetworkPort = ErrorCode(
        105, "Invalid network port pointer", "Invalid network port pointer: %s")
    public static let networkPortExist = ErrorCode(
        106, "this network port exists already", "network port %s exists already")
    public static let noNetworkPort = ErrorCode(107, "network port not found", "network port not found: %s")
    public static let noHostname = ErrorCode(108, "no hostname found", "no hostname found: %s")
    public static let checkpointInconsistent = ErrorCode(109, "checkpoint inconsistent", "checkpoint inconsistent: %s")
    public static let multipleDomains = ErrorCode(
        110, "multiple matching domains found", "multiple matching domains found: %s")
}
