"""What clients do that were written after the reference, "Job Queue API".

Its Python is run here twice: as its readers would write it down (below, with
`requests` and `flask` as they come), and, where the document itself is at hand
(JOBQ_REFERENCE, or beside the checkout), each of its code blocks as it stands,
one after the other in one namespace, as a reader would paste them.
"""

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from conftest import SMALL, make_project
from flask import Flask, render_template
from service import ROOT

REFERENCE = Path(os.environ.get("JOBQ_REFERENCE", ROOT.parent / "shared/reference/job-queue-api.md"))
TEMPLATES = {
    "jobs.html": "{% for job in jobs %}{{ job.id }} {{ job.type }} {{ job.status }} "
                 "{{ '%d' % (job.progress * 100) }}%\n{% endfor %}",
    "job_detail.html": "{{ job.id }} {{ job.status }} {{ job.created_at }} {{ job.result }} "
                       "{{ job.error }}",
}
ENDS = ["completed", "failed", "cancelled"]


@pytest.fixture
def reader(own_service, tmp_path, monkeypatch):
    """A service with the scenes that the reference names, and a place with the templates."""
    project = tmp_path / "project"
    project.mkdir()
    make_project(project)
    for name in ["vr_main", "node_3d", "test_scene"] + [f"scene{i}" for i in range(50)]:
        (project / f"{name}.tscn").write_text(SMALL.format(name=name))
    (tmp_path / "templates").mkdir()
    for name, text in TEMPLATES.items():
        (tmp_path / "templates" / name).write_text(text)
    monkeypatch.chdir(tmp_path)  # where flask looks for them
    return own_service(project=project)


# ---- as its readers write it down --------------------------------------------------


class User:
    """Somebody with the reference, an address and a token, who knows nothing else."""

    def __init__(self, service):
        self.url = service.base_url
        self.headers = {"Authorization": f"Bearer {service.token}",
                        "Content-Type": "application/json"}

    def submit(self, job_data, max_retries=3):
        """The reference's retry: it tells 202, 400 and everything else apart."""
        for attempt in range(max_retries):
            try:
                response = requests.post(f"{self.url}/jobs", headers=self.headers, json=job_data,
                                         timeout=10)
                if response.status_code == 202:
                    return response.json()["job_id"]
                if response.status_code == 400:
                    raise ValueError(response.json())
            except requests.exceptions.RequestException:
                if attempt == max_retries - 1:
                    raise
                time.sleep(2 ** attempt)
        raise Exception("Max retries exceeded")

    def job(self, job_id):
        response = requests.get(f"{self.url}/jobs/{job_id}", headers=self.headers, timeout=10)
        return response.json()["job"]

    def poll(self, job_id, max_wait=60):
        """With its back-off."""
        wait_times, wait_index, elapsed = [0.05, 0.1, 0.2, 0.5, 1], 0, 0
        while elapsed < max_wait:
            job = self.job(job_id)
            assert f"{job['status']}: {job['progress'] * 100:.0f}%"
            if job["status"] in ENDS:
                return job
            wait_time = wait_times[min(wait_index, len(wait_times) - 1)]
            time.sleep(wait_time)
            elapsed += wait_time
            wait_index += 1
        raise TimeoutError(f"Job {job_id} did not complete in {max_wait}s")


def test_quick_start(reader):
    user = User(reader)
    response = requests.post(f"{user.url}/jobs", headers=user.headers, timeout=10, json={
        "type": "scene_preload", "parameters": {"scene_paths": [
            "res://vr_main.tscn", "res://node_3d.tscn", "res://test_scene.tscn"]}})
    assert response.status_code == 202
    assert response.json() == {"success": True, "job_id": "1", "status": "queued"}
    job = user.poll("1")
    assert list(job) == ["id", "type", "status", "progress", "created_at", "started_at",
                         "completed_at", "result", "error"]
    assert job["status"] == "completed" and job["progress"] == 1.0 and job["error"] is None
    assert job["created_at"] <= job["started_at"] <= job["completed_at"]
    assert job["result"] == {"scenes_loaded": 3, "total_scenes": 3, "scenes": [
        {"scene_path": f"res://{name}.tscn", "success": True}
        for name in ("vr_main", "node_3d", "test_scene")]}


def test_large_batch_and_cancellation(reader):
    user = User(reader)
    batch = user.submit({"type": "batch_operations", "parameters": {"mode": "continue",
        "operations": [{"action": "validate", "scene_path": f"res://scene{i}.tscn"}
                       for i in range(50)]}})
    result = user.poll(batch)["result"]
    assert result["total"] == 50 and result["message"] == "Batch operations completed"
    warming = user.submit({"type": "cache_warming", "parameters": {}})
    response = requests.delete(f"{user.url}/jobs/{warming}", headers=user.headers, timeout=10)
    if response.json()["success"]:
        assert response.json()["message"] == "Job cancelled"
        assert user.job(warming)["status"] == "cancelled"
    else:
        assert response.json()["error"] == "Can only cancel queued jobs"
        assert user.poll(warming)["result"]["cache_warmed"] is True
    response = requests.get(f"{user.url}/jobs/4711", headers=user.headers, timeout=10)
    assert response.status_code == 404 and response.json()["error"] == "Job not found"
    response = requests.get(f"{user.url}/jobs", timeout=10)
    assert response.status_code == 401 and response.json()["error"] == "Authentication required"


def test_retry_knows_what_not_to_repeat(reader):
    with pytest.raises(ValueError) as why:
        User(reader).submit({"type": "scene_load", "parameters": {}})
    assert why.value.args[0]["success"] is False


def test_many_at_once(reader):
    user = User(reader)

    def submit_and_monitor(job):
        return user.poll(user.submit(job))
    jobs = [{"type": "scene_preload", "parameters": {"scene_paths": [f"res://scene{i}.tscn"]}}
            for i in range(10)]
    with ThreadPoolExecutor(max_workers=5) as executor:
        results = list(executor.map(submit_and_monitor, jobs))
    assert [job["status"] for job in results] == ["completed"] * 10
    assert len({job["id"] for job in results}) == 10


def test_dashboard(reader, tmp_path):
    user = User(reader)
    app = Flask("dashboard", template_folder=tmp_path / "templates")

    @app.route("/jobs")
    def jobs_dashboard():
        response = requests.get(f"{user.url}/jobs", headers=user.headers, timeout=10)
        return render_template("jobs.html", jobs=response.json()["jobs"])

    @app.route("/jobs/<job_id>")
    def job_detail(job_id):
        response = requests.get(f"{user.url}/jobs/{job_id}", headers=user.headers, timeout=10)
        return render_template("job_detail.html", job=response.json()["job"])

    for _ in range(2):
        user.poll(user.submit({"type": "cache_warming", "parameters": {}}))
    browser = app.test_client()
    assert browser.get("/jobs").text == "1 cache_warming completed 100%\n" \
                                        "2 cache_warming completed 100%\n"
    assert re.match(r"2 completed \d+ .*Cache warming completed.* None$",
                    browser.get("/jobs/2").text)


# ---- as it stands in the reference -------------------------------------------------


def blocks():
    if not REFERENCE.exists():
        pytest.skip(f"THE REFERENCE WAS NOT RUN: it is not at {REFERENCE} (JOBQ_REFERENCE)")
    return re.findall(r"^```python\n(.*?)^```", REFERENCE.read_text(), re.M | re.S)


def as_it_stands(block, service):
    """Only address and token are the service's; and a bracket too many, which is no Python."""
    block = re.sub(r'^API_URL = .*', f'API_URL = "{service.base_url}"', block, flags=re.M)
    block = re.sub(r'^TOKEN = .*', f'TOKEN = "{service.token}"', block, flags=re.M)
    return block.replace('.tscn"]}}}\n', '.tscn"]}}\n')


def test_every_block_of_the_reference(reader, capsys):
    found = blocks()
    assert len(found) >= 10
    space = {"__name__": "reference"}

    # Two helpers that it uses without showing them.
    def submit_job(*_):
        return space["submit_job_with_retry"]({"type": "batch_operations", "parameters": {
            "operations": [{"action": "get_info", "scene_path": "res://scene1.tscn"}]}})

    def get_job_status(job_id):
        return reader.job(job_id)
    space.update(submit_job=submit_job, get_job_status=get_job_status)
    for number, block in enumerate(found):
        exec(compile(as_it_stands(block, reader), f"block {number + 1}", "exec"), space)

    said = capsys.readouterr().out
    assert "Job submitted: 1\n" in said and "Status: completed, Progress: 100%" in said
    assert "Result: {'scenes_loaded': 3, 'total_scenes': 3" in said
    assert "Batch job submitted: 2\n" in said
    assert re.search(r"Job 2: completed \(100%\)", said)
    assert "Completed 10 jobs\n" in said
    assert [job["status"] for job in space["results"]] == ["completed"] * 10

    # What it only defines is called.
    job = space["poll_job_with_backoff"](
        space["submit_job_with_retry"]({"type": "cache_warming", "parameters": {}}))
    assert job["status"] == "completed"
    with pytest.raises(ValueError):
        space["submit_job_with_retry"]({"type": "none", "parameters": {}})
    browser = space["app"].test_client()
    assert browser.get("/jobs").text.startswith("1 scene_preload completed 100%\n")
    assert browser.get("/jobs/1").text.startswith("1 completed ")
    hook, = reader.get("/webhooks").json()["webhooks"]
    assert hook["url"] == "https://your-server.com/webhook" and hook["secret"] == "***"
    assert hook["delivery_count"] == 0, "nothing goes out of this machine"
