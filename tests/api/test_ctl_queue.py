"""jobqctl and the queue: priorities, labels, retries, stopping, logs, pausing."""

import json
import re
import signal

import pytest
from conftest import quick_job, slow_job
from service import Service, program, wait_until
from terminal import Terminal, screen

OK, FAILED, USAGE, CANCELLED, UNREACHABLE, REFUSED, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130


@pytest.fixture(scope="module")
def service(project):
    """One whose queue these tests may pause."""
    with Service(project=project, options=["drain_timeout = 0"]) as running:
        yield running


@pytest.fixture
def paused(client, service):
    """What is submitted waits; afterwards nothing is left of it."""
    assert client("queue", "pause").stdout.startswith("paused: ")
    yield
    for job in service.get("/jobs?status=queued").json()["jobs"]:
        service.delete(f"/jobs/{job['id']}")
    assert client("queue", "resume").returncode == OK


def running_job(service, operations=10000):
    job = slow_job(service, operations)
    wait_until(lambda: service.job(job)["status"] == "running", 20, "a running job")
    return job


def mixed_job(service):
    """One of whose three scenes one is good."""
    job = service.submit("scene_preload", {"scene_paths": [
        "res://a.tscn", "res://broken.tscn", "res://absent.tscn"]})
    service.wait_job(job)
    return job


# ---- priorities and labels --------------------------------------------------------


def test_submitting_with_priority_and_labels(client, service, paused):
    low = client("submit", "warm", "--priority", "-3").stdout.strip()
    high = client("submit", "batch", "-", "--priority=10", "--label", "team=art", "--label",
                  "build=7", input="validate a.tscn\n").stdout.strip()
    plain = client("submit", "preload", "a.tscn", "--priority", "0").stdout.strip()
    answer = service.get(f"/jobs/{high}").json()
    assert answer["priority"] == 10 and answer["labels"] == {"team": "art", "build": "7"}
    told = {job: dict(line.split(None, 1) for line in
                      client("status", job).stdout.splitlines()[1:]) for job in (low, high, plain)}
    assert told[high]["position"] == "1 in the queue" and told[high]["priority"] == "10"
    assert told[high]["labels"] == "build=7 team=art"
    assert told[low]["position"] == "3 in the queue" and told[low]["priority"] == "-3"
    assert list(told[plain]) == ["type", "position", "created"], "nothing of what is as ever"


def test_list_by_label(client, service, paused):
    jobs = [client("submit", "warm", "--label", label).stdout.strip()
            for label in ("of=a/b", "of=a/b.c", "of=a/b")]
    done = client("list", "--label", "of=a/b")
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == [jobs[0], jobs[2]]
    done = client("list", "--label", "of=a/b", "--status", "queued", "--type", "cache_warming",
                  "--limit", "1", "--json")
    assert [job["id"] for job in json.loads(done.stdout)["jobs"]] == [jobs[0]]
    done = client("list", "--label", "of=nobody")
    assert (done.returncode, done.stdout, done.stderr) == (OK, "", "")


@pytest.mark.parametrize("words,told", [
    (["--priority", "11"], "from -10 to 10, not 11"), (["--priority", "-11"], "not -11"),
    (["--priority", "high"], "not high"), (["--priority", ""], "a whole number"),
    (["--priority", "-"], "a whole number"), (["--priority", "--wait"], "not --wait"),
    (["--label", "a"], "NAME=VALUE"), (["--label", "a="], "NAME=VALUE"),
    (["--label", "=b"], "NAME=VALUE"), (["--label", "a=b c"], "not a=b c"),
    (["--label", "a=" + "b" * 64], "1 to 63"), (["--label", "a=b\x1b[2J"], "not a=b?[2J"),
    (["--label", "a=b=c"], "NAME=VALUE"), (["--label", "a=b", "--label", "a=c"], "names a twice"),
    ([f"--label=l{n}=x" for n in range(17)], "16 times")])
def test_priorities_and_labels_that_make_no_sense(client, words, told):
    for kind in (["warm"], ["batch", "-"]):
        done = client("submit", *kind, *words, input="load a.tscn")
        assert done.returncode == USAGE and done.stdout == "" and told in done.stderr


def test_sixteen_labels(client, service):
    done = client("submit", "warm", *(f"--label=l{n}=x" for n in range(16)))
    assert len(service.get(f"/jobs/{done.stdout.strip()}").json()["labels"]) == 16


@pytest.mark.parametrize("words,told", [
    (["--label", "a"], "NAME=VALUE"), (["--label", "a:b"], "NAME=VALUE"),
    (["--label", "a=b", "--label", "c=d"], "one --label")])
def test_label_filters_that_make_no_sense(client, words, told):
    done = client("list", *words)
    assert done.returncode == USAGE and done.stdout == "" and told in done.stderr


# ---- again ------------------------------------------------------------------------


def test_retry(client, service):
    job = mixed_job(service)
    done = client("retry", job)
    assert (done.returncode, done.stderr) == (OK, "")
    again = done.stdout.strip()
    assert again != job and service.wait_job(again)["result"]["total_scenes"] == 3
    done = client("retry", "--failed", "--wait", job)
    assert done.returncode == OK
    first, *rest = done.stdout.splitlines()
    assert re.fullmatch(rf"{first} scene_preload completed 100% in \d:\d\d: 0 of 2 scenes",
                        rest[-1])
    lines = client("retry", job, "--failed", "--wait", "--json").stdout.splitlines()
    assert json.loads(lines[-1])["result"]["total_scenes"] == 2
    answer = json.loads(client("retry", job, "--json").stdout)
    assert answer["success"] and answer["status"] == "queued"
    keyed = [client("retry", job, "--idempotency-key", f"again-{job}") for _ in range(2)]
    assert keyed[0].stdout == keyed[1].stdout and "submitted before" in keyed[1].stderr


def test_retry_of_a_failed_job_tells_how_it_ends(client, service):
    job = service.submit("batch_operations", {"mode": "transactional", "operations": [
        {"action": "load", "scene_path": "res://broken.tscn"}]})
    service.wait_job(job)
    assert client("retry", job, "--wait").returncode == FAILED


def test_retry_refused(client, service):
    good = quick_job(service)
    service.wait_job(good)
    done = client("retry", good, "--failed")
    assert done.returncode == REFUSED and done.stdout == "" and "nothing_failed" in done.stderr
    job = running_job(service)
    done = client("retry", job)
    assert done.returncode == REFUSED and "Can only retry finished jobs" in done.stderr
    assert client("stop", job).returncode == OK
    told = client("retry", "999999").stderr
    assert "Job not found" in told and "`jobqctl list`" in told
    for words in ([], ["x"], ["1", "2"]):
        assert client("retry", *words).returncode == USAGE


# ---- stopping ---------------------------------------------------------------------


def test_stop(client, service):
    job = running_job(service)
    done = client("cancel", job)
    assert done.returncode == REFUSED and "Can only cancel queued jobs" in done.stderr
    assert f"`jobqctl stop {job}`" in done.stderr
    done = client("stop", job)
    assert (done.returncode, done.stdout, done.stderr) == \
        (OK, f"job {job} is asked to stop\n", "")
    done = client("watch", job)
    assert done.returncode == FAILED and "stopped on request" in done.stdout
    done = client("stop", job, "999999")
    assert done.returncode == REFUSED and done.stdout == ""
    assert f"It has ended already; see `jobqctl status {job}`" in done.stderr
    assert "Job not found" in done.stderr
    for words in ([], ["x"], ["0"]):
        assert client("stop", *words).returncode == USAGE


def test_stop_of_queued_jobs(client, service, paused):
    jobs = [quick_job(service), quick_job(service)]
    done = client("stop", jobs[0])
    assert (done.returncode, done.stdout) == (OK, f"job {jobs[0]} is cancelled\n")
    assert json.loads(client("stop", "--json", jobs[1]).stdout)["success"]
    assert service.job(jobs[1])["status"] == "cancelled"
    assert "It has been cancelled already" in client("stop", jobs[0]).stderr


# ---- the log ----------------------------------------------------------------------


def test_log(client, service):
    job = mixed_job(service)
    done = client("log", job)
    assert (done.returncode, done.stderr) == (OK, "")
    lines = done.stdout.splitlines()
    assert lines == service.get(f"/jobs/{job}/log").json()["lines"] and len(lines) == 3
    assert "preload res://absent.tscn: failed: Scene not found" in lines[2]
    assert json.loads(client("log", job, "--json").stdout)["lines"] == lines
    assert "Job not found" in client("log", "999999").stderr
    for words in ([], ["x"], ["1", "2"]):
        assert client("log", *words).returncode == USAGE


def test_log_of_jobs_that_have_none(client, service, paused):
    job = quick_job(service)
    done = client("log", job)
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert "has not ended yet" in done.stderr and f"jobqctl watch {job}" in done.stderr
    assert client("cancel", job).returncode == OK
    done = client("log", job)
    assert (done.returncode, done.stdout) == (OK, "") and "is empty" in done.stderr


# ---- the queue --------------------------------------------------------------------


def test_queue(client, service):
    wait_until(lambda: client("queue").stdout == "open: 0 queued, 0 of 3 slots busy\n", 20,
               "an empty queue")
    done = client("queue", "pause")
    assert (done.returncode, done.stderr) == (OK, "")
    job = quick_job(service)
    assert client("queue").stdout == "paused: 1 queued, 0 of 3 slots busy\n"
    assert json.loads(client("queue", "--json").stdout)["queue"]["state"] == "paused"
    assert client("queue", "drain", "--json").returncode == OK
    done = client("submit", "warm")
    assert done.returncode == UNREACHABLE and done.stdout == ""
    assert "queue_draining" in done.stderr and "`jobqctl queue resume`" in done.stderr
    assert service.wait_job(job)["status"] == "completed"
    assert client("queue", "resume").stdout.startswith("open: ")
    done = client("queue", "stop")
    assert done.returncode == USAGE and "pause, resume, drain" in done.stderr
    done = client("queue", "pause", "drain")
    assert done.returncode == USAGE and "queue takes one operand, or none" in done.stderr


def test_changing_the_queue_is_for_administrators(client, service):
    done = program("jobqctl", "-c", service.state / "etc/jobq.conf", "token", "add", "worker",
                   "--scope", "submit")
    assert done.returncode == OK, done.stderr
    token = done.stdout.strip()
    assert client("queue", "--token", token).returncode == OK
    done = client("queue", "pause", "--token", token)
    assert done.returncode == REFUSED and "it needs the scope admin" in done.stderr
    assert "jobqctl token add" in done.stderr
    assert client("queue").stdout.startswith("open: ")


def test_who_waits_is_told_that_the_queue_is_paused(client, service, paused):
    job = quick_job(service)
    with Terminal("watch", job) as terminal:
        terminal.expect(f"{job}  scene_preload +queued")
        terminal.keys("\x03")
        assert terminal.wait() == INTERRUPTED
    assert screen(terminal.output)[0] == \
        "jobqctl: the queue is paused: no job starts until `jobqctl queue resume`"


def test_top_tells_of_a_queue_that_is_not_open(client, service, paused):
    quick_job(service)
    assert "queue paused\n" in client("top", "--once", "--interval", "1").stdout
    with Terminal("top", "--interval", "1") as terminal:
        terminal.expect("queue   paused: no job starts until `jobqctl queue resume`")
        client("queue", "drain")
        terminal.expect("queue   draining: it takes no job until `jobqctl queue resume`")
        before = len(terminal.output)
        client("queue", "resume")
        wait_until(lambda: "".join(screen(terminal.read())[2:3]).startswith("rates"), 20,
                   "an open queue")
        assert "slots   " in terminal.output[before:]
        terminal.keys("\x03")
        assert terminal.wait() == OK


# ---- terminals --------------------------------------------------------------------


def test_what_goes_on_can_be_pasted(client, service, paused):
    """The command to watch again names the jobs, unless there are many."""
    jobs = [quick_job(service) for _ in range(21)]
    for count, told in ((2, f"they go on; watch again with: jobqctl watch {jobs[0]} {jobs[1]}"),
                        (21, "the jobs go on; watch them again with: jobqctl watch --all")):
        with Terminal("watch", *jobs[:count], columns=200) as terminal:
            terminal.expect("queued")
            terminal.keys("\x03")
            assert terminal.wait() == INTERRUPTED
        assert screen(terminal.output)[-1].endswith(told)


def test_no_number_is_cut_in_half(client, service):
    job = running_job(service)
    try:
        for columns in range(12, 30):
            with Terminal("watch", job, columns=columns) as terminal:
                terminal.expect(r"\n")
                terminal.process.send_signal(signal.SIGINT)
                assert terminal.wait() == INTERRUPTED
            line = screen(terminal.output)[0]
            assert re.fullmatch(rf" *{job} +[a-z]*( +.*\d%)?", line), line
    finally:
        client("stop", job)
