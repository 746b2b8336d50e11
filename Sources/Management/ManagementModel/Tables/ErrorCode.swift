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
    /// For what no other code fits: often a tool of the host that failed.
    public static let internalError = ErrorCode(1, "internal error", "internal error: %s")
    /// An allocation failed; one of the service's own ends it instead.
    public static let noMemory = ErrorCode(2, "out of memory", "out of memory: %s")
    /// The driver has no such call. virsh shows it for calls that a driver leaves out.
    public static let noSupport = ErrorCode(
        3, "this function is not supported by the connection driver",
        "this function is not supported by the connection driver: %s")
    /// From libvirt's first versions.
    public static let unknownHost = ErrorCode(4, "unknown host", "unknown host %s")
    /// To `connectOpen`: this service serves no such URI.
    public static let noConnect = ErrorCode(
        5, "no connection driver available", "no connection driver available for %s")
    /// Raised in the client's library for a closed connection.
    public static let invalidConn = ErrorCode(6, "invalid connection pointer in", "invalid connection pointer in %s")
    /// Raised in the client's library for a bad pointer.
    public static let invalidDomain = ErrorCode(7, "invalid domain pointer in", "invalid domain pointer in %s")
    /// An argument is outside what the call takes: an unknown flag, a bad name, a bad number.
    public static let invalidArg = ErrorCode(8, "invalid argument", "invalid argument: %s")
    /// The call was right and the attempt failed: the name is taken, the emulator said no.
    public static let operationFailed = ErrorCode(9, "operation failed", "operation failed: %s")
    /// A read over HTTP failed, of libvirt's Xen driver.
    public static let getFailed = ErrorCode(10, "GET operation failed", "GET operation failed: %s")
    /// A write over HTTP failed, of libvirt's Xen driver.
    public static let postFailed = ErrorCode(11, "POST operation failed", "POST operation failed: %s")
    /// An unexpected HTTP status, of libvirt's Xen driver.
    public static let httpError = ErrorCode(12, "got unknown HTTP error code", "got unknown HTTP error code %s")
    /// A Xen expression could not be written.
    public static let sexprSerial = ErrorCode(13, "failed to serialize S-Expr", "failed to serialize S-Expr: %s")
    /// Xen's hypercall device could not be opened.
    public static let noXen = ErrorCode(
        14, "could not use Xen hypervisor entry", "could not use Xen hypervisor entry %s")
    /// A hypercall failed.
    public static let xenCall = ErrorCode(15, "failed Xen syscall", "failed Xen syscall %s")
    /// `<os><type>` names no known kind of guest.
    public static let osType = ErrorCode(16, "unknown OS type", "unknown OS type %s")
    /// A document for direct boot lacks `<kernel>`.
    public static let noKernel = ErrorCode(17, "missing kernel information", "missing kernel information: %s")
    /// A document for direct boot lacks the root device.
    public static let noRoot = ErrorCode(18, "missing root device information", "missing root device information in %s")
    /// A device in a document lacks its `<source>`.
    public static let noSource = ErrorCode(
        19, "missing source information for device", "missing source information for device %s")
    /// A disk in a document lacks its `<target>`.
    public static let noTarget = ErrorCode(
        20, "missing target information for device", "missing target information for device %s")
    /// A machine's or network's document lacks its `<name>`.
    public static let noName = ErrorCode(21, "missing name information", "missing name information in %s")
    /// A document lacks its `<os>`.
    public static let noOs = ErrorCode(
        22, "missing operating system information", "missing operating system information for %s")
    /// A document lacks its `<devices>`.
    public static let noDevice = ErrorCode(23, "missing devices information", "missing devices information for %s")
    /// Xen's store could not be reached.
    public static let noXenstore = ErrorCode(24, "could not connect to Xen Store", "could not connect to Xen Store %s")
    /// More drivers than a library has room for.
    public static let driverFull = ErrorCode(25, "too many drivers registered", "too many drivers registered in %s")
    /// A driver's call failed; libvirt calls the code deprecated.
    public static let callFailed = ErrorCode(26, "library call failed", "library call failed: %s")
    /// A document is well formed, but what it describes is impossible or lacks something.
    public static let xmlError = ErrorCode(27, "XML description is invalid or not well formed", "XML error: %s")
    /// A machine of that name exists; mostly `operationFailed` says so.
    public static let domExist = ErrorCode(28, "this domain exists already", "domain %s exists already")
    /// A read-only connection made a call that changes something.
    public static let operationDenied = ErrorCode(
        29, "operation forbidden for read only access", "operation forbidden: %s")
    /// A configuration file could not be opened.
    public static let openFailed = ErrorCode(
        30, "failed to open configuration file", "failed to open configuration file %s")
    /// A configuration file could not be read.
    public static let readFailed = ErrorCode(
        31, "failed to read configuration file", "failed to read configuration file %s")
    /// A configuration file could not be understood.
    public static let parseFailed = ErrorCode(
        32, "failed to parse configuration file", "failed to parse configuration file %s")
    /// A line of a configuration file is wrong.
    public static let confSyntax = ErrorCode(
        33, "configuration file syntax error", "configuration file syntax error: %s")
    /// A configuration file could not be written.
    public static let writeFailed = ErrorCode(
        34, "failed to write configuration file", "failed to write configuration file: %s")
    /// A document is not well formed; the detail says where, line and column.
    public static let xmlDetail = ErrorCode(35, "parser error", "%s")
    /// Raised in the client's library for a bad pointer.
    public static let invalidNetwork = ErrorCode(36, "invalid network pointer in", "invalid network pointer in %s")
    /// A network of that name exists; mostly `operationFailed` says so.
    public static let networkExist = ErrorCode(37, "this network exists already", "network %s exists already")
    /// A call to the kernel failed; the detail ends in the reason.
    public static let systemError = ErrorCode(38, "system call error", "%s")
    /// A frame or its arguments break the protocol, or the call is unknown.
    public static let rpc = ErrorCode(39, "RPC error", "%s")
    /// Encryption of a connection failed.
    public static let gnutlsError = ErrorCode(40, "GNUTLS call error", "%s")
    /// No machine has that name, UUID or number; clients test for this code.
    public static let noDomain = ErrorCode(42, "Domain not found", "Domain not found: %s")
    /// No network has that name or UUID; clients test for this code.
    public static let noNetwork = ErrorCode(43, "Network not found", "Network not found: %s")
    /// A hardware address is not six pairs of digits.
    public static let invalidMac = ErrorCode(44, "invalid MAC address", "invalid MAC address: %s")
    /// A client tried to authenticate where none is wanted.
    public static let authFailed = ErrorCode(45, "authentication failed", "authentication failed: %s")
    /// Raised in the client's library for a bad pointer.
    public static let invalidStoragePool = ErrorCode(
        46, "invalid storage pool pointer in", "invalid storage pool pointer in %s")
    /// Raised in the client's library for a bad pointer.
    public static let invalidStorageVol = ErrorCode(
        47, "invalid storage volume pointer in", "invalid storage volume pointer in %s")
    /// No pool has that name, UUID or target path; clients test for this code.
    public static let noStoragePool = ErrorCode(49, "Storage pool not found", "Storage pool not found: %s")
    /// No volume has that name, key or path; clients test for this code.
    public static let noStorageVol = ErrorCode(50, "Storage volume not found", "Storage volume not found: %s")
    /// Raised in the client's library for a bad pointer.
    public static let invalidNodeDevice = ErrorCode(
        52, "invalid node device pointer", "invalid node device pointer in %s")
    /// The host has no device of that name.
    public static let noNodeDevice = ErrorCode(53, "Node device not found", "Node device not found: %s")
    /// No security model confines machines.
    public static let noSecurityModel = ErrorCode(54, "Security model not found", "Security model not found: %s")
    /// The call is right but not in this state, such as a start of what already runs.
    public static let operationInvalid = ErrorCode(
        55, "Requested operation is not valid", "Requested operation is not valid: %s")
    /// The host has no network interface of that name or address.
    public static let noInterface = ErrorCode(57, "Interface not found", "Interface not found: %s")
    /// Raised in the client's library for a bad pointer.
    public static let invalidInterface = ErrorCode(
        58, "invalid interface pointer in", "invalid interface pointer in %s")
    /// Several of the host's interfaces have that address.
    public static let multipleInterfaces = ErrorCode(
        59, "multiple matching interfaces found", "multiple matching interfaces found: %s")
    /// Raised in the client's library for a bad pointer.
    public static let invalidNwfilter = ErrorCode(61, "Invalid network filter", "Invalid network filter: %s")
    /// No network filter has that name or UUID.
    public static let noNwfilter = ErrorCode(62, "Network filter not found", "Network filter not found: %s")
    /// The host's firewall refused a filter's rules.
    public static let buildFirewall = ErrorCode(
        63, "Error while building firewall", "Error while building firewall: %s")
    /// The value of a private secret was asked for.
    public static let invalidSecret = ErrorCode(65, "Invalid secret", "Invalid secret: %s")
    /// No secret has that UUID or usage, or it has no value yet.
    public static let noSecret = ErrorCode(66, "Secret not found", "Secret not found: %s")
    /// A document asks for something that the emulator or the host does not have.
    public static let configUnsupported = ErrorCode(67, "unsupported configuration", "unsupported configuration: %s")
    /// The machine did not answer, or did not let go of a device, in time.
    public static let operationTimeout = ErrorCode(68, "Timed out during operation", "Timed out during operation: %s")
    /// A machine arrived but its definition could not be stored.
    public static let migratePersistFailed = ErrorCode(
        69, "Failed to make domain persistent after migration", "Failed to make domain persistent after migration: %s")
    /// An administrator's hook script refused.
    public static let hookScriptFailed = ErrorCode(
        70, "Hook script execution failed", "Hook script execution failed: %s")
    /// Raised in the client's library for a bad pointer.
    public static let invalidDomainSnapshot = ErrorCode(71, "Invalid domain snapshot", "Invalid domain snapshot: %s")
    /// The machine has no such snapshot, no current one, or the one has no parent.
    public static let noDomainSnapshot = ErrorCode(72, "Domain snapshot not found", "Domain snapshot not found: %s")
    /// Raised in the client's library for a bad pointer.
    public static let invalidStream = ErrorCode(73, "invalid stream pointer", "invalid stream pointer in %s")
    /// An argument is well formed, but not one that this driver can serve.
    public static let argumentUnsupported = ErrorCode(74, "argument unsupported", "argument unsupported: %s")
    /// What a pool's device holds could not be told.
    public static let storageProbeFailed = ErrorCode(75, "Storage pool probe failed", "Storage pool probe failed: %s")
    /// A build would overwrite a pool that is there.
    public static let storagePoolBuilt = ErrorCode(76, "Storage pool already built", "Storage pool already built: %s")
    /// A revert would lose state; clients may ask again with the force flag.
    public static let snapshotRevertRisky = ErrorCode(77, "revert requires force", "revert requires force: %s")
    /// A save or a migration ended because a client gave it up.
    public static let operationAborted = ErrorCode(78, "operation aborted", "operation aborted: %s")
    /// The user gave up at a question for a password.
    public static let authCancelled = ErrorCode(79, "authentication cancelled", "authentication cancelled: %s")
    /// The machine has no title, description or metadata element of that kind.
    public static let noDomainMetadata = ErrorCode(80, "metadata not found", "metadata not found: %s")
    /// A migration might damage disks that are cached.
    public static let migrateUnsafe = ErrorCode(81, "Unsafe migration", "Unsafe migration: %s")
    /// A number with its unit does not fit, or is over the call's limit.
    public static let overflow = ErrorCode(82, "numerical overflow", "numerical overflow: %s")
    /// The disk has a job already, or its copy is not yet complete.
    public static let blockCopyActive = ErrorCode(83, "block copy still active", "block copy still active: %s")
    /// The driver or this kind of device does not do that at all.
    public static let operationUnsupported = ErrorCode(84, "Operation not supported", "Operation not supported: %s")
    /// The client's tunnel through ssh failed; raised in the library.
    public static let ssh = ErrorCode(85, "SSH transport error", "SSH transport error: %s")
    /// The guest's agent is not connected or does not answer.
    public static let agentUnresponsive = ErrorCode(
        86, "Guest agent is not responding", "Guest agent is not responding: %s")
    /// Somebody else uses it at the moment.
    public static let resourceBusy = ErrorCode(87, "resource busy", "resource busy: %s")
    /// The user may not do that by the access rules.
    public static let accessDenied = ErrorCode(88, "access denied", "access denied: %s")
    /// A service on the host's D-Bus gave an error.
    public static let dbusService = ErrorCode(89, "error from service", "error from service: %s")
    /// A volume of that name exists in the pool.
    public static let storageVolExist = ErrorCode(
        90, "this storage volume exists already", "storage volume %s exists already")
    /// The host's processor lacks what the document's model needs.
    public static let cpuIncompatible = ErrorCode(
        91, "the CPU is incompatible with host CPU", "the CPU is incompatible with host CPU: %s")
    /// A document that a client wanted validated breaks the schema.
    public static let xmlInvalidSchema = ErrorCode(
        92, "XML document failed to validate against schema", "XML document failed to validate against schema: %s")
    /// The other side of a migration gave it up as asked.
    public static let migrateFinishOk = ErrorCode(
        93, "migration successfully aborted", "migration successfully aborted: %s")
    /// No agent is there to ask for authorization.
    public static let authUnavailable = ErrorCode(94, "authentication unavailable", "authentication unavailable: %s")
    /// For the administration interface: no server of that name.
    public static let noServer = ErrorCode(95, "Server not found", "Server not found: %s")
    /// For the administration interface: no client of that number.
    public static let noClient = ErrorCode(96, "Client not found", "Client not found: %s")
    /// The guest's agent answered something older.
    public static let agentUnsynced = ErrorCode(
        97, "guest agent replied with wrong id to guest-sync command",
        "guest agent replied with wrong id to guest-sync command: %s")
    /// The client's tunnel through libssh failed; raised in the library.
    public static let libssh = ErrorCode(98, "libssh transport error", "libssh transport error: %s")
    /// The machine has no device that a document or an alias describes.
    public static let deviceMissing = ErrorCode(99, "device not found", "device not found: %s")
    /// Raised in the client's library for a bad pointer.
    public static let invalidNwfilterBinding = ErrorCode(
        100, "Invalid network filter binding", "Invalid network filter binding: %s")
    /// No filter stands on a port device of that name.
    public static let noNwfilterBinding = ErrorCode(
        101, "Network filter binding not found", "Network filter binding not found: %s")
    /// Raised in the client's library for a bad pointer.
    public static let invalidDomainCheckpoint = ErrorCode(
        102, "Invalid domain checkpoint", "Invalid domain checkpoint: %s")
    /// The machine has no checkpoint of that name.
    public static let noDomainCheckpoint = ErrorCode(
        103, "Domain checkpoint not found", "Domain checkpoint not found: %s")
    /// The machine has no backup running.
    public static let noDomainBackup = ErrorCode(
        104, "Domain backup job id not found", "Domain backup job id not found: %s")
    /// Raised in the client's library for a bad pointer.
    public static let invalidNetworkPort = ErrorCode(
        105, "Invalid network port pointer", "Invalid network port pointer: %s")
    /// A port of that UUID exists in the network.
    public static let networkPortExist = ErrorCode(
        106, "this network port exists already", "network port %s exists already")
    /// The network has no port of that UUID.
    public static let noNetworkPort = ErrorCode(107, "network port not found", "network port not found: %s")
    /// Neither the agent nor the leases know the guest's name.
    public static let noHostname = ErrorCode(108, "no hostname found", "no hostname found: %s")
    /// A checkpoint's bitmap is missing or was damaged.
    public static let checkpointInconsistent = ErrorCode(109, "checkpoint inconsistent", "checkpoint inconsistent: %s")
    /// Several machines match what should name one.
    public static let multipleDomains = ErrorCode(
        110, "multiple matching domains found", "multiple matching domains found: %s")
}
