/* Looking at all deals again: by lists, in portions, and for a dry run without doing anything. */
#include "unit_engine.h"

#include "mod_cosell/engine/ahead.h"

#define PAGE 20

/* ---- the list ---- */

static apr_time_t list_at, changed_at[DEALS_MAX];
static int list_hides_others, unlisted[DEALS_MAX];
static void (*on_page)(void);

static apr_time_t updated_of(int i)
{
    return changed_at[i] ? changed_at[i] : list_at - i;
}

static int by_change(const void *a, const void *b)
{
    apr_time_t one = updated_of(*(const int *)a), other = updated_of(*(const int *)b);

    return one < other ? 1 : one > other ? -1 : 0;
}

/* Newest change first; the place in the list is an index. */
static void list_pages(cs_pc_page_t *page, apr_pool_t *p)
{
    int order[DEALS_MAX], n = 0, i, from = page->skip ? atoi(page->skip) : 0;

    for (i = 0; i < W->referrals; i++) {
        if (!W->referral[i].hidden && !unlisted[i] && !(list_hides_others && strcmp(W->referral[i].org, OWN))) {
            order[n++] = i;
        }
    }
    qsort(order, (size_t)n, sizeof(order[0]), by_change);
    for (i = from; i < n && i < from + PAGE; i++) {
        cs_card_t *card = card_of(&W->referral[order[i]], p);
        card->updated = updated_of(order[i]);
        APR_ARRAY_PUSH(page->cards, cs_card_t *) = card;
    }
    page->next = i < n ? apr_psprintf(p, "%d", i) : NULL;
    if (on_page) {
        void (*what)(void) = on_page;
        on_page = NULL;
        what();
    }
}

static void listed_world(apr_pool_t *p, int deals)
{
    new_world(p);
    memset(changed_at, 0, sizeof(changed_at));
    memset(unlisted, 0, sizeof(unlisted));
    list_hides_others = 0;
    on_page = NULL;
    W->list_changed = list_pages;
    live_with(deals);
    list_at = cs_time_now();
    W->gets = W->lists = W->changed_lists = 0;
}

static apr_int64_t number(const json_t *json, const char *name)
{
    return cs_json_int(json, name, -1);
}

static const json_t *done(const char *id)
{
    const cs_job_t *job = job_of(id);

    if (job->state != CS_JOB_DONE) {
        fail_msg("state %d: %s; %s", job->state, cs_json_print(job->result, W->p), cs_json_print(job->progress, W->p));
    }
    return job->result;
}

static const json_t *run(const char *arguments)
{
    const char *id = ask_for("resync", arguments);

    work();
    return done(id);
}

/* Somebody changed it, and no notice came. */
static void rename_silently(int i)
{
    set_member(&W->referral[i], "/name", apr_psprintf(W->p, "'Renamed %d'", i));
}

static int renamed_rows(void)
{
    int i, n = 0;

    for (i = 0; i < W->rows->nelts; i++) {
        const row_t *row = &APR_ARRAY_IDX(W->rows, i, row_t);
        const char *name = row->row && !strcmp(row->table, "opportunity") ? cs_json_str(row->row, "name") : NULL;
        n += name && !strncmp(name, "Renamed", 7);
    }
    return n;
}

static apr_array_header_t *rows_of(const char *id)
{
    apr_array_header_t *list;

    assert_ok(cs_store_job_rows(W->store, SITE, id, 0, 1000, &list, W->p, NULL));
    return list;
}

static int all_deals(void)
{
    return (int)counts_of(W->store, SITE, W->p).deals;
}

/* ---- tests ---- */

static void test_nothing_to_do_costs_pages_alone(void **state)
{
    apr_pool_t *p = *state;
    const json_t *result;
    int writes;

    listed_world(p, 130);
    writes = W->writes;
    result = run("{'all':true}");
    assert_int_equal(number(result, "looked"), 130);
    assert_int_equal(number(result, "nothing"), 130);
    assert_int_equal(number(result, "changed"), 0);
    assert_int_equal(W->gets, 0);
    assert_true(W->lists <= 3); /* what proves that the list shows all cards */
    assert_int_equal(W->changed_lists, 7 + 1);
    assert_int_equal(W->writes, writes);
    assert_null(W->lane->ahead);
    assert_int_equal(journal_lines("resync"), 1);
}

static void test_what_no_notice_told_is_found(void **state)
{
    apr_pool_t *p = *state;
    const json_t *result;
    const char *id;
    int i;

    listed_world(p, 130);
    for (i = 0; i < 6; i++) {
        rename_silently(i * 20);
    }
    id = ask_for("resync", "{'all':true}");
    work();
    result = done(id);
    assert_int_equal(number(result, "changed"), 6);
    assert_int_equal(number(result, "nothing"), 124);
    assert_int_equal(renamed_rows(), 6);
    assert_int_equal(W->gets, 0);
    assert_int_equal(number(job_of(id)->progress, "done"), 130);
    assert_int_equal(number(job_of(id)->progress, "of"), 130);
    assert_has(cs_json_str(result, "text"), "130 deals looked at: changed 6");
}

/* Deals that an earlier day settled with a clock that was ahead are looked at all the same. */
static void test_clock_that_was_ahead_hides_nothing(void **state)
{
    apr_pool_t *p = *state;
    const json_t *result;
    const char *id;
    int i;

    new_world(p);
    pass_seconds(7200);
    listed_world(p, 30);
    for (i = 0; i < 6; i++) {
        rename_silently(i);
    }
    pass_seconds(-7200);
    begin_lane();
    id = ask_for("resync", "{'all':true}");
    work();
    result = done(id);
    assert_int_equal(number(result, "changed"), 6);
    assert_int_equal(renamed_rows(), 6);
}

static void test_dry_run_writes_nothing(void **state)
{
    apr_pool_t *p = *state;
    const json_t *result, *row, *change;
    apr_array_header_t *rows;
    apr_time_t updated;
    const char *id;
    int i, writes, journal, reads;

    listed_world(p, 70);
    for (i = 0; i < 30; i++) {
        rename_silently(i); /* no brake holds what does nothing */
    }
    new_referral(); /* nobody knows it */
    writes = W->writes;
    reads = W->read_calls;
    journal = journal_lines("update") + journal_lines("create");
    updated = deal_of(&W->referral[3])->updated;
    id = ask_for("resync", "{'all':true,'dry_run':true}");
    work();
    result = done(id);
    assert_int_equal(number(result, "looked"), 71);
    assert_int_equal(number(result, "would_change"), 31);
    assert_int_equal(number(result, "nothing"), 40);
    assert_int_equal(number(json_object_get(result, "lines"), "name"), 31);
    assert_int_equal(number(json_object_get(result, "lines"), "$record"), 1);
    assert_int_equal(W->writes, writes);
    assert_true(W->read_calls - reads <= 4); /* in batches */
    assert_int_equal(W->patches + W->posts, 0);
    assert_int_equal(W->gets, 0);
    assert_int_equal(journal_lines("update") + journal_lines("create"), journal);
    assert_int_equal(journal_lines("resync"), 0);
    assert_int_equal(all_deals(), 70);
    assert_null(deal_of(&W->referral[70]));
    assert_true(deal_of(&W->referral[3])->updated == updated);
    assert_null(deal_of(&W->referral[3])->intent);
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 0);
    rows = rows_of(id);
    assert_int_equal(rows->nelts, 31);
    row = APR_ARRAY_IDX(rows, 3, cs_job_row_t *)->row;
    assert_int_equal(APR_ARRAY_IDX(rows, 3, cs_job_row_t *)->deal, deal_of(&W->referral[3])->id);
    assert_string_equal(cs_json_str(row, "referral"), W->referral[3].id);
    change = json_array_get(json_object_get(row, "changes"), 0);
    assert_string_equal(cs_json_str(change, "line"), "name");
    assert_string_equal(cs_json_str(change, "direction"), "to_crm");
    assert_string_equal(cs_json_str(change, "from"), "Deal 3");
    assert_string_equal(cs_json_str(change, "to"), "Renamed 3");
    row = APR_ARRAY_IDX(rows, 30, cs_job_row_t *)->row;
    assert_int_equal(APR_ARRAY_IDX(rows, 30, cs_job_row_t *)->deal, 0);
    assert_string_equal(cs_json_str(row, "referral"), W->referral[70].id);
    assert_string_equal(cs_json_str(json_array_get(json_object_get(row, "changes"), 0), "line"), "$record");
}

static void test_too_much_stops_before_anything_is_written(void **state)
{
    apr_pool_t *p = *state;
    const char *id, *waits;
    int i, writes;

    listed_world(p, 130);
    for (i = 0; i < 60; i++) {
        rename_silently(i);
    }
    writes = W->writes;
    id = ask_for("resync", "{'all':true}");
    work();
    assert_int_equal(W->writes, writes);
    assert_int_equal(job_of(id)->state, CS_JOB_RUNNING);
    waits = cs_json_str(job_of(id)->progress, "waits");
    assert_non_null(waits);
    assert_has(waits, "50 of 130 deals");
    assert_has(waits, "name (50)");
    assert_non_null(suspended(CS_BRAKE CS_BRAKE_RESYNC));
    assert_int_equal(journal_lines("pause"), 1);
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 1); /* the job */
    /* A deal's own notice goes on. */
    notify(&W->referral[7]);
    pass_seconds(60);
    work();
    assert_int_equal(renamed_rows(), 1);
    begin_lane(); /* a restart forgets nothing */
    work();
    pass_seconds(60);
    work();
    assert_int_equal(renamed_rows(), 1);
    assert_int_equal(journal_lines("pause"), 1);
    ask_for("release", "{'brake':'resync'}");
    work();
    pass_seconds(60);
    work();
    assert_int_equal(renamed_rows(), 60);
    assert_int_equal(number(done(id), "changed"), 59);
    assert_null(suspended(CS_BRAKE CS_BRAKE_RESYNC));
    assert_null(fact(CS_BRAKE CS_BRAKE_RESYNC));
}

static void test_few_in_each_portion_are_too_many_together(void **state)
{
    apr_pool_t *p = *state;
    const char *id;
    int i;

    listed_world(p, 200);
    for (i = 0; i < 200; i += 5) {
        rename_silently(i); /* ten in each portion of fifty */
    }
    id = ask_for("resync", "{'all':true}");
    work();
    assert_int_equal(renamed_rows(), 20);
    assert_int_equal(job_of(id)->state, CS_JOB_RUNNING);
    assert_int_equal(number(job_of(id)->progress, "done"), 100);
    /* Whoever does not want it takes it back. */
    ask_for("cancel", apr_psprintf(p, "{'job':'%s'}", id));
    pass_seconds(60);
    work();
    assert_int_equal(job_of(id)->state, CS_JOB_CANCELLED);
    assert_null(suspended(CS_BRAKE CS_BRAKE_RESYNC));
    pass_seconds(60);
    work();
    assert_int_equal(renamed_rows(), 20);
}

static void test_unknown_referrals_are_met(void **state)
{
    apr_pool_t *p = *state;
    const json_t *result;
    int i;

    listed_world(p, 40);
    for (i = 0; i < 5; i++) {
        new_referral();
    }
    result = run("{'all':true}");
    assert_int_equal(number(result, "looked"), 45);
    assert_int_equal(number(result, "changed"), 5);
    assert_int_equal(count_rows("opportunity"), 45);
    for (i = 40; i < 45; i++) {
        assert_int_equal(deal_of(&W->referral[i])->state, CS_DEAL_LINKED);
    }
    assert_int_equal(W->gets, 0);
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 0);
}

static void test_many_unknown_referrals_want_a_word(void **state)
{
    apr_pool_t *p = *state;
    const char *id;
    int i;

    listed_world(p, 40);
    for (i = 0; i < 45; i++) {
        new_referral();
    }
    id = ask_for("resync", "{'all':true}");
    work();
    assert_int_equal(count_rows("opportunity"), 50); /* those of the first portion, which the brake lets pass */
    assert_int_equal(all_deals(), 50); /* nothing is left for others to go on with */
    assert_has(cs_json_str(job_of(id)->progress, "waits"), "that no deal knows");
    ask_for("release", "{'brake':'resync'}");
    pass_seconds(60);
    work();
    assert_int_equal(count_rows("opportunity"), 85);
    assert_int_equal(number(done(id), "changed"), 45);
}

static void test_restart_in_the_middle(void **state)
{
    apr_pool_t *p = *state;
    const char *id;
    int i, batches = 0, reads;

    listed_world(p, 240);
    for (i = 0; i < 10; i++) {
        rename_silently(i * 24);
    }
    reads = W->reads;
    id = ask_for("resync", "{'all':true}");
    while (number(job_of(id)->progress, "done") < 100) {
        assert_true(++batches < 20);
        one_batch();
    }
    assert_int_equal(number(job_of(id)->progress, "done"), 100);
    begin_lane(); /* the runner was killed */
    work();
    assert_int_equal(number(done(id), "looked"), 240);
    assert_int_equal(number(done(id), "changed"), 10);
    assert_int_equal(number(done(id), "nothing"), 230);
    assert_int_equal(renamed_rows(), 10);
    assert_int_equal(W->reads - reads, 240); /* each once */
    assert_int_equal(W->gets, 0);
    assert_int_equal(W->changed_lists, 2 * (12 + 1));
}

static void test_cancelled_it_ends(void **state)
{
    apr_pool_t *p = *state;
    const char *id;
    int batches = 0, reads;

    listed_world(p, 240);
    id = ask_for("resync", "{'all':true}");
    while (number(job_of(id)->progress, "done") < 50) {
        assert_true(++batches < 20);
        one_batch();
    }
    ask_for("cancel", apr_psprintf(p, "{'job':'%s'}", id));
    one_batch();
    reads = W->reads;
    work();
    assert_int_equal(job_of(id)->state, CS_JOB_CANCELLED);
    assert_int_equal(W->reads, reads);
}

static void test_since_ends_the_list(void **state)
{
    apr_pool_t *p = *state;
    const json_t *result;
    int i;

    listed_world(p, 130);
    for (i = 0; i < 130; i++) {
        rename_silently(i);
        changed_at[i] = list_at - i * apr_time_from_sec(3600);
    }
    result = run("{'since':'10h'}");
    assert_true(number(result, "looked") >= 10 && number(result, "looked") <= 11);
    assert_int_equal(number(result, "changed"), number(result, "looked"));
    assert_int_equal(renamed_rows(), number(result, "looked"));
    assert_int_equal(W->gets, 0);
    assert_int_equal(W->changed_lists, 2);
    /* What else is in the engagements may be older: their lists are asked for. */
    assert_int_equal(W->lists, number(result, "looked"));
}

static void test_what_the_list_does_not_show_is_asked_for(void **state)
{
    apr_pool_t *p = *state;
    const json_t *result;

    listed_world(p, 60);
    unlisted[3] = unlisted[30] = unlisted[59] = 1;
    rename_silently(30);
    result = run("{'all':true}");
    assert_int_equal(number(result, "looked"), 60);
    assert_int_equal(number(result, "changed"), 1);
    assert_int_equal(renamed_rows(), 1);
    assert_int_equal(W->gets, 3);
}

static int second_names(const char *line)
{
    int i, n = 0;

    for (i = 0; i < W->rows->nelts; i++) {
        n += APR_ARRAY_IDX(W->rows, i, row_t).row && json_is_string(json_object_get(APR_ARRAY_IDX(W->rows, i, row_t).row, line));
    }
    return n;
}

static void engagements_of_two(apr_pool_t *p, int deals)
{
    int i;

    new_world(p);
    memset(changed_at, 0, sizeof(changed_at));
    memset(unlisted, 0, sizeof(unlisted));
    list_hides_others = 0;
    on_page = NULL;
    W->site.crms[0].mapping = make_mapping(p, "1", "", ",'theirs':{'pc':'microsoft:/name','crm':'cosell_theirs','type':'text','max':300,'direction':'to_crm'}");
    W->list_changed = list_pages;
    begin_lane();
    for (i = 0; i < deals; i++) {
        const referral_t *own = new_referral();
        new_referral_of("msft", own->engagement);
        notify(own);
    }
    work();
    assert_int_equal(second_names("cosell_theirs"), deals);
    for (i = 0; i < 2 * deals; i++) {
        /* Theirs changed long ago: another page shows them. */
        changed_at[i] = cs_time_now() - (i % 2) * apr_time_from_sec(864000) - i;
        if (i % 2 && i < 10) {
            rename_silently(i);
        }
    }
    list_at = cs_time_now();
    W->gets = W->lists = W->changed_lists = 0;
}

static void test_counterparts_come_from_the_list(void **state)
{
    apr_pool_t *p = *state;
    const json_t *result;

    engagements_of_two(p, 60);
    result = run("{'all':true}");
    assert_int_equal(number(result, "looked"), 60);
    assert_int_equal(number(result, "changed"), 5);
    assert_int_equal(W->gets, 0);
    assert_int_equal(W->lists, 0); /* every engagement shows both */
    assert_int_equal(second_names("cosell_theirs"), 60);
}

static void test_list_without_counterparts_is_not_relied_on(void **state)
{
    apr_pool_t *p = *state;
    const json_t *result;

    engagements_of_two(p, 60);
    list_hides_others = 1;
    result = run("{'all':true}");
    assert_int_equal(number(result, "looked"), 60);
    assert_int_equal(number(result, "changed"), 5);
    assert_int_equal(W->gets, 0);
    assert_int_equal(W->lists, 3 + 60);
    assert_int_equal(second_names("cosell_theirs"), 60);
}

/* It moves to the top while the list is read below it. */
static void moves_up(void)
{
    changed_at[119] = list_at + apr_time_from_sec(1);
    rename_silently(119);
}

static void test_what_moves_to_the_top_meanwhile_is_seen(void **state)
{
    apr_pool_t *p = *state;
    const json_t *result;

    engagements_of_two(p, 60);
    on_page = moves_up;
    result = run("{'all':true}");
    assert_int_equal(number(result, "looked"), 60);
    assert_int_equal(number(result, "changed"), 6);
    assert_int_equal(W->gets, 0);
    assert_int_equal(W->lists, 0);
}

/* ---- others meanwhile ---- */

static void somebody_edits(void)
{
    rename_silently(5);
    notify(&W->referral[5]);
}

/* The notice came in after the card was read: it is not covered by the job's look. */
static void test_notice_meanwhile_is_not_lost(void **state)
{
    apr_pool_t *p = *state;

    listed_world(p, 30);
    W->meanwhile = somebody_edits;
    run("{'all':true}");
    assert_null(W->meanwhile);
    assert_int_equal(renamed_rows(), 1);
    assert_int_equal(W->gets, 1);
    assert_null(work_of(&W->referral[5]));
}

static void looked_at_after_the_page(void)
{
    set_member(&W->referral[5], "/name", "'Renamed twice'");
    notify(&W->referral[5]);
}

static void test_what_was_looked_at_since_is_left_alone(void **state)
{
    apr_pool_t *p = *state;
    const json_t *result;
    const row_t *row;

    listed_world(p, 30);
    rename_silently(5);
    on_page = looked_at_after_the_page;
    result = run("{'all':true}");
    row = row_by_id("opportunity", deal_of(&W->referral[5])->record_id);
    assert_string_equal(cs_json_str(row->row, "name"), "Renamed twice");
    assert_int_equal(number(result, "looked"), 30);
    assert_int_equal(number(result, "nothing"), 30);
    assert_int_equal(W->gets, 1);
}

/* ---- what does not answer ---- */

static void test_waits_for_partner_center(void **state)
{
    apr_pool_t *p = *state;
    const char *id;
    int i;

    listed_world(p, 30);
    W->pc_fails = CS_CLASS_RETRY;
    id = ask_for("resync", "{'all':true}");
    work();
    assert_int_equal(job_of(id)->state, CS_JOB_RUNNING);
    assert_has(cs_json_str(job_of(id)->progress, "waits"), "Partner Center is down");
    W->pc_fails = CS_CLASS_OK;
    for (i = 0; i < 30; i++) { /* for hours */
        W->pc_fails = CS_CLASS_RETRY;
        pass_seconds(400);
        work();
        assert_int_equal(job_of(id)->state, CS_JOB_RUNNING);
    }
    W->pc_fails = CS_CLASS_OK;
    for (i = 0; i < 3; i++) {
        pass_seconds(400);
        work();
    }
    assert_int_equal(number(done(id), "looked"), 30);
    W->pc_fails = CS_CLASS_SUSPEND;
    id = ask_for("resync", "{'all':true}");
    work();
    assert_int_equal(job_of(id)->state, CS_JOB_FAILED);
    assert_has(cs_json_str(job_of(id)->result, "error"), "partner-center");
}

static void test_failed_looks_are_repeated_by_themselves(void **state)
{
    apr_pool_t *p = *state;
    const json_t *result;
    const char *id;

    listed_world(p, 30);
    rename_silently(4);
    row_by_id("opportunity", deal_of(&W->referral[4])->record_id)->ends = CS_CLASS_RETRY;
    id = ask_for("resync", "{'all':true}");
    work();
    result = done(id);
    assert_int_equal(number(result, "failed"), 1);
    assert_int_equal(number(result, "nothing"), 29);
    assert_int_equal(rows_of(id)->nelts, 1);
    assert_has(cs_json_str(APR_ARRAY_IDX(rows_of(id), 0, cs_job_row_t *)->row, "error"), "does not take it");
    assert_non_null(work_of(&W->referral[4]));
    row_by_id("opportunity", deal_of(&W->referral[4])->record_id)->ends = CS_CLASS_OK;
    pass_seconds(400);
    work();
    assert_int_equal(renamed_rows(), 1);
    assert_null(work_of(&W->referral[4]));
}

static void test_unknown_referral_that_fails_has_a_look_of_its_own(void **state)
{
    apr_pool_t *p = *state;
    const json_t *result;

    listed_world(p, 5);
    new_referral();
    W->unheard = 1;
    W->nothing_arrives = 1;
    result = run("{'all':true}");
    assert_int_equal(number(result, "nothing"), 5);
    assert_int_equal(number(result, "failed"), 1);
    assert_non_null(work_of(&W->referral[5]));
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 1);
    W->nothing_arrives = 0;
    pass_seconds(400);
    work();
    assert_int_equal(count_rows("opportunity"), 6);
    assert_null(work_of(&W->referral[5]));
}

static void test_one_after_the_other(void **state)
{
    apr_pool_t *p = *state;
    const char *one, *other;
    int i;

    listed_world(p, 130);
    for (i = 0; i < 60; i++) {
        rename_silently(i);
    }
    one = ask_for("resync", "{'all':true}");
    work();
    assert_has(cs_json_str(job_of(one)->progress, "waits"), "50 of 130 deals");
    other = ask_for("resync", "{'all':true}");
    pass_seconds(10);
    work();
    assert_int_equal(renamed_rows(), 0); /* asking again is no way around the brake */
    assert_non_null(suspended(CS_BRAKE CS_BRAKE_RESYNC));
    assert_has(cs_json_str(job_of(other)->progress, "waits"), "goes first");
    ask_for("release", "{'brake':'resync'}");
    for (i = 0; i < 4; i++) {
        pass_seconds(10);
        work();
    }
    assert_int_equal(number(done(one), "changed"), 60);
    assert_int_equal(number(done(other), "nothing"), 130);
    (void)p;
}

/* ---- one deal; arguments ---- */

static void test_one_deal(void **state)
{
    apr_pool_t *p = *state;
    const json_t *result;
    const char *id;

    listed_world(p, 5);
    rename_silently(2);
    rename_silently(3);
    result = run(apr_psprintf(p, "{'id':'%s','dry_run':true}", W->referral[2].id));
    assert_int_equal(number(result, "would_change"), 1);
    assert_int_equal(renamed_rows(), 0);
    result = run(apr_psprintf(p, "{'id':'%s'}", W->referral[2].engagement));
    assert_int_equal(number(result, "changed"), 1);
    assert_int_equal(renamed_rows(), 1);
    result = run(apr_psprintf(p, "{'id':'%d'}", (int)deal_of(&W->referral[3])->id));
    assert_int_equal(renamed_rows(), 2);
    assert_int_equal(W->changed_lists, 0);
    id = ask_for("resync", "{'id':'nobody'}");
    work();
    assert_int_equal(job_of(id)->state, CS_JOB_FAILED);
}

static void test_arguments(void **state)
{
    static const struct {
        const char *arguments, *wrong;
    } table[] = {{"{'all':true}", NULL},
                 {"{'since':'3d'}", NULL},
                 {"{'since':'12h','dry_run':true}", NULL},
                 {"{'since':'90m'}", NULL},
                 {"{'since':'2026-11-01'}", NULL},
                 {"{'since':'2026-11-01T08:00:00Z'}", NULL},
                 {"{'id':'7'}", NULL},
                 {"{}", "one of"},
                 {"{'all':false}", "one of"},
                 {"{'all':true,'id':'7'}", "one of"},
                 {"{'all':true,'since':'3d'}", "one of"},
                 {"{'since':'yesterday'}", "yesterday"},
                 {"{'since':'0d'}", "0d"},
                 {"{'since':'3'}", "allowed are"},
                 {"{'since':'99999999d'}", "allowed are"},
                 {"{'all':'yes'}", "true or false"},
                 {"{'everything':true}", "everything"}};
    apr_pool_t *p = *state;
    const cs_job_kind_t *kind = cs_job_kind_of("resync", NULL, p);
    size_t i;

    assert_non_null(kind);
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const char *wrong = cs_job_wrong(kind, js(p, table[i].arguments), p);
        if (!table[i].wrong != !wrong || (wrong && !strstr(wrong, table[i].wrong))) {
            fail_msg("%s: %s", table[i].arguments, wrong ? wrong : "taken");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_nothing_to_do_costs_pages_alone),
        UNIT_TEST(test_what_no_notice_told_is_found),
        UNIT_TEST(test_clock_that_was_ahead_hides_nothing),
        UNIT_TEST(test_dry_run_writes_nothing),
        UNIT_TEST(test_too_much_stops_before_anything_is_written),
        UNIT_TEST(test_few_in_each_portion_are_too_many_together),
        UNIT_TEST(test_unknown_referrals_are_met),
        UNIT_TEST(test_many_unknown_referrals_want_a_word),
        UNIT_TEST(test_restart_in_the_middle),
        UNIT_TEST(test_cancelled_it_ends),
        UNIT_TEST(test_since_ends_the_list),
        UNIT_TEST(test_what_the_list_does_not_show_is_asked_for),
        UNIT_TEST(test_counterparts_come_from_the_list),
        UNIT_TEST(test_list_without_counterparts_is_not_relied_on),
        UNIT_TEST(test_what_moves_to_the_top_meanwhile_is_seen),
        UNIT_TEST(test_notice_meanwhile_is_not_lost),
        UNIT_TEST(test_what_was_looked_at_since_is_left_alone),
        UNIT_TEST(test_waits_for_partner_center),
        UNIT_TEST(test_failed_looks_are_repeated_by_themselves),
        UNIT_TEST(test_unknown_referral_that_fails_has_a_look_of_its_own),
        UNIT_TEST(test_one_after_the_other),
        UNIT_TEST(test_one_deal),
        UNIT_TEST(test_arguments),
    };

    return clock_setup() ? 2 : UNIT_RUN(tests);
}
