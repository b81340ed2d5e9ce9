/* Lets calls that change files below one folder fail, by a plan in shared memory: count, number, errno, whether for good.
   Loaded with LD_PRELOAD; SOAK_DISK_FOLDER names the folder, SOAK_DISK_PLAN the file with the plan. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

struct plan { volatile int64_t count, number, error, for_good; };
static struct plan *plan;
static const char *folder;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SOAK_DISK_PLAN");
    folder = getenv("SOAK_DISK_FOLDER");
    if (!path || !folder) return;
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    if (descriptor < 0) return;
    void *found = mmap(NULL, sizeof(struct plan), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (found != MAP_FAILED) plan = found;
}

static int fails(const char *path) {
    if (!plan || strncmp(path, folder, strlen(folder))) return 0;
    int64_t number = __sync_add_and_fetch(&plan->count, 1);
    if (!plan->number || number < plan->number || (number > plan->number && !plan->for_good)) return 0;
    errno = (int)plan->error;
    return 1;
}

static int fails_at(int descriptor) {
    char name[64], path[PATH_MAX];
    if (!plan) return 0;
    snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(name, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(path);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
ssize_t write(int d, const void *b, size_t n) { return fails_at(d) ? -1 : NEXT(write)(d, b, n); }
ssize_t writev(int d, const struct iovec *v, int n) { return fails_at(d) ? -1 : NEXT(writev)(d, v, n); }
ssize_t pwrite(int d, const void *b, size_t n, off_t o) { return fails_at(d) ? -1 : NEXT(pwrite)(d, b, n, o); }
ssize_t pwrite64(int d, const void *b, size_t n, off64_t o) { return fails_at(d) ? -1 : NEXT(pwrite64)(d, b, n, o); }
int fsync(int d) { return fails_at(d) ? -1 : NEXT(fsync)(d); }
int fdatasync(int d) { return fails_at(d) ? -1 : NEXT(fdatasync)(d); }
int ftruncate(int d, off_t n) { return fails_at(d) ? -1 : NEXT(ftruncate)(d, n); }
int ftruncate64(int d, off64_t n) { return fails_at(d) ? -1 : NEXT(ftruncate64)(d, n); }
int rename(const char *a, const char *b) { return fails(b) ? -1 : NEXT(rename)(a, b); }
