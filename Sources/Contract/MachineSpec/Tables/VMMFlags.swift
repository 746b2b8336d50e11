// SPDX-License-Identifier: Apache-2.0

public import CommandLineKit

/// Every flag of roost-vmm: the parser and `-help` both come from this table.
public enum VMMFlags {
    private static let standard = "Standard options"
    private static let block = "Block device options"
    private static let display = "Display options"
    private static let network = "Network options"
    private static let character = "Character device options"
    private static let boot = "Boot Image or Kernel specific"
    private static let expert = "Debug/Expert options"
    private static let object = "Generic object creation"

    /// Every flag of `roost-vmm`, in the order of the help.
    public static let table = FlagTable([
        Flag("help", aliases: ["h"], section: standard, "display this help and exit"),
        Flag("version", section: standard, "display version information and exit"),
        Flag(
            "machine", aliases: ["M"], argument: "[type=]name[,prop[=value][,...]]", section: standard,
            """
            selects emulated machine ('-machine help' for list)
            accel=accel1[:accel2[:...]] selects accelerator: kvm, tcg
            acpi=on|off|auto, hpet=on|off, i8042=on|off, pit=, pic=, rtc=, graphics=on|off,
            usb=on|off, pflash0=node, pflash1=node
            kernel-irqchip=on|off|split, memory-backend=id, max-ram-below-4g=size
            """),
        Flag("usb", section: standard, "give the board a USB controller (UHCI on pc, xHCI on q35)"),
        Flag("usbdevice", argument: "tablet|mouse|keyboard", section: standard, "add a USB device, and -usb"),
        Flag("cpu", argument: "cpu", section: standard, "select CPU ('-cpu help' for list)"),
        Flag(
            "accel", argument: "[accel=]accelerator[:accelerator][,prop=value]", section: standard,
            "select accelerator (kvm or tcg), the first that works of several\n"
                + "kernel-irqchip=on|off|split, tb-size=n (MiB), thread=single|multi, jit=on|off,\n"
                + "lockstep=on|off (compare translated code with the interpreter)"),
        Flag(
            "smp", argument: "[[cpus=]n][,maxcpus=n][,sockets=n][,dies=n][,cores=n][,threads=n]", section: standard,
            "set the number of CPUs to 'n' [default=1]"),
        Flag(
            "global", argument: "driver.property=value", section: standard, "set a default for a device's property"),
        Flag(
            "boot",
            argument: "[order=drives][,once=drives][,menu=on|off][,splash=file][,splash-time=ms]"
                + "[,reboot-timeout=ms][,strict=on|off]", section: standard,
            "'drives': hard disk (c), CD-ROM (d), network (n)"),
        Flag("m", argument: "[size=]megs[,slots=n,maxmem=size]", section: standard, "configure guest RAM"),
        Flag("mem-path", argument: "file", section: standard, "provide backing storage for guest RAM"),
        Flag("mem-prealloc", section: standard, "preallocate guest memory"),
        Flag(
            "device", argument: "driver[,prop[=value][,...]]", section: standard,
            "add device (based on driver)\nuse '-device help' to print all possible drivers\n"
                + "use '-device driver,help' to print all possible properties"),
        Flag(
            "name", argument: "string1[,process=string2][,debug-threads=on|off]", section: standard,
            "set the name of the guest"),
        Flag("uuid", argument: "%08x-%04x-%04x-%04x-%012x", section: standard, "specify machine UUID"),
        Flag(
            "smbios", argument: "type=n[,field=value...]", section: standard,
            "set fields of SMBIOS tables 0 to 4, 11 and 17"),
        Flag(
            "fw_cfg", argument: "[name=]name,file=file|string=str", section: standard,
            "add named fw_cfg entry with contents from file or string"),
        Flag("audiodev", argument: "[driver=]none,id=id", section: standard, "an audio back end; only 'none'"),
        Flag("add-fd", argument: "fd=fd,set=set[,opaque=opaque]", section: standard, "add 'fd' to fd 'set'"),
        Flag(
            "drive",
            argument: "[file=file][,if=none|virtio][,format=f][,id=name][,media=disk|cdrom][,index=i]"
                + "[,cache=writeback|none|writethrough|directsync|unsafe][,aio=threads|native|io_uring]"
                + "[,readonly=on|off][,snapshot=on|off][,discard=ignore|unmap][,werror=a][,rerror=a]",
            section: block, "use 'file' as a drive image"),
        Flag(
            "blockdev", argument: "[driver=]driver,node-name=N[,prop=value...] or JSON", section: block,
            "configure a block node"),
        Flag("snapshot", section: block, "write to temporary files instead of disk image files"),
        Flag("hda", argument: "file", section: block, "use 'file' as hard disk 0 image"),
        Flag("hdb", argument: "file", section: block, "use 'file' as hard disk 1 image"),
        Flag("hdc", argument: "file", section: block, "use 'file' as hard disk 2 image"),
        Flag("hdd", argument: "file", section: block, "use 'file' as hard disk 3 image"),
        Flag("cdrom", argument: "file", section: block, "use 'file' as CD-ROM image"),
        Flag("pflash", argument: "file", section: block, "use 'file' as a parallel flash image"),
        Flag("display", argument: "none|vnc=display[,option...]", section: display, "select display back end"),
        Flag("nographic", section: display, "no graphical output, serial port and monitor on this terminal"),
        Flag(
            "vnc",
            argument: "none|[host]:d|unix:path[,to=d][,websocket=on|port][,password=on|off][,password-secret=id]"
                + "[,tls-creds=id][,share=allow-exclusive|force-shared|ignore][,power-control=on|off][,id=id]",
            section: display,
            "show the screen on VNC display d (port 5900 + d); without any display option: "
                + "localhost, the first free port from 5900"),
        Flag("vga", argument: "std|none", section: display, "the display adapter; std is the default"),
        Flag(
            "netdev", argument: "user|tap|socket,id=str[,prop=value...]", section: network,
            """
            user: net=, host=, dhcpstart=, dns=, hostname=, domainname=, dnssearch=, restrict=on|off, ipv4=, ipv6=,
            ipv6-net=, ipv6-host=, ipv6-dns=, tftp=dir, tftp-server-name=, bootfile=,
            hostfwd=[tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport
            tap: ifname=, fd=, script=file|no, downscript=file|no, br=
            socket: listen=, connect=, mcast=, localaddr=, udp=, fd=
            """),
        Flag(
            "nic", argument: "none|user|tap|socket[,prop=value...][,mac=macaddr][,model=m]", section: network,
            "a network card with its back end; 'none' for no network\n"
                + "without -nic and -netdev the machine has the board's card (e1000 on pc, e1000e on q35) on a user network"
        ),
        Flag(
            "net", argument: "none|nic[,macaddr=mac][,model=m]|user|tap|socket[,prop=value...]", section: network,
            "'-net nic' and one '-net' back end are what -nic is in one; 'none' for no network"),
        Flag(
            "chardev",
            argument: "null|stdio|file|pipe|pty|serial|socket|udp|ringbuf,id=id[,mux=on|off][,logfile=f]"
                + "[,logappend=on|off][,prop=value...]", section: character,
            """
            socket: path= or host=,port= or fd=; server=on|off, wait=on|off, telnet=, nodelay=, reconnect=seconds
            file: path=, append=on|off, input-path=; pipe, pty, serial: path=; ringbuf: size=; stdio: signal=on|off
            """),
        Flag("bios", argument: "file", section: boot, "set the filename for the BIOS"),
        Flag("kernel", argument: "image", section: boot, "use a bzImage, an ELF (PVH) or a multiboot image as kernel"),
        Flag("append", argument: "cmdline", section: boot, "use 'cmdline' as kernel command line"),
        Flag("initrd", argument: "file", section: boot, "use 'file' as initial ram disk"),
        Flag("dtb", argument: "file", section: boot, "refused: x86 machines have no device tree"),
        Flag("serial", argument: "dev", section: expert, "redirect the serial port to char device 'dev'"),
        Flag("parallel", argument: "none", section: expert, "there is no parallel port"),
        Flag("monitor", argument: "dev", section: expert, "redirect the monitor to char device 'dev'"),
        Flag("qmp", argument: "dev", section: expert, "like -monitor but opens in 'control' mode"),
        Flag("qmp-pretty", argument: "dev", section: expert, "like -qmp but uses pretty JSON formatting"),
        Flag(
            "mon", argument: "[chardev=]name[,mode=readline|control][,pretty[=on|off]]", section: expert,
            "a monitor on a -chardev"),
        Flag("debugcon", argument: "dev", section: expert, "redirect the debug console to char device 'dev'"),
        Flag("pidfile", argument: "file", section: expert, "write PID to 'file'"),
        Flag(
            "incoming", argument: "uri|defer", section: expert,
            "wait for a migrated machine on tcp:[host]:port or unix:path, or load one from exec:cmdline, fd:n or "
                + "file:path; defer: from where QMP's migrate-incoming says"),
        Flag("S", section: expert, "freeze CPU at startup (use 'c' to start execution)"),
        Flag(
            "overcommit", argument: "[mem-lock=on|off][,cpu-pm=off]", section: expert,
            "run with overcommit hints: mem-lock keeps all memory in RAM"),
        Flag("gdb", argument: "dev", section: expert, "accept gdb connection on 'dev'"),
        Flag("s", section: expert, "shorthand for -gdb tcp::1234"),
        Flag("d", argument: "item1,...", section: expert, "enable logging of specified items ('-d help' for a list)"),
        Flag("perfmap", section: expert, "name translated code in /tmp/perf-PID.map for perf(1)"),
        Flag("D", argument: "logfile", section: expert, "output log to logfile (default stderr)"),
        Flag("L", argument: "path", section: expert, "set the directory for the BIOS"),
        Flag("enable-kvm", section: expert, "the same as -accel kvm"),
        Flag("no-hpet", section: expert, "disable HPET"),
        Flag("no-acpi", section: expert, "disable ACPI"),
        Flag("no-reboot", section: expert, "exit instead of rebooting"),
        Flag("no-shutdown", section: expert, "stop before shutdown"),
        Flag(
            "action", argument: "reboot=reset|shutdown,shutdown=poweroff|pause,panic=pause|shutdown|exit-failure|none",
            section: expert, "what follows when the guest resets, powers off or panics"),
        Flag(
            "loadvm", argument: "[tag|id]", section: expert, "start right away with a saved state (loadvm in monitor)"),
        Flag("daemonize", section: expert, "daemonize after initializing"),
        Flag(
            "rtc", argument: "[base=utc|localtime|datetime][,clock=host|rt|vm][,driftfix=none|slew]", section: expert,
            "set the RTC base and clock"),
        Flag("echr", argument: "chr", section: expert, "set terminal escape character instead of ctrl-a"),
        Flag("nodefaults", section: expert, "don't create default devices"),
        Flag(
            "sandbox",
            argument: "on|off[,obsolete=allow|deny][,elevateprivileges=allow|deny|children]"
                + "[,spawn=allow|deny][,resourcecontrol=allow|deny]", section: expert,
            "deny the process system calls that a machine never needs"),
        Flag("readconfig", argument: "file", section: expert, "read config file"),
        Flag("no-user-config", section: expert, "there is no configuration file of the user, so this changes nothing"),
        Flag(
            "trace", argument: "[[enable=]pattern][,events=file][,file=file]", section: expert,
            "specify tracing options ('-trace help' for a list)"),
        Flag(
            "msg", argument: "[timestamp[=on|off]][,guest-name=[on|off]]", section: expert,
            "control error message format"),
        Flag(
            "object", argument: "TYPENAME[,PROP1=VALUE1,...] or JSON", section: object,
            "rng-random, rng-builtin, memory-backend-ram, memory-backend-file, memory-backend-memfd, iothread, secret"),
    ])

    /// Flags of QEMU that Roost does not have, with what to say.
    static let refused: [String: String] = [
        "icount": "the instruction counter is not available", "spice": "SPICE is not available",
        "soundhw": "sound is not available", "audio": "sound is not available",
        "fda": "there is no floppy disk controller", "fdb": "there is no floppy disk controller",
        "runas": "start roost-vmm as that user instead", "chroot": "start roost-vmm inside the directory instead",
        "fsdev": "9p is not available", "virtfs": "9p is not available", "tpmdev": "TPM is not available",
        "plugin": "plugins are not available", "numa": "NUMA is not available",
        "no-fd-bootchk": "there is no floppy disk controller",
        "k": "viewers of the screen send positions of keys, which need no layout",
        "full-screen": "there is no window", "singlestep": "use -d for logging instead",
        "watchdog-action": "there is no watchdog", "watchdog": "there is no watchdog",
        "acpitable": "tables of one's own are not available", "option-rom": "option ROMs come with devices (romfile=)",
        "async-teardown": "memory is given back as the process ends", "audio-help": "sound is not available",
        "compat": "nothing here is deprecated", "dfilter": "the log has no filter by address",
        "dump-vmstate": "saved states are Roost's own", "enable-sync-profile": "locks are not profiled",
        "mtdblock": "there is no flash device of that sort", "sd": "there is no SD card reader",
        "only-migratable": "leave it out", "portrait": "there is no window", "rotate": "there is no window",
        "preconfig": "use -S, and QMP, to change the machine before it starts",
        "seed": "random numbers come from the host", "win2k-hack": "Windows 2000 is not supported",
        "xen-attach": "Xen is not available", "xen-domid": "Xen is not available",
        "xen-domid-restrict": "Xen is not available",
        "iscsi": "iSCSI is not available", "set": "give the option where the item is defined",
    ]
}
