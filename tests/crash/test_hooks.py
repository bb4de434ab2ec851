"""Webhooks while processes die: each event arrives at least once, in its job's order.

Three receivers: one that takes all, one that fails some first attempts, and one that
was told of ends only. What is killed: jobq-hook between delivery and record, the
writer between commit and delivery, and all the rest.
"""

import collections
import contextlib
import http.server
import json
import os
import random
import sqlite3
import threading
import time
import zlib

import pytest
import requests

from daemons import wait_until

SECONDS = float(os.environ.get("JOBQ_HOOK_STORM", 25))
ENDS = {"job.completed", "job.failed", "job.cancelled"}
RANK = {"job.queued": 0, "job.started": 1, "job.progress": 2, "job.completed": 3, "job.failed": 3,
        "job.cancelled": 3}


class Receiver(http.server.ThreadingHTTPServer):
    """Takes every delivery and notes it; `fails` says which attempts it answers with 500."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, fails=lambda id, attempt: False):
        super().__init__(("127.0.0.1", 0), Handler)
        self.fails = fails
        self.lock = threading.Lock()
        self.taken = []  # (delivery's id, event, body)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/hook"

    def handle_error(self, request, client_address):
        pass  # a killed jobq-hook leaves its connection in the middle of a request


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fails = self.server.fails(self.headers["webhook-id"],
                                  int(self.headers["X-Webhook-Attempt"]))
        if not fails:
            with self.server.lock:
                self.server.taken.append((self.headers["webhook-id"],
                                          self.headers["X-Webhook-Event"], body))
        self.send_response(500 if fails else 204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def waiting(service):
    with contextlib.closing(sqlite3.connect(f"file:{service.store_path()}?mode=ro", uri=True,
                                            timeout=20)) as db:
        return db.execute("SELECT count(*) FROM deliveries WHERE done = 0").fetchone()[0]


def register(service, url, events):
    answer = service.session.post(service.base_url + "/webhooks", timeout=30, json={
        "url": url, "events": events, "secret": "not to be told"})
    assert answer.status_code == 201, answer.text


class Load(threading.Thread):
    """Submits small jobs, and remembers those that were accepted."""

    def __init__(self, service, over):
        super().__init__(daemon=True)
        self.service, self.over, self.accepted = service, over, []

    def run(self):
        session = self.service.new_session()
        while not self.over.is_set():
            try:
                answer = session.post(self.service.base_url + "/jobs", timeout=60, json={
                    "type": "scene_preload",
                    "parameters": {"scene_paths": ["res://small.tscn", "res://gone.tscn"]}})
                if answer.status_code == 202:
                    self.accepted.append(answer.json()["job_id"])
            except (requests.RequestException, ValueError, KeyError):
                pass
            self.over.wait(0.01)


def strike(service, dice):
    victim = dice.choice(["hook"] * 4 + ["writer"] * 3 + ["slot", "jobqd", "core", "everything"])
    with contextlib.suppress(AssertionError, IndexError):
        if victim == "hook":
            service.kill("jobq-hook")
        elif victim == "writer":
            service.kill_pids([service.writer()])
        elif victim == "slot":
            service.kill_pids(service.workers()[:1])
        elif victim == "jobqd":
            service.kill("jobqd")
        elif victim == "core":
            service.kill_core()
        else:
            service.power_off()
    return victim


def by_job(receiver):
    """{job: [(id, event)] in the order of arrival}; a delivery says the same each time."""
    jobs, bodies = collections.defaultdict(list), {}
    with receiver.lock:
        taken = list(receiver.taken)
    for delivery, event, body in taken:
        assert bodies.setdefault(delivery, (event, body)) == (event, body)
        data = json.loads(body)
        assert data["event"] == event
        jobs[data["data"]["job_id"]].append((delivery, event))
    return jobs, len(taken) - len(bodies)


def assert_in_order(job, arrivals):
    """The first arrivals, that is: a repetition may come later."""
    seen, ranks = set(), []
    for delivery, event in arrivals:
        if delivery not in seen:
            seen.add(delivery)
            ranks.append(RANK[event])
    assert ranks == sorted(ranks), f"job {job}: {arrivals}"


def assert_told(accepted, receiver, events):
    jobs, repeated = by_job(receiver)
    for job in accepted:
        kinds = collections.Counter(event for _, event in dict(jobs[job]).items())
        assert sum(kinds[event] for event in ENDS) == 1, f"job {job}: {jobs[job]}"
        if "job.queued" in events:
            assert kinds["job.queued"] == 1 and kinds["job.started"] >= 1, f"job {job}: {jobs[job]}"
        assert_in_order(job, jobs[job])
    return repeated


@pytest.mark.parametrize("durability", ["full"])
def test_every_event_arrives_whatever_dies(daemons, durability):
    seed = os.environ.get("JOBQ_SEED", str(time.time_ns()))
    print(f"seed {seed}")
    dice = random.Random(seed)
    service = daemons(settings=[f"durability={durability}"]).start()
    some = lambda id, attempt: attempt == 1 and zlib.crc32(id.encode()) % 4 == 0  # noqa: E731
    receivers = [(Receiver(), ["job.*"]), (Receiver(some), ["job.*"]),
                 (Receiver(), sorted(ENDS))]
    for receiver, events in receivers:
        register(service, receiver.url(), events)
    over, kills = threading.Event(), collections.Counter()
    loads = [Load(service, over) for _ in range(2)]
    for load in loads:
        load.start()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        over.wait(dice.uniform(0.1, 1.0))  # the load goes on meanwhile
        kills[strike(service, dice)] += 1
        service.up_again()
    over.set()
    for load in loads:
        load.join(90)
    accepted = [job for load in loads for job in load.accepted]
    service.up_again()
    wait_until(lambda: service.get("/jobs?limit=1&status=queued").json()["count"] == 0 and
               service.get("/jobs?limit=1&status=running").json()["count"] == 0, 120, "all jobs")
    wait_until(lambda: waiting(service) == 0, 120, "all deliveries")
    assert len(accepted) > 20
    repeated = sum(assert_told(accepted, receiver, {"job.queued"} if "job.*" in events else set())
                   for receiver, events in receivers)
    print(f"{len(accepted)} jobs, {sum(len(r.taken) for r, _ in receivers)} deliveries taken, "
          f"{repeated} of them repeated; killed: {dict(kills)}")
    for webhook in service.get("/webhooks").json()["webhooks"]:
        assert webhook["failure_count"] == 0, webhook
    service.assert_sound()
