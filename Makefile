# Roost. `make run` boots Debian's kernel in a machine; `make test` runs every test.

SWIFT ?= swift
BUILD := .build/release

.PHONY: build test run fuzz-cpu lint format clean

build:
	$(SWIFT) build -c release

test: build
	$(SWIFT) test -c release --parallel

# Compares random instructions with the host's processor until stopped or until one differs.
fuzz-cpu:
	$(SWIFT) build -c release --product fuzz-cpu
	SWIFT_BACKTRACE=enable=no $(BUILD)/fuzz-cpu $(FUZZ_FLAGS)

lint:
	scripts/lint-imports
	$(SWIFT) format lint --strict --recursive Package.swift Sources Tests

format:
	$(SWIFT) format --in-place --recursive Package.swift Sources Tests

clean:
	rm -rf .build
