/* remote/salesforce/changes_cursor.c: a cursor's text, compact JSON with its times in microseconds:
 *   {"v": 1, "query": digest of the fields,   another query has another answer: begin anew
 *    "from": where the lists go on, or a scan begins
 *    "scan": 1                  rows are being read page by page
 *    "begin": 1                 which is a beginning
 *    "next": path               of the next page; absent = ask for the rows since "seen"
 *    "seen": the newest time of a row so far
 *    "then": "from" once the scan is over
 *    "upto": end of a list of deleted rows that is shown in parts, of which
 *    "gone": n                  are shown
 *    "polled": 1                there is no list of updated rows: every turn is a scan
 *    "lasting": 1               there is no list of deleted rows
 *    "asked": when that was found, by our clock
 *    "ahead": how far their clock is before ours}
 */
#include "changes_internal.h"

#include <apr_strings.h>
#include <string.h>

#include "../../base/json.h"

#define MOST_CURSOR 8000

static apr_time_t time_member(const json_t *json, const char *name)
{
    apr_int64_t at = cs_json_int(json, name, 0);

    return at > 0 && at < APR_INT64_C(253402300800000000) ? at : 0;
}

static void read_place(cs_sf_step_t *s, const json_t *json)
{
    cs_sf_place_t *at = &s->at;

    at->from = time_member(json, "from");
    at->seen = time_member(json, "seen");
    at->then = time_member(json, "then");
    at->upto = time_member(json, "upto");
    at->asked = time_member(json, "asked");
    at->ahead = cs_json_int(json, "ahead", 0);
    at->next = apr_pstrdup(s->p, cs_json_str(json, "next"));
    at->scan = cs_json_int(json, "scan", 0) == 1;
    at->begin = cs_json_int(json, "begin", 0) == 1;
    at->gone = (int)cs_json_int(json, "gone", 0);
    at->polled = cs_json_int(json, "polled", 0) == 1;
    at->lasting = cs_json_int(json, "lasting", 0) == 1;
}

int cs_sf_cursor_read(cs_sf_step_t *s)
{
    const char *text = s->changes->cursor, *digest;
    json_t *json = NULL;
    int good;

    if (strlen(text) > MOST_CURSOR ||
        cs_json_parse(&json, text, strlen(text), NULL, s->p, NULL) != APR_SUCCESS) {
        return 0;
    }
    digest = cs_json_str(json, "query");
    good = cs_json_int(json, "v", 0) == 1 && digest && !strcmp(digest, s->digest);
    if (good) {
        read_place(s, json);
        good = (s->at.scan || s->at.from) && (!s->at.next || cs_sf_is_page(s->at.next)) &&
               s->at.gone >= 0;
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

const char *cs_sf_cursor_write(const cs_sf_step_t *s)
{
    const cs_sf_place_t *at = &s->at;
    json_t *json = json_pack("{s:i, s:s}", "v", 1, "query", s->digest);
    const char *text;

    put_int(json, "from", at->from);
    put_int(json, "scan", at->scan);
    put_int(json, "begin", at->begin);
    put_int(json, "seen", at->seen);
    put_int(json, "then", at->then);
    put_int(json, "upto", at->upto);
    put_int(json, "gone", at->gone);
    put_int(json, "polled", at->polled);
    put_int(json, "lasting", at->lasting);
    put_int(json, "asked", at->asked);
    put_int(json, "ahead", at->ahead);
    if (at->next) {
        json_object_set_new(json, "next", json_string(at->next));
    }
    text = cs_json_print(json, s->p);
    json_decref(json);
    return text;
}
