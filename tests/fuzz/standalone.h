/* The main of a fuzz target that was not built with libFuzzer: replays files and, when asked, mutates them blindly.
 *
 *   fuzz_x [--seconds N] [--seed N] FILE-OR-DIRECTORY ...
 *
 * With the same seed and corpus the same inputs follow. The input that was running is in <name>.last of the working directory's build/ when the
 * process dies, so that a crash can be repeated.
 */
#ifndef CS_TESTS_FUZZ_STANDALONE_H
#define CS_TESTS_FUZZ_STANDALONE_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FUZZ_SIZE_MAX (256 * 1024)
#define FUZZ_FILES_MAX 4096

typedef struct fuzz_input_t {
    uint8_t *data;
    size_t size;
} fuzz_input_t;

static fuzz_input_t fuzz_corpus[FUZZ_FILES_MAX];
static size_t fuzz_count;
static uint64_t fuzz_state;
static uint8_t *fuzz_last; /* mapped file: survives the death of the process */

static uint64_t fuzz_random(uint64_t below)
{
    fuzz_state ^= fuzz_state << 13;
    fuzz_state ^= fuzz_state >> 7;
    fuzz_state ^= fuzz_state << 17;
    return below ? fuzz_state % below : 0;
}

/* From memory of exactly this size, so that a sanitizer sees an overread by one byte. */
static void fuzz_one(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    if (!copy) {
        abort();
    }
    memcpy(copy, data, size);
    if (fuzz_last) {
        memcpy(fuzz_last, &size, sizeof(size));
        memcpy(fuzz_last + sizeof(size), data, size);
    }
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void fuzz_add(const char *path)
{
    fuzz_input_t *in = &fuzz_corpus[fuzz_count];
    struct dirent *entry;
    char child[4096];
    DIR *dir = opendir(path);
    FILE *f;

    if (dir) {
        while ((entry = readdir(dir))) {
            if (entry->d_name[0] != '.') {
                snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
                fuzz_add(child);
            }
        }
        closedir(dir);
        return;
    }
    f = fopen(path, "rb");
    if (!f || fuzz_count == FUZZ_FILES_MAX) {
        fprintf(stderr, "could not read \"%s\"\n", path);
        exit(2);
    }
    in->data = malloc(FUZZ_SIZE_MAX);
    in->size = in->data ? fread(in->data, 1, FUZZ_SIZE_MAX, f) : 0;
    fclose(f);
    fuzz_count++;
}

static size_t fuzz_mutate(uint8_t *to, const fuzz_input_t *from)
{
    static const char words[] = "{}[]\",:\\0123456789.eE+-tfn \n\r\t/=~\xff\xc3\x80";
    size_t size = from->size, at, n;
    int rounds = 1 + (int)fuzz_random(8);

    memcpy(to, from->data, size);
    while (rounds-- > 0) {
        at = fuzz_random(size + 1);
        switch (fuzz_random(5)) {
        case 0:
            if (at < size) {
                to[at] ^= (uint8_t)(1u << fuzz_random(8));
            }
            break;
        case 1:
            if (at < size) {
                to[at] = (uint8_t)words[fuzz_random(sizeof(words))];
            }
            break;
        case 2:
            n = fuzz_random(size - at + 1);
            memmove(to + at, to + at + n, size - at - n);
            size -= n;
            break;
        case 3:
            n = 1 + fuzz_random(16);
            if (size + n <= FUZZ_SIZE_MAX) {
                memmove(to + at + n, to + at, size - at);
                memset(to + at, words[fuzz_random(sizeof(words))], n);
                size += n;
            }
            break;
        default:
            n = fuzz_random(size - at + 1);
            if (n && size + n <= FUZZ_SIZE_MAX) {
                memmove(to + at + n, to + at, size - at);
                size += n;
            }
        }
    }
    return size;
}

static void fuzz_keep_last(const char *argv0)
{
    const char *name = strrchr(argv0, '/');
    char path[4096];
    void *map;
    int fd;

    mkdir("build", 0777);
    snprintf(path, sizeof(path), "build/%s.last", name ? name + 1 : argv0);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0 || ftruncate(fd, FUZZ_SIZE_MAX + sizeof(size_t))) {
        perror(path);
        exit(2);
    }
    map = mmap(NULL, FUZZ_SIZE_MAX + sizeof(size_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    fuzz_last = map == MAP_FAILED ? NULL : map;
}

int main(int argc, char **argv)
{
    static uint8_t mutated[FUZZ_SIZE_MAX];
    unsigned long runs = 0;
    long seconds = 0;
    time_t end;
    size_t i;
    int a;

    fuzz_state = (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;
    for (a = 1; a < argc; a++) {
        if (!strcmp(argv[a], "--seconds") && a + 1 < argc) {
            seconds = strtol(argv[++a], NULL, 10);
        }
        else if (!strcmp(argv[a], "--seed") && a + 1 < argc) {
            fuzz_state = strtoull(argv[++a], NULL, 10);
        }
        else {
            fuzz_add(argv[a]);
        }
    }
    if (!fuzz_count) {
        fprintf(stderr, "no corpus: name at least one file or directory\n");
        return 2;
    }
    fuzz_state = fuzz_state ? fuzz_state : 1;
    printf("seed %llu, %zu inputs\n", (unsigned long long)fuzz_state, fuzz_count);
    fflush(stdout);
    fuzz_keep_last(argv[0]);
    for (i = 0; i < fuzz_count; i++) {
        fuzz_one(fuzz_corpus[i].data, fuzz_corpus[i].size);
    }
    for (end = time(NULL) + seconds; seconds > 0 && time(NULL) < end; runs++) {
        fuzz_one(mutated, fuzz_mutate(mutated, &fuzz_corpus[fuzz_random(fuzz_count)]));
    }
    for (i = 0; i < fuzz_count; i++) {
        free(fuzz_corpus[i].data);
    }
    printf("%zu replayed, %lu mutated, no fault\n", fuzz_count, runs);
    return 0;
}

#endif
#endif
