/* domain/settle_late.c: what an earlier look wrote and did not live to say, or was never answered
 * about. The next one finds it in place and writes it down: nobody's words go without a line in the
 * journal. (design 5)
 */
#include <apr_strings.h>
#include <string.h>

#include "create_internal.h"
#include "settle_internal.h"

#define LATE "made by an earlier look that was not heard to its end"
#define PERHAPS "may have been written over by an earlier look that was not heard to its end"

/* The line's value of an earlier step; it may still be needed. */
static int is_kept(const cs_deal_t *deal, const char *line, const json_t *value)
{
    json_t *meant;
    size_t i;
    int to_pc;

    for (i = 0; (meant = cs_intent_meant(deal, line, i, &to_pc)) != NULL; i++) {
        if (json_equal(meant, (json_t *)value)) {
            return 1;
        }
    }
    return 0;
}

/* The image was given by the intent: null, true and false are the same value everywhere. */
static int is_given(const cs_settling_t *s, const char *line, const char *side, const json_t *seen,
                    const json_t *value)
{
    return seen == value && cs_image_side(s->look->deal, line, side) != value;
}

/* This look took what a side shows for the earlier step's doing. */
static int took_effect(const cs_settling_t *s, const cs_line_view_t *view, const json_t *value,
                       int to_pc)
{
    if (!strcmp(view->line, CS_LINE_STATE)) {
        return to_pc && view->pc && json_equal(view->pc, (json_t *)value);
    }
    return is_given(s, view->line, "pc", view->seen_pc, value) ||
           is_given(s, view->line, "crm", view->seen_crm, value);
}

static const json_t *from_of(const json_t *steps, size_t i, const char *line)
{
    return cs_json_get(cs_json_get(json_array_get(steps, i), "from"), line);
}

/* What was there is not there any more, and nor is what was to replace it: the other side may have
 * made something else of that, or somebody has written since. A later look that found the same
 * before it says so. */
static int is_gone(const json_t *steps, size_t at, const cs_line_view_t *view, int to_pc)
{
    const json_t *from = from_of(steps, at, view->line), *now = to_pc ? view->pc : view->crm;
    size_t i;

    for (i = 0; i < at; i++) {
        const json_t *later = from_of(steps, i, view->line);

        if (later && cs_intent_is_to_pc(json_array_get(steps, i)) == to_pc &&
            json_equal((json_t *)later, (json_t *)from)) {
            return 0;
        }
    }
    return strcmp(view->line, CS_LINE_STATE) && now && !json_equal((json_t *)from, (json_t *)now);
}

static void journal_line(cs_settling_t *s, const json_t *steps, size_t at, const char *line,
                         const json_t *value)
{
    const json_t *from = from_of(steps, at, line);
    const cs_line_view_t *view = cs_plan_view(s->plan, line);
    int to_pc = cs_intent_is_to_pc(json_array_get(steps, at)), took;
    cs_journal_t *j;

    if (!from || !view || json_equal((json_t *)from, (json_t *)value) ||
        is_kept(s->deal, line, value)) {
        return;
    }
    took = took_effect(s, view, value, to_pc);
    if (!took && !is_gone(steps, at, view, to_pc)) {
        return;
    }
    j = cs_settle_write_down(s, to_pc ? "to_pc" : "to_crm", "update", "done",
                             took ? LATE : PERHAPS);
    j->line = apr_pstrdup(s->p, line);
    j->from = cs_settle_copy(s, from);
    j->to = cs_settle_copy(s, value);
}

static void journal_lines(cs_settling_t *s)
{
    const json_t *steps = cs_json_get(s->look->deal->intent, "steps");
    json_t *value;
    const char *line;
    size_t i;

    for (i = 0; i < json_array_size(steps); i++) {
        json_object_foreach(cs_json_get(json_array_get(steps, i), "lines"), line, value) {
            journal_line(s, steps, i, line, value);
        }
    }
}

/* What was posted is known at once, and said at the settle of that look, if it comes to it. */
static void journal_posted(cs_settling_t *s, const char *which, const char *action)
{
    const json_t *entry = cs_json_get(s->deal->posted, which);
    const char *state = cs_json_str(entry, "state");

    if (!state || strcmp(state, CS_POSTED_DONE) || cs_json_get(entry, "said")) {
        return;
    }
    cs_settle_write_down(s, "to_pc", action, "done", LATE)->to =
        cs_json_own(json_pack("{s:s?}", "id", cs_json_str(entry, "id")), s->p);
    s->deal->posted = cs_settle_copy(s, s->deal->posted);
    json_object_set_new(cs_json_get(s->deal->posted, which), "said", json_true());
}

void cs_settle_late(cs_settling_t *s)
{
    journal_lines(s);
    journal_posted(s, CS_CALL_OWN, "create");
    journal_posted(s, CS_CALL_CONNECTED, "invite");
}
