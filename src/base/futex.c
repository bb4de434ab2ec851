#include "config.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "jobq/base.h"

static struct timespec *to_timespec(int64_t deadline, struct timespec *at)
{
	if (deadline < 0)
		return NULL;
	at->tv_sec = (time_t)(deadline / 1000000);
	at->tv_nsec = (long)(deadline % 1000000) * 1000;
	return at;
}

/* EAGAIN: the word had changed already, which is what the caller waits for. */
static int result_of(long rc)
{
	return rc >= 0 || errno == EAGAIN ? 0 : -errno;
}

int jobq_futex_wait(_Atomic uint32_t *word, uint32_t seen, int64_t deadline)
{
	struct timespec at;
	/* The bitset form takes an absolute CLOCK_MONOTONIC time. */
	return result_of(syscall(SYS_futex, word, FUTEX_WAIT_BITSET, seen,
				 to_timespec(deadline, &at), NULL, FUTEX_BITSET_MATCH_ANY));
}

int jobq_futex_wait2(_Atomic uint32_t *word, uint32_t seen, _Atomic uint32_t *other,
		     uint32_t other_seen, int64_t deadline)
{
	struct futex_waitv words[2] = {
		{.val = seen, .uaddr = (uintptr_t)word, .flags = FUTEX_32},
		{.val = other_seen, .uaddr = (uintptr_t)other, .flags = FUTEX_32},
	};
	struct timespec at;
	long rc = syscall(SYS_futex_waitv, words, 2, 0, to_timespec(deadline, &at),
			  CLOCK_MONOTONIC);
	if (rc < 0 && (errno == ENOSYS || errno == EPERM)) {
		if (atomic_load(other) != other_seen)
			return 0;
		return jobq_futex_wait(word, seen, deadline);
	}
	return result_of(rc);
}

void jobq_futex_wake(_Atomic uint32_t *word, int count)
{
	syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}
