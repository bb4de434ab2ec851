"""A first job as the API's reference has it in Python: submit, then poll."""

import os
import time

import requests

API_URL = os.environ["API_URL"]
headers = {"Authorization": f"Bearer {os.environ['TOKEN']}", "Content-Type": "application/json"}

response = requests.post(f"{API_URL}/jobs", headers=headers, json={
    "type": "scene_preload",
    "parameters": {"scene_paths": ["res://vr_main.tscn", "res://node_3d.tscn",
                                   "res://test_scene.tscn"]}})
assert response.status_code == 202, response.text
job_id = response.json()["job_id"]

deadline = time.monotonic() + 60
while True:
    job = requests.get(f"{API_URL}/jobs/{job_id}", headers=headers).json()["job"]
    if job["status"] in ["completed", "failed", "cancelled"]:
        break
    assert time.monotonic() < deadline, job
    time.sleep(0.1)

assert job["status"] == "completed", job
assert job["result"]["scenes_loaded"] == 3, job
print(job_id)
