/* tests/sim/create.c: each kind of referral that a seller asks for, and each upgrade, times a death at every instant, times every answer lost, while lists show late what was made.
 *
 * Whatever happens: one referral of ours, one card of Microsoft's where help was asked, and a record that knows it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mod_cosell/base/pool.h"
#include "sim.h"

#define SEED 20261122

typedef enum { KIND_PRIVATE, KIND_LED, KIND_COSELL, KINDS } kind_e;

static const char *const kinds[] = { "private", "partner-led", "co-sell" };

typedef struct making_t {
    kind_e kind, then;           /* then == kind: no upgrade */
    int late;                    /* lists show a new referral after 45 minutes */
    int deaf;                    /* no notice comes: of Partner Center's own, of the CRM only the first */
    long dies, loses;            /* at its nth instant; its nth answer; 0 = none */
} making_t;

static long runs, bad;

static void describe(char *out, size_t size, const making_t *m)
{
    snprintf(out, size, "%s%s%s%s%s, dies at %ld, loses answer %ld", kinds[m->kind], m->then != m->kind ? " becomes " : "", m->then != m->kind ? kinds[m->then] : "", m->late ? ", lists late" : "",
             m->deaf ? ", no notices" : "", m->dies, m->loses);
}

/* Lives one after the other until there is rest, however many die. */
static void settle(void)
{
    long kills;

    do {
        kills = S->kills;
        heal();
    } while (S->kills != kills && !*S->violation);
}

static void tell(row_t *row)
{
    event_push_row(row, 0);
    settle();
}

static void ask(row_t *row, kind_e kind)
{
    json_t *text = parse(row->text);

    json_object_set_new(text, "cosell_visible", json_boolean(kind != KIND_PRIVATE));
    if (kind == KIND_COSELL) {
        json_object_set_new(text, "cosell_help", json_integer(6));
    }
    row_changes(row, text);
    json_decref(text);
}

static int cards_of(org_e org, const referral_t **pone)
{
    int i, n = 0;

    for (i = 0; i < S->referrals; i++) {
        if (S->referral[i].org == org) {
            *pone = &S->referral[i];
            n++;
        }
    }
    return n;
}

static int said(const apr_array_header_t *journal, const char *action)
{
    int i, n = 0;

    for (i = 0; i < journal->nelts; i++) {
        const cs_journal_t *j = APR_ARRAY_IDX(journal, i, cs_journal_t *);
        n += !strcmp(j->action, action) && !strcmp(j->outcome, "done") && !strcmp(j->direction, "to_pc");
    }
    return n;
}

static void check_deal(const row_t *row, const referral_t *own, int invited)
{
    apr_array_header_t *journal = NULL;
    cs_store_t *store = NULL;
    cs_deal_t *deal = NULL;
    apr_pool_t *p;

    cs_pool_create_own(&p, NULL, 0, "sim-create");
    if (cs_store_open(&store, &node_config.store, CS_STORE_WRITER, p, NULL) != APR_SUCCESS ||
        cs_store_deal_find(store, SITE, CRM, row->id, &deal, p, NULL) != APR_SUCCESS || cs_store_journal_list(store, SITE, 0, 1000, &journal, p, NULL) != APR_SUCCESS || !deal) {
        violation("no deal knows the record");
    }
    else if (!deal->referral_id || strcmp(deal->referral_id, own->id) || deal->state != CS_DEAL_LINKED || !deal->status || strcmp(deal->status, "In sync")) {
        violation("the deal has referral %s, is %s and says %s: %s", deal->referral_id ? deal->referral_id : "none", cs_deal_state_name(deal->state), deal->status ? deal->status : "nothing",
                  deal->problem ? deal->problem : "-");
    }
    else if (said(journal, "create") != 1 || said(journal, "invite") != invited) {
        violation("the journal says %d times that it was made and %d times that Microsoft was invited", said(journal, "create"), said(journal, "invite"));
    }
    cs_store_close(store);
    apr_pool_destroy(p);
}

static void check(const making_t *m, const row_t *row)
{
    const referral_t *own = NULL, *microsoft = NULL;
    int owns = cards_of(ORG_OWN, &own), invited = cards_of(ORG_MICROSOFT, &microsoft), want = m->then == KIND_COSELL;
    json_t *text = parse(row->text), *doc = owns ? referral_doc(own) : NULL;
    const char *id = cs_json_str(text, "cosell_referral");

    if (owns != 1 || invited != want) {
        violation("there are %d referrals of ours and %d cards of Microsoft's", owns, invited);
    }
    else if (!id || strcmp(id, own->id)) {
        violation("the record says %s, and the referral is %s", id ? id : "nothing", own->id);
    }
    else if (json_is_true(cs_json_pointer(doc, "/consent/consentToShareReferralWithMicrosoftSellers")) != (m->then != KIND_PRIVATE)) {
        violation("it is shared with Microsoft or is not, and should not or should");
    }
    else {
        check_deal(row, own, want);
    }
    json_decref(text);
    json_decref(doc);
}

static void begin(const making_t *m)
{
    begin_world(SEED);
    S->mute = S->asks = 1;
    S->deaf = m->deaf;
    S->stays_late = m->late;
}

/* 1 = it came as far as to where it should have died or lost an answer. */
static int run(const making_t *m)
{
    char name[300];
    row_t *row;
    long writes;
    int came;

    begin(m);
    row = crm_new(m->kind == KIND_COSELL, m->kind != KIND_PRIVATE);
    if (m->then != m->kind) {
        tell(row);
        pass(apr_time_from_sec(3600));
        ask(row, m->then);
    }
    S->doom = m->dies;
    S->lose = m->loses;
    tell(row);
    came = m->dies ? !S->doom : m->loses ? !S->lose : 0;
    S->doom = S->lose = 0;
    settle();
    if (!*S->violation) {
        check(m, row);
    }
    writes = S->crm_writes + S->pc_writes;
    tell(row);
    if (!*S->violation && S->crm_writes + S->pc_writes != writes) {
        violation("it does not rest: %ld more writes", S->crm_writes + S->pc_writes - writes);
    }
    runs++;
    if (*S->violation) {
        describe(name, sizeof(name), m);
        if (verbose) {
            fputs(S->trace, stdout);
        }
        printf("create: %s: %s\n", name, S->violation);
        bad++;
    }
    return came;
}

static void each_instant(making_t *m)
{
    m->dies = m->loses = 0;
    run(m);
    for (m->dies = 1; run(m) && bad < 10; m->dies++) {
    }
    m->dies = 0;
    for (m->loses = 1; run(m) && bad < 10; m->loses++) {
    }
}

int create_all(int quick)
{
    making_t m;
    int kind, then, how;

    memset(&m, 0, sizeof(m));
    for (kind = 0; kind < KINDS; kind++) {
        for (then = kind; then < KINDS; then++) {
            for (how = 0; how < 4 && bad < 10; how++) {
                m.kind = (kind_e)kind;
                m.then = (kind_e)then;
                m.late = how & 1;
                m.deaf = how >> 1;
                if (!quick || (how == 3 && then == KIND_COSELL && kind != KIND_LED)) {
                    each_instant(&m);
                }
            }
        }
    }
    printf("create: %ld runs, %ld ended wrongly\n", runs, bad);
    return bad == 0;
}
