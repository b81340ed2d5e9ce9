/* Sleeping to a moment of the monotonic clock goes straight to the kernel: libfaketime 0.9.10 refuses it with EINVAL once
 * it is told to leave that clock alone, and Python sleeps in no other way. Loaded before libfaketime. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left) {
    return syscall(SYS_clock_nanosleep, clock, flags, until, left) == 0 ? 0 : errno;
}
