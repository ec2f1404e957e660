/* engine/keep_alive.c: the refresh token in force: what is told of it, and that it does not die of
 * idleness.
 *
 * Entra ID lets a refresh token die 90 days after it was issued; each redemption gives a new one.
 * An ordinary day redeems it every hour, but a site may be paused, or all its CRMs may be away, for
 * months. How old it is the store says, so that no restart forgets it; nothing else is kept. */
#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "../base/log.h"
#include "lane.h"

/* A day to spare of the week. */
#define REDEEM_AFTER apr_time_from_sec(6 * 86400)
#define AFTER_SUCCESS apr_time_from_sec(86400)
#define AFTER_FAILURE apr_time_from_sec(3600)
#define PATIENCE apr_time_from_sec(15)

apr_status_t cs_keep_alive_load(cs_lane_t *lane, apr_pool_t *ptemp, cs_result_t *res)
{
    const char *text = NULL;
    json_t *fact = NULL;
    apr_status_t rv =
        cs_store_meta_get(lane->store, lane->site->name, CS_FACT_TOKEN, &text, ptemp, res);

    lane->token_rotated = 0;
    if (rv == APR_SUCCESS && text &&
        cs_json_parse(&fact, text, strlen(text), NULL, ptemp, NULL) == APR_SUCCESS) {
        lane->token_rotated = cs_json_int(fact, "rotated", 0);
        json_decref(fact);
    }
    return rv;
}

static void copy_member(json_t *to, const json_t *from, const char *name)
{
    json_t *value = json_object_get(from, name);

    if (value) {
        json_object_set(to, name, value);
    }
}

void cs_keep_alive_note(cs_lane_t *lane, const char *value, apr_pool_t *ptemp)
{
    apr_array_header_t *changes = apr_array_make(ptemp, 1, sizeof(cs_change_t));
    cs_lease_t lease = cs_lane_lease(lane);
    json_t *doc = NULL, *fact;

    if (cs_json_parse(&doc, value, strlen(value), NULL, ptemp, NULL) != APR_SUCCESS) {
        return;
    }
    lane->token_rotated = cs_time_now();
    fact = cs_json_own(json_pack("{s:I}", "rotated", (json_int_t)lane->token_rotated), ptemp);
    json_object_set_new(fact, "source", json_string("file"));
    copy_member(fact, doc, "source");
    copy_member(fact, doc, "account");
    copy_member(fact, doc, "signed_in");
    copy_member(fact, doc, "ends");
    json_decref(doc);
    cs_lane_fact(CS_FACT_TOKEN, cs_json_print(fact, ptemp), changes);
    /* Only told to people; the next rotation tells it again. */
    if (cs_store_write(lane->store, &lease, changes, ptemp, NULL) != APR_SUCCESS) {
        cs_log(CS_LOG_DEBUG, 0, lane->site->name, "the age of the refresh token was not stored");
    }
}

int cs_keep_alive_due(const cs_lane_t *lane, apr_time_t now)
{
    apr_time_t since = lane->token_rotated ? lane->token_rotated : lane->born;

    if (!lane->facts_loaded) {
        return 0;
    }
    return !lane->token_asked || (now >= lane->keepalive_at && now - since >= REDEEM_AFTER);
}

/* Partner Center's own probes redeem it as well. */
static int is_suspended(const cs_lane_t *lane)
{
    return cs_lane_suspension((cs_lane_t *)lane, CS_UPSTREAM_PC) != NULL;
}

static apr_status_t suspend(cs_lane_t *lane, const cs_result_t *why, apr_pool_t *ptemp,
                            cs_result_t *res)
{
    apr_array_header_t *changes = apr_array_make(ptemp, 1, sizeof(cs_change_t));
    cs_lease_t lease = cs_lane_lease(lane);
    apr_status_t rv;

    cs_lane_suspend(lane, CS_UPSTREAM_PC, why, changes, ptemp);
    rv = changes->nelts ? cs_store_write(lane->store, &lease, changes, ptemp, res) : APR_SUCCESS;
    if (rv != APR_SUCCESS) {
        cs_lane_facts_forget(lane);
    }
    return rv;
}

/* Where a file has one its first use will tell. */
static apr_status_t ask_whether_any(cs_lane_t *lane, apr_pool_t *ptemp, cs_result_t *res)
{
    const char *value = NULL;
    apr_int64_t version;
    cs_result_t why = {0};
    apr_status_t rv;

    if (lane->site->pc.refresh_token) {
        lane->token_asked = 1;
        return APR_SUCCESS;
    }
    rv = lane->vault.get(lane->vault.baton, CS_VAULT_REFRESH, &value, &version, ptemp, res);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    lane->token_asked = 1;
    if (value) {
        return APR_SUCCESS;
    }
    cs_result_set(&why, ptemp, APR_EINVAL, CS_CLASS_SUSPEND, "config:refresh-token",
                  "nobody has signed in to Partner Center for this site; sign in with cosellctl "
                  "login");
    return suspend(lane, &why, ptemp, res);
}

apr_status_t cs_keep_alive(cs_lane_t *lane, apr_time_t now, apr_pool_t *ptemp, cs_result_t *res)
{
    cs_result_t why = {0};

    if (!lane->token_asked) {
        return ask_whether_any(lane, ptemp, res);
    }
    lane->keepalive_at = now + AFTER_FAILURE;
    if (is_suspended(lane)) {
        return APR_SUCCESS;
    }
    if (cs_pc_keep_alive(lane->pc, cs_time_mono() + PATIENCE, ptemp, &why) == APR_SUCCESS) {
        lane->keepalive_at = now + AFTER_SUCCESS;
        cs_log(CS_LOG_INFO, 0, lane->site->name,
               CSLOGNO(2301) "the refresh token of Partner Center is redeemed, for nothing else "
                             "has needed it for days");
        return APR_SUCCESS;
    }
    cs_log(CS_LOG_INFO, 0, lane->site->name,
           CSLOGNO(2302) "the refresh token of Partner Center could not be redeemed to keep it "
                         "alive: %s; it is tried again in an hour",
           why.detail ? why.detail : "no reason given");
    return why.cls == CS_CLASS_SUSPEND ? suspend(lane, &why, ptemp, res) : APR_SUCCESS;
}
