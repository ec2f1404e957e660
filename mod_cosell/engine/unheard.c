/* engine/unheard.c: rows that were sent and not heard of, where no key would find them.
 *
 * The CRM gives the row its id, and nothing in it says that it is ours: until it can be seen, a
 * second request would make a second row. So nobody asks for the same one again for a while; the
 * next look finds it by what it shows. Kept in memory: after a start, what a look has begun and not
 * settled waits as long. */
#include <string.h>

#include <apr_strings.h>

#include "../base/crypto.h"
#include "apply.h"

/* A request that was sent ends at the other end within this time. */
#define WHILE apr_time_from_sec(120)

int cs_write_unheard(const cs_batch_t *b, int crm, const cs_crm_write_t *write)
{
    return write->kind == CS_CRM_CREATE && !write->key &&
           write->result.cls == CS_CLASS_UNKNOWN && b->lane->crm_impl[crm]->facts->names_rows;
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

/* Of a deal whose last look was not heard to its end by a runner that is gone. */
static apr_interval_time_t since_start(const cs_lane_t *lane, const cs_item_t *item)
{
    return item->deal && item->deal->intent ? lane->born + WHILE - cs_time_boot() : 0;
}

int cs_unheard_waits(cs_batch_t *b, const cs_item_t *item, const char *what, cs_result_t *why)
{
    const cs_lane_unheard_t *entry =
        entry_of(b->lane, cs_sha256_hex(what, strlen(what), b->p));
    apr_interval_time_t left = since_start(b->lane, item);

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
