"""The measurements of tests/bench/run, section by section."""

import contextlib
import os
import random
import re
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import durable
import hooks
import scenes
from harness import (Bench, Front, children, interleaved, make_project, median_of, median_ratio,
                     program, run_program, start_empty, status_field, switches)

QUIET = 7  # seconds until nginx has closed the connections that it keeps for 5


class Report:
    """The figures with their targets."""

    def __init__(self):
        self.rows = []

    def add(self, name, value, unit="", most=None, least=None):
        """A figure; `most` or `least` is its target, if it has one."""
        if most is None and least is None:
            target, verdict = "", ""
        else:
            good = value <= most if least is None else value >= least
            target = f"<= {most:g}{unit}" if least is None else f">= {least:g}{unit}"
            verdict = "ok" if good else "missed"
        if isinstance(value, int):
            number = str(value)
        else:
            number = f"{value:.{3 if value < 1 else 2 if value < 100 else 0}f}"
        self.rows.append((name, number + unit, target, verdict))
        print(f"  {name}: {number}{unit}" + (f" (target {target}: {verdict})" if target else ""))

    def show(self):
        rows = [("figure", "value", "target", "ok"), *self.rows]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        print()
        for number, row in enumerate(rows):
            print(" | ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())
            if number == 0:
                print("-|-".join("-" * width for width in widths))

    def missed(self):
        return [row for row in self.rows if row[3] == "missed"]


def heading(text):
    print(f"\n==== {text}", flush=True)


def show_rates(results):
    for name, rounds in results.items():
        print(f"  {name:14}{median_of(rounds, 'rate'):8.0f} requests/s   "
              f"p50 {median_of(rounds, 'p50'):6.2f} ms   p99 {median_of(rounds, 'p99'):6.2f} ms   "
              f"processor time a request: application {median_of(rounds, 'app'):5.1f} us, "
              f"nginx {median_of(rounds, 'front'):5.1f} us")


# ---- a service of its own ------------------------------------------------------


def measure_idle(service, report, args):
    """Counts how often any thread of the service gets a processor while nothing is asked."""
    heading(f"idle: wake-ups in {args.idle} s")
    service.submit("cache_warming", {})  # what runs at first use has run
    time.sleep(QUIET)
    pids = [service.pid("jobq-api"), *service.api_pids(), service.pid("jobqd"),
            service.writer(), *service.workers()]
    nginx = [service.pid("nginx"), *children(service.pid("nginx"))]
    before = {pid: switches(pid) for pid in pids + nginx}
    time.sleep(args.idle)
    after = {pid: switches(pid) for pid in pids + nginx}
    print(f"  {len(pids)} processes of jobq-api and jobqd with "
          f"{sum(len(os.listdir(f'/proc/{pid}/task')) for pid in pids)} threads; nginx: "
          f"{sum(after[pid] - before[pid] for pid in nginx)} context switches")
    report.add("idle: context switches of all jobq processes",
               sum(after[pid] - before[pid] for pid in pids), most=0)


def measure_latency(service, report, args):
    count = 200 if args.quick else 2000
    heading(f"latency: submission to start on an idle service, {count} jobs one at a time")
    got = run_program(program("latency"), service.table_name(), count)
    report.add("submit to start, p50", got["p50"] / 1000, " ms", most=1)
    report.add("submit to start, p99", got["p99"] / 1000, " ms", most=5)
    print(f"  longest: {got['max'] / 1000:.2f} ms")


def measure_memory(service, report, args):
    heading(f"memory: {args.jobs:,} queued jobs with 200 bytes of parameters")
    service.hold_workers()
    got = service.fill("submit", args.jobs)
    print(f"  submitted to the table itself: {args.jobs / got['seconds']:,.0f} jobs/s")
    report.add("memory of a queued job", got["bytes_a_job"], " bytes", most=512)
    report.add("memory of the whole table / its jobs", service.segment_bytes() / args.jobs,
               " bytes")


def alone(project, report, args):
    """Sections that want a service that nobody else talks to."""
    measures = {"idle": measure_idle, "latency": measure_latency, "memory": measure_memory}
    wanted = [measures[name] for name in measures if name in args.section]
    if wanted:
        with Bench(project, "1G") as service:
            for one in wanted:
                one(service, report, args)


# ---- behind one nginx ----------------------------------------------------------


def add_ratios(report, request, got, least, jobs):
    """
    Of requests per second; and of processor time, which others who work on this
    machine disturb less.
    """
    report.add(f"{request} / empty application", median_ratio(got["small"], got["empty"], "rate"),
               least=least)
    report.add(f"{request}, {jobs:,} jobs / 10 jobs",
               median_ratio(got["large"], got["small"], "rate"), least=0.95)
    report.add(f"{request}, processor time / with the empty application",
               median_ratio(got["small"], got["empty"], "cost"))
    report.add(f"{request}, processor time, {jobs:,} jobs / 10 jobs",
               median_ratio(got["large"], got["small"], "cost"))
    report.add(f"{request}, p99", median_of(got["small"], "p99"), " ms")


def measure_get(front, paths, report, args):
    heading(f"GET /jobs/:id of finished jobs, 64 connections, {args.rounds} rounds of "
            f"{args.seconds} s")
    targets = ["nginx", "empty", "small", "large"]
    for name in targets:  # pages that are looked at for the first time, connections, threads
        front.load(name, paths[name], 1)
    got = interleaved(args.rounds, targets,
                      lambda name: front.load(name, paths[name], args.seconds))
    show_rates(got)
    report.add("empty application / nginx alone", median_ratio(got["empty"], got["nginx"], "rate"))
    add_ratios(report, "GET /jobs/:id", got, 0.90, args.jobs)


def measure_post(front, services, report, args):
    """
    Nobody takes the jobs, so they queue up. The small table is emptied before
    each round; the large one starts with its jobs and keeps what is added.
    """
    heading(f"POST /jobs, 64 connections, {args.rounds} rounds of {args.seconds} s")

    def measure(name):
        if name == "small":
            services["small"].fill("empty")
            services["small"].fill("submit", 10)
        return front.load(name, ["/jobs"], args.seconds, method="POST")

    got = interleaved(args.rounds, ["empty", "small", "large"], measure)
    show_rates(got)
    for name, service in services.items():
        print(f"  {name}: {service.table()['queued']:,.0f} jobs queued at the end")
    add_ratios(report, "POST /jobs", got, 0.75, args.jobs)


def count_calls(pids, load):
    """System calls by name while `load` runs, per request of it."""
    with tempfile.NamedTemporaryFile("r") as out:
        tracer = subprocess.Popen(
            ["strace", "-f", "-c", "-U", "calls,name", "-o", out.name,
             *(word for pid in pids for word in ("-p", str(pid)))],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(2)  # until it has attached to every thread
        requests = load()["requests"]
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=60)
        rows = re.findall(r"^\s*(\d+)\s+(\w+)$", out.read(), re.M)
    calls = {name: int(count) / requests for count, name in rows if name != "total"}
    return {name: count for name, count in calls.items() if count >= 0.05}


def measure_syscalls(front, services, paths, empty, report, args):
    heading("system calls per request (strace), kept connections")
    pids = {"empty": children(empty.pid), "small": services["small"].pool_pids()}
    for method in ("GET", "POST"):
        for name, label in (("empty", "empty application"), ("small", "jobq-api")):
            calls = count_calls(pids[name], lambda: front.load(
                name, paths[name] if method == "GET" else ["/jobs"], max(2, args.seconds),
                method=method))
            listed = ", ".join(f"{call} {count:.2f}" for call, count in
                               sorted(calls.items(), key=lambda item: -item[1]))
            print(f"  {method:4} {label:17}: {listed}")
            report.add(f"system calls of {method}, {label}", sum(calls.values()))


class ListReader(threading.Thread):
    """Reads one whole list; `result` has what curl says of it."""

    def __init__(self, url, token):
        super().__init__()
        self.command = ["curl", "-sS", "-o", "/dev/null", "-H", f"Authorization: Bearer {token}",
                        "-w", "first %{time_starttransfer}\nwhole %{time_total}\n"
                        "bytes %{size_download}\nstatus %{http_code}\n", url + "/jobs"]
        self.result = None

    def run(self):
        self.result = run_program(*self.command)


def measure_list_memory(front, service, report, args):
    """
    RssAnon is what a process has for itself. The table's own pages (RssShmem) are
    there once for all, and count for a process when it has looked at them. Every
    thread keeps some memory from its first request on, so each list is looked at
    by itself.
    """
    pids = service.api_pids()
    first = {pid: status_field(pid, "RssAnon") for pid in pids}
    delays, growths = [], []
    for _ in range(max(3, args.rounds)):
        before = {pid: status_field(pid, "RssAnon") for pid in pids}
        most = dict(before)
        reader = ListReader(front.url("large"), service.token)
        reader.start()
        while reader.is_alive():
            for pid in pids:
                most[pid] = max(most[pid], status_field(pid, "RssAnon"))
            reader.join(0.02)
        got = reader.result
        assert got and got["status"] == 200 and got["bytes"] > 80 * args.jobs, got
        delays.append(got["first"] * 1000)
        growths.append(max(most[pid] - before[pid] for pid in pids) / 1024)
    print(f"  {got['bytes'] / 1e6:.0f} MB in {got['whole']:.2f} s; after {len(delays)} lists, each "
          f"in another thread, a process has "
          f"{max(status_field(pid, 'RssAnon') - first[pid] for pid in pids) / 1024:.2f} MiB more; "
          f"it has looked at {max(status_field(pid, 'RssShmem') for pid in pids) / 1024:.0f} MiB "
          f"of the table")
    report.add("whole list: first byte after, longest", max(delays), " ms", most=100)
    report.add("whole list: growth of a process's own memory, most", max(growths), " MiB", most=1)


@contextlib.contextmanager
def lists_without_end(front, service):
    """One client that reads the whole list again and again as fast as it can."""
    command = ["sh", "-c", 'while curl -fsS -o /dev/null -H "$0" "$1"; do :; done',
               f"Authorization: Bearer {service.token}", front.url("large") + "/jobs"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        time.sleep(0.3)
        yield
        assert process.poll() is None, "the list ended with an error"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def measure_list_others(front, service, paths, report, args):
    loads = {"64 connections": {"connections": 64},
             "8 connections, 400 requests/s": {"connections": 8, "pause": 40}}
    for label, load in loads.items():
        for method, where in (("GET", paths["large"]), ("POST", ["/jobs"])):
            def measure(name):
                with contextlib.ExitStack() as stack:
                    if name == "with a list":
                        stack.enter_context(lists_without_end(front, service))
                    return front.load("large", where, 2 * args.seconds, method=method, **load)
            print(f"  {method}, {label}:")
            got = interleaved(max(2, args.rounds // 3), ["without", "with a list"], measure)
            show_rates(got)
            report.add(f"whole list: p99 of {method} with / without, {label}",
                       median_ratio(got["with a list"], got["without"], "p99"), most=3)


def measure_list(front, service, paths, report, args):
    heading(f"GET /jobs without limit over {args.jobs:,} jobs")
    measure_list_memory(front, service, report, args)
    measure_list_others(front, service, paths, report, args)


def behind_nginx(stack, project, report, args):
    """Sections that compare targets behind one nginx."""
    wanted = [name for name in ("throughput", "list", "syscalls") if name in args.section]
    if not wanted:
        return
    services = {"small": stack.enter_context(Bench(project, "1G")),
                "large": stack.enter_context(Bench(project, "2G"))}
    socket = str(services["small"].state / "run/empty.sock")
    empty = start_empty(socket)
    stack.callback(empty.wait)
    stack.callback(empty.terminate)
    front = stack.enter_context(Front(services, socket, empty.pid))

    first, last = services["small"].finish(10)
    paths = dict.fromkeys(("nginx", "empty", "small"),
                          [f"/jobs/{number}" for number in range(first, last + 1)])
    if wanted != ["syscalls"]:
        heading(f"filling the large table: {args.jobs:,} jobs, run by the workers")
        began = time.monotonic()
        first, last = services["large"].finish(args.jobs)
        print(f"  in {time.monotonic() - began:.0f} s")
        step = max(1, args.jobs // 10007)
        paths["large"] = [f"/jobs/{number}" for number in range(first, last + 1, step)]
        random.Random(1).shuffle(paths["large"])
    for service in services.values():
        service.hold_workers()
    if "throughput" in wanted:
        measure_get(front, paths, report, args)
    if "syscalls" in wanted:
        measure_syscalls(front, services, paths, empty, report, args)
    if "list" in wanted:
        measure_list(front, services["large"], paths, report, args)
    if "throughput" in wanted:
        measure_post(front, services, report, args)


def measure(args):
    """All the sections wanted; returns the report."""
    report = Report()
    with tempfile.TemporaryDirectory(prefix="jobq-bench-") as directory:
        scenes.measure(Path(directory), report, args)
        project = make_project(Path(directory))
        alone(project, report, args)
        with contextlib.ExitStack() as stack:
            behind_nginx(stack, project, report, args)
        with contextlib.ExitStack() as stack:
            durable.measure(stack, project, report, args)
        if "hooks" in args.section:
            hooks.measure(project, report, args)
    return report
