// Requests to the service, and the token that they carry.

import {learnTime} from "./dom.js";

const KEY = "jobq-token";
const TOKEN = /^[A-Za-z0-9._~+/-]{1,512}=*$/;

export class ApiError extends Error {
  constructor(sentence, status = 0, code = "", details = {}, retryAfter = 0) {
    super(sentence);
    Object.assign(this, {status, code, details, retryAfter});
  }
}

// ---- the token: of this tab, for this session ------------------------------------

export const token = () => sessionStorage.getItem(KEY);
export const keepToken = (value) => sessionStorage.setItem(KEY, value);
export const dropToken = () => sessionStorage.removeItem(KEY);
export const looksLikeToken = (value) => TOKEN.test(value);

let refused = () => {};
export const onRefused = (call) => {
  refused = call;
};

// ---- asking ----------------------------------------------------------------------

const sentence = (text) => /[.!?…]$/.test(text) ? text : `${text}.`;

async function errorOf(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // A proxy's page, or nothing: the status has to do.
  }
  return new ApiError(sentence(body.error || `The service answered ${response.status}`),
    response.status, body.code, body.details ?? {},
    Number(response.headers.get("Retry-After")) || 0);
}

// The response to a request, whatever it streams. Every failure is an ApiError,
// but for aborting.
export async function open(method, path, {body, headers = {}, signal, as = token()} = {}) {
  let response;
  try {
    response = await fetch(path, {
      method, signal, cache: "no-store", credentials: "omit", redirect: "error",
      headers: {
        ...(as ? {Authorization: `Bearer ${as}`} : {}),
        ...(body === undefined ? {} : {"Content-Type": "application/json"}), ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") {
      throw error;
    }
    throw new ApiError("The service cannot be reached.");
  }
  learnTime(response);
  if (!response.ok) {
    const error = await errorOf(response);
    if (error.status === 401 && as === token()) {
      refused();
    }
    throw error;
  }
  return response;
}

export async function ask(method, path, options) {
  const response = await open(method, path, options);
  try {
    const body = await response.json();
    Object.defineProperty(body, "more", {value: response.headers.has("Link")});
    return body;
  } catch (error) {
    if (error.name === "AbortError") {
      throw error;
    }
    throw new ApiError("The answer broke off.");
  }
}

// Makes a job; its id. Every body has a key of its own until it has got through: sent
// again after a failure of the network it is no second job.
const keys = new Map();

export async function makeJob(path, body) {
  const text = `${path} ${JSON.stringify(body)}`;
  if (!keys.has(text)) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    keys.set(text, Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(""));
  }
  const {job_id: id} = await ask("POST", path,
    {body, headers: {"Idempotency-Key": keys.get(text)}});
  keys.delete(text);
  return id;
}

// Of a job only its times, which stand before its result, which may be long.
export async function timesOf(id) {
  const response = await open("GET", `/jobs/${id}`);
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const {value, done} = await reader.read();
    text += decoder.decode(value, {stream: !done});
    const found = /"started_at":\s*(\d+|null),\s*"completed_at":\s*(\d+|null)/.exec(text);
    if (found || done || text.length > 4096) {
      reader.cancel().catch(() => {});
      return {started_at: JSON.parse(found?.[1] ?? "null"),
        completed_at: JSON.parse(found?.[2] ?? "null")};
    }
  }
}
