"""Power cuts: what was acknowledged is on the disk, whatever else the disk has kept."""

import os
import time

import pytest
from powercut import cut
from storm import Killer, play_round

CUTS = int(os.environ.get("JOBQ_CUTS", 25))
LATER = {"invented", "id", "content", "attempt", "other"}  # never excused


class Cutter(Killer):
    """Cuts the power at random instants; with `torn` the disk keeps some of the rest.

    Half of the cuts come soon after the writer has been killed: the next one must
    not take for stored what it only finds in the kernel's memory.
    """

    LAST = "cut"
    torn = False

    def run(self, until):
        for _ in range(CUTS):
            self.strike("cut")
            self.start_now()
            self.service.wait_healthy()
            self.look_whether_work_goes_on()
            self.pause(self.random.uniform(0, 0.3))

    def kill(self, kind):
        killed = []
        if self.random.random() < 0.5:
            killed = self.service.kill_pids(self.service.of_role("store"))
            self.pause(self.random.uniform(0, 0.15))
        killed += self.service.power_off()
        share = self.random.choice((0, 0.1, 0.5, 0.9, 1)) if self.torn else 0
        cut(self.service.state / "store", self.service.state / "shadow", self.random, share)
        self.reboots.append(time.time())
        return killed


class TornCutter(Cutter):
    torn = True


def play(daemons, durability, cutter):
    service = daemons(shim=True, settings=[f"durability={durability}"], table_max="256M")
    service.up_again()
    seed = os.environ.get("JOBQ_SEED", time.time_ns())
    print(f"seed {seed}")
    report = play_round(service, 0, seed, 0.1, cutter)
    print(f"{durability}, {cutter.__name__}: {report}")
    return report


@pytest.mark.parametrize("cutter", [Cutter, TornCutter])
def test_full_durability_loses_nothing(daemons, cutter):
    report = play(daemons, "full", cutter)
    assert not report.violations, "\n".join(report.violations)
    assert report.strikes["cut"] > CUTS and report.jobs > 5 * CUTS


def test_the_shim_bites(daemons):
    """What was not synced is lost, so the test above has something to find; no more than that."""
    report = play(daemons, "off", Cutter)
    assert report.kinds["lost"] > 0, "nothing was lost without syncing: the cuts do not cut"
    later = [text for text in report.violations if text.partition(":")[0] in LATER]
    assert not later, "\n".join(later)
