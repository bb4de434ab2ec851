"""Fixtures of the dashboard's tests: a service, and a real browser.

Chromium is Debian's (packaging/packages web). What drives it comes from npm, into
the directory that JOBQ_WEB names; without npm's registry the status is 77.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

from browser import Browser  # noqa: E402
from service import ROOT, Service, wait_until  # noqa: E402
from steps import slow_job  # noqa: E402

# Errors that are the point of a test: what the browser says of a refused request.
EXPECTED = ("Failed to load resource", "net::ERR_")


def away(why):
    pytest.exit(f"SKIPPED: the dashboard has not been tested: {why}", returncode=77)


@pytest.fixture(scope="session")
def modules():
    """The directory with node_modules, filled from npm as package-lock.json says."""
    target = Path(os.environ.get("JOBQ_WEB") or ROOT / "build/tests/web")
    target.mkdir(parents=True, exist_ok=True)
    lock = HERE / "package-lock.json"
    there = target / "package-lock.json"
    if (target / "node_modules").exists() and there.exists() and \
            there.read_bytes() == lock.read_bytes():
        return target
    if shutil.which("npm") is None:
        away("npm is not installed")
    shutil.copy(HERE / "package.json", target)
    shutil.copy(lock, target / "lock")
    (target / "lock").replace(target / "npm-shrinkwrap.json")
    try:
        done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund",
                               "--fetch-retries=1", "--fetch-timeout=20000"],
                              cwd=target, capture_output=True, text=True, timeout=180)
    except subprocess.TimeoutExpired:
        away("npm does not answer")
    if done.returncode != 0:
        away(f"npm has not fetched playwright-core and axe-core: {done.stderr.strip()[:300]}")
    (target / "npm-shrinkwrap.json").replace(there)
    return target


@pytest.fixture(scope="session")
def chromium():
    found = shutil.which("chromium")
    assert found, "there is no chromium: packaging/packages web"
    return found


@pytest.fixture(scope="session")
def driven(modules, chromium):
    browser = Browser(modules, chromium)
    yield browser
    browser.close()


@pytest.fixture
def browser(driven):
    """The browser. What its console gets is no less a failure than what one sees, and so
    is a request to anybody but the service."""
    yield driven
    assert driven.run("return lib.elsewhere") == []
    wrong = [line for line in driven.said() if not any(
        word in line for word in (*EXPECTED, *driven.expected))]
    assert not wrong, "\n".join(wrong)


def make_project(root):
    shutil.copytree(ROOT / "packaging/sample-project", root, dirs_exist_ok=True)
    nodes = "".join(f'\n[node name="N{i}" type="Node2D" parent="."]\nposition = Vector2({i}, {i})\n'
                    for i in range(20000))
    (root / "slow.tscn").write_text('[gd_scene format=3]\n\n[node name="Root" type="Node2D"]\n' + nodes)
    (root / "broken.tscn").write_text('[gd_scene format=3]\n\n[node name="X" type=\n')
    (root / "<img src=x onerror=alert(1)>.tscn").write_text('[gd_scene format=3]\n\n[node name="X" type=\n')
    return root


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("project"))


def start(project, **arguments):
    options = ["drain_timeout = 0", "webhook_allow = 127.0.0.0/8"]
    return Service(project=project, options=options + arguments.pop("options", []), **arguments)


@pytest.fixture(scope="session")
def service(project):
    """One service for all tests that do it no harm."""
    with start(project) as running:
        yield running


@pytest.fixture
def own_service(project):
    with start(project) as running:
        yield running


@pytest.fixture
def busy(service):
    """Three jobs that keep the slots busy: what comes next stays queued. They go with the
    worker that does them."""
    running = [slow_job(service) for _ in range(3)]
    wait_until(lambda: all(service.job(one)["status"] == "running" for one in running), 30,
               "three running jobs")
    yield running
    for status in ("queued", "running"):
        for job in service.get(f"/jobs?status={status}&limit=1000").json()["jobs"]:
            service.delete(f"/jobs/{job['id']}")
    for worker in service.workers():
        os.kill(worker, signal.SIGKILL)
    for one in running:
        service.wait_job(one)
    service.wait_workers()


@pytest.fixture
def paused(service):
    """The shared service, whose queue stands still for the time of the test."""
    assert service.post("/queue/pause", None).status_code == 200
    yield service
    for job in service.get("/jobs?status=queued&limit=1000").json()["jobs"]:
        service.delete(f"/jobs/{job['id']}")
    assert service.post("/queue/resume", None).status_code == 200
