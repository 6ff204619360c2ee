/* Makes fsync slow, or lets calls on a file fail, for the process that loads it with LD_PRELOAD.
   See slow_disk.py. Only files whose path begins with what `disk_watch` was given are touched. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static char watched[PATH_MAX];
static atomic_int sync_milliseconds, failing_writes, failing_syncs, syncs;
#define THREADS 65536
static atomic_llong waited[THREADS]; /* nanoseconds in slow fsyncs, by the thread's number */

void disk_watch(const char *path) { snprintf(watched, sizeof watched, "%s", path); }
void disk_slow(int milliseconds) { sync_milliseconds = milliseconds; }
void disk_fail_writes(int error) { failing_writes = error; }
void disk_fail_syncs(int times) { failing_syncs = times; }
int disk_syncs(void) { return syncs; }
long long disk_waited(int thread) { return waited[thread % THREADS]; }

/* What is watched is a path without its suffix: `exactly` leaves the log out. */
static int is_watched(int fd, int exactly)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = watched[0] ? readlink(link, path, sizeof path - 1) : -1;
    if (length < 0)
        return 0;
    path[length] = 0;
    return exactly ? strcmp(path, watched) == 0 : strncmp(path, watched, strlen(watched)) == 0;
}

static void wait_for_the_disk(int fd)
{
    int milliseconds = sync_milliseconds;
    if (!is_watched(fd, 0))
        return;
    syncs++;
    struct timespec pause = {milliseconds / 1000, (milliseconds % 1000) * 1000000L};
    nanosleep(&pause, 0);
    waited[syscall(SYS_gettid) % THREADS] += milliseconds * 1000000LL;
}

static int does_sync_fail(int fd)
{
    if (!failing_syncs || !is_watched(fd, 0))
        return 0;
    failing_syncs--;
    errno = EIO;
    return 1;
}

int fsync(int fd)
{
    wait_for_the_disk(fd);
    if (does_sync_fail(fd))
        return -1;
    return syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    wait_for_the_disk(fd);
    if (does_sync_fail(fd))
        return -1;
    return syscall(SYS_fdatasync, fd);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t place)
{
    int error = failing_writes;
    if (error && is_watched(fd, 1)) {
        errno = error;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, data, size, place);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t place)
{
    return pwrite64(fd, data, size, place);
}
