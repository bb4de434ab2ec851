/*
 * base, inside: entries of the systemd journal, with fields that journalctl(1) can be
 * asked for (`journalctl JOBQ_JOB=12`).
 *
 * Each is a datagram of `NAME=value` lines, as systemd.io/JOURNAL_NATIVE_PROTOCOL says:
 * that is less than libsystemd, which would be linked to all daemons for it, and it
 * takes nothing but write(2), which also confined workers have.
 */
#ifndef JOBQ_BASE_JOURNAL_H
#define JOBQ_BASE_JOURNAL_H

#include <stddef.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* A socket that leads to the journal at `path`, for the caller to close; -1: there is none. */
int base_journal_open(const char *path);

/*
 * Writes one entry. `line`, which has no control bytes, is its MESSAGE; PRIORITY is as in
 * syslog(3), SYSLOG_IDENTIFIER the program, JOBQ_EVENT the event, and JOBQ_JOB what the line
 * says behind ` job=` outside of quotation marks, if it does. Any thread. Returns 0, or a
 * negative errno when the journal did not take it: -EAGAIN when it is behind.
 */
int base_journal_write(int journal, int priority, const char *program, const char *event,
		       const char *line, size_t len);

#endif
