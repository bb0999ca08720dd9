// The phases of a start as bars on one time axis, by process: the server's, then those of each model.
import { find, make, replace, setText } from "./dom.js";
import { formatSeconds, say } from "./language.js";

let wasReady = false;

export function showStart(status) {
  const groups = [{ name: null, phases: status.phases }];
  for (const model of status.models) if (model.phases.length) groups.push({ name: model.name, phases: model.phases });
  const now = status.ready_seconds ?? status.seconds;
  const end = Math.max(0.001, now, ...groups.flatMap(({ phases }) => phases.map((phase) => phase.start + (phase.seconds ?? 0))));
  replace(find("phases"), ...groups.flatMap((group) => showGroup(group, end, groups.length > 1)));
  showSummary(status);
  const notices = [...status.notices, ...status.models.flatMap((model) => model.notices)];
  const fallbacks = status.fallbacks.map((fallback) => make("li", {}, say("fallback", fallback)));
  find("notices").hidden = !notices.length && !fallbacks.length;
  replace(find("notices"), ...fallbacks, ...notices.map((text) => make("li", { lang: "en" }, text)));
}

function showSummary(status) {
  const started = status.ready_seconds !== null;
  const seconds = formatSeconds(started ? status.ready_seconds : status.seconds);
  setText(find("start-summary"), say(started ? "ready.in" : "initializing.for", { seconds }));
  if (started && !wasReady) find("start-details").open = false;
  wasReady = started;
}

function showGroup({ name, phases }, end, several) {
  const heading = several ? make("h3", {}, name ?? say("start.server")) : null;
  return [heading, make("ol", { class: "phases" }, ...phases.map((phase) => showPhase(phase, end)))].filter(Boolean);
}

function showPhase({ name, start, seconds }, end) {
  const running = seconds === null;
  const time = running ? say("phase.running") : formatSeconds(seconds);
  const bar = make("span", { class: running ? "bar running" : "bar" });
  // By CSSOM: the policy of the page forbids style attributes in HTML.
  bar.style.insetInlineStart = `${(start / end) * 100}%`;
  bar.style.inlineSize = `${((running ? end - start : seconds) / end) * 100}%`;
  return make("li", {}, make("span", { class: "phase", lang: "en" }, name),
    make("span", { class: "track", "aria-hidden": "true" }, bar), make("span", { class: "time" }, time));
}
