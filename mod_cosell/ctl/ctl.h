/* ctl/ctl.h: cosellctl, a client of the handler cosell-admin. (design 7.6)
 *
 * One thread. What the whole run needs lives in ctl_t.p; what a request needs in a pool of its
 * own. Results go to stdout, everything else (mistakes, progress) to stderr, so that --json leaves
 * one document on stdout. Text that came from the server is printed through ctl_clean() alone:
 * titles of deals are written by strangers, and a terminal obeys control characters.
 */
#ifndef CS_CTL_H
#define CS_CTL_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>
#include <jansson.h>

#include "../remote/http.h"

/* Exit codes. */
enum {
    CTL_DONE = 0,
    CTL_FAILED = 1,    /* the job failed, or doctor or map check found something */
    CTL_USAGE = 2,     /* the command line or the configuration */
    CTL_REFUSED = 3,   /* the server answered 4xx */
    CTL_AWAY = 4,      /* not reachable, or 503 */
    CTL_NOT_FOUND = 5, /* no such deal, job, brake */
    CTL_INTERRUPTED = 130
};

typedef struct ctl_t ctl_t;

/* ---- the table of verbs: usage, help, completion (options.c, verbs.c) ---- */

typedef struct ctl_option_t {
    const char *name;  /* "dry-run" */
    const char *value; /* "FILE": it takes one; NULL = it takes none */
    const char *text;  /* what it does */
    const char *words; /* what the value may be, for completion: "open closed"; NULL = anything */
    char letter;       /* 'f' = also -f; 0 = no */
    int global;        /* 1 = of every verb */
} ctl_option_t;

typedef struct ctl_verb_t {
    const char *name;    /* "deals link" */
    const char *args;    /* "DEAL RECORD", "[VERB]"; "" = none */
    const char *options; /* "state search cause max": its own */
    const char *text;    /* what it does, a line */
    const char *more;    /* what else one should know; NULL = nothing */
    int (*run)(ctl_t *c);
    int min, max; /* how many arguments */
    int offline;  /* 1 = asks no server */
} ctl_verb_t;

extern const ctl_verb_t ctl_verbs[];     /* closed by name NULL */
extern const ctl_option_t ctl_options[]; /* likewise */
const ctl_option_t *ctl_option_of(const char *name, apr_size_t len);
/* The one of exactly this name ("deals link"), or NULL. */
const ctl_verb_t *ctl_verb_of(const char *name);
/* 1 when the verb takes this option, global ones not counted. */
int ctl_verb_takes(const ctl_verb_t *verb, const char *option);
/* "deals link DEAL RECORD [--x Y]", in p. */
const char *ctl_usage_of(const ctl_verb_t *verb, apr_pool_t *p);

/* ---- a run ---- */

struct ctl_t {
    apr_pool_t *p;
    const ctl_verb_t *verb;
    apr_table_t *options;     /* name -> value, "" of a switch; the client's address is "client" */
    apr_array_header_t *args; /* const char * */
    int json;
    int tty;   /* stdout is a terminal */
    int color; /* and may be coloured */
    int width; /* of stdout's lines; 0 = not limited */
    int bar;   /* stderr is a terminal and may show progress */
    /* the client (config.c, client.c) */
    const char *url;   /* without query */
    const char *scope; /* "scope=all" or "" */
    const char *site;  /* NULL = whichever the host has */
    const char *basic; /* base64, wiped at the end; NULL = none */
    cs_upstream_t up;
    cs_http_t *http;
};

/* Fills verb, options and args. 0, or an exit code after having said why. Pure but for the
 * message. */
int ctl_parse(ctl_t *c, int argc, const char *const *argv);
/* NULL = not given. */
const char *ctl_opt(const ctl_t *c, const char *name);
const char *ctl_arg(const ctl_t *c, int at);

/* ---- what is said (say.c) ---- */

/* "cosellctl: ..." on stderr, wrapped; a progress bar is taken away first. */
void ctl_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A line on stderr. */
void ctl_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Onto stdout; ends the program when nobody reads it any more. */
void ctl_out(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void ctl_flush(void);
/* text between the escapes of a colour, if colours are on: 'r', 'g', 'y' and 'b' (bold). */
const char *ctl_paint(const ctl_t *c, char color, const char *text, apr_pool_t *p);

/* ---- text (text.c): pure ---- */

/* The next character of UTF-8 text and its length; what is no UTF-8 is U+FFFD of one byte. */
unsigned ctl_char(const char *text, int *plen);
/* Columns on a terminal. */
int ctl_width(const char *text);
/* One line, without control characters and broken UTF-8; NULL = "". */
const char *ctl_clean(const char *text, apr_pool_t *p);
/* At most width columns, "…" at the end of what was cut. */
const char *ctl_cut(const char *text, int width, apr_pool_t *p);
/* Filled up with blanks to width columns. */
const char *ctl_pad(const char *text, int width, apr_pool_t *p);
/* Lines of at most width columns, broken at blanks: const char *. width 0 = one line. */
apr_array_header_t *ctl_wrap(const char *text, int width, apr_pool_t *p);
/* "2026-11-23 03:40:12" of a document's time; "-" of none. */
const char *ctl_when(const json_t *time, apr_pool_t *p);
/* "3 min", "2 d" between then and now; NULL when it is no time. */
const char *ctl_since(const json_t *time, apr_time_t now, apr_pool_t *p);
/* "1 deal", "3 deals". */
const char *ctl_count(apr_int64_t n, const char *one, const char *many, apr_pool_t *p);
/* A value of a deal as people write it: "50000.00 USD", "yes", "(empty)". */
const char *ctl_value(const json_t *value, apr_pool_t *p);

/* ---- tables (table.c): pure ---- */

typedef struct ctl_table_t ctl_table_t;
/* heads: closed by NULL. */
ctl_table_t *ctl_table_make(const char *const *heads, apr_pool_t *p);
/* As many cells as heads; cleaned here; NULL = "". */
void ctl_table_row(ctl_table_t *table, ...);
/* Ready to print; cells are cut so that no line is wider than width (0 = not limited). "" without
 * a row. */
const char *ctl_table_text(const ctl_table_t *table, int width, apr_pool_t *p);

/* ---- configuration (config.c, netrc.c) ---- */

/* Address, site and credentials from options, environment and files. 0 or an exit code. */
int ctl_configure(ctl_t *c);
/* NULL, or why this is no address of a handler; *porigin and *phost in p. Pure. */
const char *ctl_url_wrong(const char *url, const char **phost, apr_pool_t *p);
/* Finds who signs in at host in the text of a netrc file: *plogin NULL = nobody. Returns NULL, or
 * what is wrong with the text. Pure; results in p. */
const char *ctl_netrc_find(const char *text, const char *host, const char **plogin,
                           const char **ppassword, apr_pool_t *p);

/* ---- asking (client.c) ---- */

typedef struct ctl_answer_t {
    int code;         /* CTL_DONE, or what the run ends with */
    int status;       /* of HTTP; 0 = there was no answer */
    const char *why;  /* code != 0: for people */
    const char *text; /* the document as it came */
    json_t *doc;      /* NULL when it is none; belongs to the pool */
} ctl_answer_t;

/* GET, or POST of a document. query: "jobs", "deal=12"; NULL = none. Says nothing. */
void ctl_ask(ctl_t *c, const char *query, const json_t *post, ctl_answer_t *answer, apr_pool_t *p);
/* GET that says what went wrong; returns the exit code. */
int ctl_get(ctl_t *c, const char *query, ctl_answer_t *answer, apr_pool_t *p);
/* Prints the document as it came. */
void ctl_print_json(const ctl_answer_t *answer);
/* "name=value" with the value escaped; prefix "" or "&". */
const char *ctl_parameter(const char *prefix, const char *name, const char *value, apr_pool_t *p);
/* The sites of a document that --site chooses: json_t *, borrowed; empty after having said that
 * there is none. */
apr_array_header_t *ctl_sites(ctl_t *c, const json_t *doc, apr_pool_t *p);
/* --json of a page about sites: the document as it came, unless --site names none of them. */
int ctl_print_sites(ctl_t *c, const ctl_answer_t *answer);
/* 1 when it is the whole server's, or of the site that --site chooses. */
int ctl_is_of_site(const ctl_t *c, const json_t *alert);

/* ---- jobs (job.c, progress.c) ---- */

typedef struct ctl_job_t {
    const char *id;
    json_t *doc;  /* the last answer, with all rows */
    json_t *job;  /* its "job" */
    json_t *rows; /* array */
} ctl_job_t;

/* {"do": verb}: members are added to it. In c->p. */
json_t *ctl_wish(ctl_t *c, const char *verb);
void ctl_wish_text(json_t *wish, const char *name, const char *value); /* NULL = not at all */
/* Asks for it and waits until it ended; says what hinders, and with people its result's text when
 * `tell`. The exit code. With --json it prints the document. */
int ctl_job_run(ctl_t *c, json_t *wish, int tell, ctl_job_t *job);
/* The same of one that is there. */
int ctl_job_follow(ctl_t *c, const char *id, int tell, ctl_job_t *job);
/* The exit code of a job that ended, after having said why it failed. */
int ctl_job_code(ctl_t *c, const ctl_job_t *job, int tell);
/* Called with progress whenever it changed; for what must be seen while it goes on. */
typedef void ctl_progress_fn(ctl_t *c, const json_t *progress);
void ctl_job_watch(ctl_progress_fn *fn);

/* What a bar shows, without the line's end. Pure. */
const char *ctl_bar_text(const json_t *progress, int width, apr_pool_t *p);
/* Lines for people ("say") are not printed: the verb shows them itself when it is over; nor, where
 * no bar is drawn, how far it is: both would stand amid what the verb prints. */
void ctl_progress_mute(void);
void ctl_progress_show(ctl_t *c, const json_t *progress);
void ctl_progress_clear(void); /* takes the bar away */
void ctl_progress_end(void);   /* and forgets what was shown */

/* ---- verbs ---- */

int ctl_run_login(ctl_t *c);
int ctl_run_doctor(ctl_t *c);
int ctl_run_webhook(ctl_t *c);
int ctl_run_status(ctl_t *c);
int ctl_run_deals(ctl_t *c);
int ctl_run_deal(ctl_t *c);
int ctl_run_show(ctl_t *c);
int ctl_run_journal(ctl_t *c);
int ctl_run_problems(ctl_t *c);
int ctl_run_dead_list(ctl_t *c);
int ctl_run_dead(ctl_t *c);
int ctl_run_resync(ctl_t *c);
int ctl_run_brief(ctl_t *c);
int ctl_run_jobs(ctl_t *c);
int ctl_run_job(ctl_t *c);
int ctl_run_map_check(ctl_t *c);
int ctl_run_completion(ctl_t *c);
int ctl_run_version(ctl_t *c);
int ctl_run_help(ctl_t *c);

/* The page of a deal by any of its ids; where several have it, that of the site that --site
 * chooses. Says nothing; answer->code as ctl_ask(). */
void ctl_ask_deal(ctl_t *c, const char *id, ctl_answer_t *answer, apr_pool_t *p);

/* Parts that several verbs show. */
const char *ctl_journal_line(const ctl_t *c, const json_t *line, apr_pool_t *p);
/* Checks that the overview alone answers, for doctor and for jobs that do not begin: calls fn with
 * state "ok", "warn" or "fail". */
typedef void ctl_check_fn(ctl_t *c, const char *state, const char *check, const char *text,
                          const char *fix);
void ctl_overview_checks(ctl_t *c, const json_t *overview, ctl_check_fn *fn, apr_pool_t *p);

#endif
