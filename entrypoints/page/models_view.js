// Models with their components, and the buttons of an operator.
import { find, make, replace, setText } from "./dom.js";
import { formatBytes, formatCount, say } from "./language.js";
import { operate } from "./server.js";
import { describeState } from "./state_view.js";

const OPERATIONS = { ready: ["unload", "clear"], unloaded: ["load"] };
const busy = new Set();
let latest = null;

export function showModels(status) {
  latest = status;
  find("operator").hidden = !status.takes_operations;
  find("no-token").hidden = status.takes_operations;
  const focused = document.activeElement.dataset;
  replace(find("models"), ...status.models.map((model) => showModel(model, status.takes_operations)));
  if (focused.operation && document.activeElement === document.body) focusButton(focused.model);
}

/** A button that had the focus was replaced, mostly since the model changed its state. */
function focusButton(name) {
  [...find("models").querySelectorAll("button")].find((button) => button.dataset.model === name)?.focus();
}

/** The token stays in the input: in this page's memory, and nowhere else. */
export function listen() {
  takeTokenOfAddress();
  find("operator").addEventListener("submit", (event) => event.preventDefault());
  find("models").addEventListener("click", (event) => {
    const button = event.target.closest("button[data-operation]");
    if (button && button.getAttribute("aria-disabled") !== "true") run(button.dataset.model, button.dataset.operation);
  });
}

/** `prebake run --open` opens the page with the token in the fragment, which no request has; it leaves the address at once. */
function takeTokenOfAddress() {
  const [, token] = /^#token=(.+)$/.exec(location.hash) ?? [];
  if (!token) return;
  find("token").value = decodeURIComponent(token);
  history.replaceState(null, "", location.pathname + location.search);
}

function showModel(model, operable) {
  const name = model.name ?? "";
  const facts = [model.device, model.checkpoint, model.memory === null ? null : say("models.memory", { bytes: formatBytes(model.memory) }),
    say("models.flight", { count: formatCount(model.in_flight) })].filter(Boolean).join(" · ");
  const operations = operable && name ? OPERATIONS[model.state] ?? [] : [];
  return make("article", { class: "model" },
    make("h3", {}, name, " ", make("span", { class: "state", "data-state": model.state }, describeState(model.state))),
    make("p", { class: "facts" }, facts),
    operations.length ? make("p", { class: "buttons" }, ...operations.map((each) => showButton(name, each))) : null,
    model.components.length ? showComponents(model) : null);
}

function showButton(name, operation) {
  const label = say(`operation.${operation}`);
  return make("button", {
    type: "button",
    "data-operation": operation,
    "data-model": name,
    "aria-label": say("operation.of", { operation: label, name }),
    "aria-disabled": busy.has(name) ? "true" : null,
  }, label);
}

function showComponents(model) {
  const label = say("models.components", { name: model.name ?? "" });
  const columns = ["component", "state", "opened", "precision", "weights"];
  const head = make("tr", {}, ...columns.map((column) => make("th", {
    scope: "col", class: column === "weights" ? "number" : null,
  }, say(`models.${column}`))));
  const rows = model.components.map((component) => make("tr", {},
    make("th", { scope: "row" }, component.name), make("td", {}, describeState(component.state)),
    make("td", {}, component.opened ?? ""), make("td", {}, component.precision),
    make("td", { class: "number" }, formatBytes(component.weights))));
  const table = make("table", { "aria-label": label }, make("thead", {}, head), make("tbody", {}, ...rows));
  return make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": label }, table);
}

async function run(name, operation) {
  const values = { name, operation: say(`operation.${operation}`) };
  const message = find("operation");
  busy.add(name);
  showModels(latest);
  message.classList.remove("failure");
  setText(message, say("operation.begun", values));
  try {
    const answer = await operate(name, operation, find("token").value);
    const resident = answer.resident_bytes;
    const sizes = resident && { before: formatBytes(resident.before), after: formatBytes(resident.after) };
    setText(message, resident ? say("operation.cleared", { ...values, ...sizes }) : say("operation.done", values));
  } catch (error) {
    message.classList.add("failure");
    setText(message, error.status === undefined ? say("try.network") : error.message);
    if (error.status === 401) find("token").focus();
  } finally {
    busy.delete(name);
    document.dispatchEvent(new Event("changed"));
  }
}
