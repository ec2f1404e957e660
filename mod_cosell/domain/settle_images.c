/* domain/settle_images.c: what both sides of a line are known to have shown, after a look. (deals
 * 2)
 *
 * Written lines take the read-back, or the value decided upon when there is none; lines of steps
 * that were not done or not sent keep both images; lines that needed nothing take what both sides
 * showed.
 */
#include <apr_strings.h>
#include <string.h>

#include "settle_internal.h"

/* 1 unless the row is still to be made. */
static int row_exists(const cs_settling_t *s)
{
    int i;

    for (i = 0; !s->look->record && i < s->plan->steps->nelts; i++) {
        if (cs_settle_step(s, i)->kind == CS_STEP_CREATE && !cs_settle_step(s, i)->list) {
            return s->applied[i].done;
        }
    }
    return 1;
}

static const cs_record_t *created(const cs_settling_t *s)
{
    int i;

    for (i = 0; i < s->plan->steps->nelts; i++) {
        if (cs_settle_step(s, i)->kind == CS_STEP_CREATE && !cs_settle_step(s, i)->list &&
            s->applied[i].done) {
            return s->applied[i].after;
        }
    }
    return NULL;
}

void cs_settle_image(cs_settling_t *s, const char *line, const json_t *pc, const json_t *crm,
                     const char *rest)
{
    const cs_line_t *known = cs_settle_line_of(s, line);
    json_t *image = json_object();

    if (pc) {
        json_object_set_new(image, "pc", json_deep_copy(pc));
    }
    if (crm) {
        json_object_set_new(image, "crm", json_deep_copy(crm));
    }
    if (rest) {
        json_object_set_new(image, "rest", json_string(rest));
    }
    if (known) {
        json_object_set_new(image, "as", json_string(cs_line_sign(known, s->ptemp)));
    }
    if (!strcmp(line, CS_LINE_STATE)) {
        json_t *made = cs_json_get(cs_json_get(s->deal->images, line), CS_IMAGE_MADE);

        if (made) {
            json_object_set(image, CS_IMAGE_MADE, made);
        }
    }
    json_object_set_new(s->deal->images, line, image);
}

/* The images are what this look knows of both sides. */
static void learn_image(cs_settling_t *s, const char *line, const json_t *pc, const json_t *crm,
                        const char *rest)
{
    cs_settle_image(s, line, pc, crm, rest);
    json_object_set_new(s->learnt, line, json_true());
}

/* Both images stay; those that a stored intent gave are written down, for the intent goes. What was
 * left out or refused stays so until the line arrives. */
static void keep_image(cs_settling_t *s, const cs_line_view_t *view)
{
    json_t *image = cs_json_get(s->deal->images, view->line);
    json_t *waits, *was_refused;
    const char *rest = cs_image_rest(s->deal, view->line);

    if (!view->seen_pc && !view->seen_crm) {
        return; /* none, or a line that is switched off and keeps what it had */
    }
    waits = json_incref(cs_json_get(image, "waits"));
    was_refused = json_incref(cs_json_get(image, "refused"));
    cs_settle_image(s, view->line, view->seen_pc, view->seen_crm,
                    rest ? apr_pstrdup(s->ptemp, rest) : NULL);
    image = cs_json_get(s->deal->images, view->line);
    if (waits) {
        json_object_set(image, "waits", waits);
    }
    if (was_refused) {
        json_object_set(image, "refused", was_refused);
    }
    json_decref(waits);
    json_decref(was_refused);
}

/* The row that a create made without this line shows what somebody may fill in by hand. */
static const json_t *left_empty(cs_settling_t *s, const cs_line_t *line)
{
    const cs_record_t *row = created(s);
    cs_side_t back;

    if (!row || !line) {
        return NULL;
    }
    cs_line_read_crm(&back, line, &s->table, row->row, s->ptemp);
    return back.value;
}

/* What the other side refused of the value that it is still offered stays refused: else the two
 * refusals would take turns for ever. */
static void carry_over(cs_settling_t *s, json_t *note, const json_t *was, const char *side,
                       const json_t *value)
{
    const char *mapping = cs_json_str(was, "mapping");

    if (value && mapping && !strcmp(mapping, cs_mapping_digest(s->look->mapping)) &&
        json_equal(cs_json_get(was, side), value)) {
        json_object_set(note, side, (json_t *)value);
        json_object_set_new(note, "mapping", json_string(mapping));
        if (cs_json_get(was, "reason")) {
            json_object_set(note, "reason", cs_json_get(was, "reason"));
        }
    }
}

/* name: "waits" or "refused" */
static void settle_left_out(cs_settling_t *s, const cs_line_view_t *view, const char *name,
                            const char *why)
{
    const json_t *empty = view->seen_crm ? NULL : left_empty(s, cs_settle_line_of(s, view->line));
    json_t *image, *note, *there;

    keep_image(s, view);
    image = cs_json_get(s->deal->images, view->line);
    if (!image || (empty && !cs_json_get(image, "crm"))) {
        cs_settle_image(s, view->line, NULL, empty, NULL);
        image = cs_json_get(s->deal->images, view->line);
    }
    note = json_pack("{s:s}", "why", why);
    if (view->pc) {
        json_object_set_new(note, "pc", json_deep_copy(view->pc));
    }
    there = json_pack("{s:s*}", "why", cs_json_str(cs_json_get(image, "refused"), "why"));
    carry_over(s, !strcmp(name, "refused") ? note : there, cs_json_get(image, "refused"), "crm",
               view->crm);
    if (!strcmp(name, "refused")) {
        json_object_set_new(note, "mapping", json_string(cs_mapping_digest(s->look->mapping)));
    }
    json_object_del(image, "waits");
    json_object_del(image, "refused");
    if (cs_json_get(there, "crm")) {
        json_object_set(image, "refused", there);
    }
    json_object_set_new(image, name, note);
    json_decref(there);
}

json_t *cs_settle_refused_there(cs_settling_t *s, const cs_line_view_t *view, const char *why)
{
    json_t *image, *note;

    keep_image(s, view);
    image = cs_json_get(s->deal->images, view->line);
    if (!image) {
        cs_settle_image(s, view->line, NULL, NULL, NULL);
        image = cs_json_get(s->deal->images, view->line);
    }
    note = json_pack("{s:s,s:s}", "why", why, "mapping", cs_mapping_digest(s->look->mapping));
    if (view->crm) {
        json_object_set_new(note, "crm", json_deep_copy(view->crm));
    }
    carry_over(s, note, cs_json_get(image, "refused"), "pc", view->pc);
    if (!view->pc || !json_equal(cs_json_get(cs_json_get(image, "waits"), "pc"), view->pc)) {
        json_object_del(image, "waits");
    }
    json_object_set_new(image, "refused", note);
    return note;
}

/* What the target makes of a value could travel back, or be undone, as if somebody had typed it. */
static int may_come_back(const cs_line_t *line)
{
    return line->enforce || line->latch || (line->to_pc.on && line->to_crm.on);
}

/* What Partner Center shows now, or was asked for. */
static void settle_sent(cs_settling_t *s, const cs_line_t *line, const cs_line_view_t *view, int at)
{
    int shown, kept;
    cs_side_t back;

    cs_line_read_pc(&back, line, cs_settle_doc(s, at, &shown), s->ptemp);
    kept = back.value && cs_line_same(line, &s->table, back.value, view->value, s->ptemp);
    learn_image(s, view->line, back.value, view->value,
                !kept                                      ? CS_REST_PC_NOT_KEPT
                : !shown && may_come_back(line)            ? CS_REST_PC_UNSEEN
                                                           : NULL);
}

static void settle_written(cs_settling_t *s, const cs_line_t *line, const cs_line_view_t *view,
                           int at)
{
    const cs_record_t *after = s->applied[at].after;
    cs_side_t back;
    cs_conv_t conv;
    json_t *crm;
    int kept = 1;

    memset(&back, 0, sizeof(back));
    if (after) {
        cs_line_read_crm(&back, line, &s->table, after->row, s->ptemp);
    }
    if (back.value) {
        crm = back.value;
        kept = cs_line_same(line, &s->table, view->value, crm, s->ptemp);
    }
    else {
        cs_line_to_crm(&conv, line, &s->table, view->value, s->ptemp);
        crm = conv.value;
    }
    if (!kept && s->applied[at].found) {
        keep_image(s, view); /* nothing was written, so nothing was not kept */
        return;
    }
    learn_image(s, view->line, view->value, crm,
                !kept                                                 ? CS_REST_NOT_KEPT
                : !back.value && may_come_back(line)                  ? CS_REST_UNSEEN
                : cs_line_cut(line, &s->table, view->value, s->ptemp) ? CS_REST_CUT
                                                                      : NULL);
}

/* A new row shows what nobody wrote, too. */
static void settle_taken(cs_settling_t *s, const cs_line_t *line, const cs_line_view_t *view)
{
    const cs_record_t *row = created(s);
    json_t *crm = view->crm, *note;
    const char *rest = view->rest;
    cs_side_t back;

    if (row && !crm) {
        cs_line_read_crm(&back, line, &s->table, row->row, s->ptemp);
        crm = back.value;
        rest = crm && view->pc && cs_line_same(line, &s->table, view->pc, crm, s->ptemp)
                   ? NULL
                   : CS_REST_INTRODUCED;
    }
    if (!crm && !s->look->record) {
        /* Nobody has seen the new row yet; what is not written at creation is empty there. */
        int skipped = view->verdict == CS_VERDICT_SKIPPED;

        cs_settle_image(s, view->line, skipped ? view->pc : NULL,
                        !skipped                     ? NULL
                        : line->type == CS_TYPE_FLAG ? json_false()
                                                     : json_null(),
                        skipped ? CS_REST_INTRODUCED : NULL);
        return;
    }
    if (!crm || !view->pc) {
        keep_image(s, view);
        return;
    }
    note = view->verdict == CS_VERDICT_EQUAL
               ? NULL
               : cs_json_get(cs_json_get(s->deal->images, view->line), "refused");
    /* What somebody wrote there instead makes the refused value no other. */
    note = json_equal(cs_json_get(note, "pc"), view->pc) ||
                   json_equal(cs_json_get(note, "crm"), crm)
               ? json_incref(note)
               : NULL;
    learn_image(s, view->line, view->pc, crm, rest);
    if (note) {
        json_object_set_new(cs_json_get(s->deal->images, view->line), "refused", note);
    }
}

/* A row was made without it, for now: the line is not new at the next look. */
static int is_still_to_come(const cs_line_t *line, const cs_line_view_t *view)
{
    return line->to_crm.on && !line->off && !view->take &&
           (view->verdict == CS_VERDICT_HELD || view->verdict == CS_VERDICT_REFUSED ||
            view->verdict == CS_VERDICT_SKIPPED);
}

/* The row is there; what was refused when it was first to be made stays refused. */
static void settle_to_come(cs_settling_t *s, const cs_line_t *line, const cs_line_view_t *view)
{
    json_t *note = json_incref(cs_json_get(cs_json_get(s->deal->images, view->line), "refused"));

    cs_settle_image(s, view->line, NULL, left_empty(s, line), NULL);
    if (note) {
        json_object_set_new(cs_json_get(s->deal->images, view->line), "refused", note);
    }
}

static void settle_line(cs_settling_t *s, const cs_line_t *line, const cs_line_view_t *view)
{
    int done, at = cs_settle_writer(s, view->line, &done);
    const char *waits = cs_settle_dropped(s, view->line), *no = cs_settle_refused(s, view->line);
    const char *partner = view->to_crm || view->to_pc ? cs_settle_partner(s, line) : NULL;

    if (view->to_pc) {
        if (no) {
            cs_settle_refused_there(s, view, no);
        }
        else if (at >= 0 && done && !waits && !partner) {
            settle_sent(s, line, view, at);
        }
        else {
            keep_image(s, view);
        }
    }
    else if (no) {
        settle_left_out(s, view, "refused", no);
    }
    else if (waits || partner) {
        settle_left_out(s, view, "waits",
                        waits ? waits
                              : apr_psprintf(s->ptemp, "travels only together with %s", partner));
    }
    else if (view->to_crm && at >= 0 && done) {
        settle_written(s, line, view, at);
    }
    else if (view->take && row_exists(s) &&
             (view->verdict != CS_VERDICT_HELD || !view->rest || s->all_done)) {
        /* A hold counts once the seller was told, for the next edit ends it. */
        settle_taken(s, line, view);
    }
    else if (!view->seen_pc && is_still_to_come(line, view) && !s->look->record && row_exists(s)) {
        settle_to_come(s, line, view);
    }
    else if (is_still_to_come(line, view) && cs_view_unfinished(s->look->deal, line, view) &&
             !cs_json_get(s->deal->images, view->line)) {
        cs_settle_image(s, view->line, NULL, view->crm, NULL);
    }
    else {
        keep_image(s, view);
    }
}

/* What the one place of a list refused, or did not keep, is not put there again by itself. */
static json_t *still_refused(cs_settling_t *s, const cs_list_t *list, const cs_line_view_t *view,
                             int written, const json_t *crm)
{
    json_t *note = cs_json_get(cs_json_get(s->deal->images, view->line), "refused");

    if (list->shape != CS_LIST_COLUMN || !view->pc || !json_is_null(crm)) {
        return NULL;
    }
    if (written && view->verdict == CS_VERDICT_TO_CRM && view->to_crm && view->value) {
        return cs_json_own(json_pack("{s:s,s:O,s:s}", "why", "it did not keep it", "pc", view->pc,
                                     "mapping", cs_mapping_digest(s->look->mapping)),
                           s->ptemp);
    }
    return view->verdict == CS_VERDICT_STAYS && json_equal(cs_json_get(note, "pc"), view->pc)
               ? cs_json_own(json_deep_copy(note), s->ptemp)
               : NULL;
}

/* An item that went to Partner Center, or out of the list there. at = -1: it did not. */
static void settle_item_sent(cs_settling_t *s, const cs_list_t *list, const cs_line_view_t *view,
                             int at, const char *no, const char *waits)
{
    json_t *pc;
    int shown, kept;

    if (no) {
        cs_settle_refused_there(s, view, no);
        return;
    }
    if (at < 0 || waits) {
        keep_image(s, view);
        return;
    }
    pc = cs_list_item_at_pc(list, view->line, cs_settle_doc(s, at, &shown), s->ptemp);
    kept = json_is_object(pc) == json_is_object(view->value);
    if (kept && !json_is_object(pc)) {
        json_object_del(s->deal->images, view->line);
        json_object_set_new(s->learnt, view->line, json_true());
        return;
    }
    learn_image(s, view->line, pc, view->crm,
                kept && !cs_list_differs(list, pc, view->crm) ? NULL : CS_REST_PC_NOT_KEPT);
}

/* An item of a list knows itself what it becomes. */
static void settle_item(cs_settling_t *s, const cs_list_t *list, const cs_line_view_t *view)
{
    int done, at = cs_settle_writer(s, view->line, &done);
    const char *waits = cs_settle_dropped(s, view->line), *no = cs_settle_refused(s, view->line),
               *rest = NULL;
    json_t *pc = NULL, *crm = NULL, *was_refused;

    if (view->to_pc) {
        settle_item_sent(s, list, view, at >= 0 && done ? at : -1, no, waits);
        return;
    }
    if (no || waits) {
        settle_left_out(s, view, no ? "refused" : "waits", no ? no : waits);
        if (!no && list->find && list->find->none == CS_NONE_SKIP) {
            /* Somebody whom the CRM need not have: nobody has to do anything about it. */
            json_object_set_new(cs_json_get(cs_json_get(s->deal->images, view->line), "waits"),
                                "idle", json_true());
        }
        return;
    }
    switch (cs_list_settled(list, view, at < 0 ? -1 : done, s->all_done,
                            at < 0 ? NULL : &s->applied[at], &pc, &crm, &rest, s->ptemp)) {
    case 1:
        was_refused = still_refused(
            s, list, view, at >= 0 && done && cs_settle_step(s, at)->kind != CS_STEP_ENSURE, crm);
        learn_image(s, view->line, pc, crm, rest);
        if (was_refused) {
            json_object_set(cs_json_get(s->deal->images, view->line), "refused", was_refused);
        }
        break;
    case -1:
        json_object_del(s->deal->images, view->line);
        json_object_set_new(s->learnt, view->line, json_true());
        break;
    default:
        keep_image(s, view);
        break;
    }
}

void cs_settle_view(cs_settling_t *s, const cs_line_view_t *view)
{
    const cs_line_t *line = cs_settle_line_of(s, view->line);
    const cs_list_t *list = line ? NULL : cs_list_of_line(s->kind, view->line);

    if (line) {
        settle_line(s, line, view);
    }
    else if (list) {
        settle_item(s, list, view);
    }
}
