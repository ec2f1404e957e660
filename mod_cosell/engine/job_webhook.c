/* engine/job_webhook.c: job "webhook": shows, makes, gives back and tests the registration at
 * Partner Center.
 *
 * There is one registration for a whole tenant, and updating it takes away what was there. So
 * nothing foreign is taken without being told, other people's events stay, and what was there is
 * kept, sealed, for "restore": its address may hold a secret. What is about to be replaced is
 * stored before it is replaced; a kill in between repeats a write that changes nothing more. */
#include "job_webhook.h"

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "../base/json.h"
#include "../base/log.h"

#define PATIENCE apr_time_from_sec(16)
#define EVENT_MAX 128
/* Name of the sealed former registration. */
#define SAVED "webhook-saved"

/* ---- arguments ---- */

static const char *const actions[] = {"show", "events", "register", "restore", "test", NULL};

static int is(const json_t *arguments, const char *action)
{
    const char *text = cs_json_str(arguments, "action");

    return text && !strcmp(text, action);
}

static const char *wrong_events(const json_t *events, apr_pool_t *p)
{
    size_t i;

    if (!json_array_size(events) || json_array_size(events) > CS_PC_HOOK_EVENTS_MAX) {
        return apr_psprintf(p, "events: allowed are 1 to %d names", CS_PC_HOOK_EVENTS_MAX);
    }
    for (i = 0; i < json_array_size(events); ++i) {
        const char *name = json_string_value(json_array_get(events, i)), *c = name;
        for (; c && (apr_isalnum(*c) || *c == '-' || *c == '_'); ++c)
            ;
        if (!c || *c || c == name || c - name > EVENT_MAX) {
            return apr_psprintf(p,
                                "events: \"%.40s\" is no name of an event; the names are shown "
                                "by the action \"events\"",
                                name ? name : "");
        }
    }
    return NULL;
}

static const char *wrong(const json_t *arguments, apr_pool_t *p)
{
    const json_t *events = json_object_get(arguments, "events");
    const char *url = cs_json_str(arguments, "url"), *why = NULL;
    int i;

    for (i = 0; actions[i] && !is(arguments, actions[i]); ++i)
        ;
    if (!actions[i]) {
        return "action: allowed are show, events, register, restore and test";
    }
    if (!is(arguments, "register") && (url || events)) {
        return "url and events are for the action \"register\" alone";
    }
    if (!is(arguments, "register") && !is(arguments, "restore") &&
        json_object_get(arguments, "overwrite")) {
        return "overwrite is for the actions \"register\" and \"restore\" alone";
    }
    url = url ? url : cs_json_str(arguments, "here");
    why = url ? cs_pc_hook_url_wrong(url, p) : NULL;
    return why || !events ? why : wrong_events(events, p);
}

/* ---- what all of them do ---- */

/* What was answered is not asked again under the same id, or the answer would be the same. */
apr_status_t cs_hook_trouble(cs_hook_turn_t *h, const cs_result_t *why)
{
    if (why->cls != CS_CLASS_UNKNOWN && json_object_get(h->t->cursor, "request")) {
        json_object_set_new(h->t->cursor, "request", json_string(cs_uuid4(h->p)));
    }
    cs_job_trouble(h->t, CS_UPSTREAM_PC, why);
    return APR_SUCCESS;
}

/* 0 = it could not be read, and the turn is over. */
int cs_hook_read(cs_hook_turn_t *h)
{
    cs_result_t why = {0};

    if (cs_pc_hooks_read(h->lane->hooks, &h->found, h->deadline, h->p, &why) == APR_SUCCESS) {
        return 1;
    }
    cs_hook_trouble(h, &why);
    return 0;
}

void cs_hook_note(cs_hook_turn_t *h)
{
    cs_registration_note(h->lane, h->fact, h->found, h->t->b->now, h->t->b->changes, h->p);
}

static const char *names_of(const apr_array_header_t *events, apr_pool_t *p)
{
    const char *out = "";
    int i;

    for (i = 0; i < events->nelts; ++i) {
        out = apr_pstrcat(p, out, i ? ", " : "", APR_ARRAY_IDX(events, i, const char *), NULL);
    }
    return *out ? out : "no events";
}

static const char *words_of(const cs_pc_hook_t *hook, apr_pool_t *p)
{
    return hook ? apr_psprintf(p, "%s (%s)", cs_pc_hook_url_shown(hook->url, p),
                               names_of(hook->events, p))
                : "none";
}

static json_t *result_of(const char *text, json_t *before, json_t *after)
{
    return json_pack("{s:s, s:o, s:o}", "text", text, "old", before, "new", after);
}

static const char *ours(const cs_hook_turn_t *h)
{
    return cs_json_str(h->fact, "url");
}

static int is_at(const cs_hook_turn_t *h, const char *url)
{
    return url && h->found && cs_pc_hook_url_same(h->found->url, url, h->p);
}

void cs_hook_say(cs_hook_turn_t *h, const char *text)
{
    json_object_set_new(h->t->progress, "text", json_string(text));
}

/* ---- the former registration ---- */

static json_t *hook_document(const cs_pc_hook_t *hook, apr_pool_t *p)
{
    json_t *doc = cs_registration_json(hook, p);

    json_object_set_new(doc, "url", json_string(hook->url));
    json_object_set_new(doc, "marked", json_integer(hook->marked));
    return cs_json_own(doc, p);
}

static cs_pc_hook_t *hook_of(const json_t *doc, apr_pool_t *p)
{
    const json_t *events = json_object_get(doc, "events");
    cs_pc_hook_t *hook = apr_pcalloc(p, sizeof(*hook));
    size_t i;

    hook->url = cs_json_str(doc, "url");
    hook->marked = (int)cs_json_int(doc, "marked", -1);
    hook->events = apr_array_make(p, 8, sizeof(const char *));
    for (i = 0; i < json_array_size(events); ++i) {
        const char *name = json_string_value(json_array_get(events, i));
        if (name) {
            APR_ARRAY_PUSH(hook->events, const char *) = name;
        }
    }
    return hook->url && hook->events->nelts ? hook : NULL;
}

/* text "" = there is none any more. */
static apr_status_t seal(cs_hook_turn_t *h, const char *text, cs_result_t *res)
{
    const cs_vault_t *vault = &h->lane->vault;
    const char *before;
    apr_int64_t version = 0;
    apr_status_t rv = vault->get(vault->baton, SAVED, &before, &version, h->p, res);

    return rv == APR_SUCCESS ? vault->put(vault->baton, SAVED, text, version, h->p, res) : rv;
}

static apr_status_t unseal(cs_hook_turn_t *h, cs_pc_hook_t **phook, cs_result_t *res)
{
    const cs_vault_t *vault = &h->lane->vault;
    const char *text = NULL;
    apr_int64_t version;
    json_t *doc = NULL;
    apr_status_t rv = vault->get(vault->baton, SAVED, &text, &version, h->p, res);

    *phook = NULL;
    if (rv == APR_SUCCESS && text && *text &&
        cs_json_parse(&doc, text, strlen(text), NULL, h->p, NULL) == APR_SUCCESS) {
        *phook = hook_of(cs_json_own(doc, h->p), h->p);
    }
    return rv;
}

/* ---- show, events ---- */

static apr_status_t show(cs_hook_turn_t *h)
{
    const char *text, *drift;

    if (!cs_hook_read(h)) {
        return APR_SUCCESS;
    }
    cs_hook_note(h);
    drift = cs_json_str(h->fact, "drift");
    text = !h->found ? "nothing is registered: Partner Center sends no events"
                     : apr_psprintf(h->p, "events go to %s%s", words_of(h->found, h->p),
                                    drift               ? ""
                                    : is_at(h, ours(h)) ? ", as we registered it"
                                                        : "; it was not registered by us");
    if (drift) {
        text = apr_psprintf(h->p, "%s; this is not what we registered: %s", text, drift);
    }
    cs_job_done(h->t, result_of(text, cs_registration_json(h->found, h->p),
                                cs_registration_json(h->found, h->p)));
    return APR_SUCCESS;
}

static apr_status_t list_events(cs_hook_turn_t *h)
{
    apr_array_header_t *events;
    cs_result_t why = {0};
    json_t *names, *result;
    int i;

    if (cs_pc_hooks_events(h->lane->hooks, &events, h->deadline, h->p, &why) != APR_SUCCESS) {
        return cs_hook_trouble(h, &why);
    }
    names = json_array();
    for (i = 0; i < events->nelts; ++i) {
        json_array_append_new(names, json_string(APR_ARRAY_IDX(events, i, const char *)));
    }
    result = json_pack("{s:s, s:o}", "text",
                       apr_psprintf(h->p, "%d events can be registered: %s", events->nelts,
                                    names_of(events, h->p)),
                       "events", names);
    cs_job_done(h->t, result);
    return APR_SUCCESS;
}

/* ---- register ---- */

static void add_event(apr_array_header_t *events, const char *name)
{
    if (!cs_pc_hook_has(events, name) && events->nelts < CS_PC_HOOK_EVENTS_MAX) {
        APR_ARRAY_PUSH(events, const char *) = name;
    }
}

static apr_array_header_t *wanted_events(const cs_hook_turn_t *h)
{
    const json_t *given = json_object_get(h->t->arguments, "events");
    apr_array_header_t *events = apr_array_make(h->p, 8, sizeof(const char *));
    const char *const *name;
    size_t i;

    for (i = 0; i < json_array_size(given); ++i) {
        add_event(events, json_string_value(json_array_get(given, i)));
    }
    if (!given) {
        add_event(events, CS_PC_TEST_EVENT);
        for (name = cs_pc_referral_events; *name; ++name) {
            add_event(events, *name);
        }
    }
    return events;
}

static int has_all(const cs_pc_hook_t *hook, const apr_array_header_t *events)
{
    int i;

    for (i = 0; i < events->nelts; ++i) {
        if (!cs_pc_hook_has(hook->events, APR_ARRAY_IDX(events, i, const char *))) {
            return 0;
        }
    }
    return 1;
}

/* Where the signature comes is not shown when it is read: only what we registered ourselves is
 * known to be right. */
static int is_so_already(const cs_hook_turn_t *h, const char *url, const apr_array_header_t *events)
{
    int known = h->found && (h->found->marked == 1 || (h->found->marked < 0 && ours(h) &&
                                                       cs_pc_hook_url_same(url, ours(h), h->p)));

    return known && is_at(h, url) && has_all(h->found, events);
}

/* What is registered then: nobody's events go. */
static cs_pc_hook_t *united(const cs_hook_turn_t *h, const char *url,
                            const apr_array_header_t *events)
{
    cs_pc_hook_t *hook = apr_pcalloc(h->p, sizeof(*hook));
    int i;

    hook->url = url;
    hook->marked = 1;
    hook->events = apr_array_copy(h->p, events);
    for (i = 0; h->found && i < h->found->events->nelts; ++i) {
        add_event(hook->events, APR_ARRAY_IDX(h->found->events, i, const char *));
    }
    return hook;
}

static void remember_ours(cs_hook_turn_t *h, const char *url, const apr_array_header_t *events)
{
    json_t *names = json_array();
    int i;

    for (i = 0; i < events->nelts; ++i) {
        json_array_append_new(names, json_string(APR_ARRAY_IDX(events, i, const char *)));
    }
    json_object_set_new(h->fact, "url", json_string(url));
    json_object_set_new(h->fact, "events", names);
}

static void nothing_to_register(cs_hook_turn_t *h, const char *url,
                                const apr_array_header_t *events)
{
    remember_ours(h, url, events);
    cs_hook_note(h);
    cs_job_done(
        h->t,
        result_of(apr_psprintf(h->p, "it is registered so already: %s", words_of(h->found, h->p)),
                  cs_registration_json(h->found, h->p), cs_registration_json(h->found, h->p)));
}

static void refuse_foreign(cs_hook_turn_t *h, const char *url, const char *what)
{
    const char *text = apr_psprintf(h->p,
                                    "Partner Center sends its events to %s, which is not "
                                    "ours; %s would take them away from there",
                                    words_of(h->found, h->p), what);

    cs_hook_note(h);
    json_object_set_new(h->t->progress, "old", cs_registration_json(h->found, h->p));
    cs_job_journal(h->t, 0, "refused",
                   apr_psprintf(h->p, "%s was not registered: %s; asked for",
                                cs_pc_hook_url_shown(url, h->p), text));
    cs_job_failed(h->t,
                  "%s. When that is what you want, repeat it with overwrite (cosellctl: "
                  "--overwrite); `cosellctl webhook restore` takes it back",
                  text);
}

static const char *found_digest(const cs_hook_turn_t *h)
{
    return h->found ? cs_sha256_hex(h->found->url, strlen(h->found->url), h->p) : "none";
}

/* Before anything is replaced: what is there. */
static apr_status_t begin_write(cs_hook_turn_t *h, int foreign, cs_result_t *res)
{
    json_t *cursor = h->t->cursor;
    apr_status_t rv = APR_SUCCESS;

    if (foreign) {
        rv = seal(h, cs_json_print(hook_document(h->found, h->p), h->p), res);
    }
    json_object_set_new(cursor, "stage", json_string("write"));
    json_object_set_new(cursor, "request", json_string(cs_uuid4(h->p)));
    json_object_set_new(cursor, "foreign", json_boolean(foreign));
    json_object_set_new(cursor, "was", json_string(found_digest(h)));
    json_object_set_new(cursor, "old", cs_registration_json(h->found, h->p));
    cs_hook_say(h, "registering");
    return rv;
}

static apr_status_t plan_register(cs_hook_turn_t *h, const char *url, cs_result_t *res)
{
    apr_array_header_t *events = wanted_events(h);
    int mine;

    if (is_so_already(h, url, events)) {
        nothing_to_register(h, url, events);
        return APR_SUCCESS;
    }
    mine = !h->found || is_at(h, url) || is_at(h, ours(h));
    if (!mine && !cs_json_bool(h->t->arguments, "overwrite", 0)) {
        refuse_foreign(h, url, "registering ours");
        return APR_SUCCESS;
    }
    return begin_write(h, !mine, res);
}

/* 0 = somebody changed it since this was planned: it is planned again. */
static int is_as_it_was(cs_hook_turn_t *h)
{
    const char *was = cs_json_str(h->t->cursor, "was");

    if (was && !strcmp(was, found_digest(h))) {
        return 1;
    }
    json_object_clear(h->t->cursor);
    cs_job_say(h->t, "the registration was changed meanwhile; it is looked at again");
    return 0;
}

/* 1 = it is registered so now, and `found` is what was read afterwards; 0 = the turn is over, or
 * has said why not. A turn that was not stored may have written it already. */
static int write_hook(cs_hook_turn_t *h, const cs_pc_hook_t *hook, const apr_array_header_t *needed)
{
    const char *was = cs_json_str(h->t->cursor, "was");
    cs_result_t why = {0};

    if (is_at(h, hook->url) && has_all(h->found, needed) && was && strcmp(was, found_digest(h))) {
        return 1;
    }
    if (!is_as_it_was(h)) {
        return 0;
    }
    if (cs_pc_hooks_write(h->lane->hooks, hook, h->found != NULL,
                          cs_json_str(h->t->cursor, "request"), h->deadline, h->p,
                          &why) != APR_SUCCESS) {
        cs_hook_trouble(h, &why);
        return 0;
    }
    if (!cs_hook_read(h)) {
        return 0;
    }
    if (!is_at(h, hook->url) || !has_all(h->found, needed)) {
        cs_hook_note(h);
        cs_job_failed(h->t, "Partner Center took the registration, and shows another one: %s",
                      words_of(h->found, h->p));
        return 0;
    }
    return 1;
}

static void registered(cs_hook_turn_t *h, const char *url, const apr_array_header_t *events)
{
    json_t *old = json_object_get(h->t->cursor, "old");
    cs_pc_hook_t *before = json_is_object(old) ? hook_of(old, h->p) : NULL;
    const char *text;

    remember_ours(h, url, events);
    if (json_is_true(json_object_get(h->t->cursor, "foreign"))) {
        json_object_set(h->fact, "saved", old);
    }
    cs_hook_note(h);
    text = apr_psprintf(h->p, "registered: %s -> %s", words_of(before, h->p),
                        words_of(h->found, h->p));
    cs_job_journal(h->t, 0, "done", text);
    cs_log(CS_LOG_NOTICE, 0, h->lane->site->name, CSLOGNO(2322) "webhook %s, by %s", text,
           h->t->user);
    cs_job_done(h->t, result_of(text, json_incref(old), cs_registration_json(h->found, h->p)));
}

static apr_status_t do_register(cs_hook_turn_t *h, cs_result_t *res)
{
    const char *url = cs_json_str(h->t->arguments, "url");
    apr_array_header_t *events = wanted_events(h);

    url = url ? url : ours(h) ? ours(h) : cs_json_str(h->t->arguments, "here");
    if (!url) {
        cs_job_failed(h->t, "the address of this server's webhook is not known; name it: cosellctl "
                            "webhook register --url https://HOST/PATH, the <Location> with "
                            "SetHandler cosell-webhook");
        return APR_SUCCESS;
    }
    if (!cs_hook_read(h)) {
        return APR_SUCCESS;
    }
    if (!json_object_get(h->t->cursor, "stage")) {
        return plan_register(h, url, res);
    }
    if (write_hook(h, united(h, url, events), events)) {
        registered(h, url, events);
    }
    return APR_SUCCESS;
}

/* ---- restore ---- */

static void forget_ours(cs_hook_turn_t *h)
{
    json_object_del(h->fact, "url");
    json_object_del(h->fact, "events");
    json_object_del(h->fact, "saved");
    cs_hook_note(h);
}

static void restored(cs_hook_turn_t *h, const cs_pc_hook_t *saved, json_t *old)
{
    cs_pc_hook_t *before = json_is_object(old) ? hook_of(old, h->p) : NULL;
    const char *text = apr_psprintf(
        h->p, "given back: %s -> %s%s", words_of(before, h->p), words_of(h->found, h->p),
        saved->marked >= 0 ? ""
                           : "; Partner Center does not tell in which header signatures were asked "
                             "for: they come in Authorization now");

    forget_ours(h);
    cs_job_journal(h->t, 0, "done", text);
    cs_log(CS_LOG_NOTICE, 0, h->lane->site->name, CSLOGNO(2323) "webhook %s, by %s", text,
           h->t->user);
    cs_job_done(h->t, result_of(text, json_incref(old), cs_registration_json(h->found, h->p)));
}

static apr_status_t plan_restore(cs_hook_turn_t *h, const cs_pc_hook_t *saved, cs_result_t *res)
{
    if (is_at(h, saved->url)) {
        forget_ours(h);
        cs_job_done(
            h->t,
            result_of(apr_psprintf(h->p, "events go there already: %s", words_of(h->found, h->p)),
                      cs_registration_json(h->found, h->p), cs_registration_json(h->found, h->p)));
        return APR_SUCCESS;
    }
    if (h->found && !is_at(h, ours(h)) && !cs_json_bool(h->t->arguments, "overwrite", 0)) {
        refuse_foreign(h, saved->url, "giving the former registration back");
        return APR_SUCCESS;
    }
    return begin_write(h, 0, res);
}

static apr_status_t do_restore(cs_hook_turn_t *h, cs_result_t *res)
{
    cs_pc_hook_t *saved = NULL;
    apr_status_t rv = json_object_get(h->fact, "saved") ? unseal(h, &saved, res) : APR_SUCCESS;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!saved) {
        cs_job_failed(h->t, "there is nothing to give back: our registration has replaced no other "
                            "one, or it was given back already. Partner Center has no way to "
                            "remove a registration; another system takes it over by registering");
        return APR_SUCCESS;
    }
    if (!cs_hook_read(h)) {
        return APR_SUCCESS;
    }
    if (!json_object_get(h->t->cursor, "stage")) {
        return plan_restore(h, saved, res);
    }
    if (write_hook(h, saved, saved->events)) {
        restored(h, saved, json_object_get(h->t->cursor, "old"));
    }
    return rv;
}

/* ---- the kind ---- */

static apr_status_t turn(cs_job_turn_t *t, cs_result_t *res)
{
    cs_hook_turn_t h = {t, t->b->lane, t->b->p, NULL, NULL, cs_time_mono() + PATIENCE};
    apr_status_t rv = cs_registration_fact(h.lane, &h.fact, h.p, res);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (is(t->arguments, "show")) {
        return show(&h);
    }
    if (is(t->arguments, "events")) {
        return list_events(&h);
    }
    if (is(t->arguments, "register")) {
        return do_register(&h, res);
    }
    return is(t->arguments, "restore") ? do_restore(&h, res) : cs_hook_test(&h, res);
}

static const char *const members[] = {"action:s", "url:s",       "here:s",
                                      "events:a", "overwrite:b", NULL};
static const char *const required[] = {"action", NULL};

const cs_job_kind_t cs_job_webhook = {
    .name = "webhook", .members = members, .required = required, .check = wrong, .turn = turn};
