"""The measurements of durability: against none, against the disk, and against others' queues."""

import contextlib
import importlib.util
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from harness import (TOKEN, Bench, Front, children, free_port, interleaved, median_of,
                     median_ratio, processor_time, program, run_program, start_empty, wait_until)

HERE = Path(__file__).resolve().parent
BLOCK = b"x" * 4096
PEERS = {"beanstalkd": "beanstalkd", "redis": "redis-server"}  # name: package and program


def heading(text):
    print(f"\n==== {text}", flush=True)


def time_fsync(directory, seconds):
    """
    How long one append of 4 KiB with fdatasync(2) takes, in milliseconds; and how
    long to write the same 4 KiB again, as in SQLite's log once it has its size.
    """
    result = {}
    path = Path(directory) / "fsync"
    for prefix, flag in (("", os.O_APPEND), ("again_", 0)):
        times = []
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | flag)
        try:
            end = time.monotonic() + seconds / 2
            while time.monotonic() < end or len(times) < 20:
                began = time.monotonic()
                os.pwrite(fd, BLOCK, 0)  # the offset counts only without O_APPEND
                os.fdatasync(fd)
                times.append((time.monotonic() - began) * 1000)
        finally:
            os.close(fd)
        times.sort()
        result[prefix + "p50"] = times[len(times) // 2]
        result[prefix + "p99"] = times[len(times) * 99 // 100]
    path.unlink()
    return result


def show(got):
    for name, rounds in got.items():
        print(f"  {name:14}" + "   ".join(
            f"{label} {median_of(rounds, key):.{digits}f}{unit}"
            for key, label, digits, unit in (
                ("rate", "", 0, " jobs/s"), ("p50", "p50", 2, " ms"), ("p99", "p99", 2, " ms"),
                ("cpu", "processor time a job: server", 1, " us"),
                ("writer", "of which writer", 1, " us"))
            if key in rounds[0]))


# ---- against durability = off --------------------------------------------------


def post(front, service, name, args, **how):
    """POSTs with what they cost; `writer`: the writer's processor time a job, microseconds."""
    pids = [service.writer()]
    before = processor_time(pids)
    result = front.load(name, ["/jobs"], args.seconds, method="POST", **how)
    # With `off` and `fast` what is not written yet is part of the cost.
    wait_until(lambda: (now := service.table())["changes"] == now["stored"], 120, "the store")
    result["writer"] = (processor_time(pids) - before) / result["requests"] * 1e6
    result["cpu"] = result["cost"] + result["writer"]
    return result


def measure_posts(front, services, report, args):
    heading(f"durable: POST /jobs, 64 connections, {args.rounds} rounds of {args.seconds} s")
    directory = services["full"].state
    names = ["full", "fast", "off", "calm", "fsync"]

    def measure(name):
        if name == "fsync":
            return time_fsync(directory, args.seconds)
        if name == "calm":  # 8 clients that submit 100 jobs a second in all
            return post(front, services["calm"], name, args, connections=8, pause=160)
        return post(front, services[name], name, args)

    for name in names:
        measure(name)
    got = interleaved(args.rounds, names, measure)
    show({name: got[name] for name in names if name != "fsync"})
    for prefix, label in (("", "append of 4 KiB"), ("again_", "write of the same 4 KiB")):
        p50, p99 = (median_of(got["fsync"], prefix + quantile) for quantile in ("p50", "p99"))
        print(f"  one {label} with fdatasync: p50 {p50:.2f} ms, p99 {p99:.2f} ms "
              f"(medians of the rounds)")
    report.add("durable: POST, full / off", median_ratio(got["full"], got["off"], "rate"),
               least=0.60)
    report.add("durable: POST, fast / off", median_ratio(got["fast"], got["off"], "rate"))
    report.add("durable: POST, processor time, full / off",
               median_ratio(got["full"], got["off"], "cpu"))
    for name, label in (("full", "64 connections without rest"), ("calm", "8 that rest")):
        for quantile, target in (("p99", {"most": 4}), ("p50", {})):
            ratio = statistics.median(a["p99"] / b[quantile]
                                      for a, b in zip(got[name], got["fsync"]))
            report.add(f"durable: p99 of a POST / {quantile} of one fdatasync, {label}", ratio,
                       **target)
    # What of it is not the disk's: the machine, and 64 requests at once on its processors.
    report.add("durable: p99 of a POST, full / off, 64 connections without rest",
               median_ratio(got["full"], got["off"], "p99"))
    for name in ("full", "fast", "off"):
        report.add(f"durable: writer's processor time a job, {name}",
                   median_of(got[name], "writer"), " us")


def measure_gets(front, report, paths, args):
    heading(f"durable: GET /jobs/:id, 64 connections, {args.rounds} rounds of {args.seconds} s")
    for name in ("full", "off"):
        front.load(name, paths[name], 1)
    got = interleaved(args.rounds, ["full", "off"],
                      lambda name: front.load(name, paths[name], args.seconds))
    show(got)
    report.add("durable: GET /jobs/:id, full / off", median_ratio(got["full"], got["off"], "rate"),
               least=0.97)
    report.add("durable: GET /jobs/:id, processor time, full / off",
               median_ratio(got["full"], got["off"], "cost"))


def measure_batches(service, name, report):
    """From what the writer says when it ends; nearly all of it were POSTs of 64 clients."""
    service.stop()
    commits, changes = re.findall(r"event=store_closed .*commits=(\d+) changes=(\d+)",
                                  service.logs())[-1]
    report.add(f"durable: changes a commit, {name}, 64 connections", int(changes) / int(commits))


def measure_durable(front, services, report, args):
    paths = {}
    for name, service in services.items():
        if name != "calm":
            first, last = service.finish(10)
            paths[name] = [f"/jobs/{number}" for number in range(first, last + 1)]
        service.hold_workers()
    measure_posts(front, services, report, args)
    measure_gets(front, report, paths, args)
    for name in ("full", "fast"):
        measure_batches(services[name], name, report)


# ---- against others ------------------------------------------------------------


@contextlib.contextmanager
def running(*command, port):
    """A server of our own on a loopback port."""
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        def listens():
            assert process.poll() is None, f"{command[0]} has ended"
            return f"0100007F:{port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text()
        wait_until(listens, 20, f"{command[0]}")
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start_peers(stack, directory):
    """Both answer only when the job is on the disk. Returns {name: (port, [pid])}."""
    ports = {name: free_port() for name in PEERS}
    for name in PEERS:
        (directory / name).mkdir()
    # -f 0: fsync at every write.
    beanstalkd = running("beanstalkd", "-l", "127.0.0.1", "-p", ports["beanstalkd"],
                         "-b", directory / "beanstalkd", "-f", "0", port=ports["beanstalkd"])
    # No rewriting of the log meanwhile: that favours Redis.
    redis = running("redis-server", "--bind", "127.0.0.1", "--port", ports["redis"],
                    "--dir", directory / "redis", "--appendonly", "yes", "--appendfsync", "always",
                    "--save", "", "--auto-aof-rewrite-percentage", "0", port=ports["redis"])
    return {"beanstalkd": (ports["beanstalkd"], [stack.enter_context(beanstalkd)]),
            "redis": (ports["redis"], [stack.enter_context(redis)])}


def measure_peers(stack, front, service, report, args):
    """
    The same client submits jobs of the same 200 bytes to all of them. Nobody
    takes the jobs: there are no workers of RQ and none that reserve from
    beanstalkd, and our slots stand still. To Redis it sends the bytes that RQ sends;
    RQ's own client, in Python, is slower than that.
    """
    heading(f"peers: jobs accepted, 64 connections, {args.rounds} rounds of {args.seconds} s")
    service.hold_workers()
    directory = service.state / "peers"
    directory.mkdir()
    assert os.stat(directory).st_dev == os.stat(service.state / "jobq.db").st_dev
    targets = {"jobq": (front.ports["calm"], [*children(front.process.pid), *service.api_pids(),
                                              service.writer()]),
               **start_peers(stack, directory)}

    def measure(name):
        port, pids = targets[name]
        before = processor_time(pids)
        got = run_program(program("peers"), "http" if name == "jobq" else name, port,
                          args.seconds, 64, *([TOKEN] if name == "jobq" else []))
        assert got["failed"] == 0, f"{name}: {got}"
        return {"rate": got["rate"], "p50": got["p50"] / 1000, "p99": got["p99"] / 1000,
                "cpu": (processor_time(pids) - before) / got["made"] * 1e6}

    for name in targets:
        measure(name)
    got = interleaved(args.rounds, list(targets), measure)
    show(got)
    for name, label in (("beanstalkd", "beanstalkd -f 0"), ("redis", "RQ on Redis, fsync always")):
        report.add(f"peers: jobs accepted, jobq / {label}",
                   median_ratio(got["jobq"], got[name], "rate"), least=1)
        report.add(f"peers: p99, jobq / {label}", median_ratio(got["jobq"], got[name], "p99"))
    measure_python(targets, report, args)


def measure_python(targets, report, args):
    """As people do it: each server with its usual library for Python."""
    if importlib.util.find_spec("rq") is None:
        print("  RQ's own client: SKIPPED, for want of the package python3-rq")
        return

    def measure(name):
        port, kind, token = (targets["jobq"][0], "jobq", [TOKEN]) if name == "jobq" \
            else (targets["redis"][0], "rq", [])
        return run_program(HERE / "clients.py", kind, port, args.seconds, 8, *token)

    got = interleaved(args.rounds, ["jobq", "rq"], measure)
    show(got)
    report.add("peers: jobs accepted, jobq with requests / RQ with its own client",
               median_ratio(got["jobq"], got["rq"], "rate"), least=1)


def lacking():
    return [package for package in PEERS.values() if shutil.which(package) is None]


def measure(stack, project, report, args):
    wanted = [name for name in ("durable", "peers") if name in args.section]
    if "peers" in wanted and lacking():
        print(f"\n==== peers: SKIPPED, for want of the packages {' '.join(lacking())}")
        wanted.remove("peers")
    if not wanted:
        return
    modes = {"calm": "full"}
    if "durable" in wanted:
        modes.update(full="full", fast="fast", off="off")
    services = {name: stack.enter_context(Bench(project, "1G", durability, "info"))
                for name, durability in modes.items()}
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jobq-bench-",
                                                                     dir="/tmp")))
    empty = start_empty(str(directory / "empty.sock"))
    stack.callback(empty.wait)
    stack.callback(empty.terminate)
    front = stack.enter_context(Front(services, str(directory / "empty.sock"), empty.pid))
    kind = subprocess.run(["stat", "-f", "-c", "%T", services["calm"].state],
                          capture_output=True, text=True, check=True).stdout.strip()
    print(f"\nthe stores' file system: {kind}" +
          (", which is no disk: the figures mean nothing" if kind in ("tmpfs", "ramfs") else ""))
    if "durable" in wanted:
        measure_durable(front, services, report, args)
    if "peers" in wanted:
        measure_peers(stack, front, services["calm"], report, args)
