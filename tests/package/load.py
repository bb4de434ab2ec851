#!/usr/bin/env python3
"""Clients that submit jobs and ask for them until standard input ends.

usage: load.py URL TOKEN

Meanwhile it prints lines of two numbers: the time (time.monotonic()), and how many
requests have had their answer by then, those with 503 not counted. The last line is
what has been counted, as JSON.

Some connect anew for each request, others keep their connection. A kept
connection that the server has closed by the time the next request is sent is
opened again, as every client must; that is counted apart.
"""

import collections
import http.client
import json
import select
import ssl
import sys
import threading
import time
from urllib.parse import urlsplit

ANEW, KEPT, PAUSE = 4, 4, 0.02
BODY = json.dumps({"type": "batch_operations", "parameters": {
    "operations": [{"action": "validate", "scene_path": "res://vr_main.tscn"}] * 20,
    "mode": "continue"}})


class Client:
    def __init__(self, url, token, keeps):
        self.host = urlsplit(url).hostname
        self.context = ssl.create_default_context()
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        if not keeps:
            self.headers["Connection"] = "close"
        self.keeps = keeps
        self.connection = None
        self.counts = collections.Counter()
        self.accepted, self.failures, self.slowest = [], [], 0

    def once(self, method, path, body):
        fresh = self.connection is None
        if fresh:
            self.connection = http.client.HTTPSConnection(self.host, context=self.context,
                                                          timeout=60)
        try:
            self.connection.request(method, path, body, self.headers)
            answer = self.connection.getresponse()
            return answer, answer.read()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError,
                ssl.SSLEOFError):
            self.drop()
            if fresh:
                raise
            self.counts["reconnected"] += 1
            return self.once(method, path, body)

    def drop(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def ask(self, method, path, body=None):
        began = time.monotonic()
        try:
            answer, text = self.once(method, path, body)
        except Exception as error:  # whatever it is, the request has not been answered
            self.drop()
            self.counts[f"{method} failed"] += 1
            self.failures.append(f"{time.time():.3f} {method} {path}: {error!r}")
            return None
        self.slowest = max(self.slowest, time.monotonic() - began)
        if not self.keeps or answer.will_close:
            self.drop()
        self.counts[f"{method} {answer.status}"] += 1
        good = answer.status in (200, 202) or \
            answer.status == 503 and answer.headers.get("Retry-After")
        if not good:
            self.failures.append(f"{time.time():.3f} {method} {path}: {answer.status} "
                                 f"{text[:300].decode(errors='replace')}")
        return json.loads(text) if answer.status in (200, 202) else None

    def work(self, over):
        while not over.is_set():
            job = self.ask("POST", "/jobs", BODY)
            if job:
                self.accepted.append(job["job_id"])
            over.wait(PAUSE)
            if self.accepted:
                self.ask("GET", f"/jobs/{self.accepted[-1]}")
            over.wait(PAUSE)


def main(url, token):
    over = threading.Event()
    clients = [Client(url, token, keeps) for keeps in [False] * ANEW + [True] * KEPT]
    threads = [threading.Thread(target=client.work, args=(over,)) for client in clients]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    while not select.select([sys.stdin], [], [], 0.1)[0]:
        served = sum(count for client in clients for name, count in client.counts.copy().items()
                     if name in ("GET 200", "POST 202"))
        print(time.monotonic(), served, flush=True)
    over.set()
    for thread in threads:
        thread.join()
    json.dump({"seconds": round(time.monotonic() - began, 1),
               "counts": sum((client.counts for client in clients), collections.Counter()),
               "accepted": [job for client in clients for job in client.accepted],
               "slowest": round(max(client.slowest for client in clients), 2),
               "failures": [line for client in clients for line in client.failures]}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
