/* What people type, on either side.
 */
#ifndef CS_TESTS_PROPERTY_TYPED_H
#define CS_TESTS_PROPERTY_TYPED_H

#include "world_base.h"

/* ---- what people type ---- */

typedef struct pool_t {
    const char *const *words;
    unsigned n;
} pool_t;
#define POOL(words) {words, sizeof(words) / sizeof(words[0])}

static const char *const pc_texts[] = {"\"A\"", "\"B\"", "\"A \"", "\"Line\\r\\nTwo\"", "\"Line\\nTwo\"", "\"Cafe\\u0301 au lait\"", "\"Caf\\u00e9 au lait\"", "null",
                                       "\"\"", "\"\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00\"", "\" lead\"", "\"A long text of some words\"", "\"+ B\"", "17"};
static const char *const pc_amounts[] = {"0", "1", "50000", "50000.004", "49999.995", "60000.5", "0.1", "99999999999.99", "12345678901234567", "null", "70000", "-5", "0.30000000000000004"};
static const char *const pc_currencies[] = {"\"USD\"", "\"EUR\"", "\"JPY\"", "\"KWD\"", "\"usd\"", "null", "\"XXX\"", "\"Euro\""};
static const char *const pc_days[] = {"\"2026-03-31T00:00:00.0000000Z\"", "\"2026-03-31T23:59:59Z\"", "\"2026-04-01T12:00:00Z\"", "\"2027-01-01T01:00:00+02:00\"",
                                      "null", "\"soon\"", "\"2026-03-31T11:00:00-12:00\""};
static const char *const pc_flags[] = {"true", "false", "null", "\"yes\""};
static const char *const pc_choices[] = {"\"One\"", "\"Two\"", "\"Three\"", "\"Four\"", "\"None\"", "null", "\"\""};
static const char *const pc_labels[] = {"\"Spring\"", "\"Autumn\"", "\"Odd\"", "\"Winter\"", "\"Unknown\"", "null"};
static const char *const pc_places[] = {"\"Berlin\"", "\"berlin \"", "\"Paris\"", "\"Nowhere\"", "null", "\"Twin\""};
static const char *const pc_countries[] = {"\"DE\"", "\"Germany\"", "\"de\"", "\"FR\"", "\"Atlantis\"", "null"};
static const pool_t pc_pools[] = {POOL(pc_texts), POOL(pc_amounts), POOL(pc_days),   POOL(pc_flags), POOL(pc_choices),
                                  POOL(pc_labels), POOL(pc_places), POOL(pc_places), POOL(pc_countries)};

static const char *const crm_texts[] = {"\"A\"", "\"B\"", "\"C\\r\\nD\"", "\"C\\nD\"", "null", "\"A long text of other words\"", "\"+ A\"", "\"\""};
static const char *const crm_amounts[] = {"0", "1", "50000", "61234.25", "70000", "null", "7.25", "0.1"};
static const char *const crm_days[] = {"\"2026-03-31\"", "\"2026-04-01\"", "\"2028-02-29\"", "null"};
static const char *const crm_flags[] = {"true", "false", "null"};
static const char *const crm_choices[] = {"1", "2", "3", "7", "null"};
static const char *const crm_labels[] = {"100", "101", "102", "null"};
static const char *const crm_places[] = {"{\"id\":\"t1\",\"tname\":\"Berlin\"}", "{\"id\":\"t2\",\"tname\":\"Paris\"}", "{\"id\":\"t3\",\"tname\":\"Rom\"}", "null"};
static const char *const crm_accounts[] = {"{\"id\":\"a1\",\"name\":\"Contoso\",\"zip\":\"10115\",\"accountnumber\":\"77\"}",
                                           "{\"id\":\"a2\",\"name\":\"Fabrikam\",\"zip\":\"20095\",\"accountnumber\":null}", "null"};
static const char *const crm_countries[] = {"\"Germany\"", "\"DE\"", "\"France\"", "\"Atlantis\"", "null"};
static const char *const crm_consts[] = {"8", "9", "null"};
static const pool_t crm_pools[] = {POOL(crm_texts),  POOL(crm_amounts), POOL(crm_days),     POOL(crm_flags),    POOL(crm_choices),
                                   POOL(crm_labels), POOL(crm_places),  POOL(crm_accounts), POOL(crm_countries), POOL(crm_consts)};
static const char *const crm_currencies[] = {"{\"id\":\"usd\",\"isocurrencycode\":\"USD\"}", "{\"id\":\"eur\",\"isocurrencycode\":\"EUR\"}", "{\"id\":\"jpy\",\"isocurrencycode\":\"JPY\"}"};

static const char *const crm_codes[] = {"\"USD\"", "\"EUR\"", "\"JPY\""}; /* where a currency is a word */

static const char *const item_keys[] = {"S1", "S2", "S3", "s4"};
static const char *const mail_keys[] = {"ann@x.org", "bob@x.org", "Cid@x.org", "nobody@y.org"};
#define KEYS 4

static json_t *drawn(const world_t *w, const pool_t *pool, const char *purpose, const char *name)
{
    return json_loads(pool->words[chance(w, purpose, name, pool->n)], JSON_DECODE_ANY, NULL);
}

static int has_key(const json_t *item, const char *member, const char *key)
{
    const char *text = cs_json_str(item, member);
    size_t len = strlen(key);

    while (text && isspace((unsigned char)*text)) {
        text++;
    }
    return text && !strncasecmp(text, key, len) && strspn(text + len, " ") == strlen(text + len);
}

static int is_muted(const world_t *w, int at_pc, size_t slot)
{
    return w->round < ROUNDS_MOST && ((at_pc ? w->knobs->pc_mute : w->knobs->crm_mute)[w->round] >> slot & 1);
}

#endif
