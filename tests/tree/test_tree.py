"""What holds for the source tree itself."""

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


def test_readme_names_every_option():
    readme = (ROOT / "README.md").read_text()
    options = re.findall(r"^\tX\([A-Z]+, (\w+),",
                         (ROOT / "include/jobq/conf_options.h").read_text(), re.M)
    assert len(options) > 10
    missing = [option for option in options if f"`{option}`" not in readme]
    assert not missing, missing


def test_files_can_be_seen_whole():
    long = [f"{path.relative_to(ROOT)}: {lines}" for _, path in sources()
            if (lines := len(path.read_text().splitlines())) > 600]
    assert not long, long
