// SPDX-License-Identifier: Apache-2.0

// ByteCoding: Little- and big-endian fields in byte buffers, with bounds checked.
