"""What nginx keeps open must not use up jobq-api's threads, with the configuration that ships."""

import contextlib
import os
import re
import signal
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from service import ROOT, Service, alive, children, freeze, thaw, wait_until

PROMPT = 2  # seconds within which a new request is answered


def shipped(option):
    """The default of an option of jobq.conf."""
    text = (ROOT / "include/jobq/conf_options.h").read_text()
    return int(re.search(rf'X\(COUNT, {option}, "(\d+)"', text)[1])


def directive(template, name):
    """The number that a template of nginx's configuration gives a directive."""
    return int(re.search(rf"^\s*{name} (\d+);", (ROOT / "nginx" / template).read_text(), re.M)[1])


THREADS = 2 * shipped("api_threads")  # two processes at least
WORKERS = directive("quickstart.conf.in", "worker_processes")
KEEPALIVE = directive("jobq-http.conf.in", "keepalive")


@pytest.fixture(scope="module")
def service(project):
    """As it ships on a machine with two processors, which is the least of all."""
    with Service(project=project, options=["drain_timeout = 0"]) as running:
        yield running


class Client:
    """One connection of a client, that it keeps."""

    def __init__(self, service):
        self.token = service.token
        self.peer = socket.create_connection(("127.0.0.1", service.port), 30)
        self.lines = self.peer.makefile("rb")

    def ask(self):
        self.peer.sendall(b"GET /jobs?limit=1 HTTP/1.1\r\nHost: localhost\r\n"
                          b"Authorization: Bearer %s\r\n\r\n" % self.token.encode())

    def status(self):
        """Of the answer, all of which is read."""
        status, length = int(self.lines.readline().split()[1]), 0
        while (line := self.lines.readline()) != b"\r\n":
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        assert len(self.lines.read(length)) == length
        return status

    def close(self):
        self.lines.close()
        self.peer.close()


LISTENING, ESTABLISHED = "0A", "01"  # as in /proc/net/tcp


def connections(service, worker, state, ports=None):
    """How many of the site's sockets in this state a worker process of nginx holds; with
    `ports`, only those whose clients have these."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows
              if row[3] == state and int(row[1].partition(":")[2], 16) == service.port
              and (ports is None or int(row[2].partition(":")[2], 16) in ports)}
    count = 0
    with contextlib.suppress(FileNotFoundError):  # it may end meanwhile
        for fd in Path(f"/proc/{worker}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                count += os.readlink(fd) in inodes
    return count


def nginx_workers(service):
    return wait_until(lambda: len(pids := children(service.pid("nginx"))) == WORKERS and pids, 30,
                      "nginx's workers, and only the new ones")


def connect_to(service, worker, others, count):
    """So many clients of this worker process of nginx: the others are held meanwhile."""
    try:
        freeze(*others)
        clients = [Client(service) for _ in range(count)]
        ports = {client.peer.getsockname()[1] for client in clients}
        wait_until(lambda: connections(service, worker, ESTABLISHED, ports) == count, 20,
                   "nginx's accepting all of them")
    finally:
        thaw(*others)
    return clients


def ask_at_once(service, clients):
    """All their requests are at jobq-api's socket before it answers one of them."""
    workers = children(service.pid("jobq-api"))
    freeze(*workers)
    try:
        for client in clients:
            client.ask()
        wait_until(lambda: service.connections("api") >= len(clients), 20, "all the requests")
    finally:
        thaw(*workers)
    began = time.monotonic()
    assert {client.status() for client in clients} == {200}
    assert time.monotonic() - began < 2 * PROMPT, "nobody waited for nginx to let go of something"


@contextlib.contextmanager
def filled(service, workers=None):
    """Every one of nginx's workers has kept as many connections as it may."""
    with contextlib.ExitStack() as stack:
        clients, workers = [], set(workers or nginx_workers(service))
        for worker in workers:
            clients += connect_to(service, worker, workers - {worker}, KEEPALIVE + 16)
        for client in clients:
            stack.callback(client.close)
        ask_at_once(service, clients)
        wait_until(lambda: service.connections("api") <= WORKERS * KEEPALIVE)
        yield clients


def assert_prompt(service, count=40):
    """New clients, all at the same time, are answered soon."""
    began = time.monotonic()
    clients = [Client(service) for _ in range(count)]
    for client in clients:
        client.ask()
    assert {client.status() for client in clients} == {200}
    assert time.monotonic() - began < PROMPT
    for client in clients:
        client.close()


def reload(service):
    """Returns nginx's old workers, which may still live, and the new ones."""
    old = nginx_workers(service)
    os.kill(service.pid("nginx"), signal.SIGHUP)
    new = wait_until(lambda: len(new := set(children(service.pid("nginx"))) - set(old)) == WORKERS
                     and new, 20, "nginx's new workers")
    return old, new


def test_shipped_numbers_leave_threads_to_spare():
    """After a reload there are two generations of nginx's workers, each with its own cache."""
    assert THREADS > 2 * WORKERS * KEEPALIVE


def test_kept_connections_leave_room_for_others(service):
    with filled(service) as clients:
        kept = service.connections("api")
        assert kept >= WORKERS * KEEPALIVE - 4, "nginx's caches are full, or this tests nothing"
        for _ in range(5):
            assert_prompt(service)
        ask_at_once(service, clients)
        assert_prompt(service)


def test_kept_connections_are_given_up_in_time(service):
    """nginx lets them go after its keepalive_timeout, which is shorter than jobq-api's."""
    with filled(service):
        wait_until(lambda: service.connections("api") == 0, 20, "the end of idle connections")
        assert_prompt(service)


def test_reloads_in_a_row_leave_room_for_others(service):
    job_id = service.submit("cache_warming", {})
    service.wait_job(job_id)
    for _ in range(3):
        with filled(service):
            old, _ = reload(service)
            assert_prompt(service)
            wait_until(lambda: not any(alive(pid) for pid in old), 30, "the old workers' end")
            assert_prompt(service)
    with filled(service):
        assert_prompt(service)
    assert service.job(job_id)["status"] == "completed"


def test_workers_that_linger_after_a_reload_hold_up_nobody(service):
    """Clients that wait keep the old workers alive; those serve on, beside the new ones."""
    blocker = service.submit("batch_operations", {"operations": [
        {"action": "validate", "scene_path": "res://slow.tscn"}] * 10000})
    waiters = [Client(service) for _ in range(8)]
    for waiter in waiters:
        waiter.peer.sendall(f"GET /jobs/{blocker}?wait=60 HTTP/1.1\r\nHost: localhost\r\n"
                            f"Authorization: Bearer {service.token}\r\n\r\n".encode())
    wait_until(lambda: service.connections("wait") == len(waiters))
    with filled(service):
        old, new = reload(service)
        # For a moment both generations accept.
        wait_until(lambda: not any(connections(service, pid, LISTENING) for pid in old))
        with filled(service, new):
            assert any(alive(pid) for pid in old), "they have clients left"
            assert service.connections("api") <= 2 * WORKERS * KEEPALIVE
            assert_prompt(service)
    for pid in service.wait_workers():
        os.kill(pid, signal.SIGKILL)  # which ends the job
    for waiter in waiters:
        assert waiter.status() == 200
        waiter.close()


def test_no_request_fails_during_reloads(service):
    """Each on a connection of its own: what is kept, nginx may close at any time."""
    enough = threading.Event()
    statuses = [Counter() for _ in range(4)]

    def load(counter):
        while not enough.is_set():
            with contextlib.closing(Client(service)) as client:
                client.ask()
                counter[client.status()] += 1

    threads = [threading.Thread(target=load, args=(counter,)) for counter in statuses]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            seen = sum(counter[200] for counter in statuses)
            reload(service)
            wait_until(lambda: sum(counter[200] for counter in statuses) > seen + 100)
    finally:
        enough.set()
        for thread in threads:
            thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    total = sum(statuses, Counter())
    assert set(total) == {200} and total[200] > 500, total
    lines = (service.state / "log/access.log").read_text().splitlines()
    assert not [line for line in lines if '"status":"502"' in line or '"status":"504"' in line]
