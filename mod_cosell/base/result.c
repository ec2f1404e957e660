#include "result.h"

#include <apr_strings.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const class_names[CS_CLASS_COUNT] = {
    [CS_CLASS_OK] = "ok",
    [CS_CLASS_RETRY] = "retry",
    [CS_CLASS_THROTTLED] = "throttled",
    [CS_CLASS_TOKEN] = "token",
    [CS_CLASS_CONFLICT] = "conflict",
    [CS_CLASS_DUPLICATE] = "duplicate",
    [CS_CLASS_DATA] = "data",
    [CS_CLASS_REFUSED] = "refused",
    [CS_CLASS_GONE] = "gone",
    [CS_CLASS_SUSPEND] = "suspend",
    [CS_CLASS_UNKNOWN] = "unknown",
};

static const struct {
    apr_status_t rv;
    const char *text;
} own_statuses[] = {
    { CS_ELEASE, "the lease belongs to somebody else now" },
    { CS_ENOTDURABLE, "could not be made durable" },
    { CS_EBUSY, "the store is locked by another process for too long" },
    { CS_EFULL, "no space left for the store" },
    { CS_ECORRUPT, "the store's file is damaged" },
    { CS_EMISSING, "the store's file is missing although there was one" },
    { CS_ESCHEMA, "the store was written by a newer version" },
    { CS_EREADONLY, "the store cannot be written: read-only file system or permission" },
    { CS_EIO, "the device reports an input/output error" },
    { CS_ETIMEOUT, "the time allowed for it passed" },
    { CS_EPARSE, "malformed text" },
    { CS_ELIMIT, "a limit was exceeded" },
    { CS_ESTALE, "it changed in the meantime" },
    { CS_EREMOTE, "refused by the other end" },
};

apr_status_t cs_result_set(cs_result_t *res, apr_pool_t *p, apr_status_t rv, cs_class_e cls,
                           const char *problem, const char *fmt, ...)
{
    va_list ap;
    char *detail;
    int n;

    if (!res) {
        return rv;
    }
    cs_result_clear(res);
    res->rv = rv;
    res->cls = cls;
    res->problem = problem;
    if (!fmt) {
        return rv;
    }
    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n >= 0) {
        detail = apr_palloc(p, (apr_size_t)n + 1);
        va_start(ap, fmt);
        vsnprintf(detail, (size_t)n + 1, fmt, ap);
        va_end(ap);
        res->detail = detail;
    }
    return rv;
}

void cs_result_clear(cs_result_t *res)
{
    if (res) {
        memset(res, 0, sizeof(*res));
    }
}

void cs_result_copy(cs_result_t *to, const cs_result_t *from, apr_pool_t *p)
{
    cs_result_t copy = *from;

    copy.problem = apr_pstrdup(p, from->problem);
    copy.detail = apr_pstrdup(p, from->detail);
    copy.correlation = apr_pstrdup(p, from->correlation);
    copy.said = apr_pstrdup(p, from->said);
    copy.blames = apr_pstrdup(p, from->blames);
    *to = copy;
}

const char *cs_class_name(cs_class_e cls)
{
    return (unsigned)cls < CS_CLASS_COUNT ? class_names[cls] : "unknown";
}

cs_class_e cs_class_of_name(const char *name)
{
    int i;

    if (!name) {
        return CS_CLASS_OK;
    }
    for (i = 0; i < CS_CLASS_COUNT; i++) {
        if (!strcmp(name, class_names[i])) {
            return (cs_class_e)i;
        }
    }
    return CS_CLASS_RETRY;
}

const char *cs_strerror(apr_status_t rv, char *buf, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < sizeof(own_statuses) / sizeof(own_statuses[0]); i++) {
        if (own_statuses[i].rv == rv) {
            apr_cpystrn(buf, own_statuses[i].text, len);
            return buf;
        }
    }
    return apr_strerror(rv, buf, len);
}
