// The page "Jobs": slots, and the list.

import {cancel} from "./actions.js";
import {timesOf} from "./api.js";
import {$, action, badge, bar, count, duration, h, now, problem, setText, time,
  words} from "./dom.js";
import {sample} from "./history.js";
import {chooseLabel, isLabel, labelled, LABEL_RULE} from "./labels.js";
import {changed, jobs, onChange, STATUSES} from "./store.js";

const ROWS = 100;
const SLOTS = 3;

// ---- slots -------------------------------------------------------------------------

const slots = Array.from({length: SLOTS}, () => {
  const link = h("a");
  const kind = h("span", {class: "faint"});
  const since = h("span", {class: "faint"});
  const progress = bar("Progress");
  const busy = h("div", {}, h("div", {class: "row"}, link, kind, since), progress.box);
  const idle = h("p", {class: "faint"}, "free");
  const item = h("li", {}, busy, idle);
  $("slots").append(item);
  return {item, link, kind, since, progress, busy, idle, job: null};
});
const looked = new Set();

function showSlots(running) {
  const free = slots.filter((slot) => !running.includes(slot.job));
  // A job stays where it is shown, whoever else ends.
  running.filter((job) => !slots.some((slot) => slot.job === job)).slice(0, free.length)
    .forEach((job, i) => {
      free[i].next = job;
    });
  for (const slot of slots) {
    if (free.includes(slot)) {
      slot.job = slot.next ?? null;
      slot.next = null;
    }
    const job = slot.job;
    slot.busy.hidden = job === null;
    slot.idle.hidden = job !== null;
    if (job === null) {
      continue;
    }
    setText(slot.link, `Job ${job.id}`);
    slot.link.setAttribute("href", `#/jobs/${job.id}`);
    setText(slot.kind, words(job.type));
    slot.progress.set(job);
    if (!job.started_at && !looked.has(job.id)) {
      looked.add(job.id); // the list does not say since when
      timesOf(job.id).then((times) => {
        job.started_at ??= times.started_at;
      }).catch(() => looked.delete(job.id));
    }
  }
  setText($("slots-summary"), `${running.length} of ${SLOTS} at work`);
  showElapsed();
}

function showElapsed() {
  for (const {job, since} of slots) {
    if (job !== null) {
      setText(since, job.started_at ? `for ${duration(now() - job.started_at)}` : "");
    }
  }
}
setInterval(showElapsed, 1000);

// ---- filters -----------------------------------------------------------------------

const filter = {status: "", type: "", label: ""};
const chips = new Map();
// null: at the newest; else the number of the first job shown.
let anchor = null;

for (const status of ["", ...STATUSES]) {
  const number = h("span", {class: "number"});
  const input = h("input", {type: "radio", name: "status", value: status});
  input.checked = status === "";
  input.addEventListener("change", () => {
    filter.status = status;
    anchor = null;
    changed();
  });
  $("status-choices").append(h("label", {class: "chip"}, input, h("span", {}, status || "all", " ", number)));
  chips.set(status, number);
}
$("type-choice").addEventListener("change", (event) => {
  filter.type = event.target.value;
  anchor = null;
  changed();
});

// What is typed counts once it is a label; that it is none is said when it is left.
function readLabel(done) {
  const text = $("label-choice").value.trim();
  const good = text === "" || isLabel(text);
  if (good || done) {
    problem($("label-problem"), good ? "" : `“${text}” is no label. ${LABEL_RULE}`);
    $("label-choice").toggleAttribute("aria-invalid", false);
  }
  if (!good && done) {
    $("label-choice").setAttribute("aria-invalid", "true");
  }
  if (good && text !== filter.label) {
    filter.label = text;
    anchor = null;
    chooseLabel(text);
  }
}
let typing;
$("label-choice").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(readLabel, 400, false);
});
$("label-choice").addEventListener("change", () => {
  clearTimeout(typing);
  readLabel(true);
});
$("filters").addEventListener("submit", (event) => event.preventDefault());

// ---- the list ----------------------------------------------------------------------

const rows = new Map(); // id → row, of those shown

function makeRow(job) {
  const link = h("a", {href: `#/jobs/${job.id}`, "aria-label": `Job ${job.id}`}, job.id);
  const progress = bar(`Progress of job ${job.id}`);
  const cell = (name, ...content) => h("td", {role: "cell", class: name}, ...content);
  const status = cell("c-status");
  const actions = cell("c-actions");
  const row = h("tr", {role: "row"}, cell("c-id", link), cell("c-type", words(job.type)), status,
    cell("c-progress", progress.box), cell("c-created", time(job.created_at)), actions);
  return {row, link, status, progress, actions, version: null, state: null};
}

function fillRow(parts, job) {
  if (parts.version === job.version) {
    return;
  }
  parts.version = job.version;
  parts.progress.set(job);
  if (parts.state === job.status) {
    return;
  }
  parts.state = job.status;
  parts.status.replaceChildren(badge(job.status));
  if (job.status === "queued") {
    const button = h("button", {type: "button", "aria-label": `Cancel job ${job.id}`}, "Cancel");
    parts.actions.replaceChildren(action(button, () => cancel(job.id)));
  } else if (parts.actions.firstChild) {
    const focused = parts.actions.contains(document.activeElement);
    parts.actions.replaceChildren();
    if (focused) {
      parts.link.focus();
    }
  }
}

let shownList = [];
let start = 0;

function showRows() {
  const shown = shownList.slice(start, start + ROWS);
  const wanted = new Set(shown.map((job) => job.id));
  for (const [id, parts] of rows) {
    if (!wanted.has(id)) {
      parts.row.remove();
      rows.delete(id);
    }
  }
  let at = $("job-rows").firstChild;
  for (const job of shown) {
    let parts = rows.get(job.id);
    if (parts === undefined) {
      parts = makeRow(job);
      rows.set(job.id, parts);
    }
    fillRow(parts, job);
    if (parts.row === at) {
      at = at.nextSibling;
    } else {
      $("job-rows").insertBefore(parts.row, at);
    }
  }
  const none = shown.length === 0;
  $("jobs-empty").hidden = !none;
  $("jobs").hidden = none;
  setText($("jobs-empty"), !jobs.loaded ? "Reading the list…"
    : !labelled().known ? `Looking for jobs with ${filter.label}…`
    : filter.status || filter.type || filter.label ? "No job is like that." : "There are no jobs yet. Submit one?");
  setText($("jobs-range"), none ? "" : `${count(start + 1)} to ${count(start + shown.length)} of `
    + `${count(shownList.length)}${jobs.from > 0 ? "; the latest only" : ""}`);
  $("newer").hidden = $("newest").hidden = $("older").hidden = shownList.length <= ROWS;
  // Not `disabled`, which would take the focus away from who has just pressed it.
  $("newer").setAttribute("aria-disabled", start === 0);
  $("newest").setAttribute("aria-disabled", start === 0);
  $("older").setAttribute("aria-disabled", start + ROWS >= shownList.length);
}

function show() {
  const counts = Object.fromEntries(["", ...STATUSES].map((status) => [status, 0]));
  const running = [];
  const {ids} = labelled();
  let queued = 0;
  shownList = [];
  const all = jobs.all();
  for (let i = all.length - 1; i >= 0; i--) {
    const job = all[i];
    if (job.status === "running") {
      running.push(job);
    } else if (job.status === "queued") {
      queued++;
    }
    if (filter.type && job.type !== filter.type || ids !== null && !ids.has(job.id)) {
      continue;
    }
    counts[""]++;
    counts[job.status]++;
    if (!filter.status || job.status === filter.status) {
      shownList.push(job);
    }
  }
  if (jobs.loaded) {
    sample(queued);
  }
  showSlots(running.reverse());
  chips.forEach((number, status) => setText(number, count(counts[status])));
  start = anchor === null ? 0 : shownList.findIndex((job) => job.number <= anchor);
  if (start < 0) {
    start = Math.max(0, shownList.length - ROWS);
  }
  showRows();
}
onChange(show);

function turn(to) {
  start = Math.max(0, to);
  anchor = start === 0 ? null : shownList[start]?.number ?? null;
  show();
  $("jobs-heading").scrollIntoView({block: "start"});
}
const turning = (id, to) => $(id).addEventListener("click", () => {
  if ($(id).getAttribute("aria-disabled") !== "true") {
    turn(to());
  }
});
turning("newest", () => 0);
turning("newer", () => start - ROWS);
turning("older", () => start + ROWS);

export const focusRow = (id) => rows.get(id)?.link.focus();
export const sayListProblem = (text) => problem($("jobs-notice"), text);
