#include "client.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "../../base/json.h"
#include "../../base/time.h"

#define MAX_PAGES 5
/* Thousands may be made at once, when as many records ask for it. */
#define FIND_PAGES 100
#define PAGE_SIZE 100
#define MAX_TOKEN 4096

static const char tokenless[] = "the link to the next page has no $skiptoken";

/* ---- continuation ---- */

static int hex_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : apr_tolower(c) - 'a' + 10;
}

static int is_plain(const char *text, const char *end)
{
    for (; text < end && (unsigned char)*text >= 0x20; text++)
        ;
    return text == end;
}

/* The link's host and path are known to be wrong at times: only its token is taken. NULL when it
 * has none. */
static const char *skiptoken_of(const char *link, apr_pool_t *p)
{
    const char *at = strchr(link, '?'), *end;
    char *out, *to;

    for (; at; at = strchr(at, '&')) {
        at++;
        if (!strncasecmp(at, "$skiptoken=", 11) || !strncasecmp(at, "%24skiptoken=", 13)) {
            break;
        }
    }
    if (!at) {
        return NULL;
    }
    at = strchr(at, '=') + 1;
    end = at + strcspn(at, "&#");
    if (end == at || end - at > MAX_TOKEN) {
        return NULL;
    }
    out = to = apr_palloc(p, (apr_size_t)(end - at) + 1);
    while (at < end) {
        if (*at == '%' && end - at > 2 && apr_isxdigit(at[1]) && apr_isxdigit(at[2])) {
            *to++ = (char)(hex_of(at[1]) * 16 + hex_of(at[2]));
            at += 3;
        }
        else {
            *to++ = *at++;
        }
    }
    *to = '\0';
    return *out && is_plain(out, to) ? out : NULL;
}

static const char *skip_query(const char *skip, apr_pool_t *p)
{
    return skip ? apr_pstrcat(p, "&$skiptoken=", cs_http_escape(skip, p), NULL) : "";
}

/* ---- the cards of an engagement ---- */

/* Where one engagement's list stands between two rounds. */
typedef struct listing_t {
    cs_pc_read_t *read;
    const char *skip; /* $skiptoken of the next page, NULL = first */
    int pages;
    int bare; /* the GUID without quotes: seen live, asked when the documented form is refused */
    int done;
} listing_t;

static const char *list_url(const cs_pc_t *pc, const listing_t *l, apr_pool_t *p)
{
    const char *quote = l->bare ? "" : "%27";

    return apr_pstrcat(p, pc->base, "?$filter=engagementId%20eq%20", quote, l->read->id, quote,
                       skip_query(l->skip, p), NULL);
}

/* Appends the page's cards; 0 with the reason in why. A foreign card would mix two deals up. */
static int add_cards(cs_pc_read_t *read, const json_t *page, const char **pwhy, apr_pool_t *p)
{
    const json_t *value = cs_json_get_nocase(page, "value");
    cs_card_t *card;
    size_t i;

    *pwhy = "the answer holds no list of referrals";
    if (!json_is_array(value)) {
        return 0;
    }
    for (i = 0; i < json_array_size(value); i++) {
        card = cs_pc_card_of(json_array_get(value, i), p);
        if (!card) {
            return 0;
        }
        if (card->engagement_id && strcasecmp(card->engagement_id, read->id)) {
            *pwhy = "the answer holds a referral of another engagement";
            return 0;
        }
        APR_ARRAY_PUSH(read->cards, cs_card_t *) = card;
    }
    return 1;
}

static void take_page(listing_t *l, const cs_http_response_t *response,
                      const cs_http_request_t *request, apr_pool_t *p)
{
    cs_pc_read_t *read = l->read;
    const char *why, *link;
    json_t *page;

    cs_pc_note(&read->calls, &read->took, &read->correlation, response);
    l->done = 1;
    cs_pc_classify(&read->result, response, request, CS_PC_READ, NULL, p);
    if (response->outcome == CS_HTTP_ANSWERED && response->status == 400 && !l->bare &&
        l->pages == 0) {
        l->bare = 1;
        l->done = 0;
        return;
    }
    if (read->result.cls != CS_CLASS_OK ||
        !(page = cs_pc_read_object(&read->result, response, request, p))) {
        return;
    }
    if (!add_cards(read, page, &why, p)) {
        cs_pc_unreadable(&read->result, CS_CLASS_RETRY, response, request, why, p);
        return;
    }
    l->pages++;
    link = cs_pc_member(page, "@odata.nextLink");
    if (!link) {
        return;
    }
    l->skip = skiptoken_of(link, p);
    if (!l->skip) {
        cs_pc_unreadable(&read->result, CS_CLASS_RETRY, response, request, tokenless, p);
    }
    else if (l->pages >= MAX_PAGES) {
        cs_result_set(&read->result, p, CS_ELIMIT, CS_CLASS_REFUSED, "pc:pages",
                      "%s: more than %d pages of referrals for one engagement", request->label,
                      MAX_PAGES);
        read->result.correlation = response->correlation;
    }
    else {
        l->done = 0;
    }
}

/* One page of each list that is not complete. Returns how many were asked for. */
static int list_round(cs_pc_t *pc, listing_t *lists, int n, apr_interval_time_t deadline,
                      apr_pool_t *p, apr_status_t *prv)
{
    cs_http_request_t *requests = apr_pcalloc(p, sizeof(*requests) * (apr_size_t)n);
    cs_http_response_t *responses = apr_pcalloc(p, sizeof(*responses) * (apr_size_t)n);
    int *of = apr_pcalloc(p, sizeof(*of) * (apr_size_t)n);
    int i, m = 0;

    for (i = 0; i < n; i++) {
        if (!lists[i].done) {
            cs_pc_request(&requests[m], "GET", list_url(pc, &lists[i], p),
                          apr_pstrcat(p, "GET referrals of engagement ", lists[i].read->id, NULL),
                          NULL, p);
            requests[m].trace = lists[i].read->trace;
            of[m++] = i;
        }
    }
    *prv = cs_pc_perform(pc, requests, responses, m, deadline, p);
    for (i = 0; i < m; i++) {
        if (*prv == APR_SUCCESS) {
            take_page(&lists[of[i]], &responses[i], &requests[i], p);
        }
        else {
            lists[of[i]].done = 1;
            cs_pc_nothing_sent(&lists[of[i]].read->result, *prv, p);
        }
    }
    return m;
}

apr_status_t cs_pc_list_engagement(cs_pc_t *pc, cs_pc_read_t *reads, int n,
                                   apr_interval_time_t deadline, apr_pool_t *p)
{
    listing_t *lists = apr_pcalloc(p, sizeof(*lists) * (apr_size_t)(n + 1));
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; i < n; i++) {
        cs_pc_read_reset(&reads[i]);
        lists[i].read = &reads[i];
        lists[i].done = !cs_pc_check_id(reads[i].id, &reads[i].result, p);
        reads[i].cards = apr_array_make(p, 4, sizeof(cs_card_t *));
    }
    while (n > 0 && rv == APR_SUCCESS && list_round(pc, lists, n, deadline, p, &rv) > 0)
        ;
    for (i = 0; i < n; i++) {
        if (reads[i].result.cls != CS_CLASS_OK) {
            reads[i].cards = NULL;
        }
    }
    return rv;
}

/* ---- pages of all referrals ---- */

static const char *page_url(const cs_pc_t *pc, const char *query, int sized,
                            const cs_pc_page_t *page, apr_pool_t *p)
{
    return apr_pstrcat(p, pc->base, "?", query, sized ? apr_psprintf(p, "&$top=%d", PAGE_SIZE) : "",
                       skip_query(page->skip, p), NULL);
}

/* What is no referral is left out: one odd entry must not hide the others. Returns how many entries
 * the page has, -1 = it has no list. */
static int take_cards(cs_pc_page_t *page, const json_t *doc, apr_pool_t *p)
{
    const json_t *value = cs_json_get_nocase(doc, "value");
    cs_card_t *card;
    size_t i;

    if (!json_is_array(value)) {
        return -1;
    }
    for (i = 0; i < json_array_size(value); i++) {
        card = cs_pc_card_of(json_array_get(value, i), p);
        if (card) {
            APR_ARRAY_PUSH(page->cards, cs_card_t *) = card;
        }
    }
    return (int)i;
}

static void take_next(cs_pc_page_t *page, const json_t *doc, const cs_http_response_t *response,
                      const cs_http_request_t *request, apr_pool_t *p)
{
    const char *link = cs_pc_member(doc, "@odata.nextLink");

    page->next = link ? skiptoken_of(link, p) : NULL;
    if (link && !page->next) {
        cs_pc_unreadable(&page->result, CS_CLASS_RETRY, response, request, tokenless, p);
    }
    else if (page->next && page->skip && !strcmp(page->next, page->skip)) {
        page->next = NULL;
        cs_pc_unreadable(&page->result, CS_CLASS_RETRY, response, request,
                         "the link to the next page leads to this one", p);
    }
}

/* One request; returns how many entries came, -1 when none could be read. */
static int ask_once(cs_pc_t *pc, cs_pc_page_t *page, const char *query, int sized,
                    const char *label, apr_interval_time_t deadline, apr_pool_t *p)
{
    cs_http_request_t request;
    cs_http_response_t response;
    apr_status_t rv;
    json_t *doc;
    int n;

    apr_array_clear(page->cards);
    cs_pc_request(&request, "GET", page_url(pc, query, sized, page, p), label, NULL, p);
    rv = cs_pc_perform(pc, &request, &response, 1, deadline, p);
    if (rv != APR_SUCCESS) {
        cs_pc_nothing_sent(&page->result, rv, p);
        return -1;
    }
    cs_pc_note(&page->calls, &page->took, &page->correlation, &response);
    cs_pc_classify(&page->result, &response, &request, CS_PC_READ, NULL, p);
    if (page->result.cls == CS_CLASS_GONE) {
        /* The list is always there: somebody else answers. */
        page->result.cls = CS_CLASS_RETRY;
    }
    if (page->result.cls != CS_CLASS_OK ||
        !(doc = cs_pc_read_object(&page->result, &response, &request, p))) {
        return -1;
    }
    n = take_cards(page, doc, p);
    if (n < 0) {
        cs_pc_unreadable(&page->result, CS_CLASS_RETRY, &response, &request,
                         "the answer holds no list of referrals", p);
        return -1;
    }
    take_next(page, doc, &response, &request, p);
    return n;
}

static void page_begin(cs_pc_page_t *page, const char *skip, apr_pool_t *p)
{
    page->skip = skip;
    page->cards = apr_array_make(p, PAGE_SIZE, sizeof(cs_card_t *));
    page->next = NULL;
    cs_result_clear(&page->result);
}

/* $top is the size of a page, but might be taken for that of the whole list: a full first page that
 * is said to be the last one is asked for again without it. */
static void ask_page(cs_pc_t *pc, cs_pc_page_t *page, const char *query, const char *label,
                     apr_interval_time_t deadline, apr_pool_t *p)
{
    int n = ask_once(pc, page, query, 1, label, deadline, p);

    if (n >= PAGE_SIZE && !page->next && !page->skip && page->result.cls == CS_CLASS_OK) {
        ask_once(pc, page, query, 0, label, deadline, p);
    }
    if (page->result.cls != CS_CLASS_OK) {
        apr_array_clear(page->cards);
        page->next = NULL;
    }
}

apr_status_t cs_pc_list_changed(cs_pc_t *pc, cs_pc_page_t *page, apr_interval_time_t deadline,
                                apr_pool_t *p)
{
    page_begin(page, page->skip, p);
    page->calls = 0;
    page->took = 0;
    page->correlation = NULL;
    ask_page(pc, page, "$orderby=updatedDateTime%20desc", "GET referrals by their changes",
             deadline, p);
    return page->result.rv;
}

/* ---- ours among the newest ---- */

/* Microsoft's card of an engagement may repeat what its partner's says. */
static int is_own(const cs_pc_t *pc, const cs_card_t *card)
{
    const char *organization = card->organization_id;

    if (!organization) {
        return 1;
    }
    return strcmp(organization, "msft") != 0 &&
           (!pc->cfg.organization || !strcasecmp(organization, pc->cfg.organization));
}

/* A referral that is over may have a successor. */
static int is_over(const cs_card_t *card)
{
    const char *status = cs_pc_member(card->doc, "status");

    return status && !strcasecmp(status, "Closed");
}

static void match(const cs_pc_t *pc, cs_pc_read_t *reads, int n, cs_card_t *card)
{
    const char *reference = cs_pc_member(card->doc, "externalReferenceId");
    int i;

    for (i = 0; reference && i < n; i++) {
        if (reads[i].result.cls == CS_CLASS_OK &&
            (!reads[i].card || (is_over(reads[i].card) && !is_over(card))) &&
            !strcasecmp(reference, reads[i].id) && is_own(pc, card)) {
            reads[i].card = card;
        }
    }
}

/* Returns 1 when a card of before `since` came by: those after it are older still. */
static int match_page(const cs_pc_t *pc, cs_pc_read_t *reads, int n, const cs_pc_page_t *page,
                      apr_time_t since)
{
    const char *text;
    apr_time_t made;
    cs_card_t *card;
    int i;

    for (i = 0; i < page->cards->nelts; i++) {
        card = APR_ARRAY_IDX(page->cards, i, cs_card_t *);
        text = cs_pc_member(card->doc, "createdDateTime");
        if (text && cs_time_parse(&made, text) == APR_SUCCESS && made < since) {
            return 1;
        }
        match(pc, reads, n, card);
    }
    return 0;
}

static int is_open(const cs_pc_read_t *read)
{
    return read->result.cls == CS_CLASS_OK && (!read->card || is_over(read->card));
}

static int count_open(const cs_pc_read_t *reads, int n)
{
    int i, open = 0;

    for (i = 0; i < n; i++) {
        open += is_open(&reads[i]);
    }
    return open;
}

/* Who has not been found cannot be said to be missing. */
static void fail_open(cs_pc_read_t *reads, int n, const cs_result_t *why, apr_pool_t *p)
{
    int i;

    for (i = 0; i < n; i++) {
        if (is_open(&reads[i])) {
            reads[i].card = NULL;
            cs_result_copy(&reads[i].result, why, p);
        }
    }
}

static void too_many(cs_result_t *res, apr_time_t since, apr_pool_t *p)
{
    cs_result_set(
        res, p, CS_ELIMIT, CS_CLASS_REFUSED, "pc:pages",
        "more than %d pages of referrals were made since %s: whether one of them is meant "
        "is not known",
        FIND_PAGES, cs_time_format(since, p));
}

static const char newest[] =
    "$filter=direction%20eq%20%27Outgoing%27&$orderby=createdDateTime%20desc";

static int begin_find(cs_pc_read_t *reads, int n, apr_pool_t *p)
{
    int i;

    for (i = 0; i < n; i++) {
        cs_pc_read_reset(&reads[i]);
        if (!reads[i].id || !*reads[i].id) {
            cs_result_set(&reads[i].result, p, APR_EINVAL, CS_CLASS_REFUSED, "pc:id",
                          "an external reference is needed to find a referral by");
        }
    }
    return count_open(reads, n);
}

apr_status_t cs_pc_find(cs_pc_t *pc, cs_pc_read_t *reads, int n, apr_time_t since,
                        apr_interval_time_t deadline, apr_pool_t *p)
{
    cs_pc_page_t page = {0};
    int open = begin_find(reads, n, p), pages = 0, over = 0, i;

    while (open && !over && page.result.cls == CS_CLASS_OK && pages < FIND_PAGES) {
        page_begin(&page, page.next, p);
        ask_page(pc, &page, newest, "GET newest referrals", deadline, p);
        over = match_page(pc, reads, n, &page, since) || !page.next;
        open = count_open(reads, n);
        pages++;
    }
    if (open && page.result.cls == CS_CLASS_OK && !over && since > 0) {
        too_many(&page.result, since, p);
    }
    if (page.result.cls != CS_CLASS_OK) {
        fail_open(reads, n, &page.result, p);
    }
    for (i = 0; i < n; i++) {
        reads[i].correlation = page.correlation;
    }
    if (n > 0) {
        reads[0].calls = page.calls;
        reads[0].took = page.took;
    }
    return APR_SUCCESS;
}
