// SPDX-License-Identifier: Apache-2.0

// CommandLineKit: Option tables, `key=value,...` lists, sizes with suffixes and nearest-name suggestions.
