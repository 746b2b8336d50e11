// SPDX-License-Identifier: Apache-2.0
//
// GnuTLS, loaded when it is first needed: the library and those below it would cost every start of a short-lived
// program several milliseconds, and few connections are encrypted.
#ifndef ROOST_CGNUTLS_H
#define ROOST_CGNUTLS_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

/// The functions that are used, by their own names without the prefix.
struct roost_gnutls {
    __typeof__(&gnutls_init) init;
    __typeof__(&gnutls_deinit) deinit;
    __typeof__(&gnutls_strerror) strerror;
    __typeof__(&gnutls_handshake) handshake;
    __typeof__(&gnutls_bye) bye;
    __typeof__(&gnutls_record_recv) record_recv;
    __typeof__(&gnutls_record_send) record_send;
    __typeof__(&gnutls_record_check_pending) record_check_pending;
    __typeof__(&gnutls_transport_set_int2) transport_set_int2;
    __typeof__(&gnutls_priority_set_direct) priority_set_direct;
    __typeof__(&gnutls_credentials_set) credentials_set;
    __typeof__(&gnutls_server_name_set) server_name_set;
    __typeof__(&gnutls_certificate_allocate_credentials) certificate_allocate_credentials;
    __typeof__(&gnutls_certificate_free_credentials) certificate_free_credentials;
    __typeof__(&gnutls_certificate_set_x509_trust_file) certificate_set_x509_trust_file;
    __typeof__(&gnutls_certificate_set_x509_crl_file) certificate_set_x509_crl_file;
    __typeof__(&gnutls_certificate_set_x509_key_file2) certificate_set_x509_key_file2;
    __typeof__(&gnutls_certificate_server_set_request) certificate_server_set_request;
    __typeof__(&gnutls_certificate_verify_peers2) certificate_verify_peers2;
    __typeof__(&gnutls_certificate_get_peers) certificate_get_peers;
    __typeof__(&gnutls_psk_allocate_server_credentials) psk_allocate_server_credentials;
    __typeof__(&gnutls_psk_free_server_credentials) psk_free_server_credentials;
    __typeof__(&gnutls_psk_set_server_credentials_file) psk_set_server_credentials_file;
    __typeof__(&gnutls_psk_allocate_client_credentials) psk_allocate_client_credentials;
    __typeof__(&gnutls_psk_free_client_credentials) psk_free_client_credentials;
    __typeof__(&gnutls_psk_set_client_credentials) psk_set_client_credentials;
    __typeof__(&gnutls_x509_crt_init) x509_crt_init;
    __typeof__(&gnutls_x509_crt_deinit) x509_crt_deinit;
    __typeof__(&gnutls_x509_crt_import) x509_crt_import;
    __typeof__(&gnutls_x509_crt_check_hostname) x509_crt_check_hostname;
    __typeof__(&gnutls_x509_crt_get_dn) x509_crt_get_dn;
    __typeof__(&gnutls_x509_crt_get_activation_time) x509_crt_get_activation_time;
    __typeof__(&gnutls_x509_crt_get_expiration_time) x509_crt_get_expiration_time;
};

/// The flags of a session's side; without SIGPIPE. (The names exist twice in the library's headers.)
static const unsigned roost_gnutls_server = GNUTLS_SERVER | GNUTLS_NO_SIGNAL;
static const unsigned roost_gnutls_client = GNUTLS_CLIENT | GNUTLS_NO_SIGNAL;

/// Loads the library once; may be called from any thread.
/// @return the functions, or NULL with `*reason` saying why in static memory.
const struct roost_gnutls *roost_gnutls_load(const char **reason);

#endif
