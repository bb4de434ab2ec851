#!/usr/bin/python3
"""Python programs that submit jobs, each one after the other, with the library people use.

usage: clients.py jobq|rq PORT SECONDS PROCESSES [TOKEN]

`jobq` is requests, `rq` is RQ's own Queue.enqueue. Prints `name value` lines.
"""

import multiprocessing
import sys
import time

PATHS = ["res://a.tscn"]


def submit_to_jobq(port, token):
    import requests
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    body = {"type": "scene_preload", "parameters": {"scene_paths": PATHS}}

    def submit():
        assert session.post(f"http://127.0.0.1:{port}/jobs", json=body).status_code == 202
    return submit


def submit_to_rq(port, _):
    import redis
    import rq
    queue = rq.Queue(connection=redis.Redis(port=port))
    return lambda: queue.enqueue("scenes.preload", PATHS)


def client(make, port, token, seconds, gate, counts):
    submit = make(port, token)
    submit()
    gate.wait()
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        submit()
        count += 1
    counts.put(count)


def main():
    make = {"jobq": submit_to_jobq, "rq": submit_to_rq}[sys.argv[1]]
    port, seconds, processes = int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    token = sys.argv[5] if len(sys.argv) > 5 else ""
    gate, counts = multiprocessing.Barrier(processes), multiprocessing.Queue()
    clients = [multiprocessing.Process(target=client,
                                       args=(make, port, token, seconds, gate, counts))
               for _ in range(processes)]
    for process in clients:
        process.start()
    jobs = sum(counts.get() for _ in clients)
    for process in clients:
        process.join()
    print(f"jobs {jobs}\nrate {jobs / seconds}")


if __name__ == "__main__":
    main()
