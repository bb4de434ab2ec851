// Which jobs have a label. Neither the list nor the events say it: it is asked for,
// and as jobs come, about these. A job's labels never change.

import {$, problem} from "./dom.js";
import {changed, jobs, onChange, readPages} from "./store.js";

const LABEL = /^[A-Za-z0-9._/-]{1,63}=[A-Za-z0-9._/-]{1,63}$/;
const PAUSE = 500; // ms between two questions
const AFTER_FAILURE = 3000; // ms

export const LABEL_RULE = "It is KEY=VALUE, each 1 to 63 of A-Z a-z 0-9 . _ / - (as in team=art).";
export const isLabel = (text) => LABEL.test(text);

let wanted = ""; // as the list wants it: NAME:VALUE; "" is none
let ids = null; // of those found; null: not known yet
let upTo = 0; // what has a higher number has not been asked about
let round = 0; // of questions about all jobs
let busy = false;
let said = ""; // of the last failure

// The ids to show, null for all; and whether they are known.
export const labelled = () => ({ids: wanted === "" ? null : ids ?? new Set(),
  known: wanted === "" || ids !== null});

async function find(label) {
  const found = upTo === 0 ? new Set() : ids;
  const take = (job) => found.add(job.id);
  if (upTo === 0 && jobs.from > 0) {
    await readPages(`label=${label}&status=running&`, 0, take);
    await readPages(`label=${label}&status=queued&`, 0, take, 10);
  }
  await readPages(`label=${label}&`, Math.max(upTo, jobs.from), take);
  return found;
}

async function look() {
  const newest = jobs.all().at(-1)?.number ?? 0;
  if (busy || wanted === "" || !jobs.loaded || ids !== null && newest <= upTo) {
    return;
  }
  busy = true;
  const asked = round;
  let pause = PAUSE;
  try {
    const found = await find(wanted);
    if (asked === round) {
      ids = found;
      upTo = newest;
      if ($("label-problem").textContent === said) {
        problem($("label-problem"), "");
      }
      changed();
    }
  } catch (error) {
    pause = Math.max(AFTER_FAILURE, (error.retryAfter ?? 0) * 1000);
    if (asked === round) {
      said = `Jobs with this label could not be read: ${error.message}`;
      problem($("label-problem"), said);
    }
  }
  setTimeout(() => {
    busy = false;
    look();
  }, asked === round ? pause : 0);
}
onChange(look);

// Asks about all jobs once more: the list has been read anew.
export function askAnew() {
  round++;
  upTo = 0;
  look();
}

// KEY=VALUE, or "" for all jobs.
export function chooseLabel(text) {
  wanted = text.replace("=", ":");
  round++;
  ids = null;
  upTo = 0;
  look();
  changed();
}
