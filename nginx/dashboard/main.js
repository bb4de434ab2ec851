// Logging in and out, which page is shown, and how the service is.

import {ask, dropToken, keepToken, looksLikeToken, onRefused, token} from "./api.js";
import {closeDetail, jobEvent, openDetail, readDetail} from "./detail.js";
import {$, now, problem, setText} from "./dom.js";
import {draw, lookBack} from "./history.js";
import {sayListProblem} from "./jobs.js";
import {askAnew} from "./labels.js";
import {lookAtQueue} from "./queue.js";
import {changed, load} from "./store.js";
import {Stream} from "./stream.js";
import "./submit.js";
import {showWebhooks} from "./webhooks.js";

const FAREWELL = "jobq-farewell";
const HEALTH_EVERY = 10000; // ms
const RELOAD_EVERY = 600; // seconds; jobs that have been removed are told by no event
const PAUSE_AFTER = 60000; // ms of nobody looking: a stream holds a connection

// ---- in and out --------------------------------------------------------------------

// Loading the page anew forgets all that it knew.
function leave(why) {
  dropToken();
  sessionStorage.setItem(FAREWELL, why);
  history.replaceState(null, "", location.pathname);
  location.reload();
}

function showLogin() {
  $("login").hidden = false;
  problem($("login-error"), sessionStorage.getItem(FAREWELL) ?? "");
  sessionStorage.removeItem(FAREWELL);
  $("token").focus();
}

$("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const value = $("token").value.trim();
  if (value === "") {
    problem($("login-error"), "Paste the token that packaging/quickstart or your administrator gave you.",
      $("token"));
    return;
  }
  if (!looksLikeToken(value)) {
    problem($("login-error"), "This is no token: it has characters that tokens do not have.", $("token"));
    return;
  }
  setText($("login-error"), "");
  $("login-button").disabled = true;
  try {
    await ask("GET", "/jobs?limit=1", {as: value});
    keepToken(value);
    $("token").value = "";
    enter();
    if (document.querySelector("dialog[open]") === null) {
      $(`${page}-heading`).focus(); // what had the focus is gone
    }
  } catch (error) {
    $("login-button").disabled = false;
    problem($("login-error"), error.status === 401 ? "The service does not know this token."
      : error.message, $("token"));
  }
});

$("logout").addEventListener("click", () => leave("You are logged out."));

let left = false;
onRefused(() => {
  if (!left && !$("app").hidden) {
    left = true;
    leave("The service no longer accepts this token.");
  }
});

// ---- the stream of events ------------------------------------------------------------

let loading = null;
let again = false;
let loadedAt = 0;

// One reading at a time; who comes meanwhile has it read once more.
async function reload() {
  if (loading) {
    again = true;
    return;
  }
  loading = true;
  do {
    again = false;
    try {
      await load();
      loadedAt = now();
      sayListProblem("");
      askAnew();
      lookBack();
      readDetail();
    } catch (error) {
      again = true;
      sayListProblem(`The list could not be read: ${error.message}`);
      await new Promise((done) => {
        setTimeout(done, Math.max(2000, (error.retryAfter ?? 0) * 1000));
      });
    }
  } while (again);
  loading = null;
}

function say(state, text, title = "") {
  $("connection").dataset.state = state;
  setText($("connection"), text);
  $("connection").title = title;
}

let interrupted = 0;
const stream = new Stream("/events", {
  event(name, data) {
    if (name === "reset") {
      reload();
    } else if (name.startsWith("job.")) {
      jobEvent(data);
    }
  },
  state(state, error, fresh) {
    if (state === "live") {
      say("live", "Live", "What happens is shown as it happens");
      if (fresh || now() - loadedAt > RELOAD_EVERY) {
        reload();
      } else {
        readDetail();
        if (interrupted && now() - interrupted > 30) {
          lookBack();
        }
      }
      interrupted = 0;
      look();
    } else {
      interrupted ||= now();
      say("waiting", "Reconnecting…", error?.message ?? "The connection was lost");
    }
  },
});

let pause;
document.addEventListener("visibilitychange", () => {
  clearTimeout(pause);
  if ($("app").hidden) {
    return;
  }
  if (document.hidden) {
    pause = setTimeout(() => stream.stop(), PAUSE_AFTER);
    return;
  }
  if (stream.stopped) {
    say("waiting", "Reconnecting…");
    interrupted ||= now();
    stream.start();
  } else {
    stream.hurry();
  }
  changed();
  draw();
});

// ---- how the service is ----------------------------------------------------------------

async function look() {
  lookAtQueue();
  let text = "";
  try {
    await ask("GET", "/healthz", {as: null});
  } catch (error) {
    if (error.status === 503 && !error.code) {
      text = "The service is not all there: jobs wait, and submitting may be refused, until it is.";
    }
  }
  setText($("health"), text);
  $("health").hidden = text === "";
}

// ---- pages -------------------------------------------------------------------------

const TITLES = {jobs: "Jobs", submit: "Submit a job", webhooks: "Webhooks"};
let page = null;

function route() {
  const [, name = "", id = ""] = location.hash.split("/");
  const wanted = name in TITLES ? name : "jobs";
  const detail = /^\d{1,20}$/.test(id) ? id : "";
  const before = page;
  page = wanted;
  document.title = `${detail ? `${wanted === "jobs" ? "Job" : "Webhook"} ${detail}` : TITLES[wanted]} – jobq`;
  for (const one of Object.keys(TITLES)) {
    $(`page-${one}`).hidden = one !== wanted;
  }
  document.querySelectorAll("nav [data-page]").forEach((link) => {
    if (link.dataset.page === wanted) {
      link.setAttribute("aria-current", "page");
    } else {
      link.removeAttribute("aria-current");
    }
  });
  showWebhooks(wanted === "webhooks" ? detail : null);
  if (wanted === "jobs" && detail) {
    openDetail(detail);
  } else {
    closeDetail();
    if (before !== null && (before !== wanted || wanted === "webhooks")) {
      $(`${wanted}-heading`).focus();
      scrollTo(0, 0);
    }
  }
  draw();
}
addEventListener("hashchange", () => token() && route());

$("skip").addEventListener("click", (event) => {
  event.preventDefault();
  $("content").focus();
});

function enter() {
  $("login").hidden = true;
  $("app").hidden = false;
  route();
  stream.start();
  look();
  setInterval(() => {
    if (!document.hidden) {
      look();
      if (loadedAt && now() - loadedAt > RELOAD_EVERY) {
        reload();
      }
    }
  }, HEALTH_EVERY);
}

if (token()) {
  enter();
} else {
  showLogin();
}
