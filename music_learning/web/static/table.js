// Several songs as a table: sorted by its headers, opened by a name, two of them picked for a comparison, saved as CSV.
import { clock, el, fixed2, TARGETS } from "./dom.js";

const NUMBER = (field, show) => ({ title: field, of: (result) => result[field], show, isNumber: true });
const COLUMNS = [
  { title: "song", of: (result) => result.name },
  { ...NUMBER("duration_s", clock), title: "length" },
  ...TARGETS.map((target) => NUMBER(target, fixed2)),
  { title: "mood", of: (result) => result.mood },
  NUMBER("tempo", (tempo) => `${Math.round(tempo)} bpm`),
  { title: "key", of: keyOf },
];
const ORDER = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
const FORMULA = /^[=+\-@\t\r]/u; // what a spreadsheet takes for a formula

const TONES = ["C", "C♯/D♭", "D", "D♯/E♭", "E", "F", "F♯/G♭", "G", "G♯/A♭", "A", "A♯/B♭", "B"];

/** A result's key in words: `F♯/G♭ minor`; null where no tone stands out, or none can be told. */
export function keyOf({ key, mode }) {
  return key === null || key < 0 ? null : [TONES[key], ["minor", "major"][mode]].join(" ").trimEnd();
}

/**
 * A table of songs, each a result with its id.
 * @param {object[]} results
 * @param {{onOpen: (id: string) => void, onSelect: (ids: string[]) => void}} on `onSelect` gets what is picked whenever
 *   that changes: at most two, in the order in which they were picked
 * @returns {HTMLElement}
 */
export function renderTable(results, { onOpen, onSelect }) {
  const rows = results.map((result) => ({ result, row: renderRow(result, onOpen) }));
  const body = el("tbody", {}, rows.map(({ row }) => row));
  const picked = [];
  body.addEventListener("change", ({ target }) => {
    if (target.checked) picked.push(target);
    else picked.splice(picked.indexOf(target), 1);
    if (picked.length > 2) picked.shift().checked = false;
    onSelect(picked.map((box) => box.value));
  });
  const headers = COLUMNS.map((column) => {
    const header = el("th", { scope: "col", class: column.isNumber && "number" },
      el("button", { type: "button", onclick: () => sortBy(column, header) }, column.title));
    return header;
  });
  const sortBy = (column, header) => {
    const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    headers.forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
    rows.sort((a, b) => compared(column.of(a.result), column.of(b.result), sign));
    body.append(...rows.map(({ row }) => row));
  };
  const pick = el("th", { scope: "col", class: "pick" }, "compare");
  return el("table", { class: "songs-table" }, el("thead", {}, el("tr", {}, pick, headers)), body);
}

function renderRow(result, onOpen) {
  const box = el("input", { type: "checkbox", value: result.id, "aria-label": `Compare ${result.name}` });
  const name = el("button", { type: "button", dir: "auto", onclick: () => onOpen(result.id) }, result.name);
  const cells = COLUMNS.slice(1).map(({ title, of, show = String, isNumber }) => {
    const value = of(result), words = isMissing(value) ? "–" : show(value);
    const classes = [isNumber && "number", TARGETS.includes(title) && title];
    return el("td", { class: classes.filter(Boolean).join(" "), "data-title": title }, words);
  });
  return el("tr", {}, el("td", { class: "pick" }, el("label", {}, box)), el("th", { scope: "row" }, name), cells);
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
