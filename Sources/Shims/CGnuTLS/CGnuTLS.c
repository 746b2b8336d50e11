// SPDX-License-Identifier: Apache-2.0
#include "CGnuTLS.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

static struct roost_gnutls functions;
static const char *failure;
static char message[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

#define FIND(name)                                                   \
    if (!(functions.name = (void *)dlsym(library, "gnutls_" #name))) \
        return fail(dlerror());

static void fail(const char *reason) {
    snprintf(message, sizeof message, "%s", reason ? reason : "libgnutls cannot be loaded");
    failure = message;
}

static void load(void) {
    void *library = dlopen("libgnutls.so.30", RTLD_NOW | RTLD_LOCAL);
    if (!library) return fail(dlerror());
    FIND(init) FIND(deinit) FIND(strerror) FIND(handshake) FIND(bye) FIND(record_recv) FIND(record_send)
    FIND(record_check_pending) FIND(transport_set_int2) FIND(priority_set_direct) FIND(credentials_set)
    FIND(server_name_set) FIND(certificate_allocate_credentials) FIND(certificate_free_credentials)
    FIND(certificate_set_x509_trust_file) FIND(certificate_set_x509_crl_file) FIND(certificate_set_x509_key_file2)
    FIND(certificate_server_set_request) FIND(certificate_verify_peers2) FIND(certificate_get_peers)
    FIND(psk_allocate_server_credentials) FIND(psk_free_server_credentials) FIND(psk_set_server_credentials_file)
    FIND(psk_allocate_client_credentials) FIND(psk_free_client_credentials) FIND(psk_set_client_credentials)
    FIND(x509_crt_init) FIND(x509_crt_deinit) FIND(x509_crt_import) FIND(x509_crt_check_hostname) FIND(x509_crt_get_dn)
    FIND(x509_crt_get_activation_time) FIND(x509_crt_get_expiration_time)
}

const struct roost_gnutls *roost_gnutls_load(const char **reason) {
    pthread_once(&once, load);
    *reason = failure;
    return failure ? NULL : &functions;
}
