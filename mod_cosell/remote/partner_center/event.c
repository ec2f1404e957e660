#include "partner_center.h"

#include <apr_strings.h>
#include <string.h>

#include "../../base/crypto.h"
#include "../../base/json.h"
#include "../../base/time.h"

#define NAME_MAX_BYTES 128
#define GUID_LEN 36

/* Events are small and flat; members we do not know may nest a little. */
static const cs_json_limits_t event_limits = {64 * 1024, 2000, 16};

static const char *text_of(const json_t *event, const char *name)
{
    return json_string_value(cs_json_get_nocase(event, name));
}

static const char *cut_name(const char *name, apr_pool_t *p)
{
    apr_size_t n = name ? strlen(name) : 0;

    if (n > NAME_MAX_BYTES) {
        for (n = NAME_MAX_BYTES; n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80; n--)
            ;
    }
    return apr_pstrmemdup(p, name ? name : "", n);
}

static int is_referral_event(const char *name)
{
    static const char *const names[] = {"referral-created", "referral-updated",
                                        "related-referral-created", "related-referral-updated",
                                        NULL};
    int i;

    for (i = 0; names[i] && strcasecmp(names[i], name); i++)
        ;
    return names[i] != NULL;
}

/* The URI yields nothing but a GUID: it never decides what is fetched. */
static const char *guid_of(const char *uri, apr_pool_t *p)
{
    apr_size_t len = uri ? strcspn(uri, "?#") : 0;

    if (len > 0 && uri[len - 1] == '/') {
        len--;
    }
    if (len <= GUID_LEN || uri[len - GUID_LEN - 1] != '/') {
        return NULL;
    }
    return cs_uuid_lower(uri + len - GUID_LEN, GUID_LEN, p);
}

apr_status_t cs_pc_event_decode(cs_pc_event_t *event, const char *body, apr_size_t len,
                                apr_pool_t *p, cs_result_t *res)
{
    json_t *json = NULL;
    const char *changed;
    apr_status_t rv;

    memset(event, 0, sizeof(*event));
    event->name = "";
    rv = cs_json_parse(&json, body, len, &event_limits, p, res);
    if (rv != APR_SUCCESS) {
        /* Too large or too deep is not as documented either. */
        if (res) {
            res->rv = CS_EPARSE;
        }
        return CS_EPARSE;
    }
    if (!json_is_object(json)) {
        json_decref(json);
        return cs_result_set(res, p, CS_EPARSE, CS_CLASS_REFUSED, "event:form",
                             "the callback's body is not a JSON object");
    }
    event->name = cut_name(text_of(json, "EventName"), p);
    event->is_referral = is_referral_event(event->name);
    event->is_test = !strcasecmp(event->name, "test-created");
    event->referral_id = guid_of(text_of(json, "ResourceUri"), p);
    changed = text_of(json, "ResourceChangeUtcDate");
    if (!changed || cs_time_parse(&event->changed, changed) != APR_SUCCESS) {
        event->changed = 0;
    }
    json_decref(json);
    return APR_SUCCESS;
}
