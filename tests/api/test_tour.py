"""README's tour and its examples of the API: each command, and what README says that it prints."""

import os
import re
import shutil
import subprocess

from service import ROOT

TIMES = [(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "TIME"),
         (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME"), (r" in \d+:\d\d", " in TIME"),
         # What has been seen of a job on its way is chance, as are the slots that are busy by then.
         (r"(?m)^\d+ \S+ (queued|running) \d+%.*\n", ""),
         (r"(?m)^open: \d queued, \d of", "open: N queued, N of")]


def section(heading):
    """What stands in the code blocks below a heading of README."""
    text = re.search(rf"^### {heading}$(.*?)^##", (ROOT / "README.md").read_text(), re.M | re.S)[1]
    return "".join(line[4:] for line in re.findall(r"^    .*\n", text, re.M))


def tour():
    """(command, what it prints) of README, but for what sets up the shell."""
    found = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", section("A tour"), re.M)
    return [(command, out) for command, out in found if not re.match(r"export |cd ", command)]


def examples():
    """Likewise; a command goes on in lines that begin with blanks, … is what may be anything."""
    found = re.findall(r"^\$ (.*\n(?: +.*\n)*)((?:(?!\$ ).*\n)*)", section("By example"), re.M)
    return [(command, ".*".join(map(re.escape, out.replace("\n", "").split("…"))))
            for command, out in found if not command.startswith("export ")]


def without_times(text):
    for pattern, word in TIMES:
        text = re.sub(pattern, word, text)
    return text


def test_the_tour_of_the_readme(own_service, home, tmp_path, monkeypatch):
    project = tmp_path / "project"
    shutil.copytree(ROOT / "packaging/sample-project", project)
    service = own_service(project=project)
    monkeypatch.setenv("JOBQ_URL", service.base_url)
    monkeypatch.setenv("JOBQ_TOKEN", service.token)
    monkeypatch.setenv("PATH", f"{os.environ['JOBQ_BUILD']}:{os.environ['PATH']}")
    steps = tour()
    assert len(steps) > 10
    for command, expected in steps:
        done = subprocess.run(["bash", "-c", command.replace("/tmp", str(tmp_path))], cwd=project,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=60)
        assert without_times(done.stdout) == without_times(expected), command
        assert done.returncode == 0, command


def test_the_examples_of_the_api(own_service, monkeypatch):
    service = own_service(project=ROOT / "packaging/sample-project")
    monkeypatch.setenv("JOBQ_URL", service.base_url)
    monkeypatch.setenv("AUTH", f"Authorization: Bearer {service.token}")
    steps = examples()
    assert len(steps) > 10
    for command, expected in steps:
        done = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60)
        said = re.sub(r"[\r\n]", "", done.stdout)
        assert re.fullmatch(expected, said), f"{command}{done.stdout}"
        assert done.returncode == 0, command
