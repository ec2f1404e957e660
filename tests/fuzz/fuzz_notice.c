/* Any bytes through the decoder of Dataverse's notifications: what comes out is bounded, folded and only about tables that are watched. */
#include "standalone.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "mod_cosell/base/crypto.h"
#include "mod_cosell/remote/crm.h"

static apr_array_header_t *watched;

static void check(int good)
{
    if (!good) {
        abort();
    }
}

static void watch(apr_pool_t *p)
{
    static const char *const tables[] = {"opportunity", "lead", "account", "msft_microsoftsolution"};

    watched = apr_array_make(p, 4, sizeof(cs_watched_t));
    for (int i = 0; i < 4; i++) {
        cs_watched_t *one = apr_array_push(watched);
        apr_array_header_t *parents = apr_array_make(p, 1, sizeof(const char *));

        if (i == 3) {
            APR_ARRAY_PUSH(parents, const char *) = "msft_opportunityid";
        }
        one->table = tables[i];
        one->record = i < 2;
        one->columns = one->parents = parents;
    }
}

/* The first bytes serve as headers, too: they come from the same stranger. */
static const char *header_of(void *baton, const char *name)
{
    return strstr(name, "exceeded") ? NULL : baton;
}

static int is_watched(const char *table)
{
    for (int i = 0; i < watched->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(watched, i, cs_watched_t).table, table)) {
            return 1;
        }
    }
    return 0;
}

static int is_folded_id(const char *id)
{
    return strlen(id) == 36 && cs_uuid_valid(id, 36) && strcspn(id, "ABCDEF") == 36;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static apr_pool_t *forever;
    cs_crm_notice_t notice;
    cs_crm_request_t request;
    cs_result_t res = {0};
    apr_status_t rv;
    apr_pool_t *p;

    if (!forever) {
        check(apr_initialize() == APR_SUCCESS && apr_pool_create(&forever, NULL) == APR_SUCCESS);
        watch(forever);
    }
    check(apr_pool_create(&p, NULL) == APR_SUCCESS);
    request = (cs_crm_request_t){header_of, apr_pstrmemdup(p, (const char *)data, size < 100 ? size : 100), (const char *)data, size};
    rv = cs_crm_impl_of("dynamics365")->notice(&notice, &request, watched, p, &res);
    check(notice.rows != NULL);
    if (rv == APR_SUCCESS) {
        check(notice.event && strlen(notice.event) <= 64);
        check(!notice.organization || is_folded_id(notice.organization));
        check(notice.rows->nelts <= 200);
        for (int i = 0; i < notice.rows->nelts; i++) {
            const cs_crm_noticed_t *row = &APR_ARRAY_IDX(notice.rows, i, cs_crm_noticed_t);

            check(is_watched(row->table) && is_folded_id(row->id) && row->at >= 0 && row->at % APR_USEC_PER_SEC == 0);
        }
    }
    else {
        check(rv == CS_EPARSE && res.detail && notice.rows->nelts == 0);
    }
    apr_pool_destroy(p);
    return 0;
}
