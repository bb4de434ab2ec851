// What all parts of the page need: elements, times, notes. Whatever comes from
// the service becomes text, never markup.

export const $ = (id) => document.getElementById(id);

// An element: h("a", {class: "x", href: "#", onclick: f}, "text", element, …).
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), value);
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Only what differs is written: no work for the browser, nothing said twice.
export function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

export const count = (n) => n.toLocaleString("en-US");
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
export const words = (slug) => slug.replaceAll("_", " ");

// ---- times ---------------------------------------------------------------------

let skew = 0; // the server's clock minus ours, in ms

export function learnTime(response) {
  const date = Date.parse(response.headers.get("Date") ?? "");
  // Whole seconds: they say no more than that it is between this and one later.
  if (date && Math.abs(date + 500 - Date.now() - skew) > 1500) {
    skew = date + 500 - Date.now();
  }
}

export const now = () => (Date.now() + skew) / 1000;

export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) {
    return `${s} s`;
  }
  if (s < 3600) {
    return `${Math.floor(s / 60)} min ${s % 60} s`;
  }
  if (s < 86400) {
    return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
  }
  return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`;
}

export function ago(at) {
  const s = now() - at;
  if (s < 5) {
    return "just now";
  }
  const [size, unit] = s < 60 ? [1, "s"] : s < 3600 ? [60, "min"] : s < 86400 ? [3600, "h"]
    : [86400, "d"];
  return `${Math.floor(s / size)} ${unit} ago`;
}

// "3 min ago", kept true as time goes by; the whole of it in the title.
export function time(at) {
  if (at === null || at === undefined) {
    return h("span", {}, "–");
  }
  const date = new Date(at * 1000);
  return h("time", {datetime: date.toISOString(), title: date.toLocaleString(), "data-at": at},
    ago(at));
}

setInterval(() => {
  for (const element of document.querySelectorAll("time[data-at]")) {
    setText(element, ago(Number(element.dataset.at)));
  }
}, 1000);

// ---- a job's state ---------------------------------------------------------------

export const badge = (status) => h("span", {class: "badge", "data-status": status}, status);

export function bar(label) {
  const progress = h("progress", {max: 1, value: 0, "aria-label": label});
  const text = h("span", {class: "percent", "aria-hidden": "true"});
  return {box: h("span", {class: "bar"}, progress, text), set(job) {
    if (progress.value !== job.progress) {
      progress.value = job.progress;
    }
    progress.dataset.status = job.status;
    setText(text, `${Math.round(job.progress * 100)}%`);
  }};
}

// ---- notes ---------------------------------------------------------------------

// Says something in a corner; screen readers say it aloud.
export function note(text, kind = "good") {
  const element = h("p", {class: `note ${kind}`}, text);
  $("notes").append(element);
  while ($("notes").childElementCount > 4) {
    $("notes").firstElementChild.remove();
  }
  setTimeout(() => element.remove(), kind === "bad" ? 12000 : 6000);
}

// A problem beside what it is about; "" takes it away.
export function problem(element, text, input) {
  setText(element, text);
  if (input) {
    input.toggleAttribute("aria-invalid", false);
    if (text) {
      input.setAttribute("aria-invalid", "true");
      input.focus();
    }
  }
}

// ---- dialogs -------------------------------------------------------------------

export function confirm(heading, text, yes) {
  const dialog = $("confirm");
  $("confirm-heading").textContent = heading;
  $("confirm-text").textContent = text;
  $("confirm-yes").textContent = yes;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), {once: true});
  });
}

// While it runs the button does nothing more; what goes wrong is said.
export function action(button, run) {
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-disabled") === "true") {
      return;
    }
    button.setAttribute("aria-disabled", "true");
    try {
      await run();
    } catch (error) {
      note(error.message, "bad");
    } finally {
      button.removeAttribute("aria-disabled");
    }
  });
  return button;
}

// A long list, a hundred at a time.
export function longList(items, draw, attributes = {}, size = 100) {
  const list = h("ul", attributes);
  const more = h("button", {type: "button"});
  let shown = 0;
  const show = () => {
    const next = items.slice(shown, shown + size);
    const first = list.childElementCount;
    list.append(...next.map(draw));
    shown += next.length;
    const left = items.length - shown;
    more.hidden = left === 0;
    more.textContent = `Show ${count(Math.min(size, left))} more of ${count(left)}`;
    return list.children[first];
  };
  more.addEventListener("click", () => {
    const first = show();
    first.tabIndex = -1;
    first.focus();
  });
  show();
  return h("div", {}, list, more);
}
