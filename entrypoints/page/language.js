// The texts in the browser's language, and numbers as that language writes them.
import { english } from "./english.js";
import { chinese } from "./chinese.js";

const isChinese = (navigator.languages?.[0] ?? navigator.language ?? "en").toLowerCase().startsWith("zh");
const texts = isChinese ? chinese : english;
export const locale = isChinese ? "zh-CN" : "en";

/** The text of a key; `{name}` in it is replaced by `values.name`. */
export function say(key, values = {}) {
  return texts[key].replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** As `say`, and null if there is no such text: for states that a later server may have. */
export const sayIfKnown = (key) => (key in texts ? say(key) : null);

/** Translate the texts that index.html has in English. */
export function translatePage() {
  document.documentElement.lang = locale;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = say(element.dataset.text);
}

const format = (options) => new Intl.NumberFormat(locale, options);
const [whole, one] = [0, 1].map((digits) => format({ maximumFractionDigits: digits }));
const short = format({ maximumSignificantDigits: 2 });
const percent = format({ style: "percent", maximumFractionDigits: 0 });
const twoDigits = format({ minimumFractionDigits: 2, maximumFractionDigits: 2 });

export const formatCount = (count) => whole.format(count);
export const formatShare = (share) => percent.format(share);
export const formatSimilarity = (value) => twoDigits.format(value);
export const formatSeconds = (seconds) => `${(seconds < 1 ? short : one).format(seconds)} s`;

/** Bytes with the units that Kubernetes writes. */
export function formatBytes(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let index = 0;
  for (; bytes >= 1024 && index < units.length - 1; index += 1) bytes /= 1024;
  return `${(bytes < 10 && index ? one : whole).format(bytes)} ${units[index]}`;
}

export const formatTime = (seconds) => new Date(seconds * 1000).toLocaleTimeString(locale);
