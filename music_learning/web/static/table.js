// Several songs as a table: sorted by its headers, opened by a name, two of them picked for a comparison, saved as CSV.
import { clock, el, fixed2, TARGETS } from "./dom.js";

const numbers = (field, show, title = field) => ({ title, of: (result) => result[field], show, isNumber: true });
const COLUMNS = [
  { title: "song", of: ({ name }) => name },
  ...TARGETS.map((target) => numbers(target, fixed2)),
  { title: "mood", of: ({ mood }) => mood, show: String },
  numbers("duration_s", clock, "length"),
  numbers("tempo", (tempo) => `${Math.round(tempo)} bpm`),
  { title: "key", of: keyOf, show: String },
];
const ORDER = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
const FORMULA = /^[=+\-@\t\r]/u; // what a spreadsheet takes for a formula

const TONES = ["C", "C♯/D♭", "D", "D♯/E♭", "E", "F", "F♯/G♭", "G", "G♯/A♭", "A", "A♯/B♭", "B"];

/** A result's key in words: `F♯/G♭ minor`; null where no tone stands out, or none can be told. */
export function keyOf({ key, mode }) {
  return key === null || key < 0 ? null : [TONES[key], ["minor", "major"][mode]].join(" ").trimEnd();
}

/**
 * A table of songs.
 * @param {{id: string, name: string, words: string, result: ?object}[]} entries - `words` stand for a missing result
 * @param {{onOpen: function(string), onSelect: function(string[])}} on - what is called with the id that is opened, and
 *   whenever it changes with those that are picked, in the order of picking: at most two
 * @returns {HTMLElement} with `update()`, to be called when the entries have changed
 */
export function renderTable(entries, { onOpen, onSelect }) {
  const body = el("tbody"), rows = new Map();
  let picked = [], sorted = null;
  const showPicked = () => {
    picked = picked.filter((box) => box.isConnected && box.checked);
    if (picked.length > 2) picked.shift().checked = false;
    onSelect(picked.map((box) => box.value));
  };
  body.addEventListener("change", ({ target }) => {
    picked.push(target);
    showPicked();
  });
  const sortBy = (column, header) => {
    const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    headers.forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
    sorted = (a, b) => compared(a.result && column.of(a.result), b.result && column.of(b.result), sign);
    arrange();
  };
  const headers = COLUMNS.map((column) => el("th", { scope: "col", class: column.isNumber && "number" },
    el("button", { type: "button", onclick: (event) => sortBy(column, event.target.closest("th")) }, column.title)));
  const arrange = () => (sorted ? entries.toSorted(sorted) : entries).forEach(({ id }, place) => {
    const [is, shall] = [body.children[place], rows.get(id).row];
    if (is !== shall) body.insertBefore(shall, is ?? null); // only where it has to be, since the focus would leave it
  });
  const update = () => {
    for (const entry of entries) {
      const shown = rows.get(entry.id), words = entry.result ? null : entry.words;
      if (shown && shown.words === words) continue;
      rows.set(entry.id, { words, row: renderRow(entry, onOpen) });
      shown?.row.remove();
    }
    arrange();
    while (body.children.length > entries.length) body.lastChild.remove();
    if (picked.some((box) => !box.isConnected)) showPicked();
  };
  update();
  return Object.assign(el("table", { class: "songs-table" },
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "compare"), headers)), body), { update });
}

function renderRow({ id, name, words, result }, onOpen) {
  const head = (child) => el("th", { scope: "row" }, child);
  if (!result)
    return el("tr", {}, el("td"), head(el("bdi", {}, name)), el("td", { colspan: COLUMNS.length - 1 }, words));
  const box = el("input", { type: "checkbox", value: id, "aria-label": `Compare ${name}` });
  const open = el("button", { type: "button", dir: "auto", onclick: () => onOpen(id) }, name);
  const cells = COLUMNS.slice(1).map(({ title, of, show, isNumber }) => {
    const value = of(result), classes = [isNumber && "number", TARGETS.includes(title) && title].filter(Boolean);
    return el("td", { class: classes.join(" "), "data-title": title }, isMissing(value) ? "–" : show(value));
  });
  return el("tr", {}, el("td", {}, el("label", {}, box)), head(open), cells);
}

const isMissing = (value) => value === null || value === undefined || value === "";

/** The order of two values; what is missing comes last, whichever way the rest is sorted. */
function compared(a, b, sign) {
  if (isMissing(a) || isMissing(b)) return isMissing(a) - isMissing(b);
  return sign * (typeof a === "number" ? a - b : ORDER.compare(a, b));
}

/**
 * CSV (RFC 4180) of every field that is a number, a text or a truth value, in the JSON's order, a song a row.
 *
 * Those of an object within the JSON have its name in front: `tags.artist`. A text that spreadsheets would take for a
 * formula gets an apostrophe in front.
 * @param {object[]} results
 * @returns {string}
 */
export function toCsv(results) {
  const rows = results.map(({ id, ...result }) => new Map(scalars(result)));
  const titles = [...new Set(rows.flatMap((row) => [...row.keys()]))];
  return [titles, ...rows.map((row) => titles.map((title) => row.get(title)))]
    .map((cells) => `${cells.map(quoted).join(",")}\r\n`).join("");
}

function* scalars(object, prefix = "") {
  for (const [key, value] of Object.entries(object)) {
    if (value === null || typeof value !== "object") yield [prefix + key, value];
    else if (!prefix && !Array.isArray(value)) yield* scalars(value, `${key}.`);
  }
}

function quoted(value) {
  if (isMissing(value)) return "";
  const text = typeof value === "string" && FORMULA.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/u.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
