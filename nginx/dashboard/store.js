// The jobs as far as they are known here: the list, and what events tell since.

import {ask} from "./api.js";

export const STATUSES = ["queued", "running", "completed", "failed", "cancelled"];
export const finished = (job) => !["queued", "running"].includes(job.status);

const PAGE = 1000;
const MOST = 20000; // of the latest; older ones only while they wait or run

const byId = new Map();
const listeners = new Set();
const known = new Set(["id", "type", "status", "progress", "created_at", "started_at",
  "completed_at"]);
let ascending = []; // all of them by number
let sorted = true;
let clock = 0; // counts what events have told
let asked = false;

export const jobs = {
  from: 0, // of those up to this number only what waits or runs is here
  loaded: false,
  get: (id) => byId.get(id),
  all() {
    if (!sorted) {
      ascending.sort((a, b) => a.number - b.number);
      sorted = true;
    }
    return ascending;
  },
};

// ---- who wants to know: once a frame ----------------------------------------------

export const onChange = (call) => listeners.add(call);

export function changed() {
  if (asked) {
    return;
  }
  asked = true;
  const tell = () => {
    asked = false;
    listeners.forEach((call) => call());
  };
  // Nothing is painted while the page is hidden; what it says must be true all the same.
  if (document.hidden) {
    setTimeout(tell, 1000);
  } else {
    requestAnimationFrame(tell);
  }
}

function put(from, stamp) {
  let job = byId.get(from.id);
  if (job === undefined) {
    job = {number: Number(from.id), stamp};
    byId.set(from.id, job);
    if (ascending.length > 0 && ascending[ascending.length - 1].number > job.number) {
      sorted = false;
    }
    ascending.push(job);
  }
  // No results: with thousands of jobs they would fill the memory.
  for (const name of known) {
    if (name in from) {
      job[name] = from[name];
    }
  }
  job.stamp = stamp;
  job.version = (job.version ?? 0) + 1;
  changed();
  return job;
}

// What an event, or a look at one job, has told.
export const tell = (job) => put(job, ++clock);

export function forget(id) {
  if (byId.delete(id)) {
    ascending = ascending.filter((job) => job.id !== id);
    changed();
  }
}

// ---- the list ----------------------------------------------------------------------

// The number behind which there is nothing, found by looking at some places.
async function endOf(from) {
  const beyond = async (at) => (await ask("GET", `/jobs?limit=1&after=${at}`)).jobs.length === 0;
  let low = from;
  let step = MOST;
  while (!await beyond(low + step)) {
    low += step;
    step *= 2;
  }
  let high = low + step;
  while (high - low > PAGE) {
    const middle = Math.floor((low + high) / 2);
    if (await beyond(middle)) {
      high = middle;
    } else {
      low = middle;
    }
  }
  return high;
}

export async function readPages(query, after, take, most = Infinity) {
  for (let pages = 0; pages < most; pages++) {
    const page = await ask("GET", `/jobs?${query}limit=${PAGE}&after=${after}`);
    page.jobs.forEach(take);
    if (!page.more) {
      return null;
    }
    after = Number(page.jobs[page.jobs.length - 1].id);
  }
  return after;
}

// Reads the list anew. What events tell meanwhile is newer than what it says.
export async function load() {
  const began = clock;
  const seen = new Set();
  const take = (job) => {
    seen.add(job.id);
    if (!(byId.get(job.id)?.stamp > began)) {
      put(job, began);
    }
  };
  // These few first: they are what one looks for.
  await readPages("status=running&", 0, take);
  let after = await readPages("", 0, take, 5);
  let from = 0;
  if (after !== null) {
    const start = await endOf(after) - MOST;
    if (start > after) {
      from = after = start;
      await readPages("status=queued&", 0, take, 10);
    }
    await readPages("", after, take);
  }
  for (const job of ascending) {
    const left = job.number <= from && finished(job);
    if ((!seen.has(job.id) || left) && job.stamp <= began) {
      byId.delete(job.id);
    }
  }
  ascending = ascending.filter((job) => byId.has(job.id));
  jobs.from = from;
  jobs.loaded = true;
  changed();
}
