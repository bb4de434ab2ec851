"""A new type of jobs is what README says: its own example is built, and its jobs are done."""

import os
import re
import shutil
import subprocess

import pytest
from conftest import quick_job
from service import ROOT, program, wait_until

SOURCES = ("configure.ac", "Makefile.am", "include", "nginx", "packaging", "src", "tests")


def example():
    """The line, the file's name and the file, as README has them."""
    section = re.search(r"^## Adding a job type\n(.*?)^## ", (ROOT / "README.md").read_text(),
                        re.M | re.S)[1]
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", section, re.M)
    line, code = (re.sub(r"^    ", "", block, flags=re.M).strip() + "\n" for block in blocks)
    [name] = re.findall(r"`(src/slot/\w+\.c)`:", section)
    assert f"`%D%/{name.removeprefix('src/')}`" in section
    return line.strip(), name, code


def replace(path, pattern, text):
    changed, count = re.subn(pattern, text, path.read_text(), flags=re.M)
    assert count == 1, (path, pattern)
    path.write_text(changed)


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """A build of a copy of the sources to which the example was added."""
    tree = tmp_path_factory.mktemp("new-type")
    for name in SOURCES:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tree / name)
    line, name, code = example()
    replace(tree / "include/jobq/job.h", r"(#define JOBQ_JOB_TYPES\(X\)(?:.*\\\n)+.*)\n",
            lambda found: f"{found[1]} \\\n\t{line}\n")
    replace(tree / "src/local.mk", r"%D%/slot/scene_preload\.c ",
            lambda found: f"{found[0]}%D%/{name.removeprefix('src/')} ")
    (tree / name).write_text(code)
    folder = tree / "build"
    folder.mkdir()
    for where, command in ((tree, ["autoreconf", "-i"]),
                           (folder, ["../configure", "--enable-werror", "CFLAGS=-O0 -g"]),
                           (folder, ["make", "-j2", "jobqd", "jobq-api", "jobq-hook", "jobqctl"])):
        done = subprocess.run(command, cwd=where, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    yield folder
    shutil.rmtree(tree)


@pytest.fixture
def grown(build, own_service, monkeypatch):
    """A service that has done a job before it learnt the new type."""
    service = own_service(options=["whitelist = res://*.tscn"])
    before = quick_job(service)
    service.wait_job(before)
    service.stop()
    monkeypatch.setenv("JOBQ_BUILD", str(build))
    service.start()
    assert service.job(before)["type"] == "scene_preload", "the older table has given way"
    return service


def refused(service, parameters, code, pointer):
    answer = service.post("/jobs", {"type": "scene_count", "parameters": parameters})
    assert answer.status_code == 400, answer.text
    assert (answer.json()["code"], answer.json()["details"]["pointer"]) == (code, pointer)


def test_a_type_is_one_line_and_one_file(grown):
    job = grown.submit("scene_count", {"scene_paths": ["res://a.tscn", "res://gone.tscn",
                                                       "res://slow.tscn"]})
    shown = grown.wait_job(job)
    assert shown["status"] == "completed" and shown["progress"] == 1.0
    assert [entry["node_count"] for entry in shown["result"]["scenes"]] == [2, 0, 60001]
    lines = grown.get(f"/jobs/{job}/log").json()["lines"]
    assert [line.partition(" ")[2] for line in lines] == [
        "count res://a.tscn: done", "count res://gone.tscn: Scene not found",
        "count res://slow.tscn: done"]

    # It is refused what its line does not allow.
    refused(grown, {}, "invalid_parameters", "/parameters/scene_paths")
    refused(grown, {"scene_paths": []}, "invalid_parameters", "/parameters/scene_paths")
    refused(grown, {"scene_paths": ["res://a.tscn", "/a"]}, "invalid_scene_path",
            "/parameters/scene_paths/1")
    refused(grown, {"scene_paths": ["res://levels/one.tscn"]}, "scene_not_whitelisted",
            "/parameters/scene_paths/0")
    refused(grown, {"scene_paths": ["res://a.tscn"], "mode": "x"}, "unknown_member",
            "/parameters/mode")

    # What failed is repeated, alone.
    answer = grown.post(f"/jobs/{job}/retry", {"only": "failed"})
    assert answer.status_code == 202, answer.text
    again = answer.json()["job_id"]
    assert [entry["scene_path"] for entry in grown.wait_job(again)["result"]["scenes"]] == \
        ["res://gone.tscn"]

    # It says how far it is, and stops when it is asked to.
    long = grown.submit("scene_count", {"scene_paths": ["res://slow.tscn"] * 10000})
    wait_until(lambda: 0 < grown.job(long)["progress"] < 1, 30, "progress")
    assert grown.post(f"/jobs/{long}/cancel", None).status_code == 202
    stopped = grown.wait_job(long)
    assert stopped["status"] == "failed" and "stopped" in stopped["error"]
    assert 0 < len(stopped["result"]["scenes"]) < 10000

    # Everything that knows types knows this one.
    listed = grown.get("/jobs?type=scene_count").json()["jobs"]
    assert [entry["id"] for entry in listed] == [job, again, long]
    wrong = grown.get("/jobs?type=none").json()["error"]
    assert wrong.endswith("scene_preload, cache_warming or scene_count, once")
    metrics = grown.get("/metrics").text
    assert 'jobq_jobs_finished_total{type="scene_count",outcome="completed"} 2\n' in metrics
    assert 'jobq_job_run_seconds_count{type="scene_count"} 3\n' in metrics
    client = dict(os.environ, JOBQ_URL=grown.base_url, JOBQ_TOKEN=grown.token)
    done = program("jobqctl", "list", "--type", "scene_count", env=client)
    assert done.stdout.count("scene_count") == 3, done.stderr
    grown.assert_sound()
