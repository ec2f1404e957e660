/* Any bytes as the JSON of a wish: a kind of job with good arguments, or a refusal in words. */
#include "standalone.h"

#include "httpd_alone.h"
#include "mod_cosell/httpd/control.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_pool();
    const cs_job_kind_t *kind = NULL;
    json_t *doc = NULL, *arguments = NULL;
    const char *wrong = NULL;
    cs_result_t res = {0};

    doc = size <= BODY_MAX ? read_document((const char *)data, size, p, &res) : NULL;
    if (doc) {
        kind = read_wish(doc, &arguments, &wrong, p);
        must(kind || wrong);
        if (!wrong) {
            must(json_is_object(arguments) && !json_object_get(arguments, "do") && !json_object_get(arguments, "site"));
            must(!cs_job_wrong(kind, arguments, p));
        }
        else {
            check_words(clean(apr_pstrdup(p, wrong)));
        }
    }
    else if (res.detail) {
        check_words(clean(apr_pstrdup(p, res.detail)));
    }
    apr_pool_destroy(p);
    return 0;
}
