"""The storm, bounded: see storm.py; soak plays it for longer."""

import os
import time

from storm import storm

SECONDS = float(os.environ.get("JOBQ_STORM", 60))


def test_storm():
    seed = os.environ.get("JOBQ_SEED", time.time_ns())
    print(f"seed {seed}")
    report = storm(SECONDS, seed)
    print(report)
    assert not report.violations, "\n".join(report.violations)
    # Far less than it takes: a busy machine kills and serves more slowly.
    assert sum(report.kills.values()) > 2 * SECONDS and report.jobs > 5 * SECONDS
    assert len(report.strikes) == 8, "each kind of strike came about"
