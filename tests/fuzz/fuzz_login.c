/* Any bytes as the query with which a browser comes back from a sign-in: an answer to a sign-in that opens with the runner's key, or words. */
#include "standalone.h"

#include "httpd_alone.h"
#include "mod_cosell/httpd/login.c"
#include "mod_cosell/remote/login.h"

cosell_node_t *cosell_node;
cosell_child_t *cosell_child;

/* What is sealed is what came, and valid JSON. */
static void check_sealed(const answer_t *a, apr_pool_t *p)
{
    static unsigned char public_key[CS_BOX_KEY_LEN], secret_key[CS_BOX_KEY_LEN];
    static int keyed;
    const unsigned char *box, *opened;
    cs_job_t job = {0};
    json_t *json = NULL;
    apr_size_t len;

    if (!keyed) {
        must(cs_box_make(public_key, secret_key) == APR_SUCCESS);
        keyed = 1;
    }
    job.site = "contoso";
    job.id = a->id;
    job.cursor = cs_json_own(json_pack("{s:s}", "box", cs_base64_encode(public_key, sizeof(public_key), p)), p);
    must(seal(&box, &len, &job, a, p) == APR_SUCCESS);
    must(cs_box_open(&opened, &len, secret_key, apr_pstrcat(p, job.site, "\n", CS_LOGIN_ANSWER, job.id, NULL), box, len, p) == APR_SUCCESS);
    must(cs_json_parse(&json, (const char *)opened, len, NULL, p, NULL) == APR_SUCCESS);
    cs_json_own(json, p);
    must(!strcmp(cs_json_str(json, a->code ? "code" : "error"), a->code ? a->code : a->error));
    if (a->error) {
        check_words(cs_login_refusal(a->error, cs_json_str(json, "text"), p));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_pool();
    const char *wrong, *args = apr_pstrmemdup(p, (const char *)data, size);
    answer_t a;

    wrong = parse(&a, args, p);
    if (wrong) {
        check_words(wrong);
    }
    else {
        must(is_state(a.state) && strlen(a.id) == CS_JOB_ID_LEN && !a.code != !a.error);
        must(a.code ? is_line(a.code, CODE_MAX) : is_line(a.error, 100));
        check_sealed(&a, p);
    }
    apr_pool_destroy(p);
    return 0;
}
