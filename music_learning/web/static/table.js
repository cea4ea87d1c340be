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
let sorted = { column: null, sign: 1 }, picked = []; // in the table that was shown last
const ORDER = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
const FORMULA = /^[=+\-@\t\r]/u; // what a spreadsheet takes for a formula

const TONES = ["C", "C♯/D♭", "D", "D♯/E♭", "E", "F", "F♯/G♭", "G", "G♯/A♭", "A", "A♯/B♭", "B"];

/** A result's key in words: `F♯/G♭ minor`; null where no tone stands out, or none can be told. */
export function keyOf({ key, mode }) {
  return key === null || key < 0 ? null : [TONES[key], ["minor", "major"][mode]].join(" ").trimEnd();
}

/**
 * A table of songs, sorted and picked as the last one was: it is made anew whenever a song has come to it.
 * @param {object[]} results
 * @param {{onOpen: function(string), onSelect: function(string[])}} on - what is called with the id that is opened, and
 *   with those that are picked, now and whenever that changes: at most two, in the order of picking
 * @returns {HTMLElement}
 */
export function renderTable(results, { onOpen, onSelect }) {
  const rows = results.map((result) => ({ result, row: renderRow(result, onOpen) }));
  const body = el("tbody", {}, rows.map(({ row }) => row)), boxes = [...body.querySelectorAll("input")];
  const showPicked = () => {
    picked = picked.filter((id) => boxes.some((box) => box.value === id)).slice(-2);
    boxes.forEach((box) => (box.checked = picked.includes(box.value)));
    onSelect(picked);
  };
  body.addEventListener("change", ({ target: { checked, value } }) => {
    picked = checked ? [...picked, value] : picked.filter((id) => id !== value);
    showPicked();
  });
  const headers = COLUMNS.map((column) => el("th", { scope: "col", class: column.isNumber && "number" },
    el("button", { type: "button", onclick: () => {
      sorted = { column, sign: sorted.column === column ? -sorted.sign : 1 };
      sort();
    } }, column.title)));
  const sort = () => {
    const { column, sign } = sorted;
    headers[COLUMNS.indexOf(column)]?.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
    headers.filter((_, place) => COLUMNS[place] !== column).forEach((header) => header.removeAttribute("aria-sort"));
    if (column) rows.sort((a, b) => compared(column.of(a.result), column.of(b.result), sign));
    body.append(...rows.map(({ row }) => row));
  };
  sort();
  showPicked();
  return el("table", { class: "songs-table" },
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "compare"), headers)), body);
}

function renderRow(result, onOpen) {
  const { id, name } = result;
  const box = el("input", { type: "checkbox", value: id, "aria-label": `Compare ${name}` });
  const open = el("button", { type: "button", dir: "auto", onclick: () => onOpen(id) }, name);
  const cells = COLUMNS.slice(1).map(({ title, of, show, isNumber }) => {
    const value = of(result), classes = [isNumber && "number", TARGETS.includes(title) && title].filter(Boolean);
    return el("td", { class: classes.join(" "), "data-title": title }, isMissing(value) ? "–" : show(value));
  });
  return el("tr", {}, el("td", {}, el("label", {}, box)), el("th", { scope: "row" }, open), cells);
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
