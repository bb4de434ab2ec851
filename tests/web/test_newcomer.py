"""The way of somebody who has just heard of jobq: from `git clone` to a job watched in a browser."""

import os
import re
import signal
import subprocess
import time

import pytest
from service import ROOT, free_port, program, wait_until


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="there is no repository to clone")
def test_from_clone_to_a_watched_job(browser, tmp_path):
    began = time.monotonic()
    times = []

    def reached(what):
        times.append(f"{what} {time.monotonic() - began:.1f} s")

    subprocess.run(["git", "clone", "-q", ROOT, tmp_path / "jobq"], check=True)
    reached("cloned")
    port = free_port()
    said = tmp_path / "said"
    with open(said, "w") as out:
        quickstart = subprocess.Popen(
            ["packaging/quickstart", "--port", str(port), "--dir", tmp_path / "state"],
            cwd=tmp_path / "jobq", stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items()
                 if not name.startswith("JOBQ_")})
    try:
        wait_until(lambda: "Submit a job:" in said.read_text() or quickstart.poll() is not None,
                   300, "what quickstart prints when the service answers")
        assert quickstart.poll() is None, said.read_text()
        reached("built and serving")
        # All that follows is what stands in the terminal.
        url = re.search(r"answers on (\S+)", said.read_text())[1]
        token = re.search(r"^ +token +(\S+)$", said.read_text(), re.M)[1]
        line = re.search(r"^curl .*$", said.read_text(), re.M)[0]

        browser.open(url)
        browser.fill("#token", token)
        browser.press("Enter")
        browser.wait_live()
        reached("logged in")
        answer = subprocess.run(["sh", "-c", f"{line} -sS"], capture_output=True, text=True)
        assert '"status":"queued"' in answer.stdout, answer
        browser.has_text("#job-rows tr", "cache warming")
        browser.has_text("#job-rows tr", "completed")
        reached("a job seen to complete")
    finally:
        quickstart.send_signal(signal.SIGINT)
        assert quickstart.wait(60) == 0, said.read_text()
        program("jobqctl", "-c", tmp_path / "state/etc/jobq.conf", "remove-table")
    print(f"\nnewcomer: {', '.join(times)}")
