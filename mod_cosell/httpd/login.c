/* httpd/login.c: handler cosell-login: the end of a sign-in with the browser. (design 7.5)
 *
 *   GET /cosell-login?code=...&state=...                        what Entra ID sends the browser to
 *   GET /cosell-login?error=...&error_description=...&state=...
 *
 * The state names a sign-in of this host's site (engine/job_login.c) and proves that its address
 * was known; nobody needs to be authenticated here, for who signs in need not be who asked for it.
 * What came is boxed, so that only the runner can read it, and stored once; then the page waits for
 * what comes of it. The code is in no log: the request line that is logged is without its query.
 *
 *   200  signed in            202  still at it: the job says what comes of it
 *   400  not such an address  403  not signed in, with the reason
 *   404  a state that nobody here has given out
 *   405  not GET              409  brought a second time
 *   410  the sign-in is over  503  not stored
 */
#include "mod_cosell.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <scoreboard.h>
#include <string.h>

#include "../base/crypto.h"
#include "../base/json.h"
#include "../base/time.h"
#include "../engine/job.h"

APLOG_USE_MODULE(cosell);

#define ARGS_MAX 8190
#define CODE_MAX 6000
#define TEXT_MAX 1500
#define RANDOM_LEN 43
#define STATE_LEN (CS_JOB_ID_LEN + 1 + RANDOM_LEN)
#define PATIENCE apr_time_from_sec(10)
#define PAUSE apr_time_from_msec(100)

typedef struct answer_t {
    const char *code, *state, *error, *text;
    const char *id; /* of the job */
} answer_t;

/* ---- the page ---- */

static const char style[] =
    ":root{color-scheme:light dark}"
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem}"
    "h1{font-size:1.4rem}";

static void set_headers(request_rec *r)
{
    unsigned char digest[CS_SHA256_LEN];
    apr_table_t *out = r->headers_out;

    cs_sha256(digest, style, sizeof(style) - 1);
    apr_table_setn(out, "Cache-Control", "no-store");
    apr_table_setn(out, "Content-Security-Policy",
                   apr_pstrcat(r->pool, "default-src 'none'; style-src 'sha256-",
                               cs_base64_encode(digest, sizeof(digest), r->pool),
                               "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                               NULL));
    apr_table_setn(out, "X-Frame-Options", "DENY");
    apr_table_setn(out, "X-Content-Type-Options", "nosniff");
    apr_table_setn(out, "Referrer-Policy", "no-referrer");
    ap_set_content_type(r, "text/html; charset=utf-8");
}

static int show(request_rec *r, int status, const char *title, const char *text, const char *todo)
{
    const char *page;

    page = apr_pstrcat(r->pool,
                       "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                       "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                       "<title>",
                       ap_escape_html(r->pool, title), "</title>\n<style>", style,
                       "</style>\n</head>\n<body>\n<h1>", ap_escape_html(r->pool, title),
                       "</h1>\n<p>", ap_escape_html(r->pool, text), "</p>\n", todo ? "<p>" : "",
                       todo ? ap_escape_html(r->pool, todo) : "", todo ? "</p>\n" : "",
                       "</body>\n</html>\n", NULL);
    r->status = status;
    set_headers(r);
    if (status == HTTP_SERVICE_UNAVAILABLE) {
        apr_table_setn(r->headers_out, "Retry-After", "5");
    }
    ap_set_content_length(r, (apr_off_t)strlen(page));
    if (!r->header_only) {
        ap_rputs(page, r);
    }
    return OK;
}

static const char again[] = "Begin again with: cosellctl login";

static int refuse(request_rec *r, int status, const char *why)
{
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, CSLOGNO(1121) "cosell-login answered %d: %s",
                  status, why);
    return show(r, status, "Not signed in", why, again);
}

/* ---- what came ---- */

/* mod_log_config writes what is here at the end, and mod_status shows what it was so far. */
static void forget_query(request_rec *r)
{
    request_rec *first = r;

    for (; r; r = r->prev ? r->prev : r->main) {
        r->the_request = apr_pstrcat(r->pool, r->method, " ", r->uri, " ", r->protocol, NULL);
        r->unparsed_uri = r->uri;
        r->parsed_uri.query = NULL;
        r->args = NULL;
    }
    ap_update_child_status(first->connection->sbh, SERVER_BUSY_WRITE, first);
}

static int is_line(const char *text, apr_size_t most)
{
    apr_size_t len = strlen(text), i;

    for (i = 0; i < len; i++) {
        if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] > '~') {
            return 0;
        }
    }
    return len && len <= most;
}

/* "<16 hexadecimal digits>.<43 of base64url>" */
static int is_state(const char *state)
{
    static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    return strlen(state) == STATE_LEN && strspn(state, "0123456789abcdef") == CS_JOB_ID_LEN &&
           state[CS_JOB_ID_LEN] == '.' && strspn(state + CS_JOB_ID_LEN + 1, url) == RANDOM_LEN;
}

/* NULL or what is wrong. Names that are not ours are Entra's own business. */
static const char *take_pair(answer_t *a, char *name)
{
    char *value = strchr(name, '=');
    const char **to;

    if (!value) {
        return NULL;
    }
    *value++ = '\0';
    to = !strcmp(name, "code")                ? &a->code
         : !strcmp(name, "state")             ? &a->state
         : !strcmp(name, "error")             ? &a->error
         : !strcmp(name, "error_description") ? &a->text
                                              : NULL;
    if (!to) {
        return NULL;
    }
    if (*to || ap_unescape_urlencoded(value) != OK) {
        return "the address that the browser was sent to is damaged.";
    }
    *to = value;
    return NULL;
}

static const char *parse(answer_t *a, const char *args, apr_pool_t *p)
{
    const char *wrong = NULL;
    char *copy, *last, *pair;

    memset(a, 0, sizeof(*a));
    if (!args || strlen(args) > ARGS_MAX) {
        return args ? "the address that the browser was sent to is too long."
                    : "This is where a browser comes back to after signing in; there is nothing to "
                      "be opened here.";
    }
    copy = apr_pstrdup(p, args);
    cs_wipe_at_end(copy, strlen(copy), p);
    for (pair = apr_strtok(copy, "&", &last); pair && !wrong; pair = apr_strtok(NULL, "&", &last)) {
        wrong = take_pair(a, pair);
    }
    if (wrong) {
        return wrong;
    }
    if (!a->state || !is_state(a->state) || !a->code == !a->error) {
        return "the address is none that a sign-in of this server comes back to.";
    }
    if (a->code ? !is_line(a->code, CODE_MAX) : !is_line(a->error, 100)) {
        return "what the browser brought back is no code.";
    }
    a->id = apr_pstrmemdup(p, a->state, CS_JOB_ID_LEN);
    return NULL;
}

/* ---- the sign-in ---- */

static int is_over(const cs_job_t *job)
{
    return job->state != CS_JOB_WAITING && job->state != CS_JOB_RUNNING;
}

/* It was begun here, and its address is known. The two are one question: who guesses learns
 * nothing.
 */
static int is_known(const cs_job_t *job, const answer_t *a, apr_pool_t *p)
{
    const char *wanted =
        job && !strcmp(job->kind, cs_job_login.name) ? cs_json_str(job->cursor, "state") : NULL;
    const char *digest = cs_sha256_hex(a->state, strlen(a->state), p);

    return wanted && cs_equal_consttime(wanted, strlen(wanted), digest, strlen(digest));
}

static const char *words_of(const cs_job_t *job, const char *name, const char *dflt)
{
    const char *text = cs_json_str(job->result, name);

    return text ? text : dflt;
}

static int show_end(request_rec *r, const cs_job_t *job)
{
    switch (job->state) {
    case CS_JOB_DONE:
        return show(r, HTTP_OK, "Signed in", words_of(job, "text", "Partner Center answers."),
                    "This window can be closed.");
    case CS_JOB_FAILED:
        return refuse(r, HTTP_FORBIDDEN, words_of(job, "error", "No reason was given."));
    case CS_JOB_CANCELLED:
        return refuse(r, HTTP_FORBIDDEN, "The sign-in was cancelled.");
    default:
        return show(r, HTTP_ACCEPTED, "Still signing in",
                    "Partner Center has not answered yet; what comes of it is said where the "
                    "sign-in was begun.",
                    NULL);
    }
}

/* What only the runner can read. */
static apr_status_t seal(const unsigned char **pbox, apr_size_t *plen, const cs_job_t *job,
                         const answer_t *a, apr_pool_t *p)
{
    const char *key = cs_json_str(job->cursor, "box"), *text;
    const unsigned char *public_key;
    apr_size_t len;
    json_t *json =
        a->code ? json_pack("{s:s}", "code", a->code) : json_pack("{s:s}", "error", a->error);

    if (!json || !key ||
        cs_base64_decode(&public_key, &len, key, strlen(key), CS_BOX_KEY_LEN, p) != APR_SUCCESS ||
        len != CS_BOX_KEY_LEN) {
        json_decref(json);
        return APR_EINVAL;
    }
    if (a->error && a->text) {
        json_object_set_new(json, "text", cs_json_words(apr_pstrndup(p, a->text, TEXT_MAX), p));
    }
    text = cs_json_print(json, p);
    json_decref(json);
    cs_wipe_at_end((char *)text, strlen(text), p);
    return cs_box_seal(pbox, plen, public_key,
                       apr_pstrcat(p, job->site, "\n", CS_LOGIN_ANSWER, job->id, NULL), text,
                       strlen(text), p);
}

/* Once: a second one finds the first. */
static apr_status_t leave(const cs_job_t *job, const answer_t *a, apr_pool_t *p, cs_result_t *res)
{
    const unsigned char *box;
    cs_store_t *store = NULL;
    apr_size_t len;
    apr_status_t rv = seal(&box, &len, job, a, p);

    if (rv != APR_SUCCESS) {
        return cs_result_set(res, p, rv, CS_CLASS_RETRY, "crypto",
                             "the answer could not be sealed");
    }
    rv = cs_store_open(&store, &cosell_node->cfg.store, CS_STORE_WRITER, p, res);
    if (rv == APR_SUCCESS) {
        rv = cs_store_secret_put(store, job->site, apr_pstrcat(p, CS_LOGIN_ANSWER, job->id, NULL),
                                 box, len, 0, p, res);
        cs_store_close(store);
    }
    return rv;
}

static int wait_for_end(request_rec *r, cs_store_t *store, const cs_job_t *begun)
{
    apr_interval_time_t end = cs_time_mono() + PATIENCE;
    const cs_job_t *last = begun;
    cs_result_t res = {0};
    apr_pool_t *ptemp;
    cs_job_t *job;

    apr_pool_create(&ptemp, r->pool);
    while (!is_over(last) && cs_time_mono() < end && !atomic_load(&cosell_child->stopping)) {
        apr_sleep(PAUSE);
        apr_pool_clear(ptemp);
        last = begun;
        if (cs_store_job_get(store, begun->site, begun->id, &job, ptemp, &res) == APR_SUCCESS &&
            job) {
            last = job;
        }
    }
    return show_end(r, last);
}

static int take(request_rec *r, const cosell_site_t *site, const answer_t *a)
{
    cs_store_t *store = NULL;
    cs_job_t *job = NULL;
    cs_result_t res = {0};
    apr_status_t rv =
        cs_store_open(&store, &cosell_node->cfg.store, CS_STORE_READER, r->pool, &res);

    if (rv == APR_SUCCESS) {
        rv = cs_store_job_get(store, site->cfg.name, a->id, &job, r->pool, &res);
    }
    if (rv != APR_SUCCESS) {
        return refuse(r, HTTP_SERVICE_UNAVAILABLE,
                      res.detail ? res.detail : "the store cannot be read");
    }
    if (!is_known(job, a, r->pool)) {
        return refuse(r, HTTP_NOT_FOUND, "No sign-in that this host knows of has this address.");
    }
    if (is_over(job)) {
        return refuse(r, HTTP_GONE,
                      apr_pstrcat(r->pool, "This sign-in is over: ",
                                  words_of(job, "text", words_of(job, "error", "it was cancelled")),
                                  NULL));
    }
    if (cs_time_now() >= cs_json_int(job->cursor, "until", 0)) {
        return refuse(r, HTTP_GONE, "This sign-in has taken too long.");
    }
    rv = leave(job, a, r->pool, &res);
    if (rv == CS_ESTALE) {
        return refuse(r, HTTP_CONFLICT, "This address was opened before; it is good for once.");
    }
    if (rv != APR_SUCCESS) {
        return refuse(r, HTTP_SERVICE_UNAVAILABLE,
                      res.detail ? res.detail : "the answer could not be stored");
    }
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                  CSLOGNO(1120) "a browser came back from the sign-in "
                                "%s of site %s",
                  a->id, site->cfg.name);
    cosell_wake(NULL);
    return wait_for_end(r, store, job);
}

/* ---- the handler ---- */

/* Pages that wait hold a thread: never more than a quarter of them. */
static int take_bounded(request_rec *r, const cosell_site_t *site, const answer_t *a)
{
    cosell_child_t *child = cosell_child;
    int status;

    if (atomic_fetch_add(&child->pages, 1) < child->wait_max) {
        status = take(r, site, a);
    }
    else {
        status = refuse(r, HTTP_SERVICE_UNAVAILABLE, "Too many pages are asked for at once.");
    }
    atomic_fetch_sub(&child->pages, 1);
    return status;
}

int cosell_login_handler(request_rec *r)
{
    const cosell_site_t *site;
    const char *wrong;
    answer_t answer;

    if (!r->handler || strcmp(r->handler, "cosell-login")) {
        return DECLINED;
    }
    wrong = parse(&answer, r->args, r->pool);
    forget_query(r);
    /* Not HEAD either: what looks ahead for somebody must not use the code up. */
    if (r->method_number != M_GET || r->header_only) {
        apr_table_setn(r->headers_out, "Allow", "GET");
        return refuse(r, HTTP_METHOD_NOT_ALLOWED, "Allowed is GET.");
    }
    if (wrong) {
        return refuse(r, HTTP_BAD_REQUEST, wrong);
    }
    site = cosell_conf_of(r->server)->effective;
    if (!cosell_node || cosell_node->broken || !cosell_child || !site) {
        return refuse(r, HTTP_SERVICE_UNAVAILABLE,
                      cosell_node && cosell_node->broken ? cosell_node->broken
                                                         : "This host has no usable site.");
    }
    return take_bounded(r, site, &answer);
}
