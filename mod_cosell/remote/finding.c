#include "finding.h"

#include <apr_strings.h>
#include <stdarg.h>
#include <string.h>

apr_array_header_t *cs_findings_make(apr_pool_t *p)
{
    return apr_array_make(p, 16, sizeof(cs_finding_t));
}

static const char *one_line(char *text)
{
    for (char *c = text; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = ' ';
        }
    }
    return text;
}

void cs_finding_add(apr_array_header_t *findings, const char *check, cs_found_e state,
                    const char *fix, const char *fmt, ...)
{
    cs_finding_t *finding = apr_array_push(findings);
    va_list ap;

    va_start(ap, fmt);
    finding->text = one_line(apr_pvsprintf(findings->pool, fmt, ap));
    va_end(ap);
    finding->check = check;
    finding->state = state;
    finding->fix = fix ? one_line(apr_pstrdup(findings->pool, fix)) : NULL;
}

static int has(const apr_array_header_t *findings, const char *check)
{
    int i;

    for (i = 0; i < findings->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(findings, i, cs_finding_t).check, check)) {
            return 1;
        }
    }
    return 0;
}

void cs_findings_skip(apr_array_header_t *findings, const char *const *checks, const char *why)
{
    for (; *checks; checks++) {
        if (!has(findings, *checks)) {
            cs_finding_add(findings, *checks, CS_FOUND_SKIP, NULL, "not checked: %s", why);
        }
    }
}

#define MOST_SAID 6

/* Not having looked is less than anything that was seen. */
static int weight_of(cs_found_e state)
{
    static const int weights[] = {0, 2, 3, 1};

    return weights[state];
}

void cs_finding_sum(cs_finding_sum_t *sum, apr_pool_t *p, cs_found_e state, const char *fix,
                    const char *fmt, ...)
{
    const char *text;
    va_list ap;

    if (sum->text && weight_of(state) < weight_of(sum->state)) {
        return;
    }
    va_start(ap, fmt);
    text = apr_pvsprintf(p, fmt, ap);
    va_end(ap);
    if (!sum->text || weight_of(state) > weight_of(sum->state)) {
        *sum = (cs_finding_sum_t){state, 1, text, fix};
        return;
    }
    if (sum->said++ < MOST_SAID) {
        sum->text = apr_pstrcat(p, sum->text, "; ", text, NULL);
    }
    sum->fix = sum->fix ? sum->fix : fix;
}

void cs_finding_add_sum(apr_array_header_t *findings, const char *check,
                        const cs_finding_sum_t *sum, const char *fine)
{
    if (sum->said > MOST_SAID) {
        cs_finding_add(findings, check, sum->state, sum->fix, "%s; and %d more", sum->text,
                       sum->said - MOST_SAID);
    }
    else {
        cs_finding_add(findings, check, sum->text ? sum->state : CS_FOUND_OK, sum->fix, "%s",
                       sum->text ? sum->text : fine);
    }
}

const char *cs_found_name(cs_found_e state)
{
    static const char *const names[] = {"ok", "warn", "fail", "skip"};

    return names[state];
}

static int is(const char *problem, const char *word)
{
    return problem && !strcmp(problem, word);
}

const char *cs_finding_entra_fix(const char *problem, const char *what, apr_pool_t *p)
{
    if (is(problem, "oauth:invalid_client") || is(problem, "config:client-secret")) {
        return apr_psprintf(p,
                            "make a new secret in the Entra admin centre (App registrations > the "
                            "application > Certificates & secrets), put it where %s points, and "
                            "reload httpd",
                            what);
    }
    if (is(problem, "oauth:unauthorized_client")) {
        return "compare client-id= and tenant= with the application's Overview in the Entra admin "
               "centre (App registrations)";
    }
    if (is(problem, "oauth:invalid_scope") || is(problem, "oauth:invalid_resource")) {
        return "compare the addresses in the configuration with those of the service, and grant "
               "the "
               "application its API permissions in the Entra admin centre";
    }
    if (is(problem, "config:certificate")) {
        return "give certificate= and key= a pair that belongs together and that the server's user "
               "can read, and register the certificate at the application";
    }
    return NULL;
}

cs_found_e cs_finding_state(const cs_result_t *res)
{
    return res->cls == CS_CLASS_THROTTLED ? CS_FOUND_WARN : CS_FOUND_FAIL;
}

const char *cs_finding_way_fix(const cs_result_t *res)
{
    if (res->cls == CS_CLASS_THROTTLED) {
        return "nothing, unless it stays so: it is asked again when it allows it; lower rate= of "
               "CosellUpstream if others share the limit";
    }
    if (is(res->problem, "transport") || res->cls == CS_CLASS_UNKNOWN) {
        return "look whether the host can be reached from this server (DNS, firewall, proxy= and "
               "ca= of CosellUpstream; with SELinux: setsebool -P httpd_can_network_connect on)";
    }
    if (res->cls == CS_CLASS_RETRY) {
        return "the other end has trouble: look at its status page; it is tried again by itself";
    }
    return NULL;
}
