// A job's details, in a dialog.

import {cancel, retry, stop} from "./actions.js";
import {ask} from "./api.js";
import {$, action, badge, bar, confirm, count, duration, h, longList, plural, setText, time,
  words} from "./dom.js";
import {focusRow} from "./jobs.js";
import {queuePaused} from "./queue.js";
import {finished, forget, tell} from "./store.js";

const PLACE_EVERY = 2000; // ms; of a job's place in the queue no event tells

const dialog = $("job-dialog");
let detail = null; // the id of the job shown
let drawn = null; // what of it is on the page
let beside = {}; // what GET /jobs/:id says beside the job, and events do not

function facts(pairs) {
  return h("dl", {}, ...pairs.filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

const failures = (result) => (result.scenes ?? result.operations ?? []).filter((entry) => !entry.success);

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
  const failed = failures(result);
  const parts = [];
  const number = (value) => typeof value === "number" ? count(value) : null; // not all types have all
  if (result.scenes) {
    const loaded = number(result.scenes_loaded);
    parts.push(facts([["Scenes loaded", loaded && `${loaded} of ${number(result.total_scenes)}`]]));
  } else if (result.operations) {
    parts.push(facts([["Successful", number(result.successful)], ["Failed", number(result.failed)],
      ["Of", number(result.total)], ["Mode", result.mode],
      ["Rolled back", result.rollback ? "yes: what it had put into the cache was taken out" : null]]));
  } else {
    parts.push(facts([["Scenes warmed", number(result.scenes_warmed)],
      ["Scenes failed", number(result.scenes_failed)], ["Files", number(result.files)],
      ["Bytes", number(result.bytes)], ["Took (ms)", number(result.duration_ms)]]));
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

// Read each time it is opened, until that has succeeded.
function logOf(id) {
  const place = h("div");
  const box = h("details", {id: "job-log"}, h("summary", {}, "Log"), place);
  let have = false;
  box.addEventListener("toggle", async () => {
    if (!box.open || have) {
      return;
    }
    place.replaceChildren(h("p", {class: "faint"}, "Reading…"));
    try {
      const {lines} = await ask("GET", `/jobs/${id}/log`);
      have = true;
      place.replaceChildren(lines.length === 0 ? h("p", {class: "faint"}, "It has no lines.")
        : h("pre", {class: "log", tabindex: 0, role: "region", "aria-label": "Log"},
          ...lines.map((line) => h("div", {}, line))));
    } catch (error) {
      place.replaceChildren(h("p", {class: "problem", role: "alert"},
        `The log could not be read: ${error.message}`));
    }
  });
  return box;
}

// ---- what one can do ---------------------------------------------------------------

function buttonsOf(job) {
  const button = (id, text, run, kind = "") =>
    action(h("button", {type: "button", class: kind, id}, text), run);
  const again = (failedOnly) => async () => {
    location.hash = `#/jobs/${await retry(job.id, failedOnly)}`;
  };
  if (job.status === "queued") {
    return [button("job-cancel", "Cancel this job", async () => {
      if (await confirm(`Cancel job ${job.id}?`, "It has not started, and never will.", "Cancel it")) {
        await cancel(job.id);
      }
    }, "danger")];
  }
  if (job.status === "running") {
    const stopping = button("job-stop", "Stop this job", async () => {
      if (await confirm(`Stop job ${job.id}?`,
        "It ends at its next scene, as failed. What it has done so far stays in its result.", "Stop it")) {
        await stop(job.id);
        setText(stopping, "Asked to stop"); // on the page or, if it has ended, not any more
      }
    }, "danger");
    return [stopping];
  }
  return [button("job-retry", "Retry", again(false)),
    ...job.result && failures(job.result).length > 0
      ? [button("job-retry-failed", "Retry only what failed", again(true))] : []];
}

// ---- all of it ---------------------------------------------------------------------

function showPlace() {
  const at = beside.queue_position;
  setText(drawn.place, at === undefined ? "not known yet" : `${count(at)}${at === 1 ? ", the next to start" : ""}`
    + (queuePaused() ? ", when the queue goes on" : ""));
}

function labelList() {
  const pairs = Object.entries(beside.labels ?? {});
  return pairs.length === 0 ? [] : [h("h3", {id: "labels-heading"}, "Labels"),
    h("ul", {class: "labels", "aria-labelledby": "labels-heading"},
      ...pairs.map(([name, value]) => h("li", {class: "path"}, `${name}=${value}`)))];
}

function drawDetail(job) {
  setText($("job-heading"), `Job ${job.id}`);
  if (drawn?.id === job.id && drawn.status === job.status && drawn.beside === (beside.id === job.id)) {
    drawn.bar.set(job);
    showPlace();
    return;
  }
  const progress = bar("Progress");
  progress.set(job);
  drawn = {id: job.id, status: job.status, beside: beside.id === job.id, bar: progress,
    place: h("span", {id: "job-place"})};
  showPlace();
  const focused = $("job-body").contains(document.activeElement);
  const queued = job.status === "queued";
  $("job-body").replaceChildren(
    h("p", {class: "row", role: "status"}, badge(job.status), progress.box),
    facts([["Type", words(job.type)], ["Created", time(job.created_at)],
      ["Place in the queue", queued ? drawn.place : null],
      ["Started", job.started_at ? time(job.started_at)
        : queued ? "not yet" : null],
      ["Ended", job.completed_at ? time(job.completed_at) : queued ? null : "not yet"],
      ["Ran for", spanned(job)],
      ["Priority", drawn.beside ? String(beside.priority ?? 0) : null]]),
    ...labelList(),
    ...job.error ? [h("p", {class: "problem"}, job.error)] : [],
    h("div", {class: "row start"}, ...buttonsOf(job)),
    ...job.result ? [h("h3", {}, "Result"), ...resultOf(job)] : [],
    ...finished(job) ? [logOf(job.id)] : []);
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
    const {job, queue_position, priority, labels} = await ask("GET", `/jobs/${id}`);
    if (id === detail) {
      beside = {id, queue_position, priority, labels};
      jobEvent(job);
    }
  } catch (error) {
    // What is shown stays: the top of the page says that it is old.
    if (id !== detail || drawn?.id === id && error.status !== 404) {
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

setInterval(() => {
  if (detail !== null && drawn?.status === "queued" && !document.hidden) {
    readDetail();
  }
}, PLACE_EVERY);

export function openDetail(id) {
  if (detail === id) {
    return;
  }
  detail = id;
  drawn = null;
  beside = {};
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
    focusRow(id);
  }
});
