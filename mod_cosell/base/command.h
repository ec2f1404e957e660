/* base/command.h: runs a program and waits for it: no shell, an environment of its own, text on its
 * standard input, a bounded part of what it says, a bounded time. */
#ifndef CS_BASE_COMMAND_H
#define CS_BASE_COMMAND_H

#include "result.h"

#define CS_COMMAND_ARGS 32
#define CS_COMMAND_SAID 400 /* bytes kept of what it says */

/* Words of a command line, separated by blanks; there is no quoting, for there is no shell. In p,
 * closed by NULL; NULL when there is none, or more than CS_COMMAND_ARGS. */
char *const *cs_command_split(const char *line, apr_pool_t *p);

/* argv[0] is looked for in PATH unless it has a slash. env: NULL-terminated "NAME=value"; nothing
 * else is inherited. in: written to its standard input, which is then closed. The program is the
 * leader of a process group, which is killed when `time` is over (cs_time_mono() scale). Any
 * thread; SIGPIPE must be ignored. APR_SUCCESS = it ended with 0; else res says how it ended, with
 * the first words of its standard output and error. */
apr_status_t cs_command_run(char *const *argv, char *const *env, const char *in, apr_size_t len,
                            apr_interval_time_t time, apr_pool_t *p, cs_result_t *res);

/* Ends the programs that run, and what they started: this process is about to end, and nobody else
 * would see to their time. May be called by a signal's handler. */
void cs_command_end_all(void);

#endif
