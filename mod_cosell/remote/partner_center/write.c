#include "client.h"

#include <apr_strings.h>
#include <string.h>

#include "../../base/decimal.h"
#include "../../base/json.h"

/* ---- what is sent ---- */

/* {"$number": "50000.00"} as the number. New reference. */
static json_t *plain(const json_t *value)
{
    const char *digits, *name;
    json_t *out, *member;
    size_t i;

    if (json_is_array(value)) {
        out = json_array();
        json_array_foreach((json_t *)value, i, member) {
            json_array_append_new(out, plain(member));
        }
        return out;
    }
    if (!json_is_object(value)) {
        return json_deep_copy(value);
    }
    digits = json_string_value(cs_json_only(value, "$number"));
    out = digits ? cs_decimal_to_json(digits) : NULL;
    if (out) {
        return out;
    }
    out = json_object();
    json_object_foreach((json_t *)value, name, member) {
        json_object_set_new(out, name, plain(member));
    }
    return out;
}

/* The tag of If-Match has quotes of its own, which get lost easily on the way. */
static const char *tag_of(const char *guard, apr_pool_t *p)
{
    return *guard == '"' || !strncmp(guard, "W/\"", 3) ? guard
                                                       : apr_pstrcat(p, "\"", guard, "\"", NULL);
}

static int is_printable(const char *text)
{
    for (; *text && (unsigned char)*text >= 0x20 && (unsigned char)*text < 0x7f; text++)
        ;
    return !*text;
}

static int check_patch(cs_pc_write_t *write, apr_pool_t *p)
{
    if (!cs_pc_check_id(write->id, &write->result, p)) {
        return 0;
    }
    if (!write->guard || !*write->guard || !strcmp(write->guard, "*") ||
        !is_printable(write->guard)) {
        cs_result_set(&write->result, p, APR_EINVAL, CS_CLASS_REFUSED, "pc:guard",
                      "referral %s is not changed without the version that was read", write->id);
        return 0;
    }
    if (!json_is_array(write->body) || !json_array_size(write->body)) {
        cs_result_set(&write->result, p, APR_EINVAL, CS_CLASS_REFUSED, "pc:body",
                      "there is nothing to change in referral %s", write->id);
        return 0;
    }
    return 1;
}

static int check_post(cs_pc_write_t *write, apr_pool_t *p)
{
    if (!json_is_object(write->body)) {
        cs_result_set(&write->result, p, APR_EINVAL, CS_CLASS_REFUSED, "pc:body",
                      "a new referral needs a document");
        return 0;
    }
    return 1;
}

static void reset(cs_pc_write_t *write)
{
    write->card = NULL;
    write->calls = 0;
    write->took = 0;
    write->correlation = NULL;
    cs_result_clear(&write->result);
}

static const char *label_of(const cs_pc_write_t *write, cs_pc_kind_e kind, apr_pool_t *p)
{
    const char *reference;

    if (kind == CS_PC_PATCH) {
        return apr_pstrcat(p, "PATCH referral ", write->id, NULL);
    }
    reference = cs_json_str(write->body, "externalReferenceId");
    return reference ? apr_psprintf(p, "POST referral for %.80s", reference) : "POST referral";
}

static void make_request(const cs_pc_t *pc, cs_http_request_t *request, const cs_pc_write_t *write,
                         cs_pc_kind_e kind, apr_pool_t *p)
{
    const char *url =
        kind == CS_PC_PATCH ? apr_pstrcat(p, pc->base, "/", write->id, NULL) : pc->base;

    cs_pc_request(request, kind == CS_PC_PATCH ? "PATCH" : "POST", url, label_of(write, kind, p),
                  write->request, p);
    apr_table_setn(request->headers, "Content-Type", "application/json");
    if (kind == CS_PC_PATCH) {
        apr_table_setn(request->headers, "If-Match", tag_of(write->guard, p));
        apr_table_setn(request->headers, "Prefer", "return=representation");
    }
    request->body = cs_json_print(cs_json_own(plain(write->body), p), p);
    request->body_len = strlen(request->body);
    request->write = 1;
    request->trace = write->trace;
}

/* ---- what comes back ---- */

/* A 2xx. What stands in its place when a gateway answers proves nothing; only an empty answer to a
 * change is one that they give. */
static void take_card(cs_pc_write_t *write, cs_pc_kind_e kind, const cs_http_response_t *response,
                      const cs_http_request_t *request, apr_pool_t *p)
{
    json_t *doc;

    if (kind == CS_PC_PATCH && !response->body_len) {
        return;
    }
    doc = cs_pc_object(&write->result, CS_CLASS_UNKNOWN, response, request, p);
    if (!doc) {
        return;
    }
    write->card = cs_pc_card_of(doc, p);
    if (!write->card || (kind == CS_PC_PATCH && strcasecmp(write->card->id, write->id))) {
        write->card = NULL;
        cs_pc_unreadable(&write->result, CS_CLASS_UNKNOWN, response, request,
                         kind == CS_PC_PATCH ? "the answer is not the referral that was changed"
                                             : "the answer is not a referral",
                         p);
        return;
    }
    if (!write->card->etag) {
        write->card->etag = apr_pstrdup(p, apr_table_get(response->headers, "ETag"));
    }
}

static void take(cs_pc_write_t *write, cs_pc_kind_e kind, const cs_http_response_t *response,
                 const cs_http_request_t *request, apr_pool_t *p)
{
    cs_pc_note(&write->calls, &write->took, &write->correlation, response);
    cs_pc_classify(&write->result, response, request, kind, write->body, p);
    if (write->result.cls == CS_CLASS_OK) {
        take_card(write, kind, response, request, p);
    }
}

static apr_status_t send_all(cs_pc_t *pc, cs_pc_write_t *writes, int n, cs_pc_kind_e kind,
                             apr_interval_time_t deadline, apr_pool_t *p)
{
    cs_http_request_t *requests = apr_pcalloc(p, sizeof(*requests) * (apr_size_t)(n + 1));
    cs_http_response_t *responses = apr_pcalloc(p, sizeof(*responses) * (apr_size_t)(n + 1));
    cs_pc_write_t **of = apr_pcalloc(p, sizeof(*of) * (apr_size_t)(n + 1));
    cs_result_t **results = apr_pcalloc(p, sizeof(*results) * (apr_size_t)(n + 1));
    apr_status_t rv;
    int i, m = 0;

    for (i = 0; i < n; i++) {
        reset(&writes[i]);
        if (kind == CS_PC_PATCH ? check_patch(&writes[i], p) : check_post(&writes[i], p)) {
            make_request(pc, &requests[m], &writes[i], kind, p);
            results[m] = &writes[i].result;
            of[m++] = &writes[i];
        }
    }
    rv = cs_pc_perform(pc, requests, responses, m, deadline, p);
    for (i = 0; i < m; i++) {
        if (rv == APR_SUCCESS) {
            take(of[i], kind, &responses[i], &requests[i], p);
        }
        else {
            cs_pc_nothing_sent(results[i], rv, p);
        }
    }
    if (rv == APR_SUCCESS) {
        cs_pc_judge_forbidden(pc, results, responses, m, deadline, p);
    }
    return rv;
}

apr_status_t cs_pc_patch(cs_pc_t *pc, cs_pc_write_t *writes, int n, apr_interval_time_t deadline,
                         apr_pool_t *p)
{
    return send_all(pc, writes, n, CS_PC_PATCH, deadline, p);
}

apr_status_t cs_pc_post(cs_pc_t *pc, cs_pc_write_t *writes, int n, apr_interval_time_t deadline,
                        apr_pool_t *p)
{
    return send_all(pc, writes, n, CS_PC_POST, deadline, p);
}
