/** The page: songs that are chosen, their rows, and what the address asks to show. */

import { analyse, getJson } from "./api.js";
import { TARGETS, button, clock, el, fixed2, heading, percent } from "./dom.js";
import * as store from "./store.js";

const AT_ONCE = 2; // requests; further songs wait here, and the one chosen last goes first
const SPOKEN_S = 60; // from which length on half of a song is worth a word
const LASTING = [400, 413, 415, 422]; // answers that come again
const TITLE = document.title;
const $ = (id) => document.getElementById(id);
const entries = []; // songs, the latest first: {id, name, source, words, share, result, isKept, isFailed, job, row}
let nChosen = 0;
let ticket = 0; // of what is shown: what comes late for an earlier place isn't shown
let models = null;

const loadModels = () => (models ??= getJson("models").catch(() => (models = null)));
const loadPart = (name) => import(`./${name}.js`);
const say = (words) => ($("spoken").textContent = words);
const isShown = ({ id }) => location.hash === `#/song/${id}`;
const isAtWork = ({ result, isFailed }) => !result && !isFailed;

function trouble(sentence) {
  $("alarm").textContent = sentence ?? "";
  $("alarm").hidden = !sentence;
}

// --- songs and their rows ---

/** An id, in the alphabet behind those of earlier songs, and unlike other tabs'. (`randomUUID` is for https alone.) */
const newId = () => [Date.now(), String(nChosen++).padStart(6, "0"), Math.random().toString(36).slice(2)].join("-");

/** A result's values by their initials, and its day. */
function valuesOf(result) {
  const values = TARGETS.map((target) => el("span", { class: `small ${target}`, title: target },
    el("b", {}, target[0].toUpperCase(), el("span", { class: "hidden" }, target.slice(1))),
    ` ${fixed2(result[target])} `));
  return [...values, new Date(result.analysed_at).toLocaleDateString("en-GB", { day: "numeric", month: "short" })];
}

/** Give a song its row; the row's `update()` shows what has become of it. */
function renderRow(entry) {
  const name = el("b", { dir: "auto" }), state = el("span", { class: "state" }), progress = el("progress");
  const link = el("a", { href: `#/song/${entry.id}` }, name, state);
  const remove = button("×", () => removeEntry(entry), { class: "x" });
  entry.row = el("li", { class: "row" }, link, remove, progress);
  entry.row.update = () => {
    name.textContent = entry.name;
    state.replaceChildren(...(entry.result ? valuesOf(entry.result) : [entry.words]));
    showProgress(progress, entry);
    progress.hidden = !isAtWork(entry);
    remove.ariaLabel = `${isAtWork(entry) ? "Cancel" : "Remove"} ${entry.name}`;
    entry.row.classList.toggle("failed", Boolean(entry.isFailed));
    link.ariaCurrent = isShown(entry) ? "page" : null;
  };
  entry.row.update();
  return entry.row;
}

function showProgress(progress, entry) {
  progress.ariaLabel = `Progress of ${entry.name}`;
  if (entry.share === null) progress.removeAttribute("value");
  else progress.value = entry.share;
}

/** Show what has become of the songs: what the list offers, and what is shown of them. */
function refresh() {
  $("songs").hidden = !entries.length;
  $("all").hidden = entries.length < 2;
  $("songs-title").textContent = `Your songs${entries.length > 1 ? ` (${entries.length})` : ""}`;
  $("clear").hidden = entries.every(isAtWork);
  $("view").firstChild?.update?.();
}

function add(entry) {
  entries.unshift(entry);
  $("rows").prepend(renderRow(entry));
}

/** Bring in what is kept, and take away what another tab removed. */
async function readStore() {
  const kept = await store.all();
  entries.filter(({ id, isKept }) => isKept && !kept.some((result) => result.id === id)).forEach(removeEntry);
  for (const result of kept.reverse())
    if (!entryOf(result.id)) add({ id: result.id, name: result.name, source: {}, share: null, result, isKept: true });
  refresh();
}

function update(entry, changes) {
  Object.assign(entry, changes);
  entry.row.update();
  refresh();
}

function chooseFiles(files) {
  if (!files.length) return trouble("No song came with this: drop files.");
  choose(Array.from(files, (file) => ({ file, name: file.name.replace(/\.[^.]+$/, "") || file.name })));
}

function choose(sources) {
  trouble();
  for (const source of sources) add({ id: newId(), name: source.name, source, words: "Waiting", share: 0 });
  location.hash = `#/song/${entries[0].id}`;
  refresh();
  startNext();
}

async function startNext() {
  const limit_mb = (await loadModels())?.limits.file_mb, waiting = () => entries.filter((e) => isAtWork(e) && !e.job);
  for (const entry of waiting()) {
    const size_mb = Math.ceil((entry.source.file?.size ?? 0) / 1e6);
    if (size_mb > limit_mb)
      fail(entry, `This file has ${size_mb} MB; at most ${limit_mb} are possible. Save it as mp3.`, true);
    else if (entries.filter(({ job }) => job).length < AT_ONCE) start(entry);
  }
  waiting().forEach((entry, i) => update(entry, { words: `Waiting behind ${AT_ONCE + i}` }));
}

function start(entry) {
  let isHalf = false;
  entry.job = analyse(entry.source, {
    upload: (share) => update(entry, { share, words: share < 1 ? `Uploading ${percent(share)}` : "Uploaded" }),
    waiting: ({ ahead }) => update(entry, { share: null, words: ahead ? `Waiting behind ${ahead}` : "Hearing it" }),
    progress: ({ heard_s, duration_s }) => {
      const share = duration_s ? Math.min(heard_s / duration_s, 1) : null;
      update(entry, { share, words: `Heard ${clock(heard_s)}${duration_s ? ` of ${clock(duration_s)}` : ""}` });
      if (!isHalf && share >= 0.5 && duration_s >= SPOKEN_S && isShown(entry)) say("Half of it is heard.");
      isHalf = share >= 0.5;
    },
    result: (result) => finish(entry, result), explanation: (explanation) => explain(entry, explanation),
    error: ({ error, status, isLasting = LASTING.includes(status) }) =>
      fail(entry, error ?? `The server answered with ${status}. Try again.`, isLasting),
    end: () => {
      entry.job = null;
      fail(entry, "The server ended the connection before it had a result. Try again.");
      if (entry.result && !entry.result.explanation) explain(entry, { reason: "The explanation didn't come." });
      startNext();
    },
  });
  update(entry, { words: "Uploading" });
}

/** Say what became of a song instead of a result; not of one that has a result, or had failed. */
function fail(entry, words, isLasting = false) {
  if (!isAtWork(entry)) return;
  update(entry, { isFailed: true, words, isLasting });
  if (isShown(entry)) show();
  else say(`${entry.name}: ${words}`);
}

function finish(entry, result) {
  update(entry, { name: result.name, result: { ...result, id: entry.id } });
  store.put(entry.result).then((key) => (entry.isKept = Boolean(key)), // none where nothing is kept
    () => trouble("This browser has no room for the result: it goes with the page."));
  if (isShown(entry)) {
    show();
    say(`${result.name}: ${result.mood_words}. ${TARGETS.map((t) => `${t} ${fixed2(result[t])}`).join(", ")}.`);
  } else if (!entries.some(isAtWork)) say("All songs are heard.");
}

function explain(entry, explanation) {
  entry.result.explanation = explanation;
  if (isShown(entry)) $("view").firstChild?.setExplanation?.(explanation);
  if (entries.includes(entry)) store.replace(entry.result).catch(() => null);
}

function again(entry) {
  choose([entry.source]);
  removeEntry(entry);
}

/** Stop what is done for a song, or take away what came of it. */
function removeEntry(entry) {
  if (isAtWork(entry)) {
    fail(entry, "Stopped.");
  } else {
    const next = entry.row.nextElementSibling ?? entry.row.previousElementSibling;
    if (entry.row.contains(document.activeElement)) (next?.querySelector(".x") ?? $("pick")).focus();
    entries.splice(entries.indexOf(entry), 1);
    entry.row.remove();
    URL.revokeObjectURL(entry.url);
    store.remove(entry.id).catch(() => null);
    if (location.hash.includes(entry.id)) location.hash = entries.length ? `#/song/${entries[0].id}` : "";
    refresh();
  }
  entry.job?.abort();
}

// --- what is shown ---

const message = (title, ...children) => el("article", { class: "message card" }, heading(title), children);

const missing = () => message("This song isn't here", el("p", {}, "It was removed, or not heard. Choose it again."));
const entryOf = (id) => entries.find((entry) => entry.id === id);

async function songView(id) {
  const entry = entryOf(id);
  if (!entry) return missing();
  if (entry.isFailed)
    return message(entry.name, el("p", { class: "trouble", role: "alert" }, entry.words),
      !entry.isLasting && button("Try again", () => again(entry)));
  if (!entry.result) return waitingView(entry);
  if (entry.source.file) entry.url ??= URL.createObjectURL(entry.source.file);
  const { renderResult } = await loadPart("result");
  return renderResult(entry.result, await loadModels(), { url: entry.url, isComing: Boolean(entry.job) });
}

/** What stands there until the result comes; `update()` shows how far it is. */
function waitingView(entry) {
  const state = el("p", { class: "quiet" }), progress = el("progress"), place = () => el("div", { class: "card" });
  const article = el("article", { class: "result waiting" },
    el("header", {}, heading(entry.name), state,
      el("p", { class: "mood" }, progress, button("Cancel", () => removeEntry(entry)))),
    el("div", { class: "values" }, TARGETS.map(place)), place());
  article.update = () => {
    state.textContent = entry.words;
    showProgress(progress, entry);
  };
  article.update();
  return article;
}

async function tableView(...picked) {
  const { renderTable } = await loadPart("table");
  return renderTable(entries, picked, await loadModels());
}

async function compareView(...ids) {
  const [a, b] = ids.map((id) => entryOf(id)?.result);
  return a && b ? (await loadPart("compare")).renderCompare(a, b, await loadModels()) : missing();
}

// By the address: `#/song/<id>`, `#/songs` or `#/songs/<id of the one picked>`, `#/compare/<id>/<id>`, else the start.
const VIEWS = new Map([["song", songView], ["songs", tableView], ["compare", compareView]]);

/** Show what the address asks for. If that `isNew`, its heading comes into view and has the focus. */
async function show(isNew = false) {
  const mine = ++ticket, view = $("view"), [, place, ...ids] = location.hash.split("/"), make = VIEWS.get(place);
  document.body.dataset.place = make ? place : "start";
  view.hidden = !make;
  const content = await make?.(...ids).catch((error) => {
    console.error(error);
    return message("The server can't be reached", el("p", {}, "It is needed to show this. Is it still running?"),
      button("Try again", () => location.reload()));
  });
  if (mine !== ticket) return;
  const hadFocus = view.contains(document.activeElement), title = content?.querySelector("h2");
  view.replaceChildren(...(content ? [content] : []));
  entries.forEach(({ row }) => row.update());
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
    toggleRecording(currentTarget, { onFile: (file) => chooseFiles([file]), onTrouble: trouble, say });
  });
  for (const type of ["dragover", "dragleave", "drop"]) {
    addEventListener(type, (event) => {
      event.preventDefault();
      document.body.classList.toggle("dragging", type === "dragover" || (type === "dragleave" && event.relatedTarget));
      if (type === "drop") chooseFiles(event.dataTransfer.files);
    });
  }
  $("alarm").addEventListener("click", () => trouble());
  addEventListener("keydown", ({ key }) => key === "Escape" && trouble());
  $("clear").addEventListener("click", async () => {
    if (!confirm("Remove all results from this browser?")) return;
    location.hash = "";
    entries.filter((entry) => !isAtWork(entry)).forEach(removeEntry);
    await store.clear(); // those of other tabs, too
  });
  addEventListener("hashchange", () => show(true));
  addEventListener("visibilitychange", () => document.hidden || readStore().catch(() => null));
  addEventListener("beforeunload", (event) =>
    (entries.some(isAtWork) || $("record").matches(".recording")) && event.preventDefault());
  addEventListener("unhandledrejection", ({ reason }) => // a TypeError where a part of the page can't be fetched
    reason instanceof TypeError && trouble("The server can't be reached. Is it still running?"));
}

async function showExamples() {
  const songs = await getJson("examples").catch(() => []);
  $("examples").querySelector("ul").replaceChildren(...songs.map(({ id, title, artist }) => el("li", {},
    button([title, el("span", {}, artist)], () => choose([{ example: id, name: title }])))));
  $("examples").hidden = !songs.length;
  $("about").hidden = false;
}

async function begin() {
  listen();
  await readStore().catch(() => null);
  $("kept").hidden = await store.isKept();
  await Promise.all([show(), showExamples()]);
  setTimeout(() => Promise.all([loadModels(), loadPart("result")]).catch(() => null), 200); // before they are needed
}

begin();
