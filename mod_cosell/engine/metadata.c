/* engine/metadata.c: what a CRM says about its tables: read now and then, kept by the lane,
 * compared with the mapping. (crm-apis.md A17)
 *
 * The document lives in a pool of its own that is swapped as a whole between two batches:
 * nothing of a batch outlives it, so nobody holds on to the former one. Looks go on without it:
 * a value by label waits then, everything else does not need it. */
#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "../base/pool.h"
#include "lane.h"

#define LIFE apr_time_from_sec(6 * 3600)
#define DOUBT_EVERY apr_time_from_sec(600)
#define RETRY_BASE apr_time_from_sec(60)
#define RETRY_MAX apr_time_from_sec(3600)
#define PATIENCE apr_time_from_sec(60)
#define LOG_EVERY apr_time_from_sec(24 * 3600)

const json_t *cs_metadata_of(const cs_lane_t *lane, int crm)
{
    return crm >= 0 ? lane->metadata[crm].doc : NULL;
}

void cs_metadata_doubt(cs_lane_t *lane, int crm)
{
    lane->metadata[crm].doubted = lane->metadata[crm].doubted ? lane->metadata[crm].doubted : 1;
}

void cs_metadata_expire(cs_lane_t *lane, int crm)
{
    lane->metadata[crm].doubted = 2;
    lane->metadata[crm].next = 0;
}

static int is_due(const cs_lane_metadata_t *m)
{
    apr_interval_time_t now = cs_time_boot();

    if (now < m->next) {
        return 0;
    }
    return !m->doc || m->doubted > 1 || now - m->read >= LIFE ||
           (m->doubted && now - m->read >= DOUBT_EVERY);
}

/* ---- comparing ---- */

static const char *fact_name(const cs_lane_t *lane, int crm, apr_pool_t *p)
{
    return apr_pstrcat(p, CS_FACT_MISFITS, lane->site->crms[crm].cfg.name, NULL);
}

static const char *misfits_text(const apr_array_header_t *misfits, apr_pool_t *p)
{
    json_t *list = cs_json_own(json_array(), p);
    int i;

    for (i = 0; i < misfits->nelts; ++i) {
        json_array_append_new(list, json_string(APR_ARRAY_IDX(misfits, i, const char *)));
    }
    return cs_json_print(list, p);
}

static void log_misfits(const cs_lane_t *lane, int crm, const apr_array_header_t *misfits)
{
    int i;

    for (i = 0; i < misfits->nelts; ++i) {
        cs_log(CS_LOG_WARNING, 0, lane->site->name,
               CSLOGNO(2060) "%s: the mapping does not fit the CRM: %s",
               lane->site->crms[crm].cfg.name, APR_ARRAY_IDX(misfits, i, const char *));
    }
}

/* Said and stored when it differs from what was said and stored last. */
static void compare(cs_lane_t *lane, int crm, const char *before, apr_array_header_t *changes,
                    apr_pool_t *ptemp)
{
    cs_lane_metadata_t *m = &lane->metadata[crm];
    apr_array_header_t *misfits =
        cs_mapping_compare(lane->site->crms[crm].mapping, m->doc, ptemp);

    m->misfits = misfits_text(misfits, m->pool);
    if (before && !strcmp(before, m->misfits)) {
        return;
    }
    log_misfits(lane, crm, misfits);
    cs_lane_fact(fact_name(lane, crm, ptemp),
                 misfits->nelts ? apr_pstrdup(ptemp, m->misfits) : NULL, changes);
}

/* ---- reading ---- */

static void note_failure(cs_lane_t *lane, int crm, const cs_result_t *res)
{
    cs_lane_metadata_t *m = &lane->metadata[crm];

    m->next = cs_time_boot() + cs_backoff(m->failures, RETRY_BASE, RETRY_MAX, RETRY_BASE);
    ++m->failures;
    if (cs_log_state_changed(&m->log, res->problem ? res->problem : "describe", LOG_EVERY, NULL)) {
        cs_log(CS_LOG_WARNING, 0, lane->site->name,
               CSLOGNO(2061) "cannot read the metadata of %s, looks go on %s: %s (%s)",
               lane->site->crms[crm].cfg.name, m->doc ? "with the former one" : "without it",
               res->detail ? res->detail : "no detail", res->problem ? res->problem : "?");
    }
}

/* The former document, and the text that was made with it, go with their pool. */
static const char *swap(cs_lane_metadata_t *m, apr_pool_t *pool, json_t *doc, apr_pool_t *ptemp)
{
    const char *before = m->misfits ? apr_pstrdup(ptemp, m->misfits) : NULL;

    if (m->pool) {
        apr_pool_destroy(m->pool);
    }
    m->pool = pool;
    m->doc = doc;
    m->misfits = NULL;
    m->read = cs_time_boot();
    m->next = 0;
    m->failures = m->doubted = 0;
    return before;
}

static void read_metadata(cs_lane_t *lane, int crm, apr_array_header_t *changes, apr_pool_t *ptemp)
{
    const cs_site_crm_t *site = &lane->site->crms[crm];
    cs_lane_metadata_t *m = &lane->metadata[crm];
    cs_result_t res = {0};
    json_t *doc = NULL;
    apr_pool_t *pool;
    int calls = 0;

    if (cs_pool_create_own(&pool, lane->pool, 0, "cosell-metadata") != APR_SUCCESS) {
        return;
    }
    if (lane->crm_impl[crm]->describe(lane->crm[crm], cs_mapping_tables(site->mapping), &doc,
                                      &calls, cs_time_mono() + PATIENCE, pool,
                                      &res) != APR_SUCCESS ||
        !doc) {
        note_failure(lane, crm, &res);
        apr_pool_destroy(pool);
        return;
    }
    if (cs_log_state_changed(&m->log, NULL, 0, NULL)) {
        cs_log(CS_LOG_NOTICE, 0, lane->site->name,
               CSLOGNO(2062) "the metadata of %s can be read again", site->cfg.name);
    }
    cs_log(CS_LOG_DEBUG, 0, lane->site->name, "read the metadata of %s in %d requests",
           site->cfg.name, calls);
    compare(lane, crm, swap(m, pool, doc, ptemp), changes, ptemp);
}

void cs_metadata_refresh(cs_lane_t *lane, int crm, apr_array_header_t *changes, apr_pool_t *ptemp)
{
    const cs_mapping_t *mapping = lane->site->crms[crm].mapping;

    if (mapping && lane->crm_impl[crm]->describe && cs_mapping_wants_metadata(mapping) &&
        !cs_lane_suspension(lane, lane->site->crms[crm].cfg.name) &&
        !cs_breaker_open(lane, lane->site->crms[crm].cfg.name) &&
        is_due(&lane->metadata[crm])) {
        read_metadata(lane, crm, changes, ptemp);
    }
}
