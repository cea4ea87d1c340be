/** Several songs: a table, sorted by its headers, that opens and compares them and is saved as CSV, and their plane. */

import { TARGETS, button, clock, download, el, fixed2, heading, isKnown, quiet } from "./dom.js";
import { plane } from "./drawings.js";

const COLUMNS = [ // a title, a field, how it is shown, and its classes
  ["song", "name"], ...TARGETS.map((target) => [target, target, fixed2, `number ${target}`]),
  ["mood", "mood", String, "more"], ["length", "duration_s", clock, "number more"],
  ["tempo", "tempo", (tempo) => `${Math.round(tempo)} bpm`, "number more"], ["key", "key_name", String, "more"],
];
let picked = [], sorting = { sign: 1 }; // ids, {field, sign}: they outlast a look at a song
const FORMULA = /^[=+\-@\t\r]/u; // what a spreadsheet takes for a formula

/**
 * All songs.
 * @param {object[]} entries - {id, name, words, result, isFailed}; the `words` say why there is no result
 * @param {string[]} asked - the ids of those to pick for a comparison, beside those picked before
 * @param {?object} models - what `/api/models` says
 * @returns {HTMLElement} with `update()`, to be called when the entries have changed
 */
export function renderTable(entries, asked, models) {
  const body = el("tbody"), drawing = el("section", { class: "card", "aria-label": "Mood plane" });
  const results = () => entries.map(({ result }) => result).filter(Boolean);
  let shown = "";
  if (!asked.every((id) => picked.includes(id))) picked = asked;
  const compare = button("Compare two", () => (location.hash = `#/compare/${picked.join("/")}`), { disabled: true });
  const pick = (ids) => {
    picked = ids.slice(-2);
    for (const box of body.querySelectorAll("input")) box.checked = picked.includes(box.value);
    compare.disabled = picked.length !== 2;
  };
  body.addEventListener("change", ({ target: { value, checked } }) =>
    pick([...picked.filter((id) => id !== value), ...(checked ? [value] : [])]));
  const fillBody = () => {
    const { localName, dataset: { song } } = document.activeElement, numbered = results();
    const { field, sign } = sorting;
    const sorted = entries.toSorted((a, b) => compared(a.result?.[field], b.result?.[field], sign));
    headers.forEach((header, i) => (header.ariaSort = COLUMNS[i][1] !== field ? null :
      sign === 1 ? "ascending" : "descending"));
    body.replaceChildren(...sorted.map((entry) => renderRow(entry, numbered.indexOf(entry.result) + 1)));
    pick(picked.filter((id) => numbered.some((result) => result.id === id)));
    body.querySelector(`${localName}[data-song="${song}"]`)?.focus();
  };
  const sortBy = (field) => {
    sorting = { field, sign: field === sorting.field ? -sorting.sign : 1 };
    fillBody();
  };
  const headers = COLUMNS.map(([title, field, , kind]) => el("th", { scope: "col", class: kind },
    button(kind ? [title[0], el("span", { class: "rest" }, title.slice(1))] : title,
      () => sortBy(field), { "aria-label": title })));
  const update = () => {
    const isNow = JSON.stringify(entries.map(({ id, result, isFailed }) => [id, Boolean(result), isFailed]));
    if (isNow === shown) return; // the focus and a click stay where they are
    shown = isNow;
    fillBody();
    drawing.replaceChildren(plane(results(), models?.charts));
  };
  update();
  return Object.assign(el("article", { class: "several" }, heading("All songs"),
    el("p", { class: "buttons" }, compare,
      button("Save as CSV", () => download(`\ufeff${toCsv(results())}`, "songs.csv", "text/csv"))),
    quiet("Tick two songs to compare them."),
    el("section", { class: "card", "aria-label": "Table" }, el("table", { class: "songs-table" },
      el("thead", {}, el("tr", {}, el("td", {}, el("span", { class: "rest" }, "compare")), headers)), body)),
    drawing), { update });
}

function renderRow({ id, name, words, result, isFailed }, place) {
  const head = (child) => el("th", { scope: "row" }, child);
  if (!result) {
    return el("tr", {}, el("td"), head(el("bdi", {}, name)),
      el("td", { colspan: COLUMNS.length - 1 }, isFailed ? words : "Not heard yet"));
  }
  const box = el("input", { type: "checkbox", value: id, "data-song": id, "aria-label": `Compare ${name}` });
  return el("tr", {}, el("td", {}, el("label", {}, box, ` ${place}`)),
    head(el("a", { href: `#/song/${id}`, "data-song": id, dir: "auto" }, name)),
    COLUMNS.slice(1).map(([, field, show, kind]) =>
      el("td", { class: kind }, isKnown(result[field]) ? show(result[field]) : "–")));
}

/** The order of two values; what is missing comes last, whichever way the rest is sorted. */
function compared(a, b, sign) {
  if (!isKnown(a) || !isKnown(b)) return isKnown(b) - isKnown(a);
  return sign * (typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true }));
}

/**
 * CSV (RFC 4180) of every field that is a number, a text or a truth value, in the JSON's order, a song a row.
 *
 * Those of an object within the JSON have its name in front: `tags.artist`. A text that spreadsheets would take for a
 * formula gets an apostrophe in front.
 */
function toCsv(results) {
  const rows = results.map(({ id, ...result }) => Object.fromEntries(scalars(result)));
  const titles = [...new Set(rows.flatMap(Object.keys))];
  return [titles, ...rows.map((row) => titles.map((title) => row[title]))]
    .map((cells) => `${cells.map(quoted).join(",")}\r\n`).join("");
}

function scalars(object, prefix = "") {
  return Object.entries(object).flatMap(([key, value]) => {
    if (value === null || typeof value !== "object") return [[prefix + key, value]];
    return prefix || Array.isArray(value) ? [] : scalars(value, `${key}.`);
  });
}

function quoted(value) {
  if (typeof value !== "string") return value ?? "";
  return `"${FORMULA.test(value) ? "'" : ""}${value.replaceAll('"', '""')}"`;
}
