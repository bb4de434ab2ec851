"""Event streams: what comes, in which order, from where on, until when; and what they cost."""

import contextlib
import json
import os
import re
import resource
import select
import signal
import socket
import subprocess
import time
from collections import namedtuple
from pathlib import Path

import pytest
from conftest import make_project, quick_job, slow_job
from service import alive, children, fastcgi, fastcgi_request, free_port, wait_until

MEBIBYTE = 1 << 20
Event = namedtuple("Event", "name id data")
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)


class Stream:
    """A client that listens; reads no more than it is asked for."""

    def __init__(self, service, path, last=None, method="GET", timeout=30, window=None, wait=True):
        self.peer = socket.socket()
        if window:
            self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.peer.settimeout(timeout)
        self.peer.connect(("127.0.0.1", service.port))
        resume = f"Last-Event-ID: {last}\r\n" if last is not None else ""
        self.peer.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{resume}"
                          f"Authorization: Bearer {service.token}\r\n\r\n".encode())
        self.raw, self.text = b"", b""
        self.ended = False  # as HTTP wants it, rather than cut off
        self.last = None    # as EventSource would send it
        self.comments = []
        if wait:
            self.read_head()

    def receive(self):
        part = self.peer.recv(65536)
        self.raw += part
        return len(part) > 0

    def read_head(self):
        while b"\r\n\r\n" not in self.raw:
            assert self.receive(), f"cut off: {self.raw}"
        head, self.raw = self.raw.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {name.lower(): value for name, value in
                        (line.split(": ", 1) for line in lines[1:])}
        return self

    def unchunk(self):
        """Moves whole chunks to `text`."""
        while (match := re.match(rb"([0-9a-f]+)\r\n", self.raw)) is not None:
            size, at = int(match[1], 16), match.end()
            if len(self.raw) < at + size + 2:
                return
            self.text += self.raw[at:at + size]
            self.raw = self.raw[at + size + 2:]
            self.ended = self.ended or size == 0

    def block(self):
        """The lines up to the next empty one; None at the end."""
        self.unchunk()
        while b"\n\n" not in self.text:
            if self.ended or not self.receive():
                return None
            self.unchunk()
        block, self.text = self.text.split(b"\n\n", 1)
        return block.decode().split("\n")

    def event(self):
        """The next event; None at the end."""
        while (lines := self.block()) is not None:
            fields = {}
            for line in lines:
                name, _, value = line.partition(": ")
                if name == "":
                    self.comments.append(value)
                fields[name] = value
            self.last = fields.get("id", self.last)
            if "data" in fields:
                return Event(fields.get("event"), fields.get("id"), json.loads(fields["data"]))
        return None

    def opened(self):
        """Reads what tells that the stream is open, and nothing more."""
        assert self.status == 200
        lines = self.block()
        assert lines == [": open", "retry: 1000"]
        return self

    def until(self, name):
        """All events up to the first of this name."""
        events = []
        while not events or events[-1].name != name:
            events.append(self.event())
            assert events[-1] is not None, f"ended before {name}: {events}"
        return events

    def rest(self):
        events = []
        while (event := self.event()) is not None:
            events.append(event)
        return events

    def close(self):
        self.peer.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def names(events):
    return [event.name for event in events]


def progressing_job(service, steps=20):
    """One that takes some milliseconds for each of its steps."""
    return service.submit("batch_operations", {"operations": [
        {"action": "validate", "scene_path": "res://slow.tscn"}] * steps})


def wait_worker(service):
    """The process of the waiting pool: the one with the most threads."""
    def find():
        counts = {pid: len(list(Path(f"/proc/{pid}/task").iterdir()))
                  for pid in children(service.pid("jobq-api"))}
        return max(counts, key=counts.get) if len(counts) == 3 else None
    return wait_until(find, 20, "the worker that waits")


def private_memory(*pids):
    """Bytes that are these processes' own."""
    return sum(int(size) * 1024 for pid in pids for size in re.findall(
        r"^Private_\w+:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M))


def sanitized(pid):
    """Sanitizers keep what has been freed for long."""
    return re.search(r"lib[at]san", Path(f"/proc/{pid}/maps").read_text())


# ---- what comes ------------------------------------------------------------------


def test_life_of_a_job(service):
    job_id = progressing_job(service)
    with Stream(service, f"/jobs/{job_id}/events") as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["cache-control"] == "no-cache"
        assert stream.headers["x-accel-buffering"] == "no"
        assert stream.headers["x-content-type-options"] == "nosniff"
        events = stream.opened().rest()
        assert stream.ended, "properly, and not cut off"
    kinds = names(events)
    assert kinds[0] in ("job.queued", "job.started", "job.progress")
    assert kinds[-1] == "job.completed" and "job.progress" in kinds
    assert kinds == sorted(kinds, key=["job.queued", "job.started", "job.progress",
                                       "job.completed"].index)
    progress = [event.data["progress"] for event in events]
    assert progress == sorted(progress) and progress[-1] == 1.0 and max(progress[:-1]) < 1
    assert events[-1].data == service.job(job_id)
    assert {tuple(event.data) for event in events} == {tuple(service.job(job_id))}
    assert all(event.data["result"] is None for event in events[:-1])


def test_all_jobs(service):
    with Stream(service, "/events") as stream:
        stream.opened()
        done, job_id = quick_job(service), progressing_job(service, 5)
        ours = {done: [], job_id: []}
        while not all(kinds[-1:] == ["job.completed"] for kinds in ours.values()):
            event = stream.event()
            ours.get(event.data["id"], []).append(event.name)
        assert ours[done][:2] == ["job.queued", "job.started"]
        assert ours[job_id][:3] == ["job.queued", "job.started", "job.progress"]


def test_cancelled_and_failed(own_service):
    service = own_service()
    for _ in range(3):
        slow_job(service)
    queued = quick_job(service)
    with Stream(service, f"/jobs/{queued}/events") as stream:
        assert stream.event().name == "job.queued"
        assert service.delete(f"/jobs/{queued}").status_code == 200
        assert names(stream.rest()) == ["job.cancelled"] and stream.ended
    with Stream(service, "/jobs/1/events") as stream:
        assert stream.event().data["status"] == "running"
        for pid in service.workers():
            os.kill(pid, signal.SIGKILL)
        events = stream.rest()
        assert events[-1].name == "job.failed" and "signal 9" in events[-1].data["error"]


def test_progress_comes_while_the_job_runs(service):
    """Each step takes longer than its news: nothing is kept back, here or in nginx."""
    job_id = slow_job(service, 100)
    with Stream(service, f"/jobs/{job_id}/events") as stream:
        for _ in range(5):
            stream.until("job.progress")
            assert service.job(job_id)["status"] == "running"
    assert service.job(job_id)["progress"] < 1.0


def test_news_is_quick(service):
    """At best a listener knows what is seen in the table; a step takes some 10 ms."""
    job_id = slow_job(service, 100)
    behind = []
    with Stream(service, f"/jobs/{job_id}/events") as stream:
        stream.until("job.progress")
        for _ in range(10):
            event = stream.until("job.progress")[-1]
            behind.append(service.job(job_id)["progress"] - event.data["progress"])
    assert min(behind) < 0.015, behind  # at most the step that was made meanwhile


def test_a_finished_job_is_told_once(service):
    job_id = quick_job(service)
    service.wait_job(job_id)
    with Stream(service, f"/jobs/{job_id}/events") as stream:
        events = stream.opened().rest()
        assert names(events) == ["job.completed"] and stream.ended
        assert events[0].data == service.job(job_id)
    with Stream(service, f"/jobs/{job_id}/events", last=stream.last) as again:
        assert again.status == 204  # EventSource stays away
        assert "content-type" not in again.headers


# ---- from where on ----------------------------------------------------------------


def test_resumes_where_it_left_off(service):
    job_id = progressing_job(service)
    with Stream(service, f"/jobs/{job_id}/events") as stream:
        seen = stream.until("job.progress")
    service.wait_job(job_id)
    with Stream(service, f"/jobs/{job_id}/events", last=stream.last) as stream:
        rest = stream.opened().rest()
        assert stream.ended and rest[-1].name == "job.completed"
    assert "reset" not in names(rest)
    numbers = [int(event.id.partition("-")[2]) for event in seen + rest]
    assert numbers == sorted(set(numbers)), "each once, in order"
    progress = [event.data["progress"] for event in seen + rest]
    assert progress == sorted(progress)


def place_of(service):
    """Where a stream would begin now."""
    with Stream(service, "/events") as stream:
        return stream.opened().block()[0].removeprefix("id: ")


def test_a_place_is_known_before_the_first_event(service):
    place = place_of(service)
    job_id = quick_job(service)
    service.wait_job(job_id)
    with Stream(service, "/events", last=place) as stream:
        events = stream.opened().until("job.completed")
        assert ("job.queued", job_id) in [(event.name, event.data["id"]) for event in events]


@pytest.mark.parametrize("last", [
    "00000000-1", "x", "-", "99", "'", "%00", "a" * 4000, "deadbeef-",
    "deadbeef-99999999999999999999999",
])
def test_unknown_places_are_told(service, last):
    job_id = quick_job(service)
    service.wait_job(job_id)
    with Stream(service, f"/jobs/{job_id}/events", last=last) as stream:
        events = stream.opened().rest()
        assert names(events) == ["reset", "job.completed"] and events[0].data == {}
    with Stream(service, "/events", last=last) as stream:
        stream.opened()
        assert stream.event().name == "reset"


def test_places_to_come_are_unknown(service):
    place = place_of(service)
    generation, _, number = place.partition("-")
    with Stream(service, "/events", last=f"{generation}-{int(number) + 1000000}") as stream:
        assert stream.opened().event().name == "reset"


def test_what_fell_out_of_the_ring_is_told(own_service):
    service = own_service()
    first = quick_job(service)
    service.wait_job(first)
    with Stream(service, f"/jobs/{first}/events") as stream:
        stream.rest()
    place = place_of(service)
    generation, _, number = place.partition("-")
    while int(place_of(service).partition("-")[2]) < int(number) + 16384:
        jobs = [service.submit("batch_operations", {"operations": [
            {"action": "get_info", "scene_path": "res://a.tscn"}] * 100}) for _ in range(40)]
        service.wait_job(jobs[-1])
    with Stream(service, f"/jobs/{first}/events", last=place) as again:
        assert names(again.opened().rest()) == ["reset", "job.completed"]
    with Stream(service, "/events", last=f"{generation}-1") as again:
        assert again.opened().event().name == "reset"
    # Behind it there is still much, all of it and in order.
    late = int(place_of(service).partition("-")[2]) - 3000
    with Stream(service, "/events", last=f"{generation}-{late}") as again:
        again.opened()
        got = [int(again.event().id.partition("-")[2]) for _ in range(3000)]
        assert got == list(range(late + 1, late + 3001))
    service.assert_sound()


# ---- refusals ---------------------------------------------------------------------


@pytest.mark.parametrize("path,status", [
    ("/jobs/999999999/events", 404), ("/jobs/x/events", 404), ("/jobs/0/events", 404),
    ("/jobs/-1/events", 404), ("/jobs/1/events/2", 404), ("/events/1", 404), ("/eventss", 404),
])
def test_nothing_there(service, path, status):
    answer = service.get(path)
    assert answer.status_code == status and answer.json()["success"] is False


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "M-SEARCH", "TRACE"])
@pytest.mark.parametrize("path", ["/events", "/jobs/1/events"])
def test_other_methods(service, method, path):
    answer = service.request(method, path)
    assert answer.status_code == 405 and answer.headers["Allow"] == "GET, HEAD"


def test_head_is_only_the_head(service):
    answer = service.request("HEAD", "/events")
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "text/event-stream"
    assert service.request("HEAD", f"/jobs/{quick_job(service)}/events").status_code == 200
    assert service.request("HEAD", "/jobs/999999999/events").status_code == 404


def test_needs_a_token(service):
    answer = service.get("/events", headers={"Authorization": "Bearer wrong"})
    assert answer.status_code == 401


def test_plain_pool_does_not_stream(service):
    parameters = {"REQUEST_METHOD": "GET", "DOCUMENT_URI": "/events", "JOBQ_TOKEN_NAME": "ci"}
    answer = fastcgi(service.socket_path("api"), fastcgi_request(parameters))
    assert b"Status: 500" in answer


def test_other_request_ids_and_rest_of_bodies(service):
    """Any FastCGI client is served: its own id comes back, and what else it sent does no harm."""
    job_id = quick_job(service)
    service.wait_job(job_id)
    parameters = {"REQUEST_METHOD": "GET", "DOCUMENT_URI": f"/jobs/{job_id}/events",
                  "JOBQ_TOKEN_NAME": "ci"}
    data = bytearray(fastcgi_request(parameters, b"x" * 30000, keep=True))
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at + 4:at + 6], "big") + data[at + 6]
        data[at + 2:at + 4] = b"\x01\x07"
        at += 8 + length
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect(service.socket_path("wait"))
        s.sendall(bytes(data))
        got = b""
        while part := s.recv(65536):
            got += part
    assert b"event: job.completed" in got
    assert got.endswith(b"\1\3\1\7\0\x08\0\0" + bytes(8)), "the end of the request"
    assert got[:4] == b"\1\6\1\7"


def test_one_too_many(own_service):
    service = own_service(options=["event_listeners = 3"])
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(Stream(service, "/events")).opened() for _ in range(3)]
        answer = service.get("/events")
        assert answer.status_code == 503 and answer.json()["code"] == "too_many_listeners"
        assert int(answer.headers["Retry-After"]) >= 1
        assert service.get(f"/jobs/{quick_job(service)}?wait=20").status_code == 200
        streams[0].close()

        def free():
            with Stream(service, "/events") as stream:
                return stream.status == 200
        wait_until(free, 20, "the place of the one that left")


# ---- what they cost -----------------------------------------------------------------


def test_two_thousand_listeners(own_service):
    service = own_service()
    worker, nginx = wait_worker(service), children(service.pid("nginx"))
    service.wait_job(quick_job(service))
    before, before_nginx = private_memory(worker), private_memory(*nginx)
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(Stream(service, "/events", wait=False))
                   for _ in range(2000)]
        for stream in streams:
            stream.read_head().opened()
        with Stream(service, "/events") as surplus:
            assert surplus.status == 503
        slowest = 0.0
        for _ in range(100):
            began = time.monotonic()
            assert service.get("/jobs?limit=1").status_code == 200
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 2, "plain requests do not wait behind them"
        job_id = quick_job(service)
        began = time.monotonic()
        for stream in streams:
            kinds = names(stream.until("job.completed"))
            assert kinds[0] == "job.queued" and kinds[1] == "job.started"
        took = time.monotonic() - began
        grown = private_memory(worker) - before
        grown_nginx = private_memory(*nginx) - before_nginx
        print(f"2000 listeners: {grown / MEBIBYTE:.1f} MiB in jobq-api, "
              f"{grown_nginx / MEBIBYTE:.1f} MiB in nginx; all told within {took * 1000:.0f} ms; "
              f"slowest plain request {slowest * 1000:.0f} ms")
        assert grown < 64 * MEBIBYTE or sanitized(worker)
        assert grown_nginx < 256 * MEBIBYTE
        assert service.job(job_id)["status"] == "completed"
    wait_until(lambda: service.connections("wait") == 0, 20, "nobody's listening any more")


def test_silence_and_slowness(own_service):
    """One hears nothing for 15 s and gets a heartbeat; others do not read, and are dropped."""
    service = own_service()
    worker = wait_worker(service)
    before = private_memory(worker)
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(Stream(service, "/events", window=4096)) for _ in range(20)]
        fast = stack.enter_context(Stream(service, "/events", timeout=60))
        # Each ends with a result of megabytes.
        jobs = [service.submit("batch_operations", {"operations": [
            {"action": "get_info", "scene_path": "res://levels/one.tscn"}] * 10000})
            for _ in range(6)]
        ended = 0
        while ended < len(jobs):
            ended += fast.event().name == "job.completed"
        peak = private_memory(worker) - before
        began = time.monotonic()
        assert fast.block() == [": heartbeat"] and time.monotonic() - began > 10
        wait_until(lambda: service.logs().count("event=listener_dropped") == len(slow), 60,
                   "the slow ones' being dropped")
        # nginx ends what was cut off as if that were all; what the cut left is no event.
        for stream in slow[:3]:
            assert stream.rest() is not None
        print(f"20 slow listeners: {peak / MEBIBYTE:.1f} MiB")
        assert peak < 64 * MEBIBYTE or sanitized(worker)
        assert service.get("/jobs?limit=1").status_code == 200
        assert alive(worker)


def test_large_results_for_slow_readers_are_bounded(own_service, tmp_path):
    """Many wait with megabytes each before them: the slowest have to go, the others get theirs."""
    project = make_project(tmp_path)
    lines = ["[gd_scene format=3]\n"]
    lines += [f'[ext_resource type="Script" path="res://thing.gd" id="{i}_unused"]'
              for i in range(100)]
    (project / "noisy.tscn").write_text("\n".join([*lines, '\n[node name="A" type="Node"]\n']))
    service = own_service(project=project)
    worker = wait_worker(service)
    jobs = [service.submit("batch_operations", {"operations": [
        {"action": "validate", "scene_path": "res://noisy.tscn"}] * 1000}) for _ in range(3)]
    for job_id in jobs:
        assert service.wait_job(job_id)["status"] == "completed"
    size = len(service.get(f"/jobs/{jobs[0]}").content)
    assert size > 6 * MEBIBYTE, "nothing between us and the client keeps as much"
    before = private_memory(worker)
    with contextlib.ExitStack() as stack:
        for n in range(30):
            stack.enter_context(Stream(service, f"/jobs/{jobs[n % 3]}/events", window=4096))
        wait_until(lambda: "why=memory" in service.logs(), 20, "the slowest ones' being dropped")
        held = private_memory(worker) - before
        with Stream(service, f"/jobs/{jobs[0]}/events") as fast:
            events = fast.opened().rest()
            assert names(events) == ["job.completed"] and fast.ended
            assert events[0].data == service.job(jobs[0])
        print(f"30 wait for {size / MEBIBYTE:.1f} MiB each: {held / MEBIBYTE:.1f} MiB")
        assert held < 64 * MEBIBYTE or sanitized(worker)


# ---- how they end ------------------------------------------------------------------


def curl(service, path, *arguments, url=None):
    return subprocess.Popen(
        ["curl", "-sSN", "-m", "60", *arguments, "-H", f"Authorization: Bearer {service.token}",
         (url or service.base_url) + path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def read_until(process, text, timeout=20):
    """What the process writes, until it holds the text."""
    got, deadline = b"", time.monotonic() + timeout
    while text not in got:
        assert select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))[0], got
        part = os.read(process.stdout.fileno(), 65536)
        assert part, got + process.stderr.read()
        got += part
    return got


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ends_cleanly(own_service, number):
    service = own_service()
    job_id = slow_job(service, 2000)
    streams = [curl(service, "/events"), curl(service, f"/jobs/{job_id}/events")]
    for stream in streams:
        got = read_until(stream, b"event: job.progress")
    worker, parent = wait_worker(service), service.pid("jobq-api")
    began = time.monotonic()
    os.kill(parent, number)
    rests = [stream.communicate(timeout=20) for stream in streams]
    assert time.monotonic() - began < 5
    assert [stream.returncode for stream in streams] == [0, 0], rests
    wait_until(lambda: not alive(worker), 20, "the end of the worker")
    if number == signal.SIGTERM:
        wait_until(lambda: service.pid("jobq-api") != parent, 20, "the next jobq-api")
    service.wait_healthy()
    place = re.findall(rb"^id: (\S+)", got, re.M)[-1].decode()
    with Stream(service, f"/jobs/{job_id}/events", last=place) as stream:
        events = stream.opened().until("job.progress")
        assert "reset" not in names(events), "the feed outlives jobq-api"


def test_ends_with_the_table(own_service):
    """Another table: streams end, and who comes back is told that it may have missed something."""
    service = own_service()
    stream = curl(service, "/events")
    read_until(stream, b"id: ")
    place = place_of(service)
    Path(f"/dev/shm{service.table_name()}").unlink()
    service.kill("jobqd")
    stream.communicate(timeout=30)
    assert stream.returncode == 0
    service.wait_healthy()
    with Stream(service, "/events", last=place) as again:
        assert again.opened().event().name == "reset"
        quick_job(service)
        again.until("job.completed")


def test_a_killed_worker_ends_only_its_streams(own_service):
    service = own_service()
    job_id = slow_job(service, 2000)
    with Stream(service, f"/jobs/{job_id}/events") as stream:
        stream.until("job.progress")
        worker = wait_worker(service)
        os.kill(worker, signal.SIGKILL)
        stream.rest()
    assert service.get(f"/jobs/{job_id}").status_code == 200
    wait_until(lambda: wait_worker(service) != worker, 20, "its successor")

    def goes_on():
        with Stream(service, f"/jobs/{job_id}/events", last=stream.last) as again:
            return again.status == 200 and names([again.event()]) == ["job.progress"]
    wait_until(goes_on, 20, "the next stream")


def test_listeners_that_leave_are_forgotten(service):
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(Stream(service, "/events")).opened()
        assert service.connections("wait") >= 20
    wait_until(lambda: service.connections("wait") == 0, 20, "their connections' end")


# ---- TLS and HTTP/2 -----------------------------------------------------------------


@pytest.fixture
def encrypted(service, tmp_path):
    """The same service behind a second nginx, with TLS and HTTP/2; its address."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost",
                    "-days", "1", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
                   check=True, capture_output=True)
    port = free_port()
    text = (service.state / "etc/quickstart.conf").read_text()
    text = text.replace(f"{service.state}/tmp", str(tmp_path)).replace(
        f"{service.state}/log", str(tmp_path))
    text = re.sub(r"listen [^;]*;", f"listen 127.0.0.1:{port} ssl http2;\n"
                  f"ssl_certificate {tmp_path}/cert.pem;\nssl_certificate_key {tmp_path}/key.pem;",
                  text)
    text = re.sub(r"(worker_connections) \d+", r"\1 512", text)
    (tmp_path / "nginx.conf").write_text(text)
    nginx = subprocess.Popen(["nginx", "-e", "stderr", "-p", f"{tmp_path}/",
                              "-c", tmp_path / "nginx.conf"], stderr=subprocess.DEVNULL)

    def listens():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
    try:
        wait_until(listens, 20, "the second nginx")
        yield f"https://localhost:{port}"
    finally:
        nginx.terminate()
        nginx.wait(20)


@pytest.mark.parametrize("version", ["--http2", "--http1.1"])
def test_through_tls(service, encrypted, version):
    job_id = slow_job(service, 30)
    streams = [curl(service, f"/jobs/{job_id}/events", "-k", "-i", version, url=encrypted)
               for _ in range(2)]
    got = read_until(streams[0], b"event: job.progress")
    assert got.startswith(b"HTTP/2 200" if version == "--http2" else b"HTTP/1.1 200")
    assert service.job(job_id)["status"] == "running", "it came at once"
    rest, _ = streams[0].communicate(timeout=30)
    assert streams[0].returncode == 0 and b"event: job.completed" in rest
    streams[1].communicate(timeout=30)
    assert streams[1].returncode == 0
