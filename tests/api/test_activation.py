"""The daemons under a service manager: sockets that are passed to them, and what they say of
themselves. A few lines of Python stand in for systemd (tests/support/manager.py)."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from manager import Manager
from service import (alive, children, fastcgi, fastcgi_request, free_port, program, thaw,
                     wait_until)

WRONG = 78  # EX_CONFIG


@pytest.fixture
def managed(tmp_path_factory, project):
    """Makes managers of programs on one table and one store."""
    directory = tmp_path_factory.mktemp("m")
    table = f"/jobq-test-{os.getpid()}-{time.monotonic_ns()}"
    config = directory / "jobq.conf"
    config.write_text(f"project = {project}\nwhitelist = res://\ntable_name = {table}\n"
                      f"table_max = 16M\nstore = {directory}/jobq.db\nscene_cache_size = 1M\n"
                      f"api_socket = {directory}/api.sock\nwait_socket = {directory}/wait.sock\n"
                      f"notice_socket = {directory}/notice.sock\nsubmit_timeout = 20s\n"
                      "drain_timeout = 0\n")
    managers = []

    def make(name):
        managers.append(Manager(directory, name, config))
        return managers[-1]

    make.directory, make.config = directory, config
    yield make
    for manager in managers:
        manager.close()
    for path in Path("/dev/shm").glob(table[1:] + "*"):
        path.unlink()


@pytest.fixture
def api(managed):
    """jobq-api with both of its sockets, not started."""
    manager = managed("jobq-api")
    manager.bind(managed.directory / "api.sock")
    manager.bind(managed.directory / "wait.sock")
    manager.names = "api:wait"
    return manager


def ask(path, method="GET", uri="/healthz", body=b"", timeout=60):
    """One request on a connection of its own; the answer's status and body."""
    answer = fastcgi(str(path), fastcgi_request({
        "REQUEST_METHOD": method, "DOCUMENT_URI": uri, "QUERY_STRING": "",
        "JOBQ_TOKEN_NAME": "ci", "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body))}, body), timeout)
    head, _, rest = answer.partition(b"\r\n\r\n")
    status = re.search(rb"^Status: (\d+)", head, re.M)
    return int(status[1]) if status else 0, rest


def pool_of(manager, pool):
    """The socket that a pool says it listens on."""
    return re.findall(rf'event=listening pool={pool} path="([^"]*)" passed=(\w+)',
                      manager.log.read_text())[-1]


# ---- sockets -----------------------------------------------------------------------


@pytest.mark.parametrize("names", ["api:wait", "wait:api", None, "jobq.socket:jobq.socket"])
def test_passed_sockets_are_served_and_left_alone(managed, api, names):
    directory = managed.directory
    api.names = names
    before = {path.name: path.stat().st_ino for path in directory.glob("*.sock")}
    api.ready()
    swapped = names is not None and names.startswith("wait")
    first, second = ("wait", "api") if swapped else ("api", "wait")
    assert pool_of(api, first) == (f"{directory}/api.sock", "yes")
    assert pool_of(api, second) == (f"{directory}/wait.sock", "yes")
    for name in ("api", "wait"):
        status, body = ask(directory / f"{name}.sock")
        assert status == 503 and json.loads(body)["supervisor"] == "unavailable"
    api.stop()
    # Neither locked, nor moved, nor taken away.
    assert {path.name: path.stat().st_ino for path in directory.glob("*.sock*")} == before


def test_without_passed_sockets_it_makes_its_own(managed):
    manager = managed("jobq-api")
    manager.ready(LISTEN_PID="1", LISTEN_FDS="2", LISTEN_FDNAMES="api:wait")  # somebody else's
    assert pool_of(manager, "api") == (f"{managed.directory}/api.sock", "no")
    assert ask(managed.directory / "api.sock")[0] == 503
    manager.stop()
    assert not list(managed.directory.glob("*.sock"))


@pytest.mark.parametrize("paths,names,told", [
    (["api.sock"], "api", "1 sockets were passed, and not these 2: api wait"),
    (["api.sock", "other.sock"], "api:other", "2 sockets were passed, and not these 2"),
    (["api.sock", "wait.sock", "other.sock"], "api:wait:other", "3 sockets were passed"),
])
def test_other_sockets_are_refused(managed, paths, names, told):
    manager = managed("jobq-api")
    for path in paths:
        manager.bind(managed.directory / path)
    manager.names = names
    assert manager.start().wait(20) == WRONG
    assert told in manager.log.read_text()
    assert manager.messages() == []


def test_datagram_socket_is_refused_by_the_api(managed, api):
    api.sockets.pop().close()
    api.bind(managed.directory / "dgram.sock", socket.SOCK_DGRAM)
    assert api.start().wait(20) == WRONG
    assert "the socket passed as wait (descriptor 4) is no UNIX stream socket" in \
        api.log.read_text()


class Load:
    """Clients that ask again and again, each time on a new connection."""

    def __init__(self, path, count, **request):
        self.path, self.request = path, request
        self.enough, self.answers, self.longest = threading.Event(), Counter(), 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.enough.is_set():
            began = time.monotonic()
            try:
                outcome = ask(self.path, **self.request)[0]
            except OSError as error:
                outcome = type(error).__name__
            with self.lock:
                self.answers[outcome] += 1
                self.longest = max(self.longest, time.monotonic() - began)

    def end(self):
        self.enough.set()
        for thread in self.threads:
            thread.join()
        return self.answers


def test_no_request_is_lost_while_it_is_restarted(managed, api):
    """What comes between one jobq-api and the next waits in the sockets that both were given."""
    supervisor = managed("jobqd")
    supervisor.ready()
    api.ready()
    body = json.dumps({"type": "scene_preload",
                       "parameters": {"scene_paths": ["res://a.tscn"]}}).encode()
    submit = Load(managed.directory / "api.sock", 4, method="POST", uri="/jobs", body=body)
    show = Load(managed.directory / "wait.sock", 4)
    for _ in range(6):
        seen = sum(submit.answers.values())
        wait_until(lambda: sum(submit.answers.values()) > seen + 20)
        api.stop()
        api.ready()
    submitted, shown = submit.end(), show.end()
    assert set(submitted) == {202} and set(shown) == {200}, (submitted, shown)
    done = program("jobqctl", "-c", managed.config, "show")
    assert f"next_id {submitted[202] + 1}\n" in done.stdout, "each 202 was one job"
    assert max(submit.longest, show.longest) < 10
    api.stop()
    supervisor.stop()


NGINX = """
{user}daemon off; worker_processes 2; pid {dir}/nginx.pid; error_log {dir}/nginx.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; client_body_temp_path {dir}/body; fastcgi_temp_path {dir}/temp;
    proxy_temp_path {dir}/temp; uwsgi_temp_path {dir}/temp; scgi_temp_path {dir}/temp;
    upstream api {{ server unix:{dir}/api.sock; keepalive 64; keepalive_timeout 5s; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            fastcgi_pass api; fastcgi_keep_conn on;
            fastcgi_param REQUEST_METHOD $request_method; fastcgi_param JOBQ_TOKEN_NAME ci;
            fastcgi_param DOCUMENT_URI $document_uri; fastcgi_param QUERY_STRING $query_string;
            fastcgi_param CONTENT_TYPE $content_type;
            fastcgi_param CONTENT_LENGTH $content_length;
        }}
    }}
}}
"""


@pytest.fixture
def nginx(managed):
    """One that keeps connections; its port."""
    port, directory = free_port(), managed.directory
    (directory / "nginx.conf").write_text(NGINX.format(
        dir=directory, port=port, user="user root; " if os.geteuid() == 0 else ""))
    process = subprocess.Popen(["/usr/sbin/nginx", "-e", directory / "nginx.log", "-p", directory,
                                "-c", directory / "nginx.conf"], stdin=subprocess.DEVNULL)
    yield port
    process.terminate()
    process.wait(20)


def test_nginx_loses_no_request_either(managed, api, nginx):
    """Connections that it keeps are neither closed on a request, nor waited for."""
    supervisor = managed("jobqd")
    supervisor.ready()
    api.ready()
    url, body = f"http://127.0.0.1:{nginx}/jobs", {
        "type": "scene_preload", "parameters": {"scene_paths": ["res://a.tscn"]}}
    enough, answers, times = threading.Event(), Counter(), []

    def submit():
        while not enough.is_set():
            began = time.monotonic()
            status = requests.post(url, json=body, timeout=60).status_code
            answers[status] += 1
            times.append(time.monotonic() - began)
    wait_until(lambda: requests.get(url, timeout=20).status_code == 200)
    with ThreadPoolExecutor(12) as pool:
        submitters = [pool.submit(submit) for _ in range(12)]
        for _ in range(10):
            before = len(times)
            wait_until(lambda: len(times) >= before + 24)
            api.stop()
            api.ready()
        enough.set()
        for each in submitters:
            each.result()
    assert set(answers) == {202}, answers
    assert max(times) < 4, "nginx keeps connections for 5 s; nobody has to wait for these"
    api.stop()
    supervisor.stop()


def test_workers_of_a_killed_parent_end(managed, api):
    """The sockets are kept by another: nobody has to serve them until there is a successor."""
    api.ready()
    workers = children(api.process.pid)
    assert len(workers) == 3
    api.process.kill()
    api.process.wait()
    wait_until(lambda: not any(alive(pid) for pid in workers))
    log = api.log.read_text()
    assert log.count("the parent is gone; what comes waits for the next one") == 3
    waiting = Load(managed.directory / "api.sock", 3)
    wait_until(lambda: select.select(api.sockets, [], [], 0)[0])  # they wait to be taken
    assert not waiting.answers
    api.ready()
    wait_until(lambda: waiting.answers[503] > 30)
    assert set(waiting.end()) == {503}
    api.stop()


# ---- what they say -----------------------------------------------------------------


def variables(pid):
    return {entry.partition(b"=")[0].decode()
            for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")}


def reload(manager):
    manager.process.send_signal(signal.SIGHUP)
    begun = manager.wait_for("^RELOADING=1$")
    assert re.search(r"^MONOTONIC_USEC=\d+$", begun, re.M)
    return manager.wait_for("^READY=1$")


@pytest.mark.parametrize("name", ["jobqd", "jobq-api", "jobq-hook"])
def test_ready_reloading_stopping(managed, name):
    manager = managed(name)
    manager.ready()
    good = managed.config.read_text()
    assert "refused" not in reload(manager)
    managed.config.write_text(good + "colour = green\n")
    wait_until(lambda: "event=reloaded" in manager.log.read_text())
    if name == "jobq-api":  # the workers that were replaced have to be gone before the next
        wait_until(lambda: len(children(manager.process.pid)) == 3)
    assert "STATUS=" in (refused := reload(manager)) and "last reload was refused" in refused
    managed.config.write_text(good)
    if name == "jobqd":
        assert "SIGUSR1" not in manager.log.read_text()
        manager.process.send_signal(signal.SIGUSR1)  # means nothing by itself
    assert "refused" not in reload(manager)
    manager.stop()
    last = manager.messages()[-1]
    assert last.startswith("STOPPING=1\nSTATUS=")
    assert not any(m.startswith("WATCHDOG") for m in manager.heard)


def test_supervisor_is_ready_when_the_store_has_been_read(managed):
    manager = managed("jobqd")
    manager.ready()
    heard = manager.heard
    assert [m.partition("\n")[0] for m in heard] == \
        ["STATUS=filling the job table from the store", "READY=1"]
    assert "event=store_loaded" in manager.log.read_text()
    for pid in children(manager.process.pid):
        assert not variables(pid) & {"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS"}
    # One that finds the table filled is ready without the writer.
    manager.process.kill()
    manager.process.wait()
    manager.ready()
    manager.stop()


def test_supervisor_with_a_damaged_store_is_never_ready(managed):
    (managed.directory / "jobq.db").write_bytes(b"something of somebody else\n" * 1000)
    manager = managed("jobqd")
    assert manager.start().wait(30) == 65
    assert not any("READY=1" in m for m in manager.messages())


def test_supervisor_without_a_project_is_wrongly_configured(managed):
    """A service manager need not try that again."""
    text = managed.config.read_text()
    managed.config.write_text(re.sub(r"^project.*\n", "", text, flags=re.M))
    manager = managed("jobqd")
    assert manager.start().wait(30) == WRONG
    assert "project is not set" in manager.log.read_text()


def stopped(pid):
    """Whether no thread of the process runs."""
    return all((task / "stat").read_text().rpartition(")")[2].split()[0] == "T"
               for task in Path(f"/proc/{pid}/task").iterdir())


@pytest.mark.parametrize("name", ["jobqd", "jobq-api", "jobq-hook"])
def test_signs_of_life(managed, name):
    """Twice in the time that is asked for; none from one that hangs."""
    manager = managed(name)
    manager.ready(watchdog=1)
    manager.messages()
    times = []
    for _ in range(8):
        manager.wait_for("^WATCHDOG=1$", 20)
        times.append(time.monotonic())
    gaps = sorted(after - before for before, after in zip(times, times[1:]))
    assert 0.3 < gaps[3] < 0.9, gaps  # the one in the middle: the machine may be busy
    os.kill(manager.process.pid, signal.SIGSTOP)
    wait_until(lambda: stopped(manager.process.pid))
    manager.messages()
    with pytest.raises(AssertionError, match="WATCHDOG"):
        manager.wait_for("^WATCHDOG=1$", 0.5)
    thaw(manager.process.pid)
    manager.wait_for("^WATCHDOG=1$")
    manager.stop()


# ---- jobq-hook's socket ------------------------------------------------------------


def test_hook_takes_its_socket_and_leaves_it(managed):
    path = managed.directory / "notice.sock"
    manager = managed("jobq-hook")
    manager.bind(path, socket.SOCK_DGRAM)
    inode = path.stat().st_ino
    manager.ready()
    assert "STATUS=waiting for the job table" in manager.heard[-1]
    supervisor = managed("jobqd")
    supervisor.ready()
    manager.wait_for("^STATUS=delivering$")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nginx:
        nginx.connect(str(path))
        nginx.setblocking(False)
        for _ in range(2):
            for _ in range(2000):  # more than a socket holds: somebody reads them
                wait_until(lambda: sent(nginx, b"<190>no notice at all"))
            manager.stop()
            assert sent(nginx, b"<190>it waits for the next one")
            manager.ready()
            manager.wait_for("^STATUS=delivering$")
    manager.stop()
    assert path.stat().st_ino == inode
    manager.sockets.pop().close()
    manager.names = "notice"
    manager.bind(managed.directory / "stream.sock")
    assert manager.start().wait(20) == WRONG
    assert "is no UNIX datagram socket" in manager.log.read_text()
    supervisor.stop()


def sent(peer, data):
    try:
        return peer.send(data) == len(data)
    except BlockingIOError:
        return False
