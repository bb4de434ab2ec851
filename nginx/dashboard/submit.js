// The page "Submit".

import {follow} from "./actions.js";
import {makeJob} from "./api.js";
import {$, action, count, h, plural, problem, setText} from "./dom.js";
import {isLabel, LABEL_RULE} from "./labels.js";

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

// What stands in the field, as an object; throws a sentence.
function labels() {
  const found = Object.create(null); // a label may be called __proto__
  for (const text of $("labels").value.split(/[\s,]+/).filter(Boolean)) {
    if (!isLabel(text)) {
      throw new Error(`“${text}” is no label. ${LABEL_RULE}`);
    }
    const [name, value] = text.split("=");
    if (Object.hasOwn(found, name)) {
      throw new Error(`The label ${name} is given twice.`);
    }
    found[name] = value;
  }
  return found;
}

// The sentence, and the line that it is about.
function explain(error) {
  const at = /^\/parameters\/(?:scene_paths|operations)\/(\d+)/.exec(error.details?.pointer ?? "");
  const line = at && lines()[Number(at[1])];
  return line ? `Line ${line.number}, ${line.text}: ${error.message}` : error.message;
}

// The field that a refusal is about, if it is about one.
function fieldOf(error) {
  const pointer = error.details?.pointer ?? "";
  return pointer.startsWith("/priority") ? $("priority") : pointer.startsWith("/labels") ? $("labels")
    : pointer.startsWith("/parameters") && kind() !== "cache_warming" ? $("paths") : null;
}

// The body, or null if the page itself can say what is wrong.
function read() {
  const refuse = (sentence, input) => {
    problem($("submit-error"), sentence, input);
    return null;
  };
  if (kind() !== "cache_warming" && lines().length === 0) {
    return refuse("Which scenes? Name at least one.", $("paths"));
  }
  if (kind() !== "cache_warming" && lines().length > MOST) {
    return refuse(`These are ${count(lines().length)}: a job takes ${count(MOST)} at most.`, $("paths"));
  }
  const priority = $("priority").valueAsNumber;
  if (!Number.isInteger(priority) || Math.abs(priority) > 10) {
    return refuse("The priority is a whole number from -10 to 10.", $("priority"));
  }
  try {
    return {type: kind(), parameters: parameters(), priority, labels: labels()};
  } catch (error) {
    return refuse(error.message, $("labels"));
  }
}

form.addEventListener("submit", (event) => event.preventDefault());
action($("submit-button"), async () => {
  problem($("submit-error"), "");
  form.querySelectorAll("[aria-invalid]").forEach((input) => input.removeAttribute("aria-invalid"));
  $("submitted").replaceChildren();
  const body = read();
  if (body === null) {
    return;
  }
  try {
    const id = await makeJob("/jobs", body);
    follow(id);
    $("submitted").replaceChildren("Queued as ", h("a", {href: `#/jobs/${id}`}, `job ${id}`), ".");
  } catch (error) {
    problem($("submit-error"), explain(error), fieldOf(error));
  }
});
