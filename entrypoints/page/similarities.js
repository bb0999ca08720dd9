// Embeddings of sentences as a table of their similarities.
import { make } from "./dom.js";
import { formatCount, formatSimilarity, say } from "./language.js";

const MAX_SENTENCES = 32;

/** Null unless the answer has as many vectors of one length as the request had sentences. */
export function showSimilarities(answer, sentences) {
  const vectors = Object.values(answer ?? {}).find((value) => isMatrix(value) && value.length === sentences.length);
  if (!vectors) return null;
  const shown = vectors.slice(0, MAX_SENTENCES);
  const numbers = shown.map((_, index) => make("th", { scope: "col", "aria-label": sentences[index] }, String(index + 1)));
  const head = make("tr", {}, make("td"), ...numbers);
  const rows = shown.map((one, row) => make("tr", {},
    make("th", { scope: "row", lang: "" }, `${row + 1}. ${sentences[row]}`), ...shown.map((other) => showCell(compare(one, other)))));
  const caption = say("answer.similarities");
  const table = make("table", { class: "similarities" }, make("caption", {}, caption), make("thead", {}, head), make("tbody", {}, ...rows));
  const region = make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": caption }, table);
  const counts = { shown: formatCount(shown.length), all: formatCount(vectors.length) };
  return shown.length === vectors.length ? [region] : [make("p", { class: "help" }, say("answer.more", counts)), region];
}

function isMatrix(value) {
  const length = Array.isArray(value) && Array.isArray(value[0]) ? value[0].length : 0;
  return length > 0 && value.every((row) => Array.isArray(row) && row.length === length && row.every(Number.isFinite));
}

/** The cosine of the angle between two vectors. */
function compare(one, other) {
  let [product, first, second] = [0, 0, 0];
  for (let index = 0; index < one.length; index += 1) {
    product += one[index] * other[index];
    first += one[index] ** 2;
    second += other[index] ** 2;
  }
  return product / (Math.sqrt(first * second) || 1);
}

function showCell(similarity) {
  const level = Math.max(0, Math.min(5, Math.round(similarity * 5)));
  return make("td", { class: `number level-${level}` }, formatSimilarity(similarity));
}
