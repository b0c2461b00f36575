/* A stand-in for libnvidia-ml.so.1 whose answers a test writes into a text file.
 *
 * $GPUTUNE_FAKE_NVML names the file. Each line is "key value [calls]": the value holds from the call after `calls`
 * on, so "err_util 15 3" makes the fourth reading of the utilisation fail. The file is read at every call, so a
 * test may also rewrite it while the program runs. Keys are documented where they are used; err_NAME is the NVML
 * error code that a function answers with.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef int Result;
typedef size_t Device; /* card n is n; instance m of card n is n * 100 + m */
typedef unsigned long long u64;

enum { OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6 };
#define EXPORT __attribute__((visibility("default")))
#define CHECK(name) do { Result r_ = answer(name); if (r_) return r_; } while (0)

static int initialized;

static double value_after(const char *key, double otherwise, int calls) {
    const char *path = getenv("GPUTUNE_FAKE_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) return otherwise;
    char line[256], name[64];
    while (fgets(line, sizeof line, file)) {
        double value;
        int from = 0;
        if (sscanf(line, "%63s %lf %d", name, &value, &from) >= 2 && !strcmp(name, key) && calls >= from)
            otherwise = value;
    }
    fclose(file);
    return otherwise;
}

static double value(const char *key, double otherwise) { return value_after(key, otherwise, 1 << 30); }

/* How often each function was called, so that an error can start in the middle of a run. */
static int count_call(const char *name) {
    static struct { char name[32]; int calls; } table[64];
    for (int i = 0; i < 64; i++) {
        if (!table[i].name[0]) snprintf(table[i].name, sizeof table[i].name, "%s", name);
        if (!strcmp(table[i].name, name)) return table[i].calls++;
    }
    return 0;
}

static Result answer(const char *name) {
    char key[64];
    if (!initialized) return UNINITIALIZED;
    snprintf(key, sizeof key, "err_%s", name);
    return (Result)value_after(key, OK, count_call(name));
}

static u64 now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000000ull + t.tv_nsec / 1000;
}

static int cards(void) { return (int)value("count", 1); }
static int instances(void) { return (int)value("mig", 0); } /* MIG instances on card 1 */

EXPORT Result nvmlInit_v2(void) { initialized++; Result r = answer("init"); if (r) initialized--; return r; }
EXPORT Result nvmlInitWithFlags(unsigned flags) { (void)flags; return nvmlInit_v2(); }
EXPORT Result nvmlShutdown(void) { if (!initialized) return UNINITIALIZED; initialized--; return OK; }
EXPORT const char *nvmlErrorString(Result r) { (void)r; return "Stub error"; }
EXPORT Result nvmlSystemGetDriverVersion(char *s, unsigned n) { CHECK("driver"); snprintf(s, n, "580.00.stub"); return OK; }
EXPORT Result nvmlDeviceGetCount_v2(unsigned *n) { CHECK("count"); *n = cards(); return OK; }

EXPORT Result nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *device) {
    CHECK("handle");
    if (index >= (unsigned)cards()) return INVALID_ARGUMENT;
    *device = index + 1;
    return OK;
}

EXPORT Result nvmlDeviceGetUUID(Device device, char *text, unsigned size) {
    CHECK("uuid");
    if (device >= 100) snprintf(text, size, "MIG-stub-%zu", device % 100);
    else snprintf(text, size, "GPU-stub-%zu", device);
    return OK;
}

EXPORT Result nvmlDeviceGetHandleByUUID(const char *uuid, Device *device) {
    int number;
    CHECK("handle_by_uuid");
    if (sscanf(uuid, "GPU-stub-%d", &number) == 1 && number >= 1 && number <= cards()) *device = number;
    else if (sscanf(uuid, "MIG-stub-%d", &number) == 1 && number >= 1 && number <= instances()) *device = 100 + number;
    else return NOT_FOUND;
    return OK;
}

EXPORT Result nvmlDeviceGetName(Device device, char *text, unsigned size) {
    CHECK("name");
    snprintf(text, size, device >= 100 ? "Stub GPU MIG 1g.10gb" : "Stub GPU %zu", device);
    return OK;
}

/* MIG: unsupported where real drivers do not support it on instances. */
EXPORT Result nvmlDeviceGetMigMode(Device d, unsigned *now, unsigned *pending) { (void)d; CHECK("mig"); *now = *pending = instances() > 0; return OK; }
EXPORT Result nvmlDeviceGetMaxMigDeviceCount(Device d, unsigned *n) { (void)d; *n = 7; return OK; }
EXPORT Result nvmlDeviceGetMigDeviceHandleByIndex(Device d, unsigned i, Device *m) { if (i < 1 || i > (unsigned)instances()) return NOT_FOUND; *m = d * 100 + i; return OK; }
EXPORT Result nvmlDeviceIsMigDeviceHandle(Device d, unsigned *is) { CHECK("is_mig"); *is = d >= 100; return OK; }
EXPORT Result nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Device m, Device *d) { *d = m / 100; return OK; }
EXPORT Result nvmlDeviceGetGpuInstanceId(Device m, unsigned *id) { *id = 10 + m % 100; return OK; }

typedef struct { unsigned gpu, memory; } Utilization;
typedef struct { u64 total, free, used; } Memory;
typedef struct { unsigned version; u64 total, reserved, free, used; } MemoryV2;

EXPORT Result nvmlDeviceGetUtilizationRates(Device d, Utilization *u) {
    CHECK("util");
    if (d >= 100) return NOT_SUPPORTED;
    u->gpu = (unsigned)value("gpu", 42);
    u->memory = 17;
    return OK;
}

EXPORT Result nvmlDeviceGetMemoryInfo(Device d, Memory *m) {
    (void)d; CHECK("memory");
    m->total = 80ull << 30;
    m->used = ((u64)value("used_mib", 1024) + 500) << 20; /* the first version counts what the driver reserves */
    m->free = m->total - m->used;
    return OK;
}

EXPORT Result nvmlDeviceGetMemoryInfo_v2(Device d, MemoryV2 *m) {
    (void)d; CHECK("memory_v2");
    m->total = 80ull << 30;
    m->reserved = 500ull << 20;
    m->used = (u64)value("used_mib", 1024) << 20;
    m->free = m->total - m->used - m->reserved;
    return OK;
}

EXPORT Result nvmlDeviceGetPowerUsage(Device d, unsigned *mw) { (void)d; CHECK("power"); *mw = (unsigned)(value("power_w", 250) * 1000); return OK; }
EXPORT Result nvmlDeviceGetTotalEnergyConsumption(Device d, u64 *mj) { (void)d; CHECK("energy"); *mj = now_us() / 1000 * (u64)value("power_w", 250); return OK; }
EXPORT Result nvmlDeviceGetClockInfo(Device d, unsigned type, unsigned *mhz) { (void)d; CHECK("clock"); if (type != 1) return INVALID_ARGUMENT; *mhz = (unsigned)value("sm_mhz", 1410); return OK; }
EXPORT Result nvmlDeviceGetCurrentClocksEventReasons(Device d, u64 *bits) { (void)d; CHECK("event_reasons"); *bits = (u64)value("throttle", 0); return OK; }
EXPORT Result nvmlDeviceGetCurrentClocksThrottleReasons(Device d, u64 *bits) { (void)d; CHECK("throttle_reasons"); *bits = (u64)value("throttle", 0); return OK; }

typedef struct { unsigned field, scope; long long time_us, latency_us; unsigned type; Result result; union { unsigned u; u64 ull; } value; } FieldValue;

/* Traffic over the bus: pcie_rx and pcie_tx megabytes a second since the epoch began. */
EXPORT Result nvmlDeviceGetFieldValues(Device d, int count, FieldValue *fields) {
    (void)d; CHECK("fields");
    for (int i = 0; i < count; i++) {
        double rate = fields[i].field == 198 ? value("pcie_rx", 0) : value("pcie_tx", 0);
        fields[i].result = (Result)value("err_pcie", OK);
        fields[i].type = 3; /* unsigned long long */
        fields[i].value.ull = (u64)(rate * (now_us() % 1000000000000ull));
    }
    return OK;
}

typedef struct { u64 time_us; union { double d; unsigned u; u64 ull; } value; } Sample;

/* The driver's ring of utilisation samples: one every `period_us`, as old as `history` of them, `sample` percent. */
EXPORT Result nvmlDeviceGetSamples(Device d, unsigned type, u64 after_us, unsigned *value_type, unsigned *count, Sample *samples) {
    CHECK("samples");
    if (d >= 100 || type != 1) return NOT_SUPPORTED;
    unsigned room = (unsigned)value("history", 100), used = 0;
    *value_type = 1; /* unsigned int */
    if (!samples) { *count = room; return OK; }
    u64 period = (u64)value("period_us", 20000), now = now_us(), shift = (u64)value("clock_shift_us", 0);
    for (unsigned age = room; age-- > 0 && used < *count;) {
        u64 at = (now / period - age) * period + shift;
        if (at <= after_us) continue;
        samples[used].time_us = at;
        samples[used].value.ull = ~0ull; /* a reader of the wrong field sees nonsense */
        samples[used++].value.u = (unsigned)value("sample", 63);
    }
    *count = used;
    return used ? OK : NOT_FOUND;
}

typedef struct { unsigned version, supported; } GpmSupport;
typedef struct { u64 time_us; unsigned instance; } GpmSample;
typedef struct { unsigned id; Result result; double value; char *short_name, *long_name, *unit; } GpmMetric;
typedef struct { unsigned version, count; GpmSample *first, *second; GpmMetric metrics[1]; } GpmRequest;

EXPORT Result nvmlGpmQueryDeviceSupport(Device d, GpmSupport *s) { (void)d; CHECK("gpm_support"); s->supported = (unsigned)value("gpm", 1); return OK; }
EXPORT Result nvmlGpmSampleAlloc(GpmSample **s) { CHECK("gpm_alloc"); *s = calloc(1, sizeof **s); return OK; }
EXPORT Result nvmlGpmSampleFree(GpmSample *s) { free(s); return OK; }
EXPORT Result nvmlGpmSampleGet(Device d, GpmSample *s) { CHECK("gpm_sample"); if (d >= 100) return INVALID_ARGUMENT; s->time_us = now_us(); s->instance = 0; return OK; }
EXPORT Result nvmlGpmMigSampleGet(Device d, unsigned instance, GpmSample *s) { CHECK("gpm_sample"); if (d >= 100) return INVALID_ARGUMENT; s->time_us = now_us(); s->instance = instance; return OK; }

/* gpm_2 is the share of SMs (a MIG instance adds its id), gpm_10 the memory bandwidth; as on the chip, samples closer than 0.1 s or in the
 * wrong order, or one that was never taken, give nonsense. */
EXPORT Result nvmlGpmMetricsGet(GpmRequest *request) {
    CHECK("gpm_metrics");
    for (unsigned i = 0; i < request->count; i++) {
        GpmMetric *metric = &request->metrics[i];
        char key[32];
        snprintf(key, sizeof key, "err_gpm_%u", metric->id);
        metric->result = (Result)value(key, OK);
        snprintf(key, sizeof key, "gpm_%u", metric->id);
        metric->value = value(key, 33.0) + request->second->instance;
        u64 first = request->first->time_us;
        if (!first || request->second->time_us < first + 90000) metric->value = -1.0;
    }
    return OK;
}
