/* engine/unheard.c: rows that were sent and not heard of, where no key would find them.
 *
 * The CRM gives the row its id, and nothing in it says that it is ours: until it can be seen, a
 * second request would make a second row. So nobody asks for the same one again for a while; the
 * next look finds it by what it shows. Kept in memory: after a start, what a look has begun and not
 * settled waits as long. */
#include <string.h>

#include <apr_strings.h>

#include "../base/crypto.h"
#include "../base/json.h"
#include "apply.h"

/* A request that was sent ends at the other end within this time. */
#define WHILE apr_time_from_sec(120)

/* A gateway's 502 may have been done as well. */
int cs_write_unheard(const cs_batch_t *b, int crm, const cs_crm_write_t *write)
{
    return write->kind == CS_CRM_CREATE && !write->key &&
           (write->result.cls == CS_CLASS_UNKNOWN || write->result.cls == CS_CLASS_RETRY) &&
           b->lane->crm_impl[crm]->facts->names_rows;
}

static cs_lane_unheard_t *entry_of(cs_lane_t *lane, const char *digest)
{
    int i;

    for (i = 0; i < CS_LANE_UNHEARD; ++i) {
        if (!strcmp(lane->unheard[i].digest, digest)) {
            return &lane->unheard[i];
        }
    }
    return NULL;
}

/* The one that is over first gives way. */
static cs_lane_unheard_t *free_entry(cs_lane_t *lane)
{
    cs_lane_unheard_t *entry = &lane->unheard[0];
    int i;

    for (i = 1; i < CS_LANE_UNHEARD; ++i) {
        if (lane->unheard[i].until < entry->until) {
            entry = &lane->unheard[i];
        }
    }
    return entry;
}

void cs_unheard_note(cs_batch_t *b, cs_item_t *item, const char *what)
{
    const char *digest = cs_sha256_hex(what, strlen(what), b->p);
    cs_lane_unheard_t *entry = entry_of(b->lane, digest);

    entry = entry ? entry : free_entry(b->lane);
    apr_cpystrn(entry->digest, digest, sizeof(entry->digest));
    entry->until = cs_time_boot() + WHILE;
    item->unheard = 1;
}

/* When the look that the deal's intent is of began; 0 = it has none. */
static apr_time_t begun(const cs_deal_t *deal)
{
    return deal ? cs_json_int(deal->intent, "at", 0) : 0;
}

/* What a runner that is gone may have sent. */
static apr_interval_time_t since_start(const cs_batch_t *b, const cs_item_t *item)
{
    apr_time_t at = begun(item->deal);

    return at && at <= b->lane->born && at <= b->now ? at + WHILE - b->now : 0;
}

json_t *cs_unheard_intent(const cs_batch_t *b, const cs_item_t *item)
{
    apr_time_t at = begun(item->deal);
    json_t *intent = item->plan->intent;

    if (!cs_item_names_rows(b, item)) {
        return intent;
    }
    /* A look that only waits puts nothing off. */
    at = at && at <= b->now && b->now - at < WHILE ? at : b->now;
    intent = cs_json_own(json_copy(intent), b->p);
    json_object_set_new(intent, "at", json_integer((json_int_t)at));
    return intent;
}

int cs_unheard_waits(cs_batch_t *b, const cs_item_t *item, const char *what, cs_result_t *why)
{
    const cs_lane_unheard_t *entry =
        entry_of(b->lane, cs_sha256_hex(what, strlen(what), b->p));
    apr_interval_time_t left = since_start(b, item);

    if (entry && entry->until - cs_time_boot() > left) {
        left = entry->until - cs_time_boot();
    }
    if (left <= 0 || !cs_item_names_rows(b, item)) {
        return 0;
    }
    cs_result_set(why, b->p, CS_EREMOTE, CS_CLASS_THROTTLED, "crm:unheard",
                  "a row was sent and not heard of: it is looked for before another one is made");
    why->retry_at = b->now + left;
    return 1;
}
