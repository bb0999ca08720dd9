// A form made of the model's fields. What it says of a field is the field's own text.
import { find, make, setText } from "./dom.js";
import { formatBytes, formatCount, say } from "./language.js";

/** Replace the form by one for these fields; `idle` decides whether its button can be used. */
export function showForm(fields) {
  const form = find("form");
  form.replaceChildren(...fields.map(showField), make("p", { class: "buttons" },
    make("button", { type: "submit", id: "send" }, say("try.send")),
    make("button", { type: "button", id: "cancel", hidden: true }, say("try.cancel")),
    make("span", { id: "sendable", class: "help" })));
  form.hidden = false;
  for (const input of form.querySelectorAll("input[type=file]")) acceptDrops(input);
}

/** What the form sends: fields that are empty are left out, so that the model takes its defaults. */
export function readForm() {
  const form = new FormData();
  for (const control of find("form").querySelectorAll("[name]")) {
    if (control.type === "file") {
      if (control.files[0]) form.append(control.name, control.files[0], control.files[0].name);
    } else if (control.value !== "") {
      form.append(control.name, control.value);
    }
  }
  return form;
}

/** Show what the server says about fields beside them, and lead to the first. An empty object removes it. */
export function showProblems(problems) {
  let first = null;
  for (const control of find("form").querySelectorAll("[name]")) {
    const text = Object.hasOwn(problems, control.name) ? problems[control.name] : "";
    setText(find(`${control.id}-problem`), text);
    control.setAttribute("aria-invalid", text ? "true" : "false");
    first ??= text ? control : null;
  }
  first?.focus();
}

function showField(field) {
  const id = `field-${field.name}`;
  const label = make("label", { for: id }, make("span", { lang: "en" }, field.name.replaceAll("_", " ")),
    field.required ? make("span", { class: "help" }, ` (${say("field.required")})`) : null);
  const limits = describeLimits(field);
  const help = make("p", { id: `${id}-help`, class: "help" }, make("span", { lang: "en" }, field.help ?? ""), limits ? ` (${limits})` : "");
  const problem = make("p", { id: `${id}-problem`, class: "failure", lang: "en" });
  const control = makeControl(field, {
    id, name: field.name, required: field.required, "aria-describedby": `${id}-help ${id}-problem`,
  });
  const kind = field.kind === "text" || field.kind === "file" ? "field wide" : "field";
  return make("div", { class: kind }, label, control, help, problem);
}

function makeControl(field, attributes) {
  if (field.kind === "file") return makeFile(attributes);
  if (field.kind === "choice") return makeChoice(field, attributes);
  if (field.kind === "text") {
    const text = make("textarea", { ...attributes, rows: field.required ? 4 : 2 });
    text.defaultValue = field.default ?? "";
    return text;
  }
  return make("input", { ...attributes, type: "number", inputmode: field.kind === "integer" ? "numeric" : "decimal",
    step: field.kind === "integer" ? 1 : "any", min: field.minimum, max: field.maximum, value: field.default });
}

function makeChoice(field, attributes) {
  const empty = field.default === undefined ? make("option", { value: "" }, say("field.none")) : null;
  const options = field.choices.map((choice) => make("option", { value: choice, selected: choice === field.default, lang: "en" }, choice));
  return make("select", attributes, empty, ...options);
}

function makeFile(attributes) {
  return make("span", { class: "drop" }, make("input", { ...attributes, type: "file" }),
    make("span", { class: "help", "data-chosen": true }, say("field.drop")));
}

function acceptDrops(input) {
  const zone = input.closest(".drop");
  const mark = (over) => (event) => {
    event.preventDefault();
    zone.classList.toggle("over", over);
  };
  zone.addEventListener("dragover", mark(true));
  zone.addEventListener("dragleave", mark(false));
  zone.addEventListener("drop", (event) => {
    mark(false)(event);
    if (!event.dataTransfer.files.length) return;
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event("change"));
  });
  input.addEventListener("change", () => {
    const file = input.files[0];
    const text = file ? say("field.chosen", { name: file.name, bytes: formatBytes(file.size) }) : say("field.drop");
    setText(zone.querySelector("[data-chosen]"), text);
  });
}

function describeLimits({ kind, minimum, maximum }) {
  if (kind === "file") return maximum === undefined ? "" : say("field.bytes", { bytes: formatBytes(maximum) });
  if (kind === "text") return maximum === undefined ? "" : say("field.characters", { maximum: formatCount(maximum) });
  const limits = { minimum, maximum };
  if (minimum !== undefined && maximum !== undefined) return say("field.range", limits);
  if (minimum !== undefined) return say("field.minimum", limits);
  return maximum === undefined ? "" : say("field.maximum", limits);
}
