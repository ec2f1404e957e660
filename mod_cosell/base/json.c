#include "json.h"

#include <apr_cstr.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BYTES_DEFAULT (1024 * 1024)
#define NODES_DEFAULT 20000
#define DEPTH_DEFAULT 32
#define POINTER_MAX (64 * 1024)

static cs_json_limits_t with_defaults(const cs_json_limits_t *limits)
{
    cs_json_limits_t l = { BYTES_DEFAULT, NODES_DEFAULT, DEPTH_DEFAULT };

    if (limits) {
        l.bytes = limits->bytes ? limits->bytes : l.bytes;
        l.nodes = limits->nodes ? limits->nodes : l.nodes;
        l.depth = limits->depth ? limits->depth : l.depth;
    }
    return l;
}

/* Line and column, both from 1, of an offset; columns count characters. */
static void locate(const char *text, apr_size_t offset, int *pline, int *pcolumn)
{
    int line = 1, column = 1;
    apr_size_t i;

    for (i = 0; i < offset; i++) {
        if (text[i] == '\n') {
            line++;
            column = 1;
        }
        else if (((unsigned char)text[i] & 0xC0) != 0x80) {
            column++;
        }
    }
    *pline = line;
    *pcolumn = column;
}

static apr_status_t fail_at(const char *text, apr_size_t offset, apr_status_t rv,
                            const char *reason, apr_pool_t *p, cs_result_t *res)
{
    int line, column;

    locate(text, offset, &line, &column);
    return cs_result_set(res, p, rv, CS_CLASS_REFUSED,
                         rv == CS_ELIMIT ? "json:limit" : "json:syntax", "line %d, column %d: %s",
                         line, column, reason);
}

/* The offset after a string whose opening quote is at i; len when it does not end. */
static apr_size_t skip_string(const char *text, apr_size_t len, apr_size_t i)
{
    for (i++; i < len; i++) {
        if (text[i] == '\\') {
            i++;
        }
        else if (text[i] == '"') {
            return i + 1;
        }
    }
    return len;
}

static int is_scalar_char(char c)
{
    return apr_isalnum(c) || c == '-' || c == '+' || c == '.';
}

static apr_size_t skip_scalar(const char *text, apr_size_t len, apr_size_t i)
{
    while (i < len && is_scalar_char(text[i])) {
        i++;
    }
    return i;
}

/* Counts before anything is allocated. Each string, scalar and bracket is one value; a colon takes
 * back the name before it. In any well-formed prefix the count is exact, and jansson stops at the
 * first place that is not. */
static apr_status_t check_size(const char *text, apr_size_t len, const cs_json_limits_t *l,
                               apr_pool_t *p, cs_result_t *res)
{
    apr_size_t i = 0, nodes = 0;
    int depth = 0;

    while (i < len) {
        char c = text[i];
        apr_size_t at = i++;

        if (c == '"') {
            i = skip_string(text, len, at);
        }
        else if (c == '{' || c == '[') {
            if (++depth > l->depth) {
                return fail_at(text, at, CS_ELIMIT,
                               apr_psprintf(p, "nested deeper than %d levels", l->depth), p, res);
            }
        }
        else if (is_scalar_char(c)) {
            i = skip_scalar(text, len, at);
        }
        else {
            depth -= (c == '}' || c == ']') && depth > 0;
            nodes -= c == ':' && nodes > 0;
            continue;
        }
        /* One more than allowed may still turn out to be a name. */
        if (++nodes > l->nodes + 1 || (nodes > l->nodes && c != '"')) {
            return fail_at(text, at, CS_ELIMIT,
                           apr_psprintf(p, "more than %" APR_SIZE_T_FMT " values", l->nodes), p,
                           res);
        }
    }
    if (nodes > l->nodes) {
        return fail_at(text, len, CS_ELIMIT,
                       apr_psprintf(p, "more than %" APR_SIZE_T_FMT " values", l->nodes), p, res);
    }
    return APR_SUCCESS;
}

apr_status_t cs_json_parse(json_t **pjson, const char *text, apr_size_t len,
                           const cs_json_limits_t *limits, apr_pool_t *p, cs_result_t *res)
{
    cs_json_limits_t l = with_defaults(limits);
    json_error_t error;
    const char *nul;
    apr_status_t rv;

    *pjson = NULL;
    if (len > l.bytes) {
        return cs_result_set(res, p, CS_ELIMIT, CS_CLASS_REFUSED, "json:limit",
                             "line 1, column 1: %" APR_SIZE_T_FMT " bytes of JSON are more than "
                             "the %" APR_SIZE_T_FMT " allowed", len, l.bytes);
    }
    if (!text || len == 0) {
        return fail_at("", 0, CS_EPARSE, "the text is empty", p, res);
    }
    if (len >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3)) {
        return fail_at(text, 0, CS_EPARSE, "the text starts with a byte order mark", p, res);
    }
    /* jansson reads a NUL between two tokens as nothing at all. */
    nul = memchr(text, '\0', len);
    if (nul) {
        return fail_at(text, (apr_size_t)(nul - text), CS_EPARSE, "a NUL byte", p, res);
    }
    rv = check_size(text, len, &l, p, res);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    *pjson = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!*pjson) {
        return cs_result_set(res, p, CS_EPARSE, CS_CLASS_REFUSED, "json:syntax",
                             "line %d, column %d: %s", error.line > 0 ? error.line : 1,
                             error.column > 0 ? error.column : 1, error.text);
    }
    cs_result_clear(res);
    return APR_SUCCESS;
}

/* Up to max + 1 bytes, so that the caller sees that there are more than max. */
static apr_status_t read_some(int fd, char *buf, apr_size_t max, apr_size_t *plen)
{
    apr_size_t len = 0;

    while (len <= max) {
        ssize_t n = read(fd, buf + len, max + 1 - len);

        if (n == 0) {
            break;
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return APR_FROM_OS_ERROR(errno);
        }
        len += (apr_size_t)n;
    }
    *plen = len;
    return APR_SUCCESS;
}

static apr_status_t read_file(const char **ptext, apr_size_t *plen, const char *path,
                              apr_size_t max, apr_pool_t *p, cs_result_t *res)
{
    char *heap = NULL;
    char text[160];
    apr_status_t rv;
    int fd;

    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        rv = APR_FROM_OS_ERROR(errno);
        goto leave;
    }
    heap = malloc(max + 1);
    if (!heap) {
        rv = APR_ENOMEM;
        goto leave;
    }
    rv = read_some(fd, heap, max, plen);
    if (rv == APR_SUCCESS) {
        *ptext = apr_pmemdup(p, heap, *plen);
    }

leave:
    if (fd >= 0) {
        close(fd);
    }
    free(heap);
    if (rv != APR_SUCCESS) {
        cs_result_set(res, p, rv, CS_CLASS_REFUSED, "json:file", "could not read \"%s\": %s", path,
                      cs_strerror(rv, text, sizeof(text)));
    }
    return rv;
}

/* The file's name before the position, as compilers say it. */
static apr_status_t name_file(const char *path, apr_status_t rv, apr_pool_t *p, cs_result_t *res)
{
    if (rv != APR_SUCCESS && res && res->detail) {
        res->detail = apr_psprintf(p, "\"%s\", %s", path, res->detail);
    }
    return rv;
}

apr_status_t cs_json_file_read(json_t **pjson, const char *path, const cs_json_limits_t *limits,
                               apr_pool_t *p, cs_result_t *res)
{
    cs_json_limits_t l = with_defaults(limits);
    const char *text;
    apr_size_t len;
    apr_status_t rv;

    *pjson = NULL;
    rv = read_file(&text, &len, path, l.bytes, p, res);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    return name_file(path, cs_json_parse(pjson, text, len, &l, p, res), p, res);
}

/* The text itself: positions are looked for when somebody asks, for most files have no errors and a
 * table of all pointers can be far larger than the text. */
struct cs_json_source_t {
    const char *text;
    apr_size_t len;
};

static cs_json_source_t *make_source(const char *text, apr_size_t len, apr_pool_t *p)
{
    cs_json_source_t *source = apr_palloc(p, sizeof(*source));

    source->text = text;
    source->len = len;
    return source;
}

apr_status_t cs_json_source_read(json_t **pjson, cs_json_source_t **psource, const char *path,
                                 const cs_json_limits_t *limits, apr_pool_t *p, cs_result_t *res)
{
    cs_json_limits_t l = with_defaults(limits);
    const char *text;
    apr_size_t len;
    apr_status_t rv;

    *pjson = NULL;
    *psource = NULL;
    rv = read_file(&text, &len, path, l.bytes, p, res);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = cs_json_parse(pjson, text, len, &l, p, res);
    if (rv == APR_SUCCESS) {
        *psource = make_source(text, len, p);
    }
    return name_file(path, rv, p, res);
}

apr_status_t cs_json_source_parse(json_t **pjson, cs_json_source_t **psource, const char *text,
                                  apr_size_t len, const cs_json_limits_t *limits, apr_pool_t *p,
                                  cs_result_t *res)
{
    apr_status_t rv;

    *psource = NULL;
    rv = cs_json_parse(pjson, text, len, limits, p, res);
    if (rv == APR_SUCCESS) {
        *psource = make_source(apr_pmemdup(p, text, len), len, p);
    }
    return rv;
}

static apr_size_t skip_space(const cs_json_source_t *src, apr_size_t i)
{
    while (i < src->len && strchr(" \t\r\n", src->text[i]) && src->text[i]) {
        i++;
    }
    return i;
}

/* The offset after the value at i. */
static apr_size_t skip_value(const cs_json_source_t *src, apr_size_t i)
{
    int depth = 0;

    while (i < src->len) {
        char c = src->text[i];

        if (c == '"') {
            i = skip_string(src->text, src->len, i);
        }
        else if (is_scalar_char(c)) {
            i = skip_scalar(src->text, src->len, i);
        }
        else {
            depth += (c == '{' || c == '[') - (c == '}' || c == ']');
            i++;
        }
        if (depth <= 0) {
            break;
        }
    }
    return i;
}

/* Is the quoted name at from..to the token? jansson decodes what has escapes. */
static int is_name(const cs_json_source_t *src, apr_size_t from, apr_size_t to, const char *token)
{
    const char *raw = src->text + from;
    apr_size_t len = to - from;
    json_t *name;
    int same;

    if (len < 2) {
        return 0;
    }
    if (!memchr(raw, '\\', len)) {
        return strlen(token) == len - 2 && !memcmp(raw + 1, token, len - 2);
    }
    name = json_loadb(raw, len, JSON_DECODE_ANY, NULL);
    same = name && json_is_string(name) && !strcmp(json_string_value(name), token);
    json_decref(name);
    return same;
}

static int array_index(const char *token, apr_size_t *pindex)
{
    const char *s = token;
    apr_size_t n = 0;

    if (!*s || (s[0] == '0' && s[1]) || strlen(s) > 9) {
        return 0;
    }
    for (; *s; s++) {
        if (!apr_isdigit(*s)) {
            return 0;
        }
        n = n * 10 + (apr_size_t)(*s - '0');
    }
    *pindex = n;
    return 1;
}

/* Offset of the member or item `token` of the container at i, or len. */
static apr_size_t find_child(const cs_json_source_t *src, apr_size_t i, const char *token)
{
    int object = i < src->len && src->text[i] == '{';
    apr_size_t wanted = 0, index = 0;

    if (i >= src->len || (!object && (src->text[i] != '[' || !array_index(token, &wanted)))) {
        return src->len;
    }
    i = skip_space(src, i + 1);
    while (i < src->len && src->text[i] != '}' && src->text[i] != ']') {
        int found = !object && index++ == wanted;

        if (object) {
            apr_size_t end = skip_value(src, i);

            found = is_name(src, i, end, token);
            i = skip_space(src, end);
            i = skip_space(src, i + 1); /* the colon */
        }
        if (found) {
            return i < src->len ? i : src->len;
        }
        i = skip_space(src, skip_value(src, i));
        if (i < src->len && src->text[i] == ',') {
            i = skip_space(src, i + 1);
        }
    }
    return src->len;
}

/* Decodes ~0 and ~1 in place; 0 when a '~' is followed by something else. */
static int unescape(char *token)
{
    char *to = token;

    for (; *token; token++) {
        if (*token == '~') {
            token++;
            if (*token != '0' && *token != '1') {
                return 0;
            }
            *to++ = *token == '0' ? '~' : '/';
        }
        else {
            *to++ = *token;
        }
    }
    *to = '\0';
    return 1;
}

/* A pointer cut into its tokens. All functions here have no pool, so the copy is malloc's. */
typedef struct steps_t {
    char *copy;
    char *next; /* NULL after the last */
} steps_t;

static int steps_begin(steps_t *steps, const char *pointer)
{
    steps->copy = NULL;
    steps->next = NULL;
    if (!pointer || (*pointer && *pointer != '/') || strlen(pointer) > POINTER_MAX) {
        return 0;
    }
    steps->copy = strdup(pointer);
    if (steps->copy && *pointer) {
        steps->next = steps->copy + 1;
    }
    return steps->copy != NULL;
}

/* The next token, or NULL when there is none or it is malformed; *pbad tells which. */
static char *steps_take(steps_t *steps, int *pbad)
{
    char *token = steps->next;
    char *slash;

    *pbad = 0;
    if (!token) {
        return NULL;
    }
    slash = strchr(token, '/');
    steps->next = slash ? slash + 1 : NULL;
    if (slash) {
        *slash = '\0';
    }
    if (!unescape(token)) {
        *pbad = 1;
        return NULL;
    }
    return token;
}

void cs_json_source_locate(const cs_json_source_t *source, const char *pointer, int *pline,
                           int *pcolumn)
{
    steps_t steps = { NULL, NULL };
    const char *token;
    apr_size_t i;
    int bad;

    *pline = 0;
    *pcolumn = 0;
    if (!source || !steps_begin(&steps, pointer)) {
        return;
    }
    i = skip_space(source, 0);
    while ((token = steps_take(&steps, &bad)) && i < source->len) {
        i = find_child(source, i, token);
    }
    if (!bad && i < source->len) {
        locate(source->text, i, pline, pcolumn);
    }
    free(steps.copy);
}

static const char *dump(const json_t *json, size_t flags, apr_pool_t *p)
{
    char *text = json ? json_dumps(json, flags | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) : NULL;
    const char *copy = apr_pstrdup(p, text ? text : "null");

    free(text);
    return copy;
}

const char *cs_json_print(const json_t *json, apr_pool_t *p)
{
    return dump(json, JSON_COMPACT | JSON_SORT_KEYS, p);
}

const char *cs_json_pretty(const json_t *json, apr_pool_t *p)
{
    return dump(json, JSON_INDENT(2), p);
}

static apr_status_t decref_cleanup(void *data)
{
    json_decref(data);
    return APR_SUCCESS;
}

json_t *cs_json_own(json_t *json, apr_pool_t *p)
{
    if (json) {
        apr_pool_cleanup_register(p, json, decref_cleanup, apr_pool_cleanup_null);
    }
    return json;
}

/* Length of the letter at s if it is one; 0 = it is none. */
static apr_size_t letter_at(const char *s)
{
    unsigned char first = (unsigned char)*s;
    apr_size_t len = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    json_t *json = strnlen(s, len) == len ? json_stringn(s, len) : NULL;

    json_decref(json);
    return json ? len : 0;
}

json_t *cs_json_words(const char *text, apr_pool_t *p)
{
    json_t *json = text ? json_string(text) : NULL;
    char *copy, *s;

    if (json || !text) {
        return json;
    }
    copy = apr_pstrdup(p, text);
    for (s = copy; *s;) {
        apr_size_t len = letter_at(s);

        if (!len) {
            *s = '?';
            len = 1;
        }
        s += len;
    }
    return json_string(copy);
}

json_t *cs_json_get(const json_t *obj, const char *name)
{
    return json_is_object(obj) ? json_object_get(obj, name) : NULL;
}

json_t *cs_json_get_nocase(const json_t *obj, const char *name)
{
    json_t *value = cs_json_get(obj, name);
    const char *key;

    if (value || !json_is_object(obj)) {
        return value;
    }
    json_object_foreach((json_t *)obj, key, value) {
        if (!apr_cstr_casecmp(key, name)) {
            return value;
        }
    }
    return NULL;
}

json_t *cs_json_only(const json_t *obj, const char *name)
{
    return json_object_size(obj) == 1 ? cs_json_get(obj, name) : NULL;
}

const char *cs_json_str(const json_t *obj, const char *name)
{
    return json_string_value(cs_json_get(obj, name));
}

apr_int64_t cs_json_int(const json_t *obj, const char *name, apr_int64_t dflt)
{
    const json_t *value = cs_json_get(obj, name);
    const char *text = json_string_value(value);
    char *end;
    apr_int64_t n;

    if (json_is_integer(value)) {
        return json_integer_value(value);
    }
    if (!text || !apr_isdigit(text[text[0] == '-'])) {
        return dflt;
    }
    errno = 0;
    n = apr_strtoi64(text, &end, 10);
    return errno || end != text + json_string_length(value) ? dflt : n;
}

int cs_json_bool(const json_t *obj, const char *name, int dflt)
{
    const json_t *value = cs_json_get(obj, name);

    return json_is_boolean(value) ? json_is_true(value) : dflt;
}

json_t *cs_json_pointer(const json_t *root, const char *pointer)
{
    steps_t steps = { NULL, NULL };
    json_t *at = (json_t *)root;
    const char *token;
    apr_size_t index;
    int bad;

    if (!root || !steps_begin(&steps, pointer)) {
        return NULL;
    }
    while ((token = steps_take(&steps, &bad)) && at) {
        if (json_is_array(at)) {
            at = array_index(token, &index) ? json_array_get(at, index) : NULL;
        }
        else {
            at = cs_json_get(at, token);
        }
    }
    free(steps.copy);
    return bad ? NULL : at;
}

/* Object `name` of obj, made when absent. Borrowed, NULL when it is something else. */
static json_t *enter(json_t *obj, const char *name)
{
    json_t *child = json_object_get(obj, name);

    if (!child) {
        child = json_object();
        if (json_object_set_new(obj, name, child)) {
            return NULL;
        }
    }
    return json_is_object(child) ? child : NULL;
}

apr_status_t cs_json_pointer_set(json_t *root, const char *pointer, json_t *value)
{
    steps_t steps = { NULL, NULL };
    json_t *at = json_is_object(root) ? root : NULL;
    apr_status_t rv = APR_EINVAL;
    char *token = NULL;
    int bad = 0;

    if (value && steps_begin(&steps, pointer)) {
        token = steps_take(&steps, &bad);
        while (at && token && steps.next) {
            at = enter(at, token);
            token = steps_take(&steps, &bad);
        }
    }
    if (at && token && !json_object_set(at, token, value)) {
        rv = APR_SUCCESS;
    }
    free(steps.copy);
    json_decref(value);
    return rv;
}
