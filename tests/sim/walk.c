/* tests/sim/walk.c: every path of a referral through Partner Center's machine, times what its seller does meanwhile in the CRM, times a death at every instant of every look.
 *
 * A path is a sequence of states; at some of them a notice makes the engine look, so that a deal is first met at each state and states go by unseen. What must be true at the end follows from
 * the path alone, and is said here a second time, in other words than the mapping's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mod_cosell/base/pool.h"
#include "sim.h"

#define STATES_MAX 4
#define PACE apr_time_from_sec(30)
/* What is done to a record so soon after it was made is what the organisation's rules do. */
#define SETTLED apr_time_from_sec(150)
#define SEED 20261122

typedef struct state_t {
    const char *status, *substatus;
} state_t;

#define NEW_PENDING { "New", "Pending" }
#define NEW_RECEIVED { "New", "Received" }

static const state_t accepted = { "Active", "Accepted" };
static const char *const ends[] = { "Won", "Lost", "Declined", "Expired", "Error" };
#define ENDS ((int)(sizeof(ends) / sizeof(ends[0])))

typedef struct path_t {
    state_t state[STATES_MAX];
    int states;
    unsigned looked;             /* bit i: a notice at state i; the last one always */
    int lead, no_hold;
    act_e act;
    int at;                      /* the act comes after the look at this state */
    int heard;                   /* the CRM tells at once; else it is seen together with what Partner Center does next */
    int soon;                    /* it is done while the record is still being made */
    int crash_look;              /* the look that dies, -1 = none */
    long crash_at;               /* at its nth instant */
    int late;                    /* the dead runner comes back only for the next notice */
} path_t;

static const char *only_path;   /* WALK: the one to run */
static long paths, points, bad, part, parts = 1;   /* WALK_PART=0/2: of every two paths the first */
static int quick;

static const char *const acts[] = { "nothing", "puts it on hold", "goes on with it", "wins it", "loses it", "deletes it", "edits it" };

static void describe(char *out, size_t size, const path_t *path)
{
    size_t n = 0;
    int i;

    n += (size_t)snprintf(out + n, size - n, "%s%s:", path->lead ? "lead" : "opportunity", path->no_hold ? " that cannot be held" : "");
    for (i = 0; i < path->states; i++) {
        n += (size_t)snprintf(out + n, size - n, " %s/%s%s", path->state[i].status, path->state[i].substatus, path->looked & (1u << i) ? "" : " (unseen)");
        if (path->act && path->at == i) {
            n += (size_t)snprintf(out + n, size - n, ", the seller %s%s%s,", acts[path->act], path->soon ? " at once" : "", path->heard ? " (heard)" : "");
        }
    }
    if (path->crash_look >= 0) {
        snprintf(out + n, size - n, "; look %d dies at instant %ld%s", path->crash_look + 1, path->crash_at, path->late ? " and comes back late" : "");
    }
}

/* ---- one walk ---- */

static const char *state_word(const char *word)
{
    static const char *const words[] = { "Pending", "Received", "Accepted", "Won", "Lost", "Declined", "Expired", "Error" };
    size_t i;

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!strcmp(words[i], word)) {
            return words[i];
        }
    }
    return "?";
}

typedef struct walk_t {
    const path_t *path;
    referral_t *referral;
    int crashed, acted;          /* the look died; the seller could do it */
    int seen, was_seen;          /* a look came to its end while there was an opportunity; so it was before the act */
    act_e on_lead;               /* what was done was done to a lead */
    int made_by_hand;            /* the seller qualified the lead */
    state_t before, met, end;    /* Partner Center: when the seller acted, when that was looked at, in the end */
    int was, reason_was;         /* the record's state and reason before the act */
} walk_t;

static row_t *only(const char *table)
{
    row_t *found = NULL;
    int i;

    for (i = 0; i < S->rows; i++) {
        if (!strcmp(S->row[i].table, table)) {
            if (found) {
                violation("there are two rows of table %s: %s and %s", table, found->id, S->row[i].id);
            }
            found = &S->row[i];
        }
    }
    return found;
}

static row_t *current(void)
{
    row_t *opportunity = only("opportunity");

    return opportunity ? opportunity : only("lead");
}

static state_t state_there(const walk_t *w)
{
    json_t *doc = referral_doc(w->referral);
    state_t state;

    state.status = !strcmp(cs_json_str(doc, "status"), "New") ? "New" : !strcmp(cs_json_str(doc, "status"), "Active") ? "Active" : "Closed";
    state.substatus = state_word(cs_json_str(doc, "substatus"));
    json_decref(doc);
    return state;
}

static void touch(walk_t *w)
{
    event_push((int)(w->referral - S->referral), 0, 0);
    accept_here();
    heal();
}

/* 0 = it died, and is not repeated for now. */
static int look_here(walk_t *w, int number)
{
    const path_t *path = w->path;
    int last = number + 1 == __builtin_popcount(path->looked);

    event_push((int)(w->referral - S->referral), 0, 0);
    accept_here();
    if (number == path->crash_look) {
        w->crashed = runner_life_until(20, path->crash_at) == 1;
        if (w->crashed && path->late && !last) {
            return 0;
        }
    }
    heal();
    w->seen = only("opportunity") != NULL;
    return 1;
}

static void act_here(walk_t *w)
{
    row_t *row = current();

    if (row && row->exists) {
        json_t *text = parse(row->text);
        w->was = (int)cs_json_int(text, "statecode", -1);
        w->reason_was = (int)cs_json_int(text, "statuscode", -1);
        json_decref(text);
        w->before = state_there(w);
        w->was_seen = w->seen;
        w->on_lead = !strcmp(row->table, "lead") ? w->path->act : ACT_NONE;
        w->acted = user_does(row, w->path->act);
        w->made_by_hand = w->acted && w->on_lead == ACT_WIN;
    }
}

/* People in the portal cannot do what its machine does not allow: what a seller did in the CRM may have closed the referral. */
static int may_move(const state_t *from, const state_t *to)
{
    if (!strcmp(from->status, "Closed")) {
        return 0;
    }
    return strcmp(from->status, "Active") || !strcmp(to->status, "Closed");
}

static void go(walk_t *w)
{
    const path_t *path = w->path;
    int i, looks = 0;

    for (i = 0; i < path->states && !*S->violation; i++) {
        state_t now = state_there(w);
        int saw = 0;
        if (i && may_move(&now, &path->state[i])) {
            referral_moves(w->referral, path->state[i].status, path->state[i].substatus);
        }
        pass(PACE);
        if (path->looked & (1u << i)) {
            now = state_there(w);
            saw = look_here(w, looks++) || strcmp(state_there(w).substatus, now.substatus);
        }
        if (path->act && path->at == i && !*S->violation) {
            pass(path->soon ? 0 : SETTLED);
            act_here(w);
            pass(PACE);
            if (path->heard) {
                w->met = w->before;
                touch(w);
            }
        }
        else if (path->act && w->acted && !w->met.status && saw) {
            w->met = path->state[i];
        }
    }
}

/* ---- what must be true ---- */

static int was_accepted(const walk_t *w)
{
    json_t *doc = referral_doc(w->referral);
    int is = cs_json_str(doc, "acceptedDateTime") != NULL;

    json_decref(doc);
    return is;
}

/* As the path has it; what it is in the end hangs on the seller, too. */
static const state_t *end_of(const path_t *path)
{
    return &path->state[path->states - 1];
}

static int acted_while(const walk_t *w, const char *status)
{
    return w->acted && !strcmp(w->before.status, status);
}

/* Where the seller's act leads by the mapping's `hear`, when it is met while Partner Center is there; NULL = nowhere. */
static const char *heard_as(const walk_t *w, const state_t *at)
{
    act_e act = w->acted ? w->path->act : ACT_NONE;
    /* What was never seen to stay unanswered is not believed to be accepted. */
    int is_new = !strcmp(at->status, "New"), kept = !w->path->no_hold && !w->path->soon && w->reason_was == 2 && w->was_seen;

    if (w->on_lead) {
        return !is_new ? NULL : act == ACT_WIN ? "Accepted" : act == ACT_LOSE ? "Declined" : NULL;
    }
    if (is_new) {
        return act == ACT_WIN ? "Won" : act == ACT_LOSE ? "Declined" : act == ACT_OPEN && kept ? "Accepted" : NULL;
    }
    return strcmp(at->status, "Active") ? NULL : act == ACT_WIN ? "Won" : act == ACT_LOSE ? "Lost" : NULL;
}

/* Partner Center shows what was heard, or what its own people did; nobody else moves it. */
static void check_partner(const walk_t *w)
{
    const state_t *at = w->met.status ? &w->met : &w->before;
    const char *want = !w->acted || w->path->act == ACT_DELETE ? NULL : heard_as(w, at);
    int theirs = 0, i;

    for (i = 0; i < w->path->states; i++) {
        theirs |= !strcmp(w->path->state[i].substatus, w->end.substatus);
    }
    if (!want && !theirs) {
        violation("Partner Center is %s/%s, which nobody asked for", w->end.status, w->end.substatus);
    }
    if (want && !strcmp(w->end.substatus, want)) {
        return;
    }
    if (want && !(!strcmp(want, "Accepted") && !strcmp(w->end.status, "Closed") && was_accepted(w))) {
        violation("Partner Center is %s/%s, and the seller's act led to %s", w->end.status, w->end.substatus, want);
    }
    if (!want && strcmp(w->end.substatus, end_of(w->path)->substatus)) {
        violation("Partner Center is %s/%s, and its people said %s", w->end.status, w->end.substatus, end_of(w->path)->substatus);
    }
}

/* 0 open, 1 won, 2 lost, -1 = any: what the seller leaves behind where Partner Center does not say. */
static int left_by_seller(const walk_t *w)
{
    act_e act = w->acted && !w->on_lead ? w->path->act : ACT_NONE;

    return act == ACT_WIN ? 1 : act == ACT_LOSE ? 2 : 0;
}

static int wanted_state(const walk_t *w)
{
    const state_t *end = &w->end;

    if (strcmp(end->status, "Closed")) {
        return left_by_seller(w);
    }
    if (w->acted && !strcmp(w->before.status, "Closed") && (w->made_by_hand || (!w->on_lead && w->path->act == ACT_OPEN))) {
        return 0; /* opened again by the seller, who is told */
    }
    if (!strcmp(end->substatus, "Won")) {
        return 1;
    }
    if (!strcmp(end->substatus, "Error") || (!strcmp(end->substatus, "Expired") && was_accepted(w))) {
        return left_by_seller(w);
    }
    return 2;
}

static void expect(const row_t *row, const char *column, int want)
{
    json_t *text = parse(row->text);
    int is = (int)cs_json_int(text, column, -1);

    json_decref(text);
    if (is != want) {
        violation("%s of the %s is %d and should be %d", column, row->table, is, want);
    }
}

/* An open row: on hold while nobody has answered, in progress afterwards, unless the seller chose. */
static void check_reason(const walk_t *w, const row_t *row)
{
    const path_t *path = w->path;
    const char *status = w->end.status;
    act_e act = w->acted && !w->on_lead ? path->act : ACT_NONE;

    if (!strcmp(status, "New")) {
        int free = act == ACT_OPEN || w->made_by_hand || path->no_hold;
        expect(row, "statuscode", act == ACT_HOLD && !path->no_hold ? 2 : act == ACT_HOLD ? 2 : free ? 1 : 2);
    }
    else if (!strcmp(status, "Active")) {
        expect(row, "statuscode", act == ACT_HOLD && acted_while(w, "Active") ? 2 : 1);
    }
}

static void check_opportunity(const walk_t *w, const row_t *row)
{
    int want = wanted_state(w);
    json_t *text;

    if (w->acted && !w->on_lead && w->path->act == ACT_DELETE) {
        /* Of a row that a dead look made nobody knows that it was deleted. */
        if (row->exists && !(w->crashed && w->path->late)) {
            violation("the opportunity was deleted and is there again");
        }
        return;
    }
    expect(row, "statecode", want);
    if (want == 0) {
        check_reason(w, row);
    }
    text = parse(row->text);
    if (w->acted && !w->on_lead && w->path->act == ACT_EDIT && strcmp(cs_json_str(text, "description"), "edited by the seller")) {
        violation("what the seller wrote is gone: %s", row->text);
    }
    json_decref(text);
}

/* 1 when the lead should have become an opportunity by the end. */
static int should_qualify(const walk_t *w)
{
    const path_t *path = w->path;
    int i, gone = w->acted && w->on_lead && (w->on_lead == ACT_DELETE || w->on_lead == ACT_LOSE);

    for (i = 0; i < path->states; i++) {
        int looked = (path->looked >> i) & 1;
        if (looked && !strcmp(path->state[i].status, "Active")) {
            return !(gone && path->at < i);
        }
    }
    return 0;
}

static void check_lead(const walk_t *w, const row_t *lead, const row_t *opportunity)
{
    const state_t *end = &w->end;
    int deleted = w->acted && w->on_lead == ACT_DELETE, want = 2;

    if (deleted) {
        if ((lead->exists || opportunity) && !(w->crashed && w->path->late)) {
            violation("the lead was deleted, and there is %s", lead->exists ? "a lead" : "an opportunity");
        }
        return;
    }
    if (S->qualified > 1) {
        violation("the lead was qualified %d times", S->qualified);
    }
    if (opportunity) {
        expect(lead, "statecode", 1);
        check_opportunity(w, opportunity);
        return;
    }
    if (w->acted && w->on_lead == ACT_LOSE) {
        expect(lead, "statecode", 2);
        return;
    }
    if (strcmp(end->status, "Closed") || !strcmp(end->substatus, "Won") || !strcmp(end->substatus, "Error") ||
        (!strcmp(end->substatus, "Expired") && was_accepted(w)) || (w->acted && w->path->act == ACT_OPEN)) {
        want = 0;
    }
    expect(lead, "statecode", want);
}

/* The first look that was heard to its end, or could have been, met it alive. */
static int met_alive(const walk_t *w)
{
    const path_t *path = w->path;
    int i, looks = 0;

    for (i = 0; i < path->states; i++) {
        if (!((path->looked >> i) & 1)) {
            continue;
        }
        if (strcmp(path->state[i].status, "Closed")) {
            /* A look that died and came back late may have left nothing. */
            if (!(w->crashed && path->late && looks == path->crash_look)) {
                return 1;
            }
        }
        looks++;
    }
    return 0;
}

/* ---- what was written down ---- */

typedef struct record_t {
    cs_deal_t *deal;
    apr_array_header_t *journal;
    cs_store_t *store;
    apr_pool_t *p;
} record_t;

static int open_record(record_t *r, const walk_t *w)
{
    cs_pool_create_own(&r->p, NULL, 0, "sim-walk");
    if (cs_store_open(&r->store, &node_config.store, CS_STORE_WRITER, r->p, NULL) != APR_SUCCESS ||
        cs_store_deal_find(r->store, SITE, CS_SYSTEM_PC, w->referral->id, &r->deal, r->p, NULL) != APR_SUCCESS ||
        cs_store_journal_list(r->store, SITE, 0, 1000, &r->journal, r->p, NULL) != APR_SUCCESS || !r->deal) {
        violation("no deal knows the referral");
        return 0;
    }
    return 1;
}

static int written(const record_t *r, const char *action, const char *word)
{
    int i, n = 0;

    for (i = 0; i < r->journal->nelts; i++) {
        const cs_journal_t *j = APR_ARRAY_IDX(r->journal, i, cs_journal_t *);
        const char *to = j->to ? cs_json_print(j->to, r->p) : "";
        n += !strcmp(j->action, action) && (!word || strstr(to, word));
    }
    return n;
}

/* Accepted is what a seller accepted, and nothing else. */
static void check_record(const walk_t *w, const row_t *row)
{
    const path_t *path = w->path;
    const state_t *end = &w->end;
    int answered = w->acted && acted_while(w, "New") && (path->act == ACT_OPEN || path->act == ACT_WIN);
    record_t r = {0};

    if (!open_record(&r, w)) {
        return;
    }
    if (written(&r, "planned", "\"Active\"") && !answered) {
        violation("it would accept, and nobody has accepted");
    }
    if (path->no_hold && !path->lead && !w->crashed && !strcmp(path->state[0].status, "New") && (path->looked & 1) && written(&r, "not-kept", NULL) != 1) {
        violation("that the record is not on hold was said %d times", written(&r, "not-kept", NULL));
    }
    if (row && !strcmp(end->substatus, "Error") && row->exists && r.deal->state != CS_DEAL_UNLINKED) {
        violation("the deal is %s after an error", cs_deal_state_name(r.deal->state));
    }
    if (row && !strcmp(end->status, "Closed") && strcmp(end->substatus, "Error") && row->exists && r.deal->state != CS_DEAL_CLOSED) {
        violation("the deal is %s after its end", cs_deal_state_name(r.deal->state));
    }
    if (r.deal->record_id && row && strcmp(end->substatus, "Error") && strcmp(r.deal->record_id, row->id)) {
        violation("the deal names the record %s, and it is %s", r.deal->record_id, row->id);
    }
    if (path->lead && strcmp(end->substatus, "Error") && only("opportunity") && row && row->exists && (written(&r, "move", NULL) != 1 || strcmp(r.deal->kind, "opportunity"))) {
        violation("the deal is of kind %s and moved %d times", r.deal->kind, written(&r, "move", NULL));
    }
    if (r.deal->intent) {
        violation("the deal is at rest with an intent");
    }
    cs_store_close(r.store);
    apr_pool_destroy(r.p);
}

static void check_end(const walk_t *w)
{
    const row_t *lead = only("lead"), *opportunity = only("opportunity"), *row = current();

    check_partner(w);
    if (!row) {
        if (met_alive(w)) {
            violation("there is no record");
        }
        return;
    }
    if (w->path->lead && should_qualify(w) && !opportunity && met_alive(w) && !w->path->late) {
        violation("the accepted lead did not become an opportunity");
    }
    if (lead) {
        check_lead(w, lead, opportunity);
    }
    else {
        check_opportunity(w, opportunity);
    }
    if (!*S->violation) {
        check_record(w, row);
    }
}

static void check_rest(walk_t *w)
{
    long writes = S->crm_writes + S->pc_writes, lines = journal_lines();

    touch(w);
    if (S->crm_writes + S->pc_writes != writes || journal_lines() != lines) {
        violation("it does not rest: %ld more writes, %ld more lines in the journal", S->crm_writes + S->pc_writes - writes, journal_lines() - lines);
    }
}

/* 1 = the look died, so that there may be a later instant. */
static int run(const path_t *path)
{
    walk_t w = { .path = path };
    char name[600];

    describe(name, sizeof(name), path);
    if (only_path && strcmp(only_path, name)) {
        return 0;
    }
    begin_world(SEED);
    S->no_hold = path->no_hold;
    S->mute = 1;
    w.referral = referral_walk(path->lead, path->state[0].status, path->state[0].substatus);
    go(&w);
    if (!*S->violation) {
        /* What the seller did last is seen, too. */
        touch(&w);
        w.end = state_there(&w);
    }
    if (!*S->violation) {
        check_end(&w);
    }
    if (!*S->violation) {
        check_rest(&w);
    }
    if (*S->violation) {
        if (verbose) {
            fputs(S->trace, stdout);
        }
        printf("walk: %s: %s\n", name, S->violation);
        bad++;
    }
    return w.crashed;
}

/* ---- all of them ---- */

static int dies_here(const path_t *path)
{
    return !strcmp(path->state[0].substatus, "Pending") && (path->states == 1 || strcmp(path->state[1].substatus, "Received"));
}

/* The first instant that ends wrongly stands for the path's others. */
static void crash_everywhere(path_t *path)
{
    int looks = __builtin_popcount(path->looked);
    long before = bad;

    for (path->late = 0; path->late < (quick ? 1 : 2); path->late++) {
        for (path->crash_look = 0; path->crash_look < looks - path->late; path->crash_look++) {
            for (path->crash_at = 1; (run(path) || (only_path && path->crash_at < 60)) && bad == before; path->crash_at++) {
                points++;
            }
        }
    }
    path->crash_look = -1;
    path->late = 0;
}

/* Where every instant is a last one: substatuses of New make no difference there, and what goes by unseen or cannot be held is tried with an idle seller. */
static int dies(const path_t *path)
{
    int all = path->looked == (1u << path->states) - 1, idle = !path->act;

    if (!dies_here(path)) {
        return 0;
    }
    if (quick) {
        return all && idle && !path->no_hold && path->states == 3 && (!strcmp(end_of(path)->substatus, "Won") || !strcmp(end_of(path)->substatus, "Error"));
    }
    return idle || (all && !path->no_hold);
}

static void with_act(path_t *path, act_e act, int at)
{
    path->act = act;
    path->at = at;
    path->crash_look = -1;
    if (paths++ % parts != part) {
        return;
    }
    if (!quick && paths % 500 == 0) {
        printf("walk: %ld paths, %ld crash points so far\n", paths, points);
    }
    run(path);
    if (dies(path)) {
        crash_everywhere(path);
    }
}

/* In a hurry sellers act only where everything is seen and New has no two forms. */
static int is_spared(const path_t *path)
{
    return quick && (path->looked != (1u << path->states) - 1 || path->no_hold || !dies_here(path) || !strcmp(end_of(path)->substatus, "Lost"));
}

static void with_acts(path_t *path)
{
    int act, at;

    with_act(path, ACT_NONE, 0);
    for (at = 0; at < path->states && bad < 10; at++) {
        for (act = ACT_NONE + 1; !is_spared(path) && (path->looked & (1u << at)) && act < ACTS; act++) {
            /* After the last state there is nothing else that it could be seen together with. */
            for (path->heard = at == path->states - 1; path->heard < 2; path->heard++) {
                with_act(path, (act_e)act, at);
            }
            path->heard = 0;
            path->soon = act == ACT_OPEN;
            if (path->soon) {
                with_act(path, (act_e)act, at);
            }
            path->soon = 0;
        }
    }
}

/* Each set of states at which somebody looks; at the last one always. */
static void with_looks(path_t *path)
{
    unsigned last = 1u << (path->states - 1), early;

    for (early = 0; early < last && bad < 10; early++) {
        path->looked = early | last;
        if (quick && early != last - 1 && (early || !dies_here(path))) {
            continue; /* seen at its end only, or all of it */
        }
        for (path->lead = 0; path->lead < 2; path->lead++) {
            path->no_hold = 0;
            with_acts(path);
        }
        path->lead = 0;
        if (!strcmp(path->state[0].status, "New")) {
            path->no_hold = 1;
            with_acts(path);
            path->no_hold = 0;
        }
    }
}

static void from(path_t *path)
{
    int n = path->states, i;

    with_looks(path);
    for (i = 0; i < ENDS; i++) {
        path->state[n] = (state_t){ "Closed", ends[i] };
        path->states = n + 1;
        with_looks(path);
    }
    path->states = n;
}

int walk_all(int is_quick)
{
    static const struct {
        state_t state[2];
        int states;
    } beginnings[] = { { { NEW_PENDING }, 1 }, { { NEW_RECEIVED }, 1 }, { { NEW_PENDING, NEW_RECEIVED }, 2 } };
    path_t path;
    size_t i;

    quick = is_quick;
    only_path = getenv("WALK");
    if (getenv("WALK_PART") && (sscanf(getenv("WALK_PART"), "%ld/%ld", &part, &parts) != 2 || parts < 1 || part < 0 || part >= parts)) {
        fprintf(stderr, "walk: WALK_PART is \"%s\"; allowed: 0/2, 1/2\n", getenv("WALK_PART"));
        return 0;
    }
    for (i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]) && bad < 10; i++) {
        memset(&path, 0, sizeof(path));
        memcpy(path.state, beginnings[i].state, sizeof(beginnings[i].state));
        path.states = beginnings[i].states;
        from(&path);
        path.state[path.states++] = accepted;
        from(&path);
    }
    printf("walk: %ld paths, %ld crash points, %ld ended wrongly\n", paths, points, bad);
    return bad == 0;
}
