/* Any bytes through the decoder of Salesforce's notifications, SOAP and JSON: what comes out is bounded, folded and only about tables that are watched. */
#include "standalone.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "mod_cosell/remote/salesforce/client.h"

static apr_array_header_t *watched;

static void check(int good)
{
    if (!good) {
        abort();
    }
}

static void watch(apr_pool_t *p)
{
    static const char *const tables[] = {"Opportunity", "Lead", "Account", "Microsoft_Solution__c"};

    watched = apr_array_make(p, 4, sizeof(cs_watched_t));
    for (int i = 0; i < 4; i++) {
        cs_watched_t *one = apr_array_push(watched);
        apr_array_header_t *parents = apr_array_make(p, 1, sizeof(const char *));

        if (i == 3) {
            APR_ARRAY_PUSH(parents, const char *) = "Opportunity__c";
        }
        one->table = tables[i];
        one->record = i < 2;
        one->columns = one->parents = parents;
    }
}

static const char *header_of(void *baton, const char *name)
{
    return strcasecmp(name, "Content-Type") ? NULL : baton;
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

static int is_folded_id(const char *id, apr_pool_t *p)
{
    const char *folded = strlen(id) == 18 ? cs_sf_id(id, p) : NULL;

    return folded && !strcmp(folded, id);
}

static int is_clean(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c < 0x20 || *c >= 0x7f) {
            return 0;
        }
    }
    return strlen(text) < 600;
}

static void check_notice(const cs_crm_notice_t *notice, apr_pool_t *p)
{
    cs_crm_answer_t answer;

    cs_sf_acknowledge(&answer, notice);
    check(!strcmp(notice->event, answer.body ? "outbound-message" : "flow"));
    check(!notice->organization || is_folded_id(notice->organization, p));
    check(!notice->problem || is_clean(notice->problem));
    check(notice->rows->nelts <= 400);
    for (int i = 0; i < notice->rows->nelts; i++) {
        const cs_crm_noticed_t *row = &APR_ARRAY_IDX(notice->rows, i, cs_crm_noticed_t);

        check(is_watched(row->table) && is_folded_id(row->id, p) && row->at >= 0 && row->at % APR_USEC_PER_SEC == 0);
    }
}

/* A first byte of a corpus file that is no part of the body names the type: 'x' XML, 'j' JSON, else none is given. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static apr_pool_t *forever;
    cs_crm_notice_t notice;
    cs_crm_request_t request = {.header = header_of};
    cs_result_t res = {0};
    apr_status_t rv;
    apr_pool_t *p;

    if (!forever) {
        check(apr_initialize() == APR_SUCCESS && apr_pool_create(&forever, NULL) == APR_SUCCESS);
        watch(forever);
    }
    if (size && (*data == 'x' || *data == 'j')) {
        request.baton = *data == 'x' ? "text/xml; charset=UTF-8" : "application/json";
        data++;
        size--;
    }
    check(apr_pool_create(&p, NULL) == APR_SUCCESS);
    request.body = (const char *)data;
    request.len = size;
    rv = cs_sf_notice(&notice, &request, watched, p, &res);
    check(notice.rows != NULL);
    if (rv == APR_SUCCESS) {
        check_notice(&notice, p);
    }
    else {
        check(rv == CS_EPARSE && res.detail && notice.rows->nelts == 0);
    }
    apr_pool_destroy(p);
    return 0;
}
