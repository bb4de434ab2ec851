"""`jobqctl scene check`: the scene engine without a service."""

import contextlib
import json
import os
import re
import select
import subprocess
from pathlib import Path

import pytest
from conftest import make_project
from service import program

ROOTLESS = '[gd_scene format=3]\n\n[node name="Rootless"]\n'  # loads, but makes no instance
MEMBERS = ["scene_path", "loads", "valid", "errors", "warnings", "scene_info"]
INFO = ["node_count", "root_type", "root_name", "format", "uid", "size", "dependencies"]


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """A project with more that is wrong in it."""
    root = make_project(tmp_path_factory.mktemp("checked"))
    (root / "rootless.tscn").write_text(ROOTLESS)
    (root / "warned.tscn").write_text(
        '[gd_scene load_steps=7 format=3]\n\n[node name="Warned" type="Node"]\n')
    (root / "lacks2.tscn").write_text(
        '[gd_scene format=3]\n\n[ext_resource type="Texture2D" path="res://gone.png" id="1"]\n'
        '[ext_resource type="Texture2D" path="res://gone2.png" id="2"]\n'
        '[node name="A" type="Node"]\n')
    (root / "valued.tscn").write_text(
        '[gd_scene load_steps=2 format=3]\n\n[ext_resource type="Script" path="res://thing.gd" '
        'id="1"]\n\n[node name="Valued" type="Node"]\nscript = ExtResource("1")\n'
        'other = Resource("res://a.tscn")\n')
    (root / "forged.tscn").write_text(
        '[gd_scene format=3]\n\n[ext_resource type="Texture2D" '
        'path="res://gone\n\x1b[2Kres://a.tscn: ok\n\u009b2J.png" id="1"]\n[node name="A" type="Node"]\n')
    return root


def check(root, *words, **keywords):
    return program("jobqctl", "scene", "check", "--project", root, *words, **keywords)


def answers(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def answer(root, path):
    """The one answer, and the exit status."""
    done = check(root, "--json", path)
    assert done.stderr == ""
    return *answers(done), done.returncode


def test_valid_scene(checked):
    done = check(checked, "--json", "res://levels/one.tscn")
    assert (done.returncode, done.stderr) == (0, "")
    line, = done.stdout.splitlines()
    assert ": " not in line.replace("://", ""), "compact"
    told = json.loads(line)
    assert list(told) == MEMBERS and list(told["scene_info"]) == INFO
    assert told == {
        "scene_path": "res://levels/one.tscn", "loads": True, "valid": True, "errors": [],
        "warnings": [],
        "scene_info": {"node_count": 2, "root_type": "Node3D", "root_name": "One", "format": 3,
                       "uid": "uid://b2n0lw5rwxy1a",
                       "size": (checked / "levels/one.tscn").stat().st_size,
                       "dependencies": ["res://a.tscn"]}}


def test_dependencies_are_those_that_are_declared(checked):
    """As the service lists them: not what a value names."""
    told, status = answer(checked, "res://valued.tscn")
    assert status == 0 and told["warnings"] == []
    assert told["scene_info"]["dependencies"] == ["res://thing.gd"]


def test_broken_scene(checked):
    told, status = answer(checked, "res://broken.tscn")
    assert status == 1 and list(told) == MEMBERS
    assert (told["loads"], told["valid"]) == (False, False)
    assert re.match(r"line 4, column 1: \w", told["errors"][0])
    assert told["scene_info"]["format"] == 3 and told["scene_info"]["uid"] is None


def test_missing_dependency(checked):
    told, status = answer(checked, "res://lacks.tscn")
    assert status == 1 and (told["loads"], told["valid"]) == (False, False)
    assert told["errors"] == ["res://gone.png, needed by res://lacks.tscn: it does not exist"]
    assert told["scene_info"]["root_name"] == "Lacks"
    assert told["scene_info"]["dependencies"] == ["res://gone.png"]
    told, status = answer(checked, "res://lacks2.tscn")
    assert status == 1 and told["errors"] == [
        "res://gone.png, needed by res://lacks2.tscn: it does not exist",
        "res://gone2.png, needed by res://lacks2.tscn: it does not exist"]


@pytest.mark.parametrize("path,words", [
    ("absent.tscn", "does not exist"), ("link.tscn", "symbolic link"),
    ("linked/one.tscn", "symbolic link"), ("levels/absent.tscn", "does not exist"),
    ("a.tscn/a.tscn", "does not exist")])
def test_scene_that_cannot_be_read(checked, path, words):
    told, status = answer(checked, path)
    assert status == 1 and (told["loads"], told["valid"]) == (False, False)
    error, = told["errors"]
    assert words in error
    assert told["scene_info"] is None


def test_resources_are_checked_too(checked):
    (checked / "theme.tres").write_text('[gd_resource type="Theme" format=3]\n\n[resource]\nx = 1\n')
    (checked / "bad.tres").write_text('[gd_resource type="Theme" format=3]\n\n[resource]\nx = \n')
    told, status = answer(checked, "res://theme.tres")
    assert status == 0 and told["valid"] is True and told["scene_info"]["root_type"] is None
    told, status = answer(checked, "bad.tres")
    assert status == 1 and told["loads"] is False
    (checked / "disguised.tscn").write_text('[gd_resource type="Theme" format=3]\n\n[resource]\n')
    assert answer(checked, "disguised.tscn")[1] == 1, "a scene is wanted there"


def test_scene_that_loads_but_is_not_valid(checked):
    told, status = answer(checked, "res://rootless.tscn")
    assert status == 1 and (told["loads"], told["valid"]) == (True, False)
    error, = told["errors"]
    assert "Rootless" in error


def test_scene_with_warnings_is_valid(checked):
    told, status = answer(checked, "res://warned.tscn")
    assert status == 0 and (told["loads"], told["valid"], told["errors"]) == (True, True, [])
    assert told["warnings"] == ["load_steps is 7, but should be 1"]


def test_lines_for_people(checked):
    done = check(checked, "a.tscn", "res://broken.tscn", "lacks.tscn", "rootless.tscn",
                 "warned.tscn", "absent.tscn")
    assert (done.returncode, done.stderr) == (1, "")
    ok, broken, lacks, rootless, warning, warned, absent = done.stdout.splitlines()
    assert ok == "res://a.tscn: ok"
    assert broken.startswith("res://broken.tscn: error: line 4, column 1: ")
    assert lacks == "res://lacks.tscn: error: res://gone.png, needed by res://lacks.tscn: " \
                    "it does not exist"
    assert rootless.startswith("res://rootless.tscn: error: ")
    assert warning == "res://warned.tscn: warning: load_steps is 7, but should be 1"
    assert warned == "res://warned.tscn: ok"
    assert absent == "res://absent.tscn: error: it does not exist"


def test_scenes_cannot_forge_lines(checked):
    done = check(checked, "forged.tscn")
    assert done.returncode == 1
    error, *warnings = done.stdout.splitlines()
    assert error.startswith("res://forged.tscn: error: res://gone?")
    assert all(line.startswith("res://forged.tscn: warning: line 3: ") for line in warnings)
    assert "\x1b" not in done.stdout and "\x9b" not in done.stdout and "??2J.png" in done.stdout
    line, = check(checked, "--json", "forged.tscn").stdout.splitlines()
    assert "\x1b[2K" in json.loads(line)["errors"][0], "JSON has what is there"


# ---- paths -----------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_paths_from_standard_input(checked, options):
    """The same as on the command line, in the same order; the last line may lack its end."""
    paths = ["res://c.tscn", "a.tscn", "./levels/one.tscn", "broken.tscn", "res://a.tscn"]
    words = check(checked, *options, *paths)
    for text in ("\n".join(paths), "\n".join(paths) + "\n"):
        lines = check(checked, *options, "-", input=text)
        assert (lines.returncode, lines.stdout, lines.stderr) == (1, words.stdout, "")
    assert re.findall(r"^\W*(?:scene_path\W+)?(res://[\w/]+\.tscn)", words.stdout, re.M) == \
        ["res://c.tscn", "res://a.tscn", "res://levels/one.tscn", "res://broken.tscn",
         "res://a.tscn"]


def test_no_paths_from_standard_input(checked):
    done = check(checked, "-", input="")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


MALFORMED = [
    ("a.txt", "must end in .tscn"), ("res://a.res", "must end in .tscn"),
    ("../a.tscn", "must not hold a . or .. segment"), ("a/./b.tscn", "must not hold a . or"),
    ("/etc/a.tscn", "empty segment"), ("res://", "must name a file"), ("", "must name a file"),
    ("./", "must name a file"), ("user://a.tscn", "second colon"), ("uid://abc.tscn", "colon"),
    ("a\\b.tscn", "backslash"), ("a\x1b[2K.tscn", "control bytes"), ("a.tscn\r", "control bytes"),
    ("x" * 250 + ".tscn", "at most 256 bytes"), ("x" * 100000 + ".tscn", "at most 256 bytes"),
    (b"a\xff.tscn", "valid UTF-8")]


@pytest.mark.parametrize("path,words", MALFORMED, ids=[str(path)[:20] for path, _ in MALFORMED])
def test_malformed_path(checked, path, words):
    """It is told and the others are checked all the same."""
    path = path.encode() if isinstance(path, str) else path
    program_path = Path(os.environ["JOBQ_BUILD"]) / "jobqctl"
    command = [program_path, "scene", "check", "--project", checked, "--json"]
    for more, text, where in (
            [["a.tscn", path, "broken.tscn"], b"", b"jobqctl: "],
            [["-"], b"a.tscn\n" + path + b"\nbroken.tscn\n", b"jobqctl: standard input, line 2: "]):
        done = subprocess.run([*command, *more], input=text, capture_output=True, timeout=60)
        assert done.returncode == 2, "more than that a scene is not valid"
        first, second, third = map(json.loads, done.stdout.splitlines())
        assert (first["scene_path"], third["scene_path"]) == ("res://a.tscn", "res://broken.tscn")
        assert (second["loads"], second["valid"], second["scene_info"]) == (False, False, None)
        assert second["errors"] == ["the path is malformed"]
        line, = done.stderr.splitlines()
        assert line.startswith(where + b"res://") and words.encode() in line
        assert b"\x1b" not in line and b"\r" not in line


def test_nul_byte_in_a_line(checked):
    done = check(checked, "-", input="a.tscn\0\n\0\na.tscn\0.tscn\n")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("control bytes") == 3


@contextlib.contextmanager
def conversation(root):
    """A check that is fed by `ask(paths)`, which returns as many answers."""
    environment = dict(os.environ)  # without AddressSanitizer's memory of what was freed
    environment["ASAN_OPTIONS"] = "quarantine_size_mb=1:" + environment.get("ASAN_OPTIONS", "")
    process = subprocess.Popen(
        [Path(os.environ["JOBQ_BUILD"]) / "jobqctl", "scene", "check", "--project", root, "--json",
         "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    pending = b""

    def ask(paths):
        nonlocal pending
        process.stdin.write("".join(f"{path}\n" for path in paths).encode())
        process.stdin.flush()
        while pending.count(b"\n") < len(paths):
            assert select.select([process.stdout], [], [], 30)[0], "an answer is held back"
            part = os.read(process.stdout.fileno(), 65536)
            assert part, "it ended"
            pending += part
        *lines, pending = pending.split(b"\n")
        return [json.loads(line) for line in lines]
    try:
        yield process, ask
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_each_scene_is_answered_before_the_next(checked):
    with conversation(checked) as (process, ask):
        for path, valid in ("res://a.tscn", True), ("res://broken.tscn", False):
            told, = ask([path])
            assert (told["scene_path"], told["valid"]) == (path, valid)
        process.stdin.close()
        assert process.wait(30) == 1


def peak(pid):
    return int(re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.M)[1])


def test_ten_thousand_paths_take_no_more_memory(checked):
    names = ["a", "broken", "levels/one", "lacks", "absent"] * 20
    paths = [f"res://{name}.tscn" for name in names]
    with conversation(checked) as (process, ask):
        first = ask(paths)
        assert [told["scene_path"] for told in first] == paths
        before = peak(process.pid)
        for _ in range(99):
            assert ask(paths) == first
        assert peak(process.pid) < before + 4096
        process.stdin.close()
        assert process.wait(30) == 1


def test_ten_thousand_paths_at_once(checked):
    done = check(checked, "-", input="a.tscn\n" * 9999 + "c.tscn\n")
    assert done.returncode == 0
    assert done.stdout == "res://a.tscn: ok\n" * 9999 + "res://c.tscn: ok\n"
    assert check(checked, *["a.tscn"] * 10000).stdout == "res://a.tscn: ok\n" * 10000


# ---- command lines ---------------------------------------------------------------


@pytest.mark.parametrize("words,told", [
    ([], "`scene` is followed by `check`"), (["look"], "`scene` is followed by `check`"),
    (["check"], "--project"), (["check", "a.tscn"], "--project"),
    (["check", "--project"], "requires an argument"),
    (["check", "--project", "."], "needs a path"),
    (["check", "--project", ".", "--json"], "needs a path"),
    (["check", "--project", ".", "--colour", "a.tscn"], "unrecognized option"),
    (["check", "--project", ".", "-c", "/etc/hostname", "a.tscn"], "invalid option")])
def test_command_lines_that_cannot_be_read(words, told):
    done = program("jobqctl", "scene", *words)
    assert done.returncode == 2 and done.stdout == ""
    assert told in done.stderr and "Try 'jobqctl --help'" in done.stderr
    assert "jobqctl: " in done.stderr


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["check", "--help"]])
def test_help(words):
    done = program("jobqctl", "scene", *words)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith("Usage: jobqctl scene check ")
    assert "--project" in done.stdout and "--json" in done.stdout


def test_projects_that_are_none(tmp_path):
    (tmp_path / "a.tscn").write_text("")
    (tmp_path / "file").write_text("")
    for root, words in ((tmp_path / "absent", "No such file"), (tmp_path / "file", "Not a dir"),
                        (tmp_path, "is not a Godot project: project.godot: it does not exist")):
        done = check(root, "a.tscn")
        assert done.returncode == 2 and done.stdout == ""
        assert str(root) in done.stderr and words in done.stderr


def test_options_stand_anywhere_and_no_configuration_is_read(checked):
    expected = check(checked, "--json", "a.tscn", "-")
    for words in (["scene", "--json", "check", "a.tscn", "-", "--project", checked],
                  ["-c", "/no/such/file", "scene", "check", f"--project={checked}", "a.tscn",
                   "--json", "-"]):
        done = program("jobqctl", *words, input="")
        assert (done.returncode, done.stdout, done.stderr) == (0, expected.stdout, "")
    done = check(checked, "--", "--json.tscn")
    assert done.returncode == 1 and done.stdout.startswith("res://--json.tscn: error: ")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_output_that_cannot_be_written(checked, options):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [Path(os.environ["JOBQ_BUILD"]) / "jobqctl", "scene", "check", "--project", checked,
             *options, "a.tscn"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 2 and "standard output cannot be written" in done.stderr


def test_input_that_cannot_be_read(checked):
    fd = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        done = check(checked, "-", stdin=fd)
    finally:
        os.close(fd)
    assert done.returncode == 2 and "standard input: Is a directory" in done.stderr


# ---- the service -----------------------------------------------------------------


def test_it_says_what_the_service_says(service):
    """`valid`, errors and warnings as `validate`, the facts as `get_info`."""
    paths = [f"res://{name}.tscn" for name in ("a", "levels/one", "broken", "lacks", "slow")]
    told = answers(check(service.project, "--json", *paths))
    job = service.wait_job(service.submit("batch_operations", {"operations": [
        {"action": action, "scene_path": path}
        for path in paths for action in ("validate", "get_info")]}))
    rows = job["result"]["operations"]
    for mine, validate, info in zip(told, rows[::2], rows[1::2], strict=True):
        assert mine["scene_path"] == validate["scene_path"] == info["scene_path"]
        for member in ("valid", "errors", "warnings"):
            assert mine[member] == validate["result"][member]
        facts = validate["result"]["scene_info"]
        assert facts == {name: mine["scene_info"][name] for name in facts}
        assert mine["scene_info"] == {name: info["result"][name] for name in mine["scene_info"]}
