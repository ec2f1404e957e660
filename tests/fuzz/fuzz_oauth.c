/* Any bytes as the answer of a token endpoint: a token and an account of one line, a code and an address for a person, or a refusal in words. */
#include "standalone.h"

#include "httpd_alone.h"
#include "mod_cosell/remote/login.c"

static void check_line(const char *text)
{
    check_words(text);
    must(strlen(text) <= 4096);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_pool();
    cs_http_request_t request;
    cs_http_response_t response;
    cs_login_answer_t answer;
    json_t *json = NULL;
    cs_result_t res = {0};
    const char *text;

    if (cs_json_parse(&json, (const char *)data, size, NULL, p, &res) == APR_SUCCESS) {
        cs_json_own(json, p);
    }
    if (read_answer(&answer, json, "sign-in", p, &res) == APR_SUCCESS) {
        must(*answer.refresh && strlen(answer.refresh) <= TOKEN_MAX);
        if (answer.account) {
            check_line(answer.account);
        }
    }
    else {
        check_line(res.detail);
    }
    text = address_in(json, p);
    must(!text || (!strncasecmp(text, "http", 4) && strlen(text) <= 500));
    text = cs_json_str(json, "user_code");
    must(!is_user_code(text) || strlen(text) <= 40);
    memset(&response, 0, sizeof(response));
    response.status = 400;
    response.outcome = CS_HTTP_ANSWERED;
    response.body = apr_pstrmemdup(p, (const char *)data, size);
    response.body_len = size;
    cs_result_clear(&res);
    cs_oauth_request(&request, "http://127.0.0.1:1/common/oauth2/v2.0/token", "a=b", "sign-in", p);
    must(cs_oauth_refused(&response, &request, json, 1, p, &res) != APR_SUCCESS);
    check_line(res.detail);
    text = apr_pstrmemdup(p, (const char *)data, size < 2000 ? size : 2000);
    if (*text && is_utf8(text)) {
        check_line(cs_login_refusal("invalid_grant", text, p));
        check_line(cs_login_refusal(text, NULL, p));
    }
    apr_pool_destroy(p);
    return 0;
}
