/* Simulators that a test program starts itself, and their control API. */
#ifndef CS_TESTS_UNIT_LIVE_H
#define CS_TESTS_UNIT_LIVE_H

#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "mod_cosell/base/json.h"
#include "mod_cosell/remote/http.h"

#define SEC APR_USEC_PER_SEC

typedef struct sim_t {
    pid_t pid;
    int in, out;
    const char *base, *token;
} sim_t;

static apr_pool_t *all; /* of this program */
static cs_http_t *control_http;

static inline const char *wait_line(int fd)
{
    static char buf[4096];
    size_t n = 0;
    struct pollfd pfd = {fd, POLLIN, 0};

    while (n < sizeof(buf) - 1 && poll(&pfd, 1, 60000) == 1 && read(fd, buf + n, 1) == 1) {
        if (buf[n++] == '\n') {
            buf[n] = '\0';
            return buf;
        }
    }
    return NULL;
}

/* args end with NULL. */
static inline int start_sim(sim_t *sim, const char *path, const char *const *args)
{
    int in[2], out[2];
    json_t *json = NULL;
    const char *line;

    if (access(path, X_OK) || pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) {
        fprintf(stderr, "cannot start %s\n", path);
        return -1;
    }
    sim->pid = fork();
    if (sim->pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        execv(path, (char *const *)args);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    sim->in = in[1];
    sim->out = out[0];
    line = wait_line(sim->out);
    if (!line || cs_json_parse(&json, line, strlen(line), NULL, all, NULL) != APR_SUCCESS) {
        fprintf(stderr, "%s did not start\n", path);
        return -1;
    }
    sim->base = apr_pstrdup(all, cs_json_str(json, "base"));
    sim->token = apr_pstrdup(all, cs_json_str(json, "token"));
    json_decref(json);
    return 0;
}

static inline void stop_sim(sim_t *sim)
{
    if (sim->pid > 0) {
        kill(sim->pid, SIGTERM);
        waitpid(sim->pid, NULL, 0);
        close(sim->in);
        close(sim->out);
    }
}

static inline cs_upstream_t upstream(const char *name, const char *base, apr_pool_t *p)
{
    cs_upstream_t up = {0};

    up.name = name;
    up.origins = apr_array_make(p, 1, sizeof(const char *));
    APR_ARRAY_PUSH(up.origins, const char *) = base;
    up.concurrency = 8;
    up.timeout = 20 * SEC;
    return up;
}

/* One request to the control API; the answer's JSON or NULL. */
static inline json_t *control_by(cs_http_t *http, const sim_t *sim, const char *method,
                                 const char *path, const char *body, apr_pool_t *p)
{
    cs_upstream_t up = upstream("control", sim->base, p);
    cs_limiter_t limiter = {0};
    cs_http_request_t request = {.method = method,
                                 .url = apr_pstrcat(p, sim->base, "/_sandbox/", path, NULL),
                                 .label = path};
    cs_http_response_t response;
    json_t *json = NULL;

    request.body = body;
    request.body_len = body ? strlen(body) : 0;
    assert_ok(cs_http_perform(http, &up, &limiter, &request, &response, 1, 0, p));
    if (response.outcome != CS_HTTP_ANSWERED || response.status != 200) {
        fail_msg("%s %s: %d %s %s", method, path, response.status,
                 response.error ? response.error : "", response.body);
    }
    assert_ok(cs_json_parse(&json, response.body, response.body_len,
                            &(cs_json_limits_t){4 << 20, 200000, 32}, p, NULL));
    return cs_json_own(json, p);
}

static inline json_t *control(const sim_t *sim, const char *method, const char *path,
                              const char *body, apr_pool_t *p)
{
    return control_by(control_http, sim, method, path, body, p);
}

static inline void fault(const sim_t *sim, const char *body, apr_pool_t *p)
{
    control(sim, "POST", "faults", body, p);
}

/* How many requests the simulator has seen on this path since the log was cleared. */
static inline int seen(const sim_t *sim, const char *method, const char *path, apr_pool_t *p)
{
    const json_t *list = control(
        sim, "GET", apr_psprintf(p, "requests?method=%s&path=%s", method, cs_http_escape(path, p)),
        NULL, p);

    return (int)json_array_size(list);
}

#endif
