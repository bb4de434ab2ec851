/*
 * ctl, doctor: what is looked at, and how it is told.
 */
#ifndef JOBQ_CTL_DOCTOR_H
#define JOBQ_CTL_DOCTOR_H

#include "ctl/ctl.h"

struct ctl_doctor {
	bool colour;
	bool failed; /* something does not work */
};

enum ctl_verdict { CTL_GOOD, CTL_WARN, CTL_FAIL };

/* Prints a line about a part; and below it `advice` (NULL: none) unless all is well. */
void ctl_doctor_say(struct ctl_doctor *doctor, enum ctl_verdict verdict, const char *part,
		    const char *advice, const char *fmt, ...) JOBQ_PRINTF(5, 6);

/* Everything that is on this machine, from the configuration to the disk (doctor_local.c). */
void ctl_doctor_local(struct ctl_doctor *doctor);
/* Its configuration, for root (doctor_local.c). */
void ctl_doctor_nginx(struct ctl_doctor *doctor);

#endif
