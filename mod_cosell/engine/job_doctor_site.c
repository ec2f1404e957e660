/* engine/job_doctor_site.c: what the doctor finds in what is known of the site: account,
 * registration, certificates, mapping. */
#include <string.h>

#include <apr_file_io.h>
#include <apr_strings.h>

#include "../base/json.h"
#include "../remote/partner_center/webhooks.h"
#include "doctor.h"

#define DAY apr_time_from_sec(86400)
#define TOKEN_OLD (60 * DAY) /* a refresh token that nobody uses dies after 90 days */
#define SIGNER_EARLY (3 * DAY)
#define CLIENT_EARLY (30 * DAY)
#define CERTIFICATE_MAX (256 * 1024)
#define MISFITS_SAID 6

const char *cs_doctor_key(const char *who, const char *check, apr_pool_t *p)
{
    return apr_pstrcat(p, who, ".", check, NULL);
}

/* ---- certificates ---- */

void cs_doctor_judge_until(cs_finding_sum_t *sum, const char *what, apr_time_t until,
                           apr_time_t now, apr_interval_time_t early, const char *fix,
                           apr_pool_t *p)
{
    if (until < now) {
        cs_finding_sum(sum, p, CS_FOUND_FAIL, fix, "%s was good until %s", what,
                       cs_time_format_date(until, p));
    }
    else if (until - now < early) {
        cs_finding_sum(sum, p, CS_FOUND_WARN, fix, "%s is good until %s only", what,
                       cs_time_format_date(until, p));
    }
}

/* NULL = it cannot be read, *pwhy says why. */
static const char *read_file(const char *path, apr_size_t max, apr_size_t *plen, const char **pwhy,
                             apr_pool_t *p)
{
    char *bytes = apr_palloc(p, max + 1), why[120];
    apr_file_t *file;
    apr_status_t rv = apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_BINARY, 0, p);

    *plen = 0;
    if (rv == APR_SUCCESS) {
        rv = apr_file_read_full(file, bytes, max, plen);
        rv = APR_STATUS_IS_EOF(rv) ? APR_SUCCESS : rv;
        apr_file_close(file);
    }
    *pwhy = apr_pstrdup(p, apr_strerror(rv, why, sizeof(why)));
    bytes[*plen] = '\0';
    return rv == APR_SUCCESS ? bytes : NULL;
}

#define FETCH_FIX                                                                                  \
    "it is fetched by itself: look in the error log why it was not, and whether this server may "  \
    "reach that address"

static void judge_signer(const cs_lane_t *lane, const char *url, apr_time_t now,
                         cs_finding_sum_t *sum, apr_pool_t *p)
{
    const char *why, *bytes;
    cs_signer_t *signer;
    cs_result_t res = {0};
    apr_size_t len;

    bytes = read_file(cs_signer_path(lane->node->store.state_dir, url, p), CS_SIGNATURE_CERT_MAX,
                      &len, &why, p);
    if (!bytes) {
        cs_finding_sum(sum, p, CS_FOUND_FAIL, FETCH_FIX, "the certificate of %s is not here (%s)",
                       url, why);
        return;
    }
    if (cs_signer_load(&signer, bytes, len, lane->site->trusted, now, p, &res) != APR_SUCCESS) {
        cs_finding_sum(sum, p, CS_FOUND_FAIL,
                       lane->site->trust.intermediates_file
                           ? "compare ca=, intermediates=, issuer= and subject= of CosellSignature "
                             "with that certificate's chain"
                           : "download the issuing certificate (its address is in the certificate: "
                             "openssl x509 -noout -ext authorityInfoAccess) and name it as "
                             "intermediates= of CosellSignature",
                       "the certificate of %s is not trusted: %s", url,
                       res.detail ? res.detail : "no detail");
        return;
    }
    cs_doctor_judge_until(sum, apr_pstrcat(p, "the certificate of ", url, NULL),
                          cs_signer_not_after(signer), now, SIGNER_EARLY, FETCH_FIX, p);
}

void cs_doctor_signature(const cs_lane_t *lane, apr_time_t now, apr_array_header_t *findings)
{
    static const char key[] = "partner-center.signature";
    const apr_array_header_t *urls;
    cs_finding_sum_t sum = {0};
    int i;

    if (!lane->site->trusted) {
        cs_finding_add(findings, key, CS_FOUND_FAIL,
                       "correct ca= and intermediates= of CosellSignature (the error log names the "
                       "file), and reload httpd",
                       "the certificates that callbacks are checked with could not be read: no "
                       "event is taken");
        return;
    }
    urls = cs_trust_urls(lane->site->trusted);
    for (i = 0; i < urls->nelts; ++i) {
        judge_signer(lane, APR_ARRAY_IDX(urls, i, const char *), now, &sum, findings->pool);
    }
    cs_finding_add_sum(
        findings, key, &sum,
        urls->nelts
            ? apr_psprintf(findings->pool, "%d signing certificate%s here and trusted%s",
                           urls->nelts, urls->nelts == 1 ? " is" : "s are",
                           lane->site->trust.intermediates_file ? "" : ", without intermediates=")
            : "certificates are fetched when events name them");
}

void cs_doctor_certificate(const cs_site_crm_t *crm, apr_time_t now, apr_array_header_t *findings)
{
    const char *path = crm->cfg.certificate, *why, *bytes, *key, *fix;
    cs_finding_sum_t sum = {0};
    apr_time_t until;
    apr_size_t len;

    if (!path) {
        return;
    }
    key = cs_doctor_key(crm->cfg.name, "certificate", findings->pool);
    fix = apr_psprintf(findings->pool,
                       "make a new pair, register its certificate at the application, and put both "
                       "where certificate= and key= of CosellCrm %s point",
                       crm->cfg.name);
    bytes = read_file(path, CERTIFICATE_MAX, &len, &why, findings->pool);
    if (!bytes || cs_cert_until(&until, bytes, len) != APR_SUCCESS) {
        cs_finding_add(findings, key, CS_FOUND_FAIL, fix,
                       "the client certificate %s cannot be used: %s", path,
                       bytes ? "there is no certificate in it" : why);
        return;
    }
    cs_doctor_judge_until(&sum, apr_pstrcat(findings->pool, "the client certificate ", path, NULL),
                          until, now, CLIENT_EARLY, fix, findings->pool);
    cs_finding_add_sum(findings, key, &sum,
                       apr_psprintf(findings->pool, "the client certificate is good until %s",
                                    cs_time_format_date(until, findings->pool)));
}

/* ---- Partner Center ---- */

static const char *ago(apr_time_t then, apr_time_t now, apr_pool_t *p)
{
    apr_int64_t days = then < now ? (apr_int64_t)((now - then) / DAY) : 0;

    return days == 1   ? "1 day ago"
           : days == 0 ? "today"
                       : apr_psprintf(p, "%" APR_INT64_T_FMT " days ago", days);
}

void cs_doctor_account(const json_t *fact, apr_time_t now, apr_array_header_t *findings)
{
    static const char key[] = "partner-center.account";
    const char *account = cs_json_str(fact, "account"), *source = cs_json_str(fact, "source"),
               *text;
    apr_time_t signed_in = cs_json_int(fact, "signed_in", 0);
    apr_time_t rotated = cs_json_int(fact, "rotated", 0);
    apr_time_t last = rotated > signed_in ? rotated : signed_in;
    apr_pool_t *p = findings->pool;
    int old = last && last < now && now - last > TOKEN_OLD;

    if (!fact) {
        cs_finding_add(findings, key, CS_FOUND_SKIP, NULL,
                       "whose refresh token it is is not known: it has not been used yet");
        return;
    }
    text = account                             ? apr_psprintf(p, "signed in as %.200s", account)
           : source && !strcmp(source, "file") ? "the refresh token came from a file"
                                               : "the account is not known";
    if (signed_in) {
        text = apr_psprintf(p, "%s on %s (%s)", text, cs_time_format_date(signed_in, p),
                            ago(signed_in, now, p));
    }
    if (rotated) {
        text = apr_psprintf(p, "%s, renewed %s", text, ago(rotated, now, p));
    }
    cs_finding_add(findings, key, old ? CS_FOUND_WARN : CS_FOUND_OK,
                   old ? "sign in again before it dies, 90 days after its last use: cosellctl login"
                       : NULL,
                   "%s", text);
}

/* Of the events that tell of referrals; *pasked = we had registered one of them. */
static const char *missing_events(const json_t *fact, const apr_array_header_t *events, int *pasked,
                                  apr_pool_t *p)
{
    const json_t *ours = cs_json_get(fact, "events");
    const char *const *name, *out = "";
    size_t i;

    *pasked = !json_array_size(ours);
    for (name = cs_pc_referral_events; *name; ++name) {
        if (events && cs_pc_hook_has(events, *name)) {
            continue;
        }
        out = apr_pstrcat(p, out, *out ? ", " : "", *name, NULL);
        for (i = 0; i < json_array_size(ours); ++i) {
            const char *one = json_string_value(json_array_get(ours, i));

            *pasked |= one && !strcasecmp(one, *name);
        }
    }
    return *out ? out : NULL;
}

void cs_doctor_webhook(const json_t *fact, const char *url, const apr_array_header_t *events,
                       apr_array_header_t *findings)
{
    static const char key[] = "partner-center.webhook";
    const char *ours = cs_json_str(fact, "url"), *missing;
    apr_pool_t *p = findings->pool;
    int asked;
    const char *shown = url ? cs_pc_hook_url_shown(url, p) : NULL;

    if (!url) {
        cs_finding_add(findings, key, CS_FOUND_FAIL, "cosellctl webhook register",
                       "nothing is registered at Partner Center: it sends no events, and changes "
                       "there are found by polling only");
        return;
    }
    if (!ours) {
        cs_finding_add(findings, key, CS_FOUND_WARN,
                       "if that is this server, take it over: cosellctl webhook register "
                       "--overwrite; else find out whose it is first",
                       "%s is registered, and not by us", shown);
        return;
    }
    if (!cs_pc_hook_url_same(ours, url, p)) {
        cs_finding_add(findings, key, CS_FOUND_FAIL,
                       "find out who took it over, then: cosellctl webhook register --overwrite",
                       "the registration was taken over: events go to %s, ours was %s", shown,
                       cs_pc_hook_url_shown(ours, p));
        return;
    }
    missing = missing_events(fact, events, &asked, p);
    if (missing) {
        cs_finding_add(findings, key, asked ? CS_FOUND_FAIL : CS_FOUND_WARN,
                       "cosellctl webhook register --overwrite",
                       asked ? "events were taken out of our registration: %s"
                             : "we registered without these events, which are seen by polling "
                               "only: %s",
                       missing);
        return;
    }
    cs_finding_add(findings, key, CS_FOUND_OK, NULL, "registered to %s for %d events", shown,
                   events->nelts);
}

/* ---- mapping ---- */

/* Somebody may have edited the file since httpd read it. A file that this user cannot read says
 * nothing: root read it. */
static void judge_file(const cs_site_crm_t *crm, const cs_crm_facts_t *facts, cs_finding_sum_t *sum,
                       apr_pool_t *p)
{
    cs_result_t res = {0};
    cs_mapping_t *now;
    apr_status_t rv = cs_mapping_load(&now, crm->mapping_path, facts, NULL, p, &res);

    if (rv == CS_EPARSE) {
        cs_finding_sum(sum, p, CS_FOUND_WARN,
                       "correct the file before httpd is reloaded; until then the former one stays "
                       "in force",
                       "the file was changed since it was read, and has a mistake now: %s",
                       res.detail ? res.detail : "no detail");
    }
    else if (rv == APR_SUCCESS && strcmp(cs_mapping_digest(now), cs_mapping_digest(crm->mapping))) {
        cs_finding_sum(sum, p, CS_FOUND_WARN, "reload httpd: apachectl graceful",
                       "%s was changed (revision %s) since it was read (revision %s)",
                       crm->mapping_path, cs_mapping_revision(now),
                       cs_mapping_revision(crm->mapping));
    }
}

void cs_doctor_mapping(const cs_site_crm_t *crm, const cs_crm_facts_t *facts,
                       apr_array_header_t *findings)
{
    const char *key = cs_doctor_key(crm->cfg.name, "mapping", findings->pool);
    cs_finding_sum_t sum = {0};

    if (!crm->mapping) {
        cs_finding_add(findings, key, CS_FOUND_FAIL,
                       "apachectl configtest names each mistake; correct it and reload httpd",
                       "the mapping %s could not be loaded",
                       crm->mapping_path ? crm->mapping_path : "(none)");
        return;
    }
    if (crm->mapping_path) {
        judge_file(crm, facts, &sum, findings->pool);
    }
    cs_finding_add_sum(findings, key, &sum,
                       apr_psprintf(findings->pool, "%s, revision %s (%.12s)",
                                    crm->mapping_path ? crm->mapping_path : "(none)",
                                    cs_mapping_revision(crm->mapping),
                                    cs_mapping_digest(crm->mapping)));
}

void cs_doctor_columns(const char *crm, const apr_array_header_t *misfits, int tables,
                       apr_array_header_t *findings)
{
    const char *text = "";
    apr_pool_t *p = findings->pool;
    int i;

    if (!misfits->nelts) {
        cs_finding_add(findings, cs_doctor_key(crm, "columns", p), CS_FOUND_OK, NULL,
                       "columns, types, lengths and choices of %d tables fit the mapping", tables);
        return;
    }
    for (i = 0; i < misfits->nelts && i < MISFITS_SAID; ++i) {
        text = apr_pstrcat(p, text, i ? "; " : "", APR_ARRAY_IDX(misfits, i, const char *), NULL);
    }
    if (misfits->nelts > MISFITS_SAID) {
        text = apr_psprintf(p, "%s; and %d more", text, misfits->nelts - MISFITS_SAID);
    }
    cs_finding_add(findings, cs_doctor_key(crm, "columns", p), CS_FOUND_FAIL,
                   "make the column in the CRM, or let the user see and edit it (field-level "
                   "security), or change the mapping at the place named and reload httpd",
                   "%d thing%s not fit: %s", misfits->nelts, misfits->nelts == 1 ? " does" : "s do",
                   text);
}
