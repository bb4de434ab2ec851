"""What the page does with the queue: places, labels, retries, stopping, logs, pausing."""

import hashlib
import json
import os
import re
import secrets
import signal

import pytest
import requests
from service import wait_until
from steps import operations, quick_job, row, slow_job


def shown(service, job_id):
    return service.get(f"/jobs/{job_id}").json()


def queue_state(service):
    return service.get("/queue").json()["queue"]["state"]


def submitted(browser):
    browser.has_text("#submitted", "Queued as job")
    return re.search(r"\d+", browser.text("#submitted"))[0]


def no_answer(browser, path, times=1):
    """What is asked of such a path gets lost, so often."""
    browser.run("await page.route(args.path, (route) => route.abort(), {times: args.times})",
                path=path, times=times)


# ---- submitting ---------------------------------------------------------------------


def test_priority_labels_and_place(paused, browser):
    service = paused
    browser.log_in(service, "#/submit")
    browser.fill("#paths", "res://vr_main.tscn")
    browser.fill("#priority", "7")
    browser.fill("#labels", " team=art, build=12 ")
    browser.click("#submit-button")
    job_id = submitted(browser)
    told = shown(service, job_id)
    assert told["priority"] == 7 and told["labels"] == {"team": "art", "build": "12"}
    assert told["queue_position"] == 1
    browser.click("#submitted a")
    browser.has_text("#job-place", "1, the next to start, when the queue goes on")
    browser.has_text("#job-body dl div:has(dt:text-is('Priority')) dd", "7")
    assert browser.run("return page.locator('#job-body .labels li').allInnerTexts()") == \
        ["build=12", "team=art"]
    # Somebody else comes before it: no event tells, and it is seen all the same.
    first = quick_job(service, priority=10)
    browser.has_text("#job-place", "2, when")
    service.delete(f"/jobs/{first}")
    browser.has_text("#job-place", "1, the next")


def test_what_is_no_priority_and_no_label_is_said(service, browser):
    before = service.get("/jobs?limit=10000").json()["count"]
    browser.log_in(service, "#/submit")
    browser.fill("#paths", "res://vr_main.tscn")
    for field, text, sentence in (
            ("priority", "11", "whole number from -10 to 10"), ("priority", "1.5", "whole number"),
            ("priority", "", "whole number"), ("labels", "nothing", "“nothing” is no label"),
            ("labels", "a=1 a=2", "The label a is given twice"), ("labels", "a=b=c", "no label"),
            ("labels", "__proto__=1 __proto__=2", "The label __proto__ is given twice"),
            ("labels", " ".join(f"k{n}=x" for n in range(17)), "at most 16 labels")):
        browser.fill(f"#{field}", text)
        browser.click("#submit-button")
        browser.has_text("#submit-error", sentence)
        assert browser.focused() == field
        assert browser.evaluate(f"document.getElementById('{field}').ariaInvalid") == "true"
        browser.fill(f"#{field}", "0" if field == "priority" else "")
    assert service.get("/jobs?limit=10000").json()["count"] == before
    browser.click("#submit-button")
    told = shown(service, submitted(browser))
    assert "priority" not in told and "labels" not in told
    browser.fill("#labels", "__proto__=art constructor=1")
    browser.click("#submit-button")
    assert shown(service, submitted(browser))["labels"] == {"__proto__": "art", "constructor": "1"}
    assert browser.evaluate("document.querySelectorAll('#submit-form [aria-invalid]').length") == 0


# ---- again, and stopping --------------------------------------------------------------


def test_retry_and_retry_of_what_failed(service, browser):
    job_id = quick_job(service, "res://vr_main.tscn", "res://none.tscn", "res://broken.tscn",
                       labels={"for": "retry"})
    service.wait_job(job_id)
    browser.log_in(service, f"#/jobs/{job_id}")
    # Sent again, as its answer was lost, it is no second job.
    newest = int(quick_job(service))
    browser.run("""await page.route("**/retry", async (route) => {
                       await route.fetch();
                       await route.abort();
                   }, {times: 1});""")
    browser.click("#job-retry-failed")
    browser.has_text("#notes .bad", "cannot be reached")
    browser.click("#job-retry-failed")
    browser.has_text("#job-heading", f"Job {newest + 1}")
    again = service.wait_job(str(newest + 1))
    assert [one["scene_path"] for one in again["result"]["scenes"]] == \
        ["res://none.tscn", "res://broken.tscn"]
    browser.has_text("#job-body dd", "0 of 2")
    browser.has_text("#job-body .labels", "for=retry")
    assert browser.focused() == "job-heading"
    browser.go(f"#/jobs/{job_id}")
    browser.has_text("#job-heading", f"Job {job_id}")
    browser.click("#job-retry")
    browser.has_text("#job-heading", f"Job {newest + 2}")
    browser.has_text("#job-body dd", "1 of 3")
    assert service.wait_job(str(newest + 2))["result"]["total_scenes"] == 3
    # Where nothing failed there is nothing of the kind to retry.
    browser.go(f"#/jobs/{newest}")
    browser.has_text("#job-body dd", "1 of 1")
    assert browser.count("#job-retry") == 1 and browser.count("#job-retry-failed") == 0


def test_a_running_job_is_stopped(service, browser):
    job_id = slow_job(service)
    wait_until(lambda: service.job(job_id)["status"] == "running", 30, "a running job")
    browser.log_in(service, f"#/jobs/{job_id}")
    browser.click("#job-stop")
    browser.has_text("#confirm", "as failed")
    browser.click("#confirm button[value='']")
    assert service.job(job_id)["status"] == "running"
    browser.click("#job-stop")
    browser.click("#confirm-yes")
    browser.has_text("#notes", f"Job {job_id} is asked to stop")
    browser.has_text("#job-body .badge", "failed")
    browser.has_text("#job-body .problem", "stopped on request")
    job = service.job(job_id)
    assert job["status"] == "failed" and 0 < len(job["result"]["operations"]) < 10000
    assert browser.count("#job-stop") == 0 and browser.count("#job-retry") == 1


def test_stopping_too_late_is_said(service, browser):
    job_id = slow_job(service)
    wait_until(lambda: service.job(job_id)["status"] == "running", 30, "a running job")
    browser.log_in(service, f"#/jobs/{job_id}")
    browser.has_text("#job-stop", "Stop this job")
    browser.run("""await page.route("**/cancel", (route) => route.fulfill({status: 400,
                       contentType: "application/json", body: JSON.stringify({success: false,
                       code: "not_cancellable",
                       error: "Can only cancel jobs that have not ended"})}));""")
    browser.click("#job-stop")
    browser.click("#confirm-yes")
    browser.has_text("#notes", f"Job {job_id} has ended already.")
    service.post(f"/jobs/{job_id}/cancel", None)
    service.wait_job(job_id)


def test_a_job_that_ends_before_the_answer_about_its_stop(service, browser):
    job_id = slow_job(service)
    wait_until(lambda: service.job(job_id)["status"] == "running", 30, "a running job")
    browser.log_in(service, f"#/jobs/{job_id}")
    browser.has_text("#job-stop", "Stop this job")
    browser.run("""await page.route("**/cancel", async (route) => {
                       const response = await route.fetch();
                       await page.waitForSelector("#job-retry");
                       await route.fulfill({response});
                   }, {times: 1});""")
    browser.click("#job-stop")
    browser.click("#confirm-yes")
    browser.has_text("#notes", f"Job {job_id} is asked to stop")
    browser.wait("document.getElementById('job-retry').textContent === 'Retry'")
    assert browser.count("#notes .bad") == 0, browser.text("#notes")


# ---- the log --------------------------------------------------------------------------


def test_the_log_is_read_when_it_is_opened(service, browser):
    job_id = quick_job(service, "res://vr_main.tscn", "res://none.tscn")
    service.wait_job(job_id)
    browser.log_in(service)
    browser.run("""lib.asked = [];
                   page.on("request", (request) => lib.asked.push(new URL(request.url()).pathname));""")
    browser.go(f"#/jobs/{job_id}")
    browser.has_text("#job-log summary", "Log")
    assert f"/jobs/{job_id}/log" not in browser.run("return lib.asked")
    no_answer(browser, "**/log")
    browser.click("#job-log summary")
    browser.has_text("#job-log .problem", "The log could not be read: The service cannot be reached.")
    browser.click("#job-log summary")
    browser.click("#job-log summary")
    browser.has_text("#job-log pre", "res://none.tscn")
    lines = service.get(f"/jobs/{job_id}/log").json()["lines"]
    assert len(lines) >= 2
    assert browser.run("return page.locator('#job-log pre div').allTextContents()") == lines


# ---- by label -------------------------------------------------------------------------


def test_filter_by_label(paused, browser):
    service = paused
    label = f"k{secrets.token_hex(4)}"
    art = [quick_job(service, labels={label: "art"}) for _ in range(3)]
    quick_job(service, labels={label: "artists"})
    browser.log_in(service)

    def ids():
        return browser.evaluate("[...document.querySelectorAll('#job-rows .c-id')].map((cell) => cell.textContent)")
    browser.has_text("#job-rows", "queued")
    browser.click("#label-choice")
    browser.type(f"{label}=art")  # it counts as it is typed
    browser.wait("document.querySelectorAll('#job-rows tr').length === 3")
    assert ids() == art[::-1]
    assert browser.text("label.chip:has(input[value=queued])") == "queued 3"
    # Live: what comes later, and only if it has the label.
    other = quick_job(service)
    art.append(quick_job(service, labels={label: "art"}))
    browser.wait("document.querySelectorAll('#job-rows tr').length === 4")
    assert ids() == art[::-1] and other not in ids()
    service.delete(f"/jobs/{art[0]}")
    browser.click("label.chip:has(input[value=cancelled])")
    browser.wait("document.querySelectorAll('#job-rows tr').length === 1")
    assert ids() == [art[0]]
    browser.click("label.chip:has(input[value=''])")
    # The list is read anew: the filter stays.
    browser.fill("#label-choice", "nothing")
    browser.press("Enter")
    browser.has_text("#label-problem", "“nothing” is no label. It is KEY=VALUE")
    assert browser.evaluate("document.getElementById('label-choice').ariaInvalid") == "true"
    assert ids() == art[::-1], "what was chosen before stays"
    art.append(quick_job(service, labels={label: "art"}))
    browser.wait("document.querySelectorAll('#job-rows tr').length === 5")
    assert "is no label" in browser.text("#label-problem"), "and what is said, too"
    no_answer(browser, "**/jobs?label=*")
    browser.fill("#label-choice", f"{label}=none")
    browser.press("Enter")
    browser.has_text("#label-problem", "could not be read")
    browser.has_text("#jobs-empty", "No job is like that.")  # asked again by itself
    assert browser.text("#label-problem") == ""
    browser.fill("#label-choice", "")
    browser.has_text(row(other), "queued")


# ---- the queue ------------------------------------------------------------------------


def test_pause_resume_and_drain(own_service, browser):
    service = own_service
    browser.log_in(service)
    browser.wait("!document.getElementById('queue-pause').hidden")
    assert not browser.count("#queue-banner:visible") and not browser.count("#queue-resume:visible")
    browser.evaluate("document.getElementById('queue-pause').focus()")
    browser.press("Enter")
    browser.has_text("#queue-banner", "The queue is paused")
    assert queue_state(service) == "paused"
    assert browser.focused() == "queue-resume", "what takes it back is where the focus is"
    waiting = quick_job(service)
    browser.has_text(f"{row(waiting)} .badge", "queued")
    browser.go("#/submit")
    browser.has_text("#queue-banner", "The queue is paused")
    browser.go("#/jobs")
    browser.click("#queue-resume")
    browser.has_text(f"{row(waiting)} .badge", "completed")
    assert queue_state(service) == "open" and not browser.count("#queue-banner:visible")

    browser.click("#queue-drain")
    browser.click("#confirm button[value='']")
    assert queue_state(service) == "open"
    browser.click("#queue-drain")
    browser.click("#confirm-yes")
    browser.has_text("#queue-banner", "no new jobs are taken")
    assert queue_state(service) == "draining"
    browser.go("#/submit")
    browser.fill("#paths", "res://vr_main.tscn")
    browser.click("#submit-button")
    browser.has_text("#submit-error", "lets the queue run empty")
    # Another administrator: no event tells.
    service.post("/queue/resume", None)
    browser.wait("document.getElementById('queue-banner').hidden")
    browser.click("#submit-button")
    service.wait_job(submitted(browser))


def add_token(service, scope):
    """A token that nginx knows from now on."""
    token = secrets.token_hex(32)
    path = service.state / "etc/tokens.json"
    known = json.loads(path.read_text())
    known[hashlib.sha256(token.encode()).hexdigest()] = {"name": scope, "scope": scope}
    path.write_text(json.dumps(known))
    os.kill(service.pid("nginx"), signal.SIGHUP)
    wait_until(lambda: requests.get(f"{service.base_url}/jobs?limit=1", timeout=20, headers={
        "Authorization": f"Bearer {token}"}).status_code == 200, 20, "the new token")
    return token


def test_a_token_that_may_not_is_told_so(own_service, browser):
    service = own_service
    token = add_token(service, "read")
    done = quick_job(service)
    service.wait_job(done)
    browser.open(service.base_url)
    browser.fill("#token", token)
    browser.press("Enter")
    browser.wait_live()
    browser.click("#queue-pause")
    browser.has_text("#queue-error", "Only an administrator may do this")
    assert queue_state(service) == "open" and not browser.count("#queue-banner:visible")
    assert browser.violations() == []
    browser.go(f"#/jobs/{done}")
    browser.click("#job-retry")
    browser.has_text("#notes .bad", "This token may not do that: it needs the scope submit.")
    browser.go("#/submit")
    browser.fill("#paths", "res://vr_main.tscn")
    browser.click("#submit-button")
    browser.has_text("#submit-error", "This token may not do that: it needs the scope submit.")
    assert service.get("/jobs?limit=10").json()["count"] == 1


# ---- for everybody --------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
def test_axe_finds_nothing_and_all_fits(service, browser, scheme, width):
    """In each state of what is new: open, asked, refused."""
    labels = {"team": "art", "k" * 63: "v" * 63}
    done = quick_job(service, "res://vr_main.tscn", "res://none.tscn", labels=labels)
    service.wait_job(done)
    running = service.submit("batch_operations", operations("res://slow.tscn", 10000))
    wait_until(lambda: service.job(running)["status"] == "running", 30, "a running job")

    def fine(state):
        assert browser.violations() == [], state
        assert browser.evaluate("document.documentElement.scrollWidth") <= width, state
        assert browser.evaluate("[...document.querySelectorAll('dialog[open]')].every((dialog) => "
                                "dialog.scrollWidth <= dialog.clientWidth)"), state
    try:
        browser.log_in(service, width=width, height=740, scheme=scheme)
        browser.click("#queue-pause")
        browser.has_text("#queue-banner", "paused")
        queued = quick_job(service, labels=labels, priority=-3)
        browser.has_text(row(queued), "queued")
        fine("paused")
        browser.fill("#label-choice", "nothing")
        browser.press("Enter")
        browser.has_text("#label-problem", "no label")
        fine("a label refused")
        browser.fill("#label-choice", "team=art")
        browser.has_text(row(done), "completed")
        fine("filtered by label")
        browser.go(f"#/jobs/{queued}")
        browser.has_text("#job-place", "the next to start")
        fine("a queued job")
        browser.go(f"#/jobs/{running}")
        browser.click("#job-stop")
        browser.has_text("#confirm", "Stop job")
        fine("asked whether to stop")
        browser.click("#confirm button[value='']")
        fine("a running job")
        browser.go(f"#/jobs/{done}")
        no_answer(browser, "**/log")
        browser.click("#job-log summary")
        browser.has_text("#job-log .problem", "could not be read")
        fine("no log")
        browser.click("#job-log summary")
        browser.click("#job-log summary")
        browser.has_text("#job-log pre", "res://none.tscn")
        fine("a log")
        browser.go("#/submit")
        browser.fill("#paths", "res://vr_main.tscn")
        browser.fill("#labels", "nothing")
        browser.click("#submit-button")
        browser.has_text("#submit-error", "no label")
        fine("labels refused")
        browser.go("#/jobs")
        browser.click("#queue-drain")
        browser.has_text("#confirm", "Drain the queue?")
        fine("asked whether to drain")
        browser.click("#confirm-yes")
        browser.has_text("#queue-banner", "draining")
        fine("draining")
    finally:
        service.post("/queue/resume", None)
        service.post(f"/jobs/{running}/cancel", None)
        service.wait_job(running)


# ---- types that the page does not know -------------------------------------------------


def test_a_result_of_a_type_that_is_new(service, browser):
    """As README's example has it: what the page knows nothing of is in the JSON."""
    job_id = quick_job(service, "res://vr_main.tscn", "res://none.tscn")
    service.wait_job(job_id)
    job = shown(service, job_id)
    job["job"].update(type="scene_count", result={"scenes": [
        {"scene_path": "res://a.tscn", "success": True, "node_count": 12},
        {"scene_path": "res://b.tscn", "success": False, "node_count": 0, "error": "It is gone"}]})
    browser.log_in(service)
    browser.run("""await page.route(args.path, (route) => route.fulfill({
                       contentType: "application/json", body: args.body}));""",
                path=f"**/jobs/{job_id}", body=json.dumps(job))
    browser.go(f"#/jobs/{job_id}")
    browser.has_text("#job-body dd", "scene count")
    browser.has_text("#job-body .scenes .wrong", "It is gone")
    browser.click("#job-body summary:text-is('The result as JSON')")
    browser.has_text("#job-body pre", '"node_count": 12')
    assert browser.count("#job-retry-failed") == 1
