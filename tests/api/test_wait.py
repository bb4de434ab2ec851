"""?wait=: answers come when jobs end, and nobody else is held up."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import quick_job, slow_job
from service import children, wait_until


def test_wait_answers_when_the_job_ends(own_service):
    service = own_service()
    blockers = [slow_job(service, 15) for _ in range(3)]
    queued = quick_job(service)
    with ThreadPoolExecutor(4) as pool:
        waits = [pool.submit(service.get, f"/jobs/{queued}?wait=60") for _ in range(4)]
        for wait in waits:
            answer = wait.result(timeout=80)
            assert answer.status_code == 200
            assert answer.json()["job"]["status"] == "completed"
    assert len(blockers) == 3


def test_wait_ends_with_a_cancellation(own_service):
    service = own_service()
    for _ in range(3):
        slow_job(service)
    queued = quick_job(service)
    with ThreadPoolExecutor(1) as pool:
        wait = pool.submit(service.get, f"/jobs/{queued}?wait=60")
        wait_until(lambda: sleeping_waiters(service) >= 1)
        began = time.monotonic()
        assert service.delete(f"/jobs/{queued}").status_code == 200
        assert wait.result(timeout=30).json()["job"]["status"] == "cancelled"
        assert time.monotonic() - began < 10


def test_wait_gives_up_after_its_time(own_service):
    service = own_service()
    job_id = slow_job(service)
    began = time.monotonic()
    answer = service.get(f"/jobs/{job_id}?wait=1")
    took = time.monotonic() - began
    assert answer.status_code == 200 and answer.json()["job"]["status"] == "running"
    assert 0.9 <= took < 15


def test_wait_for_a_finished_job_is_immediate(service):
    job_id = quick_job(service)
    service.wait_job(job_id)
    began = time.monotonic()
    assert service.get(f"/jobs/{job_id}?wait=60").status_code == 200
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("value", ["61", "-1", "x", "", "1.5", "99999999999999999999", "5&wait=5"])
def test_bad_waits_are_refused(service, value):
    answer = service.get(f"/jobs/{quick_job(service)}?wait={value}")
    assert answer.status_code == 400 and answer.json()["code"] == "invalid_wait"


def test_wait_for_no_job_is_404(service):
    assert service.get("/jobs/999999999?wait=60").status_code == 404


def wait_worker(service):
    """The process of the waiting pool: the one with the most threads."""
    def find():
        pids = children(service.pid("jobq-api"))
        counts = {pid: len(wait_threads(pid)) for pid in pids}
        return max(counts, key=counts.get) if len(counts) == 3 else None
    return wait_until(find)


def wait_threads(pid):
    from pathlib import Path
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def sleeping_waiters(service):
    """Threads that sleep in futex_waitv(2): those who wait for a job."""
    count = 0
    for task in wait_threads(wait_worker(service)):
        try:
            count += (task / "syscall").read_text().split()[0] == "449"
        except (OSError, IndexError):
            continue
    return count


def test_client_that_goes_away_frees_its_thread(own_service):
    service = own_service()
    job_id = slow_job(service)
    assert sleeping_waiters(service) == 0
    sockets = []
    for _ in range(10):
        s = socket.create_connection(("127.0.0.1", service.port))
        s.sendall(f"GET /jobs/{job_id}?wait=60 HTTP/1.1\r\nHost: x\r\n"
                  f"Authorization: Bearer {service.token}\r\n\r\n".encode())
        sockets.append(s)
    wait_until(lambda: sleeping_waiters(service) == 10, 20, "ten sleeping threads")
    for s in sockets:
        s.close()
    wait_until(lambda: sleeping_waiters(service) == 0, 20, "their threads' return")


def test_waiting_clients_do_not_hold_up_others(own_service):
    """More waiters than threads: the surplus is told so, plain requests go on."""
    service = own_service(options=["wait_threads = 12", "api_threads = 4", "api_processes = 1"])
    job_id = slow_job(service)
    with ThreadPoolExecutor(40) as pool:
        waits = [pool.submit(service.get, f"/jobs/{job_id}?wait=5") for _ in range(40)]
        refused = wait_until(lambda: [w for w in waits if w.done() and
                                      w.result().status_code == 503], 20, "a refusal")
        assert refused[0].result().json()["code"] == "too_many_waiting"
        assert int(refused[0].result().headers["Retry-After"]) >= 1
        for _ in range(50):
            began = time.monotonic()
            assert service.get(f"/jobs/{job_id}").status_code == 200
            assert time.monotonic() - began < 4, "no plain request waits behind the others"
        statuses = [w.result(timeout=60).status_code for w in waits]
        assert set(statuses) <= {200, 503} and statuses.count(200) >= 8


def test_stop_ends_waits(own_service):
    service = own_service()
    job_id = slow_job(service)
    with ThreadPoolExecutor(1) as pool:
        wait = pool.submit(service.get, f"/jobs/{job_id}?wait=60")
        wait_until(lambda: sleeping_waiters(service) >= 1)
        began = time.monotonic()
        import os
        import signal
        os.kill(service.pid("jobq-api"), signal.SIGTERM)
        assert wait.result(timeout=30).json()["job"]["status"] == "running"
        assert time.monotonic() - began < 20
