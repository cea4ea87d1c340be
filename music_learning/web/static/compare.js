/** Two versions of a song side by side: what differs, and whether it is more than what noise makes. */

import { TARGETS, WORDS, card, clock, day, el, fixed2, heading, isKnown, quiet } from "./dom.js";
import { bar, timeline } from "./drawings.js";

const FACTS = [ // a word, a field, how it is shown, in which steps it differs, and how that is said
  ["length", "duration_s", clock, 1, ["longer", "shorter"]],
  ["tempo", "tempo", (beats) => `${Math.round(beats)} bpm`, 1, ["faster", "slower"]],
  ["loudness", "loudness", (decibels) => `${decibels.toFixed(1)} dB`, 0.1, ["louder", "softer"]],
  ["key", "key_name", String], ["mood", "mood", String],
];

/**
 * Compare two results.
 * @param {object} a
 * @param {object} b
 * @param {?object} models what the server says of its models: `noise` is by how much the same music in another form (a
 *   different codec, rate or level) moves each value, at most in 9 of 10 cases
 * @returns {HTMLElement}
 */
export function renderCompare(a, b, models) {
  const side = (letter, { name, tags, analysed_at }) => el("p", {}, el("b", {}, letter), " ", el("bdi", {}, name),
    tags?.artist && [", ", el("bdi", {}, tags.artist)], " ", el("span", { class: "quiet" }, day(analysed_at)));
  return el("article", { class: "comparison" }, heading(`Two ${a.name === b.name ? "versions" : "songs"} compared`),
    el("div", { class: "sides" }, side("A", a), side("B", b)),
    a.models !== b.models && el("p", { class: "warning", role: "note" },
      "Different models heard these two, which alone moves the values. Analyse both again to compare them."),
    el("div", { class: "values" }, TARGETS.map((target) => valueCard(a, b, target, models?.noise?.[target]))),
    card("Over time", "", timeline([a, b]), quiet("A is drawn solid, B dashed; both from their beginnings.")),
    card("Beside each other", "", facts(a, b)));
}

function valueCard(a, b, target, noise) {
  const version = (letter, { [target]: value, [`${target}_low`]: low, [`${target}_high`]: high }) =>
    el("div", { class: "version" }, el("b", {}, letter), el("span", { class: "number" }, fixed2(value)),
      bar(value, { low, high }));
  return card(target, `value ${target}`, version("A", a), version("B", b),
    el("p", {}, difference(a[target], b[target], WORDS[target], noise)));
}

/** What a difference means, in words: that it counts, that it doesn't, or just how large it is. Of what is shown. */
function difference(a, b, word, noise) {
  const size = Math.abs(Math.round(100 * b) - Math.round(100 * a)) / 100, makes = Math.round(100 * noise) / 100;
  const more = `B is ${b > a ? "more" : "less"} ${word} by ${fixed2(size)}`;
  if (!isKnown(noise)) return `${more}.`;
  if (size > makes) return `${more}, more than a copy in another format differs in 9 of 10 cases (${fixed2(makes)}).`;
  return `No difference that counts: ${fixed2(size)}, and a copy in another format differs ` +
    `by at most ${fixed2(makes)} in 9 of 10 cases.`;
}

function facts(...results) {
  const [a, b] = results.map((result) => ({ ...result, mood: result.mood ?? "no mood stands out" }));
  return el("table", { class: "facts" },
    el("thead", {}, el("tr", {}, el("td"), ["A", "B", "difference"].map((word) => el("th", { scope: "col" }, word)))),
    el("tbody", {}, FACTS.map(([word, field, show, step, more]) => el("tr", {}, el("th", { scope: "row" }, word),
      [a, b].map(({ [field]: value }) => el("td", {}, isKnown(value) ? show(value) : "–")),
      el("td", {}, apart(a[field], b[field], { show, step, more }))))));
}

/** What sets two facts apart, in words; of numbers in the steps in which they are shown: `B is 3 bpm faster`. */
function apart(a, b, { show, step, more: [more, less] = [] }) {
  if (!isKnown(a) || !isKnown(b)) return "–";
  if (!step) return a === b ? "the same" : "another";
  const steps = Math.round(b / step) - Math.round(a / step);
  return steps ? `B is ${show(Math.abs(steps) * step)} ${steps > 0 ? more : less}` : "the same";
}
