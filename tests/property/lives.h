/* Random lives of random deals under random mappings: look after look, with everything that happens between them; a violated property is made as small as it
 * still is one and told. CASES and SEED choose how many and which, FAILURES after how many of them it stops.
 */
#ifndef CS_TESTS_PROPERTY_LIVES_H
#define CS_TESTS_PROPERTY_LIVES_H

#include "mod_cosell/remote/crm.h"
#include "mod_cosell/remote/salesforce/salesforce.h"
#include "checks.h"

#define LIVES_PER_MAPPING 200
#define QUIET_LOOKS 7

/* ---- mappings ---- */

static int load_one(pair_t *pair, int which)
{
    const char *text = cs_json_print(pair->json[which], pair->p);
    cs_result_t res = {0};

    if (cs_mapping_parse(&pair->mapping[which], text, strlen(text), "random.json", pair->crm->names_rows ? &cs_salesforce_facts : cs_crm_facts_of(pair->crm->type), NULL, pair->p, &res) != APR_SUCCESS) {
        if (getenv("VERBOSE")) {
            fprintf(stderr, "%s\n", res.detail);
        }
        return 0;
    }
    return 1;
}

/* Two edits may not go together; then others are drawn. */
static int refused_mappings, loaded_mappings;

/* CRM says which; without it each mapping is for one or the other. */
static const crm_t *crm_of(apr_uint64_t seed)
{
    const char *type = getenv("CRM");
    size_t i;

    for (i = 0; type && i < sizeof(crms) / sizeof(crms[0]); i++) {
        if (!strcmp(crms[i].type, type)) {
            return &crms[i];
        }
    }
    if (type && *type) {
        fprintf(stderr, "CRM=%s: allowed: %s, %s\n", type, crms[0].type, crms[1].type);
        exit(2);
    }
    return &crms[chance_of(seed, 0, "crm", NULL) % 2];
}

static void make_pair(pair_t *pair, apr_uint64_t seed, apr_pool_t *p)
{
    apr_uint64_t n;

    memset(pair, 0, sizeof(*pair));
    pair->seed = seed;
    pair->p = p;
    pair->crm = crm_of(seed);
    for (n = 0;; n++) {
        dice_t d = {chance_mix(seed + (n << 40))};

        pair->json[0] = cs_json_own(gen_mapping(&d, pair->crm), p);
        pair->json[1] = cs_json_own(json_deep_copy(pair->json[0]), p);
        gen_changes(&d, pair->crm, pair->json[1]);
        if (load_one(pair, 0) && load_one(pair, 1)) {
            loaded_mappings++;
            return;
        }
        refused_mappings++;
        if (n > 200) {
            fprintf(stderr, "no mapping of seed %" APR_UINT64_T_FMT " loads\n", seed);
            abort();
        }
    }
}

/* ---- one life ---- */

static void look(world_t *w, int lagging, fate_e fate)
{
    w->now += apr_time_from_sec(90);
    world_read(w, lagging);
    w->look.notified = !w->quiet && !w->knobs->no_notices && chance(w, "notified", NULL, 5) == 0;
    world_plan(w);
    check_plan(w);
    if (fate == FATE_RACE && w->row) {
        w->version++;
    }
    world_apply(w, fate);
    if (fate == FATE_DIES_BEFORE || fate == FATE_DIES_AFTER || fate == FATE_DIES_AMID) {
        forget_bases(w);
        return;
    }
    world_settle(w);
    check_settled(w);
}

/* A refusal that ends the look leaves the deal to people. */
static int is_dead(const world_t *w)
{
    int i;

    for (i = 0; i < w->plan->steps->nelts; i++) {
        cs_class_e cls = w->applied[i].result.cls;

        if (step_at(w, i)->send && !w->applied[i].done && w->applied[i].tried && (!step_at(w, i)->list || !w->applied[i].refused) &&
            !is_pc_step(step_at(w, i)) && (cls == CS_CLASS_DATA || cls == CS_CLASS_REFUSED || cls == CS_CLASS_CONFLICT || cls == CS_CLASS_DUPLICATE)) {
            return 1;
        }
    }
    return 0;
}

static int had_news(const world_t *w)
{
    int i;

    for (i = 0; i < w->plan->steps->nelts; i++) {
        if (w->applied[i].refused || w->applied[i].dropped || w->applied[i].found || (step_at(w, i)->kind == CS_STEP_CREATE && !step_at(w, i)->list) || (step_at(w, i)->send && !w->applied[i].done)) {
            return 1;
        }
    }
    return 0;
}

/* Both sides are as they were, and nobody heard of anything new: a value that was refused is told, with what waits for it, by the next look. */
static int rests(const world_t *w)
{
    int i;

    for (i = 0; i < w->plan->steps->nelts; i++) {
        if (w->applied[i].refused) {
            return 0;
        }
    }
    return !w->writes && !w->pc_writes;
}

/* Lines whose own conditions keep them back are written when something else that we wrote lets them. */
static int writes_unconditionally(const world_t *w)
{
    int i;

    for (i = 0; i < w->kind->lines->nelts && is_compared(w); i++) {
        const cs_line_t *line = line_at(w, i);

        json_t *facts = cs_json_pointer(w->metadata, apr_psprintf(w->p, "/tables/%s/columns/%s/create", w->crm->table, line->crm ? line->crm->name : ""));

        /* Nor what may not be written when a record is made. */
        if (w->kind->tell.mark && line->crm && !strcmp(line->crm->name, w->kind->tell.mark)) {
            continue; /* the mark takes its room */
        }
        /* Nor what is read where another line may just have written, or a currency that the CRM gave the record. */
        if ((view_at(w, i)->to_crm || (view_at(w, i)->to_pc && !line->crm_more && !line->crm->of && line->type != CS_TYPE_MONEY)) && !(line->pc && line->pc->selects) && !line->when && !line->to_crm.when && !line->to_pc.when && !line->group && !json_is_false(facts)) {
            return 1;
        }
    }
    return 0;
}

/* Nobody touches anything, and nothing goes wrong: all becomes quiet. */
static void calm_down(world_t *w)
{
    int k, before, news = 1, rested = 0;

    w->quiet = 1;
    for (k = 0; k < QUIET_LOOKS && rested < 2; k++) {
        look(w, 0, FATE_GOOD);
        if (is_dead(w)) {
            w->quiet = 0;
            return;
        }
        if (!news && w->line_writes + w->pc_writes && writes_unconditionally(w)) {
            violate(w, "a second look writes nothing", "look %d wrote %d and patched %d", k, w->line_writes, w->pc_writes);
        }
        news = had_news(w);
        rested = rests(w) ? rested + 1 : 0;
    }
    if (rested < 2) {
        violate(w, "looks come to an end", "look %d still writes", k);
    }
    before = w->journal->nelts;
    look(w, 0, FATE_GOOD);
    if (is_dead(w)) {
        w->quiet = 0;
        return;
    }
    if (w->writes + w->pc_writes) {
        violate(w, "looks come to an end", "after two looks without a write");
    }
    if (w->journal->nelts != before) {
        const cs_journal_t *j = APR_ARRAY_IDX(w->journal, before, cs_journal_t *);

        violate(w, "nothing is journalled twice", "%s %s: %s", j->action, j->line ? j->line : "", j->why);
    }
    check_images(w);
    check_truth(w);
    check_explained(w);
    w->quiet = 0;
}

static fate_e fate_of(const world_t *w)
{
    return w->knobs->no_fates || chance(w, "fate", "any", 2) ? FATE_GOOD : (fate_e)chance(w, "fate", NULL, w->knobs->both ? FATE_BOTH_COUNT : FATE_COUNT);
}

static int lag_of(const world_t *w)
{
    int lag = 0;

    if (trait(w, "lags", NULL, 4) == 0 && w->now < w->old_at + LAG_MOST) {
        /* A CRM whose versions have a grain answers from one place. */
        lag |= w->old_row && !w->crm->names_rows && !w->knobs->no_lag && chance(w, "lag", NULL, 3) == 0 ? LAGS_CRM : 0;
        lag |= w->old_doc && w->knobs->both && !w->knobs->no_pc_lag && chance(w, "pc-lag", NULL, 3) == 0 ? LAGS_PC : 0;
    }
    return lag;
}

static void live(world_t *w)
{
    unsigned rounds = 1 + trait(w, "rounds", NULL, ROUNDS_MOST - 1);

    rounds = w->knobs->rounds && (unsigned)w->knobs->rounds < rounds ? (unsigned)w->knobs->rounds : rounds;
    for (w->round = 0; w->round < rounds; w->round++) {
        if (w->round) {
            pc_edits(w);
            user_edits(w);
        }
        if (w->round && !w->knobs->no_deletes && user_deletes(w)) {
            forget_bases(w);
            w->touched = ~0u;
        }
        if (w->round && !w->which && chance(w, "switch", NULL, 5) == 0 && !w->knobs->no_switch) {
            use_mapping(w, 1);
            forget_bases(w);
        }
        look(w, lag_of(w), fate_of(w));
        if (chance(w, "patched", NULL, 4) == 0 && !w->knobs->no_applied_patches) {
            apply_patches(w);
        }
        if (chance(w, "calm", NULL, 3) == 0) {
            calm_down(w);
        }
    }
    calm_down(w);
}

typedef struct case_t {
    pair_t pair;
    apr_uint64_t seed;
    knobs_t knobs;
} case_t;

static world_t last_world;
static checks_t last_checks, sums;

/* The violated property; NULL = none. */
static const char *run_case(const case_t *c, apr_pool_t *p)
{
    world_t *w = &last_world;

    world_make(w, &c->pair, c->seed, &c->knobs, p);
    memset(&last_checks, 0, sizeof(last_checks));
    last_checks.refused[0] = cs_json_own(json_object(), p);
    last_checks.refused[1] = cs_json_own(json_object(), p);
    last_checks.had = cs_json_own(json_object(), p);
    w->checks = &last_checks;
    w->saw = saw_write;
    w->saw_patch = saw_patch;
    if (setjmp(last_checks.out)) {
        return last_checks.name;
    }
    live(w);
    return NULL;
}

/* ---- smaller ---- */

static int still_fails(const case_t *c, const char *name, apr_pool_t *p)
{
    apr_pool_t *mine;
    const char *now;
    int same;

    apr_pool_create(&mine, p);
    now = run_case(c, mine);
    same = now && !strcmp(now, name);
    apr_pool_destroy(mine);
    return same;
}

static void shrink_knob(case_t *c, int *knob, const char *name, apr_pool_t *p)
{
    *knob = 1;
    if (!still_fails(c, name, p)) {
        *knob = 0;
    }
}

static void shrink_knobs(case_t *c, const char *name, apr_pool_t *p)
{
    knobs_t *k = &c->knobs;
    int *all[] = {&k->no_quirks,  &k->no_lag,         &k->no_mask,        &k->no_fates,   &k->no_switch,         &k->no_metadata_gaps,
                  &k->no_notices, &k->no_state_moves, &k->no_lists_edits, &k->no_meeting, &k->no_applied_patches, &k->no_deletes, &k->no_pc_quirks, &k->no_pc_lag};
    size_t i, r;

    for (k->rounds = 1; k->rounds < ROUNDS_MOST && !still_fails(c, name, p); k->rounds++) {
    }
    for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        shrink_knob(c, all[i], name, p);
    }
    for (r = 0; r < ROUNDS_MOST; r++) {
        for (i = 0; i < SLOTS; i++) {
            k->pc_mute[r] |= 1u << i;
            if (!still_fails(c, name, p)) {
                k->pc_mute[r] &= ~(1u << i);
            }
            k->crm_mute[r] |= 1u << i;
            if (!still_fails(c, name, p)) {
                k->crm_mute[r] &= ~(1u << i);
            }
        }
    }
}

/* Takes a member out of both mappings, if it still fails then. 1 = it did. */
static int shrink_member(case_t *c, const char *pointer, const char *member, const char *name, apr_pool_t *p)
{
    case_t less = *c;
    int m, there = 0;

    for (m = 0; m < 2; m++) {
        less.pair.json[m] = cs_json_own(json_deep_copy(c->pair.json[m]), c->pair.p);
        there |= json_object_del(cs_json_pointer(less.pair.json[m], pointer), member) == 0;
    }
    if (!there || !load_one(&less.pair, 0) || !load_one(&less.pair, 1) || !still_fails(&less, name, p)) {
        return 0;
    }
    *c = less;
    return 1;
}

static int shrink_members(case_t *c, const char *pointer, const char *name, apr_pool_t *p)
{
    int m, shrunk = 0;

    for (m = 0; m < 2; m++) {
        json_t *members = cs_json_own(json_deep_copy(cs_json_pointer(c->pair.json[m], pointer)), p), *value;
        const char *member;

        json_object_foreach(members, member, value) {
            shrunk |= shrink_member(c, pointer, member, name, p);
        }
    }
    return shrunk;
}

static void shrink_each(case_t *c, const char *pointer, const char *name, apr_pool_t *p)
{
    json_t *members = cs_json_own(json_deep_copy(cs_json_pointer(c->pair.json[0], pointer)), p), *value;
    const char *member;

    json_object_foreach(members, member, value) {
        shrink_members(c, apr_psprintf(p, "%s/%s", pointer, member), name, p);
    }
}

static void shrink(case_t *c, const char *name, apr_pool_t *p)
{
    static const char kind[] = "/records/opportunity";
    int again = 3;

    do {
        again--;
        again = shrink_members(c, apr_pstrcat(p, kind, "/lines", NULL), name, p) + shrink_members(c, apr_pstrcat(p, kind, "/lists", NULL), name, p) +
                        shrink_members(c, apr_pstrcat(p, kind, "/tell", NULL), name, p)
                    ? again
                    : 0;
    } while (again > 0);
    shrink_each(c, apr_pstrcat(p, kind, "/lines", NULL), name, p);
    shrink_each(c, apr_pstrcat(p, kind, "/lists", NULL), name, p);
    shrink_member(c, kind, "state", name, p);
    shrink_knobs(c, name, p);
    shrink_members(c, apr_pstrcat(p, kind, "/tell", NULL), name, p);
}

static const char *with_state(const world_t *w, const json_t *json)
{
    return cs_json_print(json, w->p);
}

static void tell_violation(const case_t *c, const char *name, apr_uint64_t pair_seed)
{
    const world_t *w = &last_world;
    const char *base = "/records/opportunity";
    size_t i;
    int m, k;

    fprintf(stderr, "\nVIOLATED: %s: %s\nCRM=%s SEED=%" APR_UINT64_T_FMT " CASES=1 (mapping %" APR_UINT64_T_FMT ")\n", name, last_checks.words, c->pair.crm->type, c->seed,
            pair_seed);
    for (m = 0; m < 2; m++) {
        const json_t *kind = cs_json_pointer(c->pair.json[m], base);

        fprintf(stderr, "mapping %c%s: lines %s\n  lists %s\n  tell %s\n", 'A' + m, m == w->which ? " (in force)" : "", with_state(w, json_object_get(kind, "lines")),
                with_state(w, json_object_get(kind, "lists")), with_state(w, json_object_get(kind, "tell")));
    }
    fprintf(stderr, "round %u, fate %d, quiet %d, lags %d, silent %d, notified %d\nplan: %s\nrow: %s\nlists: %s\nreferral: %s\nmicrosoft: %s\nimages: %s\nintent: %s\ntold: %s\nmetadata: %s\n",
            w->round, (int)fate_of(w), w->quiet, w->lags, w->silent, w->look.notified, w->plan ? cs_json_pretty(w->plan->explain, w->p) : "", with_state(w, w->row), with_state(w, w->lists),
            with_state(w, w->doc), with_state(w, w->ms), with_state(w, w->deal.images), with_state(w, w->deal.intent), with_state(w, w->deal.told),
            w->look.metadata ? "known" : "not known");
    fprintf(stderr, "read: %s\n", w->look.record ? with_state(w, w->look.record->row) : "nothing");
    for (i = 0; i < SLOTS; i++) {
        if (quirk_of(w, slots[i].col)) {
            fprintf(stderr, "habit of %s: %d\n", slots[i].col, (int)quirk_of(w, slots[i].col));
        }
        if (slots[i].pc && pc_quirk_of(w, slots[i].pc)) {
            fprintf(stderr, "habit of %s: %d\n", slots[i].pc, (int)pc_quirk_of(w, slots[i].pc));
        }
    }
    for (k = 0; w->plan && w->applied && k < w->plan->steps->nelts; k++) {
        fprintf(stderr, "step %d: tried %d done %d found %d class %s dropped %s refused %s\n", k, w->applied[k].tried, w->applied[k].done, w->applied[k].found,
                cs_class_name(w->applied[k].result.cls), with_state(w, w->applied[k].dropped), with_state(w, w->applied[k].refused));
    }
    for (k = 0; k < w->journal->nelts; k++) {
        const cs_journal_t *j = APR_ARRAY_IDX(w->journal, k, cs_journal_t *);

        fprintf(stderr, "journal: %s %s %s %s: %s\n", j->direction, j->action, j->line ? j->line : "-", j->outcome, j->why);
    }
}

/* ---- all of them ---- */

static apr_uint64_t pair_of(apr_uint64_t seed)
{
    return seed / LIVES_PER_MAPPING;
}

static void add_up(void)
{
    sums.looks += last_checks.looks;
    sums.writes += last_checks.writes;
    sums.refusals += last_checks.refusals;
    sums.drops += last_checks.drops;
    sums.creates += last_checks.creates;
    sums.held += last_checks.held;
    sums.lists += last_checks.lists;
    sums.patches += last_checks.patches;
    sums.differences += last_checks.differences;
    sums.pc_writes += last_checks.pc_writes;
    sums.pc_refusals += last_checks.pc_refusals;
    sums.overwrites += last_checks.overwrites;
}

static int report(case_t *c, apr_pool_t *pp)
{
    const char *name = last_checks.name;
    apr_pool_t *p;

    apr_pool_create(&p, pp);
    shrink(c, name, p);
    name = run_case(c, p);
    tell_violation(c, name ? name : "nothing, when it was shrunk", pair_of(c->seed));
    apr_pool_destroy(p);
    return 1;
}

static void live_all(void **state, const knobs_t *knobs)
{
    const char *cases = getenv("CASES"), *from = getenv("SEED"), *most = getenv("FAILURES");
    unsigned long count = cases ? strtoul(cases, NULL, 10) : 2000, n, failures = 0, limit = most ? strtoul(most, NULL, 10) : 1;
    apr_uint64_t seed = from ? strtoull(from, NULL, 10) : (apr_uint64_t)apr_time_now() % 1000000000000ull, pair_seed = 0;
    apr_pool_t *p, *pp;
    case_t c;

    printf("test_properties: CASES=%lu SEED=%" APR_UINT64_T_FMT "\n", count, seed);
    fflush(stdout);
    apr_pool_create(&pp, *state);
    apr_pool_create(&p, *state);
    for (n = 0; n < count && failures < limit; n++) {
        if (n == 0 || pair_of(seed + n) != pair_seed) {
            apr_pool_clear(pp);
            memset(&c, 0, sizeof(c));
            pair_seed = pair_of(seed + n);
            make_pair(&c.pair, pair_seed, pp);
        }
        c.seed = seed + n;
        c.knobs = *knobs;
        if (run_case(&c, p)) {
            case_t smaller = c;

            failures += (unsigned long)report(&smaller, pp);
        }
        add_up();
        apr_pool_clear(p);
    }
    printf("%lu cases under %d mappings (%d drawn again): %d looks, %d writes, %d of them to lists, %d records made, %d values refused, %d steps with values held, "
           "%d looks held, %d patches planned, %d sent, %d values refused there, %d edits there overwritten by rule, %d differences explained\n",
           n, loaded_mappings, refused_mappings, sums.looks, sums.writes, sums.lists, sums.creates, sums.refusals, sums.drops, sums.held, sums.patches, sums.pc_writes, sums.pc_refusals, sums.overwrites, sums.differences);
    assert_int_equal(failures, 0);
}

#endif
