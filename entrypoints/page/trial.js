// Trying a model: the form is sent, progress shown, and the answer or the server's words for what failed.
import { hideAnswer, showAnswer } from "./answer_view.js";
import { find, make, setText } from "./dom.js";
import { readForm, showForm, showProblems } from "./form_view.js";
import { locale, say } from "./language.js";
import { Failure, generate, readJson } from "./server.js";

let models = [];
let chosen = null;
let running = null;

export function listen() {
  find("form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!running && chosen?.accepts) send();
  });
  find("form").addEventListener("click", (event) => event.target.id === "cancel" && running?.abort());
  find("model").addEventListener("change", () => choose(find("model").value));
}

/** Fields are asked for once more models have said which they take: one that is loaded on demand says so late. */
export async function showTrial(status) {
  const known = status.models.filter((model) => model.has_fields);
  if (known.length > models.length) {
    models = await readFields(known);
    showChoice();
  }
  if (!models.length) return;
  const accepting = Object.fromEntries(status.models.map((model) => [model.path, model.accepts]));
  for (const model of models) model.accepts = accepting[model.path];
  const ready = chosen.accepts;
  if (!running) find("send").setAttribute("aria-disabled", ready ? "false" : "true");
  setText(find("sendable"), ready ? "" : say("try.sendable"));
}

async function readFields(known) {
  const index = await readJson("./");
  const documents = index.models ?? { [known[0].name]: index };
  return known.map(({ name, path }) => ({ name, path, fields: documents[name].fields }));
}

function showChoice() {
  find("try-wait").hidden = true;
  find("model-choice").hidden = models.length < 2;
  find("model").replaceChildren(...models.map(({ name, path }) => make("option", { value: path }, name)));
  if (!chosen) choose(models[0].path);
  find("model").value = chosen.path;
  chosen = models.find((model) => model.path === chosen.path);
}

function choose(path) {
  running?.abort();
  chosen = models.find((model) => model.path === path);
  hideAnswer();
  setText(find("failure"), "");
  showForm(chosen.fields);
}

async function send() {
  const form = readForm();
  const texts = [...form.values()].filter((value) => typeof value === "string" && value.includes("\n"));
  const sentences = (texts[0] ?? form.get("texts") ?? "").split("\n").map((line) => line.trim()).filter(Boolean);
  hideAnswer();
  showProblems({});
  showWork(say("try.uploading"));
  showFailure("");
  running = new AbortController();
  try {
    showAnswer(await generate(chosen.path, form, running.signal, showEvent), sentences);
  } catch (error) {
    if (running.signal.aborted) showFailure(say("try.cancelled"));
    else if (!(error instanceof Failure)) showFailure(say("try.network"));
    else if (!error.message) showFailure(say("try.cut"));
    else {
      showProblems(error.fields);
      showFailure(error.message, "en");
    }
  } finally {
    running = null;
    endWork();
    document.dispatchEvent(new Event("changed"));
  }
}

function showEvent({ name, data }) {
  const progress = find("progress");
  if (name === "queue") {
    setText(find("progress-text"), data.place ? say("try.queue", data) : say("try.working"));
  } else if (name === "progress") {
    progress.max = data.steps;
    progress.value = data.step;
    setText(find("progress-text"), [say("try.step", data), data.message].filter(Boolean).join(": "));
  }
}

function showWork(text) {
  find("work").hidden = false;
  find("progress").removeAttribute("value");
  setText(find("progress-text"), text);
  find("send").setAttribute("aria-disabled", "true");
  find("cancel").hidden = false;
}

function endWork() {
  find("work").hidden = true;
  if (find("cancel").matches(":focus")) find("send").focus();
  find("cancel").hidden = true;
  find("send").setAttribute("aria-disabled", chosen.accepts ? "false" : "true");
}

/** `language`: of the text; the server's words are English. */
function showFailure(text, language = locale) {
  find("failure").hidden = !text;
  find("failure").lang = language;
  setText(find("failure"), text);
}
