/* httpd/admin_mapping.c: the mappings in force, line by line, and what does not fit their CRMs. */
#include "admin.h"

#include <string.h>

#include "../engine/lane.h"

static json_t *crm_json(cosell_page_t *page, const cosell_site_t *site, const cs_site_crm_t *crm)
{
    json_t *json = json_object();
    json_t *misfits = cosell_fact_json(page, site, CS_FACT_MISFITS, crm->cfg.name);

    cosell_put(json, "name", json_string(crm->cfg.name));
    cosell_put(json, "type", json_string(crm->cfg.type));
    cosell_put(json, "mapping", cosell_text_json(crm->mapping_path));
    cosell_put(json, "revision",
               cosell_text_json(crm->mapping ? cs_mapping_revision(crm->mapping) : NULL));
    cosell_put(json, "digest",
               cosell_text_json(crm->mapping ? cs_mapping_digest(crm->mapping) : NULL));
    cosell_put(json, "kinds",
               crm->mapping ? cs_mapping_document(crm->mapping) : json_array());
    cosell_put(json, "misfits", misfits ? misfits : json_array());
    return json;
}

int cosell_add_mapping(cosell_page_t *page, cosell_site_t *site, void *baton)
{
    const char *name = cosell_query_text(page, "mapping");
    json_t *json = json_pack("{s:s}", "site", site->cfg.name), *crms = json_array();
    int i;

    for (i = 0; i < site->cfg.ncrms; i++) {
        const cs_site_crm_t *crm = &site->cfg.crms[i];

        if (!name || !strcmp(name, crm->cfg.name)) {
            json_array_append_new(crms, crm_json(page, site, crm));
        }
    }
    cosell_put(json, "crms", crms);
    json_array_append_new(baton, json);
    return 0;
}
