/* Chance that is a function of a seed and a name, so that removing one thing from a case changes nothing else in it: cases can be made smaller while they
 * still fail.
 */
#ifndef CS_TESTS_PROPERTY_CHANCE_H
#define CS_TESTS_PROPERTY_CHANCE_H

#include <apr.h>

static inline apr_uint64_t chance_mix(apr_uint64_t x)
{
    x += 0x9E3779B97F4A7C15ull;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}

/* What falls to `name` in this round, for this purpose. */
static inline apr_uint64_t chance_of(apr_uint64_t seed, unsigned round, const char *purpose, const char *name)
{
    apr_uint64_t x = 14695981039346656037ull ^ seed;

    for (; *purpose; purpose++) {
        x = (x ^ (unsigned char)*purpose) * 1099511628211ull;
    }
    x = (x ^ '/') * 1099511628211ull;
    for (; name && *name; name++) {
        x = (x ^ (unsigned char)*name) * 1099511628211ull;
    }
    return chance_mix(x + chance_mix(round + 1));
}

/* A generator that is rolled: for what is made in one piece. */
typedef struct dice_t {
    apr_uint64_t s;
} dice_t;

static inline unsigned roll(dice_t *d, unsigned n)
{
    d->s = chance_mix(d->s);
    return (unsigned)((d->s >> 24) % n);
}

#define PICK(d, words) ((words)[roll((d), sizeof(words) / sizeof((words)[0]))])

#endif
