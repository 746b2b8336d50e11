// SPDX-License-Identifier: Apache-2.0
#include "CArgon2.h"

#include <argon2.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

static __typeof__(&argon2i_hash_raw) hash_i;
static __typeof__(&argon2id_hash_raw) hash_id;
static __typeof__(&argon2_error_message) error_message;
static char failure[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fail(const char *reason) { snprintf(failure, sizeof failure, "%s", reason ? reason : "unknown reason"); }

static void load(void) {
    void *library = dlopen("libargon2.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) return fail(dlerror());
    hash_i = (__typeof__(hash_i))dlsym(library, "argon2i_hash_raw");
    hash_id = (__typeof__(hash_id))dlsym(library, "argon2id_hash_raw");
    error_message = (__typeof__(error_message))dlsym(library, "argon2_error_message");
    if (!hash_i || !hash_id || !error_message) fail(dlerror());
}

int roost_argon2_load(const char **reason) {
    pthread_once(&once, load);
    *reason = failure;
    return failure[0] ? -1 : 0;
}

int roost_argon2(
    int is_id, uint32_t passes, uint32_t memory, uint32_t lanes, const void *password, size_t password_length,
    const void *salt, size_t salt_length, void *key, size_t length) {
    return (is_id ? hash_id : hash_i)(
        passes, memory, lanes, password, password_length, salt, salt_length, key, length);
}

const char *roost_argon2_text(int error) { return error_message(error); }
