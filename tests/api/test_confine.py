"""The slots' workers are confined: what holds them is shown, and their work is not hindered."""

import os
import re
import resource
import signal
from pathlib import Path

import pytest
from conftest import quick_job, slow_job
from service import wait_until


def sanitized(service):
    """Built with a sanitizer, a worker has only a part of it (src/slot/confine.c)."""
    return any(b"libasan" in line or b"libtsan" in line
               for line in Path(f"/proc/{service.pid('jobqd')}/maps").read_bytes().splitlines())


def confinement(service):
    """What healthz says, once all three workers have told theirs."""
    wait_until(lambda: len(re.findall("event=confined ", service.logs())) >= 3)
    return service.get("/healthz").json()["confinement"]


def status(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def limits(pid):
    """Soft and hard limit by name."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {line[:26].strip(): tuple(line[26:].split()[:2]) for line in lines}


def test_health_and_log_say_what_holds_the_workers(service):
    shown = confinement(service)
    assert list(service.get("/healthz").json())[-1] == "confinement"
    assert list(shown) == ["landlock", "seccomp"]
    told = set(re.findall(r"event=confined slot=\d landlock=(\d+|no) seccomp=(yes|no)",
                          service.logs()))
    assert told == {(str(shown["landlock"] or "no"), "yes" if shown["seccomp"] else "no")}


def test_every_worker_is_held(service):
    shown = confinement(service)
    for pid in service.wait_workers():
        assert status(pid)["NoNewPrivs"].strip() == "1"
        assert limits(pid)["Max core file size"] == ("0", "0")
        assert limits(pid)["Max open files"] == ("512", "512")
        if sanitized(service):
            continue
        assert status(pid)["Seccomp"].strip() == ("2" if shown["seccomp"] else "0")
        soft, hard = limits(pid)["Max address space"]
        assert soft == hard and 8 << 30 < int(soft) < 16 << 30
    assert status(service.pid("jobqd"))["NoNewPrivs"].strip() == "0", "it starts the workers"


def test_workers_have_nothing_else_open(service):
    """Not even what was open where jobqd was started."""
    if os.geteuid() != 0:
        pytest.skip("only root may look into a process that is not dumpable")
    for pid in service.wait_workers():
        fds = {int(fd.name): os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}
        more = sorted(path for fd, path in fds.items() if fd > 2)
        assert more == sorted([f"/dev/shm{service.table_name()}", str(service.project)])


@pytest.mark.parametrize("kind,parameters", [
    ("batch_operations", {"operations": [
        {"action": action, "scene_path": f"res://{path}.tscn"}
        for action in ("load", "validate", "get_info") for path in ("a", "levels/one", "slow")]}),
    ("scene_preload", {"scene_paths": ["res://a.tscn", "res://levels/one.tscn"]}),
    ("cache_warming", {}), ("cache_warming", {"scope": "stale"}),
])
def test_jobs_of_every_type_complete(service, kind, parameters):
    confinement(service)
    job = service.wait_job(service.submit(kind, parameters))
    assert job["status"] == "completed", job
    assert job["result"].get("failed", 0) == 0


def test_a_deep_project_needs_no_more_files_than_there_are(own_service, tmp_path):
    """cache_warming holds a directory open for each level."""
    directory = tmp_path
    for level in range(62):
        directory = directory / str(level)
        directory.mkdir()
    (directory / "deep.tscn").write_text('[gd_scene format=3]\n\n[node name="D" type="Node"]\n')
    service = own_service(project=tmp_path)
    result = service.wait_job(service.submit("cache_warming", {}))["result"]
    assert (result["scenes_warmed"], result["scenes_failed"]) == (1, 0)


def test_a_job_over_the_memory_limit_fails_and_its_worker_goes_on(own_service):
    service = own_service()
    if sanitized(service):
        pytest.skip("a sanitizer's worker has no such limit")
    confinement(service)
    workers = service.wait_workers()
    for pid in workers:  # as if the jobs before had taken the rest
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + (1 << 20)
        resource.prlimit(pid, resource.RLIMIT_AS, (most, most))
    job = service.wait_job(slow_job(service, 1))
    assert (job["status"], job["error"]) == ("failed", "out of memory")
    assert all(service.wait_job(quick_job(service))["status"] == "completed" for _ in range(6))
    assert service.workers() == workers
    service.assert_sound()


def test_time_limit_and_signals_reach_a_confined_worker(own_service):
    service = own_service(options=["job_timeout = 4s"])
    confinement(service)
    assert "timed out" in service.wait_job(slow_job(service, 1000))["error"]
    for number, name in ((signal.SIGKILL, "SIGKILL"), (signal.SIGABRT, "SIGABRT")):
        workers = service.wait_workers()
        job_id = slow_job(service, 1000)
        wait_until(lambda: service.job(job_id)["progress"] > 0)
        for pid in workers:
            os.kill(pid, number)
        assert service.wait_job(job_id)["error"] == \
            f"worker killed by signal {int(number)} ({name})"
    service.wait_workers()
    assert service.wait_job(quick_job(service))["status"] == "completed"
    assert confinement(service) is not None, "their successors are held, too"
    service.assert_sound()
