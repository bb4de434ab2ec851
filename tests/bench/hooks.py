"""The measurements of webhooks: how fast deliveries go out, and what they cost a job."""

import collections
import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import Bench, processor_time, wait_until

HERE = Path(__file__).resolve().parent
WEBHOOKS = 3
EVENTS = ["job.queued", "job.started", "job.completed"]


def heading(text):
    print(f"\n==== {text}", flush=True)


@contextlib.contextmanager
def receiver(log):
    """The port of a receiver that writes what arrives to `log`."""
    process = subprocess.Popen([sys.executable, HERE / "receiver.py", log], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield int(process.stdout.readline()), process.pid
    finally:
        process.stdin.close()
        process.wait(20)


def waiting(service):
    """Deliveries that no webhook has had yet."""
    return int(service.table()["outbox"])


def run_jobs(service, count):
    """Seconds until all jobs are done, and until all is delivered; processor time by process."""
    pids = {"writer": [service.writer()], "slots": service.workers(),
            "hook": [service.pid("jobq-hook")]}
    before = {name: processor_time(some) for name, some in pids.items()}
    began, completed = time.monotonic(), service.table()["completed"]
    service.fill("submit", count)
    # Not "none is queued": a job that is not stored yet is not shown as anything.
    wait_until(lambda: service.table()["completed"] == completed + count, 1800, "all jobs")
    done = time.monotonic() - began
    wait_until(lambda: waiting(service) == 0, 1800, "all deliveries")
    delivered = time.monotonic() - began
    cost = {name: (processor_time(some) - before[name]) / count * 1e6
            for name, some in pids.items()}
    return done, delivered, cost


def judge(log, count):
    """Every event of every job once for each webhook, in the job's order."""
    seen = collections.defaultdict(list)
    for line in Path(log).read_text().splitlines():
        path, delivery, event, job = line.split()
        seen[path, job].append(event)
    assert len(seen) == count * WEBHOOKS, f"{len(seen)} jobs told, of {count * WEBHOOKS}"
    wrong = [(key, events) for key, events in seen.items() if events != EVENTS]
    assert not wrong, wrong[:5]


def measure(project, report, args):
    count = 1000 if args.quick else 10000
    heading(f"hooks: {count:,} jobs with {WEBHOOKS} webhooks of {len(EVENTS)} events each, "
            "durability = full")
    with tempfile.TemporaryDirectory(prefix="jobq-hooks-") as directory, \
            Bench(project, "1G", durability="full") as service:
        _, _, without = run_jobs(service, count)
        log = Path(directory) / "received"
        with receiver(log) as (port, _):
            for n in range(WEBHOOKS):
                answer = service.post("/webhooks", {"url": f"http://127.0.0.1:{port}/{n}",
                                                    "events": EVENTS, "secret": "not told"})
                assert answer.status_code == 201, answer.text
            done, delivered, cost = run_jobs(service, count)
        judge(log, count)
    deliveries = count * WEBHOOKS * len(EVENTS)
    print(f"  jobs done in {done:.1f} s, all {deliveries:,} deliveries in {delivered:.1f} s, "
          "each event once and in its job's order")
    report.add("webhooks: deliveries a second", deliveries / delivered)
    for name, more in cost.items():
        print(f"  processor time a job: {name} {without[name]:.1f} us without webhooks, "
              f"{more:.1f} us with")
    added = sum(cost.values()) - sum(without.values())
    report.add("webhooks: processor time added to a job", added, " us")
    report.add("webhooks: the same for one delivery", added / (WEBHOOKS * len(EVENTS)), " us")
    report.add("webhooks: of which in the store's writer",
               (cost["writer"] - without["writer"]) / (WEBHOOKS * len(EVENTS)), " us")
