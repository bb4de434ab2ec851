"""jobqctl's words: its help, its manual and the completions of both shells agree."""

import os
import re
import subprocess

import pytest
from conftest import quick_job
from service import ROOT, program

COMMANDS = re.findall(r'^\t\{"([\w-]+)", "', (ROOT / "src/ctl/main.c").read_text(), re.M)
MANUAL = (ROOT / "packaging/man/jobqctl.1").read_text()
ZSH = (ROOT / "packaging/completion/_jobqctl").read_text()
STATUSES = ["queued", "running", "completed", "failed", "cancelled"]


def options_of(*command):
    """The long options that a command's help tells of."""
    done = program("jobqctl", *command, "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert re.match(rf"Usage: jobqctl .*\b{' '.join(command)}\b", done.stdout)
    if command != ("queue",):  # argp ends a line of usage that has no operands with a blank
        assert not re.search(r" $", done.stdout, re.M)
    return set(re.findall(r"^ .*?(--[a-z-]+)", done.stdout.partition("\nCommands")[0], re.M))


def completions(*words):
    """What bash offers for the last word."""
    script = (f"source {ROOT}/packaging/completion/jobqctl.bash; compopt() {{ :; }}; "
              "COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _jobqctl; printf '%s\\n' \"${COMPREPLY[@]}\"")
    done = subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True,
                          timeout=30, cwd="/")
    assert done.stderr == ""
    return done.stdout.split()


def zsh_options(words):
    """The long options in some of zsh's script, and in the lists that it names."""
    found = set(re.findall(r"--[a-z][a-z-]*", words))
    for name in re.findall(r"\$(service|here|colour|all)\b", words):
        value = re.search(rf"^\t{name}=\((.*?)\)$", ZSH, re.M | re.S)
        found |= set(re.findall(r"--[a-z][a-z-]*", value[1]))
    return found


def zsh_offers(command):
    branch = re.search(rf"^\t\t(?:{command}|\*)\)(.*?);;", ZSH, re.M | re.S)
    return zsh_options(branch[1])


def test_there_are_commands():
    assert len(COMMANDS) > 15 and {"submit", "queue", "token"} < set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_is_known_everywhere(command):
    assert re.search(rf"^  {command} ", program("jobqctl", "--help").stdout, re.M)
    assert re.search(rf"^\.It Cm {command}\b", MANUAL, re.M)
    assert command in completions("jobqctl", "")
    assert re.search(rf"^\t\t['\"]{command}:", ZSH, re.M)


def test_no_command_is_made_up():
    told = re.findall(r"^  ([a-z-]+) ", program("jobqctl", "--help").stdout.partition(
        "\nCommands")[2], re.M)
    assert told == COMMANDS
    assert sorted(completions("jobqctl", "")) == sorted(COMMANDS)
    assert re.findall(r"^\t\t['\"]([a-z-]+):", ZSH, re.M) == COMMANDS
    assert set(re.findall(r"^\.It Cm ([a-z-]+)", MANUAL, re.M)) == set(COMMANDS)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "token"])
def test_each_option_is_known_everywhere(command):
    options = options_of(command)
    assert {"--help", "--version"} <= options
    assert set(completions("jobqctl", command, "--")) == options
    assert zsh_offers(command) == options
    assert [option for option in options if f"Fl Fl {option[2:]}" not in MANUAL] == []


def test_options_in_front_of_the_command():
    options = options_of()
    assert set(completions("jobqctl", "--")) == options
    assert zsh_options(re.search(r"_arguments -C (.*)", ZSH)[1]) == options


def test_no_option_is_made_up():
    """In the manual; what the completions offer is compared command by command."""
    options = set().union(*(options_of(command) for command in COMMANDS))
    assert {f"--{name}" for name in re.findall(r"Fl Fl ([a-z-]+)", MANUAL)} == options


def test_completion_of_the_token_command():
    """Its help is its own."""
    told = set(re.findall(r"^  (--[a-z-]+)", program("jobqctl", "token", "--help").stdout, re.M))
    assert len(told) > 5 and told <= zsh_offers("token")
    verbs = completions("jobqctl", "token", "")
    assert verbs == ["add", "list", "revoke", "rotate"]
    offered = {option for verb in verbs for option in completions("jobqctl", "token", verb, "--")}
    assert told <= offered
    assert completions("jobqctl", "token", "add", "--scope", "") == ["read", "submit", "admin"]
    assert completions("jobqctl", "submit", "warm", "--scope", "") == ["all", "stale"]


def test_completion_of_words():
    assert completions("jobqctl", "--url", "http://x", "su") == ["submit"]
    assert completions("jobqctl", "list", "--status", "") == STATUSES
    assert completions("jobqctl", "list", "--status", "=", "f") == ["failed"]
    assert completions("jobqctl", "submit", "") == ["preload", "batch", "warm"]
    assert completions("jobqctl", "submit", "batch", "--action", "v") == ["validate"]
    assert "redeliver" in completions("jobqctl", "webhook", "")
    assert "job.failed" in completions("jobqctl", "webhook", "add", "http://x", "job.f")
    assert completions("jobqctl", "no-such", "") == []


def test_completion_of_ids(client, service, monkeypatch):
    monkeypatch.setenv("PATH", f"{os.environ['JOBQ_BUILD']}:{os.environ['PATH']}")
    job = quick_job(service)
    service.wait_job(job)
    assert "1" in completions("jobqctl", "watch", "")
