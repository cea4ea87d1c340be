/** The page: songs that are chosen, their rows, and what the address asks to show. */

import { analyse, getJson } from "./api.js";
import { TARGETS, clock, day, download, el, fixed2, moodOf, percent } from "./dom.js";
import * as store from "./store.js";

// Places, by the address: `#/song/<id>`, `#/songs`, `#/compare/<id>` or `#/compare/<id>/<id>`, else the start.

const AT_ONCE = 2; // requests; further songs wait here, and the one chosen last goes first
const SPOKEN_S = 60; // from which length on half of a song is worth a word
const TITLE = document.title;
const $ = (id) => document.getElementById(id);
const entries = []; // songs, the one chosen last first: {id, name, source, state, words, share, result}
let nChosen = 0;
let ticket = 0; // of what is shown: what comes late for an earlier place isn't shown
let models = null;

const loadModels = () => (models ??= getJson("models").catch(() => (models = null)));
const loadPart = (name) => import(`./${name}.js`);
const say = (words) => ($("spoken").textContent = words);
const go = (place) => (location.hash = place);
const songPlace = (id) => `#/song/${id}`;
const entryOf = (id) => entries.find((entry) => entry.id === id);
const results = () => entries.map(({ result }) => result).filter(Boolean);
const isShown = (entry) => location.hash === songPlace(entry.id);

function trouble(sentence) {
  $("alarm").textContent = sentence ?? "";
  $("alarm").hidden = !sentence;
}

// --- songs and their rows ---

/** An id, in the alphabet behind those of earlier songs, and unlike other tabs'. (`randomUUID` is for https alone.) */
function newId() {
  const order = [Date.now(), nChosen++].map((n) => n.toString(36).padStart(9, "0"));
  return order.join("") + crypto.getRandomValues(new Uint32Array(2)).join("");
}

const valuesOf = (result) => TARGETS.map((target) => el("span", { class: `small ${target}`, title: target },
  el("b", {}, target[0].toUpperCase(), el("span", { class: "hidden" }, target.slice(1))),
  ` ${fixed2(result[target])} `));

const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** Give a song its row in the list; `row.update()` shows what has become of it. */
function addRow(entry) {
  const name = el("b", { dir: "auto" }), state = el("span", { class: "state" });
  const link = el("a", { href: songPlace(entry.id) }, name, state), progress = el("progress", {});
  const remove = el("button", { type: "button", class: "x", onclick: () => removeEntry(entry) }, "×");
  entry.row = el("li", { class: "row" }, link, remove, progress);
  entry.row.update = () => {
    name.textContent = entry.name;
    const { result } = entry, day = result && DAY.format(new Date(result.analysed_at));
    state.replaceChildren(...(result ? [...valuesOf(result), day] : [entry.words]));
    showProgress(progress, entry);
    remove.setAttribute("aria-label", `${isAtWork(entry) ? "Cancel" : "Remove"} ${entry.name}`);
    entry.row.classList.toggle("failed", entry.state === "failed");
    if (isShown(entry)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  };
  entry.row.update();
}

function showProgress(progress, { name, state, share }) {
  progress.setAttribute("aria-label", `Progress of ${name}`);
  progress.classList.toggle("idle", state !== "ready" && state !== "running");
  if (share === null) progress.removeAttribute("value");
  else progress.value = share;
}

const isAtWork = ({ state }) => state === "ready" || state === "running";

/** Show what has become of a song: in its row, in the result's place and in the table. */
function update(entry, changes = {}) {
  Object.assign(entry, changes);
  entry.row.update();
  if (isShown(entry) || location.hash === "#/songs") $("view").firstChild?.update?.();
}

function chooseFiles(files) {
  choose(Array.from(files, (file) => ({ file, name: file.name.replace(/\.[^.]+$/, "") || file.name })));
}

function choose(sources) {
  trouble();
  if (!sources.length) return;
  for (const source of sources) {
    const entry = { id: newId(), name: source.name, source, state: "ready", words: "", share: 0, result: null };
    addRow(entry);
    entries.unshift(entry);
    $("rows").prepend(entry.row);
  }
  go(songPlace(entries[0].id));
  arrange();
  showList();
  startNext();
}

const atWork = () => entries.filter(({ job }) => job);

async function startNext() {
  const { limits } = (await loadModels()) ?? {};
  for (const entry of entries.filter(({ state }) => state === "ready")) {
    const { file } = entry.source;
    if (limits && file?.size > limits.file_mb * 1e6) {
      const size_mb = Math.ceil(file.size / 1e6);
      fail(entry, `This file has ${size_mb} MB; at most ${limits.file_mb} are possible. Save it as mp3.`, true);
    } else if (atWork().length < AT_ONCE) start(entry);
  }
  entries.filter(({ state }) => state === "ready").forEach((entry, i) => {
    update(entry, { words: `Waiting behind ${atWork().length + i}` });
  });
}

function start(entry) {
  let isHalf = false;
  entry.job = analyse(entry.source, {
    onUpload: (share) => update(entry, { share, words: share < 1 ? `Uploading ${percent(share)}` : "Uploaded" }),
    onWaiting: ({ ahead }) => update(entry, { share: null, words: ahead ? `Waiting behind ${ahead}` : "Hearing it" }),
    onProgress: ({ heard_s, duration_s }) => {
      const share = duration_s ? Math.min(heard_s / duration_s, 1) : null;
      update(entry, { share, words: `Heard ${clock(heard_s)}${duration_s ? ` of ${clock(duration_s)}` : ""}` });
      if (isHalf || share === null || share < 0.5) return;
      isHalf = true;
      if (isShown(entry) && duration_s >= SPOKEN_S) say("Half of it is heard.");
    },
    onResult: (result) => finish(entry, result),
    onExplanation: (explanation) => explain(entry, explanation),
  });
  update(entry, { state: "running", share: 0, words: "Uploading" });
  entry.job.promise.catch((error) => error && fail(entry, error.message, error.isLasting)).then(() => {
    entry.job = null;
    if (entry.result && !entry.result.explanation) explain(entry, { reason: "The explanation didn't come." });
    startNext();
  });
}

function fail(entry, words, isLasting = false) {
  if (entry.result) return; // it was the explanation that failed
  update(entry, { state: "failed", words, isLasting });
  if (isShown(entry)) show();
  else say(`${entry.name}: ${words}`);
}

function finish(entry, result) {
  update(entry, { state: "done", name: result.name, result: { ...result, id: entry.id } });
  store.put(entry.result).catch(() => trouble("This browser has no room for the result: it goes with the page."));
  if (isShown(entry)) {
    show();
    say(`${result.name}: ${moodOf(result)}. ${TARGETS.map((t) => `${t} ${fixed2(result[t])}`).join(", ")}.`);
  } else if (!entries.some(isAtWork)) say("All songs are heard.");
  showList();
}

function explain(entry, explanation) {
  entry.result.explanation = explanation;
  if (isShown(entry)) $("view").firstChild?.setExplanation?.(explanation);
  if (entries.includes(entry)) store.put(entry.result).catch(() => null);
}

function again(entry) {
  update(entry, { state: "ready", words: "", share: 0 });
  show();
  startNext();
}

/** Stop what is done for a song, or take away what came of it. */
function removeEntry(entry) {
  entry.job?.cancel();
  if (isAtWork(entry)) {
    fail(entry, "Stopped.");
    return startNext();
  }
  entries.splice(entries.indexOf(entry), 1);
  entry.row.remove();
  URL.revokeObjectURL(entry.url);
  store.remove(entry.id).catch(() => null);
  if (location.hash.includes(entry.id)) go(entries.length ? songPlace(entries[0].id) : "#");
  showList();
}

function showList() {
  $("songs").hidden = !entries.length;
  $("all").hidden = entries.length < 2;
  $("clear").hidden = entries.every(isAtWork);
  if (location.hash === "#/songs") $("view").firstChild?.update?.();
}

// --- what is shown ---

const heading = (words) => el("h2", { tabindex: -1, dir: "auto" }, words);
const message = (title, ...children) => el("article", { class: "message card" }, heading(title), children);

async function songView(id) {
  const entry = entryOf(id);
  if (!entry) {
    return message("This song isn't here", el("p", {}, "It was still being heard when the page was closed or loaded " +
      "anew, or its result was removed. Choose it again."));
  }
  if (entry.state === "failed") {
    return message(entry.name, el("p", { class: "trouble", role: "alert" }, entry.words),
      !entry.isLasting && el("button", { type: "button", onclick: () => again(entry) }, "Try again"));
  }
  const { renderResult, renderWaiting } = await loadPart("result"), { file } = entry.source, { result } = entry;
  if (!result) return renderWaiting(entry, { onCancel: () => removeEntry(entry), showProgress });
  if (file) entry.url ??= URL.createObjectURL(file);
  const note = result.spotify ? "No sound is kept of the examples." :
    "Only the numbers are kept. Choose the file again to hear it.";
  const player = file ? { url: entry.url } : { note }, isComing = Boolean(entry.job && !result.explanation);
  return renderResult(result, await loadModels(), { player, isComing });
}

async function tableView() {
  const { renderTable, toCsv } = await loadPart("table"), { plane } = await loadPart("drawings");
  const models = await loadModels(), onOpen = (id) => go(songPlace(id));
  const drawing = el("section", { class: "card", "aria-label": "Mood plane" });
  const save = () => download(toCsv(results()), "songs.csv", "text/csv");
  let picked = [], drawn = null;
  const compare = el("button", { type: "button", onclick: () => go(`#/compare/${picked.join("/")}`) }, "Compare two");
  const table = renderTable(entries, { onOpen, onSelect: (ids) => {
    picked = ids;
    compare.disabled = ids.length !== 2;
  } });
  const article = el("article", { class: "several" }, heading("All songs"),
    el("p", { class: "buttons" }, compare,
      el("button", { type: "button", onclick: save }, "Save as CSV")),
    el("section", { class: "card", "aria-label": "Table" }, table), drawing);
  compare.disabled = true;
  article.update = () => {
    table.update();
    if (drawn?.length === results().length) return;
    drawn = results();
    drawing.replaceChildren(plane(drawn, models?.charts, { onOpen, named: true }));
  };
  article.update();
  return article;
}

async function compareView(...ids) {
  const [a, b] = ids.map((id) => entryOf(id)?.result), others = results().filter(({ id }) => id !== ids[0]);
  if (!a || (ids[1] && !b)) return message("One of these songs isn't here", el("p", {}, "Its result was removed."));
  if (b) {
    const { renderCompare } = await loadPart("compare");
    const parts = renderCompare(a, b, await loadModels());
    return el("article", { class: "comparison" }, heading("Two versions compared"), parts);
  }
  const choices = others.map((other) => el("li", { class: "row" }, el("a", { href: `#/compare/${a.id}/${other.id}` },
    el("b", { dir: "auto" }, other.name), el("span", { class: "state" }, valuesOf(other)))));
  return message(`Compare ${a.name} with`, choices.length ? el("ul", { class: "rows" }, choices) :
    el("p", {}, "Choose a second song first; then come back to this one."));
}

const VIEWS = new Map([["song", songView], ["songs", tableView], ["compare", compareView]]);

/** Make room for what the address asks for. Returns what makes it; nothing at the start. */
function arrange() {
  const [, place, ...ids] = location.hash.split("/"), make = VIEWS.get(place);
  document.body.dataset.place = make ? place : "start";
  $("view").hidden = !make;
  return make && (() => make(...ids));
}

/** Show what the address asks for. If that `isNew`, its heading comes into view and has the focus. */
async function show(isNew = false) {
  const mine = ++ticket, view = $("view"), make = arrange();
  let content = null;
  try {
    content = await make?.();
  } catch (error) {
    console.error(error);
    content = message("The server can't be reached", el("p", {}, "It is needed to show this. Is it still running?"),
      el("button", { type: "button", onclick: () => location.reload() }, "Try again"));
  }
  if (mine !== ticket) return;
  const hadFocus = view.contains(document.activeElement);
  view.querySelector("audio")?.pause();
  view.replaceChildren(...(content ? [content] : []));
  entries.forEach((entry) => entry.row.update());
  const title = content?.querySelector("h2");
  document.title = title ? `${title.textContent} – ${TITLE}` : TITLE;
  if (!title) return;
  if (hadFocus || isNew) title.focus({ preventScroll: true });
  const { top, bottom } = title.getBoundingClientRect();
  if (isNew && (top < 0 || bottom > innerHeight)) title.scrollIntoView();
}

// --- what people do ---

function listen() {
  $("pick").addEventListener("click", () => $("files").click());
  $("files").addEventListener("change", ({ target }) => {
    chooseFiles(target.files);
    target.value = "";
  });
  $("record").hidden = !(window.MediaRecorder && navigator.mediaDevices);
  $("record").addEventListener("click", async ({ currentTarget }) => {
    const { toggleRecording } = await loadPart("record");
    toggleRecording(currentTarget, { onFile: (file) => chooseFiles([file]), onTrouble: trouble });
  });
  const drag = (isOver) => document.body.classList.toggle("dragging", isOver);
  addEventListener("dragover", (event) => {
    event.preventDefault();
    drag(true);
  });
  addEventListener("dragleave", ({ relatedTarget }) => relatedTarget || drag(false));
  addEventListener("drop", (event) => {
    event.preventDefault();
    drag(false);
    const { files } = event.dataTransfer;
    if (files.length) chooseFiles(files);
    else trouble("No song came with this: drop files.");
  });
  $("alarm").addEventListener("click", () => trouble());
  addEventListener("keydown", ({ key }) => key === "Escape" && trouble());
  $("clear").addEventListener("click", async () => {
    if (!confirm("Remove all results from this browser?")) return;
    go("#");
    entries.filter((entry) => !isAtWork(entry)).forEach(removeEntry);
    await store.clear();
  });
  addEventListener("hashchange", () => show(entries.length !== 0 || location.hash.length > 1));
}

async function showExamples() {
  const songs = await getJson("examples").catch(() => []);
  $("examples").querySelector("ul").replaceChildren(...songs.map(({ id, title, artist }) => {
    const onclick = () => choose([{ example: id, name: title }]);
    return el("li", {}, el("button", { type: "button", onclick }, title, el("span", {}, artist)));
  }));
  $("examples").hidden = !songs.length;
  $("about").hidden = false;
}

async function begin() {
  listen();
  for (const result of await store.all().catch(() => [])) {
    const entry = { id: result.id, name: result.name, source: {}, state: "done", words: "", share: 0, result };
    addRow(entry);
    entries.push(entry);
  }
  $("rows").append(...entries.map(({ row }) => row));
  $("kept").hidden = await store.isKept();
  showList();
  await Promise.all([show(), showExamples()]);
  setTimeout(() => Promise.all([loadModels(), loadPart("result")]).catch(() => null), 200); // before they are needed
}

begin();
