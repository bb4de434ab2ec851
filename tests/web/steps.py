"""What the dashboard's tests do to a service, beside the browser."""

import json
from concurrent.futures import ThreadPoolExecutor


def operations(scene, count, act="validate"):
    return {"operations": [{"action": act, "scene_path": scene}] * count}


def slow_job(service, count=10000):
    return service.submit("batch_operations", operations("res://slow.tscn", count))


def quick_job(service, *paths, **more):
    answer = service.post("/jobs", {"type": "scene_preload", "parameters": {
        "scene_paths": list(paths or ["res://vr_main.tscn"])}, **more})
    assert answer.status_code == 202, answer.text
    return answer.json()["job_id"]


def submit_many(service, count, body=None):
    """As fast as they are taken, a hundred in a connection."""
    body = json.dumps(body or {"type": "batch_operations", "parameters":
                               operations("res://vr_main.tscn", 1, "get_info")}).encode()
    head = (f"POST /jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n")
    each = 100

    def some(_):
        got = service.raw((f"{head}\r\n".encode() + body) * (each - 1) +
                          f"{head}Connection: close\r\n\r\n".encode() + body, timeout=60)
        assert got.count(b"HTTP/1.1 202 ") == each
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(some, range(count // each)))


def row(job_id):
    return f'#job-rows tr:has(a[href="#/jobs/{job_id}"])'
