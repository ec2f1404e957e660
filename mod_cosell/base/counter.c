#include "counter.h"

static cs_counters_t private_counters;
static cs_counters_t *_Atomic current = &private_counters;

static const char *const names[CS_COUNT_MAX] = {
#define NAME(id, name, text) name,
    CS_COUNTERS(NAME)
#undef NAME
};

static const char *const texts[CS_COUNT_MAX] = {
#define TEXT(id, name, text) text,
    CS_COUNTERS(TEXT)
#undef TEXT
};

void cs_counters_use(cs_counters_t *shared)
{
    atomic_store(&current, shared ? shared : &private_counters);
}

void cs_count(cs_counter_e id, apr_uint64_t n)
{
    cs_counters_t *table = atomic_load_explicit(&current, memory_order_acquire);

    if ((unsigned)id < CS_COUNT_MAX) {
        atomic_fetch_add_explicit(&table->value[id], n, memory_order_relaxed);
    }
}

apr_uint64_t cs_counter_get(cs_counter_e id)
{
    cs_counters_t *table = atomic_load_explicit(&current, memory_order_acquire);

    if ((unsigned)id >= CS_COUNT_MAX) {
        return 0;
    }
    return atomic_load_explicit(&table->value[id], memory_order_relaxed);
}

const char *cs_counter_name(cs_counter_e id)
{
    return (unsigned)id < CS_COUNT_MAX ? names[id] : NULL;
}

const char *cs_counter_text(cs_counter_e id)
{
    return (unsigned)id < CS_COUNT_MAX ? texts[id] : NULL;
}
