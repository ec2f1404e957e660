/* engine/named.h: the deals that a person means: by number, or by an id of the referral, the
 * engagement or the record, as it is written at Partner Center, in the CRM, or here. */
#ifndef CS_ENGINE_NAMED_H
#define CS_ENGINE_NAMED_H

#include "site.h"

/* As the system writes its ids: Partner Center (crm < 0) in small letters, a CRM in its own form.
 */
const char *cs_named_id(const cs_site_config_t *site, int crm, const char *id, apr_pool_t *p);
/* cs_deal_t *, by ascending number; empty = the site has none, several = the id is that of a row in
 * more than one CRM. One statement. */
apr_status_t cs_named_find(cs_store_t *store, const cs_site_config_t *site, const char *id,
                           apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);
/* "deal 3 (opportunity of sales)" */
const char *cs_named_said(const cs_deal_t *deal, apr_pool_t *p);
/* Why none of several can be taken: which they are, and what to say instead. */
const char *cs_named_several(const apr_array_header_t *list, const char *id, apr_pool_t *p);

#endif
