/* A site's lane with everything real but its two ends: the store is SQLite, Partner Center and the CRM are in memory and do what a test tells them.
 *
 * The library's own clients are not linked: what is defined here takes their place.
 */
#ifndef CS_TESTS_UNIT_ENGINE_H
#define CS_TESTS_UNIT_ENGINE_H

#include "unit_store.h"

#include <strings.h>
#include <sys/mman.h>

#include "mod_cosell/remote/dynamics/dynamics.h"
#include "mod_cosell/remote/crm.h"
#include "mod_cosell/base/crypto.h"
#include "mod_cosell/engine/job.h"

#define OWN "7d230000-0000-4000-8000-000000000005"
#define CRM_NAME "sales"
#define OTHER_CRM "field"
#define GIVING "giving" /* a type of CRM that gives its rows their ids */
#define CURRENCY "cccccccc-0000-4000-8000-000000000001"
#define DEALS_MAX 700

/* ---- the clock ---- */

typedef struct clock_words_t {
    apr_int64_t offset, rate, since;
} clock_words_t;

static clock_words_t *clock_words;

/* Before anything asks for the time. */
static inline int clock_setup(void)
{
    static char path[] = "/tmp/cosell-clock-XXXXXX";
    clock_words_t words = {0, 1000, 0};
    int fd = mkstemp(path);

    if (fd < 0 || write(fd, &words, sizeof(words)) != (ssize_t)sizeof(words)) {
        return -1;
    }
    clock_words = mmap(NULL, sizeof(words), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    setenv("COSELL_TEST_CLOCK", path, 1);
    cs_time_now();
    unlink(path);
    close(fd);
    return clock_words == MAP_FAILED ? -1 : 0;
}

/* From here on time passes by pass_seconds() alone, but for a thousandth: however long a busy machine
 * takes, a second stays one. */
static inline void clock_hold(void)
{
    clock_words->since = cs_time_now() - clock_words->offset;
    clock_words->rate = 1;
}

static inline void pass_seconds(apr_int64_t seconds)
{
    clock_words->offset += seconds * SEC;
}

/* ---- the world ---- */

typedef struct referral_t {
    char id[40], engagement[40], org[40];
    json_t *doc;
    int version, hidden;
} referral_t;

typedef struct row_t {
    const char *crm; /* whose */
    const char *table, *id;
    int version;
    json_t *row; /* NULL = deleted */
    apr_time_t modified;
    int young;      /* so many reads say that it changed a moment ago */
    cs_class_e ends; /* what writing it comes to; OK = it is written */
    const char *refuses; /* a column whose value is refused */
} row_t;

typedef struct world_t {
    apr_pool_t *p;
    cs_store_config_t *cfg;
    cs_store_t *store; /* the test's own handle */
    cs_node_config_t node;
    cs_site_config_t site;
    cs_upstream_t pc_upstream, crm_upstream;
    cs_lane_t *lane;
    referral_t referral[DEALS_MAX];
    int referrals;
    apr_array_header_t *rows; /* row_t */
    cs_class_e pc_fails, crm_fails; /* every call; OK = none */
    const char *pc_problem;
    void (*list_changed)(cs_pc_page_t *page, apr_pool_t *p);
    void (*changes)(cs_crm_changes_t *changes, apr_pool_t *p);
    const char *organization; /* what the CRM says it is */
    int changed_lists, change_pages;
    void (*meanwhile)(void); /* happens once while a card, or else a record, is read */
    int crm_blind;       /* every row reads as deleted */
    const char *at;      /* the CRM that is spoken of */
    const char *down;    /* it does not answer; NULL = all do */
    cs_class_e down_ends;
    const char *down_problem;
    int unheard;         /* of rows that are made: so many answers are lost */
    int nothing_arrives; /* and they are not made either */
    int upserts;         /* a row that its key finds is written over instead of being a duplicate */
    const char *duplicates; /* a table whose rows the CRM's own rules call duplicates */
    cs_crm_usage_t usage;
    int read_calls, write_calls, given;
    int young_writes; /* what a write answers with was read too soon after it */
    int folds_ids;       /* rows say their ids in lower case, however they were asked for */
    const char *refuses; /* a column whose value is refused */
    int mute;            /* the answer does not name it */
    int fails_updates;   /* of records: the CRM is down for them */
    int deletes_made;    /* somebody deletes a new record at once */
    json_t *metadata;    /* what describe tells; NULL = it fails */
    /* What becomes of new referrals: OK = made, UNKNOWN = made and not heard of, UNKNOWN with nothing_made = neither; else that. */
    cs_class_e posts_end;
    int nothing_made;
    int list_lags;          /* a search shows nothing new */
    const char *pc_refuses; /* a path whose value is refused */
    int pc_mute;            /* the answer does not name it */
    int pc_shows_nothing;   /* the answer of a change has no body */
    void (*meanwhile_post)(void); /* happens once, when a referral was made */
    void (*meanwhile_write)(void); /* happens once, when rows are about to be written */
    int patches, posts, searches;
    apr_time_t searched_since; /* of the last search */
    int pc_takes; /* milliseconds of every request to Partner Center: so it is with a low rate */
    int kept_alive; /* redemptions for their own sake */
    int gets, lists, pc_probes, reads, writes, rows_written, creates, finds, find_calls, whoamis, describes;
} world_t;

static world_t *W;

static const char mapping_text[] =
    "{'crm':'dynamics365','revision':'%s','names':{'sync':'cosell_sync','id':'cosell_referral','status':'cosell_status','problem':'cosell_problem'},"
    "'find':{'account':{'table':'account','by':[{'name':'/customerProfile/name'}],'none':'create','create':{'name':'/customerProfile/name'}}},"
    "'records':{'opportunity':{'table':'opportunity','key':'@id',"
    "'from_pc':{'when':{'pc':'$kind','in':['co-sell','private']},'set':{'@sync':true}},'from_crm':{'when':{'crm':'@sync','is':true},'opt_out':'pause'},%s"
    "'state':{'hear':[{'pc':'New','crm':{'statecode':0},'do':'wait'},{'pc':'Active','crm':{'statecode':0},'do':'stay'}],"
    "'show':{'New':{'set':{'statuscode':2}},'Active':{'set':{'statecode':0,'statuscode':1}},'Closed/Error':{'unlink':true}}},"
    "'lines':{'name':{'pc':'/name','crm':'name','type':'text','max':300,'required':true,'direction':'to_crm'}%s,"
    "'account':{'crm':'parentaccountid','find':'account','direction':'to_crm','events':['create']}},"
    "'tell':{'id':'@id','status':'@status','problem':'@problem'}}}}";

#define NOTES_LINE ",'notes':{'pc':'/details/notes','crm':'description','type':'text','max':2000,'direction':'to_crm'}"
#define MATCH "'match':{'by':[{'name':'/name','parentaccountid':'$account'}]},"

static inline const char *double_quoted(apr_pool_t *p, const char *text)
{
    char *out = apr_pstrdup(p, text), *c;

    for (c = out; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    return out;
}

static inline json_t *js(apr_pool_t *p, const char *text)
{
    json_error_t error;
    json_t *json = json_loads(double_quoted(p, text), JSON_DECODE_ANY, &error);

    if (!json) {
        fail_msg("%s: %s", text, error.text);
    }
    return cs_json_own(json, p);
}

static inline const cs_mapping_t *parse_mapping(apr_pool_t *p, const char *text, const char *type)
{
    apr_array_header_t *errors = NULL;
    cs_mapping_t *mapping = NULL;
    cs_result_t res = {0};

    text = double_quoted(p, text);
    if (cs_mapping_parse(&mapping, text, strlen(text), "test.json", cs_crm_facts_of(type), &errors, p, &res)) {
        fail_msg("%s", res.detail);
    }
    return mapping;
}

static inline const cs_mapping_t *make_mapping(apr_pool_t *p, const char *revision, const char *kind, const char *lines)
{
    return parse_mapping(p, apr_psprintf(p, mapping_text, revision, kind, lines), "dynamics365");
}

static inline const char *replaced_text(apr_pool_t *p, const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);

    assert_non_null(at);
    return apr_pstrcat(p, apr_pstrmemdup(p, text, (apr_size_t)(at - text)), to, at + strlen(from), NULL);
}

/* The same for a CRM that gives its rows their ids; what makes an account finds itself by a column, unless key is NULL. */
static inline const cs_mapping_t *make_giving_mapping(apr_pool_t *p, const char *revision, const char *key, const char *kind, const char *lines)
{
    const char *text = apr_psprintf(p, mapping_text, revision, kind, lines);

    text = replaced_text(p, text, "'crm':'dynamics365'", "'crm':'" GIVING "'");
    if (key) {
        text = replaced_text(p, text, "'find':{'account':{", apr_psprintf(p, "'find':{'account':{'key':'%s',", key));
    }
    return parse_mapping(p, text, GIVING);
}

/* ---- Partner Center ---- */

static inline referral_t *referral_by_id(const char *id)
{
    int i;

    for (i = 0; i < W->referrals; i++) {
        if (!strcmp(W->referral[i].id, id)) {
            return &W->referral[i];
        }
    }
    return NULL;
}

static inline referral_t *new_referral_of(const char *org, const char *engagement)
{
    int n = W->referrals++;
    referral_t *r = &W->referral[n];

    assert_true(n < DEALS_MAX);
    apr_snprintf(r->id, sizeof(r->id), "0f0a4b6e-0000-4000-8000-%012d", n);
    apr_cpystrn(r->engagement, engagement ? engagement : apr_psprintf(W->p, "eeeeeeee-0000-4000-8000-%012d", n), sizeof(r->engagement));
    apr_cpystrn(r->org, org, sizeof(r->org));
    r->version = 1;
    r->doc = js(W->p, apr_psprintf(W->p,
                                   "{'name':'Deal %d','status':'Active','substatus':'Accepted','type':'Shared','qualification':'SalesQualified',"
                                   "'externalReferenceId':null,'inviteContext':{'invitedBy':{'organizationId':'msft'}},"
                                   "'customerProfile':{'name':'Customer %d'},'details':{'notes':'Notes %d'}}",
                                   n, n / 10, n));
    return r;
}

static inline referral_t *new_referral(void)
{
    return new_referral_of(OWN, NULL);
}

static inline void set_member(referral_t *r, const char *pointer, const char *value)
{
    assert_ok(cs_json_pointer_set(r->doc, pointer, json_deep_copy(js(W->p, value))));
    r->version++;
}

static inline cs_card_t *card_of(const referral_t *r, apr_pool_t *p)
{
    cs_card_t *card = apr_pcalloc(p, sizeof(*card));

    card->id = r->id;
    card->engagement_id = r->engagement;
    card->organization_id = r->org;
    card->etag = apr_psprintf(p, "\"%d\"", r->version);
    card->updated = cs_time_now();
    card->doc = cs_json_own(json_deep_copy(r->doc), p);
    json_object_set_new(card->doc, "id", json_string(r->id));
    json_object_set_new(card->doc, "engagementId", json_string(r->engagement));
    json_object_set_new(card->doc, "organizationId", json_string(r->org));
    return card;
}

apr_status_t cs_pc_create(cs_pc_t **ppc, const cs_pc_config_t *cfg, const cs_vault_t *vault, cs_http_t *http, cs_limiter_t *limiter,
                          cs_limiter_t *login_limiter, apr_pool_t *p)
{
    (void)cfg, (void)vault, (void)http, (void)limiter, (void)login_limiter;
    *ppc = apr_pcalloc(p, 1);
    return APR_SUCCESS;
}

static inline int pc_fails(cs_result_t *res, apr_pool_t *p)
{
    if (W->pc_takes) {
        clock_words->offset += (apr_int64_t)W->pc_takes * 1000;
    }
    if (W->pc_fails == CS_CLASS_OK) {
        return 0;
    }
    cs_result_set(res, p, CS_EREMOTE, W->pc_fails, W->pc_problem ? W->pc_problem : "http:503", "Partner Center is down");
    return 1;
}

static inline void happen(void)
{
    void (*what)(void) = W->meanwhile;

    W->meanwhile = NULL;
    if (what) {
        what();
    }
}

apr_status_t cs_pc_get(cs_pc_t *pc, cs_pc_read_t *reads, int n, apr_interval_time_t deadline, apr_pool_t *p)
{
    int i;

    (void)pc, (void)deadline;
    for (i = 0; i < n; i++) {
        const referral_t *r = referral_by_id(reads[i].id);
        W->gets++;
        reads[i].calls = 1;
        if (pc_fails(&reads[i].result, p)) {
            happen();
            continue;
        }
        if (!r || r->hidden) {
            cs_result_set(&reads[i].result, p, CS_EREMOTE, r && r->hidden == 403 ? CS_CLASS_SUSPEND : CS_CLASS_GONE,
                          r && r->hidden == 403 ? "http:403" : "http:404", "no such referral");
            continue;
        }
        reads[i].card = card_of(r, p);
        happen();
    }
    return APR_SUCCESS;
}

apr_status_t cs_pc_list_engagement(cs_pc_t *pc, cs_pc_read_t *reads, int n, apr_interval_time_t deadline, apr_pool_t *p)
{
    int i, j;

    (void)pc, (void)deadline;
    for (i = 0; i < n; i++) {
        W->lists++;
        reads[i].calls = 1;
        if (pc_fails(&reads[i].result, p)) {
            continue;
        }
        reads[i].cards = apr_array_make(p, 2, sizeof(cs_card_t *));
        for (j = 0; j < W->referrals; j++) {
            if (!W->referral[j].hidden && !(W->list_lags && !strcmp(W->referral[j].org, "msft")) && !strcmp(W->referral[j].engagement, reads[i].id)) {
                APR_ARRAY_PUSH(reads[i].cards, cs_card_t *) = card_of(&W->referral[j], p);
            }
        }
    }
    return APR_SUCCESS;
}

static inline int pc_refuses(cs_pc_write_t *write, apr_pool_t *p)
{
    size_t i;

    for (i = 0; W->pc_refuses && i < json_array_size(write->body); i++) {
        const char *path = cs_json_str(json_array_get(write->body, i), "path");
        if (path && !strcmp(path, W->pc_refuses)) {
            cs_result_set(&write->result, p, CS_EREMOTE, CS_CLASS_DATA, "pc:value", "the value of %s is not good", path);
            write->result.blames = W->pc_mute ? NULL : W->pc_refuses;
            return 1;
        }
    }
    return 0;
}

static inline void patch_one(cs_pc_write_t *write, apr_pool_t *p)
{
    referral_t *r = referral_by_id(write->id);
    size_t i;

    W->patches++;
    write->calls = 1;
    if (pc_fails(&write->result, p) || pc_refuses(write, p)) {
        return;
    }
    if (!r || r->hidden) {
        cs_result_set(&write->result, p, CS_EREMOTE, CS_CLASS_GONE, "http:404", "no such referral");
        return;
    }
    if (strcmp(write->guard, apr_psprintf(p, "\"%d\"", r->version))) {
        cs_result_set(&write->result, p, CS_EREMOTE, CS_CLASS_CONFLICT, "http:412", "it was changed");
        return;
    }
    for (i = 0; i < json_array_size(write->body); i++) {
        const json_t *op = json_array_get(write->body, i);
        assert_ok(cs_json_pointer_set(r->doc, cs_json_str(op, "path"), json_deep_copy(cs_json_get(op, "value"))));
    }
    r->version++;
    write->card = W->pc_shows_nothing ? NULL : card_of(r, p);
}

apr_status_t cs_pc_patch(cs_pc_t *pc, cs_pc_write_t *writes, int n, apr_interval_time_t deadline, apr_pool_t *p)
{
    int i;

    (void)pc, (void)deadline;
    for (i = 0; i < n; i++) {
        patch_one(&writes[i], p);
    }
    return APR_SUCCESS;
}

static inline void post_one(cs_pc_write_t *write, apr_pool_t *p)
{
    const char *engagement = cs_json_str(write->body, "engagementId");
    referral_t *r;

    W->posts++;
    write->calls = 1;
    if (pc_fails(&write->result, p)) {
        return;
    }
    if (W->posts_end != CS_CLASS_OK && !(W->posts_end == CS_CLASS_UNKNOWN && !W->nothing_made)) {
        cs_result_set(&write->result, p, CS_EREMOTE, W->posts_end, "pc:post", "no referral for you");
        return;
    }
    r = new_referral_of(engagement ? "msft" : OWN, engagement);
    r->doc = cs_json_own(json_deep_copy(write->body), W->p);
    if (W->meanwhile_post) {
        W->meanwhile_post();
        W->meanwhile_post = NULL;
    }
    if (W->posts_end == CS_CLASS_UNKNOWN) {
        cs_result_set(&write->result, p, CS_EREMOTE, CS_CLASS_UNKNOWN, "transport", "no answer");
        return;
    }
    write->card = card_of(r, p);
}

apr_status_t cs_pc_post(cs_pc_t *pc, cs_pc_write_t *writes, int n, apr_interval_time_t deadline, apr_pool_t *p)
{
    int i;

    (void)pc, (void)deadline;
    for (i = 0; i < n; i++) {
        post_one(&writes[i], p);
    }
    return APR_SUCCESS;
}

apr_status_t cs_pc_find(cs_pc_t *pc, cs_pc_read_t *reads, int n, apr_time_t since, apr_interval_time_t deadline, apr_pool_t *p)
{
    int i, j;

    (void)pc, (void)deadline;
    W->searched_since = since;
    for (i = 0; i < n; i++) {
        W->searches++;
        reads[i].calls = 1;
        if (pc_fails(&reads[i].result, p)) {
            continue;
        }
        for (j = 0; !W->list_lags && j < W->referrals; j++) {
            const char *reference = cs_json_str(W->referral[j].doc, "externalReferenceId");
            if (reference && !strcasecmp(reference, reads[i].id) && strcmp(W->referral[j].org, "msft")) {
                reads[i].card = card_of(&W->referral[j], p);
            }
        }
    }
    return APR_SUCCESS;
}

apr_status_t cs_pc_list_changed(cs_pc_t *pc, cs_pc_page_t *page, apr_interval_time_t deadline, apr_pool_t *p)
{
    (void)pc, (void)deadline;
    W->changed_lists++;
    page->calls = 1;
    page->cards = apr_array_make(p, 1, sizeof(cs_card_t *));
    page->next = NULL;
    if (!pc_fails(&page->result, p) && W->list_changed) {
        W->list_changed(page, p);
    }
    return APR_SUCCESS;
}

cs_card_t *cs_pc_card_of(json_t *doc, apr_pool_t *p)
{
    (void)doc, (void)p;
    return NULL;
}

apr_status_t cs_pc_probe(cs_pc_t *pc, apr_interval_time_t deadline, apr_pool_t *ptemp, cs_result_t *res)
{
    (void)pc, (void)deadline;
    W->pc_probes++;
    return pc_fails(res, ptemp) ? res->rv : APR_SUCCESS;
}

int cs_pc_examine(cs_pc_t *pc, apr_array_header_t *findings, apr_interval_time_t deadline, apr_pool_t *p)
{
    (void)pc, (void)findings, (void)deadline, (void)p;
    return 1;
}

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
    (void)pc, (void)deadline;
    W->kept_alive++;
    return pc_fails(res, ptemp) ? res->rv : APR_SUCCESS;
}

/* ---- the CRM ---- */

static inline row_t *row_by_id(const char *table, const char *id)
{
    int i;

    for (i = 0; i < W->rows->nelts; i++) {
        row_t *row = &APR_ARRAY_IDX(W->rows, i, row_t);
        if (!strcmp(row->crm, W->at) && !strcmp(row->table, table) && !strcmp(row->id, id)) {
            return row;
        }
    }
    return NULL;
}

static inline row_t *put_row(const char *table, const char *id, const char *columns)
{
    row_t *row = apr_array_push(W->rows);

    memset(row, 0, sizeof(*row));
    row->crm = W->at;
    row->table = apr_pstrdup(W->p, table);
    row->id = apr_pstrdup(W->p, id);
    row->version = 1;
    row->row = js(W->p, columns);
    row->modified = cs_time_now();
    return row;
}

static inline row_t *row_by_key(const char *table, const json_t *key)
{
    const char *column = json_object_iter_key(json_object_iter((json_t *)key));
    const char *value = cs_json_str(key, column);
    int i;

    for (i = 0; i < W->rows->nelts; i++) {
        row_t *row = &APR_ARRAY_IDX(W->rows, i, row_t);
        const char *has = row->row ? cs_json_str(row->row, column) : NULL;
        if (has && !strcmp(row->crm, W->at) && !strcmp(row->table, table) && !strcasecmp(has, value)) {
            return row;
        }
    }
    return NULL;
}

/* Of one CRM. */
static inline int count_rows_of(const char *crm, const char *table)
{
    int i, n = 0;

    for (i = 0; i < W->rows->nelts; i++) {
        const row_t *row = &APR_ARRAY_IDX(W->rows, i, row_t);
        n += row->row && !strcmp(row->crm, crm) && !strcmp(row->table, table);
    }
    return n;
}

static inline int count_rows(const char *table)
{
    int i, n = 0;

    for (i = 0; i < W->rows->nelts; i++) {
        n += APR_ARRAY_IDX(W->rows, i, row_t).row && !strcmp(APR_ARRAY_IDX(W->rows, i, row_t).table, table);
    }
    return n;
}

/* Rows of deals whose column has a value. */
static inline int count_set(const char *column)
{
    int i, n = 0;

    for (i = 0; i < W->rows->nelts; i++) {
        const row_t *row = &APR_ARRAY_IDX(W->rows, i, row_t);
        n += row->row && !strcmp(row->table, "opportunity") && json_is_string(json_object_get(row->row, column));
    }
    return n;
}

/* What was written as a reference reads as the row's id, and a decimal as a number. */
static inline void show_look_ups(json_t *row)
{
    const char *column;
    json_t *value;
    void *next;

    json_object_foreach_safe(row, next, column, value)
    {
        const json_t *ref = json_object_get(value, "$ref");
        const char *number = cs_json_str(value, "$number");

        if (ref) {
            json_object_set_new(row, column, json_pack("{s:O}", "id", json_object_get(ref, "id")));
        }
        else if (number) {
            json_object_set_new(row, column, json_loads(number, JSON_DECODE_ANY, NULL));
        }
    }
}

static inline cs_record_t *record_of(const row_t *row, const apr_array_header_t *columns, apr_pool_t *p)
{
    cs_record_t *record = apr_pcalloc(p, sizeof(*record));
    int i;

    record->table = row->table;
    record->id = W->folds_ids ? apr_pstrdup(p, row->id) : row->id;
    if (W->folds_ids) {
        char *c;

        for (c = (char *)record->id; *c; c++) {
            *c |= *c >= 'A' && *c <= 'Z' ? 0x20 : 0;
        }
    }
    record->young = row->young > 0;
    record->version = apr_psprintf(p, "W/%d%s", row->version, record->young ? "~" : "");
    record->row = cs_json_own(json_deep_copy(row->row), p);
    for (i = 0; columns && i < columns->nelts; i++) {
        const char *column = APR_ARRAY_IDX(columns, i, const char *);
        if (!strchr(column, '/') && !json_object_get(record->row, column)) {
            json_object_set_new(record->row, column, json_null());
        }
    }
    json_object_set_new(record->row, "opportunityid", json_string(row->id));
    record->modified = row->modified;
    show_look_ups(record->row);
    return record;
}

static inline int crm_fails(cs_result_t *res, apr_pool_t *p)
{
    if (W->down && !strcmp(W->down, W->at)) {
        cs_result_set(res, p, CS_EREMOTE, W->down_ends, W->down_problem ? W->down_problem : "http:503", "%s is down", W->at);
        return 1;
    }
    if (W->crm_fails == CS_CLASS_OK) {
        return 0;
    }
    cs_result_set(res, p, CS_EREMOTE, W->crm_fails, "http:503", "the CRM is down");
    return 1;
}

struct cs_crm_t {
    const char *name;
};

static apr_status_t fake_create(cs_crm_t **pcrm, const cs_crm_config_t *cfg, cs_http_t *http, cs_limiter_t *limiter, cs_limiter_t *login, apr_pool_t *p)
{
    (void)http, (void)limiter, (void)login;
    *pcrm = apr_pcalloc(p, sizeof(**pcrm));
    (*pcrm)->name = cfg->name;
    return APR_SUCCESS;
}

static void fake_usage(const cs_crm_t *crm, cs_crm_usage_t *usage)
{
    (void)crm;
    *usage = W->usage;
}

static apr_status_t fake_whoami(cs_crm_t *crm, cs_crm_whoami_t *who, apr_interval_time_t deadline, apr_pool_t *p, cs_result_t *res)
{
    (void)deadline;
    W->at = crm->name;
    W->whoamis++;
    memset(who, 0, sizeof(*who));
    who->organization = W->organization;
    return crm_fails(res, p) ? res->rv : APR_SUCCESS;
}

static apr_status_t fake_read(cs_crm_t *crm, cs_crm_read_t *reads, int n, apr_interval_time_t deadline, apr_pool_t *p)
{
    int i;

    (void)deadline;
    W->at = crm->name;
    W->read_calls++;
    for (i = 0; i < n; i++) {
        row_t *row = reads[i].key ? row_by_key(reads[i].table, reads[i].key) : row_by_id(reads[i].table, reads[i].id);
        W->reads++;
        reads[i].calls = 1;
        if (crm_fails(&reads[i].result, p)) {
            continue;
        }
        if (!row || !row->row || W->crm_blind) {
            cs_result_set(&reads[i].result, p, CS_EREMOTE, CS_CLASS_GONE, "http:404", "no such row");
            continue;
        }
        reads[i].record = record_of(row, reads[i].columns, p);
        row->young -= row->young > 0;
    }
    happen();
    return APR_SUCCESS;
}

static inline int fits(const json_t *row, const json_t *key)
{
    const char *column;
    json_t *value;

    json_object_foreach((json_t *)key, column, value) {
        const json_t *ref = json_object_get(value, "$ref"), *has = json_object_get(row, column);
        const char *a = ref ? cs_json_str(json_object_get(has, "$ref"), "id") : json_string_value(has);
        const char *b = ref ? cs_json_str(ref, "id") : json_string_value(value);
        if (!a || !b || strcasecmp(a, b)) {
            return 0;
        }
    }
    return 1;
}

static void find_one(cs_crm_find_t *find, apr_pool_t *p)
{
    size_t k;
    int i;

    find->calls = 1;
    if (crm_fails(&find->result, p)) {
        return;
    }
    find->candidates = cs_json_own(json_array(), p);
    for (k = 0; k < json_array_size(find->keys) && !find->found; k++) {
        for (i = 0; i < W->rows->nelts; i++) {
            const row_t *row = &APR_ARRAY_IDX(W->rows, i, row_t);
            if (row->row && !strcmp(row->crm, W->at) && !strcmp(row->table, find->table) && fits(row->row, json_array_get(find->keys, k)) && fits(row->row, find->where)) {
                find->found += find->found < 2;
                find->id = row->id;
                json_array_append_new(find->candidates, json_pack("{s:s,s:O?}", "id", row->id, "name", json_object_get(row->row, "name")));
            }
        }
    }
}

static apr_status_t fake_find(cs_crm_t *crm, cs_crm_find_t *finds, int n, apr_interval_time_t deadline, apr_pool_t *p)
{
    int i;

    (void)deadline;
    W->at = crm->name;
    W->find_calls++;
    for (i = 0; i < n; i++) {
        W->finds++;
        find_one(&finds[i], p);
    }
    return APR_SUCCESS;
}

static int refuses(cs_crm_write_t *write, apr_pool_t *p)
{
    const row_t *row = row_by_id(write->table, write->id);
    const char *column = row && row->refuses ? row->refuses : W->refuses;

    if (!column || !json_object_get(write->row, column)) {
        return 0;
    }
    cs_result_set(&write->result, p, CS_EREMOTE, CS_CLASS_DATA, "data:value", "the value of %s is not good", column);
    write->result.blames = W->mute ? NULL : column;
    return 1;
}

static inline int gives_ids(void)
{
    int i;

    for (i = 0; i < W->site.ncrms; i++) {
        if (!strcmp(W->site.crms[i].cfg.name, W->at)) {
            return !strcmp(W->site.crms[i].cfg.type, GIVING);
        }
    }
    return 0;
}

/* 18 characters, as that CRM gives them. */
static inline const char *given_id(const char *table)
{
    return cs_row_id(CS_ID_18, apr_psprintf(W->p, "0%c%cAb%010d", table[0], table[1], ++W->given), W->p);
}

static void make_row(cs_crm_write_t *write, apr_pool_t *p)
{
    row_t *row = write->key ? row_by_key(write->table, write->key) : gives_ids() ? NULL : row_by_id(write->table, write->id);

    if ((row && !W->upserts) || (W->duplicates && !strcmp(write->table, W->duplicates))) {
        cs_result_set(&write->result, p, CS_EREMOTE, CS_CLASS_DUPLICATE, "http:412", "it exists");
        return;
    }
    if (W->unheard > 0 && W->nothing_arrives) {
        W->unheard--;
        cs_result_set(&write->result, p, CS_EREMOTE, CS_CLASS_UNKNOWN, "transport", "no answer");
        return;
    }
    if (!row) {
        row = put_row(write->table, gives_ids() ? given_id(write->table) : write->id, "{'statecode':0,'statuscode':1}");
        W->creates += !strcmp(write->table, "opportunity");
    }
    json_object_update(row->row, cs_json_own(json_deep_copy(write->row), W->p));
    json_object_update(row->row, (json_t *)write->key);
    row->version++;
    row->modified = cs_time_now();
    W->rows_written += !strcmp(write->table, "opportunity");
    if (W->unheard > 0) {
        W->unheard--;
        cs_result_set(&write->result, p, CS_EREMOTE, CS_CLASS_UNKNOWN, "transport", "no answer");
        return;
    }
    write->made = gives_ids() ? row->id : NULL;
    row->young += W->young_writes;
    write->record = write->columns ? record_of(row, write->columns, p) : NULL;
    row->young -= W->young_writes;
    if (W->deletes_made && !strcmp(write->table, "opportunity")) {
        row->row = NULL;
    }
}

static void write_one(cs_crm_write_t *write, apr_pool_t *p)
{
    row_t *row = row_by_id(write->table, write->id);

    W->writes++;
    write->calls = 1;
    if (crm_fails(&write->result, p) || refuses(write, p)) {
        return;
    }
    if (W->fails_updates && write->kind == CS_CRM_UPDATE) {
        cs_result_set(&write->result, p, CS_EREMOTE, CS_CLASS_RETRY, "http:503", "the CRM is down");
        return;
    }
    if (write->kind == CS_CRM_CREATE) {
        make_row(write, p);
        return;
    }
    if (!row || !row->row) {
        cs_result_set(&write->result, p, CS_EREMOTE, CS_CLASS_GONE, "http:404", "no such row");
        return;
    }
    if (row->ends != CS_CLASS_OK) {
        cs_result_set(&write->result, p, CS_EREMOTE, row->ends, "crm:row", "the row %s does not take it", row->id);
        return;
    }
    if (write->guard && strcmp(write->guard, apr_psprintf(p, "W/%d", row->version)) && !(write->guard[strlen(write->guard) - 1] == '~')) {
        cs_result_set(&write->result, p, CS_EREMOTE, CS_CLASS_CONFLICT, "http:412", "it was changed");
        return;
    }
    json_object_update(row->row, cs_json_own(json_deep_copy(write->row), W->p));
    row->version++;
    row->modified = cs_time_now();
    W->rows_written += !strcmp(write->table, "opportunity");
    row->young += W->young_writes;
    write->record = write->columns ? record_of(row, write->columns, p) : NULL;
    row->young -= W->young_writes;
}

static apr_status_t fake_write(cs_crm_t *crm, cs_crm_write_t *writes, int n, apr_interval_time_t deadline, apr_pool_t *p)
{
    int i;

    (void)deadline;
    W->at = crm->name;
    W->write_calls++;
    if (W->meanwhile_write) {
        W->meanwhile_write();
        W->meanwhile_write = NULL;
    }
    for (i = 0; i < n; i++) {
        write_one(&writes[i], p);
    }
    return APR_SUCCESS;
}

static apr_status_t fake_describe(cs_crm_t *crm, const apr_array_header_t *tables, json_t **pmetadata, int *pcalls, apr_interval_time_t deadline,
                                  apr_pool_t *p, cs_result_t *res)
{
    (void)tables, (void)deadline;
    W->at = crm->name;
    W->describes++;
    *pcalls = 1;
    if (!W->metadata) {
        return cs_result_set(res, p, CS_EREMOTE, CS_CLASS_REFUSED, "http:403", "the metadata may not be read");
    }
    *pmetadata = cs_json_own(json_deep_copy(W->metadata), p);
    return APR_SUCCESS;
}

/* One page of what changed in a table; by itself there is nothing. */
static apr_status_t fake_changes(cs_crm_t *crm, cs_crm_changes_t *changes, apr_interval_time_t deadline, apr_pool_t *p)
{
    (void)deadline;
    W->at = crm->name;
    W->change_pages++;
    changes->calls = 1;
    changes->rows = apr_array_make(p, 4, sizeof(cs_crm_changed_t));
    changes->next = "end";
    if (!crm_fails(&changes->result, p) && W->changes) {
        W->changes(changes, p);
    }
    return APR_SUCCESS;
}

static const cs_crm_impl_t fake_impl = {
    .facts = &cs_dynamics_facts, .create = fake_create, .whoami = fake_whoami, .read = fake_read, .find = fake_find, .write = fake_write, .describe = fake_describe, .changes = fake_changes};

/* As that, but for the ids. */
static cs_crm_facts_t giving_facts;

static int is_giving(const char *word)
{
    return !strcmp(word, GIVING);
}

static const cs_crm_impl_t giving_impl = {
    .facts = &giving_facts, .create = fake_create, .whoami = fake_whoami, .read = fake_read, .find = fake_find, .write = fake_write, .describe = fake_describe, .changes = fake_changes,
    .usage = fake_usage};

const cs_crm_impl_t *cs_crm_impl_of(const char *type)
{
    giving_facts = cs_dynamics_facts;
    giving_facts.type = GIVING;
    giving_facts.is = is_giving;
    giving_facts.names_rows = 1;
    giving_facts.id_form = CS_ID_18;
    return !strcmp(type, GIVING) ? &giving_impl : strcmp(type, "dynamics365") ? NULL : &fake_impl;
}

const cs_crm_facts_t *cs_crm_facts_of(const char *type)
{
    const cs_crm_impl_t *impl = cs_crm_impl_of(type);

    return impl ? impl->facts : NULL;
}

const char *cs_crm_types(void)
{
    return "dynamics365";
}

/* ---- living ---- */

static inline world_t *new_world(apr_pool_t *p)
{
    static cs_secret_t seed;

    W = apr_pcalloc(p, sizeof(*W));
    W->p = p;
    W->cfg = make_state(p);
    W->store = open_store(W->cfg, CS_STORE_WRITER, p);
    W->rows = apr_array_make(p, 64, sizeof(row_t));
    W->site.name = SITE;
    W->site.pc.organization = OWN;
    W->site.pc.refresh_token = &seed; /* nobody has to sign in */
    W->site.pc.upstream = &W->pc_upstream;
    W->site.ncrms = 1;
    W->site.crms[0].cfg.name = CRM_NAME;
    W->site.crms[0].cfg.type = "dynamics365";
    W->at = CRM_NAME;
    W->site.crms[0].cfg.upstream = &W->crm_upstream;
    W->site.crms[0].mapping = make_mapping(p, "1", "", "");
    W->node.store = *W->cfg;
    W->node.sites = apr_array_make(p, 1, sizeof(cs_site_config_t *));
    APR_ARRAY_PUSH(W->node.sites, cs_site_config_t *) = &W->site;
    W->node.wake_fd = -1;
    cs_log_set(capture_line, capture_all, &captured);
    captured_clear();
    return W;
}

static inline void use_crm(int i, const char *name, const char *type, const cs_mapping_t *mapping)
{
    W->site.crms[i].cfg.name = name;
    W->site.crms[i].cfg.type = type;
    W->site.crms[i].cfg.upstream = &W->crm_upstream;
    W->site.crms[i].mapping = mapping;
    W->site.ncrms = W->site.ncrms > i ? W->site.ncrms : i + 1;
}

/* The runner starts, or starts again. */
static inline void begin_lane(void)
{
    static const unsigned char key[CS_KEY_LEN] = {1};
    cs_result_t res = {0};

    if (W->lane) {
        cs_lane_destroy(W->lane);
    }
    if (cs_lane_create(&W->lane, &W->node, &W->site, key, W->p, &res)) {
        fail_msg("%s", res.detail);
    }
}

static inline int one_batch(void)
{
    cs_result_t res = {0};
    const char *node;
    apr_pool_t *p;
    int more = 0;

    assert_ok(apr_pool_create(&p, W->p));
    assert_ok(cs_store_node(W->lane->store, &node, p, &res));
    if (!cs_lane_leased(W->lane) && cs_lane_lease_take(W->lane, W->lane->store, node, p, &res)) {
        fail_msg("%s", res.detail);
    }
    if (cs_look_batch(W->lane, &more, p, &res)) {
        fail_msg("%s", res.detail);
    }
    apr_pool_destroy(p);
    return more;
}

/* Until there is nothing due. */
static inline int work(void)
{
    int batches = 0;

    while (one_batch()) {
        assert_true(++batches < 200);
    }
    return batches;
}

/* A person (alice) asks for a job: kind CS_WORK_JOB as cosell-admin stores it. arguments is text of an
 * object. Returns its id; nothing has been worked on yet. */
static inline const char *ask_for(const char *kind, const char *arguments)
{
    static int count;
    cs_notice_t *n = make_notice(W->p, NULL, cs_time_now());
    cs_job_t *job = apr_pcalloc(W->p, sizeof(*job));

    job->site = SITE;
    job->id = apr_psprintf(W->p, "%016x", ++count);
    job->kind = kind;
    job->user = "alice";
    job->arguments = js(W->p, arguments);
    job->created = job->updated = cs_time_now();
    n->source = "admin";
    n->event = kind;
    n->kind = CS_WORK_JOB;
    n->system = NULL;
    n->hint = 0;
    n->job = job;
    APR_ARRAY_PUSH(n->names, const char *) = apr_pstrcat(W->p, CS_JOB_NAME, job->id, NULL);
    assert_ok(accept_one(W->store, n, W->p, NULL));
    return job->id;
}

static inline cs_job_t *job_of(const char *id)
{
    cs_job_t *job = NULL;

    assert_ok(cs_store_job_get(W->store, SITE, id, &job, W->p, NULL));
    return job;
}

static inline void notify(const referral_t *r)
{
    notice(W->store, apr_pstrcat(W->p, "pc:", r->id, NULL), cs_time_now(), W->p);
}

/* A change notification of the CRM about a row; at = when it happened, 0 = not said. */
static inline void notify_row(const char *table, const char *id, apr_time_t at)
{
    cs_notice_t *n = make_notice(W->p, apr_pstrcat(W->p, W->at, ":", id, NULL), cs_time_now());

    n->source = n->system = W->at;
    n->event = "Update";
    n->hint = at;
    if (table) {
        n->tables = apr_array_make(W->p, 1, sizeof(const char *));
        APR_ARRAY_PUSH(n->tables, const char *) = table;
    }
    assert_ok(accept_one(W->store, n, W->p, NULL));
}

/* Somebody edits a row in the CRM, which tells. */
static inline void edit_row(row_t *row, const char *columns)
{
    json_object_update(row->row, js(W->p, columns));
    row->version++;
    row->modified = cs_time_now();
    W->at = row->crm;
    notify_row(row->table, row->id, row->modified);
}

static inline cs_deal_t *deal_of_row(const char *id)
{
    cs_deal_t *deal = NULL;
    cs_result_t res = {0};

    if (cs_store_deal_find(W->store, SITE, W->at, id, &deal, W->p, &res)) {
        fail_msg("%s", res.detail);
    }
    return deal;
}

static inline cs_deal_t *deal_of(const referral_t *r)
{
    cs_deal_t *deal = NULL;
    cs_result_t res = {0};

    if (cs_store_deal_find(W->store, SITE, CS_SYSTEM_PC, r->id, &deal, W->p, &res)) {
        fail_msg("%s", res.detail);
    }
    return deal;
}

static inline cs_work_t *work_of(const referral_t *r)
{
    cs_work_t *row = NULL;

    assert_ok(cs_store_work_of_deal(W->store, SITE, deal_of(r)->id, &row, W->p, NULL));
    return row;
}

static inline const char *fact(const char *name)
{
    const char *text = NULL;

    assert_ok(cs_store_meta_get(W->store, SITE, name, &text, W->p, NULL));
    return text;
}

static inline const cs_suspended_t *suspended(const char *upstream)
{
    apr_array_header_t *list;
    int i;

    assert_ok(cs_store_suspended(W->store, SITE, &list, W->p, NULL));
    for (i = 0; i < list->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(list, i, cs_suspended_t).upstream, upstream)) {
            return &APR_ARRAY_IDX(list, i, cs_suspended_t);
        }
    }
    return NULL;
}

static inline int journal_lines(const char *action)
{
    apr_array_header_t *list;
    int i, n = 0;

    assert_ok(cs_store_journal_list(W->store, SITE, 0, 2000, &list, W->p, NULL));
    for (i = 0; i < list->nelts; i++) {
        n += !strcmp(APR_ARRAY_IDX(list, i, cs_journal_t *)->action, action);
    }
    return n;
}

/* n deals, met and in sync. */
static inline void live_with(int n)
{
    begin_lane();
    while (n-- > 0) {
        notify(new_referral());
    }
    work();
    assert_int_equal(count_rows("opportunity"), W->referrals);
}

#endif
