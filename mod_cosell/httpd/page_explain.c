/* httpd/page_explain.c: what a seller reads who follows the link in the CRM record: one deal, in
 * plain words, and nothing of the administrator's. (deals 6) */
#include "page.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"

/* X(status, what it means, who acts and how, what happens next) */
static const struct {
    const char *status, *means, *act, *next;
} all[] = {
    {"Waiting", "Something is missing before this deal can be shared or written.",
     "Fill in what is named above, in the CRM record. Nothing else is needed.",
     "It goes on by itself, usually within a minute of your change."},
    {"Sending", "It is on its way to Partner Center.", "Nothing to do.",
     "It is sent once nobody has edited the record for a short while; then this changes to In "
     "sync."},
    {"In sync", "The CRM record and the referral in Partner Center say the same.",
     "Nothing to do.", "Changes on either side travel to the other by themselves."},
    {"In sync, not all",
     "The two sides are kept the same, but for what is named above.",
     "You may change it as said above; the deal goes on either way.",
     "Everything else travels by itself."},
    {"Not accepted", "Nobody has accepted this referral yet.",
     "Accept or decline it as said above, in the CRM, before it expires.",
     "Your answer is sent to Partner Center by itself."},
    {"Needs you", "The two sides say different things, and only a person can tell which is right.",
     "Type the right value once more as said above, on either side: the next edit settles it.",
     "Then it goes on by itself, usually within a minute."},
    {"Needs admin", "Something is wrong that your administrator must mend.",
     "Tell your administrator what is said above.",
     "Nothing is lost: it goes on by itself once that is mended."},
    {"Paused", "This deal is not kept the same on both sides for now.",
     "If you want it to be, switch the sync on again in the CRM record.",
     "What changed meanwhile on both sides is compared then."},
    {"Closed", "The deal has ended at Partner Center.", "Nothing to do.",
     "Edits in the CRM stay in the CRM."},
    {"Gone", "One of the two sides was deleted.",
     "If that was a mistake, tell your administrator.",
     "Nothing is made again by itself; a restored record goes on."},
};

static int row_of(const char *status)
{
    int i, n = (int)(sizeof(all) / sizeof(all[0]));

    for (i = 0; status && i < n; i++) {
        if (!strcmp(status, all[i].status)) {
            return i;
        }
    }
    return -1;
}

static void part(cosell_html_t *h, const char *title, const char *text)
{
    cosell_element(h, "h2", title);
    cosell_element(h, "p", text);
}

static void name_row(cosell_html_t *h, const char *name, const char *id, const char *link)
{
    if (!id) {
        return;
    }
    cosell_element(h, "dt", name);
    cosell_open(h, "dd");
    cosell_open(h, "code");
    cosell_foreign(h, id, 100);
    cosell_close(h);
    if (cosell_safe_link(link)) {
        cosell_text(h, " ");
        cosell_link_out(h, link, "open");
    }
    cosell_close(h);
}

static void names(cosell_html_t *h, const json_t *deal)
{
    cosell_element(h, "h2", "Its names");
    cosell_element(h, "p", "Any of these leads to this page.");
    cosell_open(h, "dl");
    cosell_attr(h, "class", "facts");
    name_row(h, "Record in the CRM", cs_json_str(deal, "record"), cs_json_str(deal, "link"));
    name_row(h, "Referral in Partner Center", cs_json_str(deal, "referral"),
             cs_json_str(deal, "referral_link"));
    name_row(h, "Engagement", cs_json_str(deal, "engagement"), NULL);
    cosell_close(h);
}

/* Lines on which the two sides differ and that somebody may wonder about. */
static void differing(cosell_html_t *h, const cosell_view_t *v, const json_t *lines)
{
    static const char *const columns[] = {"What", "In Partner Center", "In the CRM", "Why", NULL};
    size_t i;
    int n = 0;

    for (i = 0; i < json_array_size(lines); i++) {
        const json_t *line = json_array_get(lines, i);
        const char *verdict = cs_json_str(line, "verdict"), *name = cs_json_str(line, "line");
        const json_t *pc = cs_json_get(line, "pc"), *crm = cs_json_get(line, "crm");

        if (!verdict || !name || *name == '$' || !pc || !crm
            || (strcmp(verdict, "held") && strcmp(verdict, "refused")
                && strcmp(verdict, "not kept"))) {
            continue;
        }
        if (!n++) {
            cosell_element(h, "h2", "What differs");
            cosell_table_begin(h, "What differs", columns);
        }
        cosell_open(h, "tr");
        cosell_cell_text(h, "What", name);
        cosell_cell_text(h, "In Partner Center", cosell_value(pc, v->p));
        cosell_cell_text(h, "In the CRM", cosell_value(crm, v->p));
        cosell_cell_text(h, "Why", cs_json_str(line, "why"));
        cosell_close(h);
    }
    if (n) {
        cosell_table_end(h);
    }
}

static void on_its_way(cosell_html_t *h, const cosell_view_t *v)
{
    cosell_frame_begin(h, v, "On its way", 0);
    part(h, "What this means",
         "A change of this deal was noticed, and has not been worked on yet.");
    part(h, "What to do", "Nothing. If this does not change within an hour, tell your "
                          "administrator.");
    cosell_frame_end(h, v);
}

void cosell_view_explain(cosell_html_t *h, const cosell_view_t *v, const json_t *doc)
{
    const json_t *deal = cs_json_get(doc, "deal");
    const char *title = cs_json_str(deal, "title"), *status = cs_json_str(deal, "status");
    const char *problem = cs_json_str(deal, "problem"), *state = cs_json_str(deal, "state");
    int row = row_of(status);

    if (!deal) {
        on_its_way(h, v);
        return;
    }
    cosell_frame_begin(h, v, title && *title ? title : "Your deal", 0);
    cosell_open(h, "div");
    cosell_attr(h, "class", apr_pstrcat(v->p, "note ", cosell_tone(status), NULL));
    cosell_open(h, "p");
    cosell_badge(h, status, status ? status : cosell_state_word(state));
    cosell_close(h);
    if (problem) {
        cosell_open(h, "p");
        cosell_foreign(h, problem, 2000);
        cosell_close(h);
    }
    cosell_close(h);
    part(h, "What this means", row >= 0 ? all[row].means : cosell_state_text(state));
    part(h, "What to do", row >= 0 ? all[row].act
                                   : "If you expected something else, tell your administrator.");
    part(h, "What happens next", row >= 0 ? all[row].next : "Nothing by itself.");
    if (cs_json_str(deal, "next_look")) {
        cosell_open(h, "p");
        cosell_text(h, "It is looked at again ");
        cosell_time(h, v, cs_json_str(deal, "next_look"), "");
        cosell_close(h);
    }
    differing(h, v, cs_json_get(doc, "lines"));
    names(h, deal);
    cosell_frame_end(h, v);
}
