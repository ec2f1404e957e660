/* httpd/config_file.c: the files, commands and directories that settings name: are they there, and
 * what they should be? Nothing is written, and nothing is kept of what is read. What this user
 * cannot see is a warning at most; what a running server could do without is not looked at again.
 */
#include "config_check.h"

#include <apr_strings.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/command.h"
#include "../base/crypto.h"

/* Far above every good file of these kinds; their readers have closer limits of their own. */
#define FILE_MOST (16 * 1024 * 1024)
#define PEM_MOST (64 * 1024)

/* APR_SUCCESS when it is a regular file that can be opened for reading. */
static apr_status_t try_file(const char *path, apr_off_t *psize, apr_pool_t *ptemp)
{
    apr_file_t *file;
    apr_finfo_t finfo;
    apr_status_t rv;

    rv = apr_stat(&finfo, path, APR_FINFO_TYPE | APR_FINFO_SIZE, ptemp);
    if (rv != APR_SUCCESS && rv != APR_INCOMPLETE) {
        return rv;
    }
    if (finfo.filetype != APR_REG) {
        return APR_EINVAL;
    }
    rv = apr_file_open(&file, path, APR_FOPEN_READ, APR_OS_DEFAULT, ptemp);
    if (rv == APR_SUCCESS) {
        apr_file_close(file);
    }
    *psize = finfo.size;
    return rv;
}

/* Under an account that is not root's a file for root alone says nothing about the real start. */
static int only_for_root(apr_status_t rv)
{
    return APR_STATUS_IS_EACCES(rv) && geteuid() != 0;
}

/* 1 when the file can be used now. `what` is directive and option: "CosellCrm: mapping=". */
int cosell_check_file(cosell_check_t *ck, const char *where, const char *what, const char *path)
{
    char text[160];
    apr_off_t size = 0;
    apr_status_t rv = try_file(path, &size, ck->ptemp);

    if (rv == APR_EINVAL) {
        cosell_mistake(ck, where, "%s\"%s\": not a regular file", what, path);
    }
    else if (only_for_root(rv)) {
        cosell_warn(ck, where, "%s\"%s\": not readable to this user and therefore not checked",
                    what, path);
    }
    else if (rv != APR_SUCCESS) {
        cosell_mistake(ck, where, "%s\"%s\": could not be read: %s", what, path,
                       apr_strerror(rv, text, sizeof(text)));
    }
    else if (size == 0 || size > FILE_MOST) {
        cosell_mistake(ck, where, "%s\"%s\": it has %" APR_OFF_T_FMT " bytes; allowed are 1 to %d",
                       what, path, size, FILE_MOST);
        return 0;
    }
    return rv == APR_SUCCESS;
}

/* A small file as a whole; wiped with the pool, for it may be a key. */
static int read_small(const char *path, const char **ptext, apr_size_t *plen, apr_pool_t *ptemp)
{
    char *text = apr_palloc(ptemp, PEM_MOST);
    apr_file_t *file;
    apr_status_t rv;

    if (apr_file_open(&file, path, APR_FOPEN_READ, APR_OS_DEFAULT, ptemp) != APR_SUCCESS) {
        return 0;
    }
    cs_wipe_at_end(text, PEM_MOST, ptemp);
    rv = apr_file_read_full(file, text, PEM_MOST, plen);
    apr_file_close(file);
    *ptext = text;
    return rv == APR_SUCCESS || APR_STATUS_IS_EOF(rv);
}

/* The API secrets are the runner's alone: here only whether they are there. At reload a missing one
 * is no reason to answer 503, the runner says it and keeps the work. */
void cosell_check_secret(cosell_check_t *ck, const char *where, const char *what,
                         const cs_secret_t *secret)
{
    const char *command;

    if (!secret || ck->reloading) {
        return;
    }
    if (!strncmp(secret->ref, "file:", 5)) {
        cosell_check_file(ck, where, apr_pstrcat(ck->ptemp, what, "file:", NULL), secret->ref + 5);
        return;
    }
    command = secret->ref + 5 + strspn(secret->ref + 5, " \t");
    command = apr_pstrmemdup(ck->ptemp, command, strcspn(command, " \t"));
    if (strchr(command, '/') && access(command, X_OK) != 0) {
        if (only_for_root(APR_FROM_OS_ERROR(errno))) {
            cosell_warn(ck, where, "%sexec:%s: the command cannot be checked by this user", what,
                        command);
        }
        else {
            cosell_mistake(ck, where, "%sexec:%s: the command cannot be executed", what, command);
        }
    }
}

/* A certificate and its key, when both can be read now. */
void cosell_check_certificate(cosell_check_t *ck, const char *where, const char *certificate,
                              const cs_secret_t *key)
{
    unsigned char digest[CS_SHA256_LEN];
    const char *pem, *key_pem;
    apr_size_t len, key_len, digest_len;

    if (!certificate || !cosell_check_file(ck, where, "CosellCrm: certificate=", certificate) ||
        !read_small(certificate, &pem, &len, ck->ptemp)) {
        return;
    }
    if (cs_cert_digest(digest, &digest_len, 0, pem, len) != APR_SUCCESS) {
        cosell_mistake(ck, where,
                       "CosellCrm: certificate=\"%s\": allowed is a file that holds a "
                       "certificate as PEM",
                       certificate);
        return;
    }
    if (!key || ck->reloading || strncmp(key->ref, "file:", 5) ||
        !read_small(key->ref + 5, &key_pem, &key_len, ck->ptemp)) {
        return;
    }
    if (!cs_cert_has_key(pem, len, key_pem, key_len)) {
        cosell_mistake(ck, where,
                       "CosellCrm: key=%s is not the private key (PEM, without a passphrase) "
                       "of certificate=\"%s\"",
                       key->ref, certificate);
    }
}

/* A key that signs by itself, when it can be read now. */
void cosell_check_key(cosell_check_t *ck, const char *where, const cs_secret_t *key)
{
    const unsigned char *signature;
    const char *pem;
    apr_size_t len, signature_len;

    if (!key || ck->reloading || strncmp(key->ref, "file:", 5) ||
        !read_small(key->ref + 5, &pem, &len, ck->ptemp)) {
        return;
    }
    if (cs_rsa_sign(&signature, &signature_len, 0, pem, len, "", 0, ck->ptemp) != APR_SUCCESS) {
        cosell_mistake(ck, where,
                       "CosellCrm: key=%s: allowed is a file that holds a private RSA key as "
                       "PEM, without a passphrase",
                       key->ref);
    }
}

/* A webhook secret as far as it can be read now; NULL = it cannot, and is not judged. Commands run
 * at the start only. */
static const cs_secret_t *read_webhook_secret(cosell_check_t *ck, const cs_secret_t *secret)
{
    cs_secret_t *copy = apr_pcalloc(ck->ptemp, sizeof(*copy));

    copy->ref = secret->ref;
    if (strncmp(secret->ref, "file:", 5) || cs_secret_load(copy, ck->ptemp, NULL) != APR_SUCCESS) {
        return NULL;
    }
    return copy;
}

/* Which CRM sends is told by its secret alone. Never NULL: the CRM before k with the same secret,
 * or k itself. */
static const cosell_crm_t *crm_of_secret(cosell_check_t *ck, int k, const cs_secret_t *value)
{
    const cosell_crm_t *crm = APR_ARRAY_IDX(ck->conf->crms, k, cosell_crm_t *), *other;
    const cs_secret_t *of_other;
    int i;

    for (i = 0; i < k; i++) {
        other = APR_ARRAY_IDX(ck->conf->crms, i, cosell_crm_t *);
        if (!other->webhook_secret) {
            continue;
        }
        of_other = value ? read_webhook_secret(ck, other->webhook_secret) : NULL;
        if (!strcmp(other->webhook_secret->ref, crm->webhook_secret->ref) ||
            (of_other && !strcmp(of_other->digest, value->digest))) {
            return other;
        }
    }
    return crm;
}

void cosell_check_webhook_secret(cosell_check_t *ck, int k)
{
    const cosell_crm_t *crm = APR_ARRAY_IDX(ck->conf->crms, k, cosell_crm_t *), *other;
    const cs_secret_t *value;

    if (!crm->webhook_secret || ck->reloading) {
        return;
    }
    cosell_check_secret(ck, crm->where, "CosellCrm: webhook-secret=", crm->webhook_secret);
    value = read_webhook_secret(ck, crm->webhook_secret);
    if (value && value->len < COSELL_WEBHOOK_SECRET_LEAST) {
        cosell_mistake(ck, crm->where,
                       "CosellCrm: webhook-secret=%s: it has %" APR_SIZE_T_FMT
                       " characters; allowed are at least %d, best by chance",
                       crm->webhook_secret->ref, value->len, COSELL_WEBHOOK_SECRET_LEAST);
    }
    other = crm_of_secret(ck, k, value);
    if (other != crm) {
        cosell_mistake(ck, crm->where,
                       "CosellCrm %s: webhook-secret=%s is also that of %s (%s); allowed "
                       "is a secret of its own for each CRM of a host",
                       crm->name, crm->webhook_secret->ref, other->name, other->where);
    }
}

/* The server's user must be able to run it; whether it may, only the real start shows. */
void cosell_check_command(cosell_check_t *ck, const cosell_notify_t *notify)
{
    char *const *argv = cs_command_split(notify->target.command, ck->ptemp);
    struct stat st;

    if (ck->reloading || !argv) {
        return;
    }
    if (stat(argv[0], &st) != 0) {
        if (only_for_root(APR_FROM_OS_ERROR(errno))) {
            cosell_warn(ck, notify->where,
                        "CosellNotify \"%s\": not accessible to this user and "
                        "therefore not checked",
                        notify->target.name);
            return;
        }
        cosell_mistake(ck, notify->where, "CosellNotify \"%s\": %s: %s", notify->target.name,
                       argv[0], strerror(errno));
    }
    else if (!S_ISREG(st.st_mode) || !(st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH))) {
        cosell_mistake(ck, notify->where, "CosellNotify \"%s\": %s is not an executable file",
                       notify->target.name, argv[0]);
    }
}

/* The directory itself is made at the start, its parent is not. */
void cosell_check_state_dir(cosell_check_t *ck, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *parent =
        slash > path ? apr_pstrmemdup(ck->ptemp, path, (apr_size_t)(slash - path)) : "/";
    struct stat st;

    if (ck->reloading) {
        return;
    }
    if (stat(parent, &st) != 0 && errno != EACCES) {
        cosell_mistake(ck, ck->conf->state_dir_where,
                       "CosellStateDir \"%s\": its parent %s: %s; make it, "
                       "the directory itself is made by the server",
                       path, parent, strerror(errno));
    }
    else if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) {
        cosell_mistake(ck, ck->conf->state_dir_where, "CosellStateDir \"%s\": not a directory",
                       path);
    }
}
