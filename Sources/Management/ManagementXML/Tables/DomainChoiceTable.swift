// SPDX-License-Identifier: Apache-2.0

extension DomainChoices {
    /// Attributes of devices that take one of some words. A line is the device, the path to the attribute, a key of
    /// `refusals` or `-` for the usual words, and the words.
    static let table = """
        disk @type - file block dir network volume nvme vhostuser
        disk @device - disk cdrom floppy lun
        disk target@bus - ide fdc scsi virtio xen usb uml sata sd
        disk target@removable - on off
        disk driver@cache - default none writethrough writeback directsync unsafe
        disk driver@io - native threads io_uring
        disk driver@discard - ignore unmap
        disk driver@detect_zeroes - off on unmap
        interface @type - user ethernet vhostuser server client mcast network bridge internal direct hostdev udp vdpa null vds
        interface link@state - up down
        controller @type - ide fdc scsi sata virtio-serial ccid usb pci xenbus isa
        graphics @type - sdl vnc rdp desktop spice egl-headless dbus
        video model@type video vga cirrus vmvga xen vbox qxl parallels virtio gop none bochs ramfb default
        input @type input mouse tablet keyboard passthrough evdev
        input @bus inputbus ps2 usb xen parallels virtio none default
        sound @model - sb16 es1370 pcspk ac97 ich6 ich9 usb ich7
        serial @type character null vc pty dev file pipe stdio udp tcp unix spicevmc spiceport nmdm qemu-vdagent dbus
        parallel @type character null vc pty dev file pipe stdio udp tcp unix spicevmc spiceport nmdm qemu-vdagent dbus
        console @type character null vc pty dev file pipe stdio udp tcp unix spicevmc spiceport nmdm qemu-vdagent dbus
        channel @type character null vc pty dev file pipe stdio udp tcp unix spicevmc spiceport nmdm qemu-vdagent dbus
        watchdog @model watchdog i6300esb ib700 diag288 itco
        watchdog @action action reset shutdown poweroff pause none dump inject-nmi
        memballoon @model - none virtio xen virtio-transitional virtio-non-transitional
        rng @model - virtio virtio-transitional virtio-non-transitional
        rng backend@model - random egd builtin
        hostdev @mode - subsystem capabilities
        filesystem @type - mount block file template ram bind volume
        tpm @model - tpm-tis tpm-crb tpm-spapr spapr-tpm-proxy
        panic @model - default pseries isa hyperv s390 pvpanic
        vsock @model - virtio virtio-transitional virtio-non-transitional
        """

    /// What libvirt says of a wrong word where it does not say the usual.
    static let refusals = [
        "video": "unknown video model '%'", "input": "unknown input device type '%'",
        "inputbus": "unknown input bus type '%'", "watchdog": "unknown watchdog model '%'",
        "action": "unknown watchdog action '%'",
        "character": "unknown type presented to host for character device: %",
    ]

    /// Devices that a document may have.
    static let devices: Set<String> = [
        "emulator", "disk", "lease", "filesystem", "interface", "input", "sound", "video", "hostdev", "graphics", "hub",
        "watchdog", "memballoon", "rng", "nvram", "panic", "memory", "smartcard", "redirdev", "redirfilter", "shmem",
        "tpm", "vsock", "iommu", "audio", "crypto", "controller", "serial", "parallel", "console", "channel",
    ]
}
