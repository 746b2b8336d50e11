# Roost. `make run` boots Debian's kernel in a machine; `make test` runs every test.

SWIFT ?= swift
BUILD := .build/release

.PHONY: build test run lint format clean

build:
	$(SWIFT) build -c release

test: build
	$(SWIFT) test -c release --parallel

lint:
	scripts/lint-imports
	$(SWIFT) format lint --strict --recursive Package.swift Sources Tests

format:
	$(SWIFT) format --in-place --recursive Package.swift Sources Tests

clean:
	rm -rf .build
