// The page "Jobs": slots, the list, and a job's details.

import {ask, timesOf} from "./api.js";
import {$, action, confirm, count, duration, h, longList, note, now, plural, problem, setText,
  time, words} from "./dom.js";
import {sample} from "./history.js";
import {changed, finished, forget, jobs, onChange, STATUSES, tell} from "./store.js";

const ROWS = 100;
const SLOTS = 3;
const percent = (job) => `${Math.round(job.progress * 100)}%`;

// ---- small parts -------------------------------------------------------------------

const badge = (status) => h("span", {class: "badge", "data-status": status}, status);

function bar(label) {
  const progress = h("progress", {max: 1, value: 0, "aria-label": label});
  const text = h("span", {class: "percent", "aria-hidden": "true"});
  return {box: h("span", {class: "bar"}, progress, text), set(job) {
    if (progress.value !== job.progress) {
      progress.value = job.progress;
    }
    progress.dataset.status = job.status;
    setText(text, percent(job));
  }};
}

export async function cancel(id) {
  await ask("DELETE", `/jobs/${id}`);
  note(`Job ${id} is cancelled`);
}

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

const filter = {status: "", type: ""};
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
    : filter.status || filter.type ? "No job is like that." : "There are no jobs yet. Submit one?");
  setText($("jobs-range"), none ? "" : `${count(start + 1)} to ${count(start + shown.length)} of `
    + `${count(shownList.length)}${jobs.cut ? "; the latest only" : ""}`);
  $("newer").hidden = $("newest").hidden = $("older").hidden = shownList.length <= ROWS;
  // Not `disabled`, which would take the focus away from who has just pressed it.
  $("newer").setAttribute("aria-disabled", start === 0);
  $("newest").setAttribute("aria-disabled", start === 0);
  $("older").setAttribute("aria-disabled", start + ROWS >= shownList.length);
}

function show() {
  const counts = Object.fromEntries(["", ...STATUSES].map((status) => [status, 0]));
  const running = [];
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
    if (filter.type && job.type !== filter.type) {
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

// ---- a job's details ---------------------------------------------------------------

const dialog = $("job-dialog");
let detail = null; // the id of the job shown
let drawn = null; // what of it is on the page

function facts(pairs) {
  return h("dl", {}, ...pairs.filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

const spanned = (job) => job.started_at && job.completed_at
  ? duration(job.completed_at - job.started_at) : null;

// What went wrong with one scene, in sentences.
function complaints(entry) {
  const result = entry.result ?? {};
  return [...entry.error ? [entry.error] : [], ...result.errors ?? []];
}

function sceneItem(entry) {
  const wrong = entry.success ? [] : complaints(entry);
  const warnings = entry.result?.warnings ?? [];
  const info = entry.result?.scene_info ?? entry.result ?? {};
  const about = [entry.action && words(entry.action),
    info.root_type && `${info.root_name} (${info.root_type})`,
    typeof info.node_count === "number" && plural(info.node_count, "node"),
    typeof info.size === "number" && plural(info.size, "byte"),
    Array.isArray(info.dependencies) && plural(info.dependencies.length, "dependency", "dependencies"),
  ].filter(Boolean).join(", ");
  return h("li", {class: entry.success ? "good" : "bad"},
    h("span", {class: "path"}, entry.scene_path),
    h("span", {class: "verdict"}, entry.success ? "ok" : "failed"),
    about ? h("span", {class: "faint"}, about) : null,
    ...wrong.map((text) => h("p", {class: "wrong"}, text)),
    ...warnings.map((text) => h("p", {class: "faint"}, `warning: ${text}`)));
}

// A part that is only made when it is opened.
function folded(summary, make) {
  const box = h("details", {}, h("summary", {}, summary));
  box.addEventListener("toggle", () => {
    if (box.open && box.childElementCount === 1) {
      box.append(make());
    }
  });
  return box;
}

function resultOf(job) {
  const result = job.result;
  const entries = result.scenes ?? result.operations ?? [];
  const failed = entries.filter((entry) => !entry.success);
  const parts = [];
  if (result.scenes) {
    parts.push(facts([["Scenes loaded", `${count(result.scenes_loaded)} of ${count(result.total_scenes)}`]]));
  } else if (result.operations) {
    parts.push(facts([["Successful", count(result.successful)], ["Failed", count(result.failed)],
      ["Of", count(result.total)], ["Mode", result.mode],
      ["Rolled back", result.rollback ? "yes: what it had put into the cache was taken out" : null]]));
  } else {
    parts.push(facts([["Scenes warmed", result.scenes_warmed], ["Scenes failed", result.scenes_failed],
      ["Files", result.files], ["Bytes", result.bytes], ["Took (ms)", result.duration_ms]]
      .map(([name, value]) => [name, typeof value === "number" ? count(value) : null])));
  }
  if (failed.length > 0) {
    parts.push(h("h3", {}, plural(failed.length, "scene failed", "scenes failed")),
      longList(failed, sceneItem, {class: "scenes", "aria-label": "Scenes that failed"}));
  }
  if (entries.length > 0) {
    parts.push(folded(`All ${plural(entries.length, result.scenes ? "scene" : "operation")}`,
      () => longList(entries, sceneItem, {class: "scenes"})));
  }
  parts.push(folded("The result as JSON", () => {
    const text = JSON.stringify(result, null, 1);
    return h("pre", {tabindex: 0, role: "region", "aria-label": "The result as JSON"}, text.length > 60000
      ? `${text.slice(0, 60000)}\n… all of it: GET /jobs/${job.id}` : text);
  }));
  return parts;
}

function drawDetail(job) {
  setText($("job-heading"), `Job ${job.id}`);
  if (drawn?.id === job.id && drawn.status === job.status) {
    drawn.bar.set(job);
    return;
  }
  const progress = bar("Progress");
  progress.set(job);
  drawn = {id: job.id, status: job.status, bar: progress};
  const focused = $("job-body").contains(document.activeElement);
  $("job-body").replaceChildren(
    h("p", {class: "row", role: "status"}, badge(job.status), progress.box),
    facts([["Type", words(job.type)], ["Created", time(job.created_at)],
      ["Started", job.started_at ? time(job.started_at) : "not yet"],
      ["Ended", job.completed_at ? time(job.completed_at) : "not yet"], ["Ran for", spanned(job)]]
      .filter(([name, value]) => !(value === "not yet" && job.status === "cancelled" && name === "Started"))),
    ...job.error ? [h("p", {class: "problem"}, job.error)] : [],
    ...job.status === "queued" ? [action(h("button", {type: "button", class: "danger", id: "job-cancel"},
      "Cancel this job"), async () => {
      if (await confirm(`Cancel job ${job.id}?`, "It has not started, and never will.", "Cancel it")) {
        await cancel(job.id);
      }
    })] : [],
    ...job.result ? [h("h3", {}, "Result"), ...resultOf(job)] : []);
  if (focused) {
    $("job-heading").focus();
  }
}

// What an event says of a job: the list gets its part, the details all.
export function jobEvent(job) {
  tell(job);
  if (job.id === detail) {
    drawDetail(job);
  }
}

export async function readDetail() {
  const id = detail;
  if (id === null) {
    return;
  }
  try {
    const {job} = await ask("GET", `/jobs/${id}`);
    if (id === detail) {
      jobEvent(job);
    }
  } catch (error) {
    if (id !== detail) {
      return;
    }
    if (error.status === 404) {
      forget(id);
    }
    drawn = null;
    setText($("job-heading"), `Job ${id}`);
    $("job-body").replaceChildren(h("p", {class: "problem", role: "alert"}, error.status === 404
      ? "There is no such job, or not any more: finished ones are kept for a day." : error.message));
  }
}

export function openDetail(id) {
  if (detail === id) {
    return;
  }
  detail = id;
  drawn = null;
  setText($("job-heading"), `Job ${id}`);
  $("job-body").replaceChildren(h("p", {class: "faint"}, "Reading…"));
  if (!dialog.open) {
    dialog.showModal();
  }
  $("job-heading").focus();
  readDetail();
}

export function closeDetail() {
  detail = null;
  if (dialog.open) {
    dialog.close();
  }
}

$("job-close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) {
    dialog.close(); // beside it
  }
});
dialog.addEventListener("close", () => {
  const id = detail;
  detail = null;
  $("job-body").replaceChildren();
  if (id !== null) {
    location.hash = "#/jobs";
    rows.get(id)?.link.focus();
  }
});

// ---- jobs submitted here: their end is said aloud -------------------------------------

const ours = new Set();
export const follow = (id) => ours.add(id);

onChange(() => {
  for (const id of ours) {
    const job = jobs.get(id);
    if (job && finished(job)) {
      ours.delete(id);
      note(`Job ${id} ${job.status === "cancelled" ? "is cancelled" : job.status === "failed"
        ? "has failed" : "is completed"}`, job.status === "failed" ? "bad" : "good");
    }
  }
});

export const sayListProblem = (text) => problem($("jobs-notice"), text);
