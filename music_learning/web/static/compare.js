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
 * @param {?object} models what the server says of its models: `noise` is by how much the same music in another form (a
 *   different codec, rate or level) moves each value, at most in 9 of 10 cases
 * @returns {HTMLElement}
 */
export function renderCompare(a, b, models) {
  const side = (letter, { name, tags, analysed_at }) => el("p", {}, el("b", {}, letter), " ", el("bdi", {}, name),
    tags?.artist && [", ", el("bdi", {}, tags.artist)], " ", el("span", { class: "quiet" }, day(analysed_at)));
  return el("div", { class: "versions" },
    el("div", { class: "sides" }, side("A", a), side("B", b)),
    a.models !== b.models && el("p", { class: "warning", role: "note" },
      "Different models heard these two, which alone moves the values. Analyse both again to compare them."),
    el("div", { class: "values" }, TARGETS.map((target) => value(a, b, target, models?.noise?.[target]))),
    el("section", { class: "card" }, el("h3", {}, "Over time"), timeline([a, b]),
      el("p", { class: "quiet" }, "A is drawn solid, B dashed; both from their beginnings.")),
    el("section", { class: "card" }, el("h3", {}, "Beside each other"), facts(a, b)));
}

function value(a, b, target, noise) {
  const row = (letter, result) => el("div", { class: "version" }, el("b", {}, letter),
    el("span", { class: "number" }, fixed2(result[target])),
    bar(result[target], result[`${target}_low`], result[`${target}_high`], null, target));
  return el("section", { class: `card value ${target}` }, el("h3", {}, target), row("A", a), row("B", b),
    el("p", {}, difference(a[target], b[target], WORDS[target], noise)));
}

/** What a difference means, in words: that it counts, that it doesn't, or just how large it is. Of what is shown. */
function difference(a, b, word, noise) {
  const size = Math.abs(Math.round(100 * b) - Math.round(100 * a)) / 100, makes = Math.round(100 * noise) / 100;
  const more = `B is ${b > a ? "more" : "less"} ${word} by ${fixed2(size)}`;
  if (!known(noise)) return `${more}.`;
  if (size > makes) return `${more}, more than another form of the same music makes (${fixed2(makes)}).`;
  return `No difference that counts: ${fixed2(size)}, and another form of the same music makes up to ${fixed2(makes)}.`;
}

function facts(a, b) {
  const same = (of) => of(a) && of(b) && (of(a) === of(b) ? "the same" : "another");
  const rows = [
    ["length", "duration_s", clock, 1, ["longer", "shorter"]],
    ["tempo", "tempo", (beats) => `${Math.round(beats)} bpm`, 1, ["faster", "slower"]],
    ["loudness", "loudness", (decibels) => `${decibels.toFixed(1)} dB`, 0.1, ["louder", "softer"]],
  ].map(([word, field, show, step, more]) => [word, (result) => known(result[field]) && show(result[field]),
    apart(a[field], b[field], step, show, more)]);
  rows.push(["key", keyOf, same(keyOf)], ["mood", moodOf, same(({ mood }) => mood)]);
  return el("table", { class: "facts" },
    el("thead", {}, el("tr", {}, el("td"), ["A", "B", "difference"].map((word) => el("th", { scope: "col" }, word)))),
    el("tbody", {}, rows.map(([word, show, differs]) => el("tr", {}, el("th", { scope: "row" }, word),
      el("td", {}, show(a) || "–"), el("td", {}, show(b) || "–"), el("td", {}, differs || "–")))));
}

/** The difference of two numbers in words, in the steps in which they are shown: `B is 3 bpm faster`. */
function apart(a, b, step, show, [more, less]) {
  if (!known(a) || !known(b)) return null;
  const steps = Math.round(b / step) - Math.round(a / step);
  return steps ? `B is ${show(Math.abs(steps) * step)} ${steps > 0 ? more : less}` : "the same";
}
