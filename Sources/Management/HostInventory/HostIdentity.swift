// SPDX-License-Identifier: Apache-2.0

internal import XMLTree

extension HostFacts {
    private static let folder = "/sys/class/dmi/id/"

    /// What the firmware says of the host (virsh sysinfo).
    public var identity: String {
        func section(_ name: String, _ entries: KeyValuePairs<String, String>) -> XMLElement? {
            let list = entries.compactMap { key, file in
                TextFile.lines(Self.folder + file).first.map { line in
                    var entry = XMLElement("entry", text: String(line))
                    entry["name"] = key
                    return entry
                }
            }
            return list.isEmpty ? nil : XMLElement(name, [:], list)
        }
        let sections = [
            section("bios", ["vendor": "bios_vendor", "version": "bios_version", "date": "bios_date"]),
            section(
                "system",
                [
                    "manufacturer": "sys_vendor", "product": "product_name", "version": "product_version",
                    "serial": "product_serial", "uuid": "product_uuid", "sku": "product_sku",
                    "family": "product_family",
                ]),
            section(
                "baseBoard",
                ["manufacturer": "board_vendor", "product": "board_name", "version": "board_version"]),
        ]
        return XMLElement("sysinfo", ["type": "smbios"], sections.compactMap { $0 }).printed()
    }
}

/// Merging of equal pages by the host's kernel.
public enum SharedMemory {
    private static let folder = "/sys/kernel/mm/ksm/"
    private static let files = [
        "pages_to_scan", "sleep_millisecs", "pages_shared", "pages_sharing", "pages_unshared", "pages_volatile",
        "full_scans", "merge_across_nodes",
    ]

    /// What the kernel is set to and counts, by libvirt's names; none where it does not merge pages.
    public static var figures: [(name: String, value: UInt64)] {
        files.compactMap { file in TextFile.number(folder + file).map { ("shm_" + file, $0) } }
    }
}
