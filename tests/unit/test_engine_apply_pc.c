/* Stage 6 towards Partner Center: what goes out together, what a lost guard ends, how a bad line is found and left out, and how many calls that costs. */
#include "unit_engine.h"

#include "mod_cosell/engine/apply.h"

#define SENDS_MAX 24

static cs_batch_t *batch;

static cs_batch_t *begin_batch(void)
{
    batch = apr_pcalloc(W->p, sizeof(*batch));
    batch->lane = W->lane;
    batch->p = W->p;
    batch->now = cs_time_now();
    batch->items = apr_array_make(W->p, 4, sizeof(cs_item_t *));
    batch->changes = apr_array_make(W->p, 4, sizeof(cs_change_t));
    W->patches = W->gets = 0;
    return batch;
}

static void begin(apr_pool_t *p)
{
    new_world(p);
    begin_lane();
    begin_batch();
}

static cs_item_t *add_item(const referral_t *r)
{
    cs_item_t *item = apr_pcalloc(W->p, sizeof(*item));

    item->work = apr_pcalloc(W->p, sizeof(*item->work));
    item->work->name = "deal:1";
    item->deal = apr_pcalloc(W->p, sizeof(*item->deal));
    item->deal->id = 1;
    item->deal->referral_id = r->id;
    item->own = card_of(r, W->p);
    item->journal = apr_array_make(W->p, 2, sizeof(cs_journal_t *));
    item->plan = apr_pcalloc(W->p, sizeof(*item->plan));
    item->plan->what = CS_PLAN_STEPS;
    item->plan->steps = apr_array_make(W->p, 8, sizeof(cs_step_t *));
    item->applied = apr_pcalloc(W->p, sizeof(cs_applied_t) * 64);
    APR_ARRAY_PUSH(batch->items, cs_item_t *) = item;
    return item;
}

/* "line path value": one operation and, when the line is new, a part of it. */
static void add_op(cs_step_t *step, const char *line, const char *path, json_t *value)
{
    json_t *paths = json_object_get(step->parts, line);

    json_array_append_new(step->columns, json_pack("{s:s,s:s,s:O}", "op", "replace", "path", path, "value", value));
    if (!paths) {
        paths = json_array();
        json_object_set_new(step->parts, line, paths);
        APR_ARRAY_PUSH(step->lines, const char *) = apr_pstrdup(W->p, line);
    }
    json_array_append_new(paths, json_string(path));
}

static cs_step_t *add_patch(cs_item_t *item, const referral_t *r, int after)
{
    cs_step_t *step = apr_pcalloc(W->p, sizeof(*step));

    step->kind = CS_STEP_PATCH_PC;
    step->send = 1;
    step->id = r->id;
    step->guard = item->own->etag;
    step->columns = cs_json_own(json_array(), W->p);
    step->parts = cs_json_own(json_object(), W->p);
    step->lines = apr_array_make(W->p, 4, sizeof(const char *));
    step->after = after;
    APR_ARRAY_PUSH(item->plan->steps, cs_step_t *) = step;
    return step;
}

static void add_text(cs_step_t *step, const char *line, const char *path, const char *value)
{
    add_op(step, line, path, cs_json_own(json_string(value), W->p));
}

/* Lines l0 .. l<n-1>, each about /details/f<i>. */
static void add_lines(cs_step_t *step, int n)
{
    int i;

    for (i = 0; i < n; i++) {
        add_text(step, apr_psprintf(W->p, "l%d", i), apr_psprintf(W->p, "/details/f%d", i), "new");
    }
}

static void apply(void)
{
    cs_result_t res = {0};

    if (cs_batch_apply_pc(batch, &res)) {
        fail_msg("%s", res.detail);
    }
}

static const char *at_pc(const referral_t *r, const char *pointer)
{
    return json_string_value(cs_json_pointer(r->doc, pointer));
}

static const char *refused_line(const cs_item_t *item, int step, const char *line)
{
    return cs_json_str(item->applied[step].refused, line);
}

static int lines_there(const referral_t *r, int n)
{
    int i, there = 0;

    for (i = 0; i < n; i++) {
        const char *value = at_pc(r, apr_psprintf(W->p, "/details/f%d", i));
        there += value && !strcmp(value, "new");
    }
    return there;
}

/* ---- together ---- */

static void test_changes_of_all_items_go_out_under_guard(void **state)
{
    cs_item_t *item[3];
    referral_t *r[3];
    int i;

    begin(*state);
    for (i = 0; i < 3; i++) {
        r[i] = new_referral();
        item[i] = add_item(r[i]);
        add_text(add_patch(item[i], r[i], -1), "notes", "/details/notes", "from the CRM");
    }
    r[1]->version++; /* somebody edits it meanwhile */
    apply();
    assert_int_equal(W->patches, 3);
    assert_true(item[0]->applied[0].done && item[2]->applied[0].done);
    assert_string_equal(at_pc(r[0], "/details/notes"), "from the CRM");
    assert_string_equal(item[0]->applied[0].card->etag, "\"2\"");
    assert_false(item[0]->over);
    assert_false(item[1]->applied[0].done);
    assert_true(item[1]->over); /* nothing of it reaches the CRM */
    assert_int_equal(item[1]->result.cls, CS_CLASS_CONFLICT);
    assert_string_equal(item[1]->upstream, CS_UPSTREAM_PC);
}

static void test_second_step_is_guarded_by_what_the_first_left(void **state)
{
    cs_item_t *item;
    referral_t *r;

    begin(*state);
    r = new_referral();
    item = add_item(r);
    add_text(add_patch(item, r, -1), "name", "/name", "Renamed");
    add_text(add_patch(item, r, 0), "notes", "/details/notes", "after it");
    apply();
    assert_true(item->applied[0].done && item->applied[1].done);
    assert_int_equal(r->version, 3);
    assert_string_equal(at_pc(r, "/details/notes"), "after it");
}

static void test_answer_without_a_body_is_read_back(void **state)
{
    cs_item_t *item;
    referral_t *r;

    begin(*state);
    r = new_referral();
    item = add_item(r);
    W->pc_shows_nothing = 1;
    add_text(add_patch(item, r, -1), "name", "/name", "Renamed");
    add_text(add_patch(item, r, 0), "notes", "/details/notes", "after it");
    apply();
    assert_int_equal(W->gets, 2);
    assert_true(item->applied[1].done);
    assert_string_equal(item->applied[1].card->etag, "\"3\"");
}

static void test_what_follows_a_step_that_failed_is_not_sent(void **state)
{
    cs_item_t *item;
    referral_t *r;

    begin(*state);
    r = new_referral();
    item = add_item(r);
    W->pc_fails = CS_CLASS_REFUSED;
    add_text(add_patch(item, r, -1), "name", "/name", "Renamed");
    add_text(add_patch(item, r, 0), "notes", "/details/notes", "after it");
    apply();
    assert_int_equal(W->patches, 1);
    assert_false(item->applied[1].tried);
}

/* ---- refusals ---- */

static void test_named_line_is_left_out(void **state)
{
    cs_item_t *item;
    cs_step_t *step;
    referral_t *r;

    begin(*state);
    r = new_referral();
    item = add_item(r);
    step = add_patch(item, r, -1);
    add_lines(step, 6);
    W->pc_refuses = "/details/f3";
    apply();
    assert_true(item->applied[0].done);
    assert_int_equal(lines_there(r, 6), 5);
    assert_int_equal(json_object_size(item->applied[0].refused), 1);
    assert_has(refused_line(item, 0, "l3"), "not good");
    assert_int_equal(W->patches, 2);
    assert_string_equal(item->applied[0].card->etag, "\"2\"");
    assert_false(item->over); /* the CRM's part goes on */
}

/* Blamed is a place inside of what the line brings. */
static void test_place_below_a_path_is_its_line(void **state)
{
    cs_pc_write_t write = {0}, next;
    cs_pc_refusal_t *refusal;
    cs_step_t *step;
    referral_t *r;

    begin(*state);
    r = new_referral();
    step = add_patch(add_item(r), r, -1);
    add_op(step, "team", "/team", js(W->p, "[{'email':'x'}]"));
    add_text(step, "teams", "/teamsUrl", "y");
    write.id = r->id;
    write.guard = "\"1\"";
    write.body = step->columns;
    cs_result_set(&write.result, W->p, CS_EREMOTE, CS_CLASS_DATA, "pc:value", "no such person");
    write.result.blames = "/Team/0/email";
    refusal = cs_pc_refusal_begin(step, &write, W->p);
    assert_int_equal(cs_pc_refusal_next(refusal, &next), 1);
    assert_int_equal(json_array_size(next.body), 1);
    assert_string_equal(cs_json_str(json_array_get(next.body, 0), "path"), "/teamsUrl");
    assert_string_equal(next.guard, "\"1\"");
}

static void test_unnamed_line_is_found_by_halves(void **state)
{
    int bad, worst = 0;

    begin(*state);
    for (bad = 0; bad < 16; bad++) {
        referral_t *r = new_referral();
        cs_item_t *item;
        begin_batch();
        item = add_item(r);
        add_lines(add_patch(item, r, -1), 16);
        W->pc_refuses = apr_psprintf(W->p, "/details/f%d", bad);
        W->pc_mute = 1;
        apply();
        assert_true(item->applied[0].done);
        assert_int_equal(lines_there(r, 16), 15);
        assert_int_equal(json_object_size(item->applied[0].refused), 1);
        assert_non_null(refused_line(item, 0, apr_psprintf(W->p, "l%d", bad)));
        assert_false(item->over);
        worst = W->patches > worst ? W->patches : worst;
    }
    assert_true(worst <= 1 + 2 * 4 + 4);
}

/* Items of one array: whichever is sent, the whole array goes. */
static void share_array(cs_step_t *step, const char *path, int n)
{
    int i;

    json_array_append_new(step->columns, json_pack("{s:s,s:s,s:[{s:s}]}", "op", "replace", "path", path, "value", "id", "s"));
    for (i = 0; i < n; i++) {
        const char *line = apr_psprintf(W->p, "item%d", i);

        json_object_set_new(step->parts, line, json_pack("[s]", path));
        APR_ARRAY_PUSH(step->lines, const char *) = line;
    }
}

static void test_array_is_sent_once_for_all_its_items(void **state)
{
    cs_item_t *item;
    cs_step_t *step;
    referral_t *r;

    begin(*state);
    r = new_referral();
    item = add_item(r);
    step = add_patch(item, r, -1);
    add_lines(step, 2);
    share_array(step, "/details/solutions", 3);
    W->pc_refuses = "/details/f0";
    W->pc_mute = 1;
    apply();
    assert_true(item->applied[0].done);
    assert_int_equal(json_object_size(item->applied[0].refused), 1);
    assert_non_null(refused_line(item, 0, "l0"));
    assert_int_equal(W->patches, 3); /* all of it; the bad line; the rest */
    assert_int_equal(r->version, 2);
}

static void test_refused_array_is_tried_once_for_all_its_items(void **state)
{
    int mute;

    begin(*state);
    for (mute = 0; mute < 2; mute++) {
        referral_t *r = new_referral();
        cs_item_t *item;
        cs_step_t *step;

        begin_batch();
        item = add_item(r);
        step = add_patch(item, r, -1);
        add_lines(step, 1);
        share_array(step, "/details/solutions", 5);
        W->pc_refuses = "/details/solutions";
        W->pc_mute = mute;
        apply();
        assert_true(item->applied[0].done);
        assert_int_equal(lines_there(r, 1), 1);
        assert_int_equal(json_object_size(item->applied[0].refused), 5);
        assert_true(W->patches <= 3);
    }
}

static void test_only_line_of_a_step_without_parts_is_refused(void **state)
{
    cs_item_t *item;
    cs_step_t *step;
    referral_t *r;

    begin(*state);
    r = new_referral();
    item = add_item(r);
    step = add_patch(item, r, -1);
    add_text(step, "notes", "/details/notes", "no");
    step->parts = NULL;
    W->pc_refuses = "/details/notes";
    apply();
    assert_false(item->applied[0].done);
    assert_non_null(refused_line(item, 0, "notes"));
    assert_false(item->over);
    assert_int_equal(W->patches, 1);
}

static void test_refused_state_does_not_keep_the_lines(void **state)
{
    int mute;

    begin(*state);
    for (mute = 0; mute < 2; mute++) {
        referral_t *r = new_referral();
        cs_item_t *item;
        cs_step_t *step;
        begin_batch();
        item = add_item(r);
        step = add_patch(item, r, -1);
        add_lines(step, 4);
        add_text(step, CS_LINE_STATE, "/status", "Active");
        add_text(step, CS_LINE_STATE, "/substatus", "Accepted");
        W->pc_refuses = "/status";
        W->pc_mute = mute;
        apply();
        assert_true(item->applied[0].done);
        assert_int_equal(lines_there(r, 4), 4);
        assert_int_equal(json_object_size(item->applied[0].refused), 1);
        assert_has(refused_line(item, 0, CS_LINE_STATE), "not good");
        assert_false(item->over);
        assert_true(W->patches <= 4);
    }
}

/* Once closed the referral takes nothing any more. */
static int state_order[8], states;

static void test_closing_goes_last(void **state)
{
    cs_crm_write_t write = {0};
    cs_refusal_t *refusal;
    cs_step_t *step;
    cs_record_t after = {0};
    referral_t *r;

    begin(*state);
    states = 0;
    r = new_referral();
    step = add_patch(add_item(r), r, -1);
    add_lines(step, 4);
    add_text(step, CS_LINE_STATE, "/status", "Closed");
    write.kind = CS_CRM_UPDATE;
    write.id = r->id;
    write.guard = "v1";
    write.row = js(W->p, "{'/details/f0':1,'/details/f1':1,'/details/f2':1,'/details/f3':1,'/status':1}");
    cs_result_set(&write.result, W->p, CS_EREMOTE, CS_CLASS_DATA, "pc:value", "one of these");
    refusal = cs_refusal_begin(step, &write, 1, W->p);
    after.version = "v2";
    while (cs_refusal_next(refusal, &write)) {
        assert_true(states < 8);
        state_order[states++] = json_object_get(write.row, "/status") != NULL;
        cs_result_clear(&write.result);
        if (json_object_get(write.row, "/details/f2")) {
            cs_result_set(&write.result, W->p, CS_EREMOTE, CS_CLASS_DATA, "pc:value", "one of these");
        }
        write.record = write.result.cls == CS_CLASS_OK ? &after : NULL;
        cs_refusal_take(refusal, &write);
    }
    assert_true(states > 2);
    assert_int_equal(state_order[states - 1], 1);
    while (--states) {
        assert_int_equal(state_order[states - 1], 0);
    }
}

static void test_won_with_a_bad_line_is_won(void **state)
{
    cs_item_t *item;
    cs_step_t *step;
    referral_t *r;

    begin(*state);
    r = new_referral();
    item = add_item(r);
    step = add_patch(item, r, -1);
    add_lines(step, 8);
    add_text(step, CS_LINE_STATE, "/status", "Closed");
    add_text(step, CS_LINE_STATE, "/substatus", "Won");
    W->pc_refuses = "/details/f5";
    W->pc_mute = 1;
    apply();
    assert_true(item->applied[0].done);
    assert_string_equal(at_pc(r, "/substatus"), "Won");
    assert_int_equal(lines_there(r, 8), 7);
    assert_non_null(refused_line(item, 0, "l5"));
    assert_int_equal(json_object_size(item->applied[0].refused), 1);
}

static void test_everything_refused_leaves_nothing_and_stops_nothing(void **state)
{
    cs_item_t *item;
    cs_step_t *step;
    referral_t *r;
    int i;

    begin(*state);
    r = new_referral();
    item = add_item(r);
    step = add_patch(item, r, -1);
    add_lines(step, 5);
    add_text(step, CS_LINE_STATE, "/status", "Active");
    W->pc_fails = CS_CLASS_DATA;
    apply();
    assert_false(item->over);
    assert_false(item->applied[0].done);
    for (i = 0; i < step->lines->nelts; i++) {
        assert_non_null(refused_line(item, 0, APR_ARRAY_IDX(step->lines, i, const char *)));
    }
    assert_int_equal(r->version, 1);
    assert_true(W->patches <= 1 + 2 * SENDS_MAX);
}

static void test_too_many_bad_lines_are_left_for_the_next_look(void **state)
{
    cs_item_t *item;
    cs_step_t *step;
    referral_t *r;
    int i;

    begin(*state);
    r = new_referral();
    item = add_item(r);
    step = add_patch(item, r, -1);
    for (i = 0; i < 40; i++) {
        const char *line = apr_psprintf(W->p, "l%d", i);

        add_text(step, line, apr_psprintf(W->p, "/details/f%d", i), "new");
        if (i % 2) { /* every other one is at the same bad place, too */
            add_text(step, line, "/details/bad", "new");
        }
    }
    W->pc_refuses = "/details/bad";
    W->pc_mute = 1;
    apply();
    assert_true(W->patches <= 1 + 2 * SENDS_MAX);
}

static void test_referral_that_may_not_be_written_keeps_the_crm_going(void **state)
{
    cs_item_t *item;
    referral_t *r;

    begin(*state);
    r = new_referral();
    item = add_item(r);
    add_lines(add_patch(item, r, -1), 3);
    W->pc_fails = CS_CLASS_REFUSED;
    apply();
    assert_false(item->over);
    assert_int_equal(W->patches, 1);
    assert_int_equal(json_object_size(item->applied[0].refused), 3);
    assert_int_equal(item->applied[0].result.cls, CS_CLASS_REFUSED);
}

static void test_no_answer_repeats_the_look(void **state)
{
    static const cs_class_e classes[] = {CS_CLASS_UNKNOWN, CS_CLASS_RETRY, CS_CLASS_GONE, CS_CLASS_SUSPEND, CS_CLASS_THROTTLED};
    size_t i;

    begin(*state);
    for (i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        referral_t *r = new_referral();
        cs_item_t *item;
        begin_batch();
        item = add_item(r);
        add_lines(add_patch(item, r, -1), 3);
        W->pc_fails = classes[i];
        apply();
        assert_true(item->over && !item->quiet);
        assert_int_equal(item->result.cls, classes[i]);
        assert_null(item->applied[0].refused);
        W->pc_fails = CS_CLASS_OK;
    }
}

static void test_steps_to_partner_center_are_none_of_the_crm(void **state)
{
    cs_item_t *item;
    referral_t *r;

    begin(*state);
    r = new_referral();
    item = add_item(r);
    add_lines(add_patch(item, r, -1), 1);
    item->crm = 0;
    item->look.crm = CRM_NAME;
    cs_batch_apply(batch);
    assert_false(item->applied[0].tried);
    assert_int_equal(W->writes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_changes_of_all_items_go_out_under_guard),
        UNIT_TEST(test_second_step_is_guarded_by_what_the_first_left),
        UNIT_TEST(test_answer_without_a_body_is_read_back),
        UNIT_TEST(test_what_follows_a_step_that_failed_is_not_sent),
        UNIT_TEST(test_named_line_is_left_out),
        UNIT_TEST(test_place_below_a_path_is_its_line),
        UNIT_TEST(test_unnamed_line_is_found_by_halves),
        UNIT_TEST(test_array_is_sent_once_for_all_its_items),
        UNIT_TEST(test_refused_array_is_tried_once_for_all_its_items),
        UNIT_TEST(test_only_line_of_a_step_without_parts_is_refused),
        UNIT_TEST(test_refused_state_does_not_keep_the_lines),
        UNIT_TEST(test_closing_goes_last),
        UNIT_TEST(test_won_with_a_bad_line_is_won),
        UNIT_TEST(test_everything_refused_leaves_nothing_and_stops_nothing),
        UNIT_TEST(test_too_many_bad_lines_are_left_for_the_next_look),
        UNIT_TEST(test_referral_that_may_not_be_written_keeps_the_crm_going),
        UNIT_TEST(test_no_answer_repeats_the_look),
        UNIT_TEST(test_steps_to_partner_center_are_none_of_the_crm),
    };

    return clock_setup() ? 2 : UNIT_RUN(tests);
}
