/* domain/reconcile_group.c: lines that belong together change, conflict and are written together:
 * all of a group or nothing of it. (deals 2)
 *
 * The lines were judged alone; here the judgements of a group are made one. A line that goes one
 * way only takes no part in a conflict, but waits for its end.
 */
#include <apr_strings.h>
#include <string.h>

#include "reconcile_internal.h"

typedef struct member_t {
    const cs_line_t *line;
    cs_line_view_t *view;
    cs_sides_t s;
    int differs;
} member_t;

typedef struct group_t {
    cs_planning_t *pl;
    apr_array_header_t *members; /* member_t */
} group_t;

static member_t *member_at(const group_t *g, int i)
{
    return &APR_ARRAY_IDX(g->members, i, member_t);
}

static void add_member(group_t *g, const cs_line_t *line, cs_line_view_t *view)
{
    cs_planning_t *pl = g->pl;
    member_t *m;
    cs_side_t pc, crm;

    if (line->off || (!pl->creating && view->verdict == CS_VERDICT_CREATE_ONLY)) {
        return;
    }
    m = &APR_ARRAY_PUSH(g->members, member_t);
    memset(m, 0, sizeof(*m));
    m->line = line;
    m->view = view;
    m->s.to_crm = cs_travel(pl, line, &line->to_crm, CS_ON_UPDATE);
    m->s.to_pc = cs_travel(pl, line, &line->to_pc, CS_ON_UPDATE);
    cs_line_read_pc(&pc, line, pl->doc, pl->p);
    cs_line_read_crm(&crm, line, &pl->table, pl->creating ? NULL : pl->row, pl->p);
    m->s.pc_bad = pc.bad;
    m->s.crm_bad = crm.bad;
    if (!view->pc || !view->crm) {
        return;
    }
    m->differs = !cs_line_same(line, &pl->table, view->pc, view->crm, pl->ptemp);
    if (m->differs && view->seen_pc && view->seen_crm) {
        /* What its condition keeps back, or an occupied target, takes nobody along. */
        m->s.pc_moved = m->s.to_crm.may && m->s.to_crm.holds == 1 &&
                        !(line->to_crm.only_if_empty && !json_is_null(view->crm)) &&
                        !cs_line_unchanged(line, view->seen_pc, view->pc);
        m->s.crm_moved = m->s.to_pc.may && m->s.to_pc.holds == 1 &&
                         !(line->to_pc.only_if_empty && !json_is_null(view->pc)) &&
                         !cs_line_unchanged(line, view->seen_crm, view->crm);
    }
}

/* ---- all or nothing ---- */

/* What keeps one of them keeps all of them. */
static const member_t *blocked(const group_t *g)
{
    int i;

    for (i = 0; i < g->members->nelts; i++) {
        const member_t *m = member_at(g, i);

        if (m->view->verdict == CS_VERDICT_REFUSED || m->view->verdict == CS_VERDICT_UNREADABLE ||
            (m->view->verdict == CS_VERDICT_HELD && (!m->view->take || m->view->rest))) {
            return m;
        }
    }
    return NULL;
}

static void hold_partners(const group_t *g)
{
    const member_t *bad = blocked(g);
    int i;

    for (i = 0; bad && i < g->members->nelts; i++) {
        member_t *m = member_at(g, i);

        if (m->view->to_crm || m->view->to_pc) {
            cs_view_judge(m->view, CS_VERDICT_HELD,
                          apr_psprintf(g->pl->p, "travels only together with %s", bad->line->name));
        }
    }
}

/* ---- nobody moved: first comparisons ---- */

/* Half a group is not filled: the differences are noted. */
static void join_first(const group_t *g)
{
    int to_crm = 0, to_pc = 0, differ = 0, i;

    for (i = 0; i < g->members->nelts; i++) {
        const member_t *m = member_at(g, i);
        int stuck = m->view->verdict == CS_VERDICT_REFUSED || m->view->verdict == CS_VERDICT_HELD;

        to_crm += m->view->to_crm;
        to_pc += m->view->to_pc;
        differ += m->differs && !stuck;
    }
    for (i = 0; i < g->members->nelts && (to_crm || to_pc) && to_crm != differ && to_pc != differ;
         i++) {
        member_t *m = member_at(g, i);

        if (m->view->to_crm || m->view->to_pc) {
            cs_view_take(m->view, CS_VERDICT_SKIPPED, CS_REST_INTRODUCED,
                         "its group differed when first compared; the next edit on either side "
                         "decides");
        }
    }
}

/* ---- somebody moved ---- */

static cs_policy_e policy_of(const group_t *g)
{
    cs_policy_e policy = CS_POLICY_HOLD;
    int i, first = 1;

    for (i = 0; i < g->members->nelts; i++) {
        const cs_line_t *line = member_at(g, i)->line;

        if (!line->to_crm.on || !line->to_pc.on) {
            continue;
        }
        if (!first && line->conflict != policy) {
            return CS_POLICY_HOLD;
        }
        policy = line->conflict;
        first = 0;
    }
    return policy;
}

static void hold_all(const group_t *g)
{
    int i;

    for (i = 0; i < g->members->nelts; i++) {
        member_t *m = member_at(g, i);

        if (!m->differs) {
            continue;
        }
        if (m->s.to_crm.may && m->s.to_pc.may) {
            cs_view_take(m->view, CS_VERDICT_HELD, CS_REST_HELD,
                         "both sides changed its group; the next edit on either side decides");
        }
        else {
            cs_view_judge(m->view, CS_VERDICT_HELD, "waits for the conflict in its group");
        }
    }
}

static void copy_all(const group_t *g, int from_pc, int both)
{
    const char *why = from_pc ? both ? "both sides changed its group: Partner Center's values count"
                                     : "its group changed at Partner Center"
                      : both  ? "both sides changed its group: the CRM's values count"
                              : "its group changed in the CRM";
    int i;

    for (i = 0; i < g->members->nelts; i++) {
        member_t *m = member_at(g, i);
        const cs_travel_t *way = from_pc ? &m->s.to_crm : &m->s.to_pc;

        if (!m->differs || !way->may || m->view->verdict == CS_VERDICT_NOT_KEPT ||
            (from_pc ? m->view->to_crm : m->view->to_pc)) {
            continue; /* a line that does not go that way, or not again, was judged alone */
        }
        if (way->holds != 1) {
            cs_view_judge(m->view, CS_VERDICT_SKIPPED, way->why);
        }
        else if (from_pc) {
            cs_view_to_crm(g->pl, m->line, m->view, m->s.pc_bad, why);
        }
        else {
            cs_view_to_pc(g->pl, m->line, m->view, m->s.crm_bad, why);
        }
    }
}

static int is_unreadable(const group_t *g)
{
    int i;

    for (i = 0; i < g->members->nelts; i++) {
        if (member_at(g, i)->view->verdict == CS_VERDICT_UNREADABLE) {
            return 1;
        }
    }
    return 0;
}

static void judge_group(const group_t *g)
{
    int pc_moved = 0, crm_moved = 0, i;

    for (i = 0; i < g->members->nelts; i++) {
        pc_moved |= member_at(g, i)->s.pc_moved;
        crm_moved |= member_at(g, i)->s.crm_moved;
    }
    if (g->pl->creating || is_unreadable(g)) {
        hold_partners(g);
        return;
    }
    if (!pc_moved && !crm_moved) {
        join_first(g);
    }
    else if (pc_moved && crm_moved && !g->pl->terminal && policy_of(g) == CS_POLICY_HOLD) {
        hold_all(g);
    }
    else {
        copy_all(g, pc_moved && (!crm_moved || g->pl->terminal || policy_of(g) == CS_POLICY_PC),
                 pc_moved && crm_moved);
    }
    hold_partners(g);
}

void cs_plan_groups(cs_planning_t *pl)
{
    const apr_array_header_t *lines = pl->kind->lines;
    int i, j;

    for (i = 0; i < lines->nelts && !pl->unlink; i++) {
        const char *name = APR_ARRAY_IDX(lines, i, const cs_line_t *)->group;
        group_t g = {pl, apr_array_make(pl->p, 4, sizeof(member_t))};

        for (j = 0; name && j < lines->nelts; j++) {
            const cs_line_t *line = APR_ARRAY_IDX(lines, j, const cs_line_t *);

            if (line->group && !strcmp(line->group, name)) {
                if (j < i) {
                    break; /* this group was judged with its first line */
                }
                add_member(&g, line, APR_ARRAY_IDX(pl->plan->lines, j, cs_line_view_t *));
            }
        }
        if (g.members->nelts > 1) {
            judge_group(&g);
        }
    }
}
