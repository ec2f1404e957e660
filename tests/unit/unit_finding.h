/* What the doctor says, looked at by check. */
#ifndef CS_TESTS_UNIT_FINDING_H
#define CS_TESTS_UNIT_FINDING_H

#include "unit.h"

#include "mod_cosell/remote/finding.h"

/* The first finding of this check; the test fails when there is none. */
static inline const cs_finding_t *one(const apr_array_header_t *findings, const char *check)
{
    for (int i = 0; i < findings->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(findings, i, cs_finding_t).check, check)) {
            return &APR_ARRAY_IDX(findings, i, cs_finding_t);
        }
    }
    fail_msg("nothing says %s", check);
    return NULL;
}

/* Its state, a part of its text, and that what is bad comes with an advice. */
static inline void says(const apr_array_header_t *findings, const char *check, cs_found_e state, const char *text)
{
    const cs_finding_t *f = one(findings, check);

    if (f->state != state || !strstr(f->text, text)) {
        fail_msg("%s is %s \"%s\", expected %s \"%s\"", check, cs_found_name(f->state), f->text, cs_found_name(state), text);
    }
    assert_true(state == CS_FOUND_OK || state == CS_FOUND_SKIP || (f->fix && *f->fix));
}

#endif
