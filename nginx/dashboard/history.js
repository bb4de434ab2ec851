// How many jobs waited during the last hour, as a plot.
//
// While the page is open it counts. What was before is worked out: a job waits
// from created_at to started_at; the list has only the first, but as jobs start
// in the order in which they came, the started_at of some tell those of the others.

import {timesOf} from "./api.js";
import {$, count, now, plural, setText} from "./dom.js";
import {jobs} from "./store.js";

const STEP = 20; // seconds
const STEPS = 180;
const LOOKS = 24;

const depths = new Map(); // by number of the step: the most that waited in it
let queued = 0;

const stepOf = (at) => Math.floor(at / STEP);

// ---- what was before ---------------------------------------------------------------

// The times at which jobs left the queue, by number, for those behind `since`.
async function departures(list, since, name) {
  const looked = new Map();
  const look = async (i) => {
    const job = list[i];
    if (!looked.has(i)) {
      // Of running ones, and those that finished while we listened, it is known.
      const at = job[name] ?? (await timesOf(job.id).catch(() => ({})))[name];
      looked.set(i, at ?? job.created_at);
    }
    return looked.get(i);
  };
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = low + high >> 1;
    if (await look(middle) < since) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  const found = [];
  const stride = Math.max(1, Math.ceil((list.length - low) / LOOKS));
  for (let i = low; i < list.length; i += stride) {
    const next = Math.min(i + stride, list.length - 1);
    const [from, to] = [await look(i), await look(next)];
    for (let k = i; k < i + stride && k < list.length; k++) {
      const guess = next === i ? from : from + (to - from) * (k - i) / (next - i);
      found.push([list[k], list[k][name] ?? Math.max(guess, list[k].created_at)]);
    }
  }
  return found;
}

let working = false;

export async function lookBack() {
  if (working) {
    return;
  }
  working = true;
  try {
    const since = now() - STEP * STEPS;
    const all = jobs.all().slice();
    const left = [
      ...await departures(all.filter((job) => !["queued", "cancelled"].includes(job.status)),
        since, "started_at"),
      ...await departures(all.filter((job) => job.status === "cancelled"), since, "completed_at"),
    ];
    const changes = all.filter((job) => job.status === "queued")
      .map((job) => [job.created_at, 1]);
    for (const [job, at] of left) {
      if (at > job.created_at) {
        changes.push([job.created_at, 1], [at, -1]);
      }
    }
    changes.sort((a, b) => a[0] - b[0] || b[1] - a[1]);
    let depth = 0;
    let i = 0;
    const first = stepOf(since);
    for (let step = first; step <= stepOf(now()); step++) {
      let most = depth;
      for (; i < changes.length && stepOf(changes[i][0]) <= step; i++) {
        depth += changes[i][1];
        most = Math.max(most, depth);
      }
      depths.set(step, Math.max(step === first ? depth : most, 0));
    }
    draw();
  } finally {
    working = false;
  }
}

// ---- as it goes --------------------------------------------------------------------

let drawing = false;

export function sample(depth) {
  const step = stepOf(now());
  // A step begins with how many there were.
  depths.set(step, Math.max(depths.get(step) ?? queued, depth));
  if (depth === queued) {
    return;
  }
  queued = depth;
  summarise();
  // Often enough for the eye, however fast it goes.
  if (!drawing) {
    drawing = true;
    setTimeout(() => {
      drawing = false;
      draw();
    }, 500);
  }
}

setInterval(() => {
  if (jobs.loaded) {
    sample(queued);
    for (const step of depths.keys()) {
      if (step < stepOf(now()) - STEPS - 1) {
        depths.delete(step);
      }
    }
    draw();
  }
}, 5000);

// ---- the picture -------------------------------------------------------------------

function svg(tag, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  if (text !== undefined) {
    element.textContent = text;
  }
  return element;
}

// 4, 6, 8, 10, 20, 40, … not below n: half of it is a whole number.
function roundUp(n) {
  const power = 10 ** Math.floor(Math.log10(n));
  return [1, 2, 4, 6, 8, 10].map((digit) => digit * power).find((value) => value >= n);
}

const highest = () => Math.max(0, ...depths.values());

function summarise() {
  setText($("depth-summary"), `${plural(queued, "job waits", "jobs wait")}, at most ${count(highest())}`);
}

export function draw() {
  const box = $("depth");
  const width = box.clientWidth;
  if (width === 0 || document.hidden) {
    return;
  }
  const height = 120;
  const [top, bottom, left, right] = [8, 20, 36, 6];
  const last = stepOf(now());
  const values = Array.from({length: STEPS + 1}, (_, i) => depths.get(last - STEPS + i));
  const most = highest();
  const scale = roundUp(Math.max(most, 4));
  const x = (i) => left + (width - left - right) * i / (STEPS + 1);
  const y = (value) => top + (height - top - bottom) * (1 - value / scale);
  const picture = svg("svg", {width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `Jobs that waited during the last hour: at most ${count(most)}, now ${count(queued)}`});
  for (const value of [0, scale / 2, scale]) {
    picture.append(svg("line", {x1: left, x2: width - right, y1: y(value), y2: y(value),
      class: value === 0 ? "axis" : "grid"}));
    picture.append(svg("text", {x: left - 6, y: y(value) + 4, "text-anchor": "end"},
      value >= 1000 ? `${value / 1000}k` : String(value)));
  }
  [["start", x(0), "1 h ago"], ["middle", x((STEPS + 1) / 2), "30 min"],
    ["end", x(STEPS + 1), "now"]].forEach(([anchor, at, text]) =>
    picture.append(svg("text", {x: at, y: height - 4, "text-anchor": anchor}, text)));
  let line = "";
  let area = "";
  values.forEach((value, i) => {
    if (value === undefined) {
      return;
    }
    const piece = `${x(i).toFixed(1)} ${y(value).toFixed(1)} H ${x(i + 1).toFixed(1)}`;
    line += `${line && values[i - 1] !== undefined ? "L" : "M"} ${piece} `;
    area += `M ${piece} V ${y(0)} H ${x(i).toFixed(1)} Z `;
  });
  picture.append(svg("path", {d: area, class: "area"}), svg("path", {d: line, class: "line"}));
  box.replaceChildren(picture);
  summarise();
}

new ResizeObserver(draw).observe($("depth"));
