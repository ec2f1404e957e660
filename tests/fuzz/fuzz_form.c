/* Any bytes as a form of the pages, its token and its site put right: a job whose arguments are good, a question, or a refusal in words; never another's. */
#include "standalone.h"

#include "httpd_alone.h"
#include "mod_cosell/httpd/forms.c"

cosell_node_t *cosell_node;
cosell_child_t *cosell_child;

static int refused, submitted, written;

/* The document's "error" is made so. */
int cosell_page_refuse(cosell_page_t *page, int status, const char *why)
{
    json_t *words = cs_json_own(cs_json_words(why, page->p), page->p);

    must(status >= 400 && status < 600);
    check_words(json_string_value(words));
    refused++;
    return OK;
}

apr_status_t cosell_job_submit(request_rec *r, const cosell_site_t *site, const cs_job_kind_t *kind, json_t *arguments, const char **pid, cs_result_t *res)
{
    (void)res;
    must(site == APR_ARRAY_IDX(cosell_node->sites, 0, cosell_site_t *));
    must(json_is_object(arguments) && !cs_job_wrong(kind, arguments, r->pool));
    must(!json_object_get(arguments, "token") && !json_object_get(arguments, "sure"));
    *pid = "0123456789abcdef";
    submitted++;
    return APR_SUCCESS;
}

void cosell_page_headers(request_rec *r, int html)
{
    (void)r;
    must(html);
}

const cosell_view_t *cosell_page_view(cosell_page_t *page)
{
    cosell_view_t *view = apr_pcalloc(page->p, sizeof(*view));
    json_t *tokens = cs_json_own(json_pack("{s:s}", "contoso", "0123"), page->p);

    view->p = page->p;
    view->version = "fuzz";
    view->style = "0";
    view->status = HTTP_OK;
    view->user = "alice";
    view->verbs = cs_json_own(json_pack("{s:b,s:b,s:b}", "drop", 1, "unlink", 1, "ignore", 1), page->p);
    view->tokens = tokens;
    return view;
}

/* The question's page: what was sent is in it as text alone. */
AP_DECLARE(int) ap_rwrite(const void *bytes, int len, request_rec *r)
{
    const char *text = apr_pstrmemdup(r->pool, bytes, (apr_size_t)len);

    must(strlen(text) == (size_t)len && !strncmp(text, "<!DOCTYPE html>", 15));
    must(!strstr(text, "<script") && !strstr(text, "<img"));
    for (; (text = strchr(text, '<')); text++) {
        /* No attribute but those of the source: outside of quotes nothing begins so. */
        int quoted = 0;

        for (; *text && (quoted || *text != '>'); text++) {
            quoted ^= *text == '"';
            must(quoted || strncmp(text, " on", 3));
        }
        must(*text);
    }
    written++;
    return len;
}

void cosell_put(json_t *obj, const char *name, json_t *value)
{
    must(value && !json_object_set_new(obj, name, value));
}

static void make_node(apr_pool_t *forever)
{
    cosell_site_t *site = apr_pcalloc(forever, sizeof(*site));

    site->cfg.name = "contoso";
    cosell_node = apr_pcalloc(forever, sizeof(*cosell_node));
    cosell_node->sites = apr_array_make(forever, 1, sizeof(cosell_site_t *));
    APR_ARRAY_PUSH(cosell_node->sites, cosell_site_t *) = site;
    cosell_node->shared = apr_pcalloc(forever, sizeof(*cosell_node->shared));
    memset(cosell_node->shared->form_key, 'k', sizeof(cosell_node->shared->form_key));
    cosell_node->shared->form_keyed = 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p;
    form_t form = {0};
    char *body;
    int sure, status;

    if (!cosell_node) {
        make_node(fuzz_pool());
    }
    p = fuzz_pool();
    body = apr_pstrmemdup(p, (const char *)data, size < BODY_MAX ? size : BODY_MAX);
    refused = submitted = written = 0;
    form.page = apr_pcalloc(p, sizeof(*form.page));
    form.page->r = fuzz_request(p);
    form.page->p = p;
    form.page->site = APR_ARRAY_IDX(cosell_node->sites, 0, cosell_site_t *);
    form.page->out = cs_json_own(json_object(), p);
    form.fields = apr_table_make(p, 8);
    read_fields(&form, body);
    if (form.wrong) {
        check_words(form.wrong);
    }
    sure = apr_table_get(form.fields, "sure") != NULL;
    /* With whatever token and site were sent, and with those that a page of ours would have sent. */
    must(token_wrong(form.page->r, "contoso", apr_table_get(form.fields, "token")) != NULL);
    apr_table_setn(form.fields, "site", "contoso");
    apr_table_setn(form.fields, "token", cosell_form_token(form.page->r, "contoso"));
    if (!form.wrong) {
        status = act(&form);
        must(status == OK && refused + submitted + written == 1);
        must(!written || !sure);
    }
    apr_pool_destroy(p);
    return 0;
}
