// SPDX-License-Identifier: Apache-2.0

// Compression: zlib, raw deflate and zstd, one buffer at a time.
