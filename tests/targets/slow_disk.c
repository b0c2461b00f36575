/* Preloaded (LD_PRELOAD), it makes large writes as slow as a network disk of 50 MB/s, without using a CPU meanwhile. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/uio.h>
#include <unistd.h>

enum { LARGE_BYTES = 65536, BYTES_PER_US = 50 };

static void take_time(size_t bytes) {
    if (bytes >= LARGE_BYTES) usleep(bytes / BYTES_PER_US);
}

ssize_t write(int fd, const void *data, size_t bytes) {
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    take_time(bytes);
    return real(fd, data, bytes);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    ssize_t (*real)(int, const struct iovec *, int) = dlsym(RTLD_NEXT, "writev");
    size_t bytes = 0;
    for (int i = 0; i < count; i++) bytes += parts[i].iov_len;
    take_time(bytes);
    return real(fd, parts, count);
}
