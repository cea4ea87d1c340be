/** Elements, and numbers as people write them. Whatever comes from a file goes through text nodes. */

export const TARGETS = ["energy", "danceability", "valence"];

const ADVERBS = [[0.95, "almost surely"], [0.65, "probably"], [0, "perhaps"]];

export const isKnown = (value) => value !== null && value !== undefined;

/** Fill an element: attributes `on*` become listeners, strings become text; null, undefined and false are skipped. */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (isKnown(value) && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => isKnown(child) && child !== false));
  return element;
}

/** An HTML element, such as `el("p", {class: "quiet"}, "words")`. */
export const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** An SVG element. */
export const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

/** A length as people write it: 0:07, 3:45, 1:02:03. */
export function clock(seconds) {
  const whole = Math.round(seconds), two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

export const fixed2 = (number) => number.toFixed(2);

/** A share in [0, 1] as `34 %`. */
export const percent = (share) => `${Math.round(100 * share)}\u00a0%`;

/** A probability as people say it: `7 in 10`, never all. */
export const inTen = (chance) => (chance < 0.95 ? `${Math.round(10 * chance)} in 10` : "more than 9 in 10");

/** A time of the interface as people write it here: `26 Nov 2026, 17:50`. */
export const day = (iso) => new Date(iso).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });

/** A result's mood in words: `probably happy and excited`. */
export function moodOf({ mood, mood_probability: probability }) {
  if (!mood) return "no mood stands out";
  return probability === null ? mood : `${ADVERBS.find(([least]) => probability >= least)[1]} ${mood}`;
}

/** Let the browser save a text or a Blob under a name. */
export function download(content, name, type) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
