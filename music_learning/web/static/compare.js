// Two versions of a song side by side: what differs, and whether it is more than what noise makes.
import { clock, day, el, fixed2, moodOf, TARGETS } from "./dom.js";
import { bar, timeline } from "./drawings.js";
import { keyOf } from "./table.js";

const WORDS = { energy: "energetic", danceability: "danceable", valence: "positive" };
const known = (value) => value !== null && value !== undefined;
const decibels = (number) => `${number.toFixed(1)} dB`;

/**
 * Compare two results.
 * @param {object} a
 * @param {object} b
 * @param {object} models what the server says of its models: `noise` is by how much the same music in another form (a
 *   different codec, rate or level) moves each value, at most in 9 of 10 cases
 * @returns {HTMLElement}
 */
export function renderCompare(a, b, models) {
  const name = (letter, { name: title, tags, analysed_at }) => el("p", { class: "version" },
    el("b", {}, letter), " ", el("bdi", {}, tags?.artist ? `${title}, ${tags.artist}` : title), " ",
    el("span", { class: "quiet" }, day(analysed_at)));
  const legend = el("p", { class: "quiet" }, "A is drawn solid, B dashed; both from their beginnings.");
  return el("article", { class: "comparison" },
    el("h2", { tabindex: -1 }, "Two versions compared"),
    el("div", { class: "sides" }, name("A", a), name("B", b)),
    a.models !== b.models && el("p", { class: "warning", role: "note" },
      "Different models heard these two, which alone moves the values. Analyse both again to compare them."),
    el("section", { class: "values", "aria-label": "Values" }, TARGETS.map((target) => value(a, b, target, models))),
    el("section", {}, el("h3", {}, "Over time"), timeline([a, b]), legend),
    el("section", {}, el("h3", {}, "Beside each other"), facts(a, b)));
}

function value(a, b, target, { noise }) {
  const row = (letter, result) => el("div", { class: "version" }, el("b", {}, letter), " ",
    el("span", { class: "number" }, fixed2(result[target])),
    bar(result[target], result[`${target}_low`], result[`${target}_high`], null, target));
  return el("div", { class: `value ${target}` }, el("h3", {}, target), row("A", a), row("B", b),
    el("p", {}, difference(a[target], b[target], WORDS[target], noise?.[target])));
}

/** What a difference means, in words: that it counts, that it doesn't, or just how large it is. */
function difference(a, b, word, noise) {
  const size = fixed2(Math.abs(Math.round(100 * b) - Math.round(100 * a)) / 100); // of what stands above it
  const more = `B is ${b > a ? "more" : "less"} ${word} by ${size}`;
  if (!known(noise)) return `${more}.`;
  if (Math.abs(b - a) > noise) return `${more}, more than another form of the same music makes (${fixed2(noise)}).`;
  return `No difference that counts: ${size}, and another form of the same music makes up to ${fixed2(noise)}.`;
}

function facts(a, b) {
  const rows = [
    ["length", ({ duration_s }) => clock(duration_s), longer(a, b)],
    ["mood", moodOf, a.mood === b.mood ? "the same" : "another"],
    ["tempo", ({ tempo }) => known(tempo) && `${Math.round(tempo)} bpm`, faster(a, b)],
    ["key", keyOf, keyOf(a) && keyOf(b) && (keyOf(a) === keyOf(b) ? "the same" : "another")],
    ["loudness", ({ loudness }) => known(loudness) && decibels(loudness), louder(a, b)],
  ];
  return el("table", { class: "facts" },
    el("thead", {}, el("tr", {}, el("td"), ["A", "B", "difference"].map((word) => el("th", { scope: "col" }, word)))),
    el("tbody", {}, rows.map(([word, show, apart]) => el("tr", {}, el("th", { scope: "row" }, word),
      el("td", {}, show(a) || "–"), el("td", {}, show(b) || "–"), el("td", {}, apart || "–")))));
}

function longer({ duration_s: a }, { duration_s: b }) {
  const apart_s = Math.round(b) - Math.round(a);
  return apart_s ? `B is ${clock(Math.abs(apart_s))} ${apart_s > 0 ? "longer" : "shorter"}` : "the same";
}

function faster({ tempo: a }, { tempo: b }) {
  if (!known(a) || !known(b)) return null;
  const apart = Math.round(b) - Math.round(a);
  return apart ? `B is ${Math.abs(apart)} bpm ${apart > 0 ? "faster" : "slower"}` : "the same";
}

function louder({ loudness: a }, { loudness: b }) {
  if (!known(a) || !known(b)) return null;
  const apart = Math.round(10 * b) - Math.round(10 * a);
  return apart ? `B is ${decibels(Math.abs(apart) / 10)} ${apart > 0 ? "louder" : "softer"}` : "the same";
}
