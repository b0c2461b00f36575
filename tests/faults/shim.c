/* Preloaded into a campaign: steps the wall clock, or makes fsync slow, once a file named by the environment exists.
 *
 * SHIM_STEP_FILE, SHIM_STEP_S: from the moment the file exists CLOCK_REALTIME is off by so many seconds.
 * SHIM_FSYNC_S: every fsync takes so much longer, so that a test can hit the moment of saving.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long step_s(void) {
    const char *file = getenv("SHIM_STEP_FILE"), *seconds = getenv("SHIM_STEP_S");
    return file && seconds && access(file, F_OK) == 0 ? atol(seconds) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, at);
    if (!result && clock == CLOCK_REALTIME) at->tv_sec += step_s();
    return result;
}

int gettimeofday(struct timeval *at, void *zone) {
    static int (*real)(struct timeval *, void *);
    if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
    int result = real(at, zone);
    if (!result) at->tv_sec += step_s();
    return result;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

int fsync(int descriptor) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    const char *seconds = getenv("SHIM_FSYNC_S");
    if (seconds) {
        struct timespec pause = {atol(seconds), 0}, left;
        while (nanosleep(&pause, &left)) pause = left; /* a signal must not cut it short */
    }
    return real(descriptor);
}
