/* httpd/config_value.h: the words behind a directive: config.c says which it takes, config_value.c
 * what each of them may be. Nobody else includes it. */
#ifndef COSELL_CONFIG_VALUE_H
#define COSELL_CONFIG_VALUE_H

#include "mod_cosell.h"

/* Stores what a word means into *field. NULL, or what is allowed there. What is stored lives as
 * long as the word. */
typedef const char *cosell_value_fn(cmd_parms *cmd, void *field, const char *value);

cosell_value_fn cosell_take_id;          /* const char *: letters, digits, "._-" */
cosell_value_fn cosell_take_guid;        /* const char * */
cosell_value_fn cosell_take_text;        /* const char *: "off" = "" */
cosell_value_fn cosell_take_texts;       /* apr_array_header_t * of const char *: one more */
cosell_value_fn cosell_take_file;        /* const char *: an absolute path */
cosell_value_fn cosell_take_secret;      /* cs_secret_t *: where it is, not itself */
cosell_value_fn cosell_take_url;         /* const char *, without the slashes at its end */
cosell_value_fn cosell_take_cert_url;    /* as texts: a URL, or a pattern with one '*' */
cosell_value_fn cosell_take_proxy;       /* const char *: "http://host:port" */
cosell_value_fn cosell_take_revocation;  /* const char *: a path; NULL = off */
cosell_value_fn cosell_take_rate;        /* double: requests per second */
cosell_value_fn cosell_take_concurrency; /* int */
cosell_value_fn cosell_take_reserve;     /* int: percent */
cosell_value_fn cosell_take_timeout;     /* apr_interval_time_t */
cosell_value_fn cosell_take_retention;   /* apr_interval_time_t */

/* 1 when text is a name of at most max characters: of letters, digits and "._-", the first of them
 * a letter or digit. */
int cosell_is_name(const char *text, apr_size_t max);
/* 1 when the whole value is a number, or a time, of low..high; anything may be stored else. */
int cosell_take_whole(int *pnumber, const char *value, int low, int high);
int cosell_take_span(apr_interval_time_t *ptime, const char *value, apr_interval_time_t low,
                     apr_interval_time_t high);

/* ---- key=value ---- */

/* SECRET: the word is never repeated in a message. */
enum { OPTIONAL = 0, REQUIRED = 1, MANY = 2, SECRET = 4 };

/* A key, how its value is read, and where in the target it goes. Lists end with key NULL. */
typedef struct cosell_option_t {
    const char *key;
    cosell_value_fn *take;
    apr_size_t offset;
    int flags;
} cosell_option_t;

/* All words of a directive into target. NULL, or what is wrong: an unknown key, a value, a key
 * given twice that is not MANY, a REQUIRED one missing. */
const char *cosell_take_options(cmd_parms *cmd, const cosell_option_t *options, void *target,
                                int argc, char *const argv[]);

#endif
