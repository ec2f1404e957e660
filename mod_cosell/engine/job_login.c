/* engine/job_login.c: a person signs in to Partner Center. (design 7.5, 7.6; partner-center-api.md
 * 3)
 *
 *   begin   a verifier, or a device code, is made and sealed; the person is told where to go
 *   wait    for the code that the browser brings back (httpd/login.c), or by asking the token
 * endpoint prove   the refresh token that came is redeemed and used once, as it will be in earnest
 *   adopt   it becomes the one in force, and what waited for it goes on
 *
 * Until it has proved good nothing of what was in force is touched. Each step leaves what the next
 * one needs sealed in the vault before anybody hears of it, so that a restart goes on; a code that
 * was on its way to the token endpoint is sent again, which says so if it was used up. What is left
 * of a sign-in that ended is a mark how. */
#include "job.h"

#include <string.h>

#include <apr_strings.h>
#include <apr_uri.h>

#include "../base/crypto.h"
#include "../base/json.h"
#include "../base/log.h"
#include "../remote/login.h"

#define METHOD_CODE "code"
#define METHOD_DEVICE "device"
#define LIFE apr_time_from_sec(900)
/* How long after it the browser's answer is found. */
#define LOOK_AGAIN apr_time_from_sec(1)
#define SLOWER 5
#define EXCHANGE apr_time_from_sec(8)
#define PROOF apr_time_from_sec(10)
#define REDIRECT_MAX 500
#define FORMER 20
#define UPSTREAM "login"

/* ---- what is asked for ---- */

static int is_loopback(const char *host)
{
    return !strcasecmp(host, "localhost") || !strcmp(host, "127.0.0.1") || !strcmp(host, "::1");
}

static const char *redirect_wrong(const char *uri, apr_pool_t *p)
{
    apr_uri_t parts;
    const char *c;

    for (c = uri; *c; ++c) {
        if (*c <= ' ' || *c > '~' || strchr("\"<>\\^`{|}#", *c)) {
            return "redirect_uri: blanks, fragments and special characters are not allowed";
        }
    }
    if (c - uri > REDIRECT_MAX || apr_uri_parse(p, uri, &parts) != APR_SUCCESS || !parts.scheme ||
        !parts.hostname || !*parts.hostname || parts.user || parts.query) {
        return "redirect_uri: allowed is https://host[:port]/path, without user and query";
    }
    if (strcmp(parts.scheme, "https") &&
        (strcmp(parts.scheme, "http") || !is_loopback(parts.hostname))) {
        return "redirect_uri: allowed are https: and, to this very machine, http:";
    }
    return NULL;
}

static const char *check(const json_t *arguments, apr_pool_t *p)
{
    const char *method = cs_json_str(arguments, "method");
    const char *redirect = cs_json_str(arguments, "redirect_uri");

    if (strcmp(method, METHOD_CODE) && strcmp(method, METHOD_DEVICE)) {
        return apr_psprintf(p, "method=\"%.20s\": allowed are code and device", method);
    }
    if (!strcmp(method, METHOD_DEVICE)) {
        return redirect ? "redirect_uri: goes with method code only" : NULL;
    }
    return redirect
               ? redirect_wrong(redirect, p)
               : "redirect_uri is missing: the address of cosell-login, as it is registered in "
                 "Entra ID";
}

/* ---- what is kept ---- */

/* One sign-in on its turn. */
typedef struct signing_t {
    cs_job_turn_t *t;
    cs_lane_t *lane;
    apr_pool_t *p;
    cs_result_t *res;
    const char *name;    /* of its record in the vault */
    json_t *record;      /* NULL = there is none, or it cannot be read */
    apr_int64_t version; /* of the record */
    cs_login_config_t cfg;
} signing_t;

static apr_status_t load(signing_t *s)
{
    const char *text = NULL;
    apr_status_t rv =
        s->lane->vault.get(s->lane->vault.baton, s->name, &text, &s->version, s->p, s->res);

    s->record = NULL;
    if (rv == APR_SUCCESS && text &&
        cs_json_parse(&s->record, text, strlen(text), NULL, s->p, NULL) == APR_SUCCESS) {
        cs_json_own(s->record, s->p);
    }
    return rv;
}

/* Takes the reference to record. */
static apr_status_t keep(signing_t *s, json_t *record)
{
    const char *text = cs_json_print(record, s->p);
    apr_status_t rv;

    cs_wipe_at_end((char *)text, strlen(text), s->p);
    s->record = cs_json_own(record, s->p);
    rv = s->lane->vault.put(s->lane->vault.baton, s->name, text, s->version, s->p, s->res);
    s->version += rv == APR_SUCCESS;
    return rv;
}

/* Where to go is over; the address holds the state. */
static void tell_nothing_more(cs_job_turn_t *t)
{
    json_object_del(t->progress, "open");
    json_object_del(t->progress, "code");
    json_object_del(t->progress, "expires");
}

/* Ends it badly: the mark first, so that no secret outlives the job. */
static apr_status_t over(signing_t *s, const char *why)
{
    apr_status_t rv = keep(s, json_pack("{s:s}", "over", why));

    if (rv != APR_SUCCESS) {
        return rv;
    }
    tell_nothing_more(s->t);
    cs_job_journal(s->t, 0, "refused", apr_psprintf(s->p, "%s; sign-in asked for", why));
    cs_job_failed(s->t, "%s", why);
    return APR_SUCCESS;
}

/* Sign-ins that were cancelled, or given up while an upstream was away, leave what they kept. */
static void wipe_former(signing_t *s)
{
    apr_array_header_t *jobs = NULL;
    cs_result_t unread = {0};
    int i;

    if (cs_store_job_list(s->lane->store, s->lane->site->name, FORMER, &jobs, s->p, &unread) !=
        APR_SUCCESS) {
        return;
    }
    for (i = 0; i < jobs->nelts; ++i) {
        const cs_job_t *job = APR_ARRAY_IDX(jobs, i, cs_job_t *);
        signing_t other = *s;
        if (strcmp(job->kind, cs_job_login.name) || job->state == CS_JOB_WAITING ||
            job->state == CS_JOB_RUNNING) {
            continue;
        }
        other.res = &unread;
        other.name = apr_pstrcat(s->p, CS_LOGIN_NAME, job->id, NULL);
        if (load(&other) == APR_SUCCESS && other.record && !json_object_get(other.record, "over") &&
            !json_object_get(other.record, "done")) {
            keep(&other, json_pack("{s:s}", "over", "ended"));
        }
    }
}

/* ---- begin ---- */

static void tell_where(signing_t *s, const char *open, apr_time_t until, const char *text)
{
    json_t *progress = s->t->progress;

    json_object_set_new(s->t->cursor, "until", json_integer(until));
    json_object_set_new(progress, "open", json_string(open));
    json_object_set_new(progress, "expires", json_string(cs_time_format(until, s->p)));
    json_object_set_new(progress, "text", json_string(text));
}

static apr_status_t begin_code(signing_t *s)
{
    unsigned char shown[CS_BOX_KEY_LEN], hidden[CS_BOX_KEY_LEN];
    const char *verifier = cs_login_random(s->p), *random = cs_login_random(s->p), *state, *secret;
    const char *redirect = cs_json_str(s->t->arguments, "redirect_uri");
    apr_status_t rv = verifier && random ? cs_box_make(shown, hidden) : APR_EGENERAL;

    if (rv != APR_SUCCESS) {
        return cs_result_set(s->res, s->p, rv, CS_CLASS_RETRY, "random",
                             "the system gives no random bytes");
    }
    state = apr_pstrcat(s->p, s->t->id, ".", random, NULL);
    secret = cs_base64_encode(hidden, sizeof(hidden), s->p);
    cs_wipe(hidden, sizeof(hidden));
    cs_wipe_at_end((char *)secret, strlen(secret), s->p);
    rv = keep(s, json_pack("{s:s, s:s}", "verifier", verifier, "key", secret));
    if (rv != APR_SUCCESS) {
        return rv;
    }
    json_object_set_new(s->t->cursor, "state",
                        json_string(cs_sha256_hex(state, strlen(state), s->p)));
    json_object_set_new(s->t->cursor, "box",
                        json_string(cs_base64_encode(shown, sizeof(shown), s->p)));
    tell_where(s, cs_login_url(&s->cfg, redirect, state, verifier, s->p), s->t->b->now + LIFE,
               "waits for somebody to sign in with a browser");
    cs_job_wait(s->t, s->t->b->now + LOOK_AGAIN);
    return APR_SUCCESS;
}

static int passes(const cs_result_t *why)
{
    return why->cls == CS_CLASS_RETRY || why->cls == CS_CLASS_THROTTLED ||
           why->cls == CS_CLASS_UNKNOWN;
}

/* What passes is tried again; all else ends the sign-in with its reason. */
static apr_status_t troubled(signing_t *s, const char *upstream, const cs_result_t *why)
{
    if (passes(why)) {
        cs_job_trouble(s->t, upstream, why);
        return APR_SUCCESS;
    }
    return over(s, why->detail ? why->detail : "no reason given");
}

static apr_status_t begin_device(signing_t *s)
{
    cs_login_device_t device;
    cs_result_t why = {0};
    apr_status_t rv = cs_login_device(&device, &s->cfg, cs_time_mono() + EXCHANGE, s->p, &why);

    if (rv != APR_SUCCESS) {
        return troubled(s, UPSTREAM, &why);
    }
    rv = keep(s, json_pack("{s:s}", "device_code", device.device_code));
    if (rv != APR_SUCCESS) {
        return rv;
    }
    json_object_set_new(s->t->cursor, "interval", json_integer(apr_time_sec(device.interval)));
    json_object_set_new(s->t->progress, "code", json_string(device.user_code));
    tell_where(s, device.open, s->t->b->now + device.life,
               "waits for somebody to enter the code");
    cs_job_wait(s->t, s->t->b->now + device.interval);
    return APR_SUCCESS;
}

static apr_status_t begin(signing_t *s)
{
    const char *wrong = cs_login_wrong(&s->cfg, s->p);

    if (wrong) {
        return over(s, wrong);
    }
    wipe_former(s);
    return !strcmp(cs_json_str(s->t->arguments, "method"), METHOD_CODE) ? begin_code(s)
                                                                        : begin_device(s);
}

/* ---- prove ---- */

/* The candidate's vault: what is redeemed in the proof is the record, under the name of the one
 * that is in force. */
static apr_status_t candidate_get(void *baton, const char *name, const char **pvalue,
                                  apr_int64_t *pversion, apr_pool_t *p, cs_result_t *res)
{
    signing_t *s = baton;

    (void)name;
    return s->lane->vault.get(s->lane->vault.baton, s->name, pvalue, pversion, p, res);
}

static apr_status_t candidate_put(void *baton, const char *name, const char *value,
                                  apr_int64_t version, apr_pool_t *ptemp, cs_result_t *res)
{
    signing_t *s = baton;

    (void)name;
    return s->lane->vault.put(s->lane->vault.baton, s->name, value, version, ptemp, res);
}

/* The token is redeemed and used as it will be from now on, by a client of its own. */
static apr_status_t prove(signing_t *s, cs_result_t *why)
{
    cs_vault_t vault = {s, candidate_get, candidate_put};
    cs_pc_config_t cfg = s->lane->site->pc;
    cs_pc_t *pc;
    apr_status_t rv;

    cfg.refresh_token = NULL;
    rv = cs_pc_create(&pc, &cfg, &vault, s->lane->http, &s->lane->pc_limiter,
                      &s->lane->login_limiter, s->p);
    if (rv != APR_SUCCESS) {
        return cs_result_set(why, s->p, rv, CS_CLASS_RETRY, "client",
                             "could not make a client of Partner Center");
    }
    return cs_pc_probe(pc, cs_time_mono() + PROOF, s->p, why);
}

static apr_status_t finish(signing_t *s, const char *account)
{
    const char *text = apr_psprintf(s->p, "signed in as %s; Partner Center answers",
                                    account ? account : "somebody whom the answer does not name");
    cs_lane_suspension_t *suspension = cs_lane_suspension(s->lane, CS_UPSTREAM_PC);

    cs_pc_signed_in(s->lane->pc);
    cs_pc_hooks_signed_in(s->lane->hooks);
    if (suspension) {
        suspension->probe = s->t->b->now;
    }
    tell_nothing_more(s->t);
    json_object_set_new(s->t->progress, "text", json_string(text));
    cs_job_journal(s->t, 0, "done", apr_pstrcat(s->p, text, "; sign-in asked for", NULL));
    cs_log(CS_LOG_NOTICE, 0, s->lane->site->name,
           CSLOGNO(2300) "%s; the sign-in was asked for by %s", text, s->t->user);
    cs_job_done(s->t, json_pack("{s:s, s:s*}", "text", text, "account", account));
    return APR_SUCCESS;
}

static apr_status_t adopt(signing_t *s)
{
    const char *refresh = cs_json_str(s->record, "token");
    const char *account = apr_pstrdup(s->p, cs_json_str(s->record, "account"));
    json_t *about = cs_json_own(json_copy(s->record), s->p);
    apr_status_t rv;

    json_object_del(about, "token");
    json_object_set_new(about, "source", json_string("login"));
    json_object_set_new(about, "signed_in", json_integer(s->t->b->now));
    rv = cs_token_adopt(&s->lane->vault, s->lane->site->pc.refresh_token, refresh, about, s->p,
                        s->res);
    if (rv == APR_SUCCESS) {
        rv = keep(s, json_pack("{s:b, s:s*}", "done", 1, "account", account));
    }
    return rv == APR_SUCCESS ? finish(s, account) : rv;
}

static apr_status_t prove_and_adopt(signing_t *s)
{
    cs_result_t why = {0};
    apr_status_t rv = prove(s, &why), read = load(s); /* rotated by the proof */
    const char *account = cs_json_str(s->record, "account");

    if (read != APR_SUCCESS) {
        return read;
    }
    if (rv == APR_SUCCESS && s->record && cs_json_str(s->record, "token")) {
        return adopt(s);
    }
    if (rv == APR_SUCCESS) {
        return over(s, "what the sign-in gave was lost; sign in again");
    }
    if (passes(&why)) {
        return troubled(s, CS_UPSTREAM_PC, &why);
    }
    return over(s, apr_psprintf(s->p,
                                "%s signed in, but is of no use here: %s; what was in force "
                                "before stays",
                                account ? account : "the account",
                                why.detail ? why.detail : "no reason given"));
}

/* ---- what came back ---- */

/* The refresh token is durable before it is used. */
static apr_status_t keep_answer(signing_t *s, const cs_login_answer_t *answer)
{
    json_t *record = json_pack("{s:s, s:s, s:s*}", "token", answer->refresh, "seed", "", "account",
                               answer->account);
    apr_status_t rv;

    if (!record) {
        return cs_result_set(s->res, s->p, CS_EPARSE, CS_CLASS_RETRY, "oauth:answer",
                             "the answer to the sign-in is no text");
    }
    if (answer->is_public) {
        json_object_set_new(record, "public", json_true());
    }
    rv = keep(s, record);
    if (rv == APR_SUCCESS) {
        tell_nothing_more(s->t);
        json_object_set_new(s->t->progress, "text",
                            json_string("somebody signed in; Partner Center is asked"));
    }
    return rv;
}

/* ---- device code ---- */

static apr_status_t ask_device(signing_t *s)
{
    json_int_t interval = json_integer_value(json_object_get(s->t->cursor, "interval"));
    cs_login_answer_t answer;
    cs_login_state_e state;
    cs_result_t why = {0};
    apr_status_t rv;

    s->cfg.is_public = cs_json_bool(s->t->cursor, "public", 0);
    rv = cs_login_device_ask(&answer, &state, &s->cfg, cs_json_str(s->record, "device_code"),
                             cs_time_mono() + EXCHANGE, s->p, &why);
    if (rv != APR_SUCCESS) {
        return troubled(s, UPSTREAM, &why);
    }
    if (answer.is_public) {
        json_object_set_new(s->t->cursor, "public", json_true());
    }
    if (state == CS_LOGIN_SIGNED_IN) {
        rv = keep_answer(s, &answer);
        return rv == APR_SUCCESS ? prove_and_adopt(s) : rv;
    }
    if (state == CS_LOGIN_SLOW_DOWN) {
        interval += SLOWER;
        json_object_set_new(s->t->cursor, "interval", json_integer(interval));
    }
    cs_job_wait(s->t, s->t->b->now + apr_time_from_sec(interval));
    return APR_SUCCESS;
}

/* ---- authorization code ---- */

/* *panswer: the browser's answer as httpd/login.c boxed it, NULL = there is none yet; without a
 * member "code" and "error" = it cannot be read. */
static apr_status_t read_box(signing_t *s, json_t **panswer, apr_int64_t *pversion)
{
    const char *name = apr_pstrcat(s->p, CS_LOGIN_ANSWER, s->t->id, NULL);
    const char *key = cs_json_str(s->record, "key");
    const unsigned char *sealed = NULL, *plain, *hidden;
    apr_size_t len = 0, n;
    apr_status_t rv = cs_store_secret_get(s->lane->store, s->lane->site->name, name, &sealed, &len,
                                          pversion, s->p, s->res);

    *panswer = NULL;
    if (rv != APR_SUCCESS || !sealed || !len) {
        return rv;
    }
    *panswer = cs_json_own(json_object(), s->p);
    if (key &&
        cs_base64_decode(&hidden, &n, key, strlen(key), CS_BOX_KEY_LEN, s->p) == APR_SUCCESS &&
        n == CS_BOX_KEY_LEN &&
        cs_box_open(&plain, &len, hidden, apr_pstrcat(s->p, s->lane->site->name, "\n", name, NULL),
                    sealed, len, s->p) == APR_SUCCESS) {
        json_t *answer = NULL;
        if (cs_json_parse(&answer, (const char *)plain, len, NULL, s->p, NULL) == APR_SUCCESS) {
            *panswer = cs_json_own(answer, s->p);
        }
    }
    return APR_SUCCESS;
}

/* It is of no more use; that there was one stays, so that a second one is refused. */
static apr_status_t empty_box(signing_t *s, apr_int64_t version)
{
    return cs_store_secret_put(s->lane->store, s->lane->site->name,
                               apr_pstrcat(s->p, CS_LOGIN_ANSWER, s->t->id, NULL),
                               (const unsigned char *)"", 0, version, s->p, s->res);
}

/* NULL, or why there is nothing to be redeemed. */
static const char *refused_by(const json_t *came, apr_pool_t *p)
{
    const char *error = cs_json_str(came, "error");

    if (error) {
        return cs_login_refusal(error, cs_json_str(came, "text"), p);
    }
    return cs_json_str(came, "code")
               ? NULL
               : "what the browser brought back cannot be read; sign in again";
}

static apr_status_t redeem(signing_t *s, const char *code, cs_login_answer_t *answer,
                           cs_result_t *why)
{
    return cs_login_redeem(answer, &s->cfg, code, cs_json_str(s->t->arguments, "redirect_uri"),
                           cs_json_str(s->record, "verifier"), cs_time_mono() + EXCHANGE, s->p,
                           why);
}

static apr_status_t look_for_code(signing_t *s)
{
    cs_login_answer_t answer;
    cs_result_t why = {0};
    const char *refused;
    apr_int64_t version;
    json_t *came = NULL;
    apr_status_t rv = read_box(s, &came, &version);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!came) {
        cs_job_wait(s->t, s->t->b->now + LOOK_AGAIN);
        return APR_SUCCESS;
    }
    refused = refused_by(came, s->p);
    if (!refused && redeem(s, cs_json_str(came, "code"), &answer, &why) != APR_SUCCESS) {
        if (passes(&why)) {
            return troubled(s, UPSTREAM, &why);
        }
        refused = why.detail ? why.detail : "no reason given";
    }
    rv = refused ? over(s, refused) : keep_answer(s, &answer);
    if (rv == APR_SUCCESS) {
        rv = empty_box(s, version);
    }
    return rv == APR_SUCCESS && !refused ? prove_and_adopt(s) : rv;
}

/* ---- one turn ---- */

static apr_status_t go_on(signing_t *s)
{
    const json_t *until = json_object_get(s->t->cursor, "until");

    if (!until) {
        return begin(s);
    }
    if (!s->record) {
        return over(s, "what this sign-in had kept cannot be read any more; sign in again");
    }
    if (json_object_get(s->record, "done")) {
        return finish(s, apr_pstrdup(s->p, cs_json_str(s->record, "account")));
    }
    if (json_object_get(s->record, "over")) {
        return over(s, apr_pstrdup(s->p, cs_json_str(s->record, "over")));
    }
    if (json_object_get(s->record, "token")) {
        return prove_and_adopt(s);
    }
    if (s->t->b->now >= json_integer_value(until)) {
        return over(s, "nobody has signed in in time; begin again");
    }
    return json_object_get(s->record, "device_code") ? ask_device(s) : look_for_code(s);
}

static apr_status_t turn(cs_job_turn_t *t, cs_result_t *res)
{
    signing_t s = {0};
    apr_status_t rv;

    s.t = t;
    s.lane = t->b->lane;
    s.p = t->b->p;
    s.res = res;
    s.name = apr_pstrcat(s.p, CS_LOGIN_NAME, t->id, NULL);
    cs_pc_login(s.lane->pc, &s.cfg);
    s.cfg.http = s.lane->http;
    s.cfg.limiter = &s.lane->login_limiter;
    rv = load(&s);
    return rv == APR_SUCCESS ? go_on(&s) : rv;
}

static const char *const members[] = {"method:s", "redirect_uri:s", NULL};
static const char *const required[] = {"method", NULL};
const cs_job_kind_t cs_job_login = {"login", members, required, check, turn, 0, 0};
