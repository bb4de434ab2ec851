"""The programs themselves: their command lines, their configuration, packaging/quickstart."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import pytest
from conftest import quick_job, slow_job
from service import ROOT, Service, alive, children, free_port, program, wait_until

PROGRAMS = ["jobqd", "jobq-api", "jobq-hook", "jobqctl"]
DAEMONS = ["jobqd", "jobq-api", "jobq-hook"]
RUNNING = ["nginx", *DAEMONS]
OPTIONS = re.findall(r'^\tX\((\w+), (\w+), "([^"]*)", (\d+), (\d+),',
                     (ROOT / "include/jobq/conf_options.h").read_text(), re.M)
NUMBERS = [(kind, name, int(least), int(most)) for kind, name, _, least, most in OPTIONS
           if kind in ("COUNT", "SIZE", "TIME")]
UNIT = {"COUNT": "", "SIZE": "", "TIME": "ms"}
WRONG = 78  # EX_CONFIG


# ---- command lines ---------------------------------------------------------------


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_everything(name, option):
    done = program(name, option)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith(f"Usage: {name} ")
    for each in ("--config", "--option", "--help", "--version"):
        assert each in done.stdout
    if name in DAEMONS:
        assert "--test" in done.stdout
        for _, each, default, _, _ in OPTIONS:
            line, = re.findall(rf"^  {each} .*$", done.stdout, re.M)
            assert not default or line.endswith(f" [{default}]"), line
    else:
        for each in ("show", "cache", "check", "remove-table", "scene"):
            assert re.search(rf"^  {each} +\w", done.stdout, re.M)
    assert max(map(len, done.stdout.splitlines())) < 200


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(name, option):
    done = program(name, option)
    assert done.returncode == 0 and done.stderr == ""
    assert re.fullmatch(rf"{name} \(jobq\) \d+\.\d+\.\d+\S*\n", done.stdout)


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("arguments", [["--no-such"], ["-z"], ["-c"], ["--option"],
                                       ["--config"], ["show", "too", "much"]])
def test_command_lines_that_cannot_be_read(name, arguments):
    done = program(name, *arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert f"Try '{name} --help'" in done.stderr


def test_jobqctl_needs_one_command_that_it_knows():
    for arguments in ([], ["no-such-command"]):
        done = program("jobqctl", *arguments)
        assert done.returncode == 2 and "Try 'jobqctl --help'" in done.stderr
    assert "no-such-command" in done.stderr


def test_jobqctl_without_a_table_says_so(configured):
    config = configured("table_name = /jobq-test-that-is-not-there\n")
    for command in ("show", "cache", "check"):
        done = program("jobqctl", "-c", config, command)
        assert done.returncode == 2 and "is jobqd running?" in done.stderr
        assert done.stdout == ""
    assert "there is no scene cache /jobq-test-that-is-not-there-scenes" in \
        program("jobqctl", "-c", config, "cache").stderr


# ---- configuration ---------------------------------------------------------------


@pytest.fixture
def configured(tmp_path):
    """A file of configuration with this text."""
    def write(text):
        path = tmp_path / "jobq.conf"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path
    return write


@pytest.fixture
def good(project, configured):
    return configured(f"# a comment\n\n  project={project}\n\twhitelist =  res://levels/ \n"
                      "whitelist = res://*.tscn\nblacklist = res://secret/\napi_threads = 8\n"
                      "retention = 90m\ntable_max = 16M\nlog_level = debug\n")


@pytest.mark.parametrize("name", DAEMONS)
@pytest.mark.parametrize("option", ["-t", "--test"])
def test_good_configuration(good, name, option):
    done = program(name, option, "-c", good)
    assert (done.returncode, done.stdout, done.stderr) == (0, "configuration ok\n", "")


def test_sample_configuration_is_good(project, configured):
    """As it ships, once there is a project, and with every line in force."""
    sample = (ROOT / "packaging/jobq.conf").read_text()
    whole = re.sub(r"^#(\w+ = )", r"\1", sample, flags=re.M)
    assert whole.count("\n#") < sample.count("\n#") - 20
    for text in (sample, whole):
        config = configured(text)
        done = program("jobqd", "-t", "-c", config, "-o", f"project={project}")
        assert (done.returncode, done.stdout, done.stderr) == (0, "configuration ok\n", "")
    done = program("jobqd", "-t", "-c", configured(sample))
    assert done.returncode == WRONG and "project is not set" in done.stderr


@pytest.mark.parametrize("name", DAEMONS)
def test_every_error_is_told_with_its_line(project, configured, name):
    config = configured(
        f"project = {project}\n"
        "colour = green\n"             # 2
        "\n# a comment\n"
        "api_threads = many\n"         # 5
        "api_threads = 4 5\n"          # 6
        "no equals sign here\n"        # 7
        "api_processes = 65\n"         # 8
        "retention = 5 weeks\n"        # 9
        "table_max = -1\n"             # 10
        "log_level = loud\n"           # 11
        "whitelist = /etc/\n"          # 12
        "Retention = 1h\n"             # 13
        " = 1\n"                       # 14
        "retention = 1h\n"
        "table_max = 99999999999999999999\n"   # 16
        "scene_cache_size = 1048576K0\n"       # 17
        "wait_threads =")              # 18, and no end of line
    done = program(name, "-t", "-c", config)
    assert done.returncode == WRONG and done.stdout == ""
    told = [int(re.match(rf"{re.escape(str(config))}:(\d+): \S", line)[1])
            for line in done.stderr.splitlines()]
    assert told == [2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 18]
    for words in ("no option `colour`", "api_threads = many: must be a whole number",
                  "found `no equals sign here`", "must be from 0 to 64", "a time such as 90s",
                  "error, warning, info or debug", "must begin with res://"):
        assert words in done.stderr, words
    # It does not start so either.
    assert program(name, "-c", config).returncode == WRONG


@pytest.mark.parametrize("kind,name,least,most", NUMBERS, ids=[name for _, name, _, _ in NUMBERS])
def test_bounds_of_numbers(good, configured, kind, name, least, most):
    unit = UNIT[kind]
    text = good.read_text()
    lines = text.count("\n")
    for value in (least, most):
        done = program("jobqd", "-t", "-c", configured(f"{text}{name} = {value}{unit}\n"))
        assert done.returncode == 0, done.stderr
    beyond = [most + 1, 10 * most, 2**64, 2**64 + least] + ([least - 1] if least > 0 else [])
    for value in beyond:
        config = configured(f"{text}{name} = {value}{unit}\n")
        done = program("jobqd", "-t", "-c", config)
        assert done.returncode == WRONG, value
        assert done.stderr.startswith(f"{config}:{lines + 1}: {name} = {value}{unit}: must be")
        if value < 2**64:
            assert f"from {least} to {most}" in done.stderr


@pytest.mark.parametrize("name,value,same", [
    ("table_max", "1G", "1073741824"), ("table_max", "16384K", "16M"), ("retention", "1d", "24h"),
    ("retention", "60", "1m"), ("retention", "1500ms", "1500ms"),
])
def test_units(good, name, value, same):
    for each in (value, same):
        assert program("jobqd", "-t", "-c", good, "-o", f"{name}={each}").returncode == 0


@pytest.mark.parametrize("value", ["", "+5", "-5", "5.0", "5e1", "0x5", "5 M", "5MB", "M", "5m5s",
                                   "\u0665"])
def test_numbers_that_are_none(good, value):
    for name in ("table_max", "api_threads", "retention"):
        done = program("jobqd", "-t", "-c", good, "-o", f"{name}={value}")
        assert done.returncode == WRONG and f"-o: {name} = {value}: must be" in done.stderr


def test_option_of_the_command_line_is_stronger(good):
    done = program("jobqd", "-t", "-c", good, "-o", "project=/no/such/directory")
    assert done.returncode == WRONG and "/no/such/directory" in done.stderr
    bad = good.parent / "bad.conf"
    bad.write_text("project = /no/such/directory\n")
    assert program("jobqd", "-t", "-c", bad).returncode == WRONG
    project = re.search(r"project=(\S+)", good.read_text())[1]
    assert program("jobqd", "-t", "-c", bad, "--option", f"project={project}").returncode == 0
    done = program("jobqd", "-t", "-c", good, "-o", "colour=green")
    assert done.returncode == WRONG and "no option `colour`" in done.stderr
    done = program("jobqd", "-t", "-c", good, "-o", "colour")
    assert done.returncode == WRONG and "expected `name = value`" in done.stderr


@pytest.mark.parametrize("name", PROGRAMS)
def test_configuration_that_cannot_be_read(name, tmp_path):
    command = ["show"] if name == "jobqctl" else ["-t"]
    for path in (tmp_path / "absent.conf", tmp_path):
        done = program(name, "-c", path, *command)
        assert done.returncode == WRONG and str(path) in done.stderr


def test_configuration_with_a_nul_byte(configured):
    config = configured(b"project = /\nretention = 1h\0\n")
    done = program("jobqd", "-t", "-c", config)
    assert done.returncode == WRONG and f"{config}:2: holds a NUL byte" in done.stderr


@pytest.mark.parametrize("name", ["", "jobq", "/", "/a/b", "/" + "x" * 250])
def test_table_names_that_are_none(good, name):
    done = program("jobqd", "-t", "-c", good, "-o", f"table_name={name}")
    assert done.returncode == WRONG and "table_name" in done.stderr


def test_project_is_needed_by_jobqd_only(configured):
    config = configured("retention = 1h\n")
    done = program("jobqd", "-t", "-c", config)
    assert done.returncode == WRONG and "project is not set" in done.stderr
    assert program("jobq-api", "-t", "-c", config).returncode == 0
    config = configured(f"project = {config}\n")
    done = program("jobqd", "-t", "-c", config)
    assert done.returncode == WRONG and "cannot be opened" in done.stderr, "a file is no project"
    done = program("jobqd", "-c", config, "-o", "table_name=/jobq-never")
    assert done.returncode == 69 and done.stderr.endswith(': cannot be opened: Not a directory"\n')


# ---- packaging/quickstart --------------------------------------------------------


def quickstart(*arguments):
    """Runs it to an end that it reaches by itself."""
    return subprocess.run([ROOT / "packaging/quickstart", "--no-install", *map(str, arguments)],
                          capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


class Quick(Service):
    """Started as README says, without what other tests add."""

    def __init__(self, *arguments, state=None):
        super().__init__(state=state)
        self.arguments = arguments

    def start(self):
        seen = len(self.logs())
        environment = {name: value for name, value in os.environ.items()
                       if name not in ("JOBQ_TOKENS", "JOBQ_RATE")}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [ROOT / "packaging/quickstart", "--no-install", "--port", str(self.port), "--dir",
                 self.state, *self.arguments], stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, env=environment, start_new_session=True)
        self.printed = wait_until(lambda: self.process.poll() is not None or
                                  "\ncurl " in self.logs()[seen:] and self.logs()[seen:], 90)
        assert self.process.poll() is None, self.logs()
        self.token = re.search(r"^  token +(\S+)$", self.printed, re.M)[1]
        self.session = self.new_session()
        return self


@pytest.fixture
def quick():
    with contextlib.ExitStack() as stack:
        yield lambda *arguments, **keywords: stack.enter_context(Quick(*arguments, **keywords))


SAMPLE = {"type": "scene_preload", "parameters": {"scene_paths": ["res://vr_main.tscn"]}}


def sample_job(service):
    return service.submit(SAMPLE["type"], SAMPLE["parameters"])


def test_quickstart_help():
    done = quickstart("--help")
    assert done.returncode == 0 and done.stdout.startswith("Usage: packaging/quickstart ")
    for option in ("--port", "--dir", "--project", "--token", "--config", "--no-install",
                   "JOBQ_BUILD", "JOBQ_TOKENS", "JOBQ_RATE"):
        assert option in done.stdout


@pytest.mark.parametrize("arguments,status,told", [
    (["--no-such"], 2, "unknown option '--no-such'"), (["start"], 2, "unknown option 'start'"),
    (["--port"], 2, "--port needs a value"), (["--dir"], 2, "--dir needs a value"),
    *[(["--port", port], 1, "not a port number")
      for port in ("0", "65536", "99999", "080", "80x", "-1", "", "8 0")],
    *[(["--token", token], 1, "RFC 6750")
      for token in ("short", "x" * 513, "x" * 16 + " x", 'x' * 16 + '"', "x" * 16 + "\nx",
                    "x" * 16 + "\u00e4", "=" * 16)],
    (["--config", "/no/such/file"], 1, "cannot be read"),
    (["--project", "/no/such/directory"], 1, "no such directory"),
    (["--project", "/etc/hostname"], 1, "no such directory"),
])
def test_quickstart_refuses(tmp_path, arguments, status, told):
    done = quickstart("--dir", tmp_path / "state", *arguments)
    assert done.returncode == status and told in done.stderr, done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "state").exists(), "nothing was begun"


@pytest.mark.parametrize("name", ["with space", "with;semicolon", "x" * 90])
def test_quickstart_refuses_directories_that_cannot_work(tmp_path, name):
    done = quickstart("--dir", tmp_path / name)
    assert done.returncode == 1 and "--dir" in done.stderr


def test_quickstart_prints_what_works(quick):
    """The token and the line to paste; the token is nobody else's to read."""
    service = quick()
    answer = service.post("/jobs", SAMPLE)
    assert answer.status_code == 202 and answer.json()["job_id"] == "1"
    job = service.wait_job("1")
    assert job["status"] == "completed" and job["result"]["scenes_loaded"] == 1
    line, = re.findall(r"^curl .*$", service.printed, re.M)
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, timeout=60)
    answer = json.loads(done.stdout)
    assert answer["success"] is True and answer["job_id"] == "2"
    assert service.wait_job("2")["result"]["scenes_failed"] == 0, "the sample project is sound"
    token = service.state / "token"
    assert token.stat().st_mode & 0o777 == 0o600
    assert token.read_text().strip() == service.token
    assert (service.state / "etc/tokens.json").stat().st_mode & 0o077 == 0
    assert service.token not in (service.state / "etc/tokens.json").read_text()
    assert f"state    {service.state}\n" in service.printed
    assert f"http://localhost:{service.port}\n" in service.printed
    assert service.new_session("x" * 64).get(f"{service.base_url}/jobs").status_code == 401


def test_quickstart_with_a_token_of_ones_own(quick):
    token = "my-own.token_~+/0123456789=="
    service = quick("--token", token)
    assert service.token == token
    assert service.get("/jobs").status_code == 200
    assert (service.state / "token").stat().st_mode & 0o777 == 0o600


def test_quickstart_keeps_tokens_that_were_added(quick, tmp_path):
    """Until --token names another."""
    words = ["-c", tmp_path / "state/etc/jobq.conf", "token"]
    service = quick(state=tmp_path / "state")
    own = service.token
    done = program("jobqctl", *words, "add", "more")
    assert done.returncode == 0, done.stderr
    more = service.new_session(done.stdout.strip())
    assert more.get(f"{service.base_url}/jobs", timeout=20).status_code == 200
    service.stop()
    service = quick(state=tmp_path / "state")
    assert service.token == own and service.get("/jobs").status_code == 200
    assert more.get(f"{service.base_url}/jobs", timeout=20).status_code == 200
    service.stop()
    service = quick("--token", "t" * 20, state=tmp_path / "state")
    assert service.get("/jobs").status_code == 200
    assert more.get(f"{service.base_url}/jobs", timeout=20).status_code == 401


def test_second_quickstart_on_a_state_is_refused(quick):
    service = quick()
    before = {path: path.read_bytes() for path in service.state.glob("*/*.*") if path.is_file()}
    done = quickstart("--dir", service.state, "--port", free_port())
    assert done.returncode == 1
    assert f"another quickstart runs on {service.state}" in done.stderr
    assert service.wait_job(sample_job(service))["status"] == "completed"
    after = {path: path.read_bytes() for path in before if "log" not in path.name}
    assert all(before[path] == content for path, content in after.items())


def test_second_start_on_a_state_carries_on(quick):
    service = quick()
    token, job_id = service.token, sample_job(service)
    job = service.wait_job(job_id)
    service.stop()
    assert not list((service.state / "run").glob("*.pid"))
    assert not any((service.state / "run" / name).exists()
                   for name in ("api.sock", "wait.sock", "notice.sock"))
    service.start()
    assert service.token == token
    assert service.job(job_id) == job, "the result can still be read"
    assert int(sample_job(service)) == int(job_id) + 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_quickstart_stops_all_of_it(quick, number):
    service = quick()
    pids = service.left_over()
    assert len(pids) >= 4 + 3 + 3 + 2, "the four, slots, api workers, nginx's workers"
    service.process.send_signal(number)
    assert service.process.wait(60) == 0
    wait_until(lambda: not any(alive(pid) for pid in pids), 15)
    assert service.logs().endswith("quickstart: stopped\n")


def test_quickstart_starts_again_what_dies(quick):
    """Each of the four; pid files name who lives, and nothing of the dead one stays."""
    service = quick()
    job_id = sample_job(service)
    job = service.wait_job(job_id)
    for name in RUNNING:
        for _ in range(2):
            others = {other: service.pid(other) for other in RUNNING if other != name}
            old = service.pid(name)
            family = [old, *(children(old) if name != "jobqd" else [])]
            os.kill(old, signal.SIGKILL)
            new = wait_until(lambda: (pid := service.pid(name)) != old and pid)
            wait_until(lambda: not any(alive(pid) for pid in family), 20,
                       f"the end of the killed {name}'s children")
            service.wait_healthy()
            assert service.pid(name) == new, f"{name} was started once, and lives"
            command = Path(f"/proc/{new}/cmdline").read_bytes()
            assert name.encode() in command and f"{service.state}/".encode() in command
            assert all(service.pid(other) == pid for other, pid in others.items())
            assert service.job(job_id) == job
    assert service.wait_job(sample_job(service))["status"] == "completed"
    service.assert_sound()


@pytest.mark.parametrize("names", [("jobqd", "jobq-api"), ("jobq-api", "nginx"),
                                   ("jobqd", "jobq-hook"), tuple(RUNNING)], ids="+".join)
def test_quickstart_starts_again_what_dies_together(quick, names):
    service = quick()
    for _ in range(3):
        old = {name: service.pid(name) for name in names}
        for pid in old.values():
            os.kill(pid, signal.SIGKILL)
        for name in names:
            wait_until(lambda: service.pid(name) != old[name], 20, f"another {name}")
        service.wait_healthy()
    assert service.wait_job(sample_job(service))["status"] == "completed"


@pytest.mark.parametrize("name", RUNNING)
def test_quickstart_stops_what_the_dead_have_left(quick, name):
    """Stopped before it has started again what was killed: children of that live on."""
    service = quick()
    pids = service.left_over()
    service.kill(name)
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(60) == 0
    wait_until(lambda: not any(alive(pid) for pid in pids), 15, f"the end of {name}'s children")


def test_start_after_a_quickstart_that_was_killed(quick):
    """It ends what is left, and goes on with the jobs."""
    service = quick()
    job_id = sample_job(service)
    job = service.wait_job(job_id)
    left = set(service.left_over()) - {service.process.pid}
    old = {name: service.pid(name) for name in RUNNING}
    service.process.kill()
    service.process.wait()
    assert service.get("/healthz").status_code == 200, "they serve on without it"
    service.start()
    assert not any(alive(pid) for pid in left)
    for name, pid in old.items():
        assert f"stopping {name}[{pid}], which an earlier run has left" in service.logs()
        assert service.pid(name) != pid
    assert service.job(job_id) == job
    assert int(sample_job(service)) == int(job_id) + 1
    service.assert_sound()


def test_pid_file_of_somebody_else_kills_nobody(quick):
    """A pid is used again some day: whoever has it now is left alone."""
    service = quick()
    service.stop()
    with subprocess.Popen(["sleep", "600"]) as bystander:
        for name in RUNNING:
            (service.state / "run" / f"{name}.pid").write_text(f"{bystander.pid}\n")
        service.start()
        assert bystander.poll() is None
        assert all(service.pid(name) != bystander.pid for name in RUNNING)
        bystander.kill()


def test_port_that_is_taken_is_told(quick, tmp_path):
    service = quick()
    done = subprocess.Popen([ROOT / "packaging/quickstart", "--no-install", "--port",
                             str(service.port), "--dir", tmp_path / "other"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        told = b""
        os.set_blocking(done.stderr.fileno(), False)

        def heard():
            nonlocal told
            with contextlib.suppress(BlockingIOError):
                told += os.read(done.stderr.fileno(), 65536)
            return b"Address already in use" in told
        wait_until(heard, 30, "a word about the port")
        assert str(service.port).encode() in told
    finally:
        done.send_signal(signal.SIGTERM)
        assert done.wait(60) == 0
        done.stderr.close()
    assert service.get("/healthz").status_code == 200
    name = re.search(r"table_name = /(\S+)", (tmp_path / "other/etc/jobq.conf").read_text())[1]
    for path in Path("/dev/shm").glob(f"{name}*"):
        path.unlink()


def test_config_with_a_whitelist_replaces_the_whole_project(quick, project, tmp_path):
    config = tmp_path / "mine.conf"
    config.write_text("whitelist = res://levels/\ntable_name = /jobq-somebody-elses\n"
                      "api_socket = /nowhere/api.sock")  # and no end of line
    service = quick("--project", project, "--config", config)
    answer = service.post("/jobs", {"type": "scene_preload",
                                    "parameters": {"scene_paths": ["res://a.tscn"]}})
    assert answer.status_code == 400 and answer.json()["code"] == "scene_not_whitelisted"
    job_id = service.submit("scene_preload", {"scene_paths": ["res://levels/one.tscn"]})
    assert service.wait_job(job_id)["result"]["scenes_loaded"] == 1
    assert not Path("/dev/shm/jobq-somebody-elses").exists(), "the state's own name is stronger"


def test_config_without_a_whitelist_allows_the_whole_project(quick, project, tmp_path):
    config = tmp_path / "mine.conf"
    config.write_text(f"# whitelist = res://levels/\nproject = {project}\nretention = 1h\n")
    service = quick("--config", config)
    job_id = service.submit("scene_preload", {"scene_paths": ["res://a.tscn"]})
    assert service.wait_job(job_id)["result"]["scenes_loaded"] == 1
    assert f"project  {project}\n" in service.printed


def test_config_with_an_error_names_the_line(tmp_path):
    config = tmp_path / "mine.conf"
    config.write_text("retention = 1h\n\napi_threads = many\ncolour = green\n")
    done = quickstart("--dir", tmp_path / "state", "--config", config)
    assert done.returncode == 1
    assert re.search(r"jobq\.conf:3: api_threads = many: must be", done.stderr)
    assert re.search(r"jobq\.conf:4: .*colour", done.stderr)
    assert str(config) in done.stderr, "whose lines they are"


# ---- logs ------------------------------------------------------------------------

EVENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (jobqd|jobq-api|jobq-hook)\[\d+\] "
                   r"level=(error|warning|info|debug) event=[a-z_]+( .*)?")
FORGED = "2026-01-01T00:00:00.000Z jobqd[1] level=error event=forged"


def test_log_has_one_line_an_event(own_service):
    service = own_service(options=["log_level = debug"])
    service.wait_job(quick_job(service))
    job_id = slow_job(service)
    wait_until(lambda: service.job(job_id)["progress"] > 0)
    for pid in service.wait_workers():
        os.kill(pid, signal.SIGKILL)
    service.wait_job(job_id)
    service.kill("jobq-api")
    service.wait_healthy()
    service.kill("jobqd")
    service.wait_healthy()
    events = set()
    for line in service.logs().splitlines():
        if re.match(r"\S+Z ", line) or "event=" in line:
            assert EVENT.fullmatch(line), line
            events.add(re.search(r"event=(\w+)", line)[1])
            values = re.sub(r'"[^"]*"', "", line.partition(" event=")[2])
            assert all("=" in word for word in values.split()[1:]), line
    assert events >= {"started", "worker_started", "job_started", "job_finished", "job_failed",
                      "worker_died", "table_attached"}


def test_clients_cannot_forge_log_lines(own_service):
    """Line ends and control characters, wherever a client can put text."""
    service = own_service(options=["log_level = debug"])
    for text in (f"\n{FORGED}", f"\r\n{FORGED}", f"\x1b[2K\x1b[1A{FORGED}", f"\x7f{FORGED}",
                 f"\u0085{FORGED}", f"\u2028{FORGED}"):
        for path in (f"res://x{text}.tscn", f"res://{text}/a.tscn"):
            service.post("/jobs", {"type": "scene_preload", "parameters": {"scene_paths": [path]}})
            answer = service.post("/jobs", {"type": "batch_operations", "parameters": {
                "mode": "transactional", "operations": [{"action": "load", "scene_path": path}]}})
            if answer.status_code == 202:
                assert service.wait_job(answer.json()["job_id"])["status"] == "failed"
        service.post("/jobs", {"type": text, "parameters": {text: 1}})
        wire = text.encode()
        for request in (
                b"GET /jobs/1%s HTTP/1.1\r\nHost: x\r\n" % wire,
                b"GET /jobs?limit=%s HTTP/1.1\r\nHost: x\r\n" % wire,
                b"GET%s /jobs HTTP/1.1\r\nHost: x\r\n" % wire,
                b"GET /jobs HTTP/1.1\r\nHost: %s\r\n" % wire,
                b"GET /jobs HTTP/1.1\r\nHost: x\r\nUser-Agent: %s\r\n" % wire,
                b"POST /jobs HTTP/1.1\r\nHost: x\r\nIdempotency-Key: %s\r\n"
                b"Content-Type: application/json\r\nContent-Length: 2\r\n" % wire):
            service.raw(request + f"Authorization: Bearer {service.token}\r\n"
                        "Connection: close\r\n\r\n{}".encode())
        service.raw(b"GET /jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                    b"Authorization: Bearer %s\r\n\r\n" % wire)
    logs = service.log_path.read_bytes().decode(errors="replace")
    for line in re.split("[\n\r\x85\u2028]", logs):
        assert not line.startswith(FORGED[:30]), line
        assert not set(line) & {chr(c) for c in [*range(32), 127]} - {"\t"}, repr(line)
        if "event=" in line and "nginx" not in line:
            assert "event=forged" not in line or line.index("event=forged") > line.index("event=")
    for line in (service.state / "log/access.log").read_text().splitlines():
        assert json.loads(line)["status"]
        assert "forged" not in line


def test_quotation_marks_do_not_forge_fields(own_service):
    """What a client writes stays within the quotation marks of its field."""
    service = own_service()
    path = 'res://" level=error event=forged job="7.tscn'
    job_id = service.submit("batch_operations", {"mode": "transactional", "operations": [
        {"action": "load", "scene_path": path}]})
    assert service.wait_job(job_id)["status"] == "failed"
    line, = wait_until(lambda: re.findall(rf".*event=job_finished job={job_id} .*",
                                          service.logs()))
    outside = re.sub(r'"(\\.|[^"\\])*"', "", line)
    assert "forged" not in outside, line


@pytest.fixture
def journal():
    """A socket that is the journal's for who is started behind the words; needs the right to mount."""
    place = Path(tempfile.mkdtemp(prefix="jobq-journal-", dir="/tmp"))
    words = ["unshare", "-m", "sh", "-c", f'mount --bind {place} /run && exec "$@"', "sh"]
    if subprocess.run([*words, "true"], capture_output=True).returncode != 0:
        pytest.skip("NOT CHECKED: mount(8) is not allowed here")
    (place / "systemd/journal").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(place / "systemd/journal/socket"))
        listener.settimeout(90)
        yield listener, words
    shutil.rmtree(place)


@pytest.fixture
def alone(project, configured, tmp_path):
    """The configuration of a daemon without the others; its table is taken away."""
    config = configured(f"project = {project}\nwhitelist = res://\nstore = {tmp_path}/store.db\n"
                        f"table_name = /jobq-alone-{os.getpid()}\ntable_max = 16M\n"
                        f"api_socket = {tmp_path}/api\nwait_socket = {tmp_path}/wait\n"
                        f"notice_socket = {tmp_path}/notice\n")
    yield config
    program("jobqctl", "-c", config, "remove-table")


def jobqd_with_journal(words, config, path):
    """jobqd, whose standard error, a file, counts as the journal's."""
    with open(path, "w") as log:
        stream = os.fstat(log.fileno())
        return subprocess.Popen(
            [*words, Path(os.environ["JOBQ_BUILD"]) / "jobqd", "-c", config], stderr=log,
            env=dict(os.environ, JOURNAL_STREAM=f"{stream.st_dev}:{stream.st_ino}"))


def test_all_of_jobqd_writes_to_the_journal(journal, alone, tmp_path):
    """Workers, too, which let go of all that was open: what they log is nowhere else."""
    listener, words = journal
    jobqd = jobqd_with_journal(words, alone, tmp_path / "log")
    slots, started = set(), False
    try:
        while not started or len(slots) < 3:
            entry = listener.recv(4096).decode()
            assert "PRIORITY=6\nSYSLOG_IDENTIFIER=jobqd\nJOBQ_EVENT=" in entry, entry
            slots |= set(re.findall(r"event=worker_started slot=(\d)", entry))
            started = started or "\nJOBQ_EVENT=started\n" in entry
        assert program("jobqctl", "-c", alone, "check").returncode == 0
    finally:
        jobqd.terminate()
        status = jobqd.wait(60)
    # The journal would find no unit for the datagrams of a process that is gone.
    last = re.findall(r"<6>jobqd level=info event=(\w+).*\n", (tmp_path / "log").read_text())
    assert status == 0
    assert sorted(last) == ["stopped", "store_closed", *["worker_leaving"] * 3], last


@pytest.mark.parametrize("name", DAEMONS)
def test_closed_streams_are_nobody_elses(name, alone):
    """The log would be written over whatever had got the number of standard error."""
    daemon = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh",
                               Path(os.environ["JOBQ_BUILD"]) / name, "-c", alone])

    def streams():
        try:
            return [os.readlink(f"/proc/{daemon.pid}/fd/{fd}") for fd in range(3)]
        except OSError:
            return None
    try:
        wait_until(lambda: streams() == ["/dev/null"] * 3, 30, "streams that are nobody else's")
    finally:
        daemon.terminate()
        status = daemon.wait(60)
    assert status in (0, -signal.SIGTERM)  # it may have come before the signal was waited for


def test_errors_that_end_jobqd_go_by_its_standard_error(journal, alone, tmp_path):
    listener, words = journal
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as store:
        store.execute("PRAGMA user_version = 99")
    jobqd = jobqd_with_journal(words, alone, tmp_path / "log")
    assert jobqd.wait(60) == 65
    assert "\nJOBQ_EVENT=" in listener.recv(4096).decode(), "the rest goes to the journal"
    said = (tmp_path / "log").read_text()
    assert re.findall(r"^<3>jobqd level=error event=(\w+) ", said, re.M) == [
        "store_not_opened", "stopping"], said
