/* engine/remedy.c: what a person can do, by the problem that was met. */
#include "remedy.h"

#include <apr_strings.h>
#include <string.h>

/* ---- what to do about a suspended upstream ---- */

typedef enum { OF_ANY = 0, OF_PC, OF_CRM } todo_of_e;

/* The first whose beginning fits; %s = the upstream. */
static const struct {
    const char *begins;
    todo_of_e of;
    const char *todo;
} todos[] = {
    {"oauth:interaction_required", OF_PC,
     "sign in again with `cosellctl login` and pass the second factor: the tenant asks for it"},
    {"oauth:", OF_PC,
     "sign in again with `cosellctl login`; if that fails, see whether the application still "
     "exists, "
     "has its permissions and a valid client secret"},
    {"oauth:invalid_client", OF_CRM,
     "put a valid secret or certificate of the application into CosellCrm %s and reload"},
    {"oauth:", OF_CRM,
     "see whether the application of CosellCrm %s still exists, is allowed in, and has a valid "
     "secret "
     "or certificate"},
    {"pc:mfa", OF_ANY,
     "sign in again with `cosellctl login` and pass the second factor: Partner Center takes no "
     "token "
     "without it"},
    {"pc:unauthenticated", OF_ANY,
     "sign in again with `cosellctl login` as an account of the partner's tenant"},
    {"config:refresh-token", OF_ANY, "sign in with `cosellctl login`"},
    {"config:client-secret", OF_ANY,
     "put the client secret where the configuration says it is, and reload"},
    {"secret", OF_ANY, "put the secret where the configuration says it is, and reload"},
    {"config:certificate", OF_ANY,
     "put a valid certificate and its key where CosellCrm %s says they are, and reload"},
    {"config:organization", OF_ANY,
     "%s answers as another organisation than at first: point its URL at the right one; a copied "
     "environment is not written to"},
    {"config:instance", OF_ANY, "change the URL of CosellCrm %s to the one that the sign-in names"},
    {"config:column", OF_ANY,
     "add the column there, or give the application the right to it, or take it out of the "
     "mapping"},
    {"config:table", OF_ANY,
     "see whether the table exists in %s and the application may read and write it"},
    {"config:key", OF_ANY,
     "make the alternate key or external id in %s that the mapping names, and wait until it is "
     "active"},
    {"config:origin", OF_ANY, "change the URL of %s in the configuration to the one it answers at"},
    {"config:ca", OF_ANY, "mend the file of ca= of CosellUpstream %s, and reload"},
    {"config:version", OF_ANY, "install a version of mod_cosell that knows the API of %s"},
    {"config:", OF_ANY, "mend what the sentence names in the configuration, and reload"},
    {"tls:", OF_ANY,
     "see which certificate %s shows (a proxy that inspects TLS?), and name its authority with ca= "
     "of CosellUpstream"},
    {"quota:", OF_ANY,
     "wait until the day of the quota is over, buy more requests, or lower reserve= of "
     "CosellUpstream "
     "%s"},
    {"http:401", OF_PC, "sign in again with `cosellctl login`"},
    {"http:403", OF_PC,
     "give the account the role Referrals admin, and consent to the application's permissions"},
    {"http:401", OF_CRM, "see whether the application user of CosellCrm %s is enabled"},
    {"http:403", OF_CRM,
     "give the application user of CosellCrm %s the security role or permission set that the "
     "README "
     "names"},
    {"pc:", OF_PC,
     "give the account the role Referrals admin, or sign in again with `cosellctl login`; "
     "`cosellctl doctor` says which"},
    {"", OF_ANY, "mend what the sentence names; `cosellctl doctor` says more"},
};

const char *cs_remedy_of_upstream(const char *problem, const char *upstream, int pc, apr_pool_t *p)
{
    const char *before, *at;
    apr_size_t i;

    problem = problem ? problem : "";
    for (i = 0; strncmp(problem, todos[i].begins, strlen(todos[i].begins)) ||
                (todos[i].of != OF_ANY && (todos[i].of == OF_PC) != (pc != 0));
         i++) {
    }
    at = strstr(todos[i].todo, "%s");
    if (!at) {
        return todos[i].todo;
    }
    before = apr_pstrmemdup(p, todos[i].todo, (apr_size_t)(at - todos[i].todo));
    return apr_pstrcat(p, before, upstream, at + 2, NULL);
}

/* ---- what to do about a look that was given up ---- */

#define REPORT "report it with its lines of the error log; `cosellctl dead retry` tries again"

/* Of problems that are found here: what a system refused says itself what to do. The first whose
 * beginning and end fit. */
static const struct {
    const char *begins, *ends, *todo;
} of_dead[] = {
    {"config:crm", "", "configure that CRM again (CosellCrm), or drop the look"},
    {"config:team", "",
     "make the team template in the CRM, or set what names it in the mapping's names to null"},
    {"config:call", "", "correct the action that the mapping names, and reload"},
    {"config:", "", "`cosellctl doctor` says what of the configuration does not fit"},
    {"mapping:kind", "",
     "give the mapping that record kind again and reload, or take the deal from its record with "
     "`cosellctl deals unlink`"},
    {"mapping:", "",
     "correct the mapping (`cosellctl map check FILE` names its mistakes), and reload"},
    {"lookup:held", "",
     "make the row in the CRM that it looks for, or where several are found choose one with "
     "`cosellctl deals choose`"},
    {"too-many", "", "take rows from that record in the CRM, or the list out of the mapping"},
    {"pc:pages", "",
     "look at the engagement at Partner Center: it has more referrals than any should"},
    {"store:", "",
     "drop the look with `cosellctl dead drop`: the next notice or sweep begins anew; if it comes "
     "back, report it with its lines of the error log"},
    {"work:", "", "drop the look with `cosellctl dead drop`; if it comes back, " REPORT},
    {"deal:", "", REPORT},
    {"pc:id", "", REPORT},
    {"pc:guard", "", REPORT},
    {"pc:body", "", REPORT},
    {"", ":id", "see whether the record's or the user's id was typed by hand; else " REPORT},
    {"", ":key", "shorten the value that the record is searched by"},
    {"", ":query", "shorten the value that the record is searched by"},
    {"transport", "",
     "see whether the system can be reached from this server, then `cosellctl dead retry`"},
    {"unknown", "",
     "see whether the system can be reached from this server, then `cosellctl dead retry`"},
};

static int ends_with(const char *text, const char *end)
{
    apr_size_t a = strlen(text), b = strlen(end);

    return a >= b && !strcmp(text + a - b, end);
}

const char *cs_remedy_of_dead(const char *problem)
{
    apr_size_t i;

    for (i = 0; problem && i < sizeof(of_dead) / sizeof(of_dead[0]); i++) {
        if (!strncmp(problem, of_dead[i].begins, strlen(of_dead[i].begins)) &&
            ends_with(problem, of_dead[i].ends)) {
            return of_dead[i].todo;
        }
    }
    return NULL;
}

const char *cs_remedy_of_cause(const char *cause, apr_pool_t *p)
{
    static const char dead[] = "dead ";
    apr_size_t n = sizeof(dead) - 1;

    if (!cause || strncmp(cause, dead, n)) {
        return NULL;
    }
    return cs_remedy_of_dead(apr_pstrmemdup(p, cause + n, strcspn(cause + n, " ")));
}
