/* domain/mapping_typo.c: names that are nearly others: of lines and record kinds that an overlay
 * means to change, of "names" that nothing uses, of members of a referral. */
#include <apr_strings.h>
#include <string.h>

#include "mapping_typo.h"

#define NEAR 2
#define LETTERS 64
#define LIKE_DEPTH 4

/* ---- nearness ---- */

static int least(int a, int b, int c)
{
    int ab = a < b ? a : b;

    return ab < c ? ab : c;
}

/* Letters to change, add or leave out; more than NEAR for long names. */
static int distance(const char *a, const char *b)
{
    size_t i, j, na = strlen(a), nb = strlen(b);
    int row[LETTERS + 1];

    if (na > LETTERS || nb > LETTERS) {
        return NEAR + 1;
    }
    for (j = 0; j <= nb; j++) {
        row[j] = (int)j;
    }
    for (i = 1; i <= na; i++) {
        int corner = row[0];

        row[0] = (int)i;
        for (j = 1; j <= nb; j++) {
            int above = row[j];

            row[j] = least(above + 1, row[j - 1] + 1, corner + (a[i - 1] != b[j - 1]));
            corner = above;
        }
    }
    return row[nb];
}

const char *cs_typo_hint(const char *text, const apr_array_header_t *known, apr_pool_t *p)
{
    const char *best = NULL;
    int i, least_so_far = NEAR + 1;

    for (i = 0; i < known->nelts; i++) {
        const char *name = APR_ARRAY_IDX(known, i, const char *);
        int d = distance(text, name);

        /* Of two letters everything is within two. */
        if (d < least_so_far && d < (int)strlen(name)) {
            best = name;
            least_so_far = d;
        }
    }
    return best ? apr_psprintf(p, " (did you mean \"%s\"?)", best) : "";
}

static int has(const apr_array_header_t *names, const char *name)
{
    int i;

    for (i = 0; i < names->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(names, i, const char *), name)) {
            return 1;
        }
    }
    return 0;
}

static void add(apr_array_header_t *names, const char *name)
{
    if (!has(names, name)) {
        APR_ARRAY_PUSH(names, const char *) = apr_pstrdup(names->pool, name);
    }
}

static void add_members(apr_array_header_t *names, const json_t *obj)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)obj, key, value) {
        if (strcmp(key, "$comment")) {
            add(names, key);
        }
    }
}

/* ---- members of a referral ---- */

/* The names right below a place, of members and of objects that have members. */
static apr_array_header_t *members_at(const char *place, apr_pool_t *p)
{
    static const char *const paths[] = {
#define CS_PATH(path, fact) path,
#define CS_ARRAY(path, fact) path,
#include "paths.inc"
#undef CS_ARRAY
#undef CS_PATH
    };
    apr_array_header_t *names = apr_array_make(p, 16, sizeof(const char *));
    size_t i, len = strlen(place);

    for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (!strncmp(paths[i], place, len) && paths[i][len] == '/') {
            const char *name = paths[i] + len + 1;

            add(names, apr_pstrmemdup(p, name, strcspn(name, "/")));
        }
    }
    return names;
}

const char *cs_typo_path(const char *bare, apr_pool_t *p)
{
    char *place = apr_pstrdup(p, bare), *wrong = NULL;
    apr_array_header_t *names = members_at(place, p);
    const char *all = "";
    int i;

    while (!names->nelts) {
        wrong = strrchr(place, '/');
        *wrong++ = '\0';
        names = members_at(place, p);
    }
    for (i = 0; i < names->nelts; i++) {
        all = apr_pstrcat(p, all, i ? ", " : "", APR_ARRAY_IDX(names, i, const char *), NULL);
    }
    return apr_pstrcat(p, wrong ? cs_typo_hint(wrong, names, p) : "", "; allowed",
                       *place ? " in " : "", place, ": ", all, NULL);
}

/* ---- lines and kinds of an overlay ---- */

/* The lines that an overlay can change: of the kind itself, and of the one that it is like. */
static apr_array_header_t *lines_known(const json_t *below, const json_t *merged, const char *kind,
                                       apr_pool_t *p)
{
    apr_array_header_t *names = apr_array_make(p, 16, sizeof(const char *));
    int depth;

    add_members(names, cs_json_get(cs_json_get(below, kind), "lines"));
    for (depth = 0; depth < LIKE_DEPTH; depth++) {
        kind = cs_json_str(cs_json_get(merged, kind), "like");
        if (!kind) {
            break;
        }
        add_members(names, cs_json_get(cs_json_get(merged, kind), "lines"));
    }
    return names;
}

static void check_lines(cs_load_t *l, int file, const json_t *over,
                        const apr_array_header_t *known, json_t *merged, const char *ptr)
{
    const char *key;
    json_t *line;

    json_object_foreach((json_t *)over, key, line) {
        /* "const" stands for one of the two sides. */
        int sides = (cs_json_get(line, "pc") != NULL) + (cs_json_get(line, "crm") != NULL) +
                    (cs_json_get(line, "const") != NULL);

        if (json_is_object(line) && sides < 2 && strcmp(key, "$comment") && !has(known, key)) {
            cs_source_error(l, file, cs_load_ptr(l, ptr, key),
                            "\"%s\" is no line of %s%s; a new line needs \"pc\" and \"crm\"", key,
                            cs_source_name(l, file + 1), cs_typo_hint(key, known, l->p));
            json_object_del(merged, key);
        }
    }
}

void cs_typo_strangers(cs_load_t *l, int file, const json_t *over, const json_t *below,
                       json_t *merged)
{
    const json_t *overs = cs_json_get(over, "records"), *belows = cs_json_get(below, "records");
    apr_array_header_t *kinds = apr_array_make(l->p, 4, sizeof(const char *));
    json_t *all = cs_json_get(merged, "records"), *kind;
    const char *key;

    add_members(kinds, belows);
    json_object_foreach((json_t *)overs, key, kind) {
        const char *ptr = cs_load_ptr(l, "/records", key);

        if (!json_is_object(kind) || !strcmp(key, "$comment")) {
            continue;
        }
        if (!has(kinds, key) && !cs_json_get(kind, "table") && !cs_json_get(kind, "like")) {
            cs_source_error(l, file, ptr,
                            "\"%s\" is no record kind of %s%s; a new one needs \"table\" or "
                            "\"like\"",
                            key, cs_source_name(l, file + 1), cs_typo_hint(key, kinds, l->p));
            json_object_del(all, key);
            continue;
        }
        check_lines(l, file, cs_json_get(kind, "lines"), lines_known(belows, all, key, l->p),
                    cs_json_get(cs_json_get(all, key), "lines"), cs_load_ptr(l, ptr, "lines"));
    }
}

/* ---- names ---- */

static void add_used(json_t *used, const char *text)
{
    if (*text == '@') {
        json_object_set_new(used, text + 1, json_true());
    }
}

static void collect_used(json_t *used, const json_t *json)
{
    const char *key;
    json_t *value;
    size_t i;

    if (json_is_string(json)) {
        add_used(used, json_string_value(json));
    }
    json_array_foreach((json_t *)json, i, value) {
        collect_used(used, value);
    }
    json_object_foreach((json_t *)json, key, value) {
        if (strcmp(key, "$comment")) {
            add_used(used, key);
            collect_used(used, value);
        }
    }
}

/* A name that the lowest file misspells is missing where it is used; what nothing uses there may
 * wait for an overlay. */
void cs_typo_unused(cs_load_t *l, json_t *const *roots, int n)
{
    apr_array_header_t *known = apr_array_make(l->p, 16, sizeof(const char *));
    json_t *used = cs_json_own(json_object(), l->p), *value;
    const char *key;
    int i;

    for (i = 0; i < n; i++) {
        json_object_foreach(roots[i], key, value) {
            if (strcmp(key, "names") && strcmp(key, "$comment")) {
                collect_used(used, value);
            }
        }
    }
    add_members(known, used);
    for (i = 0; i < n - 1; i++) {
        json_object_foreach(cs_json_get(roots[i], "names"), key, value) {
            if (strcmp(key, "$comment") && !cs_json_get(used, key)) {
                cs_source_error(l, i, cs_load_ptr(l, "/names", key), "nothing uses \"@%s\"%s", key,
                                cs_typo_hint(key, known, l->p));
            }
        }
    }
}
