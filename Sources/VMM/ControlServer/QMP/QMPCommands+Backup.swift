// SPDX-License-Identifier: Apache-2.0

internal import BlockJobs
internal import BlockLayer
internal import ControlProtocol
internal import JSONCoding

extension QMPCommandTable {
    private static let backupParameters =
        [
            QMPParameter("device", .string), QMPParameter("target", .string),
            QMPParameter("sync", .string, words: ["full", "top", "none", "incremental", "bitmap"]),
            QMPParameter("bitmap", .string, optional: true),
            QMPParameter("bitmap-mode", .string, optional: true, words: ["on-success", "never", "always"]),
            QMPParameter("compress", .boolean, optional: true),
            QMPParameter("on-source-error", .string, optional: true, words: errors),
            QMPParameter("on-target-error", .string, optional: true, words: errors),
            QMPParameter("filter-node-name", .string, optional: true),
        ] + common

    /// Backups, which can stand in a transaction.
    static let backupActions: [String: [QMPParameter]] = [
        "blockdev-backup": backupParameters,
        "drive-backup": backupParameters + [
            QMPParameter("format", .string, optional: true),
            QMPParameter("mode", .string, optional: true, words: ["existing", "absolute-paths"]),
        ],
    ]

    static let backupCommands = backupActions.keys.sorted().map { action($0, backupActions[$0] ?? []) }

    private static func request(_ arguments: QMPArguments) throws(BlockError) -> BlockDevices.BackupRequest {
        var request = BlockDevices.BackupRequest(
            arguments.string("device"), options: try options(arguments))
        let word = arguments.string("sync")
        request.bitmap = arguments["bitmap"]?.string
        request.bitmapMode = arguments["bitmap-mode"]?.string.flatMap { BlockDevices.BitmapMode(rawValue: $0) }
        request.compresses = arguments.bool("compress") ?? false
        if ["bitmap", "incremental"].contains(word), request.bitmap == nil {
            throw BlockError(.invalidArgument, "must provide a valid bitmap name for '\(word)' sync mode")
        }
        guard word == "incremental" else {
            if request.bitmap == nil, request.bitmapMode != nil {
                throw BlockError(.invalidArgument, "Cannot specify bitmap sync mode without a bitmap")
            }
            request.scope = BlockDevices.BackupScope(rawValue: word) ?? .full
            return request
        }
        guard request.bitmapMode == nil || request.bitmapMode == .onSuccess else {
            throw BlockError(
                .invalidArgument, "Bitmap sync mode must be 'on-success' when using sync mode 'incremental'")
        }
        request.scope = .bitmap
        request.bitmapMode = .onSuccess
        return request
    }

    /// What one of the commands asks for.
    /// - Parameter opens: the target is a file, which is made or opened, and not a node.
    static func prepareBackup(
        _ disks: BlockDevices, _ arguments: QMPArguments, opens: Bool
    ) throws(BlockError) -> BlockDevices.PreparedBackup {
        var request = try request(arguments)
        guard opens else { return try disks.prepare(request, to: try disks.node(arguments.string("target"))) }
        let target = try disks.backupTarget(
            arguments.string("target"), format: arguments["format"]?.string,
            exists: arguments["mode"]?.string == "existing", &request)
        do throws(BlockError) { return try disks.prepare(request, to: target) } catch {
            disks.drop(target)
            throw error
        }
    }
}
