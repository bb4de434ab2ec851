"""README's tour: each of its commands, and what README says that they print."""

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


def tour():
    """(command, what it prints) of README, but for what sets up the shell."""
    section = re.search(r"^### A tour$(.*?)^##", (ROOT / "README.md").read_text(), re.M | re.S)[1]
    text = "".join(line[4:] for line in re.findall(r"^    .*\n", section, re.M))
    found = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.M)
    return [(command, out) for command, out in found if not re.match(r"export |cd ", command)]


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
