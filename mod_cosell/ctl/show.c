/* show: one deal as an administrator asks about it: where it stands, what each side shows, what was
 * last seen there, what would be done now and why, and what was done. */
#include "ctl.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../base/json.h"
#include "../base/time.h"

typedef struct show_t {
    ctl_t *c;
    apr_pool_t *p;
    const json_t *page;   /* ?deal */
    const json_t *deal;   /* as the job read it, else the page's */
    const json_t *result; /* of the job; NULL = --offline */
    const json_t *plan;   /* now, else the last one */
} show_t;

static const char *text_of(const show_t *s, const json_t *obj, const char *name)
{
    const char *text = cs_json_str(obj, name);

    return text && *text ? ctl_clean(text, s->p) : NULL;
}

static void head(const show_t *s, const char *text)
{
    ctl_out("\n%s\n", ctl_paint(s->c, 'b', text, s->p));
}

/* "  name        text", the text wrapped beneath itself. */
static void line(const show_t *s, const char *name, const char *text)
{
    int room = s->c->tty && s->c->width > 40 ? s->c->width - 16 : 0, i;
    apr_array_header_t *lines;

    if (!text || !*text) {
        return;
    }
    lines = ctl_wrap(text, room, s->p);
    for (i = 0; i < lines->nelts; i++) {
        ctl_out("  %-13s %s\n", i ? "" : name, APR_ARRAY_IDX(lines, i, const char *));
    }
}

static const char *join(const show_t *s, const char *a, const char *between, const char *b)
{
    return a && b ? apr_pstrcat(s->p, a, between, b, NULL) : a ? a : b;
}

/* ---- where it stands ---- */

static void print_work(const show_t *s, const json_t *work, const json_t *suspended)
{
    const char *state = text_of(s, work, "state"), *why = text_of(s, work, "detail");
    apr_int64_t tries = cs_json_int(work, "attempts", 0);

    if (!json_is_object(work)) {
        return;
    }
    line(s, "work",
         apr_psprintf(
             s->p, "%s%s, due %s UTC%s%s", state ? state : "?",
             tries ? apr_psprintf(s->p, " after %s", ctl_count(tries, "try", "tries", s->p)) : "",
             ctl_when(cs_json_get(work, "due"), s->p), why ? ": " : "", why ? why : ""));
    if (json_is_object(suspended)) {
        const char *detail = text_of(s, suspended, "detail");

        line(s, "waits for",
             apr_psprintf(s->p, "%s, off since %s UTC%s%s; asked again %s UTC",
                          ctl_clean(cs_json_str(suspended, "upstream"), s->p),
                          ctl_when(cs_json_get(suspended, "since"), s->p), detail ? ": " : "",
                          detail ? detail : "", ctl_when(cs_json_get(suspended, "probe"), s->p)));
    }
    if (state && !strcmp(state, "dead")) {
        line(s, "",
             apr_pstrcat(s->p, "try it again: cosellctl dead retry ",
                         ctl_clean(cs_json_str(work, "name"), s->p), NULL));
    }
}

static void print_standing(const show_t *s)
{
    const json_t *deal = s->deal;
    const char *title = text_of(s, deal, "title"), *status = text_of(s, deal, "status");
    const char *kind = text_of(s, deal, "kind"), *crm = text_of(s, deal, "crm");
    const char *next = json_is_string(cs_json_get(deal, "next_look"))
                           ? ctl_when(cs_json_get(deal, "next_look"), s->p)
                           : NULL;

    ctl_out("%s\n", ctl_paint(s->c, 'b',
                              apr_psprintf(s->p, "Deal %" APR_INT64_T_FMT "  %s",
                                           cs_json_int(deal, "id", 0), title ? title : ""),
                              s->p));
    line(s, "state", join(s, text_of(s, deal, "state"), ", the seller reads: ", status));
    line(s, "problem", text_of(s, deal, "problem"));
    line(s, "referral", join(s, text_of(s, deal, "referral"), "  ", text_of(s, deal, "pc_status")));
    line(s, "engagement", text_of(s, deal, "engagement"));
    line(s, "record", join(s, join(s, kind, " ", text_of(s, deal, "record")), " of ", crm));
    line(s, "link", text_of(s, deal, "link"));
    line(s, "changed",
         join(s, ctl_when(cs_json_get(deal, "updated"), s->p), " UTC, next look ",
              next ? apr_pstrcat(s->p, next, " UTC", NULL) : "when there is news"));
    print_work(s, cs_json_get(s->page, "work"), cs_json_get(s->page, "suspended"));
}

/* ---- both sides ---- */

/* A side of a line: what it shows, and what it showed when it was settled if that is another. */
static const char *side(const show_t *s, const json_t *now, const json_t *seen, const char *none)
{
    if (!now && !seen) {
        return none;
    }
    if (!now) {
        return apr_pstrcat(s->p, "(not read; was ", ctl_value(seen, s->p), ")", NULL);
    }
    if (!seen || json_equal(now, seen)) {
        return ctl_value(now, s->p);
    }
    return apr_pstrcat(s->p, ctl_value(now, s->p), " (was ", ctl_value(seen, s->p), ")", NULL);
}

/* What the verdict of a line is to whoever looks for trouble. */
static const char *painted(const show_t *s, const char *verdict)
{
    static const char *const bad[] = {"held", "refused", "unreadable", NULL};
    static const char *const moving[] = {"to crm", "to partner center", "not kept", "latched",
                                         NULL};
    int i;

    for (i = 0; bad[i]; i++) {
        if (!strcmp(verdict, bad[i])) {
            return ctl_paint(s->c, 'r', verdict, s->p);
        }
    }
    for (i = 0; moving[i]; i++) {
        if (!strcmp(verdict, moving[i])) {
            return ctl_paint(s->c, 'y', verdict, s->p);
        }
    }
    return verdict;
}

/* Lines that the mapping has and this organisation does not use. */
static int is_idle(const json_t *view)
{
    const char *verdict = cs_json_str(view, "verdict");

    return verdict && !strcmp(verdict, "skipped") && !cs_json_get(view, "pc") &&
           !cs_json_get(view, "crm");
}

static void print_line_of_plan(const show_t *s, const json_t *view, int width)
{
    const char *name = text_of(s, view, "line"), *verdict = text_of(s, view, "verdict");
    const char *why = text_of(s, view, "why");
    const char *pc = side(s, cs_json_get(view, "pc"), cs_json_get(view, "seen_pc"), "-");
    const char *crm = side(s, cs_json_get(view, "crm"), cs_json_get(view, "seen_crm"), "-");

    verdict = verdict ? verdict : "?";
    name = ctl_pad(name ? name : "?", width, s->p);
    if (!strcmp(verdict, "equal") && !strcmp(pc, crm)) {
        ctl_out("  %s  %s\n", name, pc);
        return;
    }
    ctl_out("  %s  %s%s%s\n", name, painted(s, verdict), why ? ": " : "", why ? why : "");
    if (!strcmp(pc, crm)) {
        ctl_out("  %*s  both            %s\n", width, "", pc);
    }
    else {
        ctl_out("  %*s  Partner Center  %s\n  %*s  CRM             %s\n", width, "", pc, width, "",
                crm);
    }
    if (cs_json_get(view, "value")) {
        ctl_out("  %*s  to be           %s\n", width, "",
                ctl_value(cs_json_get(view, "value"), s->p));
    }
}

static void print_lines_of_plan(const show_t *s, const json_t *lines)
{
    int width = 0;
    const char *idle = NULL;
    json_t *view;
    size_t i;

    json_array_foreach((json_t *)lines, i, view) {
        int w = ctl_width(ctl_clean(cs_json_str(view, "line"), s->p));

        width = w > width && w <= 24 ? w : width;
    }
    json_array_foreach((json_t *)lines, i, view) {
        if (is_idle(view)) {
            idle = join(s, idle, ", ", text_of(s, view, "line"));
        }
        else {
            print_line_of_plan(s, view, width);
        }
    }
    line(s, "not used", idle);
}

/* Nothing was read: what each side showed when the deal was settled. */
static void print_images(const show_t *s)
{
    static const char *const heads[] = {"LINE", "PARTNER CENTER", "CRM", "NOTE", NULL};
    const json_t *images = cs_json_get(s->deal, "images");
    ctl_table_t *table = ctl_table_make(heads, s->p);
    const char *name;
    json_t *image;

    json_object_foreach((json_t *)images, name, image) {
        const json_t *waits = cs_json_get(image, "waits"), *refused = cs_json_get(image, "refused");
        const char *note = cs_json_str(refused, "why");

        note = note ? note : cs_json_str(waits, "why");
        note = note ? note : cs_json_str(image, "rest");
        if (*name != '$') {
            ctl_table_row(table, name, ctl_value(cs_json_get(image, "pc"), s->p),
                          ctl_value(cs_json_get(image, "crm"), s->p), note);
        }
    }
    ctl_out("%s", ctl_table_text(table, s->c->tty ? s->c->width : 0, s->p));
}

static void print_sides(const show_t *s)
{
    const json_t *lines = cs_json_get(s->plan, "lines");

    if (json_array_size(lines)) {
        head(s, s->result ? "Lines, read now" : "Lines, at the last look");
        print_lines_of_plan(s, lines);
    }
    else if (json_object_size(cs_json_get(s->deal, "images"))) {
        head(s, "What each side showed last");
        print_images(s);
    }
}

static void print_card(const show_t *s, const char *name, const json_t *card)
{
    const char *status = text_of(s, card, "status"), *sub = text_of(s, card, "substatus");
    const char *at = cs_json_str(card, "updatedDateTime")
                         ? apr_pstrcat(s->p, ctl_when(cs_json_get(card, "updatedDateTime"), s->p),
                                       " UTC", NULL)
                         : NULL;

    if (json_is_object(card)) {
        line(s, name, join(s, join(s, status, "/", sub), ", changed ", at));
    }
}

static void print_reads(const show_t *s)
{
    const json_t *record = cs_json_get(s->result, "record");
    const json_t *problem = cs_json_get(s->result, "problem");

    if (!s->result) {
        return;
    }
    head(s, "Read now");
    print_card(s, "referral", cs_json_get(s->result, "partner_center"));
    if (!json_is_object(cs_json_get(s->result, "partner_center"))) {
        line(s, "referral", "none");
    }
    print_card(s, "Microsoft's", cs_json_get(s->result, "microsoft"));
    line(s, "record",
         json_is_object(record) ? apr_psprintf(s->p, "%s, %d columns, changed %s UTC",
                                               ctl_clean(cs_json_str(record, "table"), s->p),
                                               (int)json_object_size(cs_json_get(record, "row")),
                                               ctl_when(cs_json_get(record, "modified"), s->p))
                                : "none");
    line(s, "failed", join(s, text_of(s, problem, "upstream"), ": ", text_of(s, problem, "text")));
    line(s, "requests",
         apr_psprintf(s->p, "%" APR_INT64_T_FMT, cs_json_int(s->result, "calls", 0)));
}

/* ---- what would be done ---- */

static const char *members_of(const show_t *s, const json_t *columns)
{
    const char *out = "", *name;
    json_t *value;
    size_t i;

    json_object_foreach((json_t *)columns, name, value) {
        out = apr_pstrcat(s->p, out, *out ? ", " : "", ctl_clean(name, s->p), " = ",
                          ctl_cut(ctl_value(value, s->p), 60, s->p), NULL);
    }
    json_array_foreach((json_t *)columns, i, value) {
        const char *path = text_of(s, value, "path"), *op = text_of(s, value, "op");
        const json_t *to = cs_json_get(value, "value");

        out = apr_pstrcat(s->p, out, *out ? ", " : "", op ? op : "", " ", path ? path : "",
                          to ? " = " : "", to ? ctl_cut(ctl_value(to, s->p), 60, s->p) : "", NULL);
    }
    return out;
}

static void print_step(const show_t *s, size_t number, const json_t *step)
{
    const char *kind = text_of(s, step, "kind"), *table = text_of(s, step, "table");
    const char *id = text_of(s, step, "id"), *why = text_of(s, step, "why");
    const char *call = text_of(s, step, "call");
    const char *what = members_of(s, cs_json_get(step, "columns"));

    ctl_out("  %d. %s%s%s%s%s%s%s%s\n", (int)number + 1, kind ? kind : "?", call ? " " : "",
            call ? call : "", table ? " " : "", table ? table : "", id ? " " : "", id ? id : "",
            cs_json_bool(step, "send", 1) ? "" : " (shown only)");
    line(s, "", what);
    line(s, "because", why);
}

static void print_plan(const show_t *s)
{
    const char *what = text_of(s, s->plan, "what"), *why = text_of(s, s->plan, "why");
    json_t *step;
    size_t i;

    if (!json_is_object(s->plan)) {
        return;
    }
    head(s, s->result ? "What a look would do now" : "What the last look did");
    line(s, "in short", text_of(s, s->result, "text"));
    line(s, what ? what : "?", why ? why : "-");
    line(s, "mapping", text_of(s, s->plan, "mapping"));
    json_array_foreach(cs_json_get(s->plan, "steps"), i, step) {
        print_step(s, i, step);
    }
}

static void print_history(const show_t *s, int lines)
{
    const json_t *journal = cs_json_get(s->page, "journal");
    size_t n = json_array_size(journal), i;

    if (!n) {
        return;
    }
    head(s, "History, newest first (UTC)");
    for (i = 0; i < n && (int)i < lines; i++) {
        const json_t *one = json_array_get(journal, i);

        ctl_out("  %s  %s\n", ctl_when(cs_json_get(one, "at"), s->p),
                ctl_journal_line(s->c, one, s->p));
    }
    if ((int)n > lines) {
        ctl_out("  ... cosellctl journal --deal %" APR_INT64_T_FMT "\n",
                cs_json_int(s->deal, "id", 0));
    }
}

/* ---- the verb ---- */

/* No deal yet: a notice about it may be here, and its referral may be there. */
static void print_unmet(const show_t *s)
{
    const json_t *work = cs_json_get(s->page, "waiting");
    const char *name = text_of(s, work, "name");

    ctl_out("%s %s\n", name ? name : ctl_clean(ctl_arg(s->c, 0), s->p),
            name ? "waits for its first look" : "is no deal yet");
    print_work(s, work, cs_json_get(work, "suspended"));
}

static void print_all(const show_t *s, int lines)
{
    if (json_is_object(s->deal)) {
        print_standing(s);
    }
    else {
        print_unmet(s);
    }
    print_reads(s);
    print_sides(s);
    print_plan(s);
    print_history(s, lines);
}

static int read_both(show_t *s, ctl_job_t *job)
{
    json_t *wish = ctl_wish(s->c, "show");
    int rc;

    ctl_wish_text(wish, "id", ctl_arg(s->c, 0));
    rc = ctl_job_run(s->c, wish, 0, job);
    if (rc == CTL_DONE) {
        s->result = cs_json_get(job->job, "result");
        s->plan = cs_json_get(s->result, "plan");
    }
    return rc;
}

/* What the page says of the deal is as it is now: a look may have settled it meanwhile. With people
 * what is stored is shown even when nothing can be read. */
int ctl_run_show(ctl_t *c)
{
    const char *text = ctl_opt(c, "lines");
    int lines = text ? atoi(text) : 10, offline = ctl_opt(c, "offline") != NULL, code = CTL_DONE;
    show_t s = {.c = c, .p = c->p};
    ctl_answer_t page;
    ctl_job_t job;

    if (text && (lines < 1 || strspn(text, "0123456789") != strlen(text))) {
        ctl_error("--lines %s: allowed is a number from 1 on", ctl_clean(text, c->p));
        return CTL_USAGE;
    }
    ctl_ask_deal(c, ctl_arg(c, 0), &page, c->p);
    if (page.code && (page.code != CTL_NOT_FOUND || offline)) {
        ctl_error("%s", page.why);
        return page.code;
    }
    s.page = page.doc;
    s.deal = cs_json_get(page.doc, "deal");
    s.plan = cs_json_get(s.deal, "explain");
    if (offline && c->json) {
        ctl_print_json(&page);
        return CTL_DONE;
    }
    code = offline ? CTL_DONE : read_both(&s, &job);
    if (page.code && code == CTL_FAILED) {
        return CTL_NOT_FOUND;
    }
    if (code == CTL_INTERRUPTED || c->json || (code && page.code)) {
        return code;
    }
    if (code) {
        ctl_note("what is stored of it:\n");
    }
    print_all(&s, lines);
    return code;
}
