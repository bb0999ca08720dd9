// The page asks the server for its state again and again: often during a start, rarely later, not at all while it is hidden.
import { find, setText } from "./dom.js";
import { translatePage } from "./language.js";
import * as modelsView from "./models_view.js";
import { readJson } from "./server.js";
import { showStart } from "./start_view.js";
import { showMachine, showRequests, showState } from "./state_view.js";
import * as trial from "./trial.js";

const PAUSES = { starting: 300, ready: 2000 };
const OTHER_PAUSE = 1000;
let timer = null;
let asking = false;

async function update() {
  clearTimeout(timer);
  if (asking || document.hidden) return;
  asking = true;
  let pause = OTHER_PAUSE;
  try {
    const status = await readJson("status");
    pause = PAUSES[status.state] ?? OTHER_PAUSE;
    show(status);
    await trial.showTrial(status);
  } catch (error) {
    if (error instanceof TypeError) showState("unreachable", null);
    else throw error;
  } finally {
    asking = false;
    timer = setTimeout(update, pause);
  }
}

function show(status) {
  const name = status.name ?? "Prebake";
  setText(find("name"), name);
  document.title = name;
  setText(find("version"), `Prebake ${status.version}`);
  showState(status.state, status.reason);
  showStart(status);
  modelsView.showModels(status);
  showMachine(status.machine);
  showRequests(status);
}

translatePage();
modelsView.listen();
trial.listen();
document.addEventListener("visibilitychange", update);
document.addEventListener("changed", update);
update();
