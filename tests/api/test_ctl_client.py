"""jobqctl as a client: what it asks of a service, and how it looks in terminals and pipes."""

import contextlib
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from conftest import quick_job, slow_job
from service import Service, free_port, program, wait_until
from terminal import Terminal, screen

OK, FAILED, USAGE, CANCELLED, UNREACHABLE, REFUSED, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130


@pytest.fixture(scope="module")
def service(project):
    """One for these tests: they end what they leave running by force."""
    with Service(project=project, options=["blacklist = res://secret/", "drain_timeout = 0"]) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_left(request):
    """The next test finds free slots."""
    yield
    if "service" not in request.fixturenames:
        return
    service = request.getfixturevalue("service")
    if not service.process or not service.healthy():
        return
    for job in service.get("/jobs?status=queued").json()["jobs"]:
        service.delete(f"/jobs/{job['id']}")
    if service.get("/jobs?status=running").json()["jobs"]:
        for pid in service.wait_workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not service.get("/jobs?status=running").json()["jobs"], 60, "free slots")
        service.wait_workers()


def slow_input(operations):
    """Operations that take some milliseconds each."""
    return "validate res://slow.tscn\n" * operations


# ---- terminals -------------------------------------------------------------------


def test_bar_in_a_terminal(client, service):
    job = client("submit", "batch", "-", input=slow_input(60)).stdout.strip()
    with Terminal("watch", job) as terminal:
        terminal.expect(r"running    \[#+-+\] +\d+%  +[\d.]+%/s  \d+:\d\d left")
        assert "\x1b[36m" in terminal.output, "colours"
        assert terminal.wait() == OK
        line, = screen(terminal.output)
        assert re.fullmatch(rf"{job} batch_operations completed 100% in \d+:\d\d: "
                            r"60 of 60 operations", line)


def test_rate_counts_scenes_of_ones_own_submission(client, service):
    with Terminal("submit", "batch", "--wait", "-") as terminal:
        terminal.keys(slow_input(60) + "\x04")
        terminal.expect(r"\] +\d+%  +[\d.]+/s  ")
        assert terminal.wait() == OK
    job = re.search(r"^(\d+)\r?$", terminal.output, re.M)[1]
    assert service.job(job)["status"] == "completed"


def test_lines_fit_and_resizing_leaves_no_traces(client, service):
    jobs = [client("submit", "batch", "-", input=slow_input(300)).stdout.strip() for _ in range(2)]
    with Terminal("watch", *jobs, columns=100) as terminal:
        terminal.expect(r"left.*\n.*left")
        for columns in (40, 120, 20, 79):
            before = len(terminal.output)
            terminal.resize(columns, 24)
            wait_until(lambda: terminal.read()[before:].count("running") >= 8, 20, "drawing")
            drawn = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", terminal.output[before:])
            # What stood in the buffer before the size changed may still be as it was.
            assert max(map(len, drawn.splitlines()[4:])) < columns
            up = re.findall(r"\x1b\[(\d+)A", terminal.output[before:])[1:]
            assert set(up[-2:]) == {"2"}, "at the same size, as many lines as there are"
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait() == INTERRUPTED


def test_more_jobs_than_rows(client, service):
    slow = [slow_job(service, 300) for _ in range(3)]
    wait_until(lambda: service.job(slow[2])["status"] == "running")
    jobs = [quick_job(service) for _ in range(30)]
    with Terminal("watch", *slow, *jobs, rows=10) as terminal:
        terminal.expect("and 25 more")
        lines = screen(terminal.output)
        assert len(lines) <= 10 and lines[-1] == "and 25 more"
        assert [line.split()[2] for line in lines[:3]] == ["running"] * 3
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait() == INTERRUPTED


def test_ctrl_c_leaves_the_job_running(client, service):
    job = slow_job(service, 300)
    with Terminal("watch", job) as terminal:
        terminal.expect("running")
        terminal.keys("\x03")
        assert terminal.wait() == INTERRUPTED
    lines = screen(terminal.output)
    assert lines[-1] == f"jobqctl: not cancelled, it goes on; watch again with: jobqctl watch {job}"
    assert "running" in lines[-2], "how it was stays to be seen"
    assert service.job(job)["status"] == "running"


@pytest.mark.parametrize("options,environment,colours", [
    ([], {}, True), ([], {"NO_COLOR": "1"}, False), ([], {"NO_COLOR": ""}, True),
    (["--color=never"], {}, False), (["--color=always"], {"NO_COLOR": "1"}, True),
    (["--color"], {"NO_COLOR": "1"}, True), (["--color=auto"], {"NO_COLOR": "1"}, False),
    ([], {"TERM": "dumb"}, False)])
def test_colours_in_a_terminal(client, service, options, environment, colours):
    job = quick_job(service)
    service.wait_job(job)
    for command in ("watch", "status"):
        with Terminal(command, job, *options, **environment) as terminal:
            assert terminal.wait() == OK
        assert ("\x1b[32m" in terminal.output) == colours


def test_no_colours_in_a_pipe(client, service):
    job = quick_job(service)
    service.wait_job(job)
    for words in (["watch", job], ["status", job], ["list", "--limit", "3"], ["doctor"]):
        assert "\x1b" not in client(*words).stdout
    assert "\x1b[32mcompleted\x1b[0m" in client("watch", job, "--color=always").stdout
    assert "\x1b[32mcompleted\x1b[0m" in client("list", "--color=always").stdout


# ---- submit ----------------------------------------------------------------------


def test_submitting_prints_the_id(client, service):
    done = client("submit", "preload", "res://a.tscn", "./levels/one.tscn", "b.tscn")
    assert (done.returncode, done.stderr) == (OK, "")
    job = service.wait_job(done.stdout.strip())
    assert job["type"] == "scene_preload"
    assert [row["scene_path"] for row in job["result"]["scenes"]] == \
        ["res://a.tscn", "res://levels/one.tscn", "res://b.tscn"]
    job = service.wait_job(client("submit", "warm", "--scope", "stale").stdout.strip())
    assert job["type"] == "cache_warming" and job["status"] == "completed"


def test_submitting_a_batch(client, service):
    job = service.wait_job(client("submit", "batch", "a.tscn").stdout.strip())
    assert [row["action"] for row in job["result"]["operations"]] == ["load"]
    done = client("submit", "batch", "--action", "get_info", "--mode", "transactional", "a.tscn",
                  "b.tscn")
    job = service.wait_job(done.stdout.strip())
    assert [row["action"] for row in job["result"]["operations"]] == ["get_info"] * 2
    assert job["result"]["mode"] == "transactional"


def test_raw_json(client):
    done = client("submit", "warm", "--json")
    answer = json.loads(done.stdout)
    assert answer["success"] and answer["status"] == "queued"
    done = client("submit", "preload", "a.tscn", "--json", "--wait")
    jobs = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == OK
    assert jobs[-1]["status"] == "completed" and jobs[-1]["result"]["scenes_loaded"] == 1
    assert len({job["id"] for job in jobs}) == 1
    assert '"progress":1.0,' in done.stdout


def test_idempotency_key(client):
    words = ["submit", "preload", "a.tscn", "--idempotency-key", f"key-{time.time_ns()}"]
    first, second = client(*words), client(*words)
    assert first.stdout == second.stdout and second.returncode == OK
    assert first.stderr == "" and "submitted before" in second.stderr
    other = client("submit", "preload", "b.tscn", *words[3:])
    assert other.returncode == REFUSED and "422 idempotency_key_reused" in other.stderr


@pytest.mark.parametrize("key", ["", "a\nb", "a\r\nX-Other: 1", "k" * 256, "\u00e4"])
@pytest.mark.parametrize("words", [["submit", "warm"], ["retry", "1"]])
def test_idempotency_keys_that_are_none(client, service, words, key):
    """curl would send the first line of it, or none."""
    before = service.get("/jobs?limit=10000").json()["count"]
    done = client(*words, "--idempotency-key", key)
    assert done.returncode == USAGE and "1 to 255 printable ASCII" in done.stderr
    assert done.stdout == "" and service.get("/jobs?limit=10000").json()["count"] == before


@pytest.mark.parametrize("patterns,expected", [
    (["levels/*.tscn"], ["levels/one"]),
    (["res://*.tscn"], ["a", "b", "broken", "c", "lacks", "slow"]),
    (["levels/"], ["levels/one"]),
    (["**/?ne.tscn"], None),
    (["b*.tscn", "a.tscn"], ["b", "broken", "a"]),
    (["**one.tscn"], ["levels/one"])])
def test_globs_over_a_project(client, service, patterns, expected):
    """Links are not followed, and what is hidden is not found."""
    done = client("submit", "preload", "--project", service.project, *patterns)
    if expected is None:
        assert done.returncode == USAGE and "matches no scene" in done.stderr
        return
    assert done.returncode == OK, done.stderr
    rows = service.wait_job(done.stdout.strip())["result"]["scenes"]
    assert [row["scene_path"] for row in rows] == [f"res://{name}.tscn" for name in expected]


@pytest.mark.parametrize("ending", ["/", "//", "/.", "/levels/.."])
def test_projects_may_end_in_a_slash(client, service, ending):
    """As shells complete directories."""
    done = client("submit", "preload", "--project", f"{service.project}{ending}", "levels/*")
    assert done.returncode == OK, done.stderr
    rows = service.wait_job(done.stdout.strip())["result"]["scenes"]
    assert [row["scene_path"] for row in rows] == ["res://levels/one.tscn"]


@pytest.mark.parametrize("name,told", [
    (b"b\xff.tscn", "must be valid UTF-8"), (b"b:c.tscn", "must not hold a second colon"),
    (b"b\nc.tscn", "must not hold control bytes")])
def test_globs_that_match_what_is_no_path(client, tmp_path, name, told):
    (tmp_path / "project.godot").touch()
    (tmp_path / "a.tscn").touch()
    (tmp_path / os.fsdecode(name)).touch()
    done = client("submit", "preload", "*.tscn", cwd=tmp_path, errors="replace")
    assert done.returncode == USAGE and done.stdout == ""
    assert done.stderr.startswith("jobqctl: res://b") and told in done.stderr


def test_a_project_may_be_a_link(client, service, tmp_path):
    (tmp_path / "game").symlink_to(service.project)
    done = client("submit", "preload", "--project", tmp_path / "game", "levels/*")
    assert done.returncode == OK, done.stderr
    rows = service.wait_job(done.stdout.strip())["result"]["scenes"]
    assert [row["scene_path"] for row in rows] == ["res://levels/one.tscn"]


def test_globs_need_a_project(client, service, tmp_path):
    done = client("submit", "preload", "*.tscn", cwd=tmp_path)
    assert done.returncode == USAGE and "not a Godot project" in done.stderr
    assert "--project DIR" in done.stderr
    done = client("submit", "preload", "a*.tscn", cwd=service.project)
    assert done.returncode == OK, "the working directory will do"


def test_paths_from_standard_input(client, service):
    for kind, text, rows in (
            ("preload", "a.tscn\n\n# no\nres://b.tscn", ["a", "b"]),
            ("preload", '["res://a.tscn", "c.tscn"]', ["a", "c"]),
            ("batch", "get_info res://a.tscn\r\nvalidate\tb.tscn\nc.tscn\n",
             [("get_info", "a"), ("validate", "b"), ("load", "c")]),
            ("batch", '[{"action": "validate", "scene_path": "res://a.tscn"}, "b.tscn"]',
             [("validate", "a"), ("load", "b")]),
            ("batch", '{"action": "get_info", "scene_path": "res://a.tscn"}\n'
                      '{"action": "load", "scene_path": "res://c.tscn"}\n',
             [("get_info", "a"), ("load", "c")])):
        done = client("submit", kind, "-", input=text)
        assert done.returncode == OK, done.stderr
        result = service.wait_job(done.stdout.strip())["result"]
        if kind == "batch":
            assert [(row["action"], row["scene_path"]) for row in result["operations"]] == \
                [(action, f"res://{name}.tscn") for action, name in rows]
        else:
            assert [row["scene_path"] for row in result["scenes"]] == \
                [f"res://{name}.tscn" for name in rows]


@pytest.mark.parametrize("kind,text,words", [
    ("preload", "", "names no scene"), ("preload", "\n\n", "names no scene"),
    ("preload", "a.tscn\na.txt\n", "standard input, line 2: res://a.txt: the path must end in"),
    ("preload", "a.tscn\n../a.tscn", "line 2"), ("preload", "[1]", "expected paths"),
    ("preload", '["a.tscn", ""]', "standard input: an empty path"),
    ("preload", '["a.tscn"', "not JSON"), ("batch", "[[]]", "expected operations"),
    ("preload", '[{"action": "load"}]', "expected paths"), ("batch", "{]", "not JSON"),
    ("batch", "a.tscn\0", "NUL"), ("batch", "explode a.tscn/b", "must end in .tscn")])
def test_standard_input_that_makes_no_sense(client, kind, text, words):
    done = client("submit", kind, "-", input=text)
    assert done.returncode == USAGE and done.stdout == ""
    assert words in done.stderr


def test_what_the_service_refuses(client):
    done = client("submit", "batch", "-",
                  input='[{"action": "load", "scene_path": "res://secret/s.tscn"}]')
    assert done.returncode == REFUSED and done.stdout == ""
    assert "(at /parameters/operations/0" in done.stderr
    assert "400 scene_not_whitelisted" in done.stderr
    done = client("submit", "preload", "-", input="a.tscn\n" * 10001)
    assert done.returncode == REFUSED and "10000" in done.stderr
    done = client("submit", "batch", "-", input=f"{'x' * 200}.tscn\n" * 9000)
    assert done.returncode == REFUSED and "fewer paths" in done.stderr


@pytest.mark.parametrize("words,told", [
    ([], "submit takes one operand or more"), (["explode"], "preload, batch or warm"), (["preload"], "name scenes"),
    (["warm", "a.tscn"], "takes no path"), (["preload", "a.tscn", "--action", "load"], "--action"),
    (["batch", "a.tscn", "--action", "eat"], "load, validate or get_info"),
    (["batch", "a.tscn", "--mode", "both"], "continue or transactional"),
    (["warm", "--scope", "some"], "all or stale"), (["batch", "a.tscn", "--scope", "all"], "--scope"),
    (["preload", "a.txt"], "must end in .tscn"), (["preload", "a.tscn", ""], "an empty path"),
    (["batch", ""], "an empty path"), (["preload", "--no-such"], "unrecognized option")])
def test_submissions_that_make_no_sense(client, words, told):
    done = client("submit", *words)
    assert done.returncode == USAGE and done.stdout == "" and told in done.stderr


# ---- watch -----------------------------------------------------------------------


def test_one_line_a_change_in_a_pipe(client, service):
    job = slow_job(service, 12)
    done = client("watch", job)
    assert (done.returncode, done.stderr) == (OK, "")
    lines = done.stdout.splitlines()
    assert all(re.match(rf"{job} batch_operations (queued|running|completed) \d+%", line)
               for line in lines)
    assert re.fullmatch(rf"{job} batch_operations completed 100% in \d:\d\d: 12 of 12 operations",
                        lines[-1])
    percents = [int(re.search(r"(\d+)%", line)[1]) for line in lines]
    assert percents == sorted(set(percents)) or percents[:2] == [0, 0]


def test_exit_status_tells_the_outcome(client, service):
    good, bad = quick_job(service), service.submit("batch_operations", {
        "mode": "transactional",
        "operations": [{"action": "load", "scene_path": "res://broken.tscn"}]})
    service.wait_job(bad)
    blockers = [slow_job(service, 100) for _ in range(3)]
    gone = quick_job(service)
    assert client("cancel", gone).returncode == OK
    for words, status in (([good], OK), ([bad], FAILED), ([gone], CANCELLED),
                          ([good, gone], CANCELLED), ([good, gone, bad], FAILED),
                          ([good, "999999"], REFUSED), (["999999"], REFUSED)):
        done = client("watch", *words)
        assert done.returncode == status, (words, done.stderr)
        if "999999" in words:
            assert "there is no job 999999" in done.stderr
        if status == OK or status == CANCELLED:
            assert f"{words[0]} scene_preload" in done.stdout
    assert re.search(r"failed \d+% in \d:\d\d: 0 of 1 operations; operation 0 .*broken",
                     client("watch", bad).stdout)
    done = client("submit", "batch", "--mode", "transactional", "broken.tscn", "--wait")
    assert done.returncode == FAILED
    assert client("watch", *blockers, timeout=120).returncode == OK


def test_watching_several_and_all(client, service):
    jobs = [slow_job(service, 8) for _ in range(5)]
    everything = subprocess.Popen([Path(os.environ["JOBQ_BUILD"]) / "jobqctl", "watch", "--all"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    done = client("watch", *jobs)
    assert done.returncode == OK
    ends = [line.split()[0] for line in done.stdout.splitlines() if " completed " in line]
    assert sorted(ends) == sorted(jobs)
    late = quick_job(service)
    seen = []
    for line in everything.stdout:
        seen.append(line)
        if line.startswith(f"{late} ") and " completed " in line:
            break
    assert everything.poll() is None, "until Ctrl-C"
    everything.send_signal(signal.SIGINT)
    _, told = everything.communicate(timeout=20)
    assert everything.returncode == INTERRUPTED and "the jobs go on" in told
    assert any(line.startswith(f"{jobs[-1]} ") for line in seen)


@pytest.mark.parametrize("words,told", [
    ([], "name jobs"), (["x"], "an id is a number"), (["0"], "an id is a number"),
    (["1", "--all"], "not both"), (["-1"], "invalid option"), (["1" * 30], "an id is a number")])
def test_watching_what_makes_no_sense(client, words, told):
    done = client("watch", *words)
    assert done.returncode == USAGE and told in done.stderr


class Proxy(http.server.ThreadingHTTPServer):
    """Passes plain requests on to a service; what is done with streams can be chosen."""

    daemon_threads = True

    def __init__(self, service):
        self.service, self.stream, self.asked, self.ids = service, 503, [], []
        super().__init__(("127.0.0.1", 0), Passing)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass


class Passing(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *rest):
        pass

    def do_GET(self):
        proxy = self.server
        proxy.asked.append(self.path)
        if self.path.endswith("events"):
            proxy.ids.append(self.headers.get("Last-Event-ID"))
            if proxy.stream != "cut":
                return self.answer(proxy.stream, b'{"success":false,"error":"no","code":"no"}')
            # Some of the stream, and then it breaks off in the middle of a chunk.
            with proxy.service.get(self.path, stream=True, timeout=20, headers={
                    k: v for k, v in self.headers.items() if k == "Last-Event-ID"}) as answer:
                self.send_response(answer.status_code)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                taken = b""
                for part in answer.iter_content(64):
                    taken += part
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                    if len(taken) > 1500:
                        break
                self.close_connection = True
            return None
        answer = proxy.service.get(self.path)
        return self.answer(answer.status_code, answer.content)

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def proxy(service):
    running = Proxy(service)
    yield running
    running.shutdown()
    running.server_close()


def test_polling_where_there_are_no_streams(client, service, proxy):
    for status in (503, 404):
        proxy.stream, proxy.asked = status, []
        jobs = [slow_job(service, 25), slow_job(service, 25)]
        done = client("--url", f"http://127.0.0.1:{proxy.server_port}", "watch", *jobs)
        assert (done.returncode, done.stderr) == (OK, "")
        assert proxy.asked.count("/events") == 1
        assert proxy.asked.count(f"/jobs/{jobs[0]}") > 1
        assert done.stdout.count(" completed 100%") == 2


def test_streams_go_on_where_they_broke_off(client, service, proxy):
    proxy.stream = "cut"
    job = slow_job(service, 40)
    done = client("--url", f"http://127.0.0.1:{proxy.server_port}", "watch", job)
    assert done.returncode == OK
    assert len(proxy.ids) > 2 and proxy.ids[0] is None and all(proxy.ids[1:])
    percents = [int(line.split("%")[0].split()[-1]) for line in done.stdout.splitlines()]
    assert percents == sorted(percents), "nothing twice, nothing backwards"


def test_watching_over_a_restart(own_service, home, monkeypatch):
    service = own_service()
    monkeypatch.setenv("JOBQ_TOKEN", service.token)
    job = slow_job(service, 400)
    watch = subprocess.Popen(
        [Path(os.environ["JOBQ_BUILD"]) / "jobqctl", "--url", service.base_url, "watch", job],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert watch.stdout.readline()
    service.kill("jobqd")
    service.kill("jobq-api")
    service.wait_healthy()
    # What becomes of a job over this is judged elsewhere: it ends, and the watch with it.
    ended = service.wait_job(job, 120)
    _, told = watch.communicate(timeout=60)
    assert watch.returncode == (OK if ended["status"] == "completed" else FAILED), told


# ---- other commands --------------------------------------------------------------


def test_status(client, service):
    job = quick_job(service)
    service.wait_job(job)
    done = client("status", job)
    assert (done.returncode, done.stderr) == (OK, "")
    first, *rest = done.stdout.splitlines()
    assert first == f"job {job}: completed, 100%"
    told = dict(line.split(None, 1) for line in rest)
    assert list(told) == ["type", "created", "started", "completed", "result"]
    assert told["result"] == "1 of 1 scenes"
    answer, = map(json.loads, client("status", "--json", job).stdout.splitlines())
    assert answer == service.get(f"/jobs/{job}").json()
    both = client("status", job, "999999")
    assert both.returncode == REFUSED and "Job not found" in both.stderr and both.stdout


def test_list(client, service):
    jobs = [quick_job(service) for _ in range(3)]
    for job in jobs:
        service.wait_job(job)
    head, *rows = client("list").stdout.splitlines()
    assert head.split() == ["ID", "TYPE", "STATUS", "DONE", "CREATED"]
    assert {row.split()[0] for row in rows} >= set(jobs)
    assert len(client("list", "--limit", "2").stdout.splitlines()) == 3
    done = client("list", "--status", "completed", "--type", "scene_preload", "--json")
    assert {job["type"] for job in json.loads(done.stdout)["jobs"]} == {"scene_preload"}
    for words in (["--status", "lost"], ["--type", "lost"], ["--limit", "x"], ["--limit", "0"],
                  ["extra"]):
        assert client("list", *words).returncode == USAGE
    assert client("list", "--limit", "10001").returncode == REFUSED


def test_cancel(client, service):
    blockers = [slow_job(service, 60) for _ in range(3)]
    jobs = [quick_job(service), quick_job(service)]
    done = client("cancel", *jobs)
    assert (done.returncode, done.stderr) == (OK, "")
    assert done.stdout == "".join(f"job {job} is cancelled\n" for job in jobs)
    done = client("cancel", jobs[0], blockers[0])
    assert done.returncode == REFUSED and done.stderr.count("Can only cancel queued jobs") == 2
    assert client("status", jobs[0]).returncode == CANCELLED
    done = client("result", jobs[0])
    assert done.returncode == CANCELLED and "was cancelled" in done.stderr
    done = client("result", blockers[0])
    assert done.returncode == FAILED and f"jobqctl watch {blockers[0]}" in done.stderr


def test_result(client, service):
    job = service.submit("batch_operations", {"operations": [
        {"action": action, "scene_path": f"res://{name}.tscn"}
        for action, name in (("validate", "a"), ("load", "broken"), ("validate", "lacks"))]})
    result = service.wait_job(job)["result"]
    done = client("result", job)
    assert done.returncode == OK and json.loads(done.stdout) == result
    assert "\n  " in done.stdout
    assert re.fullmatch(r"res://broken.tscn: .+\nres://lacks.tscn: .*gone.png.*\n", done.stderr)
    line, = client("result", "--json", job).stdout.splitlines()
    assert json.loads(line) == result


def test_webhooks(client, service, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s3cret of mine\n")
    done = client("webhook", "add", "http://127.0.0.1:9/x", "job.failed", "scene.*",
                  "--secret-file", secret)
    assert done.returncode == OK, done.stderr
    number = done.stdout.strip()
    try:
        assert re.search(rf"^ *{number}  enabled   http://127.0.0.1:9/x  job.failed,scene.\*  "
                         r"0 sent, 0 failed, signed$", client("webhook", "list").stdout, re.M)
        assert client("webhook", "show", number).stdout in client("webhook", "list").stdout
        assert json.loads(client("webhook", "show", number, "--json").stdout)["webhook"]["id"] == \
            number
        done = client("webhook", "test", number)
        assert re.fullmatch(rf"Ping queued: {number}-\d+\n", done.stdout)
        delivery = done.stdout.split()[-1]
        assert client("webhook", "disable", number).stdout.split()[1] == "disabled"
        done = client("webhook", "test", number)
        assert done.returncode == REFUSED and "409 webhook_disabled" in done.stderr
        assert client("webhook", "enable", number).stdout.split()[1] == "enabled"
        wait_until(lambda: delivery in client("webhook", "deliveries", number, "--limit", "9").stdout,
                   60, "the delivery's end")
        assert re.search(rf"^{delivery} +\d{{4}}-\S+ \S+  failed +ping",
                         client("webhook", "deliveries", number).stdout, re.M)
        done = client("webhook", "redeliver", number, delivery)
        assert done.stdout == f"Redelivery queued: {delivery}\n"
    finally:
        done = client("webhook", "remove", number)
    assert done.returncode == OK and done.stdout == "Webhook deleted\n"
    assert client("webhook", "show", number).returncode == REFUSED
    done = client("webhook", "add", "http://127.0.0.1:9/x", "job.lost")
    assert done.returncode == REFUSED and "(at /events/0)" in done.stderr


@pytest.mark.parametrize("words", [
    [], ["lose"], ["list", "1"], ["add"], ["add", "http://x/"], ["show"], ["show", "x"],
    ["show", "1", "2"], ["redeliver", "1"], ["redeliver", "1", "x"],
    ["list", "--secret-file", "/dev/null"],
    ["add", "http://x/", "job.*", "--secret-file", "/no/such"],
    ["add", "http://x/", "job.*", "--secret-file", "/dev/null"]])
def test_webhook_command_lines_that_make_no_sense(client, words):
    done = client("webhook", *words)
    assert done.returncode == USAGE and done.stdout == "" and done.stderr


def test_top_once(client, service):
    blockers = [slow_job(service, 150) for _ in range(3)]
    queued = [quick_job(service) for _ in range(4)]
    wait_until(lambda: service.job(blockers[2])["status"] == "running")
    done = client("top", "--once", "--interval", "1")
    assert (done.returncode, done.stderr) == (OK, "")
    told = [line.split() for line in done.stdout.splitlines()]
    values = {line[0]: line[1] for line in told if len(line) == 2}
    assert (values["status"], values["slots"], values["slots_busy"], values["queued"]) == \
        ("ok", "3", "3", "4")
    assert [line[1] for line in told if line[0] == "running"] == blockers
    for name in ("submitted", "completed", "failed", "cancelled"):
        assert float(values[f"{name}_per_second"]) >= 0


def test_top_in_a_terminal(client, service):
    job = slow_job(service, 300)
    wait_until(lambda: service.job(job)["status"] == "running", 60)
    with Terminal("top", "--interval", "1") as terminal:
        terminal.expect(rf"rates +\d+\.\d/s submitted.*\n(.*\n)*.* {job}  batch_operations .*%")
        lines = screen(terminal.output)
        assert service.base_url in lines[0] and lines[0].endswith("service ok")
        assert re.match(r"slots   \d of 3 busy   queued \d", lines[1])
        terminal.resize(40, 24)
        terminal.expect("")
        terminal.keys("\x03")
        assert terminal.wait() == OK


# ---- doctor ----------------------------------------------------------------------


def doctor(service, *words, **keywords):
    return program("jobqctl", "doctor", "-c", f"{service.state}/etc/jobq.conf", "--url",
                   service.base_url, *words, **keywords)


def verdicts(done):
    return {(line[6:20].strip(), line[:4].strip()) for line in done.stdout.splitlines()
            if not line.startswith(" ")}


def test_doctor_of_a_sound_installation(client, service):
    done = doctor(service)
    assert (done.returncode, done.stderr) == (OK, ""), done.stdout
    found = verdicts(done)
    for part in ("configuration", "project", "job table", "store", "api socket", "wait socket",
                 "webhooks", "address", "clock", "token"):
        assert (part, "ok") in found, done.stdout
    assert not [verdict for _, verdict in found if verdict == "FAIL"]


def test_doctor_of_a_wrong_token(service, home):
    done = doctor(service, "--token", "x" * 32)
    assert done.returncode == FAILED and ("token", "FAIL") in verdicts(done)
    done = doctor(service)
    assert done.returncode == OK and ("token", "warn") in verdicts(done)


def test_doctor_of_what_is_broken(own_service, home):
    service = own_service()
    config = Path(f"{service.state}/etc/jobq.conf")
    text = config.read_text()

    config.write_text(text + "colour = green\nretention = never\n")
    done = doctor(service)
    assert done.returncode == FAILED
    assert done.stdout.count("FAIL  configuration") == 2 and "jobq.conf:" in done.stdout
    config.write_text(text)

    other = service.state / "other"
    other.mkdir()
    done = doctor(service, "-o", f"project={other}", "-o", f"store={other}/no.db")
    assert {("project", "FAIL"), ("store", "FAIL")} <= verdicts(done)
    (other / "no.db").write_text("no database at all\n" * 100)
    assert ("store", "FAIL") in verdicts(doctor(service, "-o", f"store={other}/no.db"))
    done = doctor(service, "-o", "table_name=/jobq-none", "-o", f"api_socket={other}/a",
                  "-o", f"notice_socket={other}/n")
    assert {("job table", "FAIL"), ("api socket", "FAIL"), ("webhooks", "FAIL"),
            ("wait socket", "ok")} <= verdicts(done)
    assert "start jobq-api" in done.stdout and "start jobq-hook" in done.stdout

    done = program("jobqctl", "doctor", "-c", config, "--url", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == FAILED and ("address", "FAIL") in verdicts(done)
    assert "start nginx" in done.stdout

    service.stop()
    done = doctor(service)
    assert {("job table", "FAIL"), ("api socket", "FAIL"), ("webhooks", "FAIL"),
            ("address", "FAIL"), ("store", "ok")} <= verdicts(done)
    service.start()


def test_doctor_without_a_configuration(client, service):
    if Path("/etc/jobq/jobq.conf").exists():
        pytest.skip("there is one on this machine")
    done = client("doctor")
    assert done.returncode == OK and ("configuration", "warn") in verdicts(done)
    assert ("token", "ok") in verdicts(done)


# ---- which service ---------------------------------------------------------------


def test_nobody_answers(home):
    url = f"http://127.0.0.1:{free_port()}"
    for words in (["list"], ["watch", "1"], ["watch", "--all"], ["status", "1"], ["cancel", "1"],
                  ["result", "1"], ["submit", "warm"], ["webhook", "list"], ["top", "--once"],
                  ["top"]):
        done = program("jobqctl", "--url", url, *words)
        assert done.returncode == UNREACHABLE, words
        assert f"{url} cannot be reached: " in done.stderr and "--url" in done.stderr
        assert done.stdout == ""


def test_something_else_answers(home):
    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(404)
            self.end_headers()
            self.wfile.write(b"<html>no\x1b[2J")

        def log_message(self, *rest):
            pass
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        done = program("jobqctl", "--url", url, "list")
        assert done.returncode == REFUSED and "the address of a jobq service" in done.stderr
        assert "\x1b" not in done.stderr
        assert program("jobqctl", "doctor", "--url", url).returncode == FAILED
        server.shutdown()


def test_a_submission_whose_answer_is_lost(home):
    """Who does it again without a thought may have it done twice."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        def answer():
            while True:
                try:
                    with server.accept()[0] as peer:
                        peer.recv(65536)
                except OSError:
                    return
        threading.Thread(target=answer, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        for words, told in ((["submit", "warm"], "see `jobqctl list` before"),
                            (["retry", "1"], "see `jobqctl list` before"),
                            (["submit", "warm", "--idempotency-key", "k"], "with the same key"),
                            (["list"], None)):
            done = program("jobqctl", "--url", url, *words)
            assert done.returncode == UNREACHABLE and done.stdout == ""
            assert ("may have been submitted" in done.stderr) == (told is not None)
            assert told is None or told in done.stderr
        server.shutdown(socket.SHUT_RDWR)
    assert "submitted" not in program("jobqctl", "--url", url, "submit", "warm").stderr


@pytest.mark.parametrize("body", [b"{}", b'{"ok": true}', b"null", b'{"success": 1}'])
def test_something_else_answers_with_json(home, body):
    """And says 200 to everything: nothing has been done because of that."""
    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        do_POST = do_DELETE = do_GET

        def log_message(self, *rest):
            pass
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for words in (["list"], ["status", "1"], ["cancel", "1"], ["submit", "warm"], ["queue"],
                      ["webhook", "list"], ["watch", "1"], ["watch", "--all"], ["top", "--once"]):
            done = program("jobqctl", "--url", f"http://127.0.0.1:{server.server_port}", *words)
            assert done.returncode == UNREACHABLE and done.stdout == "", words
            assert "none of jobq's" in done.stderr, words
        server.shutdown()


def test_refused_tokens(service, home):
    for words in (["list"], ["watch", "1"], ["watch", "--all"], ["status", "1"], ["submit", "warm"],
                  ["top", "--once"], ["webhook", "list"]):
        done = program("jobqctl", "--url", service.base_url, *words)
        assert done.returncode == REFUSED, words
        assert "Authentication required" in done.stderr and "Give a token with" in done.stderr
        done = program("jobqctl", "--url", service.base_url, "--token", "wrong", *words)
        assert done.returncode == REFUSED and "does not know this token" in done.stderr
        assert "wrong" not in done.stderr.replace("what is wrong", "")


def test_where_settings_come_from(service, home, monkeypatch, tmp_path):
    """The command line is stronger than the environment, and that than the file."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text(f"  {service.token}  \n")
    bad.write_text("nobody-knows-this\n")
    (home / ".config/jobq").mkdir(parents=True)
    file = home / ".config/jobq/client.conf"

    def status(*words):
        return program("jobqctl", *words, "list").returncode

    file.write_text(f"# mine\n\nurl = {service.base_url}/\n token=nobody-knows-this\n")
    file.chmod(0o600)
    assert status() == REFUSED
    assert status("--token-file", good) == OK
    monkeypatch.setenv("JOBQ_TOKEN", service.token)
    assert status() == OK
    assert status("--token-file", bad) == REFUSED
    assert status("--token-file", bad, "--token", service.token) == OK
    monkeypatch.setenv("JOBQ_URL", f"http://127.0.0.1:{free_port()}")
    assert status() == UNREACHABLE
    assert status("--url", service.base_url) == OK
    monkeypatch.delenv("JOBQ_URL")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    (tmp_path / "xdg/jobq").mkdir(parents=True)
    (tmp_path / "xdg/jobq/client.conf").write_text(f"url = http://127.0.0.1:{free_port()}\n")
    assert status() == UNREACHABLE
    assert program("jobqctl", "--token-file", "-", "--url", service.base_url, "list",
                   input=service.token).returncode == OK


@pytest.mark.parametrize("url", ["", "jobs", "ftp://a", "http://", "https:///", "http://?a"])
def test_urls_that_are_none(home, url):
    """Without a host the path would be one, and be told the token."""
    done = program("jobqctl", "--url", url, "--token", "a", "list")
    assert done.returncode == USAGE and "http:// or https:// and a host" in done.stderr


def test_client_files_that_make_no_sense(home):
    (home / ".config/jobq").mkdir(parents=True)
    file = home / ".config/jobq/client.conf"
    file.write_text("url = http://127.0.0.1:1\ncolour = green\n")
    done = program("jobqctl", "list")
    assert done.returncode == USAGE and f"{file}:2: expected" in done.stderr
    file.write_text("url = ftp://x/\n")
    done = program("jobqctl", "list")
    assert done.returncode == USAGE and "http:// or https://" in done.stderr
    file.unlink()
    file.mkdir()
    assert program("jobqctl", "list").returncode == USAGE
    for words in (["--token", "a b"], ["--token", "a\r\nHost: x"], ["--token-file", "/no/such"],
                  ["--token-file", "/dev/null"]):
        assert program("jobqctl", *words, "list", env=dict(os.environ, HOME="/")).returncode == USAGE


def test_files_with_a_token_that_all_can_read_are_warned_of(service, home):
    (home / ".config/jobq").mkdir(parents=True)
    file = home / ".config/jobq/client.conf"
    file.write_text(f"url = {service.base_url}\ntoken = {service.token}\n")
    for mode, warned in ((0o644, True), (0o640, False), (0o600, False)):
        file.chmod(mode)
        done = program("jobqctl", "list")
        assert done.returncode == OK
        assert ("can be read by everybody" in done.stderr) == warned


def test_a_token_on_the_command_line_is_soon_hidden(service, home):
    job = slow_job(service, 60)
    watch = subprocess.Popen(
        [Path(os.environ["JOBQ_BUILD"]) / "jobqctl", "--url", service.base_url, "--token",
         service.token, "watch", job], stdout=subprocess.PIPE, text=True)
    assert watch.stdout.readline()
    assert service.token.encode() not in Path(f"/proc/{watch.pid}/cmdline").read_bytes()
    watch.communicate(timeout=60)
    assert watch.returncode == OK


def test_certificates(service, home):
    done = program("jobqctl", "--url", f"https://127.0.0.1:{service.port}", "list")
    assert done.returncode == UNREACHABLE and "cannot be reached" in done.stderr
    done = program("jobqctl", "--url", f"https://127.0.0.1:{service.port}", "--ca", "/no/such",
                   "list")
    assert done.returncode == UNREACHABLE and "--ca" in done.stderr


# ---- the program -----------------------------------------------------------------


def test_only_clients_link_libcurl():
    for name, linked in (("jobqctl", True), ("jobqd", False), ("jobq-api", False)):
        done = subprocess.run(["ldd", Path(os.environ["JOBQ_BUILD"]) / name], capture_output=True,
                              text=True, check=True, timeout=20)
        assert ("libcurl" in done.stdout) == linked, name


@pytest.mark.parametrize("where", [">/dev/full", ">&-"])
def test_output_that_cannot_be_written(client, service, where):
    """Not even to a stream that is closed: whatever else is opened does not take its place."""
    job = quick_job(service)
    service.wait_job(job)
    local = ["-c", service.state / "etc/jobq.conf"]
    for words in (["list"], ["status", job], ["watch", job], ["result", job], ["doctor"],
                  ["top", "--once"], ["submit", "warm"], ["queue"],
                  ["--help"], *([*local, name] for name in ("show", "cache", "check", "fsck"))):
        done = subprocess.run(["sh", "-c", f'exec "$@" {where}', "sh",
                               Path(os.environ["JOBQ_BUILD"]) / "jobqctl", *words],
                              stderr=subprocess.PIPE, text=True, timeout=60)
        assert done.returncode == USAGE and "cannot be written" in done.stderr, words
