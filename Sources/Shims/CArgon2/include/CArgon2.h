// SPDX-License-Identifier: Apache-2.0
//
// Argon2 (RFC 9106), loaded when it is first needed: only LUKS 2 volumes ask for it, and OpenSSL has it from version 3.2.
#ifndef ROOST_CARGON2_H
#define ROOST_CARGON2_H

#include <stddef.h>
#include <stdint.h>

/// Loads the library. Returns 0, or -1 with a reason in static memory.
int roost_argon2_load(const char **reason);

/// Derives `length` bytes. Returns 0 or the library's error, which `roost_argon2_text` puts in words.
/// - is_id: Argon2id instead of Argon2i.
/// - memory: KiB.
int roost_argon2(
    int is_id, uint32_t passes, uint32_t memory, uint32_t lanes, const void *password, size_t password_length,
    const void *salt, size_t salt_length, void *key, size_t length);

const char *roost_argon2_text(int error);

#endif
