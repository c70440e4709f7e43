"use strict";
// Shows what the server tells; decides nothing. Text is only ever set as text.

const NAMES = { live: "live", catching_up: "catching up", connecting: "connecting", stale: "stale", offline: "offline" };
const LOG_LINES = 200;
const byId = (id) => document.getElementById(id);

for (const name of ["left", "right"]) {
  byId(name).append(byId("portal-template").content.cloneNode(true));
}

function fill(list, rows, newId) {
  list.replaceChildren(...rows.map((row) => {
    const item = document.createElement("li");
    const text = document.createElement("span");
    const mark = document.createElement("span");
    text.textContent = row.text;
    mark.textContent = row.mark;
    mark.className = "mark";
    item.append(text, mark);
    item.classList.toggle("new", row.id === newId);
    return item;
  }));
}

let hasNetwork = true;

function show({ portal, network, view, change }) {
  hasNetwork = network;
  byId("network").setAttribute("aria-pressed", String(!network));
  byId("network").textContent = network ? "Take the customers' network away" : "Give the network back";
  const section = byId(portal);
  const part = (name) => section.querySelector("." + name);
  part("customer").textContent = view.customer;
  part("state").textContent = NAMES[view.state] ?? view.state;
  part("state").dataset.state = view.state;
  part("fresh").textContent = view.state === "live"
    ? "What you see is the database's state (doorbell: " + view.doorbell + ")."
    : "As of " + (view.fresh_as_of ? new Date(view.fresh_as_of).toLocaleTimeString() : "never") + "; it may have changed since.";
  part("balance").textContent = view.balance + " points";
  for (const table of ["jobs", "invoices", "messages"]) fill(part(table), view[table], change?.id);
  const option = byId("portal").querySelector(`[value="${portal}"]`);
  if (view.customer) option.textContent = view.customer;
  if (change) note(view.customer, change);
}

function note(customer, change) {
  const item = document.createElement("li");
  const text = document.createElement("span");
  const mark = document.createElement("span");
  text.textContent = `${customer}: ${change.table} ${change.kind}`;
  mark.textContent = change.latency_ms === null ? change.source : `${change.latency_ms} ms, ${change.source}`;
  mark.className = "mark";
  item.append(text, mark);
  byId("log").prepend(item);
  if (byId("log").childElementCount > LOG_LINES) byId("log").lastElementChild.remove();
}

async function post(path, body) {
  byId("error").textContent = "";
  try {
    const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    if (!answer.ok) byId("error").textContent = (await answer.json()).error;
  } catch {
    byId("error").textContent = "The demo does not answer: it has ended.";
  }
}

for (const button of document.querySelectorAll("[data-action]")) {
  button.addEventListener("click", () => post("/act", { portal: byId("portal").value, action: button.dataset.action }));
}

byId("network").addEventListener("click", () => post("/network", { up: !hasNetwork }));

new EventSource("/events").onmessage = (message) => show(JSON.parse(message.data));
