/* httpd/page_words.c: times, values and states as people say them. */
#include "page.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"
#include "../base/time.h"
#include "../domain/record.h"

#define VALUE_MAX 400

/* ---- times ---- */

static const char *span(apr_interval_time_t t, apr_pool_t *p)
{
    static const struct {
        apr_int64_t seconds;
        const char *word;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    apr_int64_t seconds = apr_time_sec(t);
    apr_size_t i;

    for (i = 0; i < 3 && seconds < 2 * units[i].seconds; i++) {
    }
    return apr_psprintf(p, "%" APR_INT64_T_FMT " %s", seconds / units[i].seconds, units[i].word);
}

const char *cosell_ago(apr_time_t at, apr_time_t now, apr_pool_t *p)
{
    if (at <= now + apr_time_from_msec(500) && now - at < apr_time_from_sec(1)) {
        return "now";
    }
    return at > now ? apr_pstrcat(p, "in ", span(at - now, p), NULL)
                    : apr_pstrcat(p, span(now - at, p), " ago", NULL);
}

/* Whoever wrote it: to the second, in UTC; NULL = it is no time of day. */
static const char *moment(const char *iso, apr_time_t *pat, apr_pool_t *p)
{
    char *shown;

    if (!iso || strlen(iso) < 19 || iso[10] != 'T' || cs_time_parse(pat, iso) != APR_SUCCESS) {
        return NULL;
    }
    shown = apr_pstrmemdup(p, cs_time_format(*pat, p), 19);
    shown[10] = ' ';
    return apr_pstrcat(p, shown, " UTC", NULL);
}

void cosell_time(cosell_html_t *h, const cosell_view_t *v, const char *iso, const char *none)
{
    apr_time_t at = 0;
    const char *shown = moment(iso, &at, v->p);

    if (!shown) {
        cosell_text(h, none);
        return;
    }
    cosell_open(h, "span");
    cosell_attr(h, "class", "t");
    cosell_open(h, "time");
    cosell_attr(h, "datetime", iso);
    cosell_text(h, shown);
    cosell_close(h);
    cosell_text(h, " ");
    cosell_classed(h, "span", "ago", cosell_ago(at, v->now, v->p));
    cosell_close(h);
}

void cosell_ticked(cosell_html_t *h, const char *text)
{
    apr_pool_t *p = cosell_html_pool(h);
    const char *end;
    int code = 0;

    for (; text && *text; text = *end ? end + 1 : end, code = !code) {
        end = text + strcspn(text, "`");
        if (code) {
            cosell_open(h, "code");
        }
        cosell_foreign(h, apr_pstrmemdup(p, text, (apr_size_t)(end - text)), 500);
        if (code) {
            cosell_close(h);
        }
    }
}

const char *cosell_sentence(const char *text, apr_pool_t *p)
{
    char *out = text ? apr_pstrdup(p, text) : NULL;
    apr_size_t len = out ? strlen(out) : 0;

    if (!len) {
        return "";
    }
    if (*out >= 'a' && *out <= 'z' && len > 1 && !(out[1] >= 'A' && out[1] <= 'Z')) {
        *out = (char)(*out - 'a' + 'A');
    }
    return strchr(".!?:;", out[len - 1]) ? out : apr_pstrcat(p, out, ".", NULL);
}

/* ---- numbers and values ---- */

const char *cosell_count(json_int_t n, apr_pool_t *p)
{
    char *digits = apr_psprintf(p, "%" APR_INT64_T_FMT, (apr_int64_t)n), *out, *to;
    apr_size_t len = strlen(digits), i;

    out = to = apr_palloc(p, 2 * len + 1);
    for (i = 0; i < len; i++) {
        if (i && digits[i - 1] != '-' && (len - i) % 3 == 0) {
            *to++ = ',';
        }
        *to++ = digits[i];
    }
    *to = '\0';
    return out;
}

/* What a wrapper of a neutral row holds ({"$number": "5"}); NULL = it is none. */
static const json_t *wrapped(const json_t *value)
{
    void *first = json_object_iter((json_t *)value);

    return json_object_size(value) == 1 && *json_object_iter_key(first) == '$'
               ? json_object_iter_value(first)
               : NULL;
}

static const char *object_words(const json_t *value, apr_pool_t *p)
{
    const char *amount = cs_json_str(value, "amount"), *currency = cs_json_str(value, "currency");
    const char *name, *out = NULL;
    json_t *member;

    if (cs_wrapper_words(value, p)) {
        return cs_wrapper_words(value, p);
    }
    if (wrapped(value)) {
        return cosell_value(wrapped(value), p);
    }
    if (amount) {
        return apr_pstrcat(p, currency ? currency : "", currency ? " " : "", amount, NULL);
    }
    json_object_foreach((json_t *)value, name, member) {
        const char *text = cosell_value(member, p);

        if (!json_is_null(member)) {
            out = apr_pstrcat(p, out ? out : "", out ? "; " : "", name, ": ", text, NULL);
        }
    }
    return out ? out : "empty";
}

const char *cosell_value(const json_t *value, apr_pool_t *p)
{
    const char *text;
    apr_time_t at;

    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_NULL:
        return "empty";
    case JSON_TRUE:
        return "yes";
    case JSON_FALSE:
        return "no";
    case JSON_STRING:
        text = moment(json_string_value(value), &at, p);
        return text                        ? text
               : *json_string_value(value) ? json_string_value(value) : "empty";
    case JSON_OBJECT:
        return object_words(value, p);
    default:
        text = cs_json_print(value, p);
        return strlen(text) > VALUE_MAX * 4 ? apr_pstrndup(p, text, VALUE_MAX * 4) : text;
    }
}

const char *cosell_line_name(const char *line)
{
    return !line                        ? ""
           : !strcmp(line, "$state")    ? "State"
           : !strcmp(line, "$tell")     ? "What the seller reads"
           : !strcmp(line, "$record")   ? "The record itself"
           : !strcmp(line, "$stage")    ? "Stage"
                                        : line;
}

/* ---- states ---- */

static const struct {
    const char *state, *word, *text;
} states[] = {
    {"new", "New", "There is no record in the CRM yet."},
    {"linked", "Linked", "There is a record, and a referral at Partner Center."},
    {"closed", "Closed", "The deal has ended at Partner Center, and the record shows it."},
    {"lead", "Lead",
     "It is a lead: left alone, because no record kind of the mapping takes leads."},
    {"ignored", "Ignored", "It does not belong here: no rule of the mapping takes it."},
    {"parked", "Parked", "A person must decide before anything is written."},
    {"unlinked", "Unlinked", "Nothing travels between the two sides any more: it was closed as an "
                             "error at Partner Center, or a person said so."},
    {"gone", "Gone", "The record was deleted in the CRM and is never made again."},
};

const char *cosell_state_word(const char *state)
{
    apr_size_t i;

    for (i = 0; state && i < sizeof(states) / sizeof(states[0]); i++) {
        if (!strcmp(state, states[i].state)) {
            return states[i].word;
        }
    }
    return state ? state : "";
}

const char *cosell_state_text(const char *state)
{
    apr_size_t i;

    for (i = 0; state && i < sizeof(states) / sizeof(states[0]); i++) {
        if (!strcmp(state, states[i].state)) {
            return states[i].text;
        }
    }
    return "";
}

/* What a word of state means for whoever looks: good, wait, bad. */
const char *cosell_tone(const char *word)
{
    static const struct {
        const char *word, *tone;
    } tones[] = {
        {"In sync", "good"},      {"done", "good"},       {"ok", "good"},
        {"linked", "good"},       {"idle", "good"},       {"working", "good"},
        {"Needs you", "bad"},     {"Needs admin", "bad"}, {"dead", "bad"},
        {"failed", "bad"},        {"refused", "bad"},     {"error", "bad"},
        {"parked", "bad"},        {"suspended", "bad"},   {"degraded", "bad"},
        {"fail", "bad"},          {"open", "bad"},        {"Waiting", "wait"},
        {"In sync, not all", "wait"}, {"Not accepted", "wait"}, {"held", "wait"},
        {"waiting", "wait"},      {"running", "wait"},    {"warning", "wait"},
        {"warn", "wait"},         {"paused", "wait"},     {"Paused", "wait"},
        {"planned", "wait"},      {"Sending", "wait"},    {"accepting only", "wait"},
        {"cancelled", "wait"},
    };
    apr_size_t i;

    for (i = 0; word && i < sizeof(tones) / sizeof(tones[0]); i++) {
        if (!strcmp(word, tones[i].word)) {
            return tones[i].tone;
        }
    }
    return "";
}

void cosell_badge(cosell_html_t *h, const char *class_of, const char *text)
{
    const char *tone = cosell_tone(class_of);

    cosell_open(h, "span");
    cosell_attr(h, "class", apr_pstrcat(cosell_html_pool(h), "badge ", tone, NULL));
    cosell_text_cut(h, text, 60);
    cosell_close(h);
}
