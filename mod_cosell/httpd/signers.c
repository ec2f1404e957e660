/* httpd/signers.c: the signing certificates as one child knows them. (design 7.3)
 *
 * The runner puts a certificate's bytes into <state>/certs/; here they are read, judged once per
 * version of the file, and kept. Request threads share a judged certificate by count; a newer
 * version takes its place while the old one is still in use elsewhere. In the good case a
 * request takes one lock twice and touches no file: the file is looked at once a second, by the
 * request that finds it due.
 *
 * A slot per configured URL, and a few more where a pattern is configured: what a stranger can
 * make this child remember is bounded.
 */
#include "mod_cosell.h"

#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/pool.h"
#include "../base/time.h"

APLOG_USE_MODULE(cosell);

#define LOOK_EVERY apr_time_from_sec(1)
#define FRESH apr_time_from_sec(60)
#define WISH_EVERY apr_time_from_sec(60)
#define WISHES_A_MINUTE 16
#define WAIT_MOST apr_time_from_sec(2)
#define FIRST_LOOK_MOST apr_time_from_msec(250)
#define WAIT_STEP apr_time_from_msec(20)
#define PATTERN_SLOTS 16
#define URL_MAX 512

/* Which content of the file it was. */
typedef struct version_t {
    apr_time_t mtime;
    ino_t inode;
    off_t size;
} version_t;

/* One version, judged. Immutable but for `users`, which the slot's lock guards. */
typedef struct held_t {
    apr_pool_t *p;
    int users;
    version_t version;
    cs_signer_t *signer; /* NULL: the certificate is no good, `why` says */
    const char *problem, *why;
} held_t;

typedef struct slot_t {
    char url[URL_MAX + 1]; /* "" = free */
    char *path;            /* of its file; room for any URL's */
    int fixed;             /* a configured URL: never given to another */
    int users;             /* requests inside */
    held_t *held;          /* NULL = no file seen yet */
    int loading;           /* one request reads the file */
    int looking;           /* requests that look at the file because it was due */
    apr_interval_time_t looked, wished, used; /* cs_time_boot(); 0 = never */
} slot_t;

struct cosell_signers_t {
    const cosell_site_t *site;
    cosell_child_t *child;
    apr_thread_mutex_t *lock;
    slot_t *slots;
    int nslots;
};

/* ---- slots ---- */

static void set_slot(slot_t *slot, const char *url, apr_pool_t *ptemp)
{
    const char *path = cs_signer_path(cosell_node->cfg.store.state_dir, url, ptemp);

    apr_cpystrn(slot->url, url, sizeof(slot->url));
    memcpy(slot->path, path, strlen(path) + 1);
    slot->looked = slot->wished = 0;
}

apr_status_t cosell_signers_create(cosell_signers_t **psigners, const cosell_site_t *site,
                                   cosell_child_t *child, apr_pool_t *p)
{
    cosell_signers_t *s = apr_pcalloc(p, sizeof(*s));
    const apr_array_header_t *urls = site->cfg.trust.urls;
    apr_size_t room = strlen(cs_signer_path(cosell_node->cfg.store.state_dir, "", p)) + 1;
    int patterns = 0, i;

    for (i = 0; i < urls->nelts; i++) {
        patterns += strchr(APR_ARRAY_IDX(urls, i, const char *), '*') != NULL;
    }
    s->site = site;
    s->child = child;
    s->nslots = urls->nelts - patterns + (patterns ? PATTERN_SLOTS : 0);
    s->slots = apr_pcalloc(p, sizeof(slot_t) * (apr_size_t)s->nslots);
    for (i = 0; i < s->nslots; i++) {
        s->slots[i].path = apr_pcalloc(p, room);
    }
    for (i = 0, s->nslots = 0; i < urls->nelts; i++) {
        const char *url = APR_ARRAY_IDX(urls, i, const char *);

        if (!strchr(url, '*')) {
            set_slot(&s->slots[s->nslots], url, p);
            s->slots[s->nslots++].fixed = 1;
        }
    }
    s->nslots += patterns ? PATTERN_SLOTS : 0;
    *psigners = s;
    return apr_thread_mutex_create(&s->lock, APR_THREAD_MUTEX_DEFAULT, p);
}

static void let_go(cosell_signers_t *s, held_t *held)
{
    int last;

    if (!held) {
        return;
    }
    apr_thread_mutex_lock(s->lock);
    last = --held->users == 0;
    apr_thread_mutex_unlock(s->lock);
    if (last) {
        apr_pool_destroy(held->p);
    }
}

/* With the lock held: a slot that may be given to another URL; the longest unused, and one with
 * a good certificate only when there is no other. */
static slot_t *spare_slot(const cosell_signers_t *s)
{
    slot_t *best = NULL;
    int i;

    for (i = 0; i < s->nslots; i++) {
        slot_t *slot = &s->slots[i];
        int good = slot->held && slot->held->signer;

        if (slot->fixed || slot->users || slot->loading || good) {
            continue;
        }
        if (!best || slot->used < best->used) {
            best = slot;
        }
    }
    return best;
}

/* With the lock held: the slot of url, one taken over from another URL, or NULL when all are in
 * use. */
static slot_t *find_slot(cosell_signers_t *s, const char *url, held_t **pdropped, apr_pool_t *p)
{
    slot_t *slot;
    int i;

    for (i = 0; i < s->nslots; i++) {
        if (!strcmp(s->slots[i].url, url)) {
            return &s->slots[i];
        }
    }
    slot = strlen(url) <= URL_MAX ? spare_slot(s) : NULL;
    if (slot) {
        *pdropped = slot->held;
        slot->held = NULL;
        set_slot(slot, url, p);
    }
    return slot;
}

/* The slot of url with one more user, or NULL. *pheld: what is known, with one more user; *pdue:
 * the file is to be looked at, by this request. */
static slot_t *enter(cosell_signers_t *s, const char *url, held_t **pheld, int *pdue, apr_pool_t *p)
{
    apr_interval_time_t now = cs_time_boot();
    held_t *dropped = NULL;
    slot_t *slot;

    apr_thread_mutex_lock(s->lock);
    slot = find_slot(s, url, &dropped, p);
    if (slot) {
        slot->users++;
        slot->used = now;
        *pdue = !slot->looked || now - slot->looked >= LOOK_EVERY || now < slot->looked;
        if (*pdue) {
            slot->looked = now;
            slot->looking++;
        }
        *pheld = slot->held;
        if (*pheld) {
            (*pheld)->users++;
        }
    }
    apr_thread_mutex_unlock(s->lock);
    let_go(s, dropped);
    return slot;
}

static void leave(cosell_signers_t *s, slot_t *slot, held_t *held)
{
    int last;

    apr_thread_mutex_lock(s->lock);
    slot->users--;
    last = held && --held->users == 0;
    apr_thread_mutex_unlock(s->lock);
    if (last) {
        apr_pool_destroy(held->p);
    }
}

/* ---- files ---- */

static void version_of(version_t *version, const struct stat *st)
{
    version->mtime = (apr_time_t)st->st_mtim.tv_sec * APR_USEC_PER_SEC
                   + st->st_mtim.tv_nsec / 1000;
    version->inode = st->st_ino;
    version->size = st->st_size;
}

static int same_version(const version_t *a, const version_t *b)
{
    return a->mtime == b->mtime && a->inode == b->inode && a->size == b->size;
}

static apr_ssize_t read_all(int fd, char *buf, apr_size_t size)
{
    apr_size_t len = 0;
    ssize_t n = 1;

    while (len < size && n != 0) {
        n = read(fd, buf + len, size - len);
        if (n < 0 && errno != EINTR) {
            return -1;
        }
        len += n > 0 ? (apr_size_t)n : 0;
    }
    return (apr_ssize_t)len;
}

/* The bytes of the file with their version; NULL when there is none. At most one byte more than
 * a certificate may have. */
static const char *read_file(const char *path, version_t *version, apr_size_t *plen, apr_pool_t *p)
{
    char *buf = NULL;
    struct stat st;
    apr_ssize_t len = -1;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        version_of(version, &st);
        buf = apr_palloc(p, CS_SIGNATURE_CERT_MAX + 1);
        len = read_all(fd, buf, CS_SIGNATURE_CERT_MAX + 1);
    }
    if (fd >= 0) {
        close(fd);
    }
    *plen = len > 0 ? (apr_size_t)len : 0;
    return len >= 0 ? buf : NULL;
}

/* Reads and judges the file. NULL when there is none. The pool is nobody's child: the last user
 * ends it, in whichever thread. */
static held_t *load(const cosell_signers_t *s, const char *path)
{
    cs_result_t res = { 0 };
    const char *bytes;
    apr_pool_t *p, *ptemp;
    held_t *held;
    apr_size_t len;

    if (cs_pool_create_own(&p, NULL, 0, "cosell-signer") != APR_SUCCESS) {
        return NULL;
    }
    apr_pool_create(&ptemp, p);
    held = apr_pcalloc(p, sizeof(*held));
    held->p = p;
    held->users = 1;
    bytes = read_file(path, &held->version, &len, ptemp);
    if (!bytes) {
        apr_pool_destroy(p);
        return NULL;
    }
    if (cs_signer_load(&held->signer, bytes, len, s->site->trust, cs_time_now(), p, &res)
        != APR_SUCCESS) {
        held->signer = NULL;
        held->problem = res.problem ? res.problem : "certificate";
        held->why = res.detail ? res.detail : "the certificate is not good";
        cs_count(CS_COUNT_CERTIFICATE_ERRORS, 1);
    }
    apr_pool_destroy(ptemp);
    return held;
}

/* With the lock held. 1 if this request is to read the file. */
static int begin_load(slot_t *slot, const version_t *seen)
{
    if (slot->loading || (slot->held && same_version(&slot->held->version, seen))) {
        return 0;
    }
    slot->loading = 1;
    return 1;
}

/* Looks whether the file has changed and takes over what it is now. A file that went away
 * changes nothing: what is known stays good. */
static void look_again(cosell_signers_t *s, slot_t *slot)
{
    held_t *fresh, *old;
    version_t seen;
    struct stat st;
    int mine;

    if (stat(slot->path, &st) != 0) {
        return;
    }
    version_of(&seen, &st);
    apr_thread_mutex_lock(s->lock);
    mine = begin_load(slot, &seen);
    apr_thread_mutex_unlock(s->lock);
    if (!mine) {
        return;
    }
    fresh = load(s, slot->path);
    apr_thread_mutex_lock(s->lock);
    old = fresh ? slot->held : NULL;
    slot->held = fresh ? fresh : slot->held;
    slot->loading = 0;
    apr_thread_mutex_unlock(s->lock);
    let_go(s, old);
}

/* What is known now, with one more user; NULL = nothing. */
static held_t *take(cosell_signers_t *s, slot_t *slot)
{
    held_t *held;

    apr_thread_mutex_lock(s->lock);
    held = slot->held;
    if (held) {
        held->users++;
    }
    apr_thread_mutex_unlock(s->lock);
    return held;
}

/* This request's look at the file, which was due. *pheld is exchanged for what is known after
 * it. */
static void look_now(cosell_signers_t *s, slot_t *slot, held_t **pheld)
{
    look_again(s, slot);
    let_go(s, *pheld);
    *pheld = take(s, slot);
    apr_thread_mutex_lock(s->lock);
    slot->looking--;
    apr_thread_mutex_unlock(s->lock);
}

/* A new child gets many requests before the first of them has read the certificate: the others wait
 * for that, which is a matter of a local file, and not long enough for a disk that hangs to matter.
 */
static void await_first_look(cosell_signers_t *s, slot_t *slot, held_t **pheld)
{
    apr_interval_time_t until = cs_time_mono() + FIRST_LOOK_MOST;
    int looking = 1;

    while (looking && !*pheld && cs_time_mono() < until) {
        apr_thread_mutex_lock(s->lock);
        looking = slot->looking > 0;
        *pheld = slot->held;
        if (*pheld) {
            (*pheld)->users++;
        }
        apr_thread_mutex_unlock(s->lock);
        if (looking && !*pheld) {
            apr_sleep(apr_time_from_msec(1));
        }
    }
}

/* ---- verdicts ---- */

typedef enum {
    GOOD,
    BAD,     /* the signature does not fit, or the certificate is no good */
    OUTDATED, /* outside the certificate's validity */
    NOTHING  /* no certificate */
} opinion_e;

static opinion_e judge(const held_t *held, const cs_signature_t *sig, const void *body,
                       apr_size_t len, apr_time_t now, apr_pool_t *p, cs_result_t *res)
{
    if (!held) {
        cs_result_set(res, p, APR_ENOENT, CS_CLASS_RETRY, "no certificate",
                      "the certificate of %s is not here yet", sig->cert_url);
        return NOTHING;
    }
    if (!held->signer) {
        cs_result_set(res, p, CS_EREMOTE, CS_CLASS_REFUSED, "certificate", "%s",
                      apr_pstrdup(p, held->why));
        return BAD;
    }
    switch (cs_signature_verify(sig, held->signer, body, len, now, p, res)) {
    case CS_SIG_OK:
        return GOOD;
    case CS_SIG_NO_SIGNER:
        return OUTDATED;
    default:
        return BAD;
    }
}

/* ---- wishing and waiting ---- */

/* Many URLs fit a pattern: all of them together get no more than this. */
static int wish_affordable(cosell_child_t *child, apr_interval_time_t now)
{
    apr_int64_t minute = now / apr_time_from_sec(60);

    if (atomic_exchange(&child->wish_minute, minute) != minute) {
        atomic_store(&child->wishes, 0);
    }
    return atomic_fetch_add(&child->wishes, 1) < WISHES_A_MINUTE;
}

/* Asks the runner for the certificate unless that was done within a minute. 1 while an answer to
 * a wish can be expected, with the time until when. */
static int wish(cosell_signers_t *s, slot_t *slot, apr_interval_time_t *puntil, apr_pool_t *p)
{
    apr_interval_time_t now = cs_time_boot(), last;
    apr_status_t rv;
    int due;

    apr_thread_mutex_lock(s->lock);
    last = slot->wished;
    due = !last || now - last >= WISH_EVERY;
    if (due) {
        slot->wished = now;
    }
    apr_thread_mutex_unlock(s->lock);
    *puntil = cs_time_mono() + (due ? WAIT_MOST : WAIT_MOST - (now - last));
    if (!due) {
        return now - last < WAIT_MOST;
    }
    if (!wish_affordable(s->child, now)) {
        return 0;
    }
    rv = cs_certificate_wish(cosell_node->cfg.store.state_dir, slot->url, p);
    if (rv != APR_SUCCESS) {
        cs_log(CS_LOG_INFO, rv, s->site->cfg.name,
               CSLOGNO(1040) "could not ask for the certificate of %s", slot->url);
        return 0;
    }
    cosell_wake_certificates();
    return 1;
}

/* Until the file is another one than `known`, or time is up. 1 if it is. */
static int wait_newer(cosell_signers_t *s, slot_t *slot, const held_t *known,
                      apr_interval_time_t until)
{
    int newer = 0;

    while (!newer && cs_time_mono() < until && !atomic_load(&s->child->stopping)) {
        apr_sleep(WAIT_STEP);
        look_again(s, slot);
        apr_thread_mutex_lock(s->lock);
        newer = slot->held != known;
        apr_thread_mutex_unlock(s->lock);
    }
    return newer;
}

static int fresh(const held_t *held, apr_time_t now)
{
    apr_time_t age = held ? now - held->version.mtime : FRESH;

    return age < FRESH && age > -FRESH;
}

/* A bad verdict under a known certificate may mean a renewed one. *pheld may be exchanged for a
 * newer one. Returns the last opinion. */
static opinion_e ask_and_wait(cosell_signers_t *s, slot_t *slot, held_t **pheld, opinion_e opinion,
                              const cs_signature_t *sig, const void *body, apr_size_t len,
                              apr_pool_t *p, cs_result_t *res)
{
    apr_interval_time_t until;

    if (!wish(s, slot, &until, p) || !wait_newer(s, slot, *pheld, until)) {
        return opinion;
    }
    let_go(s, *pheld);
    *pheld = take(s, slot);
    cs_result_clear(res);
    opinion = judge(*pheld, sig, body, len, cs_time_now(), p, res);
    return opinion == OUTDATED ? BAD : opinion;
}

static opinion_e second_opinion(cosell_signers_t *s, slot_t *slot, held_t **pheld,
                                opinion_e opinion, const cs_signature_t *sig, const void *body,
                                apr_size_t len, apr_pool_t *p, cs_result_t *res)
{
    cosell_child_t *child = s->child;

    if (fresh(*pheld, cs_time_now())) {
        return BAD;
    }
    if (atomic_fetch_add(&child->waiting, 1) < child->wait_max) {
        opinion = ask_and_wait(s, slot, pheld, opinion, sig, body, len, p, res);
    }
    else {
        cs_result_set(res, p, CS_EBUSY, CS_CLASS_RETRY, "certificate wait",
                      "too many requests wait for a certificate");
        opinion = NOTHING;
    }
    atomic_fetch_sub(&child->waiting, 1);
    return opinion;
}

cs_sig_verdict_e cosell_signers_verify(cosell_signers_t *s, const cs_signature_t *sig,
                                       const void *body, apr_size_t len, apr_pool_t *p,
                                       cs_result_t *res)
{
    held_t *held = NULL;
    opinion_e opinion;
    slot_t *slot;
    int due = 0;

    slot = enter(s, sig->cert_url, &held, &due, p);
    if (!slot) {
        cs_result_set(res, p, CS_ELIMIT, CS_CLASS_RETRY, "certificate slots",
                      "too many certificate URLs at once, this one is %.100s", sig->cert_url);
        return CS_SIG_NO_SIGNER;
    }
    if (due) {
        look_now(s, slot, &held);
    }
    else if (!held) {
        await_first_look(s, slot, &held);
    }
    opinion = judge(held, sig, body, len, cs_time_now(), p, res);
    if (opinion != GOOD) {
        opinion = second_opinion(s, slot, &held, opinion, sig, body, len, p, res);
    }
    leave(s, slot, held);
    return opinion == GOOD ? CS_SIG_OK : opinion == BAD ? CS_SIG_REFUSED : CS_SIG_NO_SIGNER;
}
