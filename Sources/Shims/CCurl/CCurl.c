// SPDX-License-Identifier: Apache-2.0
#include "CCurl.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static struct {
    __typeof__(&curl_global_init) global_init;
    __typeof__(&curl_easy_init) easy_init;
    __typeof__(&curl_easy_cleanup) easy_cleanup;
    // The headers make macros of these two names.
    CURLcode (*setopt)(CURL *, CURLoption, ...);
    CURLcode (*getinfo)(CURL *, CURLINFO, ...);
    __typeof__(&curl_easy_perform) easy_perform;
    __typeof__(&curl_easy_strerror) easy_strerror;
} functions;
static char failure[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fail(const char *reason) { snprintf(failure, sizeof failure, "%s", reason ? reason : "unknown reason"); }

#define FIND(member, name) \
    if (!(functions.member = (void *)dlsym(library, name))) return fail(dlerror());

static void load(void) {
    // Debian has the library with either TLS library below; QEMU uses the first.
    void *library = dlopen("libcurl-gnutls.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!library) library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!library) return fail(dlerror());
    FIND(global_init, "curl_global_init")
    FIND(easy_init, "curl_easy_init")
    FIND(easy_cleanup, "curl_easy_cleanup")
    FIND(setopt, "curl_easy_setopt")
    FIND(getinfo, "curl_easy_getinfo")
    FIND(easy_perform, "curl_easy_perform")
    FIND(easy_strerror, "curl_easy_strerror")
    if (functions.global_init(CURL_GLOBAL_ALL) != CURLE_OK) fail("curl_global_init failed");
}

int roost_curl_load(const char **reason) {
    pthread_once(&once, load);
    *reason = failure;
    return failure[0] ? -1 : 0;
}

void *roost_curl_open(const struct roost_curl_options *options) {
    CURL *handle = functions.easy_init();
    if (!handle) return NULL;
#define SET(option, value) \
    if (functions.setopt(handle, option, value) != CURLE_OK) goto refused;
#define SET_TEXT(option, value) \
    if (value) SET(option, value)
    SET(CURLOPT_URL, options->url)
    SET(CURLOPT_NOSIGNAL, 1L)
    SET(CURLOPT_FOLLOWLOCATION, 1L)
    SET(CURLOPT_FAILONERROR, 1L)
    SET(CURLOPT_TIMEOUT, options->timeout)
    SET(CURLOPT_SSL_VERIFYPEER, options->verifies ? 1L : 0L)
    SET(CURLOPT_SSL_VERIFYHOST, options->verifies ? 2L : 0L)
    // A server must not lead to a local file or another service.
    SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS | CURLPROTO_FTP | CURLPROTO_FTPS))
    SET(CURLOPT_REDIR_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS | CURLPROTO_FTP | CURLPROTO_FTPS))
    SET_TEXT(CURLOPT_COOKIE, options->cookie)
    SET_TEXT(CURLOPT_USERNAME, options->username)
    SET_TEXT(CURLOPT_PASSWORD, options->password)
    SET_TEXT(CURLOPT_PROXYUSERNAME, options->proxy_username)
    SET_TEXT(CURLOPT_PROXYPASSWORD, options->proxy_password)
    return handle;
refused:
    functions.easy_cleanup(handle);
    return NULL;
}

void roost_curl_close(void *connection) { functions.easy_cleanup(connection); }

static size_t note_header(char *line, size_t size, size_t count, void *opaque) {
    static const char name[] = "accept-ranges:";
    struct roost_curl_facts *facts = opaque;
    size_t length = size * count;
    // Each answer on the way has headers of its own; the last one's count.
    if (length > 5 && strncasecmp(line, "HTTP/", 5) == 0) facts->has_ranges = 0;
    if (length >= sizeof name - 1 && strncasecmp(line, name, sizeof name - 1) == 0) {
        size_t at = sizeof name - 1;
        while (at < length && (line[at] == ' ' || line[at] == '\t')) at++;
        if (length - at >= 5 && strncasecmp(line + at, "bytes", 5) == 0) facts->has_ranges = 1;
    }
    return length;
}

struct target {
    unsigned char *bytes;
    size_t room;
    size_t done;
};

static size_t take(char *bytes, size_t size, size_t count, void *opaque) {
    struct target *target = opaque;
    size_t length = size * count;
    size_t part = length < target->room - target->done ? length : target->room - target->done;
    memcpy(target->bytes + target->done, bytes, part);
    target->done += part;
    // Less than was given ends the transfer: a server that ignores the range would send the whole file.
    return part;
}

static size_t drop(char *bytes, size_t size, size_t count, void *opaque) {
    (void)bytes, (void)opaque;
    return size * count;
}

static int perform(CURL *handle, char *error) {
    error[0] = 0;
    functions.setopt(handle, CURLOPT_ERRORBUFFER, error);
    CURLcode code = functions.easy_perform(handle);
    functions.setopt(handle, CURLOPT_ERRORBUFFER, NULL);
    if (code != CURLE_OK && !error[0]) snprintf(error, ROOST_CURL_ERROR, "%s", functions.easy_strerror(code));
    return (int)code;
}

int roost_curl_facts(void *handle, struct roost_curl_facts *facts, char *error) {
    facts->length = -1;
    facts->has_ranges = 0;
    facts->status = 0;
    functions.setopt(handle, CURLOPT_NOBODY, 1L);
    functions.setopt(handle, CURLOPT_HEADERFUNCTION, note_header);
    functions.setopt(handle, CURLOPT_HEADERDATA, facts);
    functions.setopt(handle, CURLOPT_WRITEFUNCTION, drop);
    int code = perform(handle, error);
    functions.setopt(handle, CURLOPT_HEADERFUNCTION, NULL);
    functions.setopt(handle, CURLOPT_HEADERDATA, NULL);
    curl_off_t length = -1;
    functions.getinfo(handle, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    functions.getinfo(handle, CURLINFO_RESPONSE_CODE, &facts->status);
    facts->length = length;
    return code;
}

int roost_curl_read(void *handle, int64_t offset, void *buffer, size_t count, size_t *done, char *error) {
    struct target target = {buffer, count, 0};
    char range[64];
    snprintf(range, sizeof range, "%" PRId64 "-%" PRId64, offset, offset + (int64_t)count - 1);
    functions.setopt(handle, CURLOPT_HTTPGET, 1L);
    functions.setopt(handle, CURLOPT_RANGE, range);
    functions.setopt(handle, CURLOPT_WRITEFUNCTION, take);
    functions.setopt(handle, CURLOPT_WRITEDATA, &target);
    int code = perform(handle, error);
    functions.setopt(handle, CURLOPT_RANGE, NULL);
    functions.setopt(handle, CURLOPT_WRITEDATA, NULL);
    long status = 0;
    functions.getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    *done = target.done;
    // 200 is the whole file instead of the range (FTP has other numbers).
    if (status == 200 && offset != 0) {
        *done = 0;
        snprintf(error, ROOST_CURL_ERROR, "the server sent the whole file instead of a range");
        return CURLE_RANGE_ERROR;
    }
    // A transfer that was ended because everything is there.
    if (code == CURLE_WRITE_ERROR && target.done == count) code = CURLE_OK;
    return code;
}
