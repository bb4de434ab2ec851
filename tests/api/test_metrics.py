"""GET /metrics: Prometheus' text, whom it is for, and that its numbers are true."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from conftest import quick_job, slow_job
from receiver import Receiver
from service import ROOT, fastcgi, fastcgi_request, wait_until

MONITORING = ROOT / "packaging/monitoring"
TYPES = ("batch_operations", "scene_preload", "cache_warming")
QUEUE_STATES = ("open", "paused", "draining")

# ---- the format, read strictly (Prometheus' exposition formats, text 0.0.4) --------

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\+Inf|NaN|-?[0-9.e+-]+)")
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count")}


def parse(text):
    """The samples by name and labels: {("jobq_jobs", (("type", "…"), …)): 1.0}. Strict."""
    assert text.endswith("\n")
    samples, types, helped, current = {}, {}, set(), None
    for line in text.splitlines():
        if found := re.fullmatch(rf"# HELP ({NAME}) (\S.*)", line):
            assert found[1] not in helped, line
            helped.add(found[1])
            continue
        if found := re.fullmatch(rf"# TYPE ({NAME}) (counter|gauge|histogram)", line):
            current = found[1]
            assert current in helped and current not in types, line
            types[current] = found[2]
            assert (found[2] == "counter") == current.endswith("_total"), line
            continue
        found = SAMPLE.fullmatch(line)
        assert found, line
        bases = [current + suffix for suffix in SUFFIXES.get(types[current], ("",))]
        assert found[1] in bases, f"{line}: not with its family"
        labels = tuple(re.findall(r'(\w+)="([^"]*)"', found[2] or ""))
        key = (found[1], tuple(sorted(labels)))
        assert key not in samples, line
        samples[key] = float(found[3])
        assert samples[key] >= 0, line
    assert helped == set(types)
    for name, kind in types.items():
        if kind == "histogram":
            check_histogram(name, samples)
    return samples


def check_histogram(name, samples):
    rows = {}
    for (sample, labels), value in samples.items():
        if sample == f"{name}_bucket":
            rest = tuple(label for label in labels if label[0] != "le")
            rows.setdefault(rest, []).append((float(dict(labels)["le"]), value))
    assert rows, name
    for labels, buckets in rows.items():
        assert [bound for bound, _ in buckets] == sorted({bound for bound, _ in buckets}), name
        assert [count for _, count in buckets] == sorted(count for _, count in buckets), name
        assert buckets[-1] == (float("inf"), samples[f"{name}_count", labels])
        assert (f"{name}_sum", labels) in samples


def scrape(service, **arguments):
    answer = requests.get(service.base_url + "/metrics", timeout=20, **arguments)
    assert answer.status_code == 200, answer.text
    return Samples(parse(answer.text))


class Samples:
    def __init__(self, samples):
        self.samples = samples

    def get(self, name, **labels):
        return self.samples["jobq_" + name, tuple(sorted(labels.items()))]

    def names(self):
        return {name for name, _ in self.samples}


def test_it_is_prometheus_text(service):
    quick_job(service)
    answer = service.get("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    parse(answer.text)
    head = service.request("HEAD", "/metrics")
    assert head.status_code == 200 and head.content == b""
    refused = service.post("/metrics", {})
    assert refused.status_code == 405 and refused.headers["Allow"] == "GET, HEAD"


def test_promtool_accepts_it(service):
    if shutil.which("promtool") is None:
        pytest.skip("THERE IS NO promtool (Debian: prometheus): only our own parser has judged")
    for command, text in ((["check", "metrics"], service.get("/metrics").text),
                          (["check", "rules", MONITORING / "jobq.rules.yml"], None)):
        done = subprocess.run(["promtool", *command], input=text, capture_output=True, text=True,
                              timeout=60)
        assert done.returncode == 0 and not done.stderr.strip(), done.stdout + done.stderr


@pytest.mark.parametrize("name", ["jobq.rules.yml", "grafana-dashboard.json"])
def test_examples_name_only_what_there_is(service, name):
    text = (MONITORING / name).read_text()
    there = scrape(service).names()
    named = set(re.findall(r"\bjobq_[a-z_]+", text))
    assert len(named) > 10
    assert not named - there
    if name.endswith(".json"):
        panels = json.loads(text)["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)


# ---- for whom ----------------------------------------------------------------------


@pytest.mark.parametrize("headers,status", [
    ({}, 200), ({"Authorization": "Bearer wrong"}, 401), ({"Authorization": ""}, 200),
    ({"X-Forwarded-For": "192.0.2.1"}, 401), ({"X-Forwarded-For": "127.0.0.1"}, 401),
    ({"Forwarded": "for=127.0.0.1"}, 401), ({"Via": "1.1 proxy"}, 401), ({"X-Other": "1"}, 200),
], ids=str)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_token_or_loopback(service, method, headers, status):
    answer = requests.request(method, service.base_url + "/metrics", headers=headers, timeout=20)
    assert answer.status_code == status
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    if status == 401 and headers.get("Authorization") is None:
        headers = dict(headers, Authorization=f"Bearer {service.token}")
        assert requests.request(method, service.base_url + "/metrics", headers=headers,
                                timeout=20).status_code == 200


@pytest.mark.parametrize("path", ["/jobs", "/openapi.json", "/metricsx", "/metrics/", "//metrics",
                                  "/metrics/x", "/Metrics", "/%6detrics"])
def test_nothing_else_is_open_to_loopback(service, path):
    assert service.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                       .encode()).startswith(b"HTTP/1.1 401")


def test_the_application_wants_a_name(service):
    """nginx decides; one that has been set up wrongly lets nobody in."""
    got = fastcgi(service.socket_path("wait"), fastcgi_request(
        {"REQUEST_METHOD": "GET", "DOCUMENT_URI": "/metrics", "QUERY_STRING": ""}))
    assert got.startswith(b"Status: 401")


def test_loopback_is_ipv6_too():
    text = (ROOT / "nginx/policy.conf.in").read_text()
    assert re.search(r"geo \$jobq_from_here \{\s+default 0;\s+127.0.0.0/8 1;\s+::1 1;\s+\}", text)


# ---- the numbers -------------------------------------------------------------------


def test_jobs_are_counted(own_service):
    service = own_service()
    for _ in range(3):
        service.wait_job(quick_job(service))
    service.wait_job(service.submit("batch_operations", {
        "mode": "transactional",
        "operations": [{"action": "load", "scene_path": "res://broken.tscn"}]}))
    running = [slow_job(service) for _ in range(3)]
    wait_until(lambda: scrape(service).get("slots_busy") == 3, 20, "three jobs that run")
    queued = [service.submit("cache_warming", {}) for _ in range(2)]
    service.delete(f"/jobs/{queued[1]}")
    now = scrape(service)
    assert now.get("jobs", type="scene_preload", status="completed") == 3
    assert now.get("jobs", type="batch_operations", status="failed") == 1
    assert now.get("jobs", type="batch_operations", status="running") == len(running)
    assert now.get("jobs", type="cache_warming", status="queued") == 1
    assert now.get("jobs", type="cache_warming", status="cancelled") == 1
    assert now.get("jobs_submitted_total", type="scene_preload") == 3
    assert now.get("jobs_submitted_total", type="batch_operations") == 4
    assert now.get("jobs_finished_total", type="scene_preload", outcome="completed") == 3
    assert now.get("jobs_finished_total", type="batch_operations", outcome="failed") == 1
    assert now.get("jobs_finished_total", type="cache_warming", outcome="cancelled") == 1
    assert now.get("job_wait_seconds_count", type="batch_operations") == 4
    assert now.get("job_run_seconds_count", type="batch_operations") == 1
    assert 0 < now.get("job_run_seconds_sum", type="scene_preload") < 10
    assert now.get("queue_depth") == 1 and now.get("slots") == now.get("slot_workers") == 3
    assert 0 < now.get("queue_oldest_age_seconds") < 60
    service.delete(f"/jobs/{queued[0]}")
    assert scrape(service).get("queue_oldest_age_seconds") == 0
    service.assert_sound()


def test_the_queues_state_is_shown(own_service):
    service = own_service()
    for verb, state in (("pause", "paused"), ("drain", "draining"), ("resume", "open")):
        assert service.post(f"/queue/{verb}", None).status_code == 200
        now = scrape(service)
        assert {name: now.get("queue_state", state=name) for name in QUEUE_STATES} == \
            {name: float(name == state) for name in QUEUE_STATES}
        assert now.get("draining") == 0, "jobqd itself goes on"


def test_the_oldest_waits_whatever_its_priority(own_service):
    service = own_service()
    service.post("/queue/pause", None)
    service.submit("cache_warming", {})
    wait_until(lambda: scrape(service).get("queue_oldest_age_seconds") > 1, 20, "some age")
    service.post("/jobs", {"type": "cache_warming", "parameters": {}, "priority": 5})
    assert scrape(service).get("queue_oldest_age_seconds") > 1


def test_store_memory_and_cache_are_shown(service):
    before = scrape(service)
    for _ in range(5):
        service.wait_job(quick_job(service))
    now = scrape(service)
    assert now.get("store_commit_changes_sum") >= before.get("store_commit_changes_sum") + 10
    assert now.get("store_commit_seconds_count") == now.get("store_commit_changes_count") > \
        before.get("store_commit_changes_count")
    assert 0 < now.get("store_commit_seconds_sum") - before.get("store_commit_seconds_sum") < 20
    assert now.get("store_error") == now.get("store_commit_failures_total") == 0
    assert now.get("scene_cache_hits_total") >= before.get("scene_cache_hits_total") + 4
    assert 0 < now.get("scene_cache_bytes") < now.get("scene_cache_max_bytes")
    shown = dict(line.split() for line in service.ctl("cache").stdout.splitlines())
    for name, ours in (("hits", "hits_total"), ("misses", "misses_total"), ("bytes", "bytes"),
                       ("entries", "entries"), ("room", "max_bytes")):
        assert now.get(f"scene_cache_{ours}") == int(shown[name]), name
    assert 0 < now.get("table_free_bytes") <= now.get("table_committed_bytes") <= \
        now.get("table_max_bytes") == 64 << 20
    assert now.get("build_info", version=service.get("/healthz").json()["version"]) == 1


def test_requests_are_counted_exactly(own_service):
    service = own_service()

    def count(**labels):
        return scrape(service).get("http_requests_total", **labels)
    show = {"route": "/jobs/:id", "method": "GET", "status": "2xx"}
    job = quick_job(service)
    service.wait_job(job)
    before = count(**show)
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: service.get(f"/jobs/{job}"), range(500)))
    service.request("HEAD", f"/jobs/{job}")
    assert count(**show) == before + 501
    service.get("/jobs/4711")
    assert count(route="/jobs/:id", method="GET", status="4xx") == 1
    service.post("/jobs", {})
    assert count(route="/jobs", method="POST", status="4xx") == 1
    tag = service.get(f"/jobs/{job}").headers["ETag"]
    service.get(f"/jobs/{job}", headers={"If-None-Match": tag})
    assert count(route="/jobs/:id", method="GET", status="3xx") == 1
    service.request("PATCH", "/jobs")
    service.get("/webhooks/1/none")
    assert count(route="other", method="other", status="4xx") == 2
    assert count(route="/metrics", method="GET", status="2xx") >= 6


def test_listeners_and_who_waits_are_shown(service):
    job = slow_job(service, 150)
    base = scrape(service)
    streams = [service.get("/events", stream=True) for _ in range(3)]
    waiting = ThreadPoolExecutor(1)
    waiter = waiting.submit(service.get, f"/jobs/{job}?wait=60")
    wait_until(lambda: (now := scrape(service)).get("event_listeners") ==
               base.get("event_listeners") + 3 and now.get("waiting_requests") >= 1, 20,
               "three who listen and one who waits")
    assert scrape(service).get("event_listeners_max") == 2000
    for stream in streams:
        stream.close()
    wait_until(lambda: scrape(service).get("event_listeners") == base.get("event_listeners"), 40,
               "the end of the streams")
    waiter.result(60)


def test_deliveries_and_refusals_are_counted(own_service):
    service = own_service(options=["webhook_allow = 127.0.0.0/8"])
    with Receiver() as receiver, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and not listening
        for url, events in ((receiver.url("/a"), ["job.completed"]),
                            (f"http://127.0.0.1:{closed.getsockname()[1]}/", ["job.queued"])):
            assert service.post("/webhooks", {"url": url, "events": events}).status_code == 201
        service.wait_job(quick_job(service))
        wait_until(lambda: scrape(service).get("webhook_deliveries_total", outcome="success") == 1,
                   20, "a delivery")
        wait_until(lambda: scrape(service).get("webhook_retries_total") >= 1, 20, "a retry")
        assert scrape(service).get("webhook_deliveries_waiting") == 1
        wait_until(lambda: scrape(service).get("webhook_deliveries_total", outcome="failure") == 1,
                   60, "a failure")
    for _ in range(3):
        requests.get(service.base_url + "/jobs", timeout=20)
    wait_until(lambda: scrape(service).get("http_refused_total", reason="unauthorized") == 3, 20,
               "three refusals")


# ---- who dies when -----------------------------------------------------------------


def test_counters_outlive_every_process(own_service):
    service = own_service()
    for _ in range(2):
        service.wait_job(quick_job(service))
    show = {"route": "/jobs", "method": "POST", "status": "2xx"}
    for name in ("jobq-api", "jobqd", "jobq-hook", "nginx"):
        service.kill(name, signal.SIGKILL)
        wait_until(lambda: service.pid(name) and service.healthy(), 60, f"another {name}")
        now = scrape(service)
        assert now.get("http_requests_total", **show) == 2, name
        assert now.get("jobs_submitted_total", type="scene_preload") == 2, name
        assert now.get("store_commit_changes_sum") >= 4, name
    service.assert_sound()


def test_it_is_answered_without_a_supervisor(own_service):
    service = own_service()
    pid = service.pid("jobqd")
    service.kill("jobqd", signal.SIGSTOP)
    assert scrape(service).get("supervisor_up") == 1  # it may just be busy
    service.kill("jobqd", signal.SIGCONT)
    quickstart = service.process.pid
    os.kill(quickstart, signal.SIGSTOP)  # or it is started again
    os.kill(pid, signal.SIGKILL)
    try:
        wait_until(lambda: scrape(service).get("supervisor_up") == 0, 20, "no supervisor")
        assert scrape(service).get("ready") == 1
    finally:
        os.kill(quickstart, signal.SIGCONT)
    service.wait_healthy()
    wait_until(lambda: scrape(service).get("supervisor_up") == 1, 20, "a supervisor")
