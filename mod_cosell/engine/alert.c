#include "alert.h"
#include "remedy.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/time.h"
#include "lane.h"

#define SECONDS(n) apr_time_from_sec(n)
#define DAYS(n) apr_time_from_sec((n)*86400)
/* A certificate that a person must renew, and one that renews itself. */
#define CERTIFICATE_WARN DAYS(30)
#define SIGNER_WARN DAYS(3)
#define BREAKER_HOLD SECONDS(15)
#define QUOTA_WARN 80 /* percent of what may be used */

typedef struct judge_t {
    const cs_alert_facts_t *facts;
    apr_array_header_t *found;
    apr_pool_t *p;
} judge_t;

static cs_concern_t *find(judge_t *j, const char *site, const char *what, cs_alert_level_e level,
                          const char *text, const char *todo)
{
    cs_concern_t *finding = apr_pcalloc(j->p, sizeof(*finding));

    finding->alert.site = site;
    finding->alert.what = what;
    finding->alert.level = level;
    finding->alert.text = text;
    finding->alert.todo = todo;
    finding->clear = SECONDS(8);
    APR_ARRAY_PUSH(j->found, cs_concern_t *) = finding;
    return finding;
}

/* "4 days", "25 minutes": what a person wants to know of an age. */
static const char *age_words(apr_interval_time_t age, apr_pool_t *p)
{
    apr_int64_t seconds = apr_time_sec(age);

    if (seconds < 120) {
        return apr_psprintf(p, "%d seconds", (int)seconds);
    }
    if (seconds < 2 * 3600) {
        return apr_psprintf(p, "%d minutes", (int)(seconds / 60));
    }
    return seconds < 2 * 86400 ? apr_psprintf(p, "%d hours", (int)(seconds / 3600))
                               : apr_psprintf(p, "%d days", (int)(seconds / 86400));
}

static const char *number_words(apr_int64_t n, const char *one, const char *many, apr_pool_t *p)
{
    return n == 1 ? apr_pstrcat(p, "one ", one, NULL)
                  : apr_psprintf(p, "%" APR_INT64_T_FMT " %s", n, many);
}

/* ---- the server ---- */

static const char *store_todo(apr_status_t rv, const char *dir, apr_pool_t *p)
{
    switch (rv) {
    case CS_EFULL:
        return apr_psprintf(p,
                            "free space on the disk of %s; senders repeat what was answered 503, "
                            "and work goes on by itself",
                            dir);
    case CS_EREADONLY:
        return apr_psprintf(p,
                            "make %s writable for the server's user again: mounted read-only, "
                            "or changed permissions",
                            dir);
    case CS_EIO:
        return apr_psprintf(p,
                            "look at the disk of %s in the kernel's log; replace it, or restore "
                            "the directory elsewhere",
                            dir);
    case CS_ECORRUPT:
        return apr_psprintf(p,
                            "stop the server, keep a copy of %s, and restore the database from a "
                            "backup",
                            dir);
    case CS_EMISSING:
        return apr_psprintf(p,
                            "bring cosell.db back into %s; to begin anew on purpose, remove the "
                            "file \"node\" there as well",
                            dir);
    case CS_ESCHEMA:
        return "install the version of mod_cosell that wrote the database, or a newer one";
    case CS_EBUSY:
        return apr_psprintf(p, "find out which process keeps the database in %s locked", dir);
    default:
        return apr_psprintf(p, "look at %s and at the error log", dir);
    }
}

static const char *status_words(apr_status_t rv, apr_pool_t *p)
{
    char text[160];

    return apr_pstrdup(p, cs_strerror(rv, text, sizeof(text)));
}

static void judge_store(judge_t *j)
{
    const cs_alert_facts_t *f = j->facts;
    apr_status_t rv = f->accept ? f->accept : f->look ? f->look : f->store;
    cs_concern_t *finding;
    const char *text;

    if (f->accept) {
        text = apr_psprintf(j->p, "notices cannot be stored and are answered 503: %s",
                            status_words(rv, j->p));
    }
    else if (f->look) {
        text = apr_psprintf(j->p, "what was done cannot be stored, and work waits: %s",
                            status_words(rv, j->p));
    }
    else if (f->store) {
        text = apr_psprintf(j->p, "the store cannot be read: %s",
                            f->store_detail ? f->store_detail : status_words(rv, j->p));
    }
    else {
        return;
    }
    finding = find(j, "", "store", CS_ALERT_ERROR, text, store_todo(rv, f->state_dir, j->p));
    /* At the very first start it is missing until it is made. */
    finding->hold = rv == CS_EFULL || rv == CS_EREADONLY ? 0 : SECONDS(10);
}

static void judge_disk(judge_t *j)
{
    apr_int64_t left = j->facts->free_bytes;
    const char *dir = j->facts->state_dir;
    cs_concern_t *finding;

    if (left < 0 || left >= CS_FREE_WARN) {
        return;
    }
    finding = find(j, "", "disk", left < CS_FREE_ERROR ? CS_ALERT_ERROR : CS_ALERT_WARNING,
                   apr_psprintf(j->p,
                                "%d MB are free where %s is; without space notices are "
                                "answered 503",
                                (int)(left / (1024 * 1024)), dir),
                   apr_psprintf(j->p, "free space on the disk of %s", dir));
    finding->hold = SECONDS(10);
    finding->clear = SECONDS(30);
}

/* A hung disk says nothing but this. */
static void judge_refused(judge_t *j)
{
    if (j->facts->refused > 0 && !j->facts->accept) {
        find(j, "", "unavailable", CS_ALERT_ERROR,
             apr_psprintf(j->p,
                          "%s: not durable in time, no certificate, or a site that is degraded",
                          number_words(j->facts->refused,
                                       "notice was answered 503 and none has been accepted since",
                                       "notices were answered 503 lately", j->p)),
             apr_psprintf(j->p,
                          "look at the error log for the reason, and at the disk of %s; the "
                          "senders repeat them",
                          j->facts->state_dir))
            ->hold = SECONDS(8);
    }
}

/* ---- upstreams ---- */

static const char *named(const char *prefix, const char *name, apr_pool_t *p)
{
    return apr_pstrcat(p, prefix, name, NULL);
}

static void judge_suspended(judge_t *j, const cs_alert_site_t *s, const cs_alert_upstream_t *up)
{
    const cs_suspended_t *why = up->suspended;
    cs_concern_t *finding = find(j, s->site, named("suspended:", up->name, j->p), CS_ALERT_ERROR,
                                 apr_psprintf(j->p, "%s is suspended: %s (%s)", up->name,
                                              why->detail ? why->detail : "no detail",
                                              why->problem ? why->problem : "?"),
                                 cs_remedy_of_upstream(why->problem, up->name, up->pc, j->p));

    finding->hold = SECONDS(5);
    finding->alert.since = why->since;
}

/* Suspension names its own cause. */
static void judge_breaker(judge_t *j, const cs_alert_site_t *s, const cs_alert_upstream_t *up)
{
    cs_concern_t *finding;

    if (j->facts->now - up->breaker_since < BREAKER_HOLD || up->suspended) {
        return;
    }
    finding = find(j, s->site, named("breaker:", up->name, j->p), CS_ALERT_ERROR,
                   apr_psprintf(j->p, "%s does not answer: %s", up->name, up->breaker),
                   apr_psprintf(j->p,
                                "see whether %s works and can be reached from this server; it "
                                "is asked every minute, and work goes on by itself",
                                up->name));
    finding->alert.since = up->breaker_since;
}

static void judge_silence(judge_t *j, const cs_alert_site_t *s, const cs_alert_upstream_t *up)
{
    apr_time_t now = j->facts->now;
    cs_concern_t *finding;

    if (!up->notices || up->found < CS_SILENCE_FOUND || now - up->heard_at < CS_SILENCE ||
        now - up->found_at > DAYS(1)) {
        return;
    }
    finding = find(
        j, s->site, named("silence:", up->name, j->p), CS_ALERT_WARNING,
        apr_psprintf(j->p,
                     "no notice of %s for %s, while polls found %s: changes take the time of a "
                     "poll",
                     up->name, age_words(now - up->heard_at, j->p),
                     number_words(up->found, "change", "changes", j->p)),
        up->pc ? "run `cosellctl webhook show` and `cosellctl webhook test`: the registration, or "
                 "the way from the Internet to this server"
               : apr_psprintf(j->p,
                              "see whether %s still sends its notifications here: the webhook "
                              "or flow there, and the way to this server",
                              up->name));
    finding->alert.since = up->heard_at;
}

static void judge_quota(judge_t *j, const cs_alert_site_t *s, const cs_alert_upstream_t *up)
{
    apr_int64_t may = up->quota_most - up->quota_kept;

    if (up->quota_most > 0 && may > 0 && up->quota_used >= may / 100 * QUOTA_WARN &&
        !up->suspended) {
        find(
            j, s->site, named("quota:", up->name, j->p), CS_ALERT_WARNING,
            apr_psprintf(j->p,
                         "%s has %" APR_INT64_T_FMT " of %" APR_INT64_T_FMT " requests of the "
                         "day used; %" APR_INT64_T_FMT " are kept for others",
                         up->name, up->quota_used, up->quota_most, up->quota_kept),
            "see which integration uses them up; when nothing is left, work waits until the day is "
            "over")
            ->clear = SECONDS(60);
    }
}

static void judge_mapping(judge_t *j, const cs_alert_site_t *s, const cs_alert_upstream_t *up)
{
    if (up->misfits > 0) {
        find(j, s->site, named("mapping:", up->name, j->p), CS_ALERT_WARNING,
             apr_psprintf(j->p, "%s of %s: %s",
                          up->misfits == 1
                              ? "one line does not fit the columns"
                              : apr_psprintf(j->p, "%d lines do not fit the columns", up->misfits),
                          up->name, up->misfit),
             "change the mapping or the columns there; `cosellctl doctor` lists all of them")
            ->hold = SECONDS(10);
    }
}

static void judge_certificate(judge_t *j, const cs_alert_site_t *s, const cs_alert_upstream_t *up)
{
    apr_interval_time_t left = up->certificate - j->facts->now;

    if (up->certificate && left < CERTIFICATE_WARN) {
        find(j, s->site, named("certificate:", up->name, j->p),
             left <= 0 ? CS_ALERT_ERROR : CS_ALERT_WARNING,
             left <= 0
                 ? apr_psprintf(j->p, "the certificate with which we sign in at %s has expired",
                                up->name)
                 : apr_psprintf(j->p,
                                "the certificate with which we sign in at %s expires in "
                                "%s",
                                up->name, age_words(left, j->p)),
             "make a new key and certificate, register it there, change certificate= and key= of "
             "CosellCrm, reload");
    }
}

static void judge_upstream(judge_t *j, const cs_alert_site_t *s, const cs_alert_upstream_t *up)
{
    if (up->suspended) {
        judge_suspended(j, s, up);
    }
    if (up->breaker) {
        judge_breaker(j, s, up);
    }
    judge_silence(j, s, up);
    judge_quota(j, s, up);
    judge_mapping(j, s, up);
    judge_certificate(j, s, up);
}

/* ---- work ---- */

static const cs_cause_t *largest(const cs_alert_site_t *s, int dead, const char *prefix,
                                 apr_int64_t *psum)
{
    const cs_cause_t *first = NULL;
    int i;

    *psum = 0;
    for (i = 0; s->causes && i < s->causes->nelts; i++) {
        const cs_cause_t *cause = APR_ARRAY_IDX(s->causes, i, const cs_cause_t *);
        if (cause->dead == dead && (!prefix || !strncmp(cause->cause, prefix, strlen(prefix)))) {
            *psum += cause->n;
            first = !first || cause->n > first->n ? cause : first;
        }
    }
    return first;
}

static const char *cause_words(const cs_cause_t *cause, apr_pool_t *p)
{
    return cause ? apr_psprintf(p, "; most often (%" APR_INT64_T_FMT "): %s", cause->n, cause->text)
                 : "";
}

static void judge_dead(judge_t *j, const cs_alert_site_t *s)
{
    apr_int64_t n;
    const cs_cause_t *most = largest(s, 1, NULL, &n);

    if (s->counts.dead > 0) {
        cs_concern_t *finding =
            find(j, s->site, "dead", CS_ALERT_ERROR,
                 apr_pstrcat(
                     j->p,
                     number_words(s->counts.dead, "look was given up", "looks were given up", j->p),
                     cause_words(most, j->p), NULL),
                 "mend the cause and retry: the page of problems, or `cosellctl dead list` and "
                 "`cosellctl dead retry`");
        finding->alert.since = most ? most->since : 0;
    }
}

static void judge_parked(judge_t *j, const cs_alert_site_t *s)
{
    apr_int64_t n;
    const cs_cause_t *most = largest(s, 0, CS_CAUSE_PARKED, &n);

    if (n > 0) {
        find(j, s->site, "parked", CS_ALERT_WARNING,
             apr_pstrcat(j->p,
                         number_words(n, "deal waits for somebody's decision",
                                      "deals wait for somebody's decision", j->p),
                         cause_words(most, j->p), NULL),
             "decide: the page of problems, or `cosellctl deals choose` and `cosellctl deals link`")
            ->alert.since = most->since;
    }
    most = largest(s, 0, CS_CAUSE_HELD, &n);
    if (n > 0) {
        find(j, s->site, "held", CS_ALERT_WARNING,
             apr_psprintf(j->p, "%s, because somebody else writes against us",
                          number_words(n, "deal is held", "deals are held", j->p)),
             "find the workflow or person that changes what we write; each goes on by itself an "
             "hour later")
            ->alert.since = most->since;
    }
}

static void judge_brakes(judge_t *j, const cs_alert_site_t *s)
{
    int i;

    for (i = 0; s->brakes && i < s->brakes->nelts; i++) {
        const cs_suspended_t *brake = &APR_ARRAY_IDX(s->brakes, i, const cs_suspended_t);
        const char *name = brake->upstream + sizeof(CS_BRAKE) - 1;

        find(j, s->site, named("brake:", name, j->p), CS_ALERT_ERROR,
             apr_psprintf(j->p, "a bulk change is held: %s",
                          brake->detail ? brake->detail : brake->upstream),
             apr_psprintf(j->p,
                          "undo what caused it, or let it go on: the button on the page, or "
                          "`cosellctl release %s`",
                          name))
            ->alert.since = brake->since;
    }
}

static int is_stopped(const cs_alert_site_t *s)
{
    int i;

    for (i = 0; i < s->upstreams->nelts; i++) {
        const cs_alert_upstream_t *up = &APR_ARRAY_IDX(s->upstreams, i, const cs_alert_upstream_t);
        if (up->breaker || up->suspended) {
            return 1;
        }
    }
    return s->paused_at != 0;
}

/* Late is what nobody has named a reason for. One change that is tried again and again is not the
 * whole site. */
static void judge_lag(judge_t *j, const cs_alert_site_t *s)
{
    apr_interval_time_t age = j->facts->now - s->counts.oldest;
    cs_concern_t *finding;

    if (!s->counts.oldest || age < CS_PROMISE || is_stopped(s)) {
        return;
    }
    finding =
        find(j, s->site, "lag", s->oldest_attempts ? CS_ALERT_WARNING : CS_ALERT_ERROR,
             apr_psprintf(j->p,
                          "a change waits for %s to come to the other side%s%s; promised "
                          "are %d minutes",
                          age_words(age, j->p), s->oldest_problem ? ": " : "",
                          s->oldest_problem ? s->oldest_problem : "",
                          (int)(apr_time_sec(CS_PROMISE) / 60)),
             s->oldest_attempts
                 ? "it is tried again by itself; the page of its deal says when and why"
                 : "see whether many changes came at once, or whether CosellWorkers and rate= "
                   "of CosellUpstream are too low");
    finding->hold = SECONDS(10);
    finding->alert.since = s->counts.oldest + CS_PROMISE;
}

/* "expires 2026-11-26": the day is over at its end, UTC. */
apr_int64_t cs_alert_expiring(const cs_alert_site_t *s, apr_time_t now)
{
    const apr_size_t len = sizeof(CS_CAUSE_EXPIRES) - 1;
    apr_int64_t n = 0;
    apr_time_t at;
    int i;

    for (i = 0; s->causes && i < s->causes->nelts; i++) {
        const cs_cause_t *cause = APR_ARRAY_IDX(s->causes, i, const cs_cause_t *);
        if (!strncmp(cause->cause, CS_CAUSE_EXPIRES, len) &&
            cs_time_parse(&at, cause->cause + len) == APR_SUCCESS && at < now + CS_EXPIRING &&
            at + DAYS(1) > now) {
            n += cause->n;
        }
    }
    return n;
}

static void judge_expiring(judge_t *j, const cs_alert_site_t *s)
{
    apr_int64_t n = cs_alert_expiring(s, j->facts->now);

    if (n > 0) {
        find(j, s->site, "expiring", CS_ALERT_WARNING,
             apr_psprintf(j->p, "%s within three days and nobody has answered",
                          number_words(n, "referral expires", "referrals expire", j->p)),
             "accept or decline in the CRM or in Partner Center; the page of problems has them by "
             "day");
    }
}

/* ---- the site ---- */

static void judge_token(judge_t *j, const cs_alert_site_t *s)
{
    apr_interval_time_t age = s->rotated ? j->facts->now - s->rotated : 0;
    const char *who = s->account ? apr_psprintf(j->p, " of %s", s->account) : "";

    if (age >= CS_TOKEN_LIFE) {
        find(j, s->site, "token", CS_ALERT_ERROR,
             apr_psprintf(j->p, "the refresh token%s was last used %s ago and has died of it", who,
                          age_words(age, j->p)),
             "sign in again with `cosellctl login`");
    }
    else if (age >= CS_TOKEN_LIFE - CS_TOKEN_WARN) {
        find(j, s->site, "token", CS_ALERT_WARNING,
             apr_psprintf(j->p,
                          "the refresh token%s was last used %s ago and dies in %s unless it is "
                          "used",
                          who, age_words(age, j->p), age_words(CS_TOKEN_LIFE - age, j->p)),
             "see why nothing is sent to Partner Center (paused, suspended), or sign in again with "
             "`cosellctl login`, best as a service account that is nobody's own");
    }
}

static void judge_signer(judge_t *j, const cs_alert_site_t *s)
{
    apr_interval_time_t left = s->signer - j->facts->now;

    if (s->signer && left < SIGNER_WARN) {
        find(j, s->site, "certificate", left <= 0 ? CS_ALERT_ERROR : CS_ALERT_WARNING,
             left <= 0 ? "the certificate that signs Partner Center's notices has expired, and no "
                         "newer one could be fetched: they are refused"
                       : apr_psprintf(j->p,
                                      "the certificate that signs Partner Center's notices "
                                      "expires in %s, and no newer one could be fetched",
                                      age_words(left, j->p)),
             "see in the error log why it cannot be fetched from the url= of CosellSignature");
    }
}

static void judge_site(judge_t *j, const cs_alert_site_t *s)
{
    int i;

    if (s->degraded) {
        find(j, s->site, "degraded", CS_ALERT_ERROR,
             apr_psprintf(j->p, "the site answers 503: %s", s->degraded),
             "mend it, run `apachectl configtest`, reload");
    }
    if (!s->known) {
        return;
    }
    for (i = 0; i < s->upstreams->nelts; i++) {
        judge_upstream(j, s, &APR_ARRAY_IDX(s->upstreams, i, const cs_alert_upstream_t));
    }
    if (s->paused_at) {
        find(j, s->site, "paused", CS_ALERT_WARNING,
             apr_psprintf(j->p, "%s has paused the site%s%s",
                          s->paused_by ? s->paused_by : "somebody", s->paused_why ? ": " : "",
                          s->paused_why ? s->paused_why : ""),
             "notices are kept; go on with `cosellctl resume`")
            ->alert.since = s->paused_at;
    }
    if (s->drift) {
        find(j, s->site, "webhook:drift", CS_ALERT_ERROR,
             apr_psprintf(j->p, "the registration of our webhook at Partner Center was changed: %s",
                          s->drift),
             "see it with `cosellctl webhook show`; take it back with `cosellctl webhook register "
             "--overwrite`");
    }
    judge_brakes(j, s);
    judge_dead(j, s);
    judge_parked(j, s);
    judge_lag(j, s);
    judge_expiring(j, s);
    judge_token(j, s);
    judge_signer(j, s);
}

apr_array_header_t *cs_alerts_judge(const cs_alert_facts_t *facts, apr_pool_t *p)
{
    judge_t j = {facts, apr_array_make(p, 8, sizeof(cs_concern_t *)), p};
    int i;

    judge_store(&j);
    judge_disk(&j);
    judge_refused(&j);
    for (i = 0; facts->sites && i < facts->sites->nelts; i++) {
        judge_site(&j, APR_ARRAY_IDX(facts->sites, i, const cs_alert_site_t *));
    }
    return j.found;
}
