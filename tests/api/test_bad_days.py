"""Bad days: peers that speak nonsense, slow clients, a full table, sudden deaths."""

import contextlib
import hashlib
import json
import os
import random
import re
import secrets
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import quick_job, slow_job
from service import (ABORT, BEGIN, PARAMS, STDIN, Service, alive, children, fastcgi, fastcgi_answer,
                     fastcgi_request, freeze, pairs, program, record, role, thaw, wait_until)

JSON = {"Content-Type": "application/json"}
PRELOAD = {"type": "scene_preload", "parameters": {"scene_paths": ["res://a.tscn"]}}


def http(method, path, token="", body=b"", headers=""):
    """A request as it goes over the wire."""
    text = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}"
    text += f"Authorization: Bearer {token}\r\n" if token else ""
    text += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    return text.encode() + b"\r\n" + body


def answer_of(peer):
    """All that comes until the other side closes."""
    got = b""
    with contextlib.suppress(ConnectionError):
        while part := peer.recv(65536):
            got += part
    return got


def next_id(service):
    return int(re.search(r"^next_id (\d+)$", service.ctl("show").stdout, re.M)[1])


# ---- nonsense on the FastCGI sockets ---------------------------------------------

THREADS = {"api": 4, "wait": 8}
GET_VALUES, DATA = 9, 8
HEALTH = {"REQUEST_METHOD": "GET", "DOCUMENT_URI": "/healthz"}
SUBMIT = {"REQUEST_METHOD": "POST", "DOCUMENT_URI": "/jobs", "CONTENT_TYPE": "application/json",
          "JOBQ_TOKEN_NAME": "ci"}
BODY = json.dumps(PRELOAD).encode()


def begin(role=1, keep=1, **arguments):
    return record(BEGIN, struct.pack("!HB5x", role, keep), **arguments)


def submission(keep=False):
    return fastcgi_request(SUBMIT | {"CONTENT_LENGTH": str(len(BODY))}, BODY, keep)


def long_pair(name_len, value_len, content=b"abc"):
    return struct.pack("!II", name_len | 1 << 31, value_len | 1 << 31) + content


WHOLE = fastcgi_request(HEALTH, keep=True)
NONSENSE = {
    "nothing": b"",
    "one byte": b"\1",
    "half a header": WHOLE[:5],
    "version 0": begin(version=0),
    "version 2": begin(version=2),
    "another version later": begin() + record(PARAMS, pairs(HEALTH), version=2),
    "begin too short": record(BEGIN, b"\0\1"),
    "begin too long": record(BEGIN, b"\0\1\1" + bytes(13)),
    "begin with a length that lies": record(BEGIN, struct.pack("!HB5x", 1, 1), length=65535),
    "begin for request 0": begin(request_id=0) + WHOLE,
    "unknown role": begin(role=9),
    "begin twice": begin() + begin() + record(PARAMS, pairs(HEALTH)) + record(PARAMS),
    "begin of another request": begin() + begin(request_id=2) + WHOLE[16:],
    "params of another request": begin() + record(PARAMS, pairs(HEALTH), request_id=7),
    "params too short for what they say": begin() + record(PARAMS, pairs(HEALTH), length=9),
    "params that promise more": begin() + record(PARAMS, pairs(HEALTH), length=65535),
    "params without begin": record(PARAMS, pairs(HEALTH)) + record(PARAMS) + record(STDIN),
    "params that end in a length": begin() + record(PARAMS, b"\x80\0") + record(PARAMS),
    "params that end in a name": begin() + record(PARAMS, b"\x05\x05abc") + record(PARAMS),
    "params with a name of 2 GB": begin() + record(PARAMS, long_pair(0x7ffffff0, 1)),
    "params with a value of 2 GB": begin() + record(PARAMS, long_pair(1, 0x7ffffff0)),
    "params with the longest lengths": begin() + record(PARAMS, long_pair(0x7fffffff, 0x7fffffff)),
    "padding that lies": begin() + struct.pack("!BBHHBB", 1, PARAMS, 1, 0, 255, 0),
    "stdin without begin": record(STDIN, b"x" * 100) + record(STDIN),
    "stdin before params": begin() + record(STDIN, b"x" * 100) + record(PARAMS),
    "stdin that never ends": fastcgi_request(SUBMIT | {"CONTENT_LENGTH": "1000000"})[:-8] +
                             record(STDIN, b"{" * 60000),
    "stdin shorter than announced": fastcgi_request(SUBMIT | {"CONTENT_LENGTH": "5000"}, b"{}"),
    "stdin with an impossible length": fastcgi_request(SUBMIT | {"CONTENT_LENGTH": "-1"}, b"{}"),
    "abort first": record(ABORT) + WHOLE,
    "abort after begin": begin() + record(ABORT),
    "abort in the params": begin() + record(PARAMS, pairs(HEALTH)) + record(ABORT),
    "abort in the body": submission()[:-8 - len(BODY) // 2] + record(ABORT),
    "data": begin() + record(PARAMS) + record(DATA, b"x") + record(STDIN),
    "unknown type first": record(77, b"abc") + WHOLE,
    "unknown type in the params": begin() + record(77, b"abc") + record(PARAMS, pairs(HEALTH)),
    "unknown management record": record(77, b"abc", request_id=0) + WHOLE,
    "management record with no end": record(GET_VALUES, b"\x0e", request_id=0, length=60000),
    "management record only": record(GET_VALUES, pairs({"FCGI_MAX_CONNS": ""}), request_id=0),
    "empty params": begin() + record(PARAMS) + record(STDIN),
    "a hundred requests at once": WHOLE * 100,
    "HTTP": http("GET", "/healthz") * 10,
    "zeros": bytes(100000),
    "ones": b"\1" * 100000,
}


@pytest.fixture(scope="module")
def narrow(project):
    """A service with few threads. Nobody asks through nginx, whose connections hold some."""
    with Service(project=project, options=["api_processes = 1", f"api_threads = {THREADS['api']}",
                                           f"wait_threads = {THREADS['wait']}",
                                           "drain_timeout = 0"]) as running:
        running.processes = running.api_workers(2)
        yield running


def connect(service, name):
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(20)
    peer.connect(service.socket_path(name))
    return peer


def send_nonsense(service, name, data):
    """Sends it, and nothing more; returns what is answered."""
    with connect(service, name) as peer:
        with contextlib.suppress(ConnectionError):
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
        return answer_of(peer)


def assert_every_thread_serves(service, name):
    """As many kept connections as there are threads are all served while all are open."""
    with contextlib.ExitStack() as stack:
        for _ in range(THREADS[name]):
            peer = stack.enter_context(connect(service, name))
            peer.sendall(WHOLE)
            assert b"Status: 200 OK" in fastcgi_answer(peer)
    assert children(service.pid("jobq-api")) == service.processes, "a process was replaced"


@pytest.mark.parametrize("name", THREADS)
@pytest.mark.parametrize("case", NONSENSE)
def test_nonsense_harms_nobody(narrow, name, case):
    """Neither when the peer waits for an answer nor when it goes away at once."""
    with ThreadPoolExecutor(THREADS[name] + 3) as pool:
        for _ in pool.map(lambda _: send_nonsense(narrow, name, NONSENSE[case]),
                          range(THREADS[name] + 3)):
            pass
    for _ in range(THREADS[name] + 3):
        with connect(narrow, name) as peer, contextlib.suppress(ConnectionError):
            peer.sendall(NONSENSE[case])
    assert_every_thread_serves(narrow, name)


@pytest.mark.parametrize("name", THREADS)
def test_request_cut_off_anywhere_queues_nothing(narrow, name):
    request = submission()
    complete = request.index(BODY) + len(BODY)
    before = next_id(narrow)
    for length in range(complete):
        send_nonsense(narrow, name, request[:length])
    assert next_id(narrow) == before
    assert_every_thread_serves(narrow, name)


@pytest.mark.parametrize("seed", range(6))
def test_random_bytes_harm_nobody(narrow, seed):
    chance = random.Random(seed)
    for _ in range(60):
        send_nonsense(narrow, "api", chance.randbytes(chance.randrange(1, 2000)))
        broken = bytearray(submission(keep=True))
        for _ in range(chance.randrange(1, 6)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        send_nonsense(narrow, "wait", bytes(broken))
    for name in THREADS:
        assert_every_thread_serves(narrow, name)
    narrow.assert_sound()


def test_management_records_are_answered(narrow):
    asked = record(GET_VALUES, pairs({"FCGI_MAX_CONNS": "", "FCGI_MPXS_CONNS": ""}), request_id=0)
    got = send_nonsense(narrow, "api", asked + WHOLE)
    assert got[:2] == b"\1\x0a", "a record FCGI_GET_VALUES_RESULT"
    assert b"FCGI_MAX_CONNS1" in got and b"FCGI_MPXS_CONNS0" in got
    assert b"Status: 200 OK" in got, "the request behind it is served"


def test_request_without_params_is_answered(narrow):
    got = fastcgi(narrow.socket_path("api"), fastcgi_request({}))
    assert b"Status: 404" in got and b'"code":"not_found"' in got


def test_requests_follow_each_other_on_one_connection(narrow):
    with connect(narrow, "api") as peer:
        for _ in range(20):
            peer.sendall(submission(keep=True))
            answer = fastcgi_answer(peer)
            assert b"Status: 202" in answer
            job_id = json.loads(answer.partition(b"\r\n\r\n")[2])["job_id"]
            peer.sendall(fastcgi_request({"REQUEST_METHOD": "GET", "JOBQ_TOKEN_NAME": "ci",
                                          "DOCUMENT_URI": f"/jobs/{job_id}"}, keep=True))
            answer = fastcgi_answer(peer)
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["job"]["id"] == job_id


@pytest.mark.parametrize("size", [1, 8000, 8192, 100000, 300000])
def test_connection_outlives_a_body_that_nobody_reads(narrow, size):
    """Refused before its body was read: the rest of it is not the next request."""
    refused = SUBMIT | {"CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": str(size)}
    data = fastcgi_request(refused, keep=True)[:-8]
    for at in range(0, size, 32768):
        data += record(STDIN, b"\0" * min(32768, size - at))
    with connect(narrow, "api") as peer:
        for _ in range(3):
            peer.sendall(data + record(STDIN))
            assert b'"code":"invalid_content_type"' in fastcgi_answer(peer)
            peer.sendall(WHOLE)
            assert b"Status: 200 OK" in fastcgi_answer(peer)


def smuggled():
    """A body that is a FastCGI request wherever one begins to read it at a record's beginning."""
    sled = record(DATA, request_id=9) * 4000 + record(DATA, bytes(8), request_id=9)
    return sled + submission(keep=True)


@pytest.mark.parametrize("shift", range(8))
def test_body_is_never_taken_for_a_request(service, shift):
    """Anybody may send a body to /healthz; what is in it must not reach the application."""
    before = next_id(service)
    body = b"x" * shift + smuggled()
    for _ in range(3):
        got = service.raw(http("GET", "/healthz", body=body, headers="Connection: close\r\n"))
        assert got.startswith(b"HTTP/1.1 200 ")
    # A kept connection, and more requests over it: none may get another's answer.
    with service.new_session() as session:
        for _ in range(3):
            session.get(f"{service.base_url}/healthz", data=body)
            answer = session.get(f"{service.base_url}/jobs?limit=1")
            assert answer.status_code == 200 and "jobs" in answer.json()
    assert next_id(service) == before, "a job was queued by somebody without a token"


def test_refused_bodies_cost_no_other_request(service):
    """nginx keeps its connections: none may be closed under the next request."""
    def client(_):
        statuses = Counter()
        with service.new_session() as session:
            for _ in range(60):
                statuses[session.post(f"{service.base_url}/jobs", data=b"x" * 60000,
                                      headers={"Content-Type": "text/plain"}).status_code] += 1
                statuses[session.post(f"{service.base_url}/jobs", json=PRELOAD).status_code] += 1
        return statuses
    with ThreadPoolExecutor(8) as pool:
        statuses = sum(pool.map(client, range(8)), Counter())
    assert statuses == {400: 480, 202: 480}


@pytest.mark.parametrize("data", [
    record(GET_VALUES, pairs({"FCGI_MAX_CONNS": ""}) * 40, request_id=0) + WHOLE,
    begin() + record(PARAMS, long_pair(0x7ffffffe, 0x7ffffffe)),
], ids=["many values asked for", "lengths whose sum overflows"])
def test_what_libfcgi_dies_of_costs_no_more_than_a_worker(own_service, data):
    """Only nginx may connect, and nginx sends no such thing; still nothing else may suffer."""
    service = own_service(options=["api_processes = 1", "api_threads = 4"])
    job_id = slow_job(service)
    others = [service.pid("jobq-api"), service.pid("jobqd"), *service.wait_workers()]
    for _ in range(3):
        send_nonsense(service, "api", data)
        wait_until(lambda: b"Status: 200" in fastcgi(service.socket_path("api"), WHOLE))
    service.api_workers(2)
    assert all(alive(pid) for pid in others)
    assert service.job(job_id)["status"] == "running"
    service.assert_sound()


def test_silent_peers_are_let_go(own_service):
    """Of nginx and of the sockets behind it; meanwhile the others are served."""
    service = own_service(options=["api_processes = 1", "api_threads = 4"])
    peers = [connect(service, "api") for _ in range(3)]
    for peer, length in zip(peers, (5, 30, 60)):
        peer.sendall(WHOLE[:length])
    for data in (b"", b"G", b"GET /healthz HTTP/1.1\r\nHos", http("POST", "/jobs", "x" * 20)[:-2]):
        for _ in range(10):
            peer = socket.create_connection(("127.0.0.1", service.port))
            peer.sendall(data)
            peers.append(peer)

    def closed(peer):
        peer.setblocking(False)
        try:
            return peer.recv(4096) == b""
        except BlockingIOError:
            return False
        except ConnectionError:
            return True

    def look():
        began = time.monotonic()
        assert service.get("/jobs?limit=1").status_code == 200
        assert time.monotonic() - began < 8, "one thread is left, and it serves"
        for peer in [peer for peer in peers if closed(peer)]:
            peer.close()
            peers.remove(peer)
        return not peers
    wait_until(look, 75, "the end of every silent connection")


# ---- slow and half-closed clients ------------------------------------------------


@pytest.mark.parametrize("method,path,status", [
    ("GET", "/healthz", 200), ("GET", "/jobs?limit=5", 200), ("HEAD", "/jobs?limit=5", 200),
    ("GET", "/jobs/999999999", 404), ("POST", "/jobs", 202), ("DELETE", "/jobs/999999999", 404),
    ("GET", "/nowhere", 404), ("GET", "/jobs", 200), ("GET", "/metrics", 200), ("GET", "/", 200),
])
def test_client_that_shuts_its_sending_side_gets_its_answer(service, method, path, status):
    request = http(method, path, service.token, BODY if method == "POST" else b"")
    for _ in range(20):
        assert service.raw(request, shut=True).startswith(b"HTTP/1.1 %d " % status)


def test_request_byte_by_byte(service):
    request = http("POST", "/jobs", service.token, BODY, "Connection: close\r\n")
    with socket.create_connection(("127.0.0.1", service.port), 20) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(request)):
            peer.sendall(request[at:at + 1])
            if at % 50 == 0:
                assert service.get("/jobs?limit=1", timeout=10).status_code == 200
        answer = answer_of(peer)
    assert answer.startswith(b"HTTP/1.1 202 ")
    job_id = json.loads(answer.partition(b"\r\n\r\n")[2])["job_id"]
    assert service.wait_job(job_id)["status"] == "completed"


def test_clients_that_connect_and_say_nothing(service):
    with contextlib.ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port), 20))
        for _ in range(20):
            began = time.monotonic()
            with service.new_session() as session:
                assert session.get(f"{service.base_url}/jobs?limit=1").status_code == 200
            assert time.monotonic() - began < 3


def submit_many(service, count):
    """Puts many jobs into the queue, past nginx."""
    with connect(service, "api") as peer:
        for _ in range(count):
            peer.sendall(submission(keep=True))
            assert b"Status: 202" in fastcgi_answer(peer)


def slow_reader(service):
    """Asks for the whole list through a window that is as small as can be."""
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.settimeout(60)
    peer.connect(("127.0.0.1", service.port))
    peer.sendall(http("GET", "/jobs", service.token, headers="Connection: close\r\n"))
    assert peer.recv(13, socket.MSG_WAITALL) == b"HTTP/1.1 200 "
    return peer


def test_long_lists_read_slowly_hold_up_nobody(own_service):
    """Each holds its thread of the waiting pool; when those are used up, others are told."""
    service = own_service(options=["wait_threads = 10"], table_max="256M")
    freeze(*service.wait_workers())  # so that the list stays as it is
    kernel_buffer = int(Path("/proc/sys/net/ipv4/tcp_wmem").read_text().split()[2])
    count = (kernel_buffer + 2000000) // 90
    submit_many(service, count)
    readers = [slow_reader(service) for _ in range(6)]  # ten threads, four of them spare
    refused = service.get("/jobs")
    assert refused.status_code == 503 and refused.json()["code"] == "too_many_waiting"
    parts = [b""] * len(readers)
    for _ in range(30):
        for i, reader in enumerate(readers):
            parts[i] += reader.recv(512)
        began = time.monotonic()
        assert service.get("/jobs?limit=100").json()["count"] == 100
        assert time.monotonic() - began < 3
        assert service.get("/jobs").status_code == 503, "all of them are still at it"
    for reader in readers[3:]:
        reader.close()
    wait_until(lambda: service.get("/jobs").status_code == 200, 20,
               "the return of threads whose clients have gone")
    for part, reader in zip(parts, readers[:3]):
        head, _, body = (part + answer_of(reader)).partition(b"\r\n\r\n")
        reader.close()
        assert b"Transfer-Encoding: chunked" in head
        listed = json.loads(b"".join(chunks(body)))
        assert listed["count"] == len(listed["jobs"]) == count


def chunks(data):
    """What chunked data holds (RFC 9112, section 7.1)."""
    at = 0
    while True:
        end = data.index(b"\r\n", at)
        size = int(data[at:end], 16)
        if size == 0:
            return
        yield data[end + 2:end + 2 + size]
        at = end + 2 + size + 2


# ---- more clients than threads ---------------------------------------------------


@pytest.mark.parametrize("method,path,body,status", [("GET", "/jobs?limit=1", b"", 200),
                                                     ("POST", "/jobs", BODY, 202)],
                         ids=["GET", "POST"])
def test_more_clients_than_threads_are_all_answered(own_service, method, path, body, status):
    # More threads than nginx keeps connections, twice: what is kept pins no other.
    service = own_service(options=["api_processes = 1", "api_threads = 280"])
    workers = service.api_workers(2)
    request = http(method, path, service.token, body, "Connection: close\r\n")
    # SIGCONT ends a read that has a time limit (signal(7)): none is to be under way.
    wait_until(lambda: service.connections("api") == 0, 20, "the end of kept connections")
    freeze(*workers)  # so that all are there at the same time
    with ThreadPoolExecutor(500) as pool:
        answers = [pool.submit(service.raw, request, timeout=80) for _ in range(500)]
        wait_until(lambda: service.connections("api") >= 500, 20, "500 requests at once")
        began = time.monotonic()
        thaw(*workers)
        statuses = Counter(answer.result().split(b" ", 2)[1] for answer in answers)
    assert set(statuses) <= {b"%d" % status, b"503"}, statuses
    assert statuses[b"%d" % status] >= 4
    assert time.monotonic() - began < 25
    assert service.get("/jobs?limit=1").status_code == 200


# ---- a full table ----------------------------------------------------------------


def fill(service):
    """Submits, large jobs first, until not even the smallest finds room; returns the ids."""
    ids = []
    for paths in (10000, 1000, 10, 1):
        body = {"type": "scene_preload", "parameters": {"scene_paths": ["res://a.tscn"] * paths}}
        while (answer := service.post("/jobs", body)).status_code == 202:
            ids.append(answer.json()["job_id"])
        assert answer.status_code == 503 and answer.json()["code"] == "queue_full"
        assert int(answer.headers["Retry-After"]) >= 1
    return ids


def filled(service, operations):
    """A full table, with three running jobs; returns their ids, the others', the workers."""
    workers = service.wait_workers()
    running = [service.submit("batch_operations", {"operations": each}) for each in operations]
    wait_until(lambda: all(service.job(i)["status"] == "running" for i in running))
    freeze(*workers)
    queued = fill(service)
    assert all(service.job(i)["status"] == "running" for i in running)
    return running, queued, workers


def validates(count):
    return [{"action": "validate", "scene_path": "res://slow.tscn"}] * count


def test_full_table_recovers_by_itself(own_service):
    service = own_service(options=["retention = 1s", "cleanup_interval = 200ms"], table_max="8M")
    running, queued, workers = filled(service, [validates(20)] * 3)
    listed = service.get("/jobs").json()["jobs"]
    assert [job["id"] for job in listed] == running + queued, "reads go on"
    for job_id in queued[::3]:
        assert service.delete(f"/jobs/{job_id}").status_code == 200, "cancels go on"
        assert service.job(job_id)["status"] == "cancelled"
    assert service.get("/healthz").status_code == 200
    thaw(*workers)
    with ThreadPoolExecutor(3) as pool:  # at once, for they are gone a second after their end
        for answer in pool.map(lambda i: service.get(f"/jobs/{i}?wait=60"), running):
            job = answer.json()["job"]
            assert job["status"] == "completed", "there is a reserve for results"
            assert job["result"]["successful"] == 20
    again = wait_until(lambda: (answer := service.post("/jobs", PRELOAD)).status_code == 202 and
                       answer.json()["job_id"], 30, "room for another job")
    assert int(again) == int(queued[-1]) + 1, "a refused submission uses no id"
    wait_until(lambda: service.get("/jobs?limit=1").json()["count"] == 0, 60, "an empty table")
    for job_id in (running[0], queued[0], again):
        assert service.get(f"/jobs/{job_id}").status_code == 404
    assert int(quick_job(service)) == int(again) + 1
    service.assert_sound()


def test_full_table_fails_what_has_no_room_for_its_result(own_service):
    """The reserve is finite. Nothing expires here, so what is too large is told so."""
    service = own_service(table_max="8M")
    large = validates(20) + [{"action": "get_info", "scene_path": "res://a.tscn"}] * 9980
    running, queued, workers = filled(service, [validates(20), validates(20), large])
    for job_id in queued:
        assert service.delete(f"/jobs/{job_id}").status_code == 200
    thaw(*workers)
    small, other, big = (service.wait_job(job_id) for job_id in running)
    assert small["status"] == other["status"] == "completed"
    assert small["result"]["successful"] == 20
    assert big["status"] == "failed" and big["result"] is None
    assert "no memory left for the result" in big["error"] and big["progress"] < 1
    assert service.post("/jobs", PRELOAD).json()["code"] == "queue_full", "cancelled ones stay"
    assert len(service.wait_workers()) == 3 and service.wait_workers() == workers
    service.assert_sound()


# ---- no supervisor ---------------------------------------------------------------


def test_stopped_supervisor_still_owns_the_table(own_service):
    """Whoever does not run but lives: jobs go on, what only it can do waits."""
    service = own_service()
    supervisor, workers = service.pid("jobqd"), service.wait_workers()
    freeze(supervisor)
    assert service.wait_job(quick_job(service))["status"] == "completed"
    long = slow_job(service, 500)
    wait_until(lambda: service.job(long)["progress"] > 0)
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(alive(pid) for pid in workers))
    waiting = [quick_job(service) for _ in range(5)]
    assert service.job(long)["status"] == "running", "nobody has settled it"
    assert all(service.job(job_id)["status"] == "queued" for job_id in waiting)
    thaw(supervisor)
    job = service.wait_job(long)
    assert job["status"] == "failed" and "SIGKILL" in job["error"]
    assert all(service.wait_job(job_id)["status"] == "completed" for job_id in waiting)
    assert service.pid("jobqd") == supervisor
    service.assert_sound()


def test_dead_supervisor_stops_submissions_only(own_service):
    """Changes need the store, whose writer ends with the supervisor; reads need nobody."""
    service = own_service(options=["submit_timeout = 500ms"])
    workers = service.wait_workers()
    running = [slow_job(service) for _ in range(3)]
    wait_until(lambda: all(service.job(i)["progress"] > 0 for i in running))
    queued = [quick_job(service) for _ in range(4)]
    freeze(service.process.pid)  # quickstart would start it again
    supervisor = service.kill("jobqd")
    wait_until(lambda: not alive(supervisor))

    answer = service.post("/jobs", PRELOAD)
    assert answer.status_code == 503 and answer.json()["code"] == "supervisor_unavailable"
    assert int(answer.headers["Retry-After"]) >= 1
    health = service.get("/healthz")
    assert health.status_code == 503 and int(health.headers["Retry-After"]) >= 1
    assert health.json()["status"] == health.json()["supervisor"] == "unavailable"
    assert [job["id"] for job in service.get("/jobs").json()["jobs"]] == [*running, *queued]
    assert service.get("/jobs?limit=2").json()["count"] == 2
    assert service.job(queued[0])["status"] == "queued"
    assert service.job(running[0])["status"] == "running"
    answer = service.delete(f"/jobs/{queued[0]}")
    assert answer.status_code == 503 and answer.json()["code"] == "supervisor_unavailable"
    assert service.get(f"/jobs/{queued[0]}?wait=1").json()["job"]["status"] == "queued"
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(alive(pid) for pid in workers))

    thaw(service.process.pid)
    service.wait_healthy()
    for job in map(service.wait_job, running):
        assert job["status"] == "failed" and "while jobqd was not running" in job["error"]
    assert all(service.wait_job(job_id)["status"] == "completed" for job_id in queued)
    assert int(quick_job(service)) == int(queued[-1]) + 1, "a refused submission uses no id"
    service.assert_sound()


# ---- dying in the middle of it ---------------------------------------------------


def test_killed_api_processes_lose_no_acknowledged_job(own_service):
    service = own_service()
    parent = service.pid("jobq-api")
    enough = threading.Event()

    def submit(_):
        ids, refused = [], Counter()
        with service.new_session() as session:
            while not enough.is_set():
                try:
                    answer = session.post(f"{service.base_url}/jobs", json=PRELOAD, timeout=60)
                except OSError:  # nginx may close as well
                    refused["closed"] += 1
                    continue
                if answer.status_code == 202:
                    ids.append(int(answer.json()["job_id"]))
                else:
                    assert answer.status_code in (502, 503, 504), answer.text
                    refused[answer.status_code] += 1
        return ids, refused

    with ThreadPoolExecutor(12) as pool:
        submitters = [pool.submit(submit, i) for i in range(12)]
        for _ in range(4):
            seen, began = next_id(service), time.monotonic()
            workers = service.api_workers(3)
            # Older than a second, or their successors would be held back.
            wait_until(lambda: next_id(service) > seen + 50 and time.monotonic() > began + 1.05)
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not set(workers) & set(children(parent)))
        service.api_workers(3)
        enough.set()
        done = [submitter.result() for submitter in submitters]
    acknowledged = [job_id for ids, _ in done for job_id in ids]
    assert len(acknowledged) == len(set(acknowledged)) > 200, "each id was given once"
    assert service.pid("jobq-api") == parent

    def finished():
        return all(service.get(f"/jobs?status={status}&limit=1").json()["count"] == 0
                   for status in ("queued", "running"))
    wait_until(finished, 120, "the end of all jobs")
    completed = {int(job["id"]) for job in service.get("/jobs?status=completed").json()["jobs"]}
    assert set(acknowledged) <= completed
    assert completed == set(range(1, next_id(service))), "no id was left out either"
    assert re.search(r"^repairs \d+$", service.ctl("show").stdout, re.M)
    service.assert_sound()


LOCK_AT = 128  # in struct header (src/table/table.h)
HOLDER = """
import ctypes, mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
table = mmap.mmap(fd, os.fstat(fd).st_size)
lock = ctypes.addressof(ctypes.c_char.from_buffer(table)) + int(sys.argv[2])
assert ctypes.CDLL(None).pthread_mutex_lock(ctypes.c_void_p(lock)) == 0
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def lock_held(service):
    """The table's lock is held by a process that lives; gives that process."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, f"/dev/shm{service.table_name()}", str(LOCK_AT)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        yield holder
    finally:
        holder.kill()
        holder.wait()


def test_reads_go_on_in_workers_that_begin_while_the_lock_is_held(own_service):
    service = own_service()
    job_id = quick_job(service)
    service.wait_job(job_id)
    workers = service.api_workers(3)
    with lock_held(service):
        os.kill(service.pid("jobq-api"), signal.SIGHUP)
        wait_until(lambda: not set(children(service.pid("jobq-api"))) & set(workers))
        for _ in range(20):
            assert service.job(job_id)["status"] == "completed"


def test_lock_of_a_dead_process_is_repaired(own_service):
    """While it lives nobody can submit but all can read; when it dies all goes on."""
    service = own_service()
    job_id = quick_job(service)
    service.wait_job(job_id)
    for round_number in range(1, 4):
        with lock_held(service) as holder, ThreadPoolExecutor(20) as pool:
            submissions = [pool.submit(quick_job, service) for _ in range(20)]
            for _ in range(20):
                assert service.job(job_id)["status"] == "completed"
            assert not any(submission.done() for submission in submissions)
            holder.kill()
            ids = [submission.result(timeout=60) for submission in submissions]
        assert len(set(ids)) == 20
        assert all(service.wait_job(i)["status"] == "completed" for i in ids)
        assert f"\nrepairs {round_number}\n" in service.ctl("show").stdout
        service.assert_sound()


def test_jobs_survive_the_death_of_everything(own_service):
    service = own_service()
    done = quick_job(service)
    before = service.wait_job(done)
    running = [slow_job(service, 500) for _ in range(3)]
    wait_until(lambda: all(service.job(i)["progress"] > 0 for i in running))
    queued = [quick_job(service) for _ in range(5)]
    cancelled = quick_job(service)
    service.delete(f"/jobs/{cancelled}")
    key = {"Idempotency-Key": "before"}
    keyed = service.post("/jobs", PRELOAD, headers=key).json()["job_id"]
    for _ in range(2):
        service.crash()
        service.start()
    assert service.job(done) == before, "its result too"
    for job_id in running:
        job = service.job(job_id)
        assert job["status"] == "failed" and "while jobqd was not running" in job["error"]
    assert service.job(cancelled)["status"] == "cancelled"
    assert all(service.wait_job(i)["status"] == "completed" for i in [*queued, keyed])
    assert service.post("/jobs", PRELOAD, headers=key).json()["job_id"] == keyed
    assert int(quick_job(service)) == int(keyed) + 1
    service.assert_sound()


# ---- what is found under the table's name ----------------------------------------


class Bare:
    """jobqd alone, on a table of its own."""

    def __init__(self, project, directory):
        self.name = f"/jobq-test-{secrets.token_hex(8)}"
        self.path = Path(f"/dev/shm{self.name}")
        self.cache = Path(f"{self.path}-scenes")
        self.config = directory / "jobq.conf"
        self.config.write_text(f"project = {project}\nwhitelist = res://\ntable_max = 8M\n"
                               f"table_name = {self.name}\nscene_cache_size = 1M\n"
                               f"store = {directory}/jobq.db\n")
        self.log = directory / "jobqd.log"
        self.processes = []

    def begin(self):
        with open(self.log, "ab") as log:
            process = subprocess.Popen([Path(os.environ["JOBQ_BUILD"]) / "jobqd", "-c",
                                        self.config], stderr=log)
        self.processes.append(process)
        return process

    def start(self):
        """Tries again, as quickstart does: the ownership of a jobqd that was killed while it
        forked is held by its child until that has called execve(2)."""
        def started():
            seen = self.log.stat().st_size if self.log.exists() else 0
            process = self.begin()
            wait_until(lambda: b"event=started" in self.log.read_bytes()[seen:] or
                       process.poll() is not None)
            if process.poll() is None:
                return process
            assert b"owned by another jobqd" in self.log.read_bytes()[seen:], self.log.read_text()
            return None
        return wait_until(started, 10, "the start of jobqd")

    def end(self, process):
        process.terminate()
        assert process.wait(20) == 0

    def run(self):
        """To an end that it reaches by itself; what it says, and how it ends."""
        seen = self.log.stat().st_size if self.log.exists() else 0
        return self.begin().wait(20), self.log.read_bytes()[seen:].decode()

    def ctl(self, command):
        return program("jobqctl", "-c", self.config, command)

    def digest(self):
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def running(self):
        """Every process with this configuration: workers of dead supervisors too."""
        found = set()
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and alive(entry.name) and \
                        os.fsencode(self.config) in (entry / "cmdline").read_bytes():
                    found.add(int(entry.name))
        return found

    def clear(self):
        for process in self.processes:
            process.kill()
            process.wait()
        for pid in self.running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for path in Path("/dev/shm").glob(f"{self.name[1:]}*"):
            path.unlink()


@pytest.fixture
def bare(project, tmp_path):
    made = Bare(project, tmp_path)
    yield made
    made.clear()


def assert_refused(bare, *words):
    """By jobqd and jobqctl, in these words, and without a change to it."""
    before = bare.digest()
    status, told = bare.run()
    assert status == 69, told
    for told in (told, bare.ctl("show").stderr):
        assert bare.name in told and all(word in told for word in words), told
    assert bare.ctl("check").returncode == 2
    assert bare.digest() == before


LAYOUT_AT, CHANGES_AT = 8, 32  # in struct header_start, the same in every layout


def patch(bare, form, at, change):
    """Changes a number in the segment; returns what it was."""
    content = bytearray(bare.path.read_bytes())
    number, = struct.unpack_from(form, content, at)
    struct.pack_into(form, content, at, change(number))
    bare.path.write_bytes(content)
    return number


def test_table_of_another_layout_is_refused_by_name(bare):
    """While it has changes that the store lacks."""
    bare.end(bare.start())
    layout = patch(bare, "=I", LAYOUT_AT, lambda number: number + 41)
    patch(bare, "=Q", CHANGES_AT, lambda number: number + 1)
    assert_refused(bare, f"layout version {layout + 41}", f"speaks {layout}", "remove-table")
    done = bare.ctl("remove-table")
    assert done.returncode == 0 and not bare.path.exists(), done.stderr
    bare.end(bare.start())
    assert bare.ctl("check").returncode == 0


def test_table_of_another_layout_gives_way_when_all_is_stored(bare):
    """So do its workers, which are of another release, too."""
    supervisor = bare.start()
    wait_until(lambda: len(bare.running()) == 5)
    workers = [pid for pid in children(supervisor.pid) if role(pid) == "slot"]
    supervisor.kill()
    supervisor.wait()
    layout = patch(bare, "=I", LAYOUT_AT, lambda number: number + 41)
    process = bare.start()
    assert f"layout version {layout + 41}" in bare.log.read_text()
    wait_until(lambda: not any(alive(pid) for pid in workers))
    wait_until(lambda: bare.ctl("fsck").returncode == 0)
    bare.end(process)


def test_table_of_the_release_before_the_store_is_refused(bare):
    bare.end(bare.start())
    patch(bare, "=I", LAYOUT_AT, lambda number: 1)
    assert_refused(bare, "layout version 1", "remove-table")


@pytest.mark.parametrize("content", [b"something of somebody else\n" * 40000, b"x" * 4096, b"x"],
                         ids=["large", "one page", "one byte"])
def test_what_is_no_table_is_refused(bare, content):
    bare.path.write_bytes(content)
    assert_refused(bare, "is not a job table")


def test_table_that_was_cut_off_gives_way_when_all_is_stored(bare):
    bare.end(bare.start())
    whole = bare.path.stat().st_size
    with open(bare.path, "r+b") as segment:
        segment.truncate(whole // 2)
    process = bare.start()
    assert "damaged" in bare.log.read_text() and bare.path.stat().st_size == whole
    bare.end(process)


@pytest.mark.parametrize("size", [0, 1 << 20])  # between its two ftruncate(2), and after them
def test_table_that_never_was_finished_is_taken_over(bare, size):
    bare.path.write_bytes(bytes(size))
    process = bare.start()
    done = bare.ctl("check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "next_id 1\n" in bare.ctl("show").stdout
    bare.end(process)


def killed_early(bare, times, seed=1):
    """Starts jobqd and kills it after a few milliseconds, again and again."""
    chance = random.Random(seed)
    for _ in range(times):
        process = bare.begin()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0, 0.012))
        process.kill()
        process.wait()


def test_table_is_sound_whenever_its_creation_is_killed(bare):
    killed_early(bare, 25)
    process = bare.start()
    done = bare.ctl("check")
    assert done.returncode == 0, done.stdout + done.stderr
    bare.end(process)


def test_workers_of_dead_supervisors_leave(bare):
    """Also those that were just being started, or asked to leave before they slept."""
    for seed in range(8):
        killed_early(bare, 4, seed)
        process = bare.start()
        wait_until(lambda: len(children(process.pid)) == 4 and
                   bare.running() == {process.pid, *children(process.pid)}, 10,
                   "three workers and the writer, and no others")
        bare.end(process)
        assert not bare.running()


def test_scene_cache_that_is_none_is_made_anew(bare):
    bare.end(bare.start())
    size = bare.cache.stat().st_size
    for content in (b"x" * size, b"x" * 100, b""):
        bare.cache.write_bytes(content)
        done = bare.ctl("cache")
        assert done.returncode == 2 and done.stdout == ""
        assert ("is not a scene cache" if content else "there is no scene cache") in done.stderr
        bare.end(bare.start())
        assert bare.cache.stat().st_size == size
        assert bare.ctl("cache").stdout.startswith("entries 0\nbytes 0\nroom ")


def test_remove_table_refuses_while_it_is_used(bare):
    process = bare.start()
    done = bare.ctl("remove-table")
    assert done.returncode == 1 and "owned by another jobqd" in done.stderr
    assert bare.ctl("check").returncode == 0 and bare.cache.exists()
    bare.end(process)
    assert bare.ctl("remove-table").returncode == 0
    done = bare.ctl("remove-table")
    assert done.returncode == 1 and "No such file" in done.stderr


@pytest.mark.parametrize("lacking", [None, "table", "cache"])
def test_remove_table_removes_table_and_cache(bare, lacking):
    """Or the one of both that is there."""
    bare.end(bare.start())
    assert bare.path.exists() and bare.cache.exists()
    if lacking is not None:
        {"table": bare.path, "cache": bare.cache}[lacking].unlink()
    done = bare.ctl("remove-table")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(Path("/dev/shm").glob(f"{bare.name[1:]}*"))
    bare.end(bare.start())
    assert bare.path.exists() and bare.cache.exists()


# ---- two of a kind ---------------------------------------------------------------


def test_one_of_many_supervisors_wins(bare):
    """They all start at once on a table that is not there yet."""
    rivals = [bare.begin() for _ in range(8)]
    wait_until(lambda: sum(rival.poll() is None for rival in rivals) == 1)
    assert sorted(rival.poll() or 0 for rival in rivals) == [0] + [69] * 7
    winner, = [rival for rival in rivals if rival.poll() is None]
    wait_until(lambda: "event=started" in bare.log.read_text())
    assert bare.ctl("check").returncode == 0
    assert winner.poll() is None
    assert bare.log.read_text().count("owned by another jobqd") == 7
    bare.end(winner)


@pytest.mark.parametrize("name,told", [("jobqd", "owned by another jobqd"),
                                       ("jobq-api", "another jobq-api serves this socket")])
def test_second_of_a_kind_ends_and_says_so(own_service, name, told):
    service = own_service()
    first = service.pid(name)
    job_id = slow_job(service)
    sockets = [os.stat(service.socket_path(pool)).st_ino for pool in ("api", "wait")]
    workers = service.wait_workers()
    done = program(name, "-c", service.state / "etc/jobq.conf")
    assert done.returncode == 69 and told in done.stderr, done.stderr
    assert sockets == [os.stat(service.socket_path(pool)).st_ino for pool in ("api", "wait")]
    assert service.pid(name) == first and service.wait_workers() == workers
    assert service.job(job_id)["status"] == "running"
    assert service.wait_job(quick_job(service))["status"] == "completed"
    service.assert_sound()
