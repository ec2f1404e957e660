/* Any bytes through base/json: parse, print, print again the same, locate every value, walk pointers. */
#include "standalone.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "mod_cosell/base/decimal.h"
#include "mod_cosell/base/json.h"

static void check(int good)
{
    if (!good) {
        abort();
    }
}

/* A value the parser gave out must be found where the pointer to it says, and nowhere else. */
static void walk(const json_t *root, const cs_json_source_t *source, json_t *at, const char *pointer, apr_pool_t *p)
{
    int line, column;
    const char *key, *decimal;
    json_t *child;
    size_t i;

    check(cs_json_pointer(root, pointer) == at);
    cs_json_source_locate(source, pointer, &line, &column);
    check(line > 0 && column > 0);
    cs_decimal_from_json(&decimal, at, 2, p);
    json_object_foreach(at, key, child) {
        if (!strpbrk(key, "~/") && strlen(pointer) + strlen(key) < 4096) {
            walk(root, source, child, apr_pstrcat(p, pointer, "/", key, NULL), p);
        }
    }
    for (i = 0; i < json_array_size(at) && i < 50; i++) {
        walk(root, source, json_array_get(at, i), apr_psprintf(p, "%s/%d", pointer, (int)i), p);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const cs_json_limits_t limits = { 64 * 1024, 2000, 16 };
    static int ready;
    cs_json_source_t *source;
    json_t *json, *again;
    const char *text;
    cs_result_t res;
    apr_pool_t *p;

    if (!ready) {
        ready = apr_initialize() == APR_SUCCESS;
    }
    check(apr_pool_create(&p, NULL) == APR_SUCCESS);
    if (cs_json_source_parse(&json, &source, (const char *)data, size, &limits, p, &res) == APR_SUCCESS) {
        text = cs_json_print(json, p);
        check(cs_json_parse(&again, text, strlen(text), NULL, p, NULL) == APR_SUCCESS);
        check(!strcmp(cs_json_print(again, p), text));
        json_decref(again);
        if (size < 2000) {
            walk(json, source, json, "", p);
        }
        json_decref(json);
    }
    else {
        check(!json && !source && res.detail && res.rv != APR_SUCCESS);
    }
    apr_pool_destroy(p);
    return 0;
}
