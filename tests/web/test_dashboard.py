"""The dashboard in a real browser: what a person does with it, and what it says."""

import json
import os
import re
import signal

import pytest
from conftest import start
from receiver import Receiver, answer
from service import ROOT, freeze, thaw, wait_until
from steps import operations, quick_job, row

PAGES = ["#/jobs", "#/submit", "#/webhooks"]


# ---- in and out --------------------------------------------------------------------


def test_asks_for_a_token_and_says_when_it_is_wrong(service, browser):
    browser.open(service.base_url)
    assert browser.focused() == "token" and not browser.count("#app:visible")
    browser.press("Enter")
    browser.has_text("#login-error", "Paste the token")
    for wrong, sentence in (("f" * 64, "The service does not know this token."),
                            ("a ä", "This is no token")):
        browser.fill("#token", wrong)
        browser.click("#login-button")
        browser.has_text("#login-error", sentence)
        assert browser.focused() == "token"
        assert browser.evaluate("sessionStorage.length + localStorage.length") == 0
    browser.fill("#token", service.token)
    browser.click("#login-button")
    browser.wait_live()
    assert not browser.count("#login:visible")


def test_the_token_is_kept_for_the_session_only(service, browser):
    browser.log_in(service)
    stored = browser.evaluate("[Object.values(sessionStorage), Object.values(localStorage), document.cookie]")
    assert stored == [[service.token], [], ""]
    assert service.token not in browser.run("return page.content()")
    browser.run("await page.reload()")
    browser.wait_live()
    # Another tab asks for itself, and so does what begins anew.
    for made in ("context", "await browser.newContext()"):
        assert browser.run(f"""const other = await ({made}).newPage();
                               await other.goto(args.url);
                               const asks = await other.isVisible("#token");
                               await other.close();
                               return asks;""", url=service.base_url)
    browser.go("#/jobs/1")
    browser.evaluate("document.getElementById('job-dialog').close()")
    browser.click("#logout")
    browser.has_text("#login-error", "You are logged out.")
    assert browser.evaluate("sessionStorage.length") == 0 and browser.evaluate("location.hash") == ""
    assert browser.count("#job-rows tr") == 0


def test_a_token_that_is_taken_away_leads_out(project, browser):
    with start(project) as service:
        browser.log_in(service)
        (service.state / "etc/tokens.json").write_text("{}")
        os.kill(service.pid("nginx"), signal.SIGHUP)
        # Nothing is done on the page; and the stream stays with a worker that knows the token.
        browser.has_text("#login-error", "no longer accepts", timeout=60)
        assert browser.evaluate("sessionStorage.length") == 0


def test_the_service_away_at_login_is_said(own_service, browser):
    browser.open(own_service.base_url)
    browser.run("await context.setOffline(true)")
    browser.fill("#token", own_service.token)
    browser.press("Enter")
    browser.has_text("#login-error", "cannot be reached")
    browser.run("await context.setOffline(false)")
    browser.press("Enter")
    browser.wait_live()


# ---- jobs ---------------------------------------------------------------------------


def test_submit_see_it_run_and_complete(service, browser):
    browser.log_in(service, "#/submit")
    browser.click("input[value=batch_operations]")
    browser.fill("#paths", "\n".join(["res://slow.tscn"] * 200 + ["", "get_info res://vr_main.tscn"]))
    browser.has_text("#paths-hint", "201 scenes")
    browser.click("#submit-button")
    browser.has_text("#submitted", "Queued as job")
    job_id = re.search(r"\d+", browser.text("#submitted"))[0]
    browser.click("header a[data-page=jobs]")
    # Live: the same row passes through its states, without any click.
    browser.has_text(f"{row(job_id)} .badge", "running")
    browser.has_text("#slots li", f"Job {job_id}")
    half = f"document.querySelector('#job-rows a[href=\"#/jobs/{job_id}\"]').closest('tr').querySelector('progress').value"
    first = browser.wait(f"{half} > 0.02 && {half} < 1 && {half}")
    browser.wait(f"{half} > {first}")
    browser.has_text(f"{row(job_id)} .badge", "completed")
    browser.has_text("#notes", f"Job {job_id} is completed")
    assert browser.evaluate(half) == 1
    browser.wait("document.getElementById('slots-summary').textContent === '0 of 3 at work'")
    operations = service.job(job_id)["result"]["operations"]
    assert [operations[0]["action"], operations[200]["action"]] == ["validate", "get_info"]
    assert operations[200]["scene_path"] == "res://vr_main.tscn"


def test_a_cache_warming_is_submitted(service, browser):
    browser.log_in(service, "#/submit")
    browser.click("input[value=cache_warming]")
    assert not browser.count("#paths:visible")
    browser.click("input[value=stale]")
    browser.click("#submit-button")
    browser.click("#submitted a")
    browser.has_text("#job-dialog .badge", "completed")
    browser.has_text("#job-dialog dt", "Scenes warmed")


def test_refusals_are_sentences_about_a_line(service, browser):
    browser.log_in(service, "#/submit")
    browser.click("#submit-button")
    browser.has_text("#submit-error", "Name at least one")
    assert browser.focused() == "paths"
    browser.fill("#paths", "res://vr_main.tscn\n\nres://../etc/passwd.tscn\n")
    browser.click("#submit-button")
    browser.has_text("#submit-error", "Line 3, res://../etc/passwd.tscn: The scene path")
    assert browser.evaluate("document.getElementById('paths').ariaInvalid") == "true"
    browser.evaluate("""{ const paths = document.getElementById("paths");
                          paths.value = "res://vr_main.tscn\\n".repeat(10001);
                          paths.dispatchEvent(new Event("input")); }""")
    browser.click("#submit-button")
    browser.has_text("#submit-error", "These are 10,001")
    browser.fill("#paths", "res://vr_main.tscn")
    browser.click("#submit-button")
    browser.has_text("#submitted", "Queued as job")
    assert browser.text("#submit-error") == ""


def test_a_failure_of_the_network_makes_no_second_job(service, browser):
    """What was sent, and lost its answer, is sent again under its key."""
    before = len(service.get("/jobs?limit=10000").json()["jobs"])
    browser.log_in(service, "#/submit")
    browser.fill("#paths", "res://vr_main.tscn")
    browser.run("""await page.route("**/jobs", async (route) => {
                       await route.fetch();
                       await route.abort();
                   }, {times: 1});""")
    browser.click("#submit-button")
    browser.has_text("#submit-error", "cannot be reached")
    browser.click("#submit-button")
    browser.has_text("#submitted", "Queued as job")
    assert len(service.get("/jobs?limit=10000").json()["jobs"]) == before + 1


def test_details_with_errors_of_each_scene(service, browser):
    job_id = quick_job(service, "res://vr_main.tscn", "res://none.tscn", "res://broken.tscn")
    service.wait_job(job_id)
    browser.log_in(service)
    browser.click(f'#job-rows a[href="#/jobs/{job_id}"]')
    browser.wait("document.activeElement.id === 'job-heading'")
    browser.has_text("#job-body dd", "1 of 3")
    browser.has_text("#job-body h3", "2 scenes failed")
    failed = browser.run("return page.locator('#job-body .scenes').first().locator('li').allInnerTexts()")
    assert len(failed) == 2
    assert "res://none.tscn" in failed[0] and "Scene not found" in failed[0]
    assert "res://broken.tscn" in failed[1] and "line 4" in failed[1]
    browser.click("summary:has-text('All 3 scenes')")
    browser.has_text("#job-body details li", "res://vr_main.tscn")
    browser.click("summary:has-text('as JSON')")
    browser.has_text("pre", '"scenes_loaded": 1')
    # Leaving gives the focus back to where it came from.
    browser.press("Escape")
    browser.wait("location.hash === '#/jobs'")
    assert browser.focused() == f"Job {job_id}"


def test_details_of_a_batch(service, browser):
    job_id = service.submit("batch_operations", {"mode": "transactional", "operations": [
        {"action": "get_info", "scene_path": "res://vr_main.tscn"},
        {"action": "validate", "scene_path": "res://broken.tscn"}]})
    assert service.wait_job(job_id)["status"] == "failed"
    browser.log_in(service, f"#/jobs/{job_id}")
    browser.has_text("#job-body .problem", "operation 1")
    browser.has_text("#job-body dt", "Rolled back")
    browser.has_text("#job-body .scenes li", "res://broken.tscn")
    browser.has_text("#job-body .wrong", "line 4")


def test_ten_thousand_scenes_in_one_result(service, browser):
    job_id = quick_job(service, *[f"res://none/{i}.tscn" for i in range(10000)])
    service.wait_job(job_id)
    browser.log_in(service, f"#/jobs/{job_id}")
    browser.has_text("#job-body h3", "10,000 scenes failed")
    assert browser.count("#job-body li") == 100
    browser.click("#job-body button:has-text('Show 100 more')")
    assert browser.count("#job-body li") == 200
    assert "none/100.tscn" in browser.focused()


def test_a_job_that_is_not_there(service, browser):
    browser.log_in(service, "#/jobs/99999999")
    browser.has_text("#job-body", "There is no such job")


def test_cancel(service, browser, busy):
    first, second = quick_job(service), quick_job(service)
    browser.log_in(service)
    browser.has_text(f"{row(first)} .badge", "queued")
    browser.has_text("#depth-summary", "2 jobs wait")
    browser.click(f"{row(first)} button")
    browser.has_text(f"{row(first)} .badge", "cancelled")
    assert browser.focused() == f"Job {first}", "the button has gone"
    browser.click(f'#job-rows a[href="#/jobs/{second}"]')
    browser.click("#job-cancel")
    browser.click("#confirm button[value='']")
    assert service.job(second)["status"] == "queued"
    browser.click("#job-cancel")
    browser.click("#confirm-yes")
    browser.has_text("#job-body .badge", "cancelled")
    assert [service.job(one)["status"] for one in (first, second)] == ["cancelled"] * 2
    browser.press("Escape")
    # Running ones cannot be, and offer nothing.
    assert browser.count(f"{row(busy[0])} button") == 0


def test_cancelling_too_late_is_said(service, browser, busy):
    job_id = quick_job(service)
    browser.log_in(service)
    browser.has_text(f"{row(job_id)} .badge", "queued")
    browser.run("""await page.route("**/jobs/*", (route) => route.request().method() !== "DELETE"
                       ? route.continue() : route.fulfill({status: 400,
                       contentType: "application/json", body: JSON.stringify({success: false,
                       code: "not_cancellable", error: "Can only cancel queued jobs"})}));""")
    browser.click(f"{row(job_id)} button")
    browser.has_text("#notes", "Can only cancel queued jobs.")
    browser.has_text(f"{row(job_id)} .badge", "queued")


def test_filters(service, browser, busy):
    quick = quick_job(service)
    failed = service.submit("batch_operations", {"mode": "transactional", **operations("res://none.tscn", 1)})
    service.delete(f"/jobs/{quick}")
    browser.log_in(service)

    def shown():
        return browser.evaluate("[...document.querySelectorAll('#job-rows tr')].map((row) => "
                                "row.querySelector('.badge').textContent + ' ' + "
                                "row.querySelector('.c-type').textContent)")
    browser.has_text(f"{row(failed)} .badge", "queued")
    browser.click("label.chip:has(input[value=running])")
    browser.wait("document.querySelectorAll('#job-rows tr').length === 3")
    assert shown() == ["running batch operations"] * 3
    browser.click("label.chip:has(input[value=cancelled])")
    browser.has_text(row(quick), "cancelled")
    browser.choose("#type-choice", "scene_preload")
    browser.wait("[...document.querySelectorAll('#job-rows .c-type')].every((cell) => "
                 "cell.textContent === 'scene preload')")
    assert set(shown()) == {"cancelled scene preload"}
    browser.choose("#type-choice", "batch_operations")
    browser.click("label.chip:has(input[value=queued])")
    browser.wait("document.querySelectorAll('#job-rows tr').length === 1")
    assert shown() == ["queued batch operations"]
    # A filtered list is live, too.
    service.delete(f"/jobs/{failed}")
    browser.has_text("#jobs-empty", "No job is like that.")
    listed = service.get("/jobs?type=batch_operations&limit=1000").json()["jobs"]
    browser.click("label.chip:has(input[value=''])")
    browser.wait(f"document.querySelectorAll('#job-rows tr').length === {min(len(listed), 100)}")


def test_the_statuses_are_those_of_the_api(service, browser):
    described = json.loads((ROOT / "nginx/openapi.json").read_text())
    browser.log_in(service)
    assert browser.evaluate("[...document.querySelectorAll('[name=status]')].map((one) => one.value)") == \
        ["", *described["components"]["schemas"]["JobStatus"]["enum"]]


def test_what_scenes_are_called_is_no_markup(service, browser):
    path = "res://<img src=x onerror=alert(1)>.tscn"
    job_id = quick_job(service, path)
    service.wait_job(job_id)
    browser.log_in(service, f"#/jobs/{job_id}")
    browser.has_text("#job-body .scenes .path", path)
    assert browser.count("img") == 0


# ---- webhooks -----------------------------------------------------------------------


def test_webhooks(service, browser):
    with Receiver() as receiver:
        receiver.script("/hook", [answer(200), answer(410)])
        browser.log_in(service, "#/webhooks")
        browser.has_text("#page-webhooks", "None yet.")
        browser.click("#webhook-new")
        assert browser.focused() == "webhook-url"
        browser.click("#webhook-create")
        browser.has_text("#webhook-error", "Give the address")
        browser.fill("#webhook-url", "ftp://example.com/")
        browser.click("#webhook-create")
        browser.has_text("#webhook-error", "url")
        browser.fill("#webhook-url", receiver.url("/hook"))
        browser.fill("#webhook-secret", "a secret of some length")
        browser.click("#webhook-create")
        browser.has_text("#page-webhooks h2", "Webhook 1")
        browser.has_text("#page-webhooks dd", "job.completed, job.failed")
        browser.has_text("#page-webhooks dd", "deliveries are signed")
        assert service.get("/webhooks/1").json()["webhook"]["events"] == ["job.completed", "job.failed"]

        browser.click("#webhook-test")
        [ping] = receiver.wait(1, path="/hook")
        assert ping.kind == "ping" and ping.headers["x-webhook-signature"]
        browser.has_text("#page-webhooks tbody tr", "delivered")
        browser.has_text("#page-webhooks tbody tr", "ping")

        # Again: its receiver wants no more, so it is disabled, and the page says so.
        browser.click("[id^=again-]")
        receiver.wait(2, path="/hook")
        browser.has_text("#page-webhooks h2 + .badge", "disabled")
        browser.has_text("#page-webhooks tbody tr", "failed")
        browser.click("#webhook-test")
        browser.has_text("#notes .bad", "disabled")
        browser.click("#webhook-toggle")
        browser.has_text("#page-webhooks h2 + .badge", "enabled")
        browser.wait("document.activeElement.id === 'webhook-toggle'")
        browser.click("#webhook-toggle")
        browser.has_text("#page-webhooks h2 + .badge", "disabled")

        browser.click("#webhooks-back")
        browser.has_text("#page-webhooks td", receiver.url("/hook"))
        browser.click("#page-webhooks td a")
        browser.click("#webhook-delete")
        browser.click("#confirm-yes")
        browser.has_text("#page-webhooks", "None yet.")
        assert service.get("/webhooks").json()["count"] == 0
        browser.go("#/webhooks/1")
        browser.has_text("#page-webhooks", "Webhook not found.")


# ---- bad days -----------------------------------------------------------------------


def see_reconnecting(browser):
    """From now on it is noted whether the page says so, however shortly."""
    browser.evaluate("""(() => {
        const pill = document.getElementById("connection");
        window.pills = [pill.textContent];
        new MutationObserver(() => window.pills.push(pill.textContent)).observe(pill,
            {childList: true, characterData: true, subtree: true});
    })()""")


@pytest.mark.parametrize("names, number", [
    (("jobq-api", "jobqd"), signal.SIGKILL), (("jobq-api",), signal.SIGTERM),
    (("nginx",), signal.SIGTERM)], ids=["both killed", "jobq-api restarted", "nginx restarted"])
def test_restarted_while_open(own_service, browser, names, number):
    """The page says so, comes back, and misses nothing."""
    service = own_service
    before = quick_job(service)
    service.wait_job(before)
    browser.log_in(service)
    browser.has_text(f"{row(before)} .badge", "completed")
    see_reconnecting(browser)
    killed = {name: service.kill(name, number) for name in names}
    browser.wait("window.pills.includes('Reconnecting…')")
    wait_until(lambda: all(service.pid(name) != pid for name, pid in killed.items()), 30, "new ones")
    service.wait_healthy()
    after = quick_job(service)
    browser.has_text(f"{row(after)} .badge", "completed")
    browser.wait_live()
    assert browser.count(row(before)) == 1
    assert browser.evaluate("window.pills.at(-1)") == "Live"


def test_stopped_and_started_while_open(own_service, browser):
    """All of it, for as long as one likes; what happened meanwhile is there afterwards."""
    service = own_service
    browser.log_in(service)
    see_reconnecting(browser)
    service.stop()
    browser.wait("window.pills.includes('Reconnecting…')")
    browser.go("#/webhooks")
    browser.has_text("#page-webhooks .problem", "cannot be reached")
    browser.go("#/submit")
    browser.fill("#paths", "res://vr_main.tscn")
    browser.click("#submit-button")
    browser.has_text("#submit-error", "cannot be reached")
    browser.go("#/jobs")
    service.start()
    job_id = quick_job(service)
    service.wait_job(job_id)
    browser.has_text(f"{row(job_id)} .badge", "completed")
    browser.wait_live()
    browser.go("#/webhooks")
    browser.has_text("#page-webhooks", "None yet.")


def test_another_table_has_the_list_read_anew(own_service, browser):
    service = own_service
    jobs = [quick_job(service) for _ in range(3)]
    for one in jobs:
        service.wait_job(one)
    browser.log_in(service)
    browser.has_text(row(jobs[-1]), "completed")
    browser.run("await context.setOffline(true)")
    service.stop()
    (service.state / "jobq.db").unlink()
    for name in service.state.glob("jobq.db-*"):
        name.unlink()
    service.ctl("remove-table")
    service.start()
    browser.run("await context.setOffline(false)")
    browser.wait("document.querySelectorAll('#job-rows tr').length === 0")
    browser.has_text("#jobs-empty", "There are no jobs yet")


def test_no_supervisor_is_said(own_service, browser):
    service = own_service
    browser.log_in(service)
    quickstart = service.process.pid
    freeze(quickstart)  # or it starts again what dies
    try:
        os.kill(service.pid("jobqd"), signal.SIGKILL)
        browser.has_text("#health", "not all there")
    finally:
        thaw(quickstart)
    service.wait_healthy()
    browser.wait("document.getElementById('health').hidden")


# ---- for everybody --------------------------------------------------------------------


def test_by_keyboard_alone(service, browser):
    """Logs in, submits, looks at the job, filters, and logs out: no mouse."""
    def tab_to(wanted, key="Tab"):
        for _ in range(60):
            browser.press(key)
            if browser.focused() == wanted:
                return
        raise AssertionError(f"{wanted} is not reached")

    browser.open(service.base_url)
    browser.type(service.token)
    browser.press("Enter")
    browser.wait_live()
    assert browser.focused() == "jobs-heading"
    tab_to("skip", "Shift+Tab")
    browser.press("Enter")
    assert browser.focused() == "content"
    browser.press("Shift+Tab", "Shift+Tab", "Shift+Tab")
    assert browser.focused() == "Submit"
    browser.press("Enter")
    browser.wait("document.activeElement.id === 'submit-heading'")
    browser.press("Tab")
    assert browser.evaluate("document.activeElement.value") == "scene_preload"
    browser.press("ArrowDown")
    assert browser.evaluate("document.activeElement.value") == "batch_operations"
    tab_to("paths")
    browser.type("res://vr_main.tscn")
    tab_to("submit-button")
    browser.press("Enter")
    browser.has_text("#submitted", "Queued as job")
    job_id = re.search(r"\d+", browser.text("#submitted"))[0]
    tab_to(f"job {job_id}")
    browser.press("Enter")
    browser.wait("document.activeElement.id === 'job-heading'")
    browser.has_text("#job-body .badge", "completed")
    tab_to("job-close")
    browser.press("Enter")
    browser.wait("!document.getElementById('job-dialog').open")
    browser.wait(f"document.activeElement.getAttribute('aria-label') === 'Job {job_id}'")
    for _ in range(5):
        browser.press("Shift+Tab")
        if browser.evaluate("document.activeElement.name") == "status":
            break
    browser.press("ArrowLeft")
    assert browser.evaluate("document.activeElement.value") == "cancelled"
    assert browser.evaluate("document.querySelector('[name=status]:checked').value") == "cancelled"
    assert browser.evaluate("getComputedStyle(document.querySelector('.chip input:checked + span'))"
                            ".outlineStyle") == "solid", "where the focus is can be seen"
    tab_to("logout", "Shift+Tab")
    browser.press("Enter")
    browser.has_text("#login-error", "You are logged out.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390, 320])
def test_axe_finds_nothing_and_all_fits(service, browser, scheme, width, busy):
    queued = quick_job(service, "res://none.tscn")
    done = service.get("/jobs?status=completed&type=scene_preload&limit=1").json()["jobs"]
    made = service.post("/webhooks", {"url": "http://127.0.0.1:9/" + "a" * 100, "events": ["*"]}).json()
    hook = made["webhook_id"]
    service.post(f"/webhooks/{hook}/test", None)
    try:
        browser.open(service.base_url, width=width, height=800, scheme=scheme)
        assert browser.violations() == []
        browser.fill("#token", "wrong")
        browser.press("Enter")
        browser.has_text("#login-error", "does not know")
        assert browser.violations() == []
        browser.fill("#token", service.token)
        browser.press("Enter")
        browser.wait_live()
        browser.has_text(f"{row(queued)} .badge", "queued")
        places = [*PAGES, f"#/webhooks/{hook}", f"#/jobs/{queued}", f"#/jobs/{busy[0]}"]
        places += [f"#/jobs/{job['id']}" for job in done]
        for place in places:
            browser.go(place)
            browser.wait("document.querySelector('main:not([hidden])') && "
                         "!/Reading…/.test(document.body.innerText)")
            assert browser.violations() == [], place
            assert browser.evaluate("document.documentElement.scrollWidth") <= width, place
        browser.go("#/submit")
        browser.click("input[value=batch_operations]")
        browser.fill("#paths", "nothing")
        browser.click("#submit-button")
        browser.has_text("#submit-error", "Line 1")
        assert browser.violations() == []
        browser.go("#/webhooks")
        browser.click("#webhook-new")
        assert browser.violations() == []
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
    finally:
        service.delete(f"/webhooks/{hook}")


def test_the_policy_is_in_force(service, browser):
    """What would get in by a hole in the page gets nowhere."""
    browser.log_in(service)
    assert browser.evaluate("""(async () => {
        const tries = [];
        const attempt = async (run) => {
            try {
                tries.push(await run() ?? null);
            } catch (error) {
                tries.push(error.name);
            }
        };
        await attempt(() => { document.body.innerHTML += "<b>x</b>"; });
        await attempt(() => {
            const script = document.createElement("script");
            script.textContent = "window.inside = 1";
            document.head.append(script);
        });
        await attempt(() => {
            const text = document.createElement("p");
            text.setAttribute("style", "color: red");
            return text.style.color;
        });
        await attempt(() => fetch("http://127.0.0.2:1/"));
        return [tries, window.inside ?? null];
    })()""") == [["TypeError", "TypeError", "", "TypeError"], None]
    browser.expected = [""]  # that the console tells of all this is right
    wait_until(lambda: any("policy: connect-src" in line for line in browser.said()))
