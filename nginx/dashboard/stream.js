// Server-sent events by fetch: EventSource cannot send a token. Comes back by
// itself, says where it left off, and tells in which state it is.

import {open} from "./api.js";

const QUIET = 40000; // ms; there is a heartbeat every 15 s
const LONGEST = 10000; // ms between two attempts

// Takes text apart: calls take({event, id, data}) for each block that has data,
// and place(id) for each that has an id.
export function parser(take, place) {
  let rest = "";
  let block = {event: "message", data: []};
  const line = (text) => {
    if (text === "") {
      if (block.id !== undefined) {
        place(block.id);
      }
      if (block.data.length > 0) {
        take(block.event, block.data.join("\n"));
      }
      block = {event: "message", data: []};
      return;
    }
    const [, name, value] = /^([^:]*):? ?([^]*)$/.exec(text);
    if (name === "data") {
      block.data.push(value);
    } else if (name === "event" || name === "id") {
      block[name] = value;
    }
  };
  return (text) => {
    // Of a job with a long result a line comes in many parts: no looking again at
    // those that had no end in them.
    const lines = text.split("\n");
    lines[0] = rest + lines[0];
    rest = lines.pop();
    lines.forEach((one) => line(one.replace(/\r$/, "")));
  };
}

// state: "connecting", "live" (with `fresh`: what was missed is unknown), or
// "waiting" (with the error).
export class Stream {
  constructor(path, {event, state}) {
    Object.assign(this, {path, event, state});
    this.last = null;
    this.failures = 0;
    this.wake = () => {};
    this.stopped = true;
    addEventListener("online", () => this.hurry());
  }

  start() {
    if (this.stopped) {
      this.stopped = false;
      this.run();
    }
  }

  stop() {
    this.stopped = true;
    this.abort?.abort();
    this.wake();
  }

  hurry() {
    this.failures = 0;
    this.wake();
  }

  async run() {
    const turn = this.turn = {};
    const mine = () => !this.stopped && this.turn === turn;
    while (mine()) {
      let failure = null;
      try {
        await this.listen(mine);
      } catch (error) {
        failure = error;
      }
      if (!mine()) {
        return;
      }
      this.state("waiting", failure);
      const pause = Math.max(Math.min(LONGEST, 250 * 2 ** this.failures++),
        (failure?.retryAfter ?? 0) * 1000);
      await new Promise((done) => {
        this.wake = done;
        setTimeout(done, pause * (0.75 + Math.random() / 2));
      });
    }
  }

  async listen(mine) {
    const abort = this.abort = new AbortController();
    let timer;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => abort.abort(), QUIET);
    };
    alive();
    try {
      const response = await open("GET", this.path, {
        signal: abort.signal,
        headers: this.last === null ? {} : {"Last-Event-ID": this.last},
      });
      if (!mine()) {
        return;
      }
      this.state("live", null, this.last === null);
      const decoder = new TextDecoder();
      const feed = parser((event, data) => this.event(event, JSON.parse(data)), (id) => {
        this.last = id;
      });
      const reader = response.body.getReader();
      for (;;) {
        const {value, done} = await reader.read();
        if (done || !mine()) {
          return;
        }
        this.failures = 0;
        alive();
        feed(decoder.decode(value, {stream: true}));
      }
    } finally {
      clearTimeout(timer);
      abort.abort();
    }
  }
}
