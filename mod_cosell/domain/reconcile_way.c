/* domain/reconcile_way.c: may a value travel, and what is said when it may not. (deals 2) */
#include <apr_strings.h>
#include <string.h>

#include "../base/decimal.h"
#include "reconcile_internal.h"

#define WORDS_MAX 60
#define CONTEXT_MAX 30 /* of what is the same, before what differs */

const char *cs_value_words(const json_t *value, apr_pool_t *p)
{
    const char *amount = cs_json_str(value, "amount"), *currency = cs_json_str(value, "currency"),
               *text;

    if (!value) {
        return "unreadable";
    }
    if (json_is_null(value)) {
        return "empty";
    }
    if (amount || currency) {
        return apr_pstrcat(p, amount ? amount : "no amount", " ",
                           currency ? currency : "without currency", NULL);
    }
    text = cs_json_print(value, p);
    if (cs_text_units(text) > WORDS_MAX) {
        return apr_pstrcat(p, cs_text_head(text, WORDS_MAX - 4, p), "...",
                           json_is_string(value) ? "\"" : "", NULL);
    }
    return text;
}

/* A whole character before at, but not before text. */
static const char *char_before(const char *text, const char *at)
{
    do {
        at -= at > text;
    } while (at > text && ((unsigned char)*at & 0xC0) == 0x80);
    return at;
}

const char *cs_difference_words(const json_t *value, const json_t *other, apr_pool_t *p)
{
    const char *text = json_string_value(value), *with = json_string_value(other), *at, *space;
    size_t same = 0;
    int i;

    while (text[same] && text[same] == with[same]) {
        same++;
    }
    at = text + same;
    while (at > text && ((unsigned char)*at & 0xC0) == 0x80) {
        at--; /* they may part within a character */
    }
    for (i = 0; i < CONTEXT_MAX; i++) {
        at = char_before(text, at);
    }
    space = at > text ? strchr(at, ' ') : NULL;
    at = space && space + 1 < text + same ? space + 1 : at;
    return cs_value_words(
        cs_json_own(json_string(apr_pstrcat(p, at > text ? "\xe2\x80\xa6" : "", at, NULL)), p), p);
}

void cs_view_judge(cs_line_view_t *view, cs_verdict_e verdict, const char *why)
{
    view->verdict = verdict;
    view->why = why;
    view->take = 0;
    view->rest = NULL;
    view->value = NULL;
    view->to_crm = view->to_pc = view->bulk = 0;
    view->least = 0;
}

void cs_view_take(cs_line_view_t *view, cs_verdict_e verdict, const char *rest, const char *why)
{
    cs_view_judge(view, verdict, why);
    view->take = 1;
    view->rest = rest;
}

/* ---- what is known of a line ---- */

const char *cs_line_sign(const cs_line_t *line, apr_pool_t *p)
{
    const char *text = apr_psprintf(
        p, "%d|%s|%s|%s|%s|%d|%s|%s|%s", (int)line->type, line->pc ? line->pc->text : "",
        line->pc_currency ? line->pc_currency->text : "",
        line->crm && line->crm->text ? line->crm->text : "",
        line->currency                                   ? line->currency
        : line->crm_currency && line->crm_currency->text ? line->crm_currency->text
                                                         : "",
        line->type == CS_TYPE_DATE ? line->zone : 0,
        line->to_crm.constant ? cs_json_print(line->to_crm.constant, p) : "",
        line->to_pc.constant ? cs_json_print(line->to_pc.constant, p) : "",
        line->find ? line->find->name : "");
    unsigned hash = 2166136261u;
    int i;

    for (i = 0; line->crm_more && i < line->crm_more->nelts; i++) {
        const cs_column_t *more = APR_ARRAY_IDX(line->crm_more, i, const cs_column_t *);

        text = apr_pstrcat(p, text, "|", more->text ? more->text : "", NULL);
    }
    for (; *text; text++) {
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    }
    return apr_psprintf(p, "%08x", hash);
}

const char *cs_image_refused(const cs_planning_t *pl, const char *line, const json_t *pc)
{
    const json_t *refused = cs_json_get(cs_json_get(pl->look->deal->images, line), "refused");
    const char *mapping = cs_json_str(refused, "mapping");

    if (!refused || !pc || pl->look->notified || !json_equal(cs_json_get(refused, "pc"), pc) ||
        !mapping || strcmp(mapping, cs_mapping_digest(pl->look->mapping))) {
        return NULL;
    }
    return cs_json_str(refused, "why");
}

const char *cs_image_refused_there(const cs_planning_t *pl, const char *line, const json_t *crm)
{
    const json_t *refused = cs_json_get(cs_json_get(pl->look->deal->images, line), "refused");
    const char *mapping = cs_json_str(refused, "mapping");

    if (!refused || !crm || pl->look->notified || !json_equal(cs_json_get(refused, "crm"), crm) ||
        !mapping || strcmp(mapping, cs_mapping_digest(pl->look->mapping))) {
        return NULL;
    }
    return cs_json_str(refused, "why");
}

int cs_planning_shared(const cs_planning_t *pl)
{
    const json_t *consent = cs_json_get(pl->doc, "consent");

    return pl->look->microsoft ||
           cs_json_bool(consent, "consentToShareReferralWithMicrosoftSellers", 0) == 1;
}

int cs_planning_remapped(const cs_planning_t *pl)
{
    const char *was = pl->look->deal->mapping;

    return !pl->creating && !pl->first && was && strcmp(was, cs_mapping_digest(pl->look->mapping));
}

/* ---- may it go that way? ---- */

int cs_planning_ended(const cs_planning_t *pl)
{
    const char *to = pl->heard ? json_string_value(pl->state->value) : NULL;

    return pl->terminal || (to && !strcmp(to, "Closed/Declined"));
}

int cs_view_ended(const cs_planning_t *pl, cs_line_view_t *view)
{
    if (!cs_planning_ended(pl)) {
        return 0;
    }
    cs_view_judge(view, CS_VERDICT_CLOSED,
                  pl->terminal ? "the referral is closed at Partner Center; edits stay here"
                               : "the referral is being declined; edits stay here");
    return 1;
}

int cs_view_shut(const cs_planning_t *pl, cs_line_view_t *view)
{
    if (cs_planning_writable(pl)) {
        return 0;
    }
    if (pl->row_state < 0) {
        cs_view_judge(view, CS_VERDICT_UNREADABLE,
                      "the CRM did not show whether the record is open");
    }
    else {
        cs_view_judge(view, CS_VERDICT_CLOSED, "the record is closed in the CRM");
    }
    return 1;
}

cs_travel_t cs_travel(const cs_planning_t *pl, const cs_line_t *line, const cs_way_t *way,
                      int events)
{
    cs_travel_t out = {way->on && (way->events & events), 1, NULL};
    const cs_cond_t *conds[] = {line->when, way->when};
    int i;

    for (i = 0; i < 2 && out.holds == 1; i++) {
        out.holds = cs_cond_holds(conds[i], &pl->world);
        if (out.holds == 0) {
            out.why = apr_psprintf(pl->p, "only when %s", conds[i]->text);
        }
        else if (out.holds < 0) {
            out.why = apr_psprintf(pl->p, "a column of %s could not be read", conds[i]->text);
        }
    }
    return out;
}

int cs_line_computed(const cs_planning_t *pl, const cs_line_t *line)
{
    return cs_json_bool(cs_column_facts(&pl->table, line->crm), "calculated", 0);
}

static const char *no_good(const cs_planning_t *pl, const char *bad)
{
    return apr_psprintf(pl->p, "not copied: %s", bad);
}

static int judge_conv(cs_planning_t *pl, cs_line_view_t *view, const cs_conv_t *conv)
{
    switch (conv->what) {
    case CS_CONV_OK:
        return 1;
    case CS_CONV_SKIP:
        cs_view_judge(view, CS_VERDICT_SKIPPED, conv->why);
        break;
    case CS_CONV_HOLD:
        cs_view_judge(view, CS_VERDICT_HELD, conv->why);
        break;
    default:
        cs_view_judge(view, CS_VERDICT_REFUSED, no_good(pl, conv->why));
        break;
    }
    return 0;
}

/* Money never travels half, a look-up not without a key. */
static int money_may(const cs_line_t *line, cs_line_view_t *view)
{
    if (line->type != CS_TYPE_MONEY || line->to_crm.constant) {
        return 1;
    }
    if (cs_money_is_half(view->pc)) {
        cs_view_judge(view, CS_VERDICT_HELD,
                      json_is_null(cs_json_get(view->pc, "amount"))
                          ? "a currency without an amount"
                          : "an amount without a currency");
        return 0;
    }
    if (json_is_null(view->pc)) {
        cs_view_judge(view, CS_VERDICT_SKIPPED, "an empty amount is not copied");
        return 0;
    }
    return 1;
}

static int lookup_may(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view)
{
    const char *text;

    if (line->type != CS_TYPE_LOOKUP || line->to_crm.constant) {
        return 1;
    }
    text = line->pc ? cs_scalar_text(cs_path_get(line->pc, pl->doc), pl->ptemp) : NULL;
    if (json_is_null(view->pc) ||
        !cs_find_lookup(line->find, pl->doc, NULL, text, line->name, pl->creating, pl->ptemp)) {
        cs_view_judge(view, CS_VERDICT_SKIPPED, "no key to look up by");
        return 0;
    }
    return 1;
}

/* Whatever else the line's rules say, what is set is not taken back. */
static int latch_may(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view, int to_pc)
{
    int falls = cs_line_level(line, to_pc ? view->pc : view->crm, to_pc, pl->ptemp) -
                cs_line_level(line, to_pc ? view->crm : view->pc, !to_pc, pl->ptemp);

    if (!line->latch || pl->creating || falls <= 0) {
        return 1;
    }
    cs_view_take(view, CS_VERDICT_ONE_WAY, CS_REST_ONE_WAY,
                 to_pc ? "set at Partner Center, and never taken back"
                       : "set in the CRM, and never taken back");
    return 0;
}

/* Emptiness is not copied over what must be there. */
static int required_may(const cs_way_t *way, const cs_conv_t *conv, cs_line_view_t *view,
                        const char *why)
{
    if (!way->required || !json_is_null(conv->value)) {
        return 1;
    }
    cs_view_judge(view, CS_VERDICT_HELD, why);
    return 0;
}

/* What the CRM says about itself, and what it said the last time. */
static int crm_may(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view)
{
    const json_t *facts = cs_column_facts(&pl->table, line->crm);
    const char *refused = cs_image_refused(pl, line->name, view->pc);

    if (!cs_json_bool(facts, pl->creating ? "create" : "update", 1)) {
        cs_view_judge(
            view, CS_VERDICT_REFUSED,
            apr_psprintf(pl->p, "the CRM does not let mod_cosell's user write %s",
                         cs_column_label(pl->look->metadata, pl->kind->table, line->crm->name)));
        return 0;
    }
    if (refused) {
        cs_view_judge(view, CS_VERDICT_REFUSED,
                      apr_psprintf(pl->p, "was refused by the CRM: %s", refused));
        return 0;
    }
    return !cs_view_shut(pl, view);
}

int cs_view_to_crm(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view, const char *bad,
                   const char *why)
{
    cs_conv_t conv;

    if (bad) {
        cs_view_judge(view, CS_VERDICT_REFUSED, no_good(pl, bad));
        return 0;
    }
    if (!money_may(line, view) || !lookup_may(pl, line, view) || !latch_may(pl, line, view, 0)) {
        return 0;
    }
    if (line->to_crm.only_if_empty && !pl->creating && !json_is_null(view->crm)) {
        cs_view_judge(view, CS_VERDICT_SKIPPED, "only while the column is empty");
        return 0;
    }
    cs_line_to_crm(&conv, line, &pl->table, view->pc, pl->p);
    if (!judge_conv(pl, view, &conv) ||
        !required_may(&line->to_crm, &conv, view, "required, and Partner Center has none now") ||
        !crm_may(pl, line, view)) {
        return 0;
    }
    cs_view_judge(view, CS_VERDICT_TO_CRM, why);
    view->value = view->pc;
    view->to_crm = 1;
    return 1;
}

/* What is written when Microsoft is invited cannot be changed afterwards. */
static int invited_may(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view)
{
    if (!line->pc || line->pc->root != CS_ROOT_INVITE ||
        (line->latch && !cs_line_level(line, view->pc, 1, pl->ptemp))) {
        return 1;
    }
    cs_view_take(view, CS_VERDICT_ONE_WAY, CS_REST_ONE_WAY,
                 "written once, when Microsoft was invited");
    return 0;
}

static int amount_may(const cs_line_t *line, cs_line_view_t *view, apr_pool_t *p)
{
    const char *amount = cs_json_str(view->crm, "amount");
    const char *theirs = cs_json_str(view->pc, "currency");

    if (line->type != CS_TYPE_MONEY || line->to_pc.constant) {
        return 1;
    }
    if (cs_money_is_half(view->crm)) {
        cs_view_judge(view, CS_VERDICT_HELD, "an amount without a currency");
        return 0;
    }
    if (line->currency && theirs && strcmp(theirs, line->currency)) {
        cs_view_judge(view, CS_VERDICT_HELD, cs_currency_words(line, theirs, p));
        return 0;
    }
    if (json_is_null(view->crm) || (!line->zero_send && cs_decimal_is_zero(amount))) {
        cs_view_judge(view, CS_VERDICT_SKIPPED, "a zero or empty amount is not sent");
        return 0;
    }
    if (amount && *amount == '-') {
        cs_view_judge(view, CS_VERDICT_REFUSED,
                      "not copied: Partner Center takes no negative amount");
        return 0;
    }
    return 1;
}

/* What the row found does not show cannot be named at Partner Center. */
static int key_may(const cs_line_t *line, cs_line_view_t *view)
{
    const char *key =
        line->type == CS_TYPE_LOOKUP && !line->to_pc.constant ? cs_find_own_key(line->find) : NULL;

    if (!key || !json_is_object(view->crm) || !cs_value_empty(cs_json_get(view->crm, key))) {
        return 1;
    }
    cs_view_judge(view, CS_VERDICT_HELD, "what it names has no key");
    return 0;
}

static int pc_may(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view)
{
    const char *refused = cs_image_refused_there(pl, line->name, view->crm);

    if (!refused) {
        return 1;
    }
    cs_view_judge(view, CS_VERDICT_REFUSED,
                  apr_psprintf(pl->p, "was refused by Partner Center: %s", refused));
    return 0;
}

int cs_view_to_pc(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view, const char *bad,
                  const char *why)
{
    cs_conv_t conv;

    if (cs_view_ended(pl, view)) {
        return 0;
    }
    if (bad) {
        cs_view_judge(view, CS_VERDICT_REFUSED, no_good(pl, bad));
        return 0;
    }
    if (!latch_may(pl, line, view, 1) || !invited_may(pl, line, view) ||
        !amount_may(line, view, pl->p) || !key_may(line, view)) {
        return 0;
    }
    if (line->to_pc.only_if_empty && !json_is_null(view->pc)) {
        cs_view_judge(view, CS_VERDICT_SKIPPED, "only while the member is empty");
        return 0;
    }
    cs_line_to_pc(&conv, line, &pl->table, view->crm, pl->p);
    if (!judge_conv(pl, view, &conv) ||
        !required_may(&line->to_pc, &conv, view, "required, and the record has none now") ||
        !pc_may(pl, line, view)) {
        return 0;
    }
    cs_view_judge(view, CS_VERDICT_TO_PC, why);
    view->value = view->crm;
    view->to_pc = 1;
    return 1;
}
