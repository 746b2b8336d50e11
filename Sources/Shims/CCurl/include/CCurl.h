// SPDX-License-Identifier: Apache-2.0
//
// Ranges of files on web servers, with libcurl. The library is loaded when the first such file is opened: few are, and
// it brings two dozen others with it. Its options are variadic functions, which Swift cannot call.
#ifndef ROOST_CCURL_H
#define ROOST_CCURL_H

#include <stddef.h>
#include <stdint.h>

/// The length of the buffers for error texts, CURL_ERROR_SIZE at least.
#define ROOST_CURL_ERROR 256

/// What every request of a connection has; NULL where not wanted.
struct roost_curl_options {
    const char *url;
    const char *cookie;
    const char *username;
    const char *password;
    const char *proxy_username;
    const char *proxy_password;
    /// Whether the server's certificate is checked.
    int verifies;
    /// Seconds for a whole request; 0 for no bound.
    long timeout;
};

/// What a server tells of a file.
struct roost_curl_facts {
    /// Bytes, or -1 when it does not say.
    int64_t length;
    /// Whether it serves parts.
    int has_ranges;
    /// The status of the answer.
    long status;
};

/// Loads the library. Returns 0, or -1 with a reason in static memory.
int roost_curl_load(const char **reason);

/// A connection that stays open between requests; NULL when there is no memory. One thread at a time may use it.
void *roost_curl_open(const struct roost_curl_options *options);

/// Asks for the file's facts. Returns 0, or an error with its text in `error` (ROOST_CURL_ERROR bytes).
int roost_curl_facts(void *connection, struct roost_curl_facts *facts, char *error);

/// Reads a range. `*done` is what arrived, at most `count`.
int roost_curl_read(
    void *connection, int64_t offset, void *buffer, size_t count, size_t *done, char *error);

void roost_curl_close(void *connection);

#endif
