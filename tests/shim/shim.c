/* A disk that fails and a clock that jumps, for a program that knows nothing of it.
 *
 * Preloaded into the processes of a test, this library stands in front of some functions of the C library. What it does
 * there is in a control file, named by COPYDESK_SHIM and looked at before every call, so that a test can change faults
 * while the processes run. One rule a line:
 *
 *     ROLE FAULT PATH NUMBER
 *
 * ROLE is a word that the process's command line has to contain: frontend, backend, worker, saver. PATH is a part of the
 * path of the files that are meant, or `-`. NUMBER is what the fault below makes of it. Counts are of one process, and
 * begin again when the control file is replaced.
 *
 *     sync-error         every sync of such a file fails with EIO, from the NUMBERth on; and what was written since the
 *                        last sync that succeeded is gone, as pages are that a kernel could not write
 *     room               NUMBER bytes more can be written to such files: then a write is cut short, then comes ENOSPC
 *     short-write        one write writes NUMBER bytes at most
 *     free-bytes         statvfs tells that NUMBER bytes are free
 *     clock              the wall clock is NUMBER seconds ahead (or behind); monotonic clocks are not
 *     kill-before-sync, kill-after-sync, kill-before-unlink, kill-after-unlink
 *                        SIGKILL of the own process at the NUMBERth such call
 *
 * No lock is taken and no memory allocated anywhere, because write() is called in signal handlers, too.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define RULES 16
#define VERSIONS 512 /* A control file that is replaced more often overwrites the oldest rules, which nobody reads. */

struct rule {
    char fault[32];
    char path[128];
    long number;
    long count; /* Calls so far, or bytes. */
    long synced_file, synced_size; /* Inode and size of the file of the last sync that succeeded. */
};

struct rules {
    int length;
    struct rule rule[RULES];
};

static struct rules versions[VERSIONS];
static struct rules *current = &versions[0];
static long loaded_from, loaded_at; /* Inode and time of change, in nanoseconds, of the file that `current` is. */
static int next_version = 1;
static int is_loading;
static char command_line[4096];

/* The function that the program would call without this library. */
#define REAL(name)                                                                                                     \
    static __typeof__(&name) real;                                                                                     \
    if (!real)                                                                                                         \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static ssize_t read_file(const char *path, char *buffer, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t length = read(fd, buffer, size - 1);
    close(fd);
    buffer[length < 0 ? 0 : length] = 0;
    return length;
}

/* Whether one of the command line's words is this one. */
static int obeys(const char *role) {
    if (!command_line[0]) {
        ssize_t length = read_file("/proc/self/cmdline", command_line, sizeof command_line - 1);
        if (length < 0)
            length = 0;
        command_line[length] = command_line[length + 1] = 0;
    }
    for (const char *word = command_line; *word; word += strlen(word) + 1)
        if (!strcmp(word, role))
            return 1;
    return 0;
}

static void parse(struct rules *rules, char *text) {
    rules->length = 0;
    for (char *rest, *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        struct rule *rule = &rules->rule[rules->length];
        char role[32];
        memset(rule, 0, sizeof *rule);
        int fields = sscanf(line, "%31s %31s %127s %ld", role, rule->fault, rule->path, &rule->number);
        if (fields == 4 && rules->length < RULES && obeys(role))
            rules->length++;
    }
}

/* The rules as they are now. Tests replace the control file as a whole, so that it is never seen half written. */
static struct rules *rules_now(void) {
    static const char *control;
    struct stat now;
    if (!control && !(control = getenv("COPYDESK_SHIM")))
        control = "";
    int own_errno = errno;
    if (*control && !stat(control, &now)) {
        long changed = now.st_mtim.tv_sec * 1000000000L + now.st_mtim.tv_nsec;
        if ((changed != loaded_at || (long)now.st_ino != loaded_from) &&
            !__atomic_test_and_set(&is_loading, __ATOMIC_ACQUIRE)) {
            char text[4096];
            struct rules *fresh = &versions[next_version++ % VERSIONS];
            if (read_file(control, text, sizeof text) >= 0) {
                parse(fresh, text);
                loaded_at = changed, loaded_from = now.st_ino;
                __atomic_store_n(&current, fresh, __ATOMIC_RELEASE);
            }
            __atomic_clear(&is_loading, __ATOMIC_RELEASE);
        }
    }
    errno = own_errno;
    return __atomic_load_n(&current, __ATOMIC_ACQUIRE);
}

/* The rule for such a fault on a file, given by its path or by its descriptor. */
static struct rule *find(const char *fault, const char *path, int fd) {
    struct rules *rules = rules_now();
    for (int i = 0; i < rules->length; i++) {
        struct rule *rule = &rules->rule[i];
        char link[64], own_path[PATH_MAX] = "";
        if (strcmp(rule->fault, fault))
            continue;
        if (!strcmp(rule->path, "-"))
            return rule;
        if (!path) {
            int own_errno = errno;
            snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
            ssize_t length = readlink(link, own_path, sizeof own_path - 1);
            own_path[length < 0 ? 0 : length] = 0;
            errno = own_errno;
        }
        if (strstr(path ? path : own_path, rule->path))
            return rule;
    }
    return NULL;
}

/* Counts a call, and ends the process if it is the one. */
static void kill_at(const char *fault, const char *path, int fd) {
    struct rule *rule = find(fault, path, fd);
    if (rule && __atomic_add_fetch(&rule->count, 1, __ATOMIC_RELAXED) == rule->number)
        kill(getpid(), SIGKILL);
}

static int sync_fails(int fd) {
    struct rule *rule = find("sync-error", NULL, fd);
    struct stat file;
    if (!rule || fstat(fd, &file))
        return 0;
    if (__atomic_add_fetch(&rule->count, 1, __ATOMIC_RELAXED) < rule->number) {
        rule->synced_file = file.st_ino, rule->synced_size = file.st_size;
        return 0;
    }
    if (rule->synced_file == (long)file.st_ino && ftruncate(fd, rule->synced_size))
        abort();
    return 1;
}

#define SYNC(name)                                                                                                     \
    EXPORT int name(int fd) {                                                                                          \
        REAL(name);                                                                                                    \
        kill_at("kill-before-sync", NULL, fd);                                                                         \
        if (sync_fails(fd)) {                                                                                          \
            errno = EIO;                                                                                               \
            return -1;                                                                                                 \
        }                                                                                                              \
        int result = real(fd);                                                                                         \
        kill_at("kill-after-sync", NULL, fd);                                                                          \
        return result;                                                                                                 \
    }

SYNC(fsync)
SYNC(fdatasync)

/* How many of some bytes may be written; -1 for none. */
static ssize_t allowed(int fd, size_t size) {
    struct rule *rule = find("short-write", NULL, fd);
    if (rule && size > (size_t)rule->number)
        size = rule->number;
    if (!size || !(rule = find("room", NULL, fd)))
        return size;
    long before = __atomic_fetch_add(&rule->count, size, __ATOMIC_RELAXED);
    long left = rule->number - before;
    if (left >= (long)size)
        return size;
    /* What does not fit was not written: the rest of the room is still there, or none. */
    __atomic_store_n(&rule->count, rule->number, __ATOMIC_RELAXED);
    if (left > 0)
        return left;
    errno = ENOSPC;
    return -1;
}

#define WRITE(name, signature, ...)                                                                                    \
    EXPORT ssize_t name signature {                                                                                    \
        REAL(name);                                                                                                    \
        ssize_t size = allowed(fd, length);                                                                            \
        return size < 0 ? -1 : real(fd, bytes, (size_t)size __VA_OPT__(, ) __VA_ARGS__);                               \
    }

WRITE(write, (int fd, const void *bytes, size_t length))
WRITE(pwrite, (int fd, const void *bytes, size_t length, off_t at), at)
WRITE(pwrite64, (int fd, const void *bytes, size_t length, off64_t at), at)

/* Several parts: those that fit, and if the first does not, as much of it as does. */
static int fitting(const struct iovec *parts, int count, size_t size, struct iovec *cut) {
    size_t total = 0;
    int whole = 0;
    while (whole < count && total + parts[whole].iov_len <= size)
        total += parts[whole++].iov_len;
    *cut = (struct iovec){whole < count ? parts[whole].iov_base : NULL, size - total};
    return whole;
}

static size_t total_of(const struct iovec *parts, int count) {
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += parts[i].iov_len;
    return total;
}

#define WRITEV(name, signature, ...)                                                                                   \
    EXPORT ssize_t name signature {                                                                                    \
        REAL(name);                                                                                                    \
        struct iovec cut;                                                                                              \
        ssize_t size = allowed(fd, total_of(parts, count));                                                            \
        if (size < 0)                                                                                                  \
            return -1;                                                                                                 \
        int whole = fitting(parts, count, size, &cut);                                                                 \
        const struct iovec *taken = whole ? parts : &cut;                                                              \
        return real(fd, taken, whole || !count ? whole : 1 __VA_OPT__(, ) __VA_ARGS__);                                \
    }

WRITEV(writev, (int fd, const struct iovec *parts, int count))
WRITEV(pwritev, (int fd, const struct iovec *parts, int count, off_t at), at)

EXPORT int unlink(const char *path) {
    REAL(unlink);
    kill_at("kill-before-unlink", path, -1);
    int result = real(path);
    kill_at("kill-after-unlink", path, -1);
    return result;
}

#define STATVFS(name)                                                                                                  \
    EXPORT int name(const char *path, struct name *stat) {                                                             \
        REAL(name);                                                                                                    \
        int result = real(path, stat);                                                                                 \
        struct rule *rule = result ? NULL : find("free-bytes", path, -1);                                              \
        if (rule)                                                                                                      \
            stat->f_bavail = stat->f_bfree = rule->number / (long)stat->f_frsize;                                      \
        return result;                                                                                                 \
    }

STATVFS(statvfs)
STATVFS(statvfs64)

static long shift(void) {
    struct rule *rule = find("clock", "", -1);
    return rule ? rule->number : 0;
}

EXPORT int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(clock_gettime);
    int result = real(clock, now);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += shift();
    return result;
}

EXPORT int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    REAL(gettimeofday);
    int result = real(now, zone);
    if (!result)
        now->tv_sec += shift();
    return result;
}

EXPORT time_t time(time_t *now) {
    REAL(time);
    time_t shifted = real(NULL) + shift();
    if (now)
        *now = shifted;
    return shifted;
}
