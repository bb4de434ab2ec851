// Whether the queue takes and starts jobs, and the buttons that change it.

import {ask} from "./api.js";
import {$, action, confirm, problem, setText} from "./dom.js";

const SENTENCES = {
  open: "",
  paused: "The queue is paused: jobs are taken, but none is started.",
  draining: "The queue is draining: no new jobs are taken; those that wait are still done.",
};
// The state that a button leads to.
const BUTTONS = {"queue-resume": "open", "queue-pause": "paused", "queue-drain": "draining"};

let state = null;
let turn = 0; // an answer that was overtaken by another question does not count

export const queuePaused = () => state === "paused";

function show(queue) {
  state = queue.state;
  const focused = document.activeElement;
  for (const [id, leadsTo] of Object.entries(BUTTONS)) {
    $(id).hidden = state === leadsTo;
  }
  if (focused.hidden && focused.id in BUTTONS) {
    $(state === "open" ? "queue-pause" : "queue-resume").focus();
  }
  setText($("queue-banner"), SENTENCES[state] ?? `The queue is ${state}.`);
  $("queue-banner").hidden = state === "open";
}

async function request(method, path) {
  const mine = ++turn;
  const {queue} = await ask(method, path);
  if (mine === turn) {
    show(queue);
  }
}

// Others change it, too, and no event tells.
export async function lookAtQueue() {
  try {
    await request("GET", "/queue");
  } catch {
    // That the service is away is said elsewhere on the page.
  }
}

async function change(verb) {
  problem($("queue-error"), "");
  try {
    await request("POST", `/queue/${verb}`);
  } catch (error) {
    problem($("queue-error"), error.status === 403
      ? "Only an administrator may do this: it takes a token with the scope admin." : error.message);
  }
}

action($("queue-resume"), () => change("resume"));
action($("queue-pause"), () => change("pause"));
action($("queue-drain"), async () => {
  if (await confirm("Drain the queue?", "No new jobs are taken until somebody resumes it. "
    + "Those that wait or run are done.", "Drain it")) {
    await change("drain");
  }
});
