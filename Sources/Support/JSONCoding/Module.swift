// SPDX-License-Identifier: Apache-2.0

// JSONCoding: JSON text as values that keep the order of their members: QMP, `--output=json` and `json:` file names.
