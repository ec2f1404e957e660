/* What the parsers of httpd/ call of httpd itself, for a program that is none: a target includes the source whose parser it throws bytes at, and
 * what else that source calls is not there.
 */
#ifndef CS_TESTS_FUZZ_HTTPD_ALONE_H
#define CS_TESTS_FUZZ_HTTPD_ALONE_H

#include <apr_general.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include <httpd.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <jansson.h>

module AP_MODULE_DECLARE_DATA cosell_module;

static void must(int good)
{
    if (!good) {
        abort();
    }
}

static inline int is_utf8(const char *text)
{
    json_t *json = json_string(text);

    json_decref(json);
    return json != NULL;
}

/* What is said to a person, as a page or a document can say it: UTF-8 without controls. */
static inline void check_words(const char *text)
{
    must(text && *text && is_utf8(text));
    for (; *text; text++) {
        must((unsigned char)*text >= 0x20 && *text != 0x7f);
    }
}

static apr_pool_t *fuzz_pool(void)
{
    static int ready;
    apr_pool_t *p;

    ready = ready || apr_initialize() == APR_SUCCESS;
    must(ready && apr_pool_create(&p, NULL) == APR_SUCCESS);
    return p;
}

static inline request_rec *fuzz_request(apr_pool_t *p)
{
    request_rec *r = apr_pcalloc(p, sizeof(*r));

    r->pool = p;
    r->headers_in = apr_table_make(p, 4);
    r->headers_out = apr_table_make(p, 4);
    r->user = apr_pstrdup(p, "alice");
    r->server = apr_pcalloc(p, sizeof(*r->server));
    r->connection = apr_pcalloc(p, sizeof(*r->connection));
    return r;
}

/* As httpd's: in place; a blank for '+'; a bad escape or a zero byte is refused. */
AP_DECLARE(int) ap_unescape_urlencoded(char *text)
{
    const char *from = text;
    int good = 1;

    for (; *from; from++, text++) {
        if (*from == '%' && apr_isxdigit(from[1]) && apr_isxdigit(from[2])) {
            char hex[3] = {from[1], from[2], 0};

            *text = (char)strtol(hex, NULL, 16);
            good &= *text != 0;
            from += 2;
        }
        else {
            good &= *from != '%';
            *text = *from == '+' ? ' ' : *from;
        }
    }
    *text = '\0';
    return good ? OK : HTTP_BAD_REQUEST;
}

AP_DECLARE(void) ap_bin2hex(const void *src, apr_size_t len, char *dest)
{
    apr_size_t i;

    for (i = 0; i < len; i++) {
        apr_snprintf(dest + 2 * i, 3, "%02x", ((const unsigned char *)src)[i]);
    }
}

AP_DECLARE(void) ap_log_rerror_(const char *file, int line, int module, int level, apr_status_t status, const request_rec *r, const char *fmt, ...)
{
    (void)file, (void)line, (void)module, (void)level, (void)status, (void)r, (void)fmt;
}

AP_DECLARE(void) ap_set_content_length(request_rec *r, apr_off_t length)
{
    r->clength = length;
}

#endif
