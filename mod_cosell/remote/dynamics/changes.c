/* What changed in a table since a cursor: delta links, or the time of modification where a table
 * keeps no track. (crm-apis.md A12)
 *
 * A cursor is compact JSON that only this file reads:
 *   {"v": 1, "query": digest of the columns,   another query has another answer: begin anew
 *    "path": what to ask next, under the root; absent = a fresh pass of a poll
 *    "begin": 1                   while everything is being read
 *    "again": n                   beginnings in a row that the service cut off
 *    "poll": microseconds         polled: the pass before this one began then, by their clock
 *    "pass": microseconds         polled: this pass began then
 *    "asked": microseconds        polled: when change tracking was last asked for, by our clock}
 */
#include "client.h"

#include <apr_date.h>
#include <apr_strings.h>
#include <string.h>

#include "../../base/crypto.h"
#include "../../base/json.h"
#include "../../base/log.h"
#include "../../base/time.h"

#define PAGE "1000"
#define TRACK "odata.track-changes"
#define MOST_PATH 12000
#define MOST_CURSOR 16000
#define MOST_BEGINNINGS 3
#define ANSWER_MAX ((apr_size_t)4 * 1024 * 1024)
/* A row may become visible some time after the moment that its modifiedon names. */
#define OVERLAP apr_time_from_sec(600)
/* An administrator may have switched tracking on meanwhile. */
#define ASK_EVERY apr_time_from_sec(86400)

/* Where a cursor stands; zero = at the very beginning. */
typedef struct place_t {
    const char *path;
    int begin, again, polled;
    apr_time_t poll, pass, asked;
} place_t;

/* One call. */
typedef struct step_t {
    cs_crm_t *crm;
    cs_crm_changes_t *changes;
    const cs_dyn_table_t *table;
    const char *select; /* "$select=..." */
    const char *digest; /* of it */
    place_t at;
    const cs_http_response_t *response;
    const cs_http_request_t *request;
    json_t *page; /* NULL = no good answer */
    apr_interval_time_t deadline;
    apr_pool_t *p;
} step_t;

/* ---- cursors ---- */

static int is_clean(const char *path)
{
    apr_size_t len = strlen(path);

    for (const char *c = path; *c; c++) {
        if ((unsigned char)*c <= 0x20 || *c == 0x7f || *c == '#') {
            return 0;
        }
    }
    return len && len <= MOST_PATH;
}

/* 1 when it is a query of this table under the root and nothing else. */
static int is_of_table(const step_t *s, const char *path)
{
    apr_size_t len = strlen(s->table->set);

    return is_clean(path) && !strncmp(path, s->table->set, len) && path[len] == '?';
}

/* Cookies in links are seen with characters that no address may have: those are escaped. */
static const char *escaped(const char *link, apr_pool_t *p)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = apr_palloc(p, strlen(link) * 3 + 1), *to = out;

    for (; *link; link++) {
        unsigned char c = (unsigned char)*link;

        if (c >= 0x80 || strchr("\"<>\\^`{|}", c)) {
            *to++ = '%';
            *to++ = hex[c >> 4];
            *to++ = hex[c & 15];
        }
        else {
            *to++ = *link;
        }
    }
    *to = '\0';
    return out;
}

/* A link of an answer as a path under the root; NULL for what leads anywhere else. */
static const char *path_of_link(const step_t *s, const char *link)
{
    const char *origin, *own = cs_http_origin(s->crm->root, s->p), *path;

    if (!link || !is_clean(link)) {
        return NULL;
    }
    link = escaped(link, s->p);
    origin = cs_http_origin(link, s->p);
    path = strstr(link, "://");
    path = path ? strchr(path + 3, '/') : NULL;
    if (!origin || !own || strcmp(origin, own) || !path ||
        strncmp(path, s->crm->root + strlen(own), strlen(s->crm->root) - strlen(own))) {
        return NULL;
    }
    path += strlen(s->crm->root) - strlen(own);
    return is_of_table(s, path) ? apr_pstrdup(s->p, path) : NULL;
}

static int read_cursor(step_t *s, place_t *to)
{
    const char *text = s->changes->cursor, *path, *digest;
    json_t *json = NULL;
    int good;

    memset(to, 0, sizeof(*to));
    if (cs_json_parse(&json, text, strlen(text), NULL, s->p, NULL) != APR_SUCCESS) {
        return 0;
    }
    path = cs_json_str(json, "path");
    digest = cs_json_str(json, "query");
    good = cs_json_int(json, "v", 0) == 1 && digest && !strcmp(digest, s->digest) &&
           (!path || is_of_table(s, path));
    if (good) {
        to->path = apr_pstrdup(s->p, path);
        to->begin = cs_json_int(json, "begin", 0) == 1;
        to->again = (int)cs_json_int(json, "again", 0);
        to->poll = cs_json_int(json, "poll", 0);
        to->pass = cs_json_int(json, "pass", 0);
        to->asked = cs_json_int(json, "asked", 0);
        to->polled = json_object_get(json, "asked") != NULL;
        good = path || (to->polled && to->poll > 0);
    }
    json_decref(json);
    return good;
}

static void put_int(json_t *json, const char *name, apr_int64_t value)
{
    if (value) {
        json_object_set_new(json, name, json_integer(value));
    }
}

static const char *write_cursor(const step_t *s, const place_t *from)
{
    json_t *json = json_pack("{s:i, s:s}", "v", 1, "query", s->digest);
    const char *text;

    if (from->path) {
        json_object_set_new(json, "path", json_string(from->path));
    }
    put_int(json, "begin", from->begin);
    put_int(json, "again", from->again);
    if (from->polled) {
        put_int(json, "poll", from->poll);
        put_int(json, "pass", from->pass);
        json_object_set_new(json, "asked", json_integer(from->asked));
    }
    text = cs_json_print(json, s->p);
    json_decref(json);
    return text;
}

/* ---- asking ---- */

static const char *tracked_path(const step_t *s)
{
    return apr_pstrcat(s->p, s->table->set, "?", s->select, NULL);
}

/* All rows modified since, the oldest first. */
static const char *polled_path(const step_t *s, apr_time_t since)
{
    const char *path = apr_pstrcat(s->p, s->table->set, "?", s->select,
                                   "&$orderby=modifiedon%20asc,", s->table->key, "%20asc", NULL);

    if (since > 0) {
        since -= since % APR_USEC_PER_SEC;
        path = apr_pstrcat(
            s->p, path, "&$filter=",
            cs_http_escape(apr_pstrcat(s->p, "modifiedon ge ", cs_time_format(since, s->p), NULL),
                           s->p),
            NULL);
    }
    return path;
}

static void take_page(const cs_dyn_batch_t *batch, int at)
{
    step_t *s = batch->calls[at].item;

    s->response = &batch->responses[at];
    s->request = &batch->requests[at];
    s->changes->calls += s->response->calls;
    s->changes->took += s->response->took;
    s->changes->correlation =
        s->response->correlation ? s->response->correlation : s->changes->correlation;
    cs_dyn_classify(&s->changes->result, s->response, s->request, CS_DYN_READ, NULL, s->p);
    if (s->changes->result.cls == CS_CLASS_OK) {
        s->page = cs_dyn_object(&s->changes->result, s->response, s->request, CS_DYN_READ, s->p);
    }
}

static apr_status_t ask(step_t *s, const char *path, const char *prefer)
{
    cs_dyn_call_t call = {.item = s,
                          .take = take_page,
                          .result = &s->changes->result,
                          .table = s->table,
                          .kind = CS_DYN_READ};
    cs_http_request_t *request;
    cs_dyn_batch_t batch;
    apr_status_t rv;

    s->page = NULL;
    s->response = NULL;
    cs_result_clear(&s->changes->result);
    cs_dyn_batch_init(&batch, s->crm, 1, s->p);
    request = cs_dyn_batch_add(&batch, "GET", path,
                               apr_psprintf(s->p, "GET changes of %s", s->table->name), &call);
    request->max_response = ANSWER_MAX;
    apr_table_setn(request->headers, "Prefer", prefer);
    rv = cs_dyn_batch_send(&batch, s->deadline);
    cs_dyn_batch_take(&batch, rv);
    return rv;
}

/* ---- answers ---- */

/* The id of a row that went: a GUID, or the address of the row. */
static const char *deleted_id(const json_t *row, apr_pool_t *p)
{
    const char *id = cs_json_str(row, "id"), *open;

    open = id ? strrchr(id, '(') : NULL;
    id = open ? open + 1 : id;
    if (!id || strlen(id) < 36 || !cs_uuid_valid(id, 36) || (id[36] && strcmp(id + 36, ")"))) {
        return NULL;
    }
    return cs_uuid_lower(id, 36, p);
}

static int is_deleted(const json_t *row)
{
    static const char tail[] = "/$deletedEntity";
    const char *context = cs_json_str(row, "@odata.context");
    apr_size_t len = context ? strlen(context) : 0, n = sizeof(tail) - 1;

    return len >= n && !strcmp(context + len - n, tail);
}

/* 0 when it is no row. */
static int take_row(step_t *s, const json_t *row)
{
    cs_crm_changed_t changed = {0};
    const cs_record_t *record;

    if (is_deleted(row)) {
        changed.id = deleted_id(row, s->p);
        changed.deleted = 1;
    }
    else {
        record = cs_dyn_record(row, NULL, s->table, s->changes->columns, s->changes->lookups, s->p);
        changed.id = record ? record->id : NULL;
        changed.version = record ? record->version : NULL;
        changed.modified = record ? record->modified : 0;
        changed.row = record ? record->row : NULL;
        if (record && s->changes->beginning && record->modified &&
            record->modified < s->changes->since) {
            return 1;
        }
    }
    if (!changed.id) {
        return 0;
    }
    APR_ARRAY_PUSH(s->changes->rows, cs_crm_changed_t) = changed;
    return 1;
}

static apr_status_t unreadable(step_t *s, const char *why)
{
    s->changes->rows->nelts = 0;
    s->changes->next = NULL;
    s->changes->more = 0;
    cs_dyn_unreadable(&s->changes->result, s->response, s->request, CS_DYN_READ, why, s->p);
    return APR_SUCCESS;
}

/* An odd entry does not hide the others, for the page would be the same the next time; where all
 * are odd it is no list of rows. */
static int take_rows(step_t *s)
{
    const json_t *value = cs_json_get(s->page, "value");
    size_t i, odd = 0;

    if (!json_is_array(value)) {
        return 0;
    }
    for (i = 0; i < json_array_size(value); i++) {
        odd += !take_row(s, json_array_get(value, i));
    }
    if (odd && odd < i) {
        cs_log(CS_LOG_WARNING, 0, NULL,
               CSLOGNO(4113) "%s: %" APR_SIZE_T_FMT " of %" APR_SIZE_T_FMT
                             " changes of table %s are no rows and are left out",
               s->crm->cfg.name, odd, i, s->table->name);
    }
    return !odd || odd < i;
}

/* ---- tracking ---- */

static int says(const char *text, const char *word)
{
    apr_size_t len = strlen(word);

    for (; text && *text; text++) {
        if (!strncasecmp(text, word, len)) {
            return 1;
        }
    }
    return 0;
}

/* The table keeps no track: an error says so, or the preference was passed over. */
static int is_untracked(const step_t *s)
{
    const cs_result_t *res = &s->changes->result;

    if (!s->response || s->response->outcome != CS_HTTP_ANSWERED || s->response->failure) {
        return 0;
    }
    if (s->response->status == 400) {
        return says(res->said, "change tracking") || says(res->said, "changetracking");
    }
    return s->page && !cs_json_get(s->page, "@odata.deltaLink") &&
           !says(apr_table_get(s->response->headers, "Preference-Applied"), TRACK);
}

/* What the service says when it does not take a link of its own any more: which code it has then is
 * not written anywhere, so that all is taken for it that is not about the caller or the moment. */
static int is_forgotten(const step_t *s)
{
    int status = s->response && s->response->outcome == CS_HTTP_ANSWERED && !s->response->failure
                     ? s->response->status
                     : 0;

    return (status == 400 || status == 404 || status == 410 || status == 412 || status == 414) &&
           s->changes->result.cls != CS_CLASS_THROTTLED && s->changes->result.cls != CS_CLASS_RETRY;
}

/* The page is good: where the next one is. */
static apr_status_t follow_track(step_t *s)
{
    const char *next = cs_json_str(s->page, "@odata.nextLink"),
               *delta = cs_json_str(s->page, "@odata.deltaLink");
    place_t to = {0};

    to.path = path_of_link(s, next ? next : delta);
    if (!to.path) {
        return unreadable(s, next || delta ? "the link to what follows leads somewhere else"
                                           : "the answer has no link to what follows");
    }
    if (!take_rows(s)) {
        return unreadable(s, "the answer is not a list of rows");
    }
    s->changes->more = next != NULL;
    to.begin = s->changes->beginning && next;
    to.again = to.begin ? s->at.again : 0;
    s->changes->next = write_cursor(s, &to);
    return APR_SUCCESS;
}

/* ---- polling ---- */

/* Their clock, for modifiedon is theirs. */
static apr_time_t server_time(const step_t *s)
{
    const char *date = apr_table_get(s->response->headers, "Date");
    apr_time_t at = date ? apr_date_parse_http(date) : APR_DATE_BAD;

    return at != APR_DATE_BAD && at > 0 ? at : cs_time_now();
}

static apr_status_t poll_page(step_t *s)
{
    const char *path = s->at.path, *next;
    place_t to = {0};
    apr_status_t rv;

    s->changes->beginning = !s->at.poll;
    if (!path) {
        path = polled_path(s, s->at.poll ? s->at.poll - OVERLAP : s->changes->since);
    }
    rv = ask(s, path, "odata.maxpagesize=" PAGE);
    if (rv == APR_SUCCESS && !s->page && s->at.path && is_forgotten(s)) {
        /* A page of a pass that took too long: the pass is made again. */
        s->at.path = NULL;
        s->at.pass = 0;
        return poll_page(s);
    }
    if (rv != APR_SUCCESS || !s->page) {
        return rv;
    }
    next = cs_json_str(s->page, "@odata.nextLink");
    to.polled = 1;
    to.asked = s->at.asked;
    to.pass = s->at.pass ? s->at.pass : server_time(s);
    to.poll = next ? s->at.poll : to.pass;
    to.pass = next ? to.pass : 0;
    to.path = next ? path_of_link(s, next) : NULL;
    if (next && !to.path) {
        return unreadable(s, "the link to the next page leads somewhere else");
    }
    if (!take_rows(s)) {
        return unreadable(s, "the answer is not a list of rows");
    }
    s->changes->more = next != NULL;
    s->changes->next = write_cursor(s, &to);
    return rv;
}

static apr_status_t begin_polling(step_t *s, const char *why)
{
    const char *once = apr_pstrcat(s->p, "untracked ", s->table->name, NULL);

    if (cs_dyn_say_once(s->crm, once)) {
        cs_log(CS_LOG_INFO, 0, NULL,
               CSLOGNO(4110) "%s: table %s %s: it is polled by its time of modification, and rows "
                             "deleted there are not noticed",
               s->crm->cfg.name, s->table->name, why);
    }
    s->at.path = NULL;
    s->at.pass = s->at.again = 0;
    s->at.polled = 1;
    s->at.asked = cs_time_now();
    return poll_page(s);
}

/* ---- one page ---- */

static apr_status_t begin(step_t *s)
{
    apr_status_t rv;

    s->changes->beginning = 1;
    rv = ask(s, tracked_path(s), TRACK ",odata.maxpagesize=" PAGE);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (is_untracked(s)) {
        return begin_polling(s, "keeps no track of changes (switch on \"Track changes\" of it)");
    }
    return s->page ? follow_track(s) : rv;
}

static apr_status_t begin_again(step_t *s)
{
    cs_log(CS_LOG_INFO, 0, NULL,
           CSLOGNO(4111) "%s: the cursor of table %s is not known any more (%s); all rows are read "
                         "again",
           s->crm->cfg.name, s->table->name,
           s->changes->result.detail ? s->changes->result.detail : "no reason given");
    s->at.again++;
    s->at.poll = 0;
    return begin(s);
}

static apr_status_t track_page(step_t *s)
{
    apr_status_t rv;

    s->changes->beginning = s->at.begin;
    rv = ask(s, s->at.path,
             s->at.begin ? TRACK ",odata.maxpagesize=" PAGE : "odata.maxpagesize=" PAGE);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (s->page) {
        return follow_track(s);
    }
    if (!is_forgotten(s)) {
        return rv;
    }
    /* A beginning that is cut off each time would go on for ever. */
    return s->at.again < MOST_BEGINNINGS
               ? begin_again(s)
               : begin_polling(s, "could not be read to its end while changes were tracked");
}

static apr_status_t next_page(step_t *s)
{
    cs_crm_changes_t *changes = s->changes;

    if (changes->cursor && (strlen(changes->cursor) > MOST_CURSOR || !read_cursor(s, &s->at))) {
        cs_log(CS_LOG_INFO, 0, NULL,
               CSLOGNO(4112) "%s: the cursor of table %s is of another query; all rows are read "
                             "again",
               s->crm->cfg.name, s->table->name);
        memset(&s->at, 0, sizeof(s->at));
    }
    if (s->at.polled && (s->at.path || cs_time_now() - s->at.asked < ASK_EVERY)) {
        return poll_page(s);
    }
    return s->at.path ? track_page(s) : begin(s);
}

/* ---- preparing ---- */

static apr_status_t find_table(step_t *s)
{
    apr_array_header_t *names = apr_array_make(s->p, 1, sizeof(const char *));
    apr_hash_t *failures = apr_hash_make(s->p);
    cs_crm_changes_t *changes = s->changes;
    apr_status_t rv = APR_SUCCESS;
    int calls = 0;

    cs_dyn_want(s->crm, names, changes->table, NULL);
    if (names->nelts) {
        rv = cs_dyn_learn(s->crm, names, s->deadline, &calls, failures, s->p);
        changes->calls += calls;
    }
    s->table = changes->table ? cs_dyn_table(s->crm, changes->table) : NULL;
    if (rv != APR_SUCCESS) {
        return cs_result_set(&changes->result, s->p, rv, CS_CLASS_RETRY, "transport",
                             "no request could be sent to %s", s->crm->cfg.name);
    }
    if (!s->table) {
        cs_dyn_unknown(&changes->result, names, failures, s->p);
    }
    return APR_SUCCESS;
}

static int make_query(step_t *s)
{
    const cs_crm_changes_t *changes = s->changes;
    int i;

    for (i = 0; changes->columns && i < changes->columns->nelts; i++) {
        const char *column = APR_ARRAY_IDX(changes->columns, i, const char *);

        if (strchr(column, '/')) {
            cs_result_set(&s->changes->result, s->p, CS_EPARSE, CS_CLASS_SUSPEND, "config:column",
                          "column \"%.128s\": changes show columns of the row itself only", column);
            return 0;
        }
    }
    if (cs_dyn_select(&s->select, s->table, changes->columns, changes->lookups, 0, s->p,
                      &s->changes->result) != APR_SUCCESS) {
        return 0;
    }
    if (strlen(s->select) > MOST_PATH / 2) {
        cs_result_set(&s->changes->result, s->p, CS_ELIMIT, CS_CLASS_SUSPEND, "config:column",
                      "too many columns of %s for one address", s->table->name);
        return 0;
    }
    s->digest = apr_pstrndup(s->p, cs_sha256_hex(s->select, strlen(s->select), s->p), 16);
    return 1;
}

apr_status_t cs_dyn_changes(cs_crm_t *crm, cs_crm_changes_t *changes, apr_interval_time_t deadline,
                            apr_pool_t *p)
{
    step_t s = {.crm = crm, .changes = changes, .deadline = deadline, .p = p};
    apr_status_t rv;

    changes->rows = apr_array_make(p, 16, sizeof(cs_crm_changed_t));
    changes->next = NULL;
    changes->more = changes->beginning = changes->calls = 0;
    changes->took = 0;
    changes->correlation = NULL;
    cs_result_clear(&changes->result);
    rv = find_table(&s);
    if (rv == APR_SUCCESS && s.table && make_query(&s)) {
        rv = next_page(&s);
    }
    return rv;
}
