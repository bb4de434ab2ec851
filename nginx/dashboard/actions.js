// What one can do to a job. How those end that were begun here is said aloud.

import {ask, makeJob} from "./api.js";
import {note} from "./dom.js";
import {finished, jobs, onChange} from "./store.js";

export async function cancel(id) {
  await ask("DELETE", `/jobs/${id}`);
  note(`Job ${id} is cancelled`);
}

// A running job ends at its next scene, as failed.
export async function stop(id) {
  try {
    await ask("POST", `/jobs/${id}/cancel`);
    note(`Job ${id} is asked to stop`);
  } catch (error) {
    throw error.code === "not_cancellable" ? new Error(`Job ${id} has ended already.`) : error;
  }
}

// As a new job, whose id this returns.
export async function retry(id, failedOnly) {
  const again = await makeJob(`/jobs/${id}/retry`, failedOnly ? {only: "failed"} : {});
  note(`Queued as job ${again}`);
  follow(again);
  return again;
}

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
