// The page "Webhooks": the list, and one with what was sent to it.

import {ask} from "./api.js";
import {$, action, confirm, count, h, note, plural, problem, time} from "./dom.js";

const EVENTS = ["job.queued", "job.started", "job.progress", "job.completed", "job.failed",
  "job.cancelled", "scene.loaded", "scene.failed", "scene.validated", "scene.reloaded",
  "auth.failed", "rate_limit.exceeded"];
const EVERY = 3000; // ms between two looks at what was sent

const page = $("page-webhooks");
let shown = null; // "" is the list, else the id of one
let drawn = ""; // what is on the page, as text

const path = (id) => `/webhooks/${encodeURIComponent(id)}`;
const state = (webhook) => h("span", {class: "badge", "data-status": webhook.enabled ? "completed" : "cancelled"},
  webhook.enabled ? "enabled" : "disabled");
const cell = (name, ...content) => h("td", {role: "cell", class: name}, ...content);
const heading = (text) => h("h2", {id: "webhooks-heading", tabindex: -1}, text);

function table(label, columns, rows) {
  return h("table", {class: "jobs", role: "table", "aria-label": label},
    h("thead", {role: "rowgroup"}, h("tr", {role: "row"}, ...columns.map((name) => name === ""
      ? h("th", {role: "columnheader", scope: "col"}, h("span", {class: "hidden-text"}, "Actions"))
      : h("th", {role: "columnheader", scope: "col"}, name)))),
    h("tbody", {role: "rowgroup"}, ...rows));
}

// Puts it on the page, if it differs; what had the focus has it again.
function put(from, make) {
  const text = JSON.stringify(from);
  if (text === drawn) {
    return;
  }
  drawn = text;
  const id = page.contains(document.activeElement) ? document.activeElement.id : "";
  page.replaceChildren(...make());
  if (id) {
    ($(id) ?? $("webhooks-heading")).focus();
  }
}

// ---- the list ----------------------------------------------------------------------

function row(webhook) {
  return h("tr", {role: "row"},
    cell("c-url", h("a", {id: `webhook-${webhook.id}`, href: `#/webhooks/${webhook.id}`,
      class: "path"}, webhook.url)),
    cell("c-status", state(webhook)),
    cell("c-events", webhook.events.join(", ")),
    cell("c-count", `${count(webhook.delivery_count)} delivered, ${count(webhook.failure_count)} failed`),
    cell("c-created", webhook.last_delivery ? time(webhook.last_delivery) : "never"));
}

function drawList(webhooks) {
  const add = h("button", {type: "button", class: "primary", id: "webhook-new"}, "New webhook");
  add.addEventListener("click", openForm);
  return [h("div", {class: "card"},
    h("div", {class: "row"}, heading("Webhooks"), add),
    webhooks.length === 0 ? h("p", {class: "empty"},
      "None yet. A webhook is told by POST of what happens here.")
      : table("Webhooks", ["Address", "State", "Events", "Deliveries", "Last"], webhooks.map(row)))];
}

// ---- one ---------------------------------------------------------------------------

function deliveryRow(webhook, delivery) {
  const again = h("button", {type: "button", id: `again-${delivery.id}`,
    "aria-label": `Send ${delivery.event} ${delivery.id} again`}, "Send again");
  action(again, async () => {
    await ask("POST", `${path(webhook.id)}/deliveries/${delivery.id}/redeliver`);
    note("It is being sent again");
    await look();
  });
  return h("tr", {role: "row"},
    cell("c-id", delivery.event),
    cell("c-status", h("span", {class: "badge", "data-status": delivery.success ? "completed" : "failed"},
      delivery.success ? "delivered" : "failed")),
    cell("c-message", `${delivery.message}${delivery.attempts > 1 ? `, after ${delivery.attempts} attempts` : ""}`),
    cell("c-count", plural(delivery.payload_size, "byte")),
    cell("c-created", time(delivery.timestamp)),
    cell("c-actions", again));
}

function drawOne(webhook, {deliveries, total}) {
  const act = (id, name, run, kind = "") => action(h("button", {type: "button", id, class: kind}, name), run);
  const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  return [h("div", {class: "card"},
    h("p", {}, h("a", {href: "#/webhooks", id: "webhooks-back"}, "All webhooks")),
    h("div", {class: "row"}, heading(`Webhook ${webhook.id}`), state(webhook)),
    h("dl", {}, fact("Address", h("span", {class: "path"}, webhook.url)),
      fact("Events", webhook.events.join(", ")),
      fact("Secret", webhook.secret ? "set; deliveries are signed" : "none; deliveries are not signed"),
      fact("Created", time(webhook.created_at)),
      fact("Deliveries", `${count(webhook.delivery_count)} delivered, ${count(webhook.failure_count)} failed`)),
    h("div", {class: "row start"},
      act("webhook-test", "Send a test", async () => {
        await ask("POST", `${path(webhook.id)}/test`);
        note("A ping is on its way");
      }),
      act("webhook-toggle", webhook.enabled ? "Disable" : "Enable", async () => {
        await ask("PUT", path(webhook.id), {body: {enabled: !webhook.enabled}});
        note(webhook.enabled ? "The webhook is disabled" : "The webhook is enabled");
        await look();
      }),
      act("webhook-delete", "Delete", async () => {
        if (await confirm("Delete this webhook?", `What waits to be sent to ${webhook.url} is dropped.`,
          "Delete it")) {
          await ask("DELETE", path(webhook.id));
          note("The webhook is deleted");
          location.hash = "#/webhooks";
        }
      }, "danger"))),
  h("div", {class: "card"},
    h("h3", {}, "Deliveries"),
    deliveries.length === 0 ? h("p", {class: "empty"}, "Nothing has been sent yet.")
      : table("Deliveries", ["Event", "Outcome", "Answer", "Size", "When", ""],
        deliveries.map((delivery) => deliveryRow(webhook, delivery))),
    total > deliveries.length ? h("p", {class: "faint"},
      `The latest ${count(deliveries.length)} of ${count(total)}.`) : null)];
}

// ---- looking -----------------------------------------------------------------------

async function look() {
  const id = shown;
  try {
    if (id === "") {
      const {webhooks} = await ask("GET", "/webhooks");
      if (shown === id) {
        put(webhooks, () => drawList(webhooks));
      }
    } else if (id !== null) {
      const [{webhook}, sent] = await Promise.all([ask("GET", path(id)),
        ask("GET", `${path(id)}/deliveries?limit=50`)]);
      if (shown === id) {
        put([webhook, sent], () => drawOne(webhook, sent));
      }
    }
  } catch (error) {
    // One that was shown stays: the top of the page says that it is old.
    if (shown === id && (drawn === "" || error.status === 404)) {
      put([error.message], () => [h("div", {class: "card"}, heading("Webhooks"),
        h("p", {class: "problem", role: "alert"}, error.message),
        h("p", {}, h("a", {href: "#/webhooks", id: "webhooks-back"}, "All webhooks")))]);
    }
  }
}

let timer;
function again() {
  clearTimeout(timer);
  timer = setTimeout(async () => {
    if (!document.hidden) {
      await look();
    }
    if (shown !== null) {
      again();
    }
  }, EVERY);
}

// `id` is "" for the list, null when the page is left.
export async function showWebhooks(id) {
  shown = id;
  clearTimeout(timer);
  if (id === null) {
    return;
  }
  drawn = "";
  page.replaceChildren(h("div", {class: "card"}, heading(id ? `Webhook ${id}` : "Webhooks"),
    h("p", {class: "faint"}, "Reading…")));
  again();
  await look();
}

// ---- a new one ---------------------------------------------------------------------

const boxes = ["*", ...EVENTS].map((event) => {
  const box = h("input", {type: "checkbox", value: event});
  $("webhook-events").append(h("label", {}, box, h("span", {}, event === "*" ? "everything" : event)));
  return box;
});
boxes[0].addEventListener("change", () => {
  boxes.slice(1).forEach((box) => {
    box.disabled = boxes[0].checked;
  });
});

function openForm() {
  $("webhook-form").reset();
  boxes.forEach((box) => {
    box.disabled = false;
    box.checked = ["job.completed", "job.failed"].includes(box.value);
  });
  problem($("webhook-error"), "");
  $("webhook-url").removeAttribute("aria-invalid");
  $("webhook-dialog").showModal();
}

$("webhook-cancel").addEventListener("click", () => $("webhook-dialog").close());
$("webhook-dialog").addEventListener("close", () => {
  $("webhook-secret").value = "";
});
$("webhook-form").addEventListener("submit", (event) => event.preventDefault());
action($("webhook-create"), async () => {
  const events = boxes[0].checked ? ["*"]
    : boxes.filter((box) => box.checked).map((box) => box.value);
  const url = $("webhook-url");
  const secret = $("webhook-secret");
  [url, secret].forEach((input) => input.removeAttribute("aria-invalid"));
  if (url.value.trim() === "") {
    problem($("webhook-error"), "Where to? Give the address that is to be told.", url);
    return;
  }
  if (events.length === 0) {
    problem($("webhook-error"), "Of what? Choose at least one event.");
    boxes[0].focus();
    return;
  }
  try {
    const {webhook_id: id} = await ask("POST", "/webhooks",
      {body: {url: url.value.trim(), events, ...secret.value ? {secret: secret.value} : {}}});
    $("webhook-dialog").close();
    note("The webhook is made");
    location.hash = `#/webhooks/${id}`;
  } catch (error) {
    problem($("webhook-error"), error.message, {"/url": url, "/secret": secret}[error.details?.pointer]);
  }
});
