#include "notify.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/crypto.h"
#include "../base/json.h"
#include "../base/time.h"
#include "alert.h"

#define HOUR apr_time_from_sec(3600)
#define RETRY_BASE apr_time_from_sec(2)
#define RETRY_CAP apr_time_from_sec(900)
#define RETRY_FLOOR apr_time_from_sec(1)

/* ---- differences ---- */

static int is_for(const cs_notify_target_t *target, const cs_alert_t *alert)
{
    return !target->errors_only || alert->level == CS_ALERT_ERROR;
}

static int is_same(const cs_told_t *told, const cs_alert_t *alert)
{
    return !strncmp(told->site, alert->site, sizeof(told->site) - 1) &&
           !strncmp(told->what, alert->what, sizeof(told->what) - 1);
}

static cs_told_t *told_of(cs_notify_state_t *state, const cs_alert_t *alert)
{
    int i;

    for (i = 0; i < state->n; i++) {
        if (is_same(&state->told[i], alert)) {
            return &state->told[i];
        }
    }
    return NULL;
}

static const cs_alert_t *alert_of(const apr_array_header_t *alerts, const cs_told_t *told)
{
    int i;

    for (i = 0; i < alerts->nelts; i++) {
        if (is_same(told, APR_ARRAY_IDX(alerts, i, const cs_alert_t *))) {
            return APR_ARRAY_IDX(alerts, i, const cs_alert_t *);
        }
    }
    return NULL;
}

static int is_news(cs_notify_state_t *state, const cs_notify_target_t *target,
                   const cs_alert_t *alert)
{
    const cs_told_t *told = told_of(state, alert);

    return is_for(target, alert) && (!told || alert->level < told->level);
}

/* ---- how many calls are left ---- */

/* A clock that went back must not silence anybody. */
static void forget_calls(cs_notify_state_t *state, apr_time_t now)
{
    int i, kept = 0;

    for (i = 0; i < state->ncalls; i++) {
        if (state->calls[i] <= now && now - state->calls[i] < HOUR) {
            state->calls[kept++] = state->calls[i];
        }
    }
    state->ncalls = kept;
}

static void note_call(cs_notify_state_t *state, apr_time_t now)
{
    if (state->ncalls == CS_NOTIFY_CALLS) {
        memmove(state->calls, state->calls + 1, sizeof(state->calls[0]) * (CS_NOTIFY_CALLS - 1));
        state->ncalls--;
    }
    state->calls[state->ncalls++] = now;
}

/* ---- what is next ---- */

static int first_over(const cs_notify_state_t *state, const apr_array_header_t *alerts, int *pn)
{
    int i, first = -1;

    for (i = 0; i < state->n; i++) {
        if (!alert_of(alerts, &state->told[i])) {
            first = first < 0 ? i : first;
            ++*pn;
        }
    }
    return first;
}

static const cs_alert_t *first_news(cs_notify_state_t *state, const cs_notify_target_t *target,
                                    const apr_array_header_t *alerts, int *pn)
{
    const cs_alert_t *first = NULL;
    int i;

    for (i = 0; i < alerts->nelts; i++) {
        const cs_alert_t *alert = APR_ARRAY_IDX(alerts, i, const cs_alert_t *);
        if (is_news(state, target, alert)) {
            first = first ? first : alert;
            ++*pn;
        }
    }
    return first;
}

static const cs_alert_t *first_reminder(cs_notify_state_t *state, const cs_notify_target_t *target,
                                        const apr_array_header_t *alerts, apr_time_t now)
{
    int i;

    for (i = 0; target->every && i < alerts->nelts; i++) {
        const cs_alert_t *alert = APR_ARRAY_IDX(alerts, i, const cs_alert_t *);
        const cs_told_t *told = told_of(state, alert);
        /* A clock that went back far must not silence this for as long either. */
        if (told && is_for(target, alert) &&
            (now - told->at >= target->every || told->at - now > HOUR)) {
            return alert;
        }
    }
    return NULL;
}

void cs_notify_next(cs_notify_call_t *call, cs_notify_state_t *state,
                    const cs_notify_target_t *target, const apr_array_header_t *alerts,
                    apr_time_t now)
{
    int changes = 0, over, left;
    const cs_alert_t *news, *reminder;

    memset(call, 0, sizeof(*call));
    forget_calls(state, now);
    left = CS_NOTIFY_CALLS - state->ncalls;
    news = first_news(state, target, alerts, &changes);
    over = first_over(state, alerts, &changes);
    reminder = first_reminder(state, target, alerts, now);
    if (left <= 0) {
        return;
    }
    if (left == 1 && changes > 1) {
        call->kind = CS_NOTIFY_SUMMARY;
    }
    else if (news) {
        call->kind = CS_NOTIFY_ALERT;
        call->alert = news;
    }
    else if (over >= 0) {
        call->kind = CS_NOTIFY_RECOVERY;
        call->told = over;
    }
    else if (reminder) {
        call->kind = CS_NOTIFY_REMINDER;
        call->alert = reminder;
    }
}

/* ---- what was told ---- */

static void put_told(cs_notify_state_t *state, const cs_alert_t *alert, apr_time_t now)
{
    cs_told_t *told = told_of(state, alert);

    if (!told && state->n == CS_ALERTS_MAX) {
        return;
    }
    told = told ? told : &state->told[state->n++];
    memset(told, 0, sizeof(*told));
    cs_alert_copy(told->site, alert->site, sizeof(told->site));
    cs_alert_copy(told->what, alert->what, sizeof(told->what));
    cs_alert_copy(told->text, alert->text, sizeof(told->text));
    told->level = alert->level;
    told->since = alert->since;
    told->at = now;
}

static void drop_told(cs_notify_state_t *state, int at)
{
    state->told[at] = state->told[--state->n];
}

static void put_all(cs_notify_state_t *state, const cs_notify_target_t *target,
                    const apr_array_header_t *alerts, apr_time_t now)
{
    int i;

    for (i = state->n - 1; i >= 0; i--) {
        if (!alert_of(alerts, &state->told[i])) {
            drop_told(state, i);
        }
    }
    for (i = 0; i < alerts->nelts; i++) {
        const cs_alert_t *alert = APR_ARRAY_IDX(alerts, i, const cs_alert_t *);
        if (is_for(target, alert)) {
            put_told(state, alert, now);
        }
    }
}

void cs_notify_done(cs_notify_state_t *state, const cs_notify_call_t *call,
                    const cs_notify_target_t *target, const apr_array_header_t *alerts, int good,
                    apr_time_t now, apr_interval_time_t steady)
{
    note_call(state, now);
    if (!good) {
        state->next = steady + cs_backoff(state->failures, RETRY_BASE, RETRY_CAP, RETRY_FLOOR);
        state->failures++;
        return;
    }
    state->failures = 0;
    state->next = 0;
    switch (call->kind) {
    case CS_NOTIFY_ALERT:
    case CS_NOTIFY_REMINDER:
        put_told(state, call->alert, now);
        break;
    case CS_NOTIFY_RECOVERY:
        drop_told(state, call->told);
        break;
    case CS_NOTIFY_SUMMARY:
        put_all(state, target, alerts, now);
        break;
    default:
        break;
    }
}

/* ---- documents ---- */

static const char *level_name(cs_alert_level_e level)
{
    return level == CS_ALERT_ERROR ? "error" : "warning";
}

static void add_alert(json_t *to, const cs_alert_t *alert, apr_pool_t *p)
{
    json_object_set_new(to, "site", *alert->site ? json_string(alert->site) : json_null());
    json_object_set_new(to, "what", json_string(alert->what));
    json_object_set_new(to, "level", json_string(level_name(alert->level)));
    json_object_set_new(to, "text", json_string(alert->text));
    json_object_set_new(to, "todo", json_string(alert->todo ? alert->todo : ""));
    json_object_set_new(to, "since", json_string(cs_time_format(alert->since, p)));
}

static void add_told(json_t *to, const cs_told_t *told, apr_pool_t *p)
{
    cs_alert_t alert = {told->site, told->what, told->level, told->text, "", told->since};

    add_alert(to, &alert, p);
    json_object_del(to, "todo");
}

static void add_summary(json_t *to, const cs_notify_state_t *state,
                        const cs_notify_target_t *target, const apr_array_header_t *alerts,
                        apr_pool_t *p)
{
    json_t *on = json_array(), *over = json_array(), *one;
    int i;

    for (i = 0; i < alerts->nelts; i++) {
        if (is_for(target, APR_ARRAY_IDX(alerts, i, const cs_alert_t *))) {
            json_array_append_new(on, one = json_object());
            add_alert(one, APR_ARRAY_IDX(alerts, i, const cs_alert_t *), p);
        }
    }
    for (i = 0; i < state->n; i++) {
        if (!alert_of(alerts, &state->told[i])) {
            json_array_append_new(over, one = json_object());
            add_told(one, &state->told[i], p);
        }
    }
    json_object_set_new(
        to, "text",
        json_string(apr_psprintf(p,
                                 "%d alerts are on and %d are over; there were too many changes "
                                 "within an hour to tell each",
                                 (int)json_array_size(on), (int)json_array_size(over))));
    json_object_set_new(to, "on", on);
    json_object_set_new(to, "over", over);
}

json_t *cs_notify_document(const cs_notify_call_t *call, const cs_notify_state_t *state,
                           const cs_notify_target_t *target, const apr_array_header_t *alerts,
                           const char *server, const char *product, apr_time_t now, apr_pool_t *p)
{
    static const char *const events[] = {"", "alert", "recovery", "reminder", "summary"};
    json_t *json = cs_json_own(json_object(), p);

    json_object_set_new(json, "event", json_string(events[call->kind]));
    json_object_set_new(json, "product", json_string(product));
    json_object_set_new(json, "server", json_string(server));
    json_object_set_new(json, "at", json_string(cs_time_format(now, p)));
    switch (call->kind) {
    case CS_NOTIFY_ALERT:
    case CS_NOTIFY_REMINDER:
        add_alert(json, call->alert, p);
        break;
    case CS_NOTIFY_RECOVERY:
        add_told(json, &state->told[call->told], p);
        break;
    case CS_NOTIFY_SUMMARY:
        add_summary(json, state, target, alerts, p);
        break;
    default:
        break;
    }
    return json;
}

/* A value of an environment has one line. */
static const char *one_line(const char *text, apr_pool_t *p)
{
    char *line = apr_pstrdup(p, text ? text : ""), *c;

    for (c = line; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            *c = ' ';
        }
    }
    return line;
}

char *const *cs_notify_environment(const json_t *document, const char *path, apr_pool_t *p)
{
    static const char *const names[][2] = {{"COSELL_EVENT", "event"}, {"COSELL_SITE", "site"},
                                           {"COSELL_ALERT", "what"},  {"COSELL_LEVEL", "level"},
                                           {"COSELL_TEXT", "text"},   {"COSELL_TODO", "todo"},
                                           {"COSELL_SINCE", "since"}, {"COSELL_SERVER", "server"}};
    const int n = (int)(sizeof(names) / sizeof(names[0]));
    char **env = apr_pcalloc(p, sizeof(*env) * (apr_size_t)(n + 3));
    int i;

    for (i = 0; i < n; i++) {
        env[i] =
            apr_pstrcat(p, names[i][0], "=", one_line(cs_json_str(document, names[i][1]), p), NULL);
    }
    env[n] = apr_pstrcat(p, "PATH=", path ? path : "/usr/local/bin:/usr/bin:/bin", NULL);
    env[n + 1] = apr_pstrdup(p, "LANG=C.UTF-8");
    return env;
}

/* ---- over a restart ---- */

/* Which target it is; its address may be what lets one in, and is not kept. */
static const char *key_of(const cs_notify_target_t *target, apr_pool_t *p)
{
    return cs_sha256_hex(target->name, strlen(target->name), p);
}

static json_t *state_json(const cs_notify_state_t *state, int texts)
{
    json_t *told = json_array(), *calls = json_array();
    int i;

    for (i = 0; i < state->n; i++) {
        const cs_told_t *t = &state->told[i];
        json_array_append_new(told,
                              json_pack("{s:s, s:o*, s:i, s:I, s:I, s:o*}", "site", t->site, "what",
                                        json_string(t->what), "level", (int)t->level, "since",
                                        (json_int_t)t->since, "at", (json_int_t)t->at, "text",
                                        texts ? json_string(t->text) : json_string("")));
    }
    for (i = 0; i < state->ncalls; i++) {
        json_array_append_new(calls, json_integer((json_int_t)state->calls[i]));
    }
    return json_pack("{s:o, s:o}", "told", told, "calls", calls);
}

const char *cs_notify_save(const cs_notify_state_t *states,
                           const cs_notify_target_t *const *targets, int n, apr_pool_t *p)
{
    const char *text = NULL;
    int i, texts;

    /* Without the sentences when it would be too long. */
    for (texts = 1; !text || (texts >= 0 && strlen(text) >= CS_MEMO_MAX); texts--) {
        json_t *all = cs_json_own(json_object(), p);
        for (i = 0; i < n; i++) {
            json_object_set_new(all, key_of(targets[i], p), state_json(&states[i], texts));
        }
        text = cs_json_print(all, p);
    }
    return text;
}

static json_t *parse(const char *text, apr_pool_t *p)
{
    static const cs_json_limits_t limits = {CS_MEMO_MAX, 20000, 6};
    json_t *json = NULL;

    return text && cs_json_parse(&json, text, strlen(text), &limits, p, NULL) == APR_SUCCESS
               ? cs_json_own(json, p)
               : NULL;
}

static int alert_of_json(cs_alert_t *alert, const json_t *told)
{
    alert->site = cs_json_str(told, "site");
    alert->what = cs_json_str(told, "what");
    alert->text = cs_json_str(told, "text");
    alert->todo = "";
    alert->level = cs_json_int(told, "level", CS_ALERT_WARNING) == CS_ALERT_ERROR
                       ? CS_ALERT_ERROR
                       : CS_ALERT_WARNING;
    alert->since = cs_json_int(told, "since", 0);
    return alert->site && alert->what && alert->text;
}

static void load_one(cs_notify_state_t *state, const json_t *saved)
{
    const json_t *list = cs_json_get(saved, "told");
    cs_alert_t alert;
    size_t i;

    for (i = 0; i < json_array_size(list); i++) {
        const json_t *told = json_array_get(list, i);
        if (alert_of_json(&alert, told)) {
            put_told(state, &alert, cs_json_int(told, "at", 0));
        }
    }
    list = cs_json_get(saved, "calls");
    for (i = 0; i < json_array_size(list); i++) {
        note_call(state, json_integer_value(json_array_get(list, i)));
    }
}

void cs_notify_load(cs_notify_state_t *states, const cs_notify_target_t *const *targets, int n,
                    const char *text, apr_pool_t *p)
{
    const json_t *all = parse(text, p);
    int i;

    for (i = 0; i < n; i++) {
        load_one(&states[i], cs_json_get(all, key_of(targets[i], p)));
    }
}

static int is_listed(const apr_array_header_t *list, const cs_alert_t *alert)
{
    int i;

    for (i = 0; i < list->nelts; i++) {
        const cs_alert_t *other = APR_ARRAY_IDX(list, i, const cs_alert_t *);
        if (!strcmp(other->site, alert->site) && !strcmp(other->what, alert->what)) {
            return 1;
        }
    }
    return 0;
}

apr_array_header_t *cs_notify_saved_alerts(const char *text, apr_pool_t *p)
{
    apr_array_header_t *list = apr_array_make(p, 8, sizeof(cs_alert_t *));
    json_t *all = parse(text, p), *saved;
    const char *name;
    cs_alert_t alert;
    size_t i;

    json_object_foreach(all, name, saved) {
        const json_t *told = cs_json_get(saved, "told");
        for (i = 0; i < json_array_size(told); i++) {
            if (alert_of_json(&alert, json_array_get(told, i)) && !is_listed(list, &alert)) {
                APR_ARRAY_PUSH(list, cs_alert_t *) = apr_pmemdup(p, &alert, sizeof(alert));
            }
        }
    }
    return list;
}
