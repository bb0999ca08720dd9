// What runs: the state, the machine, and the last requests.
import { find, make, replace, setText } from "./dom.js";
import {
  formatBytes, formatCount, formatSeconds, formatShare, formatTime, say, sayIfKnown,
} from "./language.js";

let announced = null;

export const describeState = (state) => sayIfKnown(`state.${state}`) ?? state;

/** `state`: the server's, or `unreachable`. It is announced once it changes. */
export function showState(state, reason) {
  find("state").dataset.state = state;
  setText(find("state-text"), describeState(state));
  const shown = reason && state !== "starting" && state !== "ready";
  find("reason").hidden = !shown;
  setText(find("reason"), shown ? reason : "");
  if (state !== announced) setText(find("announcement"), sayIfKnown(`announce.${state}`) ?? describeState(state));
  announced = state;
}

export function showMachine({ processor, memory, gpus }) {
  const name = processor.name ?? say("machine.unnamed");
  const entries = [
    [say("machine.processor"), make("span", {}, say("machine.cpus", { name, count: formatCount(processor.cpus) }))],
    [say("machine.utilization"), showShare(processor.utilization, say("machine.utilization"))],
    [say("machine.memory"), showMemory(memory, say("machine.memory"))],
  ];
  for (const gpu of gpus) {
    const number = { number: gpu.number };
    entries.push(
      [say("machine.gpu", number), make("span", {}, gpu.name || say("machine.unnamed"))],
      [say("machine.gpuUtilization", number), showShare(gpu.utilization, say("machine.gpuUtilization", number))],
      [say("machine.gpuMemory", number), showMemory(gpu, say("machine.gpuMemory", number))],
    );
  }
  if (!gpus.length) entries.push([say("machine.gpus"), make("span", {}, say("machine.noGpu"))]);
  replace(find("machine"), ...entries.flatMap(([term, value]) => [make("dt", {}, term), make("dd", {}, value)]));
}

function showMemory({ used, size }, label) {
  if (used === null) return make("span", {}, say("machine.unknown"));
  if (size === null) return make("span", {}, formatBytes(used));
  const text = say("machine.of", { used: formatBytes(used), size: formatBytes(size) });
  return showMeter(used / size, label, text);
}

function showShare(share, label) {
  return share === null ? make("span", {}, say("machine.unknown")) : showMeter(share, label, formatShare(share));
}

function showMeter(share, label, text) {
  return make("span", { class: "meter" }, make("meter", { min: 0, max: 1, value: Math.min(1, share), "aria-label": label }, text),
    make("span", {}, text));
}

export function showRequests(status) {
  const several = status.models.length > 1;
  const [arrivals, hits] = ["arrivals", "hits"].map((key) => status.models.reduce((sum, model) => sum + model[key], 0));
  const counts = { share: formatShare(hits / arrivals), hits: formatCount(hits), all: formatCount(arrivals) };
  setText(find("hits"), arrivals ? say("requests.hits", counts) : say("requests.noHits"));
  if (!status.requests.length) {
    replace(find("requests"), make("p", {}, say("requests.none")));
    return;
  }
  const columns = ["time", "path", ...(several ? ["model"] : []), "status", "latency"];
  const head = make("tr", {}, ...columns.map((column) => make("th", {
    scope: "col", class: column === "latency" ? "number" : null,
  }, say(`requests.${column}`))));
  const rows = status.requests.map((request) => make("tr", { class: request.status < 400 ? null : "failed" },
    make("td", {}, formatTime(request.time)), make("td", {}, make("code", {}, `${request.method} ${request.path}`)),
    several ? make("td", {}, request.model ?? "") : null, make("td", {}, String(request.status)),
    make("td", { class: "number" }, formatSeconds(request.seconds))));
  replace(find("requests"), make("table", { "aria-labelledby": "requests-heading" }, make("thead", {}, head), make("tbody", {}, ...rows)));
}
