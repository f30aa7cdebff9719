/* Loaded into every process under test (LD_PRELOAD): names are not resolved and nothing beyond loopback is connected to
   or sent to; each attempt is a line in the file that NETWORK_GUARD_LOG names. So no packet leaves the machine. */
#define _GNU_SOURCE
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
#include <unistd.h>

extern char *program_invocation_short_name;

static void note(const char *what, const char *whom) {
    const char *path = getenv("NETWORK_GUARD_LOG");
    char line[512];
    int length = snprintf(line, sizeof line, "%s %s by %s (%d)\n", what, whom, program_invocation_short_name, getpid());
    int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (length > (int)sizeof line - 1) length = sizeof line - 1;
    if (file >= 0) {
        if (write(file, line, length) != length) abort();
        close(file);
    }
}

/* Whether a packet to it would stay here; else it is noted. */
static int is_local(const char *what, const struct sockaddr *address) {
    char text[INET6_ADDRSTRLEN + 8] = "?";
    if (address == NULL) return 1;
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)address;
        if ((ntohl(four->sin_addr.s_addr) >> 24) == 127 || four->sin_addr.s_addr == 0) return 1;
        inet_ntop(AF_INET, &four->sin_addr, text, sizeof text);
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
        const unsigned char *bytes = six->sin6_addr.s6_addr;
        if (IN6_IS_ADDR_LOOPBACK(&six->sin6_addr) || IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr)) return 1;
        if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr) && bytes[12] == 127) return 1;
        inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof text);
    } else {
        return 1; /* of this machine, as AF_UNIX is */
    }
    note(what, text);
    errno = ENETUNREACH;
    return 0;
}

int connect(int descriptor, const struct sockaddr *address, socklen_t length) {
    int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
    return is_local("connect", address) ? real(descriptor, address, length) : -1;
}

ssize_t sendto(int descriptor, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
    ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "sendto");
    return is_local("sendto", to) ? real(descriptor, data, size, flags, to, length) : -1;
}

ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags) {
    ssize_t (*real)(int, const struct msghdr *, int) = dlsym(RTLD_NEXT, "sendmsg");
    return is_local("sendmsg", message->msg_name) ? real(descriptor, message, flags) : -1;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
    char own[256] = "";
    unsigned char address[16];
    gethostname(own, sizeof own - 1);
    if (node == NULL || *node == 0 || !strcmp(node, "localhost") || !strcmp(node, own) ||
        inet_pton(AF_INET, node, address) == 1 || inet_pton(AF_INET6, node, address) == 1)
        return real(node, service, hints, found);
    note("resolve", node);
    return EAI_NONAME;
}

struct hostent *gethostbyname(const char *node) {
    struct hostent *(*real)(const char *) = dlsym(RTLD_NEXT, "gethostbyname");
    char own[256] = "";
    unsigned char address[4];
    gethostname(own, sizeof own - 1);
    if (!strcmp(node, "localhost") || !strcmp(node, own) || inet_pton(AF_INET, node, address) == 1) return real(node);
    note("resolve", node);
    h_errno = HOST_NOT_FOUND;
    return NULL;
}
