// The answer of a model: pictures, sounds and clips are shown, embeddings compared, anything else shown as text or saved.
import { find, make } from "./dom.js";
import { formatBytes, formatCount, formatSeconds, say } from "./language.js";
import { showSimilarities } from "./similarities.js";

const MAX_CHARACTERS = 20_000;
const ENDINGS = { "audio/wav": "wav", "video/mp4": "mp4", "image/png": "png", "application/zip": "zip", "application/json": "json" };
let address = null;

/** `answer`: the event of that name. `sentences`: the lines of the request's texts, by which embeddings are named. */
export function showAnswer(answer, sentences) {
  hideAnswer();
  const kind = answer.media_type.split(";")[0].trim().toLowerCase();
  const content = "json" in answer ? JSON.stringify(answer.json) : decode(answer.body);
  const blob = new Blob([content], { type: kind });
  address = URL.createObjectURL(blob);
  const file = `answer.${ENDINGS[kind] ?? kind.split("/")[1]?.replace(/[^a-z0-9]/g, "") ?? "bin"}`;
  const took = /generate;dur=([\d.]+)/.exec(answer.headers["server-timing"] ?? "")?.[1];
  find("answer").replaceChildren(
    make("h3", {}, say("answer.heading")),
    ...showContent(answer, kind, content, sentences),
    make("p", {}, took ? `${say("answer.took", { seconds: formatSeconds(took / 1000) })} ` : "",
      make("a", { href: address, download: file }, say("answer.save", { bytes: formatBytes(blob.size) }))));
  find("answer").hidden = false;
  find("answer").focus();
}

export function hideAnswer() {
  if (address) URL.revokeObjectURL(address);
  address = null;
  find("answer").hidden = true;
  find("answer").replaceChildren();
}

function showContent(answer, kind, content, sentences) {
  if (kind.startsWith("image/")) return [make("img", { src: address, alt: say("answer.image") })];
  if (kind.startsWith("audio/")) return [make("audio", { src: address, controls: true, "aria-label": say("answer.audio") })];
  if (kind.startsWith("video/")) {
    return [make("video", { src: address, controls: true, playsinline: true, "aria-label": say("answer.video") })];
  }
  if ("json" in answer) return showSimilarities(answer.json, sentences) ?? showText(JSON.stringify(answer.json, null, 1));
  return kind.startsWith("text/") ? showText(new TextDecoder().decode(content)) : [];
}

function showText(text) {
  const shown = text.slice(0, MAX_CHARACTERS);
  const counts = { shown: formatCount(shown.length), all: formatCount(text.length) };
  const block = make("pre", { tabindex: "0", role: "region", "aria-label": say("answer.text"), lang: "en" }, shown);
  return shown === text ? [block] : [make("p", { class: "help" }, say("answer.cut", counts)), block];
}

function decode(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index += 1) bytes[index] = text.charCodeAt(index);
  return bytes;
}
