/* httpd/page_deal.c: one deal: is it in the CRM and if not why, what happens next, both sides line
 * by line, and what happened. */
#include "page.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"

#define CHOICES_MAX 10
#define ID_CHARACTERS "0123456789-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static const char *number_of(const cosell_view_t *v, const json_t *deal)
{
    return apr_psprintf(v->p, "%" APR_INT64_T_FMT, cs_json_int(deal, "id", 0));
}

static int is(const char *a, const char *b)
{
    return a && !strcmp(a, b);
}

/* ---- the answer ---- */

static void answer(cosell_html_t *h, const cosell_view_t *v, const json_t *deal)
{
    const char *state = cs_json_str(deal, "state"), *link = cs_json_str(deal, "link");
    const char *status = cs_json_str(deal, "status"), *problem = cs_json_str(deal, "problem");
    int here = is(state, "linked") || is(state, "closed") ||
               (is(state, "unlinked") && cs_json_str(deal, "crm_version"));

    cosell_open(h, "div");
    cosell_attr(h, "class", apr_pstrcat(v->p, "note ", here && !is(cosell_tone(status), "bad")
                                                           ? "good" : "wait", NULL));
    cosell_open(h, "p");
    cosell_element(h, "strong", here ? "In the CRM: yes. " : "In the CRM: no. ");
    cosell_text(h, cosell_state_text(state));
    if (link && here) {
        cosell_text(h, " ");
        cosell_link_out(h, link, "Open the record");
    }
    cosell_close(h);
    if (status || problem) {
        cosell_open(h, "p");
        if (status) {
            cosell_text(h, "The seller reads: ");
            cosell_badge(h, status, status);
            cosell_text(h, " ");
        }
        cosell_foreign(h, problem, 1000);
        cosell_close(h);
    }
    cosell_close(h);
}

/* ---- what happens next ---- */

static void next_of_work(cosell_html_t *h, const cosell_view_t *v, const json_t *work,
                         const json_t *suspended)
{
    const char *state = cs_json_str(work, "state"), *detail = cs_json_str(work, "detail");

    cosell_open(h, "li");
    if (is(state, "dead")) {
        cosell_text(h, "Its look was given up: ");
        cosell_foreign(h, detail ? detail : cs_json_str(work, "problem"), 500);
        cosell_text(h, ". A new notice, a newer version, a changed mapping or a person wakes it.");
    }
    else if (is(state, "suspended")) {
        cosell_text(h, "It waits for ");
        cosell_foreign(h, cs_json_str(work, "upstream"), 100);
        cosell_text(h, ": ");
        cosell_foreign(h, cs_json_str(suspended ? suspended : work, "detail"), 500);
        cosell_text(h, ". Next try ");
        cosell_time(h, v, cs_json_str(suspended, "probe"), "when that works again");
    }
    else {
        cosell_textf(h, "%d notices wait for its look, the oldest of ",
                     (int)cs_json_int(work, "outstanding", 0));
        cosell_time(h, v, cs_json_str(work, "first"), "an unknown time");
        cosell_text(h, ". It is due ");
        cosell_time(h, v, cs_json_str(work, "due"), "now");
        if (detail) {
            cosell_textf(h, ", after %d tries: ", (int)cs_json_int(work, "attempts", 0));
            cosell_foreign(h, detail, 500);
        }
    }
    cosell_close(h);
}

static void steps(cosell_html_t *h, const json_t *explain)
{
    const json_t *list = cs_json_get(explain, "steps");
    size_t i;

    for (i = 0; i < json_array_size(list) && i < 20; i++) {
        const json_t *step = json_array_get(list, i);

        if (!cs_json_bool(step, "send", 0) && cs_json_str(step, "why")) {
            cosell_open(h, "li");
            cosell_text(h, "Kept back: ");
            cosell_foreign(h, cs_json_str(step, "why"), 300);
            cosell_close(h);
        }
    }
}

/* What a status waits for; NULL = for nobody. */
static const char *status_next(const char *status)
{
    return is(status, "Needs you")      ? "It waits for a person, who settles what is named above "
                                          "by a button below, or by an edit on either side."
           : is(status, "Waiting")      ? "It waits for what is named above, and goes on by itself "
                                          "once that is there."
           : is(status, "Not accepted") ? "It waits for the seller to accept or decline it."
           : is(status, "Needs admin")  ? "It waits for you: see the overview."
           : is(status, "Paused")       ? "The seller switched it off, or it is held: nothing is "
                                          "copied until that ends."
                                        : NULL;
}

static void next(cosell_html_t *h, const cosell_view_t *v, const json_t *doc)
{
    const char *waits_for = status_next(cs_json_str(cs_json_get(doc, "deal"), "status"));

    const json_t *deal = cs_json_get(doc, "deal"), *work = cs_json_get(doc, "work");
    int waits = json_is_object(work) && (cs_json_int(work, "outstanding", 0) > 0
                                         || !is(cs_json_str(work, "state"), "ready"));

    cosell_element(h, "h2", "What happens next");
    cosell_open(h, "ul");
    if (json_is_object(cs_json_get(doc, "paused"))) {
        cosell_element(h, "li", "The site is paused: nothing is looked at until it is resumed.");
    }
    if (waits) {
        next_of_work(h, v, work, cs_json_get(doc, "suspended"));
    }
    if (cs_json_bool(deal, "quarrels", 0)) {
        cosell_element(h, "li", "It is held for an hour, because somebody else writes against it.");
    }
    if (cs_json_str(deal, "next_look")) {
        cosell_open(h, "li");
        cosell_text(h, "It is looked at again ");
        cosell_time(h, v, cs_json_str(deal, "next_look"), "");
        cosell_close(h);
    }
    if (waits_for) {
        cosell_element(h, "li", waits_for);
    }
    steps(h, cs_json_get(deal, "explain"));
    if (!waits && !waits_for && !cs_json_str(deal, "next_look")) {
        cosell_element(h, "li", "Nothing until one of the two sides changes.");
    }
    cosell_close(h);
}

/* ---- names ---- */

static void name_pair(cosell_html_t *h, const char *name, const char *id, const char *link)
{
    cosell_element(h, "dt", name);
    cosell_open(h, "dd");
    if (id) {
        cosell_open(h, "code");
        cosell_foreign(h, id, 100);
        cosell_close(h);
        if (cosell_safe_link(link)) {
            cosell_text(h, " ");
            cosell_link_out(h, link, "open");
        }
    }
    else {
        cosell_text(h, "none yet");
    }
    cosell_close(h);
}

static void names(cosell_html_t *h, const cosell_view_t *v, const json_t *deal)
{
    const char *crm = cs_json_str(deal, "crm"), *kind = cs_json_str(deal, "kind");

    cosell_element(h, "h2", "Names");
    cosell_open(h, "dl");
    cosell_attr(h, "class", "facts");
    name_pair(h, "Referral", cs_json_str(deal, "referral"), cs_json_str(deal, "referral_link"));
    name_pair(h, "Engagement", cs_json_str(deal, "engagement"), NULL);
    name_pair(h, apr_pstrcat(v->p, "Record", crm ? " in " : "", crm ? crm : "", kind ? ", " : "",
                             kind ? kind : "", NULL),
              cs_json_str(deal, "record"), cs_json_str(deal, "link"));
    name_pair(h, "Deal here", number_of(v, deal), NULL);
    cosell_element(h, "dt", "State at Partner Center");
    cosell_open(h, "dd");
    cosell_foreign(h, cs_json_str(deal, "pc_status") ? cs_json_str(deal, "pc_status")
                                                     : "not settled yet", 60);
    cosell_close(h);
    cosell_element(h, "dt", "First seen");
    cosell_open(h, "dd");
    cosell_time(h, v, cs_json_str(deal, "created"), "not known");
    cosell_close(h);
    cosell_element(h, "dt", "Last changed");
    cosell_open(h, "dd");
    cosell_time(h, v, cs_json_str(deal, "updated"), "never");
    cosell_close(h);
    cosell_close(h);
}

/* ---- what may be done ---- */

static void ask_row(cosell_html_t *h, const cosell_view_t *v, const json_t *deal,
                    const char *verb, const char *label, const char *button)
{
    const char *site = cs_json_str(deal, "site");

    if (cosell_may(v, site, verb)) {
        cosell_form_begin(h, v, site, verb);
        cosell_form_hidden(h, "deal", number_of(v, deal));
        cosell_form_text(h, v, "record", label, NULL, 1);
        cosell_form_end(h, button, NULL);
    }
}

/* A row that a message names: "Contoso, Berlin (id)": its end, NULL = there is none. *pname begins
 * where the name does, *pid is the id. */
static const char *named_row(const char *text, const char **pname, const char **pid,
                             apr_pool_t *p)
{
    const char *open, *name = text;

    for (open = strchr(text, '('); open; open = strchr(open + 1, '(')) {
        size_t len = strspn(open + 1, ID_CHARACTERS);
        const char *at = open;

        if (open[len + 1] != ')' || (len != 36 && len != 18 && len != 15)) {
            continue;
        }
        while (at > text && at[-1] != ',' && at[-1] != ':' && at[-1] != ';') {
            at--;
        }
        name = at + strspn(at, " ");
        *pname = apr_pstrmemdup(p, name, (apr_size_t)(open - name));
        *pid = apr_pstrmemdup(p, open + 1, len);
        return open + len + 2;
    }
    return NULL;
}

/* One button for each of the rows among which somebody is to choose. */
static void choices(cosell_html_t *h, const cosell_view_t *v, const json_t *deal)
{
    const char *site = cs_json_str(deal, "site"), *text = cs_json_str(deal, "problem");
    const char *name, *id;
    int n;

    for (n = 0; cosell_may(v, site, "choose") && text && n < CHOICES_MAX; n++) {
        text = named_row(text, &name, &id, v->p);
        if (text) {
            cosell_form_begin(h, v, site, "choose");
            cosell_form_hidden(h, "deal", number_of(v, deal));
            cosell_form_hidden(h, "row", id);
            cosell_form_end(h, apr_psprintf(v->p, "Take %.60s(%s)", name, id), NULL);
        }
    }
}

static void deal_button(cosell_html_t *h, const cosell_view_t *v, const json_t *deal,
                        const char *verb, const char *button)
{
    cosell_button(h, v, cs_json_str(deal, "site"), verb, "deal", number_of(v, deal), button);
}

static void resync_button(cosell_html_t *h, const cosell_view_t *v, const json_t *deal)
{
    const char *site = cs_json_str(deal, "site");

    if (cosell_may(v, site, "resync")) {
        cosell_form_begin(h, v, site, "resync");
        cosell_form_hidden(h, "id", number_of(v, deal));
        cosell_form_hidden(h, "dry_run", "true");
        cosell_form_end(h, "What would a resync change?", NULL);
    }
}

static void actions(cosell_html_t *h, const cosell_view_t *v, const json_t *doc)
{
    const json_t *deal = cs_json_get(doc, "deal");
    const char *site = cs_json_str(deal, "site"), *state = cs_json_str(deal, "state");
    int dead = is(cs_json_str(cs_json_get(doc, "work"), "state"), "dead");

    if (!v->tokens || !site || !cs_json_str(v->tokens, site)) {
        return;
    }
    cosell_element(h, "h2", "Do");
    cosell_open(h, "div");
    cosell_attr(h, "class", "acts");
    if (dead) {
        deal_button(h, v, deal, "retry", "Try again");
        deal_button(h, v, deal, "drop", "Drop");
    }
    cosell_button(h, v, site, "look", "id", number_of(v, deal), "Look at it now");
    resync_button(h, v, deal);
    if (cs_json_bool(deal, "quarrels", 0)) {
        cosell_button(h, v, site, "release", "brake",
                      apr_pstrcat(v->p, "quarrel:", number_of(v, deal), NULL), "Let it go on");
    }
    if (is(state, "parked") || is(cs_json_str(deal, "status"), "Waiting")) {
        choices(h, v, deal);
    }
    if (is(state, "parked") || is(state, "new") || is(state, "ignored") ||
        is(state, "unlinked")) {
        ask_row(h, v, deal, "link", "Id of its record", "Link to this record");
        deal_button(h, v, deal, "create", "Make a new record");
    }
    if (is(state, "parked") || is(state, "new")) {
        deal_button(h, v, deal, "ignore", "Leave it alone for good");
    }
    if (is(state, "linked") || is(state, "closed")) {
        deal_button(h, v, deal, "unlink", "Unlink");
    }
    cosell_close(h);
}

/* ---- the page ---- */

/* A notice that no look has made a deal of yet. */
static void waiting(cosell_html_t *h, const cosell_view_t *v, const json_t *work)
{
    const char *name = cs_json_str(work, "name"), *site = cs_json_str(work, "site");
    const json_t *suspended = cs_json_get(work, "suspended");
    int dead = is(cs_json_str(work, "state"), "dead");

    cosell_frame_begin(h, v, dead ? "Given up" : "Not looked at yet", 0);
    cosell_open(h, "p");
    cosell_attr(h, "class", "note wait");
    cosell_element(h, "strong", "In the CRM: no. ");
    cosell_text(h, name && !strncmp(name, "pc:", 3) ? "A notice of the referral "
                                                    : "A notice of the record ");
    cosell_foreign(h, name && strchr(name, ':') ? strchr(name, ':') + 1 : name, 200);
    cosell_text(h, " came in, and no look has made a deal of it yet.");
    cosell_close(h);
    cosell_element(h, "h2", "What happens next");
    cosell_open(h, "ul");
    next_of_work(h, v, work, json_is_object(suspended) ? suspended : NULL);
    cosell_close(h);
    if (dead) {
        cosell_open(h, "div");
        cosell_attr(h, "class", "acts");
        cosell_button(h, v, site, "retry", "name", name, "Try again");
        cosell_button(h, v, site, "drop", "name", name, "Drop");
        cosell_close(h);
    }
    cosell_frame_end(h, v);
}

void cosell_view_deal(cosell_html_t *h, const cosell_view_t *v, const json_t *doc)
{
    const json_t *deal = cs_json_get(doc, "deal");
    const char *title = cs_json_str(deal, "title");

    if (!deal) {
        waiting(h, v, cs_json_get(doc, "waiting"));
        return;
    }
    cosell_frame_begin(h, v, title && *title ? title : "A deal without a title", 0);
    answer(h, v, deal);
    next(h, v, doc);
    names(h, v, deal);
    actions(h, v, doc);
    cosell_deal_lines(h, v, deal);
    cosell_timeline(h, v, deal, cs_json_get(doc, "journal"));
    cosell_frame_end(h, v);
}
