/* tests/sim/partner.c: a model of Partner Center's referrals: reads may be old, a new referral may not be visible yet, a list lags on its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <apr_strings.h>

#include "mod_cosell/base/pool.h"
#include "sim.h"

#define FIRST_DAY START_WALL

/* Two spellings of one customer, and one whose rows in the CRM are ambiguous. */
static const struct {
    const char *name, *postal, *external;
} customers[] = {
    { "Fabrikam Inc", "98052", "cust-0001" },
    { "Contoso GmbH", "40212", NULL },
    { "contoso gmbh ", "40212", NULL },
    { "Northwind Traders", "10115", NULL },
    { "Twin Peaks Ltd", "99999", NULL },
    { "Adatum", "75001", "cust-0007" },
    { "Wide World Importers", "SW1A 1AA", NULL },
    { "Tailspin Toys", "60601", NULL },
    { "FABRIKAM INC", "98052", NULL },
};
#define CUSTOMERS ((int)(sizeof(customers) / sizeof(customers[0])))
#define AMBIGUOUS 4
#define LIST_PAGE 20

int customer_is_ambiguous(int customer)
{
    return customer == AMBIGUOUS;
}

const char *customer_name(int customer)
{
    return customer < CUSTOMERS ? customers[customer].name : NULL;
}

const char *customer_postal(int customer)
{
    return customers[customer].postal;
}

/* Their clock is not ours: it never goes back. */
static apr_time_t their_time(void)
{
    return FIRST_DAY + S->boot;
}

static void stamp(json_t *doc, const char *name, apr_time_t t)
{
    char text[120];
    time_t seconds = (time_t)(t / 1000000);
    struct tm tm;

    gmtime_r(&seconds, &tm);
    snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%06d1+00:00", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
             tm.tm_sec, (int)(t % 1000000));
    json_object_set_new(doc, name, json_string(text));
}

/* ---- versions ---- */

static version_t *newest(referral_t *r)
{
    return &r->version[(r->versions - 1) % VERSIONS];
}

json_t *referral_doc(const referral_t *r)
{
    return parse(r->version[(r->versions - 1) % VERSIONS].text);
}

static apr_interval_time_t some_lag(void)
{
    int dice = S->chaos && S->lag ? pick(100) : 0;

    return dice < 60 ? 0 : dice < 85 ? pick(3000000) : dice < 96 ? pick(60000000) : (apr_interval_time_t)pick(480) * 1000000;
}

static apr_time_t not_before(apr_time_t at, apr_time_t before)
{
    return at < before ? before : at;
}

static void add_version(referral_t *r, json_t *doc)
{
    version_t *last = r->versions ? newest(r) : NULL, *v;
    char etag[60];
    int together;

    snprintf(etag, sizeof(etag), "\"%08x-0000-0000-%04x-000000000000\"", (unsigned)(r - S->referral), (unsigned)r->versions);
    json_object_set_new(doc, "eTag", json_string(etag));
    stamp(doc, "updatedDateTime", their_time());
    v = &r->version[r->versions++ % VERSIONS];
    v->made_at = S->boot;
    /* A hint is no finer than two seconds: what follows that soon is seen together with what it follows. */
    together = last && S->boot - last->made_at < apr_time_from_msec(2600);
    v->get_at = not_before(S->boot + (together ? 0 : some_lag()), last ? last->get_at : 0);
    v->list_at = not_before(S->boot + (together ? 0 : some_lag()), last ? last->list_at : 0);
    print(v->text, sizeof(v->text), doc);
}

/* What a reader sees now; NULL = not there yet. */
static const version_t *visible(const referral_t *r, int list)
{
    int i, oldest = r->versions > VERSIONS ? r->versions - VERSIONS : 0;

    for (i = r->versions - 1; i >= oldest; i--) {
        const version_t *v = &r->version[i % VERSIONS];
        if ((list ? v->list_at : v->get_at) <= S->boot) {
            return v;
        }
    }
    return oldest ? &r->version[oldest % VERSIONS] : NULL;
}

referral_t *referral_by_id(const char *id)
{
    int i;

    for (i = 0; id && i < S->referrals; i++) {
        if (!strcmp(S->referral[i].id, id)) {
            return &S->referral[i];
        }
    }
    return NULL;
}

/* ---- events ---- */

static void push(int referral, int row, apr_time_t hint, apr_interval_time_t within)
{
    int i;

    for (i = 0; i < EVENTS_MAX; i++) {
        if (!S->event[i].used) {
            S->event[i].used = 1;
            S->event[i].referral = referral;
            S->event[i].row = row;
            S->event[i].hint = hint;
            S->event[i].serial = ++S->serial;
            S->event[i].due = S->boot + (within > 0 ? (apr_interval_time_t)(rnd() % (unsigned long long)within) : 0);
            return;
        }
    }
}

void event_push(int referral, apr_time_t hint, apr_interval_time_t within)
{
    push(referral, 0, hint, within);
}

void event_push_row(const row_t *row, apr_interval_time_t within)
{
    push(0, (int)(row - S->row) + 1, row->modified, within);
}

int events_due(apr_time_t boot)
{
    int i, n = 0;

    for (i = 0; i < EVENTS_MAX; i++) {
        n += S->event[i].used && S->event[i].due <= boot;
    }
    return n;
}

apr_time_t events_next(void)
{
    apr_time_t next = 0;
    int i;

    for (i = 0; i < EVENTS_MAX; i++) {
        if (S->event[i].used && (!next || S->event[i].due < next)) {
            next = S->event[i].due;
        }
    }
    return next;
}

apr_interval_time_t some_delay(void)
{
    int dice = pick(100);

    return dice < 60 ? 1 : dice < 90 ? 5000000 : dice < 98 ? 120000000 : 3600000000ll;
}

static void announce(const referral_t *r)
{
    int n = S->deaf || (S->chaos && chance(100) && S->began) ? 0 : chance(80) ? 3 : chance(200) ? 2 : 1;
    apr_time_t hint = their_time() + pick(500000);

    while (n-- > 0) {
        event_push((int)(r - S->referral), hint, some_delay());
    }
}

/* ---- what people do in the portal ---- */

static void set_state(referral_t *r, json_t *doc, const char *status, const char *substatus)
{
    json_object_set_new(doc, "status", json_string(status));
    json_object_set_new(doc, "substatus", json_string(substatus));
    if (!strcmp(status, "Closed")) {
        stamp(doc, "closedDateTime", their_time());
    }
    if (!strcmp(status, "Active")) {
        stamp(doc, "acceptedDateTime", their_time());
    }
    r->moved_at = S->boot;
}

static json_t *some_amount(void)
{
    int dice = pick(20);

    return dice == 0 ? json_integer(0) : dice < 10 ? json_integer(1000 + pick(900000)) : json_real((1000 + pick(90000000)) / 100.0);
}

static const char *some_currency(void)
{
    int dice = pick(40);

    return dice == 0 ? "GBP" : dice < 6 ? "JPY" : dice < 15 ? "EUR" : "USD";
}

static json_t *some_text(const char *what)
{
    char text[300];
    int dice = pick(60);

    snprintf(text, sizeof(text), "%s %d%s%s", what, pick(1000), dice == 0 ? " REFUSE" : "", dice < 4 ? "  " : dice < 8 ? "\r\nsecond line " : dice < 10 ? " \xc3\xa9\xe2\x82\xac" : "");
    return json_string(text);
}

static json_t *some_date(void)
{
    char text[40];

    snprintf(text, sizeof(text), "2026-%02d-%02dT%02d:00:00Z", 4 + pick(8), 1 + pick(28), chance(700) ? 12 : pick(24));
    return json_string(text);
}

static void fill_customer(json_t *doc, int customer)
{
    json_t *ids = json_array();

    if (customers[customer].external) {
        json_array_append_new(ids, json_pack("{s:s, s:s}", "profileType", "External", "id", customers[customer].external));
    }
    json_object_set_new(doc, "customerProfile",
                        json_pack("{s:s, s:{s:s, s:s, s:s, s:s}, s:o}", "name", customers[customer].name, "address", "addressLine1", "1 Main St", "city",
                                  "Redmond", "postalCode", customers[customer].postal, "country", "US", "ids", ids));
    if (chance(700)) {
        json_object_set_new(cs_json_get(doc, "customerProfile"), "team",
                            json_pack("[{s:s, s:s, s:s, s:s}]", "firstName", "Sue", "lastName", "Smith", "phoneNumber", "5550100", "email", "sue@fabrikam.example"));
    }
    json_object_set_new(doc, "team", json_pack("[{s:s, s:s, s:s, s:s}]", "firstName", "Ann", "lastName", "Lee", "phoneNumber", "5550101", "email", "ann@partner.example"));
}

static json_t *first_doc(referral_t *r, int share)
{
    json_t *doc = json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", r->id, "engagementId", r->engagement, "organizationId",
                            r->org == ORG_OWN ? OWN_ORGANIZATION : r->org == ORG_MICROSOFT ? "msft" : PARTNER_ORGANIZATION, "type", "Shared",
                            "qualification", "SalesQualified");
    json_t *details = json_object();

    json_object_set_new(doc, "name", some_text("Deal"));
    json_object_set_new(doc, "referralProgram", json_string(chance(500) ? "CoSell" : "CoSellDealReg"));
    json_object_set_new(doc, "salesStage", json_string(chance(900) ? "20" : "95"));
    json_object_set_new(details, "notes", some_text("Notes"));
    json_object_set_new(details, "dealValue", some_amount());
    json_object_set_new(details, "currency", json_string(some_currency()));
    json_object_set_new(details, "closingDateTime", some_date());
    json_object_set_new(doc, "details", details);
    json_object_set_new(doc, "consent", json_pack("{s:b}", "consentToShareReferralWithMicrosoftSellers", share));
    stamp(doc, "createdDateTime", their_time());
    stamp(doc, "expirationDateTime", their_time() + 14ll * 86400 * 1000000);
    fill_customer(doc, r->customer);
    return doc;
}

static referral_t *add_referral(org_e org, const char *engagement, int customer)
{
    referral_t *r = &S->referral[S->referrals++];

    if (S->referrals >= REFERRALS_MAX) {
        fprintf(stderr, "sim: too many referrals\n");
        abort();
    }
    memset(r, 0, sizeof(*r));
    make_guid(r->id);
    if (engagement) {
        memcpy(r->engagement, engagement, sizeof(r->engagement));
    }
    else {
        make_guid(r->engagement);
    }
    r->org = org;
    r->customer = customer;
    return r;
}

static void first_state(referral_t *r, json_t *doc)
{
    int dice = pick(20);

    set_state(r, doc, dice == 0 ? "Closed" : dice < 12 ? "New" : "Active", dice == 0 ? (chance(500) ? "Won" : "Expired") : dice < 12 ? "Pending" : "Accepted");
}

void referral_new(void)
{
    int dice = pick(20), customer = pick(CUSTOMERS), co_sell = dice < 8, lead = dice == 8, p2p = dice == 9;
    referral_t *own, *other = NULL;
    json_t *doc;

    if (S->referrals > S->crowd) {
        return;
    }
    if (customer_is_ambiguous(customer) && chance(700)) {
        customer = 0;
    }
    own = add_referral(ORG_OWN, NULL, customer);
    doc = first_doc(own, chance(500));
    first_state(own, doc);
    if (lead) {
        json_object_set_new(doc, "type", json_string("Independent"));
        json_object_set_new(doc, "qualification", json_string("Direct"));
    }
    add_version(own, doc);
    json_decref(doc);
    trace("portal: new referral %s of %s, %s%s%s", own->id, customers[customer].name, co_sell ? "co-sell " : "", lead ? "lead " : "", p2p ? "p2p" : "");
    if (co_sell || p2p) {
        other = add_referral(co_sell ? ORG_MICROSOFT : ORG_PARTNER, own->engagement, customer);
        doc = first_doc(other, 1);
        set_state(other, doc, "New", "Pending");
        add_version(other, doc);
        json_decref(doc);
        announce(other);
    }
    announce(own);
}

/* ---- one path of the machine ---- */

referral_t *referral_walk(int lead, const char *status, const char *substatus)
{
    referral_t *r = add_referral(ORG_OWN, NULL, 0);
    json_t *doc = first_doc(r, 1);

    json_object_set_new(doc, "name", json_string("Deal"));
    json_object_set_new(cs_json_get(doc, "details"), "notes", json_string("Notes"));
    json_object_set_new(cs_json_get(doc, "details"), "dealValue", json_integer(50000));
    json_object_set_new(cs_json_get(doc, "details"), "currency", json_string("USD"));
    json_object_set_new(doc, "salesStage", json_string("20"));
    if (lead) {
        json_object_set_new(doc, "type", json_string("Independent"));
        json_object_set_new(doc, "qualification", json_string("Direct"));
    }
    set_state(r, doc, status, substatus);
    add_version(r, doc);
    json_decref(doc);
    return r;
}

void referral_moves(referral_t *r, const char *status, const char *substatus)
{
    json_t *doc = referral_doc(r);

    set_state(r, doc, status, substatus);
    add_version(r, doc);
    json_decref(doc);
    trace("portal: %s is %s/%s", r->id, status, substatus);
}

static void move_state(referral_t *r, json_t *doc)
{
    const char *status = cs_json_str(doc, "status");
    int dice = pick(10);

    if (!strcmp(status, "New")) {
        if (dice < 7) {
            set_state(r, doc, "Active", "Accepted");
        }
        else {
            set_state(r, doc, "Closed", dice == 7 ? "Declined" : dice == 8 ? "Expired" : "Error");
        }
    }
    else if (!strcmp(status, "Active")) {
        set_state(r, doc, "Closed", dice < 5 ? "Won" : dice < 9 ? "Lost" : "Error");
        if (dice >= 5 && dice < 9) {
            json_object_set_new(doc, "statusReason", json_string(dice < 7 ? "ChoseAnotherVendor:too late" : "Others"));
        }
    }
}

/* hot: rather the one that was read last, which is being looked at. */
/* Until the deal's images are stored, what people write there has nothing that it could be compared with. That the record names it is
 * not enough: who died after writing the link has settled nothing. */
static int is_known(const referral_t *r)
{
    cs_store_t *store = NULL;
    cs_deal_t *deal = NULL;
    apr_pool_t *p;
    int known;

    cs_pool_create_own(&p, NULL, 0, "sim-known");
    known = cs_store_open(&store, &node_config.store, CS_STORE_WRITER, p, NULL) == APR_SUCCESS &&
            cs_store_deal_find(store, SITE, CS_SYSTEM_PC, r->id, &deal, p, NULL) == APR_SUCCESS && deal && json_object_size(deal->images);
    cs_store_close(store);
    apr_pool_destroy(p);
    return known;
}

static void note_early(referral_t *r, unsigned line)
{
    r->early = r->posted && !is_known(r) ? r->early | line : r->early & ~line;
}

void referral_edit(int hot)
{
    referral_t *r = !S->referrals ? NULL : hot && chance(600) ? &S->referral[S->hot] : &S->referral[pick(S->referrals)];
    json_t *doc, *details;
    int dice = pick(100);

    if (!r) {
        return;
    }
    doc = referral_doc(r);
    details = cs_json_get(doc, "details");
    if (!strcmp(cs_json_str(doc, "status"), "Closed")) {
        json_decref(doc);
        return;
    }
    if (dice < 32) {
        json_object_set_new(details, "dealValue", some_amount());
        if (chance(300)) {
            json_object_set_new(details, "currency", json_string(some_currency()));
        }
        wrote_pc(&r->wrote, doc, LINE_VALUE);
        note_early(r, TOUCHED_VALUE);
    }
    else if (dice < 50) {
        json_object_set_new(details, "closingDateTime", some_date());
        wrote_pc(&r->wrote, doc, LINE_CLOSE);
        note_early(r, TOUCHED_CLOSE);
    }
    else if (dice < 68) {
        if (chance(100)) {
            json_object_del(details, "notes");
        }
        else {
            json_object_set_new(details, "notes", some_text("Notes"));
        }
        wrote_pc(&r->wrote, doc, LINE_NOTES);
        note_early(r, TOUCHED_NOTES);
    }
    else if (dice < 80) {
        json_object_set_new(doc, "name", some_text("Deal"));
        note_early(r, TOUCHED_NAME);
    }
    else if (dice < 85) {
        json_object_set_new(doc, "salesStage", json_string(chance(500) ? "40" : chance(500) ? "60" : "80"));
    }
    else if (dice < 88) {
        json_object_set_new(cs_json_get(doc, "consent"), "consentToShareReferralWithMicrosoftSellers", json_true());
    }
    else if (dice < 91) {
        json_object_set_new(doc, "referralProgram", json_string(chance(500) ? "CoSell" : "CoSellDealReg"));
    }
    else {
        move_state(r, doc);
    }
    add_version(r, doc);
    trace("portal: edit of %s (%s), version %d, shown in %.3f s: %s/%s \"%s\" %.130s", r->id, r->org == ORG_OWN ? "own" : "other", r->versions - 1,
          (double)(newest(r)->get_at - S->boot) / 1e6, cs_json_str(doc, "status"), cs_json_str(doc, "substatus"), cs_json_str(doc, "name"),
          strstr(newest(r)->text, "\"details\""));
    json_decref(doc);
    announce(r);
}

/* ---- the client ---- */

struct cs_pc_t {
    cs_http_t *http;
};

apr_status_t cs_pc_create(cs_pc_t **ppc, const cs_pc_config_t *cfg, const cs_vault_t *vault, cs_http_t *http, cs_limiter_t *limiter,
                          cs_limiter_t *login_limiter, apr_pool_t *p)
{
    (void)cfg, (void)vault, (void)limiter, (void)login_limiter;
    *ppc = apr_pcalloc(p, sizeof(**ppc));
    (*ppc)->http = http;
    return APR_SUCCESS;
}

static const char *lowered(const char *text, apr_pool_t *p)
{
    return text ? apr_pstrdup(p, text) : NULL;
}

cs_card_t *card_of(json_t *doc, apr_pool_t *p)
{
    cs_card_t *card = apr_pcalloc(p, sizeof(*card));

    card->id = lowered(cs_json_str(doc, "id"), p);
    card->engagement_id = lowered(cs_json_str(doc, "engagementId"), p);
    card->organization_id = lowered(cs_json_str(doc, "organizationId"), p);
    card->etag = lowered(cs_json_str(doc, "eTag"), p);
    cs_time_parse(&card->updated, cs_json_str(doc, "updatedDateTime"));
    card->doc = cs_json_own(doc, p);
    return card;
}

/* 0 = the call goes on; else the result is set. */
static int refused(cs_result_t *res, int *pcalls, apr_pool_t *p)
{
    weather_e weather = S->pc.weather;

    pass(1000 + pick(100000));
    *pcalls = 1;
    S->pc_reads++;
    if (weather == WEATHER_SUSPENDED) {
        cs_result_set(res, p, CS_EREMOTE, CS_CLASS_SUSPEND, "pc:mfa", "Partner Center wants a person");
    }
    else if (weather == WEATHER_THROTTLED || (weather == WEATHER_GOOD && chance(S->pc.errors / 4))) {
        cs_result_set(res, p, CS_EREMOTE, CS_CLASS_THROTTLED, "throttled", "Partner Center answered 429");
        res->retry_at = chance(800) ? S->wall + (apr_time_t)(1 + pick(120)) * 1000000 : 0;
        *pcalls = chance(500);
    }
    else if (weather == WEATHER_DOWN || chance(S->pc.errors)) {
        cs_result_set(res, p, CS_EREMOTE, CS_CLASS_RETRY, "http:503", "Partner Center answered 503");
        *pcalls = chance(700);
    }
    return res->cls != CS_CLASS_OK;
}

static void reset_read(cs_pc_read_t *read)
{
    read->card = NULL;
    read->cards = NULL;
    read->took = 1000;
    read->correlation = "sim";
    cs_result_clear(&read->result);
}

apr_status_t cs_pc_get(cs_pc_t *pc, cs_pc_read_t *reads, int n, apr_interval_time_t deadline, apr_pool_t *p)
{
    int i;

    (void)pc, (void)deadline;
    for (i = 0; i < n; i++) {
        const referral_t *r;
        const version_t *v;
        reset_read(&reads[i]);
        interfere();
        if (refused(&reads[i].result, &reads[i].calls, p)) {
            continue;
        }
        r = referral_by_id(reads[i].id);
        v = r ? visible(r, 0) : NULL;
        if (v) {
            S->hot = (int)(r - S->referral);
            reads[i].card = card_of(parse(v->text), p);
        }
        else {
            cs_result_set(&reads[i].result, p, CS_EREMOTE, CS_CLASS_GONE, "http:404", "referral %s is not visible", reads[i].id);
        }
    }
    instant("pc-got");
    return APR_SUCCESS;
}

apr_status_t cs_pc_list_engagement(cs_pc_t *pc, cs_pc_read_t *reads, int n, apr_interval_time_t deadline, apr_pool_t *p)
{
    int i, j;

    (void)pc, (void)deadline;
    for (i = 0; i < n; i++) {
        reset_read(&reads[i]);
        interfere();
        if (refused(&reads[i].result, &reads[i].calls, p)) {
            continue;
        }
        reads[i].cards = apr_array_make(p, 2, sizeof(cs_card_t *));
        for (j = 0; j < S->referrals; j++) {
            const version_t *v = strcmp(S->referral[j].engagement, reads[i].id) ? NULL : visible(&S->referral[j], 1);
            if (v) {
                APR_ARRAY_PUSH(reads[i].cards, cs_card_t *) = card_of(parse(v->text), p);
            }
        }
    }
    instant("pc-listed");
    return APR_SUCCESS;
}

apr_status_t cs_pc_probe(cs_pc_t *pc, apr_interval_time_t deadline, apr_pool_t *ptemp, cs_result_t *res)
{
    cs_result_t result = {0};
    int calls;

    (void)pc, (void)deadline;
    if (!refused(&result, &calls, ptemp)) {
        return APR_SUCCESS;
    }
    if (res) {
        *res = result;
    }
    return result.rv;
}

/* ---- what we write ---- */

static int is_patchable(const char *path)
{
    static const char *const paths[] = { "/status", "/substatus", "/statusReason", "/salesStage", "/details/dealValue", "/details/currency", "/details/closingDateTime", "/details/notes",
                                         "/consent/consentToShareReferralWithMicrosoftSellers", "/externalReferenceId", "/campaignId", "/referralProgram" };
    size_t i;

    for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (!strcmp(paths[i], path)) {
            return 1;
        }
    }
    return 0;
}

static int says(const json_t *doc, const char *pointer, const char *word)
{
    const char *text = json_string_value(cs_json_pointer(doc, pointer));

    return text && !strcmp(text, word);
}

/* The machine of states, and what can only rise: what the engine has to know before it asks. */
static void judge_patch(const referral_t *r, const json_t *before, const json_t *after)
{
    static const char share[] = "/consent/consentToShareReferralWithMicrosoftSellers";
    const char *from = cs_json_str(before, "status"), *to = cs_json_str(after, "status"), *sub = cs_json_str(after, "substatus");
    int moved = strcmp(from, to) || strcmp(cs_json_str(before, "substatus"), sub);

    if (!strcmp(from, "Closed")) {
        violation("closed referral %s is written to", r->id);
    }
    if (moved && !(!strcmp(from, "New") && (!strcmp(sub, "Accepted") || !strcmp(sub, "Declined") || !strcmp(sub, "Won"))) &&
        !(!strcmp(from, "Active") && (!strcmp(sub, "Won") || !strcmp(sub, "Lost")))) {
        violation("referral %s cannot go from %s to %s/%s", r->id, from, to, sub);
    }
    if (moved && strcmp(to, !strcmp(sub, "Accepted") ? "Active" : "Closed")) {
        violation("referral %s: %s does not go with %s", r->id, to, sub);
    }
    if (json_is_true(cs_json_pointer(before, share)) && !json_is_true(cs_json_pointer(after, share))) {
        violation("referral %s was shared with Microsoft, and a write takes that back", r->id);
    }
    if (json_equal((json_t *)before, (json_t *)after)) {
        violation("a write to referral %s changes nothing", r->id);
    }
}

/* A text that Partner Center refuses; now and then it says which. */
static int balks(const json_t *body, cs_result_t *res, apr_pool_t *p)
{
    const json_t *op;
    size_t i;

    json_array_foreach((json_t *)body, i, op) {
        const char *text = json_string_value(json_object_get(op, "value"));
        if (text && strstr(text, "BALK")) {
            cs_result_set(res, p, CS_EREMOTE, CS_CLASS_DATA, "http:400", "Partner Center refuses a value");
            res->said = "a value is not allowed";
            res->blames = chance(500) ? apr_pstrdup(p, cs_json_str(op, "path")) : NULL;
            return 1;
        }
    }
    return 0;
}

/* A change of ours is an edit as a person's is: a new version, its event, and nobody reads it at once. */
void cs_pc_login(const cs_pc_t *pc, cs_login_config_t *cfg)
{
    (void)pc;
    memset(cfg, 0, sizeof(*cfg));
}

void cs_pc_signed_in(cs_pc_t *pc)
{
    (void)pc;
}

apr_status_t cs_pc_keep_alive(cs_pc_t *pc, apr_interval_time_t deadline, apr_pool_t *ptemp, cs_result_t *res)
{
    (void)pc, (void)deadline, (void)ptemp, (void)res;
    return APR_SUCCESS;
}

/* Nothing is registered, and nobody watches it: the sites of the simulation are told otherwise. */
apr_status_t cs_pc_hooks_create(cs_pc_hooks_t **phooks, const cs_pc_config_t *cfg, const cs_vault_t *vault, cs_http_t *http,
                                cs_limiter_t *limiter, cs_limiter_t *login_limiter, apr_pool_t *p)
{
    (void)cfg, (void)vault, (void)http, (void)limiter, (void)login_limiter, (void)p;
    *phooks = NULL;
    return APR_SUCCESS;
}

apr_status_t cs_pc_hooks_read(cs_pc_hooks_t *hooks, cs_pc_hook_t **phook, apr_interval_time_t deadline, apr_pool_t *p, cs_result_t *res)
{
    (void)hooks, (void)deadline, (void)p, (void)res;
    *phook = NULL;
    return APR_SUCCESS;
}

int cs_pc_hook_has(const apr_array_header_t *events, const char *name)
{
    (void)events, (void)name;
    return 0;
}

int cs_pc_hook_url_same(const char *a, const char *b, apr_pool_t *p)
{
    (void)p;
    return !strcmp(a, b);
}

const char *cs_pc_hook_url_shown(const char *url, apr_pool_t *p)
{
    (void)p;
    return url;
}

void cs_http_trace(cs_http_t *http, const char *trace)
{
    (void)http, (void)trace;
}

static void patch_one(cs_pc_write_t *write, apr_pool_t *p)
{
    referral_t *r = referral_by_id(write->id);
    json_t *doc, *before, *op;
    size_t i;

    if (!r || !r->versions) {
        cs_result_set(&write->result, p, CS_EREMOTE, CS_CLASS_GONE, "http:404", "there is no referral %s", write->id);
        return;
    }
    if (!write->guard) {
        violation("an update of referral %s carries no guard", write->id);
        return;
    }
    doc = cs_json_own(referral_doc(r), p);
    if (strcmp(write->guard, cs_json_str(doc, "eTag"))) {
        cs_result_set(&write->result, p, CS_EREMOTE, CS_CLASS_CONFLICT, "http:412", "referral %s was changed", write->id);
        S->conflicts++;
        return;
    }
    if (balks(write->body, &write->result, p)) {
        return;
    }
    before = cs_json_own(json_deep_copy(doc), p);
    json_array_foreach((json_t *)write->body, i, op) {
        if (!is_patchable(cs_json_str(op, "path"))) {
            violation("referral %s: %s cannot be written", r->id, cs_json_str(op, "path"));
        }
        cs_json_pointer_set(doc, cs_json_str(op, "path"), json_deep_copy(json_object_get(op, "value")));
    }
    judge_patch(r, before, doc);
    if (!says(before, "/status", cs_json_str(doc, "status"))) {
        set_state(r, doc, apr_pstrdup(p, cs_json_str(doc, "status")), apr_pstrdup(p, cs_json_str(doc, "substatus")));
    }
    add_version(r, doc);
    S->pc_writes++;
    trace("pc: patched %s, version %d, with %s", r->id, r->versions - 1, cs_json_print(write->body, p));
    announce(r);
    write->card = card_of(referral_doc(r), p);
}

static int microsoft_in(const char *engagement)
{
    int i, n = 0;

    for (i = 0; engagement && i < S->referrals; i++) {
        n += S->referral[i].org == ORG_MICROSOFT && !strcmp(S->referral[i].engagement, engagement);
    }
    return n;
}

/* Nothing is made twice: judged where it comes into being. */
static void judge_post(const json_t *body, const char *engagement)
{
    const char *reference = cs_json_str(body, "externalReferenceId");
    int i;

    if (engagement && microsoft_in(engagement)) {
        violation("a second card of Microsoft is made in engagement %s", engagement);
    }
    if (!engagement && (!reference || !row_by_id("opportunity", reference))) {
        violation("a referral is made for %s, which is no record", reference ? reference : "nothing");
    }
    for (i = 0; !engagement && i < S->referrals; i++) {
        json_t *doc = S->referral[i].org == ORG_OWN ? referral_doc(&S->referral[i]) : NULL;
        const char *theirs = cs_json_str(doc, "externalReferenceId");
        if (theirs && reference && !strcmp(theirs, reference)) {
            violation("a second referral is made for record %s, beside %s", reference, S->referral[i].id);
        }
        json_decref(doc);
    }
}

static const referral_t *engagement_of(const char *engagement)
{
    int i;

    for (i = 0; i < S->referrals; i++) {
        if (S->referral[i].org == ORG_OWN && !strcmp(S->referral[i].engagement, engagement)) {
            return &S->referral[i];
        }
    }
    return NULL;
}

static int lacks(const json_t *body, const char *const *names, cs_result_t *res, apr_pool_t *p)
{
    for (; *names; names++) {
        if (!cs_json_pointer(body, *names)) {
            cs_result_set(res, p, CS_EREMOTE, CS_CLASS_DATA, "http:400", "Partner Center misses %s", *names);
            violation("a referral is posted without %s", *names);
            return 1;
        }
    }
    return 0;
}

static const char *const needed[] = { "/name", "/type", "/customerProfile/name", "/customerProfile/address/country", "/details/dealValue", "/details/currency", "/details/closingDateTime",
                                      "/team/0/email", "/consent", NULL };
static const char *const needed_by_microsoft[] = { "/customerProfile/team/0/email", "/inviteContext/assistanceRequestCode", "/target/0/id", NULL };

static void post_one(cs_pc_write_t *write, apr_pool_t *p)
{
    const char *engagement = cs_json_str(write->body, "engagementId"), *name = cs_json_str(write->body, "name");
    const referral_t *own = engagement ? engagement_of(engagement) : NULL;
    apr_interval_time_t late = S->stays_late ? apr_time_from_sec(45 * 60) - 1 : S->late ? (apr_interval_time_t)pick(45 * 60) * 1000000 : 0;
    referral_t *r;
    json_t *doc;

    if (engagement && !own) {
        violation("Microsoft is invited into engagement %s, which there is not", engagement);
        return;
    }
    if (lacks(write->body, needed, &write->result, p) || (engagement && lacks(write->body, needed_by_microsoft, &write->result, p))) {
        return;
    }
    if (name && strstr(name, "BALK")) {
        cs_result_set(&write->result, p, CS_EREMOTE, CS_CLASS_DATA, "http:400", "Partner Center refuses the name");
        return;
    }
    judge_post(write->body, engagement);
    r = add_referral(engagement ? ORG_MICROSOFT : ORG_OWN, engagement, own ? own->customer : 0);
    r->posted = 1;
    doc = cs_json_own(json_deep_copy(write->body), p);
    json_object_set_new(doc, "id", json_string(r->id));
    json_object_set_new(doc, "engagementId", json_string(r->engagement));
    json_object_set_new(doc, "organizationId", json_string(engagement ? "msft" : OWN_ORGANIZATION));
    json_object_set_new(doc, "direction", json_string(engagement ? "Incoming" : "Outgoing"));
    stamp(doc, "createdDateTime", their_time());
    set_state(r, doc, engagement ? "New" : "Active", engagement ? "Pending" : "Accepted");
    add_version(r, doc);
    newest(r)->list_at = not_before(newest(r)->list_at, S->boot + late);
    S->pc_writes++;
    S->posts++;
    trace("pc: posted %s %s of engagement %s, listed in %.0f s: %s", engagement ? "Microsoft's" : "own", r->id, r->engagement, (double)(newest(r)->list_at - S->boot) / 1e6, newest(r)->text);
    announce(r);
    write->card = card_of(referral_doc(r), p);
}

/* Done, and the answer never comes. */
static void lose_write(cs_pc_write_t *write, apr_pool_t *p)
{
    trace("pc: the answer is lost");
    write->card = NULL;
    cs_result_set(&write->result, p, CS_EREMOTE, CS_CLASS_UNKNOWN, "unknown", "the connection was closed");
}

static apr_status_t write_all(cs_pc_t *pc, cs_pc_write_t *writes, int n, void (*one)(cs_pc_write_t *, apr_pool_t *), apr_pool_t *p)
{
    int i;

    for (i = 0; i < n; i++) {
        cs_pc_write_t *write = &writes[i];
        write->card = NULL;
        write->took = 1000;
        write->correlation = "sim";
        cs_result_clear(&write->result);
        interfere();
        if (!lane_may_write(pc->http, &write->result, &write->calls, p)) {
            continue;
        }
        if (refused(&write->result, &write->calls, p)) {
            if (one == post_one && write->result.cls == CS_CLASS_RETRY && write->calls) {
                write->result.cls = CS_CLASS_UNKNOWN; /* who knows what a 503 did */
            }
            continue;
        }
        instant("pc-before-write");
        one(write, p);
        instant("pc-after-write");
        if (write->result.cls == CS_CLASS_OK && ((S->lose > 0 && --S->lose == 0) || chance(S->pc.lost))) {
            lose_write(write, p);
        }
    }
    return APR_SUCCESS;
}

apr_status_t cs_pc_patch(cs_pc_t *pc, cs_pc_write_t *writes, int n, apr_interval_time_t deadline, apr_pool_t *p)
{
    (void)deadline;
    write_all(pc, writes, n, patch_one, p);
    instant("pc-patched");
    return APR_SUCCESS;
}

apr_status_t cs_pc_post(cs_pc_t *pc, cs_pc_write_t *writes, int n, apr_interval_time_t deadline, apr_pool_t *p)
{
    (void)deadline;
    write_all(pc, writes, n, post_one, p);
    instant("pc-posted");
    return APR_SUCCESS;
}

static const version_t *found(const char *reference)
{
    int i;

    for (i = 0; i < S->referrals; i++) {
        const version_t *v = S->referral[i].org == ORG_OWN ? visible(&S->referral[i], 1) : NULL;
        json_t *doc = v ? parse(v->text) : NULL;
        const char *theirs = cs_json_str(doc, "externalReferenceId");
        int is = theirs && !strcasecmp(theirs, reference) && says(doc, "/direction", "Outgoing");
        json_decref(doc);
        if (is) {
            return v;
        }
    }
    return NULL;
}

apr_status_t cs_pc_find(cs_pc_t *pc, cs_pc_read_t *reads, int n, apr_time_t since, apr_interval_time_t deadline, apr_pool_t *p)
{
    int i;

    (void)pc, (void)since, (void)deadline;
    for (i = 0; i < n; i++) {
        const version_t *v;
        reset_read(&reads[i]);
        interfere();
        if (!refused(&reads[i].result, &reads[i].calls, p)) {
            v = found(reads[i].id);
            reads[i].card = v ? card_of(parse(v->text), p) : NULL;
        }
    }
    instant("pc-searched");
    return APR_SUCCESS;
}

static int newer_first(const void *a, const void *b)
{
    const cs_card_t *one = *(cs_card_t *const *)a, *other = *(cs_card_t *const *)b;

    return one->updated < other->updated ? 1 : one->updated > other->updated ? -1 : strcmp(one->id, other->id);
}

apr_status_t cs_pc_list_changed(cs_pc_t *pc, cs_pc_page_t *page, apr_interval_time_t deadline, apr_pool_t *p)
{
    int i, from = page->skip ? atoi(page->skip) : 0, n;
    apr_array_header_t *all = apr_array_make(p, 8, sizeof(cs_card_t *));

    (void)pc, (void)deadline;
    cs_result_clear(&page->result);
    page->cards = apr_array_make(p, 8, sizeof(cs_card_t *));
    page->next = NULL;
    interfere();
    if (refused(&page->result, &page->calls, p)) {
        return APR_SUCCESS;
    }
    for (i = S->referrals - 1; i >= 0; i--) {
        const version_t *v = visible(&S->referral[i], 1);
        if (v) {
            APR_ARRAY_PUSH(all, cs_card_t *) = card_of(parse(v->text), p);
        }
    }
    qsort(all->elts, (size_t)all->nelts, sizeof(cs_card_t *), newer_first);
    n = from + LIST_PAGE < all->nelts ? from + LIST_PAGE : all->nelts;
    for (i = from; i < n; i++) {
        APR_ARRAY_PUSH(page->cards, cs_card_t *) = APR_ARRAY_IDX(all, i, cs_card_t *);
    }
    page->next = n < all->nelts ? apr_itoa(p, n) : NULL;
    instant("pc-paged");
    return APR_SUCCESS;
}
