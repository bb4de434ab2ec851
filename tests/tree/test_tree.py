"""What holds for the source tree itself."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Which rooms each room may include from. The processes stand on top; a process
# may not know another, but jobqd's supervisor also starts as a slot.
LOWER = {"base"}
MIDDLE = LOWER | {"job"}
UPPER = MIDDLE | {"conf", "table", "scene"}
MAY_KNOW = {
    "base": set(),
    "job": LOWER,
    "conf": MIDDLE,
    "table": MIDDLE,
    "scene": MIDDLE,
    "store": MIDDLE,
    "api": UPPER,  # not the store: jobq-api never touches the disk
    "slot": UPPER,
    "super": UPPER | {"store", "slot"},
    "hook": UPPER - {"scene"} | {"store"},
    "ctl": UPPER | {"store"},
}
# Public headers that do not have the name of their room.
HEADER_ROOM = {"paths": "job", "event": "job", "conf_options": "conf", "table_hooks": "table",
               "table_counters": "table", "table_feed": "table", "store_hooks": "store"}
INCLUDE = re.compile(r'^#include "(?:jobq/(\w+)\.h|(\w+)/\w+\.h)"', re.M)


def tracked():
    try:
        out = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True,
                             check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return out.splitlines()


def rooms_included(text):
    for public, private in INCLUDE.findall(text):
        yield HEADER_ROOM.get(public, public) if public else private


def sources():
    for path in sorted(ROOT.glob("src/*/*.[ch]")):
        yield path.parent.name, path
    for path in sorted(ROOT.glob("include/jobq/*.h")):
        yield HEADER_ROOM.get(path.stem, path.stem), path


def test_rooms_know_only_what_they_may():
    wrong = [f"{path.relative_to(ROOT)} (room {room}) includes from room {other}"
             for room, path in sources()
             for other in rooms_included(path.read_text())
             if other != room and other not in MAY_KNOW[room]]
    assert not wrong, "\n".join(wrong)


def test_private_headers_stay_in_their_room():
    private = re.compile(r'^#include "(\w+)/\w+\.h"', re.M)
    wrong = [f"{path.relative_to(ROOT)} includes a private header of {other}"
             for room, path in sources()
             for other in private.findall(path.read_text())
             if other not in (room, "jobq")]
    assert not wrong, "\n".join(wrong)


def test_only_the_api_knows_libfcgi():
    wrong = [path for room, path in sources() if room != "api" and "fcgi" in path.read_text()
             and re.search(r"#include <fcgi", path.read_text())]
    assert not wrong


def test_only_who_sends_requests_knows_libcurl():
    wrong = [str(path) for room, path in sources() if room not in ("hook", "ctl")
             and re.search(r"#include <curl/", path.read_text())]
    assert not wrong
    linked = re.findall(r"^(\w+)_LDADD = .*LIBCURL_LIBS", (ROOT / "src/local.mk").read_text(), re.M)
    assert sorted(linked) == ["jobq_hook", "jobqctl"]


def test_top_level_is_the_agreed_one():
    allowed = {"configure.ac", "Makefile.am", "README.md", "src", "include", "nginx", "tests",
               "packaging"}
    top = {name.split("/")[0] for name in tracked()}
    assert {name for name in top if not name.startswith(".")} <= allowed


def test_every_source_is_built():
    listed = (ROOT / "src/local.mk").read_text()
    wrong = [str(path.relative_to(ROOT)) for path in ROOT.glob("src/*/*.c")
             if f"%D%/{path.parent.name}/{path.name}" not in listed]
    assert not wrong, wrong


def test_every_unit_test_is_run():
    listed = (ROOT / "tests/local.mk").read_text()
    wrong = [str(path) for path in ROOT.glob("tests/unit/*/test_*.c")
             if str(path.relative_to(ROOT).with_suffix("")) not in listed]
    assert not wrong, wrong


# Name and default.
OPTIONS = re.findall(r'^\tX\([A-Z]+, (\w+), "([^"]*)"',
                     (ROOT / "include/jobq/conf_options.h").read_text(), re.M)


def test_readme_names_every_option():
    readme = (ROOT / "README.md").read_text()
    assert len(OPTIONS) > 10
    missing = [option for option, _ in OPTIONS if f"`{option}`" not in readme]
    assert not missing, missing


def test_what_readme_points_to_is_there():
    readme = (ROOT / "README.md").read_text()
    headings = {re.sub(r"[^a-z -]", "", line.lower()).replace(" ", "-")
                for line in re.findall(r"^##+ (.*)$", readme, re.M)}
    links = set(re.findall(r"\]\(#([a-z-]+)\)", readme))
    assert len(links) > 10 and links <= headings, links - headings
    files = set(re.findall(r"`((?:src|include|nginx|packaging|tests)/[\w./-]+)", readme))
    example = {"src/slot/scene_count.c"}
    missing = {name for name in files - example if not (ROOT / name).exists()}
    assert len(files) > 20 and not missing, missing


def test_people_are_told_of_every_type_of_jobs():
    rows = re.search(r"#define JOBQ_JOB_TYPES\(X\)((?:.*\\\n)+.*)",
                     (ROOT / "include/jobq/job.h").read_text())[1]
    types = re.findall(r"X\(\w+, (\w+)[,)]", rows)
    assert len(types) >= 3 and rows.count("X(") == len(types)
    wrong = [f"{place}: {name}" for name in types
             for place, said in (("README.md", f"\n| `{name}` |"),
                                 ("nginx/openapi.json", f'"const": "{name}"'),
                                 ("nginx/dashboard/index.html", f'<option value="{name}">'),
                                 ("packaging/completion/jobqctl.bash", name),
                                 ("packaging/completion/_jobqctl", name))
             if said not in (ROOT / place).read_text()]
    assert not wrong, wrong


def test_manual_names_every_option_with_its_default():
    manual = (ROOT / "packaging/man/jobq.conf.5").read_text()
    items = dict(re.findall(r"^\.It Ic (\w+) No =(.*?)(?=^\.It |^\.El)", manual, re.M | re.S))
    assert set(items) == {option for option, _ in OPTIONS}
    wrong = [option for option, default in OPTIONS
             if default and not re.search(rf"[dD]efault(\s+\.\w+)?\s+{re.escape(default)}(?!\w)",
                                          items[option])]
    assert not wrong, wrong


def test_manual_names_every_command():
    manual = (ROOT / "packaging/man/jobqctl.1").read_text()
    commands = re.findall(r'^\t\{"([\w-]+)", "([^"]*)", ', (ROOT / "src/ctl/main.c").read_text(), re.M)
    assert len(commands) > 5
    missing = [name for name, _ in commands if not re.search(rf"^\.It Cm {name}\b", manual, re.M)]
    assert not missing, missing


def test_every_program_has_a_manual():
    programs = re.findall(r"^s?bin_PROGRAMS \+= (.*)$", (ROOT / "src/local.mk").read_text(), re.M)
    pages = {path.stem for path in (ROOT / "packaging/man").iterdir()}
    assert {name for line in programs for name in line.split()} < pages
    listed = (ROOT / "packaging/local.mk").read_text()
    assert all(f"%D%/man/{path.name}" in listed for path in (ROOT / "packaging/man").iterdir())


def linted(*command, page):
    """What a checker says of a page; it is not fatal that the machine lacks other pages."""
    try:
        done = subprocess.run([*command, ROOT / "packaging/man" / page], capture_output=True,
                              text=True, env=dict(os.environ, MANWIDTH="80"))
    except FileNotFoundError:
        pytest.skip(f"{command[0]} is not installed")
    said = done.stderr if command[0] == "man" else done.stdout
    return [line for line in said.splitlines() if "referenced manual not found" not in line]


@pytest.mark.parametrize("page", sorted(p.name for p in (ROOT / "packaging/man").iterdir()))
def test_manuals_are_well_formed(page):
    assert linted("mandoc", "-Tlint", page=page) == []
    assert linted("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page=page) == []


def test_sample_configuration_names_every_option_with_its_default():
    sample = (ROOT / "packaging/jobq.conf").read_text()
    assert not re.search(r"^(?!#|$)", sample.rstrip("\n"), re.M), "every line is commented out"
    values = dict(re.findall(r"^#(\w+) = (.*)$", sample, re.M))
    assert set(values) == {option for option, _ in OPTIONS}
    wrong = [option for option, default in OPTIONS if default and values[option] != default]
    assert not wrong, wrong


# ---- systemd's units --------------------------------------------------------------

UNITS = ROOT / "packaging/systemd"
SERVICES = ["jobq-api.service", "jobq-hook.service", "jobqd.service"]


def directives(unit):
    text = (UNITS / unit).read_text()
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.M))


@pytest.mark.parametrize("unit", SERVICES)
def test_services_are_supervised(unit):
    said = directives(unit)
    assert said["Type"] == "notify" and int(said["WatchdogSec"]) > 0
    assert said["ExecReload"] == "+/bin/kill -HUP $MAINPID" and said["User"] == "jobq"
    # 78 and 2: what programs end with when an operator has to mend the file or the command line.
    assert {"CONFIG", "INVALIDARGUMENT"} <= set(said["RestartPreventExitStatus"].split())
    assert {"StartLimitBurst", "MemoryMax", "TasksMax", "LimitNOFILE"} <= set(said)
    assert said["RemoveIPC"] == "no", "the job table outlives the service"
    # It would remove the sockets, which are the socket units'.
    assert said.get("RuntimeDirectory") != "jobq"


@pytest.mark.parametrize("unit", SERVICES)
def test_services_are_confined(unit):
    """A small enough exposure, as systemd itself counts it."""
    try:
        done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager",
                               UNITS / unit], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("systemd-analyze is not installed")
    score = re.search(r"Overall exposure level for \S+: (\d+\.\d)", done.stdout)
    assert score, done.stdout + done.stderr
    assert float(score[1]) <= 1.5


def test_only_the_sender_has_a_network():
    for unit in SERVICES:
        said = directives(unit)
        networked = unit == "jobq-hook.service"
        assert ("AF_INET" in said["RestrictAddressFamilies"]) == networked
        assert (said.get("PrivateNetwork") == "yes") != networked


@pytest.mark.parametrize("unit", SERVICES)
def test_services_start_without_what_may_be_absent(unit):
    """systemd starts nothing whose bind mount has no source, unless a - stands before it."""
    text = (UNITS / unit).read_text()
    bound = [path for line in re.findall(r"^Bind(?:ReadOnly)?Paths=(.*)$", text, re.M)
             for path in line.split()]
    always = {f"/usr/sbin/{unit.removesuffix('.service')}", "/usr/lib", "/lib", "/etc", "/etc/jobq",
              "/run/systemd/notify"}
    assert {path for path in bound if not path.startswith("-")} <= always


def test_stopping_is_given_more_time_than_draining():
    seconds = int(re.fullmatch(r"(\d+)s", dict(OPTIONS)["drain_timeout"])[1])
    writer = int(re.search(r"WRITER_GRACE (\d+)", (ROOT / "src/super/loop.c").read_text())[1])
    assert int(directives("jobqd.service")["TimeoutStopSec"]) > seconds + writer / 1e6
    grace = int(re.search(r"STOP_GRACE (\d+)", (ROOT / "src/api/prefork.c").read_text())[1])
    assert int(directives("jobq-api.service")["TimeoutStopSec"]) > grace / 1e6


def test_socket_units_are_where_the_configuration_says():
    listens = [path for unit in sorted(UNITS.glob("*.socket"))
               for path in re.findall(r"^Listen\w+=(.*)$", unit.read_text(), re.M)]
    assert sorted(listens) == sorted(default for option, default in OPTIONS
                                     if option.endswith("_socket"))
    # Told apart by their order.
    sockets = (UNITS / "jobq.socket").read_text()
    assert sockets.index("api.sock") < sockets.index("wait.sock")


def test_files_can_be_seen_whole():
    long = [f"{path.relative_to(ROOT)}: {lines}" for _, path in sources()
            if (lines := len(path.read_text().splitlines())) > 600]
    assert not long, long
