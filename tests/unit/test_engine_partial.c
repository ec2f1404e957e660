/* A batch of which some fail: the others land, and each that failed has its own reason and its own next step. And what a batch costs. */
#include "unit_engine.h"

#define N 25
#define CLOSE_LINE ",'close':{'pc':'/details/closingDateTime','crm':'budget','type':'text','direction':'to_crm'}"
#define LOCKED 3
#define INVALID 7
#define DELETED 11
#define VANISHES 13
#define EDITED 17

static row_t *row_of(int i)
{
    W->at = CRM_NAME;
    return row_by_id("opportunity", deal_of(&W->referral[i])->record_id);
}

static void change_all(int n, const char *notes)
{
    int i;

    for (i = 0; i < n; i++) {
        set_member(&W->referral[i], "/details/notes", apr_psprintf(W->p, "'%s'", notes));
        set_member(&W->referral[i], "/details/closingDateTime", apr_psprintf(W->p, "'%s'", notes));
        notify(&W->referral[i]);
    }
}

static int has_landed(int i, const char *notes)
{
    const char *value = cs_json_str(row_of(i)->row, "description");

    return value && !strcmp(value, notes);
}

static int count_landed(int n, const char *notes)
{
    int i, landed = 0;

    for (i = 0; i < n; i++) {
        landed += row_of(i)->row && has_landed(i, notes);
    }
    return landed;
}

static void mapped_world(apr_pool_t *p, const char *type, const char *key)
{
    new_world(p);
    use_crm(0, CRM_NAME, type, strcmp(type, GIVING) ? make_mapping(p, "1", "", NOTES_LINE CLOSE_LINE) : make_giving_mapping(p, "1", key, "", NOTES_LINE CLOSE_LINE));
}

static void failures(apr_pool_t *p, const char *type)
{
    row_t *rows[N];
    int i;

    mapped_world(p, type, "cosell_row");
    live_with(N);
    for (i = 0; i < N; i++) {
        rows[i] = row_of(i);
    }
    rows[LOCKED]->ends = CS_CLASS_RETRY;
    rows[INVALID]->refuses = "description";
    rows[DELETED]->row = NULL;
    rows[VANISHES]->ends = CS_CLASS_GONE;
    rows[EDITED]->ends = CS_CLASS_CONFLICT;
    W->mute = 1;
    change_all(N, "News");
    one_batch();
    for (i = 0; i < N; i++) {
        if (i != LOCKED && i != INVALID && i != DELETED && i != VANISHES && i != EDITED) {
            assert_string_equal(cs_json_str(rows[i]->row, "description"), "News");
            assert_null(work_of(&W->referral[i]));
            assert_null(deal_of(&W->referral[i])->intent);
        }
    }
    /* Tried again by and by. */
    assert_string_equal(work_of(&W->referral[LOCKED])->problem_class, "retry");
    assert_int_equal(work_of(&W->referral[LOCKED])->attempts, 1);
    assert_has(work_of(&W->referral[LOCKED])->detail, rows[LOCKED]->id);
    /* Its one value is refused and explained; the rest of it is there. */
    assert_string_equal(cs_json_str(rows[INVALID]->row, "budget"), "News");
    assert_has(cs_json_print(json_object_get(deal_of(&W->referral[INVALID])->images, "notes"), p), "is not good");
    /* Never made again. */
    assert_int_equal(deal_of(&W->referral[DELETED])->state, CS_DEAL_GONE);
    /* Looked at again at once. */
    assert_has(work_of(&W->referral[VANISHES])->detail, rows[VANISHES]->id);
    assert_has(work_of(&W->referral[EDITED])->detail, rows[EDITED]->id);
    assert_true(work_of(&W->referral[VANISHES])->due <= cs_time_now());
    assert_true(work_of(&W->referral[EDITED])->due <= cs_time_now());
    /* What stood in the way is over: each goes its way. */
    rows[LOCKED]->ends = rows[EDITED]->ends = rows[VANISHES]->ends = CS_CLASS_OK;
    rows[VANISHES]->row = NULL;
    pass_seconds(400);
    work();
    assert_string_equal(cs_json_str(rows[LOCKED]->row, "description"), "News");
    assert_string_equal(cs_json_str(rows[EDITED]->row, "description"), "News");
    assert_int_equal(deal_of(&W->referral[VANISHES])->state, CS_DEAL_GONE);
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 0);
    assert_int_equal(counts_of(W->store, SITE, p).dead, 0);
    assert_int_equal(count_rows("opportunity"), N - 2);
}

static void test_some_of_a_batch_fail(void **state)
{
    failures(*state, "dynamics365");
}

static void test_some_fail_where_the_crm_gives_ids(void **state)
{
    failures(*state, GIVING);
}

/* Making: one record is refused as a whole, and one answer is lost. */
static void test_some_of_new_records_fail(void **state)
{
    apr_pool_t *p = *state;
    int i, linked = 0;

    mapped_world(p, GIVING, "cosell_row");
    begin_lane();
    put_row("account", given_id("account"), "{'name':'customer 0'}");
    put_row("account", given_id("account"), "{'name':'customer 1'}");
    put_row("account", given_id("account"), "{'name':'customer 2'}");
    for (i = 0; i < N; i++) {
        notify(new_referral());
    }
    W->unheard = 2;
    one_batch();
    assert_int_equal(W->creates, N);
    for (i = 0; i < N; i++) {
        linked += deal_of(&W->referral[i])->state == CS_DEAL_LINKED;
    }
    assert_int_equal(linked, N - 2);
    pass_seconds(10);
    work();
    assert_int_equal(W->creates, N);
    for (i = 0; i < N; i++) {
        assert_int_equal(deal_of(&W->referral[i])->state, CS_DEAL_LINKED);
        assert_string_equal(cs_json_str(row_of(i)->row, "cosell_referral"), W->referral[i].id);
    }
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 0);
}

/* ---- what it costs ---- */

static void costs(apr_pool_t *p, const char *type)
{
    int reads, writes, i;

    mapped_world(p, type, "cosell_row");
    begin_lane();
    for (i = 0; i < 200; i++) {
        notify(new_referral());
    }
    one_batch();
    assert_int_equal(W->read_calls, 0);
    assert_int_equal(W->write_calls, 2); /* the accounts, and the records that point to them */
    assert_int_equal(W->find_calls, 1);
    assert_int_equal(count_rows("opportunity"), 200);
    work();
    reads = W->read_calls;
    writes = W->write_calls;
    change_all(200, "News");
    work();
    /* What was written is in the answer: nothing is read again. */
    assert_int_equal(W->read_calls, reads + 1);
    assert_int_equal(W->write_calls, writes + 1);
    assert_int_equal(count_landed(200, "News"), 200);
    for (i = 0; i < 200; i++) {
        assert_string_equal(deal_of(&W->referral[i])->crm_version, apr_psprintf(p, "W/%d", row_of(i)->version));
    }
}

static void test_200_deals_cost_one_call_each_way(void **state)
{
    costs(*state, "dynamics365");
}

static void test_200_deals_cost_the_same_where_the_crm_gives_ids(void **state)
{
    costs(*state, GIVING);
}

/* Whose ids are not known yet are found by their keys, all in one call. */
static void test_200_lost_answers_cost_one_call(void **state)
{
    apr_pool_t *p = *state;
    int i, linked = 0, reads;

    mapped_world(p, GIVING, "cosell_row");
    begin_lane();
    for (i = 0; i < 20; i++) {
        put_row("account", given_id("account"), apr_psprintf(p, "{'name':'customer %d'}", i));
    }
    for (i = 0; i < 200; i++) {
        notify(new_referral());
    }
    W->unheard = 200;
    one_batch();
    reads = W->read_calls;
    assert_int_equal(W->creates, 200);
    pass_seconds(60); /* the breaker has asked */
    work();
    pass_seconds(600);
    work();
    for (i = 0; i < 200; i++) {
        linked += deal_of(&W->referral[i])->state == CS_DEAL_LINKED;
    }
    assert_int_equal(linked, 200);
    assert_int_equal(W->creates, 200);
    assert_true(W->read_calls - reads <= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_some_of_a_batch_fail),
        UNIT_TEST(test_some_fail_where_the_crm_gives_ids),
        UNIT_TEST(test_some_of_new_records_fail),
        UNIT_TEST(test_200_deals_cost_one_call_each_way),
        UNIT_TEST(test_200_deals_cost_the_same_where_the_crm_gives_ids),
        UNIT_TEST(test_200_lost_answers_cost_one_call),
    };

    return clock_setup() ? 2 : UNIT_RUN(tests);
}
