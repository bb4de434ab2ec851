"""The storm: clients that write down every answer, a killer, and a judge.

Clients submit, poll, list and cancel, and keep what they were told. A killer
sends SIGKILL to random processes at random instants, now and then to all at
once with the shared memory emptied, as a reboot does. What nothing else
starts again it starts again. Afterwards the judge compares: what clients were
told, what the service says now, what is in the store, and what the log says
about attempts. Every contradiction is a violation.
"""

import bisect
import calendar
import hashlib
import json
import random
import re
import shutil
import tempfile
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import requests

from daemons import NAMES, Daemons, children, make_project, wait_until

CLIENTS = 8
WINDOW = 6           # jobs of a client that have not finished
UNAVAILABLE = 69     # EX_UNAVAILABLE: somebody else still had what it needs
RECOVERY = 40        # seconds; backoffs go up to 5 s
CHECK_EVERY = 12     # strikes between two looks whether work goes on
FINISHED = ("completed", "failed", "cancelled")
LINE = re.compile(r"(\S+)\.(\d{3})Z (\S+)\[(\d+)\] level=(\w+) event=(\w+) ?(.*)")
DEATHS = re.compile(r"worker killed by signal 9 \(SIGKILL\)|worker died while jobqd was "
                    r"(being restarted|not running)")
LOST = "the service went down while the job was running"

# Answers that say "not now"; nothing else may come instead of what was asked for.
LATER = {"supervisor_unavailable", "starting", "store_behind", "bad_gateway", "too_many_waiting",
         "gateway_timeout", "unavailable", "service_unavailable"}


# ---- what clients were told ----------------------------------------------------


@dataclass
class Intent:
    """One job that a client wants."""

    number: int
    kind: str
    parameters: dict
    marker: str        # a scene path that no other job names
    key: str = ""
    first_sent: float = 0.0
    unknown: bool = False    # some try got no answer
    refused: bool = False    # some try was answered "not now"
    id: str = ""
    acked: float = 0.0
    cancel_sent: bool = False
    cancelled: float = 0.0   # when its cancellation was acknowledged


@dataclass
class Final:
    """A finished job as somebody was shown it."""

    digest: str
    start: str
    status: str
    when: float


class Ledger:
    """All that was told to anybody, and what contradicts it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.violations = []
        self.kinds = Counter()  # of violations
        self.intents = []
        self.by_id = {}
        self.acked_ids = []  # as numbers, sorted
        self.finals = {}
        self.gone = set()    # ids that were acknowledged and are not there any more
        self.answers = Counter()

    def blame(self, kind, text):
        """Kinds: lost, back (an older state), id, invented, attempt, content, other."""
        with self.lock:
            self.kinds[kind] += 1
            if self.kinds[kind] <= 50:
                self.violations.append(f"{kind}: {text}")

    def lose(self, job_id, text):
        with self.lock:
            first = job_id not in self.gone
            self.gone.add(job_id)
        if first:
            self.blame("lost", text)

    def new(self, kind, parameters, marker, key):
        with self.lock:
            intent = Intent(len(self.intents), kind, parameters, marker, key)
            self.intents.append(intent)
            return intent

    def accepted(self, intent, job_id, when):
        with self.lock:
            other = self.by_id.setdefault(job_id, intent)
            if not intent.id:
                intent.id, intent.acked = job_id, when
                bisect.insort(self.acked_ids, int(job_id))
        if other is not intent:
            self.blame("id",
                       f"id {job_id} was given to two jobs, {other.marker} and {intent.marker}")
        if intent.id != job_id:
            self.blame("back",
                       f"{intent.marker}: key {intent.key} gave {intent.id} and then {job_id}")

    def shown(self, job_id, text, sent):
        """An answer to GET /jobs/:id, asked for at `sent`."""
        job = json.loads(text)["job"]
        intent, status = self.by_id.get(job_id), job["status"]
        digest = hashlib.sha256(text.encode()).hexdigest()
        with self.lock:
            final = self.finals.get(job_id)
            if final is None and status in FINISHED:
                self.finals[job_id] = Final(digest, text[:400], status, time.time())
        if final is None and status in FINISHED and intent is not None:
            self.check_content(intent, job)
        if final is not None and status in FINISHED and final.digest != digest:
            self.blame("back", f"job {job_id} has changed: {final.start} is now {text[:400]}")
        if final is not None and status not in FINISHED and final.when < sent:
            self.blame("back", f"job {job_id} was {final.status} and is {status} again")
        if intent is None or intent.id != job_id:  # of a key whose first job has been lost
            return job
        if intent.cancelled and intent.cancelled < sent and status != "cancelled":
            self.blame("back", f"job {job_id} was cancelled (acknowledged) and is {status}")
        if status == "cancelled" and not intent.cancel_sent:
            self.blame("content", f"job {job_id} is cancelled, which nobody asked for")
        if job["id"] != job_id or job["type"] != intent.kind:
            self.blame("id", f"job {job_id} is another one: {text[:300]}")
        if not int(intent.first_sent) - 1 <= job["created_at"] <= intent.acked + 1:
            self.blame("id", f"job {job_id} has created_at {job['created_at']}, submitted between "
                       f"{intent.first_sent} and {intent.acked}")
        return job

    def check_content(self, intent, job):
        """A finished job's result is of what was submitted, and its error has a cause."""
        result, error = job["result"], job["error"]
        if job["status"] == "cancelled":
            wrong = result is not None or error is not None
        elif job["status"] == "failed":
            wrong = not (DEATHS.fullmatch(error or "") or error == LOST or
                         (intent.parameters.get("mode") == "transactional" and
                          result is not None and result["rollback"] is True))
        elif intent.kind == "cache_warming":
            wrong = error is not None or result["cache_warmed"] is not True
        else:
            rows = result["scenes" if intent.kind == "scene_preload" else "operations"]
            wrong = error is not None or \
                [row["scene_path"] for row in rows] != paths_of(intent.parameters)
        if wrong:
            self.blame("content",
                       f"job {job['id']} ({intent.kind} {intent.marker}) ended with what it "
                       f"cannot have: {json.dumps(job)[:400]}")

    def listed(self, jobs, after, limit, sent):
        """An answer to GET /jobs?limit=&after= without a filter."""
        ids = [int(job["id"]) for job in jobs]
        if ids != sorted(set(ids)) or (ids and ids[0] <= after):
            self.blame("other", f"a list after {after} is not in order: {ids[:20]}")
        upto = ids[-1] if len(ids) == limit else None
        with self.lock:
            first = bisect.bisect_right(self.acked_ids, after)
            last = bisect.bisect_right(self.acked_ids, upto) if upto else len(self.acked_ids)
            known = self.acked_ids[first:last]
        there = {int(job["id"]): job for job in jobs}
        for number in known:
            intent = self.by_id[str(number)]
            if number not in there and intent.acked < sent:
                self.lose(str(number), f"job {number} is not in a list after {after}")
        for number, job in there.items():
            final = self.finals.get(str(number))
            if final and final.when < sent and job["status"] != final.status:
                self.blame("back",
                           f"job {number} was {final.status} and is listed as {job['status']}")

    def check_order(self):
        """Ids rise: one acknowledged before another was first sent is lower."""
        acked = sorted((i.acked, int(i.id)) for i in self.intents if i.id)
        times = [when for when, _ in acked]
        highest, most = [], 0
        for _, number in acked:
            most = max(most, number)
            highest.append(most)
        for intent in self.intents:
            at = bisect.bisect_left(times, intent.first_sent)
            if intent.id and at and highest[at - 1] > int(intent.id):
                self.blame("id", f"job {intent.id} was submitted after {highest[at - 1]} had been "
                           "acknowledged")


def whole(answer):
    """requests takes a body that ends short of its Content-Length for whole (before its
    version 2.32): that is how a client sees a worker die in the middle of an answer."""
    length = answer.headers.get("Content-Length")
    if length is not None and answer.request.method != "HEAD" \
            and len(answer.content) != int(length):
        raise requests.ConnectionError(f"{len(answer.content)} bytes of {length}")


def paths_of(parameters):
    return parameters.get("scene_paths") or \
        [operation["scene_path"] for operation in parameters.get("operations", [])]


# ---- clients -------------------------------------------------------------------


class Client(threading.Thread):
    """Submits, polls, lists and cancels until told to end; then settles what is open."""

    def __init__(self, service, ledger, name, seed, over):
        super().__init__(name=f"client-{name}", daemon=True)
        self.service, self.ledger, self.over = service, ledger, over
        self.label = name
        self.random = random.Random(f"{seed}-client-{name}")
        self.session = service.new_session()
        self.open = []    # acknowledged, not seen finished
        self.mine = []    # acknowledged
        self.count = 0

    def run(self):
        try:
            while not self.over.is_set():
                self.act()
        except Exception as error:  # a client that ends early would hide violations
            self.ledger.blame("other", f"client {self.label}: {type(error).__name__}: {error}")

    def act(self):
        dice = self.random.random()
        if len(self.open) < WINDOW and dice < 0.45:
            self.submit()
        elif dice < 0.85:
            self.poll()
        elif dice < 0.93:
            self.cancel()
        elif dice < 0.96:
            self.list()
        elif dice < 0.98:
            self.replay()
        else:
            self.look_back()

    # ---- one request

    def ask(self, method, path, **arguments):
        """The answer, or None when there is none or it is "not now"; and when it was asked."""
        sent = time.time()
        try:
            answer = self.session.request(method, self.service.base_url + path, timeout=60,
                                          **arguments)
            whole(answer)
            text = answer.text
        except requests.RequestException as error:
            self.count_answer(f"{method} {type(error).__name__}")
            self.over.wait(self.random.uniform(0.005, 0.1))
            return None, sent
        if answer.status_code < 500:
            self.count_answer(f"{method} {answer.status_code}")
            return answer, sent
        try:
            code = answer.json()["code"]
        except (ValueError, KeyError):
            code = text[:100]
        self.count_answer(f"{method} {answer.status_code} {code}")
        if code not in LATER:
            self.ledger.blame("other",
                              f"{method} {path} was answered {answer.status_code} {text[:300]}")
        self.over.wait(self.random.uniform(0.005, 0.1))
        return answer, sent

    def count_answer(self, what):
        with self.ledger.lock:
            self.ledger.answers[what] += 1

    # ---- what it does

    def intent(self):
        self.count += 1
        marker = f"res://storm/{self.label}-{self.count}.tscn"
        key = f"{self.label}-{self.count}" if self.random.random() < 0.6 else ""
        kind = self.random.choices(
            ("scene_preload", "batch_operations", "cache_warming"), (50, 40, 10))[0]
        if kind == "scene_preload":
            parameters = {"scene_paths": [marker, "res://small.tscn"]}
        elif kind == "cache_warming":
            parameters = self.random.choice(({}, {"scope": "all"}, {"scope": "stale"}))
        else:
            slow = self.random.choices((0, 5, 60), (60, 30, 10))[0]
            parameters = {
                "operations": [{"action": "validate", "scene_path": "res://slow.tscn"}] * slow +
                              [{"action": "get_info", "scene_path": marker}]}
            if self.random.random() < 0.3:
                parameters["mode"] = self.random.choice(("continue", "transactional"))
        return self.ledger.new(kind, parameters, marker, key)

    def submit(self):
        intent = self.intent()
        intent.first_sent = time.time()
        self.send(intent)
        while intent.key and not intent.id and not self.over.is_set():
            self.send(intent)
        if intent.id:
            self.mine.append(intent)
            self.open.append(intent)

    def send(self, intent):
        """One try. The same key and body again must give the same job."""
        headers = {"Idempotency-Key": intent.key} if intent.key else {}
        answer, _ = self.ask("POST", "/jobs", headers=headers, json={
            "type": intent.kind, "parameters": intent.parameters})
        if answer is None or answer.status_code in (502, 504):
            intent.unknown = True
        elif answer.status_code == 503:
            intent.refused = True
        elif answer.status_code == 202:
            self.ledger.accepted(intent, answer.json()["job_id"], time.time())
        else:
            self.ledger.blame("other",
                              f"a submission was answered {answer.status_code} {answer.text}")

    def poll(self):
        if not self.open:
            return
        intent = self.random.choice(self.open)
        wait = "?wait=1" if self.random.random() < 0.1 else ""
        job = self.look(intent, wait)
        if job and job["status"] in FINISHED:
            self.open.remove(intent)

    def look(self, intent, query=""):
        answer, sent = self.ask("GET", f"/jobs/{intent.id}{query}")
        if answer is None or answer.status_code >= 500:
            return None
        if answer.status_code != 200:
            self.ledger.lose(intent.id, f"job {intent.id}, acknowledged at {intent.acked}, was "
                             f"answered {answer.status_code} {answer.text[:200]} at {sent}")
            self.forget(intent)
            return None
        return self.ledger.shown(intent.id, answer.text, sent)

    def forget(self, intent):
        for jobs in (self.open, self.mine):
            if intent in jobs:
                jobs.remove(intent)

    def look_back(self):
        if self.mine:
            self.look(self.random.choice(self.mine))

    def cancel(self):
        if not self.open:
            return
        intent = self.open[-1]
        intent.cancel_sent = True
        answer, sent = self.ask("DELETE", f"/jobs/{intent.id}")
        if answer is None or answer.status_code >= 500:
            return
        if answer.status_code == 200:
            intent.cancelled = time.time()
            final = self.ledger.finals.get(intent.id)
            if final and final.when < sent and final.status != "cancelled":
                self.ledger.blame("back", f"job {intent.id} was {final.status} and then cancelled")
        elif answer.status_code != 400 or answer.json()["code"] != "not_cancellable":
            self.ledger.lose(intent.id, f"cancelling {intent.id} was answered {answer.text[:200]}")
            self.forget(intent)

    def list(self):
        limit = self.random.choice((10, 100, 1000))
        after = max(0, int(self.mine[-1].id) - self.random.randrange(2 * limit)) \
            if self.mine else 0
        answer, sent = self.ask("GET", f"/jobs?limit={limit}&after={after}")
        if answer is not None and answer.status_code == 200:
            self.ledger.listed(answer.json()["jobs"], after, limit, sent)
        elif answer is not None and answer.status_code < 500:
            self.ledger.blame("other",
                              f"a list was answered {answer.status_code} {answer.text[:200]}")

    def replay(self):
        """A key that was acknowledged gives its job again, whatever has died since."""
        keyed = [intent for intent in self.mine[-50:] if intent.key]
        if keyed:
            self.send(self.random.choice(keyed))

    def settle(self):
        """With the service up: whoever has a key gets an answer in the end."""
        for intent in [i for i in self.ledger.intents if i.key and not i.id and
                       i.key.startswith(f"{self.label}-")]:
            def answered(intent=intent):
                self.send(intent)
                return intent.id
            try:
                wait_until(answered, RECOVERY, f"an answer to key {intent.key}")
            except AssertionError as error:
                raise AssertionError(f"{error}; answers: {dict(self.ledger.answers)}; "
                                     f"violations: {self.ledger.violations[-3:]}; {intent}\n"
                                     f"{self.service.logs()[-4000:]}") from None


# ---- the killer ----------------------------------------------------------------


@dataclass
class Kill:
    kind: str
    pid: int
    when: float


class Killer:
    """Strikes at random instants, and starts again what nothing else does."""

    KINDS = {"api child": 22, "api parent": 8, "slot": 24, "writer": 18, "supervisor": 14,
             "core": 6, "everything": 3, "reboot": 3}
    LAST = "reboot"

    def __init__(self, service, ledger, seed, pause):
        self.service, self.ledger = service, ledger
        self.random = random.Random(f"{seed}-killer")
        self.pause_mean = pause
        self.kills = []
        self.killed = set()  # pids
        self.strikes = Counter()
        self.due = {}      # name: when it is to be started again
        self.reboots = []  # when the memory had been emptied

    def run(self, until):
        names, weights = list(self.KINDS), list(self.KINDS.values())
        since = 0
        while time.monotonic() < until:
            self.strike(self.random.choices(names, weights)[0])
            self.pause(self.random.expovariate(1 / self.pause_mean))
            since += 1
            if since >= CHECK_EVERY:
                self.look_whether_work_goes_on()
                since = 0
        for kind in names:  # in a short storm the dice may have left one out
            if not self.strikes[kind]:
                self.look_whether_work_goes_on()
                self.strike(kind)
        self.pause(0)
        self.start_now()

    def strike(self, kind):
        killed = self.kill(kind)
        if not killed:
            return
        self.strikes[kind] += 1
        self.kills += [Kill(kind, pid, when) for pid, when in killed]
        self.killed |= {pid for pid, _ in killed}
        for name in NAMES:
            if not self.service.up(name) and name not in self.due:
                wait = self.random.choice((0, 0, self.random.uniform(0, 0.3)))
                self.due[name] = time.monotonic() + wait

    def strike_last(self):
        """When all is quiet: whatever there is must outlast this, too."""
        self.strike(self.LAST)
        self.start_now()
        self.service.wait_healthy()

    def kill(self, kind):
        """[(pid, when)] of those that it has killed."""
        service = self.service
        if kind == "api child":
            found = children(service.pid("jobq-api")) if service.up("jobq-api") else []
            return service.kill_pids(self.random.sample(found, min(1, len(found))))
        if kind == "slot":
            found = service.of_role("slot")
            return service.kill_pids(self.random.sample(
                found, min(len(found), self.random.choice((1, 1, 1, 2, 3)))))
        if kind == "writer":
            return service.kill_pids(service.of_role("store"))
        if kind == "core":
            return service.kill_core()
        if kind == "everything":
            return service.kill_everything()
        if kind == "reboot":
            killed = service.power_off()
            self.reboots.append(time.time())
            return killed
        name = "jobq-api" if kind == "api parent" else "jobqd"
        return service.kill_pids([service.pid(name)] if service.up(name) else [])

    def watch(self):
        """A daemon that nobody killed has no reason to end."""
        for name in NAMES:
            if not self.service.up(name) and name not in self.due:
                process = self.service.running[name]
                if process.pid not in self.killed and process.returncode != UNAVAILABLE:
                    self.ledger.blame("other", f"{name}[{process.pid}] ended by itself with "
                                      f"{process.returncode}")
                self.due[name] = 0

    def start_due(self):
        self.watch()
        for name, when in list(self.due.items()):
            if time.monotonic() >= when:
                del self.due[name]
                self.service.launch(name)

    def start_now(self):
        self.due = {name: 0 for name in self.due}
        self.start_due()

    def pause(self, seconds):
        until = time.monotonic() + seconds
        self.start_due()
        while time.monotonic() < until:
            time.sleep(0.003)  # the storm's own clock
            self.start_due()

    def look_whether_work_goes_on(self):
        """Left alone, the service accepts jobs and finishes them again."""
        self.start_now()
        ledger = self.ledger
        accepted, finished = len(ledger.acked_ids), len(ledger.finals)

        def goes_on():
            self.start_due()
            return len(ledger.acked_ids) > accepted and len(ledger.finals) > finished
        try:
            wait_until(goes_on, RECOVERY)
        except AssertionError:
            ledger.blame("other",
                         f"{RECOVERY} s after the last kill no job was accepted and finished")


# ---- the judge -----------------------------------------------------------------


def in_parallel(service, ids):
    """GET for many jobs; yields (id, answer, when it was asked for)."""
    def look(job_id):
        sent = time.time()
        return job_id, service.get(f"/jobs/{job_id}"), sent
    with ThreadPoolExecutor(4) as pool:
        yield from pool.map(look, ids)


def compare_answers(service, ledger):
    """Every acknowledged job is there, finished, as it was shown."""
    for job_id, answer, sent in in_parallel(service, sorted(ledger.by_id, key=int)):
        if answer.status_code != 200:
            ledger.lose(job_id, f"job {job_id} was acknowledged and is answered "
                        f"{answer.status_code} {answer.text[:200]}")
            continue
        job = ledger.shown(job_id, answer.text, sent)
        if job["status"] not in FINISHED:
            ledger.blame("other", f"job {job_id} is {job['status']} though all is quiet")


def compare_list(service, ledger):
    """The list has every acknowledged job once; returns the ids in it."""
    ids, after = [], 0
    while True:
        sent = time.time()
        jobs = service.get(f"/jobs?limit=10000&after={after}").json()["jobs"]
        ledger.listed(jobs, after, 10000, sent)
        ids += [job["id"] for job in jobs]
        if len(jobs) < 10000:
            return ids
        after = int(ids[-1])


def compare_store(service, ledger, listed):
    """The store has what the table has, and nothing that nobody submitted."""
    rows = service.store_rows()
    if set(rows) != set(listed):
        ledger.blame("other",
                     f"the store and the list differ in {sorted(set(rows) ^ set(listed))[:10]}")
    by_marker = {intent.marker: intent for intent in ledger.intents}
    jobs_of = defaultdict(list)
    warmings = 0
    for job_id, row in rows.items():
        parameters = json.loads(row["parameters"])
        intent = ledger.by_id.get(job_id)
        if intent is None and row["type"] == "cache_warming":
            intent = next((i for i in ledger.intents if row["key"] and i.key == row["key"]), None)
            warmings += intent is None
        elif intent is None:
            intent = next((by_marker[p] for p in paths_of(parameters) if p in by_marker), None)
            if intent is None:
                ledger.blame("invented",
                             f"job {job_id} was submitted by nobody: {row['parameters'][:200]}")
        if intent is None:
            continue
        jobs_of[intent.number].append(job_id)
        if row["type"] != intent.kind or row["key"] != intent.key or \
                not same_parameters(parameters, intent.parameters):
            ledger.blame("invented",
                         f"job {job_id} has key {row['key']} and {row['parameters'][:300]}, "
                         f"submitted with {intent.key} and {json.dumps(intent.parameters)[:300]}")
        if not intent.id and not intent.unknown:
            ledger.blame("invented", f"job {job_id} is there though every try was refused")
        final = ledger.finals.get(job_id)
        if final and final.status != row["status"]:
            ledger.blame("back",
                         f"job {job_id} is {final.status} and {row['status']} in the store")
    for number, ids in jobs_of.items():
        if len(ids) > 1:
            ledger.blame("invented",
                         f"{ledger.intents[number].marker} was submitted once and is {ids}")
    unknown = sum(i.kind == "cache_warming" and not i.key and i.unknown for i in ledger.intents)
    if warmings > unknown:
        ledger.blame("invented",
                     f"{warmings} cache_warming jobs were not acknowledged, {unknown} sent so")


def same_parameters(stored, sent):
    defaults = {"mode": "continue"} if "operations" in sent else {}
    if "scope" in stored or "scope" in sent:
        defaults["scope"] = "all"
    return {**defaults, **stored} == {**defaults, **sent}


@dataclass
class Attempt:
    start: float
    pid: int
    number: int
    end: float = 0.0
    finished: bool = False


def stamp(text, milliseconds):
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%S")) + int(milliseconds) / 1000


def read_log(service):
    """Yields (time, program, pid, level, event, rest)."""
    with open(service.log_path, errors="replace") as lines:
        for line in lines:
            found = LINE.match(line)
            if found:
                yield (stamp(found[1], found[2]), found[3], int(found[4]), found[5], found[6],
                       found[7])


def attempts_of(service, killed):
    """The attempts of each job, by the log and by when their workers were killed."""
    attempts = defaultdict(list)
    last = {}  # pid: its attempt
    for when, _, pid, _, event, rest in read_log(service):
        if event == "job_started":
            words = dict(re.findall(r"(\w+)=(\d+)\b", rest))
            attempt = Attempt(when, pid, int(words["attempt"]))
            attempts[words["job"]].append(attempt)
            last[pid] = attempt
        elif event in ("job_finished", "job_lost") and pid in last:
            last[pid].end, last[pid].finished = when, event == "job_finished"
    for found in attempts.values():
        for attempt in found:
            if not attempt.end:  # at the first kill of that pid since it began
                times = killed.get(attempt.pid, [])
                at = bisect.bisect_left(times, attempt.start)
                attempt.end = times[at] if at < len(times) else 0.0
    return attempts


def compare_attempts(service, ledger, killer):
    """No two attempts at once, none behind the end or an acknowledged cancellation."""
    killed = defaultdict(list)
    for kill in killer.kills:
        killed[kill.pid].append(kill.when)
    attempts = attempts_of(service, killed)
    for job_id, found in attempts.items():
        found.sort(key=lambda attempt: attempt.start)
        for attempt in found:
            if not attempt.end:
                ledger.blame("attempt",
                             f"attempt {attempt.number} of job {job_id} in {attempt.pid} "
                             "has no end")
        streak = 1
        for one, two in zip(found, found[1:]):
            rebooted = any(one.start <= after <= two.start + 0.001 for after in killer.reboots)
            streak = 1 if rebooted else streak + 1
            if streak > 2:
                ledger.blame("attempt", f"job {job_id} was put back more than once: {found}")
            if one.end and two.start < int(one.end * 1000) / 1000:
                ledger.blame("attempt", f"two attempts of job {job_id} at once: {one} {two}")
            if not rebooted and one.finished:
                ledger.blame("attempt", f"job {job_id} was run again after its end: {one} {two}")
            if not rebooted and two.number <= one.number:
                ledger.blame("attempt", f"job {job_id} had attempt {two.number} twice: {one} {two}")
        intent, final = ledger.by_id.get(job_id), ledger.finals.get(job_id)
        mine = intent is not None and intent.id == job_id
        if mine and intent.cancelled and found[-1].start > intent.cancelled:
            ledger.blame("back",
                         f"job {job_id} was cancelled (acknowledged {intent.cancelled}) and "
                         f"then started: {found[-1]}")
        if final is not None and found[-1].start > final.when:
            ledger.blame("back",
                         f"job {job_id} was shown as {final.status} and then started: {found[-1]}")
        if final is not None and DEATHS.search(final.start) and \
                all(attempt.finished for attempt in found):
            ledger.blame("content",
                         f"job {job_id} failed though no worker of it was killed: {final.start}")
    return attempts


def complaints(service, ledger):
    """Deaths by a signal that the killer did not send, and what the log calls errors."""
    errors = Counter()
    for _, program, pid, level, event, rest in read_log(service):
        if level == "error":
            errors[f"{program} {event}"] += 1
        signals = re.findall(r"signal[= ](\d+)", rest)
        if event in ("worker_died", "writer_died", "job_failed", "job_requeued") and \
                any(number != "9" for number in signals):
            ledger.blame("other", f"{program}[{pid}] {event} {rest}")
        if event in ("store_damaged", "store_foreign", "store_not_opened", "store_failed",
                     "job_unreadable", "table_lock_broken", "job_lost", "table_refused"):
            ledger.blame("other", f"{program}[{pid}] {event} {rest}")
    return errors


# ---- a round and a storm -------------------------------------------------------


@dataclass
class Report:
    seconds: float = 0.0
    rounds: int = 0
    kills: Counter = field(default_factory=Counter)     # processes, by kind of strike
    strikes: Counter = field(default_factory=Counter)
    jobs: int = 0
    statuses: Counter = field(default_factory=Counter)
    attempts: int = 0
    answers: Counter = field(default_factory=Counter)
    errors: Counter = field(default_factory=Counter)
    violations: list = field(default_factory=list)
    kinds: Counter = field(default_factory=Counter)     # of violations

    def add(self, other):
        self.seconds += other.seconds
        self.rounds += other.rounds
        self.jobs += other.jobs
        self.attempts += other.attempts
        for name in ("kills", "strikes", "statuses", "answers", "errors", "kinds"):
            getattr(self, name).update(getattr(other, name))
        self.violations += other.violations

    def headline(self):
        return (f"{sum(self.kills.values())} kills in {sum(self.strikes.values())} strikes, "
                f"{self.jobs} jobs acknowledged, {self.attempts} attempts, "
                f"{sum(self.kinds.values())} violations, {self.seconds:.0f} s")

    def __str__(self):
        def row(title, counter):
            return f"  {title}: " + ", ".join(f"{k} {v}" for k, v in counter.most_common())
        lines = [self.headline(), row("strikes", self.strikes), row("kills", self.kills),
                 row("jobs", self.statuses), row("answers", self.answers),
                 row("errors logged", self.errors)]
        return "\n".join(lines + [f"  VIOLATION {text}" for text in self.violations[:40]])


def quiet(service):
    """No job is queued or runs."""
    def look():
        try:
            answers = [service.get(f"/jobs?status={status}&limit=1").json()
                       for status in ("queued", "running")]
        except (requests.RequestException, ValueError):
            return False
        return all(answer.get("count") == 0 for answer in answers)
    wait_until(look, 120, "the end of all jobs")


def judge(service, ledger):
    quiet(service)
    compare_answers(service, ledger)
    listed = compare_list(service, ledger)
    compare_store(service, ledger, listed)
    try:
        service.assert_sound()
    except AssertionError as error:
        ledger.blame("other", f"not sound: {error}")
    if not service.store_is_whole():
        ledger.blame("other", "PRAGMA integrity_check finds the store damaged")


def play_round(service, seconds, seed, pause, make_killer=Killer):
    """One storm on one state directory, and the verdict on it."""
    began = time.monotonic()
    ledger, over = Ledger(), threading.Event()
    killer = make_killer(service, ledger, seed, pause)
    clients = [Client(service, ledger, f"c{n}", seed, over) for n in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        killer.run(time.monotonic() + seconds)
        wait_until(service.healthy, RECOVERY, "a healthy service after the storm")
    finally:
        over.set()
        for client in clients:
            client.join(90)
    if any(client.is_alive() for client in clients):
        ledger.blame("other", "a client was never answered")
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda client: client.settle(), clients))
    judge(service, ledger)
    killer.strike_last()
    judge(service, ledger)
    ledger.check_order()
    attempts = compare_attempts(service, ledger, killer)
    errors = complaints(service, ledger)
    return Report(time.monotonic() - began, 1, Counter(kill.kind for kill in killer.kills),
                  killer.strikes, len(ledger.by_id),
                  Counter(final.status for final in ledger.finals.values()),
                  sum(map(len, attempts.values())), ledger.answers, errors, ledger.violations,
                  ledger.kinds)


def storm(seconds, seed, round_seconds=300, pause=0.1, tell=print, keep=None):
    """Rounds, each on a state of its own, for so long. Stops at the first with violations."""
    report, until, number = Report(), time.monotonic() + seconds, 0
    root = Path(tempfile.mkdtemp(prefix="storm-", dir="/tmp"))
    try:
        project = make_project(root / "project")
        while number == 0 or time.monotonic() < until:
            left = until - time.monotonic()
            with Daemons(project=project, table_max="256M",
                         options=["scene_cache_size = 8M"]) as service:
                one = play_round(service, min(left, round_seconds), f"{seed}-{number}", pause)
                if one.violations and keep:
                    shutil.copy(service.log_path, keep)
            number += 1
            report.add(one)
            tell(f"round {number}: {one.headline()}")
            if one.violations:
                break
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return report
