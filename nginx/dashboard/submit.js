// The page "Submit".

import {ask} from "./api.js";
import {$, action, count, h, plural, problem, setText} from "./dom.js";
import {follow} from "./jobs.js";

const MOST = 10000;
const ACTIONS = ["load", "validate", "get_info"];
const form = $("submit-form");
const kind = () => form.elements.type.value;

// The lines that say something, each with its number.
const lines = () => $("paths").value.split("\n").map((text, i) => ({text: text.trim(), number: i + 1}))
  .filter(({text}) => text !== "");

function showFields() {
  $("batch-choices").hidden = kind() !== "batch_operations";
  $("path-choices").hidden = kind() === "cache_warming";
  $("warming-choices").hidden = kind() !== "cache_warming";
  showCount();
}

function showCount() {
  const n = lines().length;
  setText($("paths-hint"), `${n === 0 ? "" : `${plural(n, "scene")} of at most ${count(MOST)}. `}`
    + (kind() === "batch_operations" ? "A line may begin with an action of its own: get_info res://a.tscn"
      : ""));
}

form.addEventListener("change", showFields);
$("paths").addEventListener("input", showCount);
showFields();

// ---- sending it --------------------------------------------------------------------

function operation({text}) {
  const space = text.search(/\s/);
  const word = text.slice(0, Math.max(space, 0));
  return ACTIONS.includes(word) ? {action: word, scene_path: text.slice(space).trim()}
    : {action: $("action").value, scene_path: text};
}

function parameters() {
  switch (kind()) {
  case "cache_warming":
    return {scope: form.elements.scope.value};
  case "batch_operations":
    return {operations: lines().map(operation), mode: $("mode").value};
  default:
    return {scene_paths: lines().map(({text}) => text)};
  }
}

// The sentence, and the line that it is about.
function explain(error) {
  const at = /^\/parameters\/(?:scene_paths|operations)\/(\d+)/.exec(error.details?.pointer ?? "");
  const line = at && lines()[Number(at[1])];
  return line ? `Line ${line.number}, ${line.text}: ${error.message}` : error.message;
}

// One key for one body: sent again after a failure of the network it is no second job.
let sent = {};
function keyFor(text) {
  if (sent.text !== text) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    sent = {text, key: Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")};
  }
  return sent.key;
}

form.addEventListener("submit", (event) => event.preventDefault());
action($("submit-button"), async () => {
  const paths = kind() === "cache_warming" ? null : $("paths");
  problem($("submit-error"), "");
  $("paths").removeAttribute("aria-invalid");
  $("submitted").replaceChildren();
  if (paths && lines().length === 0) {
    problem($("submit-error"), "Which scenes? Name at least one.", paths);
    return;
  }
  if (paths && lines().length > MOST) {
    problem($("submit-error"), `These are ${count(lines().length)}: a job takes ${count(MOST)} at most.`,
      paths);
    return;
  }
  const body = {type: kind(), parameters: parameters()};
  try {
    const {job_id: id} = await ask("POST", "/jobs",
      {body, headers: {"Idempotency-Key": keyFor(JSON.stringify(body))}});
    sent = {};
    follow(id);
    $("submitted").replaceChildren("Queued as ", h("a", {href: `#/jobs/${id}`}, `job ${id}`), ".");
  } catch (error) {
    problem($("submit-error"), explain(error), paths);
  }
});
