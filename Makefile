# Roost. `make run` boots Debian's kernel in a machine; `make test` runs every test.
# SPDX-License-Identifier: Apache-2.0

SWIFT ?= swift
BUILD := .build/release

.PHONY: build dependencies test-dependencies run test lint format clean help \
	test-debian test-install test-screen test-viewers test-media test-libvirt test-management \
	test-libvirt-clients test-kvm test-lockstep test-plain-host test-images test-migration \
	stress-cpu crash-images crash-jobs \
	bench-boot bench-block bench-img bench-machine bench-cpu bench-rpc bench-virtio bench-migration bench-vnc \
	fuzz-virtio fuzz-devices fuzz-qmp fuzz-cpu fuzz-images fuzz-state fuzz-rpc fuzz-vnc

# Builds the four programs into .build/release.
build: dependencies
	$(SWIFT) build -c release

dependencies:
	@scripts/install-dependencies

test-dependencies:
	@scripts/install-dependencies --test

# Boots Debian's kernel to a shell on this terminal.
run: build
	@scripts/run-debian

# Every unit test and the integration tests that take minutes at most.
test: test-dependencies build
	$(SWIFT) test -c release --parallel
	Integration/bad-input
	Integration/command-line
	Integration/terminal
	Integration/debugger
	Integration/boot-debian
	Integration/microvm
	Integration/boot-firmware
	Integration/hotplug
	Integration/usb
	Integration/devices
	MIGRATE_MOVES=1 Integration/migrate
	Integration/backup
	Integration/move-tls
	Integration/cpu-programs/run
	Integration/cross-images
	Integration/image-words
	Integration/roost
	CLIENTS="virsh virt-clone virt-xml python" Integration/management/clients

# A Debian system made with mmdebstrap: systemd, ext4, apt-get, gcc, python3, sshd; made once, then kept in .cache.
test-debian: test-dependencies build
	Integration/boot-system

# Debian put on a blank disk by keyboard and screen alone, under SeaBIOS and OVMF: an hour or more each.
test-install: test-dependencies build
	Integration/install-debian

# Firmware, network boot and Debian's installer by screen and keyboard alone, through VNC: some minutes.
test-screen: test-dependencies build
	Integration/screen

# Debian's VNC viewers, unmodified, on X servers without a screen: pictures, keys, passwords, TLS and WebSocket.
test-viewers: build
	@scripts/install-dependencies --clients
	Integration/viewers

# Network boot up to a shell, and a full pass of memtest86+: minutes.
test-media: test-dependencies build
	Integration/boot-media

# A private libvirtd that drives roost-vmm.
test-libvirt: test-dependencies build
	Integration/libvirt

# Clients of libvirt against a private roostd; each says what it skips.
test-management: test-dependencies build
	Integration/management/virsh
	Integration/management/virt-install
	Integration/management/backups
	Integration/management/logical
	Integration/management/networks
	Integration/management/vlans
	Integration/management/filters
	Integration/management/confinement
	Integration/management/migration
	Integration/management/hooks
	Integration/management/tls

# virsh, virt-install, virt-manager and the others, unmodified, and every call of the Python binding beside libvirtd.
test-libvirt-clients: test-dependencies build
	@scripts/install-dependencies --clients
	Integration/management/clients
	Integration/management/kit
	Integration/management/go-clients
	Integration/management/compare-api

# The KVM engine on the /dev/kvm of a Debian guest of QEMU's TCG, which has SVM: needs no KVM here.
test-kvm: test-dependencies build
	Integration/kvm-nested

# The arrows between modules, and the formatter's rules.
lint:
	scripts/lint-imports
	$(SWIFT) format lint --strict --recursive Package.swift Sources Tests

format:
	$(SWIFT) format --in-place --recursive Package.swift Sources Tests

# Kernel to shell on the software CPU beside QEMU's TCG, in turn, as ratios of time.
bench-boot: test-dependencies build
	Benchmarks/boot

# Random requests of 4 KiB on qcow2 and raw through the block layer, in turn, as ratios of time.
bench-block:
	$(SWIFT) build -c release --product block-benchmark
	$(BUILD)/block-benchmark

# Times roost-img against the installed qemu-img on the same files.
bench-img: build
	Benchmarks/bench-img.sh

# From exec to the guest's first instruction, and the memory of an idle guest, beside QEMU's TCG.
bench-machine: test-dependencies build
	Benchmarks/machine

# Programs inside a guest, on the software CPU and on QEMU's TCG.
bench-cpu: test-dependencies build
	Benchmarks/cpu

# Calls, definitions, lists and memory of a private roostd beside a private libvirtd in one run: MACHINES=n LARGE=n ROUNDS=n.
bench-rpc: test-dependencies
	$(SWIFT) build -c release --product roostd
	$(SWIFT) build -c release --product roost
	Benchmarks/rpc

# What a virtio request costs on the device's side.
bench-virtio: build
	$(BUILD)/virtio-benchmark

# Rubbish in the rings and registers of every virtio device: SEED=n ROUNDS=n.
fuzz-virtio: build
	$(BUILD)/fuzz-virtio $(or $(SEED),1) $(ROUNDS)

# Rubbish in every register, port and configuration space of whole machines: SEED=n ROUNDS=n.
fuzz-devices:
	$(SWIFT) build -c release --product fuzz-devices
	SWIFT_BACKTRACE=enable=no $(BUILD)/fuzz-devices $(or $(SEED),1) $(ROUNDS)

# Commands to the monitors of whole machines in any order and with wrong arguments: SEED=n ROUNDS=n.
fuzz-qmp:
	$(SWIFT) build -c release --product fuzz-qmp
	SWIFT_BACKTRACE=enable=no $(BUILD)/fuzz-qmp $(or $(SEED),1) $(ROUNDS)

# Compares random instructions with the host's processor until stopped or until one differs.
fuzz-cpu:
	$(SWIFT) build -c release --product fuzz-cpu
	SWIFT_BACKTRACE=enable=no $(BUILD)/fuzz-cpu $(FUZZ_FLAGS)

# A Debian guest that computes, compiles, copies files and runs threads, and must get the same each time: MINUTES=n VCPUS=n.
stress-cpu: test-dependencies build
	MINUTES=$(or $(MINUTES),10) VCPUS=$(or $(VCPUS),4) Integration/cpu-stress/run

# Debian's kernel with every instruction on both tiers of the software CPU.
test-lockstep: test-dependencies build
	Integration/lockstep

# The software CPU on a host without AVX, BMI2 and SSE4, which is a guest of QEMU's TCG. Some minutes.
test-plain-host: test-dependencies build
	Integration/plain-host

# Some thousand command lines of roost-img beside qemu-img's: what both say and leave. Some minutes.
test-images: test-dependencies build
	EVERY=1 Integration/image-words

# What every instant of a crash leaves of a qcow2 image, for longer than in the tests: SEEDS=n.
crash-images: test-dependencies
	ROOST_TESTS=QCOW2ImageTests ROOST_CRASH_SEEDS=$(or $(SEEDS),20) $(SWIFT) test -c release --filter CrashTests

# What every instant of a kill or of a loss of power leaves of a disk under snapshots and block jobs: SEEDS=n.
crash-jobs: test-dependencies
	ROOST_TESTS=BlockJobsTests ROOST_CRASH_SEEDS=$(or $(SEEDS),10) $(SWIFT) test -c release --filter JobCrashTests

# Damaged images of every format: SEED=n ROUNDS=n FORMAT=qcow2.
fuzz-images:
	$(SWIFT) build -c release --product fuzz-images
	SWIFT_BACKTRACE=enable=no $(BUILD)/fuzz-images $(or $(SEED),1) $(or $(ROUNDS),1000000) $(FORMAT)

# Saved machines with valid checksums and wrong contents: ROUNDS=n streams, then machines from SEED=n (or MACHINES=n).
fuzz-state:
	ROOST_TESTS=MigrationTests ROOST_FUZZ_STATE=$(or $(ROUNDS),1000000) \
		$(SWIFT) test -c release --filter StateFuzzTests
	$(SWIFT) build -c release --product fuzz-devices
	SWIFT_BACKTRACE=enable=no $(BUILD)/fuzz-devices $(or $(SEED),1) $(or $(MACHINES),9999999) state

# How long guests of 1 GiB stand still while they move between two network namespaces: ROUNDS=n CHANNELS=n.
bench-migration: build
	Benchmarks/migration

# Clients of roostd that send damaged messages and documents: SEED=n ROUNDS=n.
fuzz-rpc:
	$(SWIFT) build -c release --product fuzz-rpc
	SWIFT_BACKTRACE=enable=no $(BUILD)/fuzz-rpc $(or $(SEED),1) $(or $(ROUNDS),1000000)

# Viewers of the VNC server that say anything: SEED=n ROUNDS=n.
fuzz-vnc:
	$(SWIFT) build -c release --product fuzz-vnc
	SWIFT_BACKTRACE=enable=no $(BUILD)/fuzz-vnc $(or $(SEED),1) $(ROUNDS)

# A changing screen of 1280x800 to viewers on this host: pictures a second and the share of a core.
bench-vnc:
	$(SWIFT) build -c release --product vnc-benchmark
	$(BUILD)/vnc-benchmark

clean:
	rm -rf .build .cache

# A loaded guest, moved in every way with files and a connection; then either side is killed: MOVES=n KILLS=n.
test-migration: test-dependencies build
	Integration/long-migration

# This list.
help:
	@awk '/^# /{if (!text) text = substr($$0, 3); next} \
		/^[a-z-]+:/{split($$1, name, ":"); if (text) printf "  %-20s %s\n", name[1], text; text = ""; next} \
		/^$$/{text = ""}' Makefile
