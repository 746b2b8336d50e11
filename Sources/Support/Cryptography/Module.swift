// SPDX-License-Identifier: Apache-2.0

// Cryptography: Ciphers, digests and key derivation for encrypted images.
