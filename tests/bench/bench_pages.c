/* tests/bench/bench_pages.c: what the readers behind pages and verbs take, in a small store and in a
 * large one.
 *
 * bench_pages <empty directory> [small deals] [large deals] [journal rows per deal]
 * One line per reader: its name, and the median milliseconds of a call in the small store and in the
 * large one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "mod_cosell/base/crypto.h"
#include "mod_cosell/base/json.h"
#include "mod_cosell/base/time.h"
#include "mod_cosell/store/store.h"

#define SITE "main"
#define GROUP 500
#define CALLS 51

static const char *const people[] = {"Contoso", "Fabrikam", "Northwind", "Adventure", "Tailspin"};
static const char *const things[] = {"Azure",    "migration", "backup", "analytics",
                                     "security", "portal",    "renewal"};

typedef struct world_t {
    const char *dir;
    int deals, lines;
    cs_store_t *store;
    cs_lease_t lease;
    const char *referral; /* of a deal in the middle */
    apr_int64_t id;
    apr_pool_t *p;
} world_t;

static void must(apr_status_t rv, const cs_result_t *res)
{
    if (rv) {
        fprintf(stderr, "bench_pages: %s\n", res->detail ? res->detail : "failed");
        exit(1);
    }
}

/* ---- building ---- */

static cs_change_t *change(apr_array_header_t *changes, cs_change_e kind)
{
    cs_change_t *c = apr_array_push(changes);

    memset(c, 0, sizeof(*c));
    c->kind = kind;
    return c;
}

static cs_deal_t *make_deal(int i, apr_pool_t *p)
{
    cs_deal_t *deal = apr_pcalloc(p, sizeof(*deal));

    deal->title = apr_psprintf(p, "%s %s %s n%d", people[i % 5], things[i % 7], things[i / 3 % 7], i);
    deal->state = i % 10 < 6 ? CS_DEAL_LINKED : i % 10 < 8 ? CS_DEAL_NEW : CS_DEAL_CLOSED;
    deal->crm = "crm";
    deal->referral_id = cs_uuid4(p);
    deal->record_id = cs_uuid4(p);
    deal->status = "In sync";
    deal->updated = deal->created = cs_time_now() + i;
    deal->images = cs_json_own(
        json_pack("{s:{s:s,s:s}}", "name", "pc", deal->title, "crm", deal->title), p);
    deal->causes =
        cs_json_own(i % 10 == 3 ? json_pack("{s:s}", "waits country", "Country is empty")
                                : json_object(),
                    p);
    return deal;
}

static void add_lines(apr_array_header_t *changes, cs_deal_t *deal, int lines, apr_pool_t *p)
{
    json_t *value = cs_json_own(json_string("a value"), p);
    cs_journal_t *j;
    cs_change_t *c;

    for (; lines; lines--) {
        j = apr_pcalloc(p, sizeof(*j));
        j->at = deal->updated;
        j->direction = "to_crm";
        j->action = "update";
        j->line = "name";
        j->from = j->to = value;
        j->outcome = "done";
        c = change(changes, CS_CHANGE_JOURNAL);
        c->deal = deal;
        c->journal = j;
    }
}

static void add_deal(world_t *w, apr_array_header_t *changes, int i, apr_pool_t *p)
{
    cs_deal_t *deal = make_deal(i, p);
    cs_change_t *c;

    change(changes, CS_CHANGE_DEAL)->deal = deal;
    c = change(changes, CS_CHANGE_ALIAS);
    c->deal = deal;
    c->system = "pc";
    c->name = deal->referral_id;
    add_lines(changes, deal, w->lines, p);
    if (i == w->deals / 2) {
        w->referral = apr_pstrdup(w->p, deal->referral_id);
        w->id = i + 1;
    }
    if (i % 10 == 9) {
        c = change(changes, CS_CHANGE_WORK_LATER);
        c->work = apr_pcalloc(p, sizeof(*c->work));
        c->work->kind = CS_WORK_LOOK;
        c->work->name = apr_psprintf(p, "pc:dead%d", i);
        c->work->wanted = c->work->seen = 1;
        c->work->state = CS_WORK_DEAD;
        c->work->problem_class = "refused";
        c->work->problem = "crm:0x80040237";
        c->work->detail = apr_psprintf(p, "row %d was refused", i);
        c->at = deal->updated;
    }
}

static void build(world_t *w)
{
    cs_store_config_t cfg = {"sqlite", NULL, NULL, 0, 0};
    apr_array_header_t *changes;
    apr_pool_t *ptemp;
    cs_store_t *writer;
    cs_result_t res;
    const char *node;
    int i;

    cfg.state_dir = w->dir;
    if (mkdir(w->dir, 0700)) {
        perror(w->dir);
        exit(1);
    }
    must(cs_store_open(&writer, &cfg, CS_STORE_WRITER, w->p, &res), &res);
    must(cs_store_node(writer, &node, w->p, &res), &res);
    must(cs_store_lease_take(writer, SITE, node, apr_time_from_sec(86400), cs_time_now(), &w->lease,
                             w->p, &res),
         &res);
    apr_pool_create(&ptemp, w->p);
    for (i = 0; i < w->deals;) {
        changes = apr_array_make(ptemp, GROUP * (w->lines + 3), sizeof(cs_change_t));
        do {
            add_deal(w, changes, i, ptemp);
        } while (++i % GROUP && i < w->deals);
        must(cs_store_write(writer, &w->lease, changes, ptemp, &res), &res);
        apr_pool_clear(ptemp);
    }
    cs_store_close(writer);
    must(cs_store_open(&w->store, &cfg, CS_STORE_READER, w->p, &res), &res);
}

/* ---- readers ---- */

typedef apr_status_t reader_fn(const world_t *w, apr_pool_t *p, cs_result_t *res);

static apr_status_t page(const world_t *w, int state, const char *search, const char *cause,
                         apr_pool_t *p, cs_result_t *res)
{
    cs_deal_query_t query = {state, search, cause, NULL, 50};
    cs_deal_page_t found;

    return cs_store_deal_page(w->store, SITE, &query, &found, p, res);
}

static apr_status_t overview(const world_t *w, apr_pool_t *p, cs_result_t *res)
{
    cs_store_counts_t counts;

    return cs_store_counts(w->store, SITE, &counts, p, res);
}

static apr_status_t totals(const world_t *w, apr_pool_t *p, cs_result_t *res)
{
    apr_int64_t n[CS_DEAL_STATES];

    return cs_store_deal_totals(w->store, SITE, n, p, res);
}

static apr_status_t causes(const world_t *w, apr_pool_t *p, cs_result_t *res)
{
    apr_array_header_t *list;

    return cs_store_causes(w->store, SITE, 50, &list, p, res);
}

static apr_status_t dead(const world_t *w, apr_pool_t *p, cs_result_t *res)
{
    apr_array_header_t *list;

    return cs_store_dead(w->store, SITE, NULL, NULL, 50, &list, p, res);
}

static apr_status_t deals(const world_t *w, apr_pool_t *p, cs_result_t *res)
{
    return page(w, -1, NULL, NULL, p, res);
}

static apr_status_t deals_state(const world_t *w, apr_pool_t *p, cs_result_t *res)
{
    return page(w, CS_DEAL_CLOSED, NULL, NULL, p, res);
}

static apr_status_t deals_cause(const world_t *w, apr_pool_t *p, cs_result_t *res)
{
    return page(w, -1, NULL, "waits country", p, res);
}

static apr_status_t deals_word(const world_t *w, apr_pool_t *p, cs_result_t *res)
{
    return page(w, -1, "contos", NULL, p, res);
}

static apr_status_t deals_words(const world_t *w, apr_pool_t *p, cs_result_t *res)
{
    return page(w, -1, "contoso migra", NULL, p, res);
}

/* Looks at as many as a page may. */
static apr_status_t deals_rare(const world_t *w, apr_pool_t *p, cs_result_t *res)
{
    return page(w, CS_DEAL_GONE, "n", NULL, p, res);
}

static apr_status_t deals_id(const world_t *w, apr_pool_t *p, cs_result_t *res)
{
    return page(w, -1, w->referral, NULL, p, res);
}

static apr_status_t one_deal(const world_t *w, apr_pool_t *p, cs_result_t *res)
{
    apr_array_header_t *list;
    cs_deal_t *deal;
    apr_status_t rv = cs_store_deal_find(w->store, SITE, "pc", w->referral, &deal, p, res);

    return rv ? rv : cs_store_journal_list(w->store, SITE, w->id, 100, &list, p, res);
}

static apr_status_t journal(const world_t *w, apr_pool_t *p, cs_result_t *res)
{
    apr_array_header_t *list;

    return cs_store_journal_list(w->store, SITE, 0, 100, &list, p, res);
}

static apr_status_t journal_middle(const world_t *w, apr_pool_t *p, cs_result_t *res)
{
    apr_int64_t middle = (apr_int64_t)w->deals * w->lines / 2;
    apr_array_header_t *list;

    return cs_store_journal_page(w->store, SITE, 0, 0, middle, 100, &list, p, res);
}

static apr_status_t journal_follow(const world_t *w, apr_pool_t *p, cs_result_t *res)
{
    apr_array_header_t *list;

    return cs_store_journal_page(w->store, SITE, 0, (apr_int64_t)w->deals * w->lines - 100, 0, 100,
                                 &list, p, res);
}

static const struct {
    const char *name;
    reader_fn *fn;
} readers[] = {
    {"counts", overview},
    {"totals", totals},
    {"causes", causes},
    {"dead", dead},
    {"deals", deals},
    {"deals_of_state", deals_state},
    {"deals_of_cause", deals_cause},
    {"search_word", deals_word},
    {"search_words", deals_words},
    {"search_rare", deals_rare},
    {"search_id", deals_id},
    {"one_deal", one_deal},
    {"journal", journal},
    {"journal_middle", journal_middle},
    {"journal_follow", journal_follow},
};

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* Milliseconds of one call. */
static double call(const world_t *w, reader_fn *fn, apr_pool_t *p)
{
    apr_interval_time_t begin = cs_time_mono();
    cs_result_t res;

    cs_result_clear(&res);
    must(fn(w, p, &res), &res);
    return (double)(cs_time_mono() - begin) / 1000;
}

/* Turn by turn, so that a machine that is busy is so for both. */
static void measure(const world_t *small, const world_t *large, size_t i, apr_pool_t *p)
{
    double a[CALLS], b[CALLS];
    int n;

    for (n = 0; n < CALLS; n++) {
        a[n] = call(small, readers[i].fn, p);
        b[n] = call(large, readers[i].fn, p);
        apr_pool_clear(p);
    }
    qsort(a, CALLS, sizeof(a[0]), by_size);
    qsort(b, CALLS, sizeof(b[0]), by_size);
    printf("%s %.4f %.4f\n", readers[i].name, a[CALLS / 2], b[CALLS / 2]);
}

int main(int argc, char **argv)
{
    int few = argc > 2 ? atoi(argv[2]) : 1000, many = argc > 3 ? atoi(argv[3]) : 100000;
    int lines = argc > 4 ? atoi(argv[4]) : 10;
    world_t small = {0}, large = {0};
    apr_pool_t *p, *ptemp;
    size_t i;

    if (argc < 2 || argv[1][0] != '/' || few < 1000 || many < few || lines < 1) {
        fprintf(stderr, "usage: bench_pages /empty/directory [deals, at least 1000] [deals, more]"
                        " [journal rows per deal]\n");
        return 2;
    }
    apr_initialize();
    apr_pool_create(&p, NULL);
    apr_pool_create(&ptemp, p);
    small.p = large.p = p;
    small.dir = apr_pstrcat(p, argv[1], "/small", NULL);
    large.dir = apr_pstrcat(p, argv[1], "/large", NULL);
    small.deals = few;
    large.deals = many;
    small.lines = large.lines = lines;
    build(&small);
    build(&large);
    for (i = 0; i < sizeof(readers) / sizeof(readers[0]); i++) {
        measure(&small, &large, i, ptemp);
    }
    apr_pool_destroy(p);
    apr_terminate();
    return 0;
}
