/* curl_loop: the least a client can do: makes a list of requests with libcurl's multi interface and nothing else.
 *
 * curl_loop FILE SOCKETS... : the file has one request per line, fields separated by tabs:
 *   group method url bearer headers body
 * group is 0..7; headers are separated by "\x1f"; body is taken as it is, "" = none. Requests start in the order of the file, at most as many at once per group as the
 * numbers after FILE say. Prints one JSON line.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GROUPS 8
#define FIELDS 6

typedef struct {
    int group;
    CURL *easy;
    struct curl_slist *headers;
    const char *method, *url, *body;
} job_t;

static long statuses[6];
static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static size_t swallow(char *data, size_t size, size_t n, void *baton)
{
    (void)data;
    (void)baton;
    return size * n;
}

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *text;
    long size;

    if (!file || fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0) {
        perror(path);
        exit(2);
    }
    rewind(file);
    text = malloc((size_t)size + 1);
    if (!text || fread(text, 1, (size_t)size, file) != (size_t)size) {
        perror(path);
        exit(2);
    }
    text[size] = '\0';
    fclose(file);
    return text;
}

static void parse(job_t *job, char *line)
{
    char *field[FIELDS], *header;
    int i;

    for (i = 0; i < FIELDS; i++) {
        field[i] = line;
        line = i < FIELDS - 1 ? strchr(line, '\t') : NULL;
        if (!line && i < FIELDS - 1) {
            fprintf(stderr, "a line has fewer than %d fields\n", FIELDS);
            exit(2);
        }
        if (line) {
            *line++ = '\0';
        }
    }
    memset(job, 0, sizeof(*job));
    job->group = atoi(field[0]);
    job->method = field[1];
    job->url = field[2];
    job->body = field[5];
    if (job->group < 0 || job->group >= GROUPS) {
        fprintf(stderr, "group %s is not 0 to %d\n", field[0], GROUPS - 1);
        exit(2);
    }
    if (*field[3]) {
        size_t size = strlen(field[3]) + 32;
        char *bearer = malloc(size);

        snprintf(bearer, size, "Authorization: Bearer %s", field[3]);
        job->headers = curl_slist_append(job->headers, bearer);
        free(bearer);
    }
    for (header = strtok(field[4], "\x1f"); header; header = strtok(NULL, "\x1f")) {
        job->headers = curl_slist_append(job->headers, header);
    }
}

static void start(job_t *job, CURL *easy, CURLM *multi)
{
    curl_easy_reset(easy);
    curl_easy_setopt(easy, CURLOPT_URL, job->url);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, job->method);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, job->headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, swallow);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, job);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    if (*job->body) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, job->body);
    }
    job->easy = easy;
    curl_multi_add_handle(multi, easy);
}

int main(int argc, char **argv)
{
    int limit[GROUPS] = { 0 }, used[GROUPS] = { 0 };
    size_t count = 0, next = 0, finished = 0, i, slots = 0, nfree = 0;
    char *text, *line;
    job_t *jobs;
    CURL **idle;
    CURLM *multi;
    double begun;

    if (argc < 3 || argc > 2 + GROUPS) {
        fprintf(stderr, "usage: curl_loop FILE CONCURRENCY...\n");
        return 2;
    }
    for (i = 0; i + 2 < (size_t)argc; i++) {
        limit[i] = atoi(argv[i + 2]);
        slots += (size_t)limit[i];
    }
    text = read_file(argv[1]);
    for (line = text; *line; line++) {
        count += *line == '\n';
    }
    jobs = calloc(count, sizeof(*jobs));
    idle = calloc(slots, sizeof(*idle));
    for (i = 0, line = text; i < count; i++) {
        char *end = strchr(line, '\n');

        *end = '\0';
        parse(&jobs[i], line);
        line = end + 1;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    multi = curl_multi_init();
    for (nfree = 0; nfree < slots; nfree++) {
        idle[nfree] = curl_easy_init();
    }
    begun = now();
    while (finished < count) {
        CURLMsg *message;
        int running, left;

        while (next < count && nfree && used[jobs[next].group] < limit[jobs[next].group]) {
            used[jobs[next].group]++;
            start(&jobs[next], idle[--nfree], multi);
            next++;
        }
        curl_multi_perform(multi, &running);
        while ((message = curl_multi_info_read(multi, &left))) {
            job_t *job = NULL;
            long status = 0;

            if (message->msg != CURLMSG_DONE) {
                continue;
            }
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &job);
            curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
            statuses[message->data.result == CURLE_OK && status / 100 < 6 ? status / 100 : 0]++;
            curl_multi_remove_handle(multi, job->easy);
            idle[nfree++] = job->easy;
            used[job->group]--;
            finished++;
        }
        if (finished < count && running) {
            curl_multi_poll(multi, NULL, 0, 1000, NULL);
        }
    }
    printf("{\"requests\":%zu,\"seconds\":%.6f,\"failed\":%ld,\"2xx\":%ld,\"3xx\":%ld,\"4xx\":%ld,\"5xx\":%ld}\n", count, now() - begun,
           statuses[0] + statuses[1], statuses[2], statuses[3], statuses[4], statuses[5]);
    return 0;
}
