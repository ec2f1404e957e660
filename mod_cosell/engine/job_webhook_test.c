/* engine/job_webhook_test.c: job "webhook", action "test": the test event that was asked for is
 * recognised by its correlation id, in the row that its delivery has left in the store. */
#include "job_webhook.h"

#include <string.h>
#include <strings.h>

#include <apr_strings.h>

#include "../base/json.h"

#define MOST apr_time_from_sec(180)
#define LOOK apr_time_from_sec(1)
#define ASK apr_time_from_sec(5)
/* Partner Center says that it was answered well; it may be a moment ahead of us. */
#define GRACE apr_time_from_sec(10)

static apr_status_t plan_test(cs_hook_turn_t *h)
{
    if (!cs_hook_read(h)) {
        return APR_SUCCESS;
    }
    cs_hook_note(h);
    if (!h->found) {
        cs_job_failed(h->t, "nothing is registered at Partner Center: cosellctl webhook register");
        return APR_SUCCESS;
    }
    if (!cs_pc_hook_has(h->found->events, CS_PC_TEST_EVENT)) {
        cs_job_failed(h->t,
                      "the event " CS_PC_TEST_EVENT " is not registered for %s: cosellctl "
                      "webhook register adds it",
                      cs_pc_hook_url_shown(h->found->url, h->p));
        return APR_SUCCESS;
    }
    json_object_set_new(h->t->cursor, "stage", json_string("ask"));
    json_object_set_new(h->t->cursor, "request", json_string(cs_uuid4(h->p)));
    json_object_set_new(h->t->cursor, "url",
                        json_string(cs_pc_hook_url_shown(h->found->url, h->p)));
    json_object_set_new(h->t->cursor, "asked", json_integer(h->t->b->now));
    cs_hook_say(h, "asking for a test event");
    return APR_SUCCESS;
}

static apr_status_t ask_for_test(cs_hook_turn_t *h)
{
    cs_result_t why = {0};
    const char *id;

    if (cs_pc_hooks_test(h->lane->hooks, cs_json_str(h->t->cursor, "request"), &id, h->deadline,
                         h->p, &why) != APR_SUCCESS) {
        return cs_hook_trouble(h, &why);
    }
    json_object_set_new(h->t->cursor, "stage", json_string("wait"));
    json_object_set_new(h->t->cursor, "id", json_string(id));
    json_object_set_new(h->t->cursor, "sent", json_integer(h->t->b->now));
    json_object_set_new(h->t->cursor, "view", json_integer(h->t->b->now + ASK));
    cs_job_say(h->t, "Partner Center sends the test event %s to %s", id,
               cs_json_str(h->t->cursor, "url"));
    cs_hook_say(h, "waiting for the test event to come in");
    cs_job_wait(h->t, h->t->b->now + LOOK / 2);
    return APR_SUCCESS;
}

/* One of the lines of names; what follows `begin` on it, or NULL. */
static const char *line_with(const char *names, const char *begin, apr_pool_t *p)
{
    apr_size_t len = strlen(begin);

    while (names && *names) {
        apr_size_t n = strcspn(names, "\n");
        if (n >= len && !strncmp(names, begin, len)) {
            return apr_pstrmemdup(p, names + len, n - len);
        }
        names += n + (names[n] != '\0');
    }
    return NULL;
}

static apr_status_t find_test(cs_hook_turn_t *h, const cs_delivery_t **pfound, cs_result_t *res)
{
    const char *id = cs_json_str(h->t->cursor, "id");
    apr_array_header_t *list;
    apr_status_t rv;
    int i;

    *pfound = NULL;
    /* It is this server's clock on both sides; a second more does no harm. */
    rv = cs_store_deliveries(h->lane->store, h->lane->site->name, CS_SYSTEM_PC, CS_PC_TEST_EVENT,
                             cs_json_int(h->t->cursor, "asked", 0) - APR_USEC_PER_SEC, 100, &list,
                             h->p, res);
    for (i = 0; rv == APR_SUCCESS && i < list->nelts; ++i) {
        const cs_delivery_t *d = APR_ARRAY_IDX(list, i, cs_delivery_t *);
        const char *name = line_with(d->names, CS_NAME_TEST, h->p);
        if (name && !strcmp(name, id)) {
            *pfound = d;
        }
    }
    return rv;
}

static void tested_well(cs_hook_turn_t *h, const cs_delivery_t *d)
{
    const char *header = line_with(d->names, CS_NAME_HEADER, h->p);
    apr_time_t sent = cs_json_int(h->t->cursor, "sent", d->received);
    apr_interval_time_t took = d->received > sent ? d->received - sent : 0;
    const char *text = apr_psprintf(
        h->p,
        "the test event came in after %d.%03d s, its signature in %s was good, and it is "
        "stored",
        (int)apr_time_sec(took), (int)apr_time_msec(took), header ? header : "its header");

    json_object_set_new(h->fact, "delivered", json_integer(d->received));
    cs_lane_fact(CS_FACT_WEBHOOK, cs_json_print(h->fact, h->p), h->t->b->changes);
    cs_job_journal(h->t, 0, "done", apr_pstrcat(h->p, text, "; asked for", NULL));
    cs_job_done(h->t, json_pack("{s:s, s:s, s:s?, s:I}", "text", text, "event",
                                cs_json_str(h->t->cursor, "id"), "header", header, "took",
                                (json_int_t)took));
}

/* What Partner Center was answered, in words of what to look at. */
static const char *what_to_check(const char *answer)
{
    static const char nobody[] =
        "at that address no handler cosell-webhook of this server answers: "
        "compare the path with the <Location> of SetHandler "
        "cosell-webhook";
    static const char refused[] = "the signature was not found good: the error log says why; look "
                                  "at CosellSignature, and for other modules that want to "
                                  "authenticate there";
    static const char closed[] = "access to that address is restricted: Require all granted is "
                                 "needed there";
    static const char unable[] = "the server could not store it, or has no certificate to judge it "
                                 "by: see the error log";
    static const char moved[] = "that address leads elsewhere, and Partner Center does not follow";
    static const struct {
        const char *begin, *words;
    } all[] = {{"NotFound", nobody}, {"404", nobody}, {"Unauthorized", refused},
               {"401", refused},     {"403", closed}, {"Forbidden", closed},
               {"503", unable},      {"30", moved},   {"ServiceUnavailable", unable},
               {"Moved", moved},     {"Found", moved}};
    size_t i;

    for (i = 0; answer && i < sizeof(all) / sizeof(all[0]); ++i) {
        if (!strncasecmp(answer, all[i].begin, strlen(all[i].begin))) {
            return all[i].words;
        }
    }
    return "see that the address can be reached from the internet: name, firewall, port, and a "
           "certificate that everybody trusts";
}

static void tested_badly(cs_hook_turn_t *h, const cs_pc_tested_t *tested)
{
    const char *url = cs_json_str(h->t->cursor, "url"), *text;

    if (tested && tested->good) {
        text = apr_psprintf(h->p,
                            "the test event was taken by %s, which is not this server: see "
                            "where that address leads, and register ours: cosellctl webhook "
                            "register",
                            url);
    }
    else if (tested && tested->attempts) {
        text = apr_psprintf(h->p,
                            "the test event did not come in. Partner Center sent it to %s "
                            "(%d times, last answered: %s); %s",
                            url, tested->attempts, tested->answer, what_to_check(tested->answer));
    }
    else {
        text = apr_psprintf(h->p,
                            "the test event did not come in within %d minutes; Partner "
                            "Center says nothing of having sent it to %s yet. Try again, and "
                            "%s",
                            (int)(apr_time_sec(MOST) / 60), url, what_to_check(NULL));
    }
    cs_job_journal(h->t, 0, "failed", apr_pstrcat(h->p, text, "; asked for", NULL));
    cs_job_failed(h->t, "%s", text);
}

/* 1 = what Partner Center says ends it. */
static int is_lost(cs_hook_turn_t *h, const cs_pc_tested_t *tested, int late)
{
    apr_time_t now = h->t->b->now, good = cs_json_int(h->t->cursor, "good", 0);

    if (late || (tested && !strcasecmp(tested->status, "failed"))) {
        return 1;
    }
    if (tested && tested->good && !good) {
        json_object_set_new(h->t->cursor, "good", json_integer(now));
    }
    return tested && tested->good && good && now - good >= GRACE;
}

static apr_status_t wait_for_test(cs_hook_turn_t *h, cs_result_t *res)
{
    apr_time_t now = h->t->b->now;
    int late = now - cs_json_int(h->t->cursor, "sent", now) >= MOST;
    cs_pc_tested_t *tested = NULL;
    const cs_delivery_t *delivery;
    cs_result_t unread = {0};
    apr_status_t rv = find_test(h, &delivery, res);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (delivery) {
        tested_well(h, delivery);
        return rv;
    }
    if (late || now >= cs_json_int(h->t->cursor, "view", 0)) {
        cs_pc_hooks_tested(h->lane->hooks, cs_json_str(h->t->cursor, "id"), &tested, h->deadline,
                           h->p, &unread);
        json_object_set_new(h->t->cursor, "view", json_integer(now + ASK));
        if (tested && tested->attempts && !tested->good) {
            cs_hook_say(h, apr_psprintf(h->p,
                                        "waiting for the test event to come in; Partner Center was "
                                        "answered %s",
                                        tested->answer));
        }
    }
    if (is_lost(h, tested, late)) {
        tested_badly(h, tested);
        return rv;
    }
    cs_job_wait(h->t, now + LOOK);
    return rv;
}

apr_status_t cs_hook_test(cs_hook_turn_t *h, cs_result_t *res)
{
    const char *stage = cs_json_str(h->t->cursor, "stage");

    if (!stage) {
        return plan_test(h);
    }
    return !strcmp(stage, "ask") ? ask_for_test(h) : wait_for_test(h, res);
}
