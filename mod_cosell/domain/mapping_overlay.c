/* domain/mapping_overlay.c: one mapping out of several files ("extends") and one record kind out of
 * another ("like"), and where each member stands.
 *
 * Both are merged member by member: objects into objects, everything else replaces, null removes.
 * In "names" null stays, because there it means something; a condition ("when") is one thing and
 * replaces another. Kinds that an overlay adds are asked first, for the profile's would leave them
 * nothing. A merged member stands in the topmost
 * file that has its pointer; a member that "like" brought stands where it stands in the other kind.
 */
#include <apr_file_io.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mapping_typo.h"

#define MAPPING_BYTES (1024 * 1024)
#define ERRORS_MAX 50
#define EXTENDS_DEPTH 4
#define LIKE_DEPTH 4

typedef struct origin_t {
    const char *file;
    const cs_json_source_t *source;
} origin_t;

typedef struct like_t {
    const char *kind, *of; /* pointers: "/records/lead", "/records/opportunity" */
} like_t;

struct cs_sources_t {
    apr_array_header_t *files; /* origin_t, the overlay first */
    apr_array_header_t *likes; /* like_t */
};

/* ---- places ---- */

static int locate_in_files(const cs_sources_t *s, const char *pointer, const char **pfile,
                           int *pline, int *pcolumn)
{
    int i;

    for (i = 0; i < s->files->nelts; i++) {
        const origin_t *origin = &APR_ARRAY_IDX(s->files, i, origin_t);

        cs_json_source_locate(origin->source, pointer, pline, pcolumn);
        if (*pline) {
            *pfile = origin->file;
            return 1;
        }
    }
    return 0;
}

/* The same member of the kind that this one is like; NULL when it is like none. */
static const char *in_other_kind(const cs_sources_t *s, const char *pointer, apr_pool_t *p)
{
    int i;

    for (i = 0; i < s->likes->nelts; i++) {
        const like_t *like = &APR_ARRAY_IDX(s->likes, i, like_t);
        size_t len = strlen(like->kind);

        if (!strncmp(pointer, like->kind, len) && pointer[len] == '/') {
            return apr_pstrcat(p, like->of, pointer + len, NULL);
        }
    }
    return NULL;
}

const char *cs_source_place(const cs_sources_t *s, const char *pointer, apr_pool_t *p)
{
    const char *file = "", *said = pointer;
    int line = 0, column = 0;
    char *around = apr_pstrdup(p, pointer), *cut;

    for (;;) {
        const char *at = around;

        for (; at; at = in_other_kind(s, at, p)) {
            if (locate_in_files(s, at, &file, &line, &column)) {
                said = strcmp(around, pointer) ? pointer : at;
                return apr_psprintf(p, "%s:%d:%d: %s", file, line, column, *said ? said : "/");
            }
        }
        cut = strrchr(around, '/');
        if (!cut) {
            file = s->files->nelts ? APR_ARRAY_IDX(s->files, 0, origin_t).file : "";
            return apr_psprintf(p, "%s:0:0: %s", file, *said ? said : "/");
        }
        *cut = '\0';
    }
}

/* ---- merging ---- */

static json_t *merge(const json_t *base, const json_t *over, int keep_null)
{
    json_t *out, *value;
    const char *key;

    if (!json_is_object(base) || !json_is_object(over)) {
        return json_deep_copy(over);
    }
    out = json_deep_copy(base);
    json_object_foreach((json_t *)over, key, value) {
        if (json_is_null(value) && !keep_null) {
            json_object_del(out, key);
        }
        else if (!strcmp(key, "when")) {
            json_object_set_new(out, key, json_deep_copy(value));
        }
        else {
            json_object_set_new(out, key, merge(cs_json_get(base, key), value, keep_null));
        }
    }
    return out;
}

/* The kinds of both, those that `base` has not in front. */
static json_t *kinds_of(const json_t *base, const json_t *over)
{
    json_t *out = json_object(), *value;
    const char *key;

    json_object_foreach((json_t *)over, key, value) {
        if (!cs_json_get(base, key) && !json_is_null(value)) {
            json_object_set(out, key, value);
        }
    }
    json_object_foreach((json_t *)base, key, value) {
        json_object_set_new(out, key, json_deep_copy(value));
    }
    return out;
}

/* A null in a kind that is like another waits for that one: it is what removes. */
static json_t *merge_records(const json_t *base, const json_t *over)
{
    json_t *out, *value;
    const char *key;

    if (!json_is_object(base) || !json_is_object(over)) {
        return json_deep_copy(over);
    }
    out = kinds_of(base, over);
    json_object_foreach((json_t *)over, key, value) {
        const json_t *below = cs_json_get(base, key), *like = cs_json_get(value, "like");

        if (json_is_null(value)) {
            json_object_del(out, key);
        }
        else {
            like = like ? like : cs_json_get(below, "like");
            json_object_set_new(out, key, merge(below, value, json_is_string(like)));
        }
    }
    return out;
}

static json_t *merge_files(const json_t *base, const json_t *over)
{
    json_t *out, *value;
    const char *key;

    if (!json_is_object(base) || !json_is_object(over)) {
        return json_deep_copy(over);
    }
    out = json_deep_copy(base);
    json_object_foreach((json_t *)over, key, value) {
        const json_t *below = cs_json_get(base, key);

        if (!strcmp(key, "extends")) {
            continue;
        }
        if (json_is_null(value)) {
            json_object_del(out, key);
        }
        else if (!strcmp(key, "records")) {
            json_object_set_new(out, key, merge_records(below, value));
        }
        else {
            json_object_set_new(out, key, merge(below, value, !strcmp(key, "names")));
        }
    }
    return out;
}

/* ---- files ---- */

const char *cs_source_name(const cs_load_t *l, int file)
{
    return apr_filepath_name_get(APR_ARRAY_IDX(l->sources->files, file, origin_t).file);
}

static void add_error(cs_load_t *l, int file, const char *pointer, const char *text)
{
    const origin_t *origin = &APR_ARRAY_IDX(l->sources->files, file, origin_t);
    int line = 0, column = 0;

    if (l->errors->nelts >= ERRORS_MAX) {
        return;
    }
    cs_json_source_locate(origin->source, pointer, &line, &column);
    APR_ARRAY_PUSH(l->errors, const char *) = apr_psprintf(
        l->p, "%s:%d:%d: %s: %s", origin->file, line, column, *pointer ? pointer : "/", text);
}

void cs_source_error(cs_load_t *l, int file, const char *pointer, const char *fmt, ...)
{
    const char *text;
    va_list ap;

    va_start(ap, fmt);
    text = apr_pvsprintf(l->p, fmt, ap);
    va_end(ap);
    add_error(l, file, pointer, text);
}

/* A mistake in the file that was read last: those above it may have the same members. */
static void error_in_last(cs_load_t *l, const char *pointer, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void error_in_last(cs_load_t *l, const char *pointer, const char *fmt, ...)
{
    const char *text;
    va_list ap;

    va_start(ap, fmt);
    text = apr_pvsprintf(l->p, fmt, ap);
    va_end(ap);
    add_error(l, l->sources->files->nelts - 1, pointer, text);
}

apr_status_t cs_source_read(const char **ptext, apr_size_t *plen, const char *path, apr_pool_t *p)
{
    apr_file_t *file;
    apr_finfo_t info;
    char *text;
    apr_status_t rv =
        apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_BINARY, APR_FPROT_OS_DEFAULT, p);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = apr_file_info_get(&info, APR_FINFO_SIZE | APR_FINFO_TYPE, file);
    if (rv == APR_SUCCESS && info.filetype != APR_REG) {
        rv = APR_EINVAL;
    }
    if (rv == APR_SUCCESS && info.size > MAPPING_BYTES) {
        rv = CS_ELIMIT;
    }
    if (rv == APR_SUCCESS) {
        text = apr_pcalloc(p, (apr_size_t)info.size + 1);
        *plen = (apr_size_t)info.size;
        rv = *plen ? apr_file_read_full(file, text, *plen, plen) : APR_SUCCESS;
        *ptext = text;
    }
    apr_file_close(file);
    return rv;
}

static int same_file(const char *a, const char *b, apr_pool_t *p)
{
    apr_finfo_t x, y;

    return apr_stat(&x, a, APR_FINFO_IDENT, p) == APR_SUCCESS &&
           apr_stat(&y, b, APR_FINFO_IDENT, p) == APR_SUCCESS && x.inode == y.inode &&
           x.device == y.device;
}

static const char *beside(const char *file, const char *name, apr_pool_t *p)
{
    const char *slash = strrchr(file, '/');

    return slash
               ? apr_pstrcat(p, apr_pstrmemdup(p, file, (apr_size_t)(slash - file + 1)), name, NULL)
               : name;
}

static int is_file_name(const char *name)
{
    return *name && *name != '.' && !strchr(name, '/') && !strchr(name, '\\');
}

/* The file that `file` extends: beside it (unless that is the file itself), else among the shipped
 * profiles. NULL after a reported mistake. */
static const char *find_profile(cs_load_t *l, const char **ptext, apr_size_t *plen,
                                const char *file, const char *name)
{
    const char *paths[2];
    char why[200];
    apr_status_t rv = APR_ENOENT;
    int i, itself = 0;

    if (!is_file_name(name)) {
        error_in_last(l, "/extends",
                      "\"%s\" is no name of a file; allowed: a name without a directory, for "
                      "example \"%s.json\"",
                      name, l->facts->type);
        return NULL;
    }
    paths[0] = beside(file, name, l->p);
    paths[1] = apr_pstrcat(l->p, CS_MAPPING_DIR "/", name, NULL);
    for (i = 0; i < 2 && APR_STATUS_IS_ENOENT(rv); i++) {
        itself = i == 0 && same_file(file, paths[0], l->p) ? 1 : itself;
        if (i == 0 && itself) {
            continue;
        }
        rv = cs_source_read(ptext, plen, paths[i], l->p);
        if (rv == APR_SUCCESS) {
            return paths[i];
        }
    }
    if (APR_STATUS_IS_ENOENT(rv) && itself) {
        error_in_last(l, "/extends", "%s would extend itself, for there is no other in %s", file,
                      CS_MAPPING_DIR);
    }
    else if (APR_STATUS_IS_ENOENT(rv)) {
        error_in_last(l, "/extends", "\"%s\" is neither beside this file nor in %s", name,
                      CS_MAPPING_DIR);
    }
    else {
        error_in_last(l, "/extends", "%s cannot be read: %s", paths[i - 1],
                      cs_strerror(rv, why, sizeof(why)));
    }
    return NULL;
}

static int in_chain(const cs_load_t *l, const char *file)
{
    const apr_array_header_t *files = l->sources->files;
    int i;

    for (i = 0; i < files->nelts; i++) {
        const char *other = APR_ARRAY_IDX(files, i, origin_t).file;

        if (!strcmp(other, file) || same_file(other, file, l->p)) {
            return 1;
        }
    }
    return 0;
}

/* "line 4, column 1: text" -> "file:4:1: text", as all other mistakes are said. */
static const char *syntax_place(const char *file, const char *detail, apr_pool_t *p)
{
    int line, column, len = 0;

    if (sscanf(detail, "line %9d, column %9d: %n", &line, &column, &len) != 2 || !len) {
        return apr_pstrcat(p, file, ": ", detail, NULL);
    }
    return apr_psprintf(p, "%s:%d:%d: %s", file, line, column, detail + len);
}

static json_t *parse_file(cs_load_t *l, const char *file, const char *text, apr_size_t len)
{
    cs_json_source_t *source = NULL;
    json_t *root = NULL;
    cs_result_t why;
    origin_t *origin;

    memset(&why, 0, sizeof(why));
    if (cs_json_source_parse(&root, &source, text, len, NULL, l->p, &why) != APR_SUCCESS) {
        APR_ARRAY_PUSH(l->errors, const char *) = syntax_place(file, why.detail, l->p);
        return NULL;
    }
    origin = &APR_ARRAY_PUSH(l->sources->files, origin_t);
    origin->file = apr_pstrdup(l->p, file);
    origin->source = source;
    return cs_json_own(root, l->p);
}

/* The next file down, parsed. NULL when there is none, or after a reported mistake (*pgood 0). */
static json_t *extended(cs_load_t *l, const json_t *over, const char *file, int *pgood)
{
    const json_t *name = cs_json_get(over, "extends");
    const char *path, *text = NULL;
    apr_size_t len = 0;

    *pgood = !name;
    if (!name) {
        return NULL;
    }
    if (!json_is_string(name)) {
        error_in_last(l, "/extends", "%s is no name of a file; allowed: a text",
                      cs_json_print(name, l->p));
        return NULL;
    }
    if (l->sources->files->nelts > EXTENDS_DEPTH) {
        error_in_last(l, "/extends", "overlays are nested deeper than %d files", EXTENDS_DEPTH);
        return NULL;
    }
    path = find_profile(l, &text, &len, file, json_string_value(name));
    if (path && in_chain(l, path)) {
        error_in_last(l, "/extends", "%s would extend itself", path);
        path = NULL;
    }
    if (path) {
        json_t *root = parse_file(l, path, text, len);

        *pgood = root != NULL;
        return root;
    }
    return NULL;
}

json_t *cs_load_merged(cs_load_t *l, const char *text, apr_size_t len)
{
    json_t *roots[EXTENDS_DEPTH + 2], *root;
    const char *revision = NULL;
    int n = 0, good = 1;

    l->sources = apr_pcalloc(l->p, sizeof(*l->sources));
    l->sources->files = apr_array_make(l->p, 2, sizeof(origin_t));
    l->sources->likes = apr_array_make(l->p, 2, sizeof(like_t));
    l->mapping->sources = l->sources;
    root = parse_file(l, l->file, text, len);
    if (!root) {
        return NULL;
    }
    while (root && good && n <= EXTENDS_DEPTH + 1) {
        const char *own = cs_json_str(root, "revision");

        if (!own && (n > 0 || cs_json_get(root, "extends"))) {
            error_in_last(l, "",
                          "\"revision\" is missing; allowed: a text that changes with the "
                          "mapping");
        }
        revision = own && revision ? apr_pstrcat(l->p, revision, " + ", own, NULL)
                   : own           ? own
                                   : revision;
        roots[n++] = root;
        root = extended(l, root, APR_ARRAY_IDX(l->sources->files, n - 1, origin_t).file, &good);
    }
    if (!good) {
        return NULL;
    }
    cs_typo_unused(l, roots, n);
    for (root = roots[--n]; n > 0; n--) {
        json_t *merged = cs_json_own(merge_files(root, roots[n - 1]), l->p);

        cs_typo_strangers(l, n - 1, roots[n - 1], root, merged);
        root = merged;
    }
    if (l->sources->files->nelts > 1) {
        json_object_set_new(root, "revision", json_string(revision ? revision : ""));
    }
    return root;
}

/* ---- like ---- */

static json_t *without_like(const json_t *kind)
{
    json_t *out = json_copy((json_t *)kind);

    json_object_del(out, "like");
    return out;
}

/* Completes records[name], and before it the kind that it is like. 0 after a reported mistake. */
static int complete(cs_load_t *l, json_t *records, const char *name, int depth)
{
    const json_t *kind = cs_json_get(records, name);
    const char *of = cs_json_str(kind, "like");
    const char *ptr = cs_load_ptr(l, "/records", name), *at = cs_load_ptr(l, ptr, "like");
    json_t *own, *other;
    like_t *like;

    if (!of) {
        return 1;
    }
    if (!json_is_object(cs_json_get(records, of)) || !strcmp(of, "$comment")) {
        cs_load_error(l, at, "\"%s\" is no record kind; allowed: %s", of,
                      cs_load_names_of(l, records, ""));
        return 0;
    }
    if (depth > LIKE_DEPTH) {
        cs_load_error(l, at, "\"%s\" is like itself, or by more than %d steps", name, LIKE_DEPTH);
        return 0;
    }
    if (!complete(l, records, of, depth + 1)) {
        return 0;
    }
    own = without_like(cs_json_get(records, name));
    other = without_like(cs_json_get(records, of));
    like = &APR_ARRAY_PUSH(l->sources->likes, like_t);
    like->kind = ptr;
    like->of = cs_load_ptr(l, "/records", of);
    json_object_set_new(records, name, merge(other, own, 0));
    json_decref(own);
    json_decref(other);
    return 1;
}

void cs_load_likes(cs_load_t *l, json_t *records)
{
    apr_array_header_t *names = apr_array_make(l->p, 4, sizeof(const char *));
    const char *key;
    json_t *value;
    int i;

    json_object_foreach(records, key, value) {
        if (json_is_object(value) && strcmp(key, "$comment")) {
            APR_ARRAY_PUSH(names, const char *) = apr_pstrdup(l->p, key);
        }
    }
    for (i = 0; i < names->nelts; i++) {
        const char *name = APR_ARRAY_IDX(names, i, const char *);

        if (!complete(l, records, name, 0)) {
            json_object_del(cs_json_get(records, name), "like");
        }
    }
}
