/* record_net: writes down every address the processes of a server connect to or look up.
 *
 * COSELL_NET_LOG names the file; one line per call: "<pid> connect 127.0.0.1:443", "<pid> connect unix:/path",
 * "<pid> lookup <host> <service>".
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void record(const char *what, const char *first, const char *second)
{
    const char *path = getenv("COSELL_NET_LOG");
    char line[512];
    int saved = errno;
    int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666) : -1;

    if (fd >= 0) {
        int len = snprintf(line, sizeof(line), "%d %s %s%s%s\n", (int)getpid(), what, first, *second ? " " : "", second);

        if (len > (int)sizeof(line) - 1) {
            len = (int)sizeof(line) - 1;
        }
        if (write(fd, line, (size_t)len) != len) {
            abort();
        }
        close(fd);
    }
    errno = saved;
}

static void describe(char *buf, size_t size, const struct sockaddr *addr)
{
    char ip[INET6_ADDRSTRLEN];

    if (addr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)addr;

        snprintf(buf, size, "%s:%u", inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip)), ntohs(in->sin_port));
    }
    else if (addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)addr;

        snprintf(buf, size, "[%s]:%u", inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip)), ntohs(in6->sin6_port));
    }
    else if (addr->sa_family == AF_UNIX) {
        snprintf(buf, size, "unix:%.100s", ((const struct sockaddr_un *)addr)->sun_path);
    }
    else {
        snprintf(buf, size, "family:%d", addr->sa_family);
    }
}

int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    static int (*real)(int, const struct sockaddr *, socklen_t);
    char text[160];

    if (!real) {
        real = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect");
    }
    if (addr) {
        describe(text, sizeof(text), addr);
        record("connect", text, "");
    }
    return real(fd, addr, len);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res)
{
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

    if (!real) {
        real = (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");
    }
    record("lookup", node ? node : "-", service ? service : "");
    return real(node, service, hints, res);
}

struct hostent *gethostbyname(const char *name)
{
    static struct hostent *(*real)(const char *);

    if (!real) {
        real = (struct hostent *(*)(const char *))dlsym(RTLD_NEXT, "gethostbyname");
    }
    record("lookup", name, "");
    return real(name);
}
