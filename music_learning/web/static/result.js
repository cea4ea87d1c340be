/** One song's result, and what stands in its place while it is being heard. */

import { TARGETS, clock, day, download, el, fixed2, moodOf, percent } from "./dom.js";
import { bar, plane, timeline } from "./drawings.js";
import { setting } from "./store.js";
import { keyOf } from "./table.js";

const MEANING = { energy: ["calm", "intense"], danceability: ["hardly", "made to dance"], valence: ["sad or angry", "happy"] };
const MORE = { energy: "energetic", danceability: "danceable", valence: "positive" };
const SERVICES = {
  Spotify: "https://open.spotify.com/search/", YouTube: "https://www.youtube.com/results?search_query=",
  Deezer: "https://www.deezer.com/search/", "Apple Music": "https://music.apple.com/search?term=",
  Bandcamp: "https://bandcamp.com/search?q=", SoundCloud: "https://soundcloud.com/search?q=",
};
const N_SIMILAR = 5;

const card = (title, attributes, ...children) => {
  const name = title.toLowerCase().replace(/\W+/g, "-");
  return el("section", { ...attributes, class: `card ${attributes.class ?? ""}`, "aria-labelledby": name },
    el("h3", { id: name }, title), children);
};
const quiet = (...words) => el("p", { class: "quiet" }, words);
const isKnown = (value) => value !== null && value !== undefined;

/**
 * A result.
 * @param {object} result
 * @param {?object} models - what `/api/models` says; null where that is not known
 * @param {{player: {url: ?string, note: ?string}}} options - where the sound is, or why there is none
 * @returns {HTMLElement} with `setExplanation(explanation)`, for one that comes later
 */
export function renderResult(result, models, { player, isComing }) {
  const artist = result.tags?.artist, why = whyCard(result.explanation, isComing);
  const article = el("article", { class: "result" },
    el("header", {},
      el("h2", { tabindex: -1, dir: "auto" }, result.name),
      quiet(artist && el("bdi", {}, `${artist} · `), clock(result.duration_s), ` · ${day(result.analysed_at)}`),
      el("p", { class: "mood" }, el("b", {}, moodOf(result)), " ",
        isKnown(result.mood_probability) && el("span", {}, `${Math.round(10 * result.mood_probability)} in 10`)),
      result.warnings.map((warning) => el("p", { class: "warning", role: "note" }, warning))),
    body(result, models, player, why), actions(result, models));
  article.setExplanation = why.set;
  return article;
}

/**
 * What stands there until the result comes, as large as one.
 * @param {object} entry - the song, with what is happening to it as `words`
 * @returns {HTMLElement} with `update()`, to be called when that has changed
 */
export function renderWaiting(entry, { onCancel, showProgress }) {
  const state = el("span", {}), progress = el("progress", { "aria-label": "Progress" });
  const some = Object.fromEntries(TARGETS.flatMap((t) => [[t, 0.5], [`${t}_low`, 0.4], [`${t}_high`, 0.6], [`${t}_percentile`, 50]]));
  const song = { title: "A song's title", artist: "An artist", year: 2000, closeness: "alike" };
  const likely = { ...some, name: "", duration_s: 30, moods: {}, mood: "happy and excited", mood_probability: 0.8, tempo: 120, key: 0,
    mode: 1, loudness: -8, similar_songs: Array(N_SIMILAR).fill(song), similar_artists: Array(3).fill(song), timeline: [{ start_s: 0, ...some }],
    drawing: { loudness: [0.5], mood_outlines: [] }, markets: Array(10).fill({ name: "A country", chance: 0.1 }) };
  const article = el("article", { class: "result waiting" },
    el("header", {}, el("h2", { tabindex: -1, dir: "auto" }, entry.name), el("p", { class: "quiet" }, state),
      el("p", { class: "mood" }, progress, el("button", { type: "button", onclick: onCancel }, "Cancel"))),
    el("div", { inert: true, "aria-hidden": "true" }, body(likely, null, {}, whyCard(null, true))));
  article.update = () => {
    state.textContent = entry.words || "Waiting";
    showProgress(progress, entry);
  };
  article.update();
  return article;
}

const body = (result, models, player, why) => [
  el("div", { class: "values" }, TARGETS.map((target) => valueCard(result, target, models))),
  overTime(result, player), why, el("div", { class: "two" }, moodCard(result, models), similarCard(result, models)),
  el("div", { class: "two" }, result.markets?.length ? marketsCard(result.markets, models) : null, soundCard(result)),
  howSure(models)];

function valueCard(result, target, models) {
  const [low, high, truth] = [result[`${target}_low`], result[`${target}_high`], result.spotify?.[target]];
  const among = models ? `what charts in ${models.charts.n_countries} countries` : "chart songs";
  return card(target, { class: `value ${target}` },
    el("p", { class: "number" }, fixed2(result[target])), bar(result[target], low, high, truth, target),
    el("p", { class: "ends", "aria-hidden": "true" }, MEANING[target].map((word) => el("span", {}, word))),
    el("p", {}, `More ${MORE[target]} than ${Math.round(result[`${target}_percentile`])}\u00a0% of ${among}.`),
    isKnown(low) && quiet(`For 9 of 10 songs, Spotify's value is within ${fixed2(low)} to ${fixed2(high)}.`),
    isKnown(truth) && quiet(`Spotify says ${fixed2(truth)} (the notch).`));
}

function overTime(result, { url, note }) {
  const audio = url ? el("audio", { src: url, preload: "metadata" }) : null;
  const button = audio && el("button", { type: "button", class: "play" }, "Play"), time = el("span", { class: "time" });
  const words = el("span", { class: "quiet" }, note);
  const drawing = timeline([result], { onSeek: (seconds) => {
    if (audio?.readyState) audio.currentTime = seconds;
    showTime(seconds);
  } });
  const showTime = (seconds) => (time.textContent = `${clock(seconds)} of ${clock(result.duration_s)}`);
  showTime(0);
  if (audio) {
    button.addEventListener("click", () => (audio.paused ? audio.play().catch(() => null) : audio.pause()));
    audio.addEventListener("timeupdate", () => {
      drawing.setPosition(audio.currentTime);
      showTime(audio.currentTime);
    });
    for (const name of ["play", "pause", "ended"])
      audio.addEventListener(name, () => (button.textContent = audio.paused ? "Play" : "Pause"));
    audio.addEventListener("error", () => {
      button.hidden = true;
      words.textContent = "This browser can't play this kind of file.";
    });
  }
  return card("Over time", { class: "time-card" }, drawing, el("p", { class: "player" }, button, time, words, audio));
}

function whyCard(explanation, isComing) {
  const words = el("div", { class: "words", tabindex: isComing ? 0 : null });
  const section = card("Why", { class: isComing ? "why coming" : "why" }, words);
  section.set = ({ sentences, reason }) => words.replaceChildren(...(sentences
    ? TARGETS.map((target) => el("div", { class: target }, el("h4", {}, target),
      sentences[target].map((words) => el("p", {}, words)),
      sentences[target].length ? null : quiet("Nothing stands out.")))
    : [quiet(reason ?? "Nothing was explained here.")]));
  if (explanation) section.set(explanation);
  else words.append(quiet(isComing ? "Finding out what made it so …" : "Nothing is explained here."));
  return section;
}

function moodCard(result, models) {
  const lies = result.drawing.mood_outlines.length ? "Spotify's own values lie within the inner outline for 5 of 10 songs, within the outer for 9. " : "";
  const dots = models ? `Each small dot is one of ${models.charts.n_songs.toLocaleString("en")} chart songs.` : "";
  return card("Its mood", {}, plane([result], models?.charts), quiet(lies, dots));
}

function similarCard({ similar_songs: songs, similar_artists: artists }, models) {
  const links = [];
  const link = (words, query) => {
    const element = el("a", { target: "_blank", rel: "noreferrer noopener" }, words);
    links.push([element, query]);
    return element;
  };
  const chosen = setting("service"), select = el("select", { onchange: () => {
    setting("service", select.value);
    point();
  } }, Object.keys(SERVICES).map((name) => el("option", { selected: name === chosen }, name)));
  const point = () => links.forEach(([element, query]) => (element.href = SERVICES[select.value] + encodeURIComponent(query)));
  const list = el("ol", { class: "songs" }, songs.slice(0, N_SIMILAR).map(({ title, artist, year, closeness, path }) => el("li", {},
    path ? el("b", {}, title) : link(title, `${title} ${artist}`), el("span", {}, [artist, year, closeness].filter(Boolean).join(" · ")),
    path && el("span", { class: "path" }, path))));
  const names = artists.flatMap(({ artist }, i) => [i ? ", " : "", link(artist, artist)]);
  const section = card("Similar songs", {}, list, artists.length ? el("p", {}, "Similar artists: ", names, ".") : null,
    links.length ? el("p", {}, el("label", {}, "Look them up at ", select)) : null,
    quiet(`Found among ${models ? models.n_index_songs.toLocaleString("en") : "the"} songs by how they sound, not by who listens to them.`));
  point();
  return section;
}

function marketsCard(markets, models) {
  const { top, share, chance: guess, n_countries } = models?.markets ?? {};
  return card("Where such songs chart", {}, el("ol", { class: "markets" }, markets.map(({ name, chance }) => el("li", {},
    el("span", {}, name), bar(chance / markets[0].chance, null, null, null, "market"), el("span", {}, percent(chance))))),
    quiet("How likely a song that charts in one or two countries charts there. ", top && `A weak hint: their own country is among ` +
      `the first ${top} of ${n_countries} for ${percent(share)} of songs, and for ${percent(guess)} by chance.`));
}

function soundCard(result) {
  const { tempo, time_signature, loudness } = result;
  const facts = [["tempo", tempo && `${Math.round(tempo)} bpm`], ["key", keyOf(result)], ["beats in a bar", time_signature],
    ["loudness", isKnown(loudness) && `${loudness.toFixed(1)} dB`],
    ...["acousticness", "instrumentalness", "speechiness"].map((name) => [name, isKnown(result[name]) && fixed2(result[name])])];
  const known = facts.filter(([, words]) => words);
  return known.length ? card("Its sound", {}, el("dl", {},
    known.map(([name, words]) => el("div", {}, el("dt", {}, name), el("dd", {}, words))))) : null;
}

function howSure(models) {
  const off = TARGETS.map((target) => models && `${fixed2(models.mean_errors[target])} (${target})`);
  return card("How sure is this?", { class: "sure" }, el("p", {}, "For artists that they never heard, the models are off by ",
    models ? `${off[0]}, ${off[1]} and ${off[2]}` : "some hundredths", " on average. Very low and very high values come out less extreme than Spotify's."));
}

function actions(result, models) {
  const { id, ...json } = result, file = result.name.replace(/[^\p{L}\p{N} _-]+/gu, "_").slice(0, 60) || "song";
  const share = async () => {
    const { sharePicture } = await import("./share.js");
    const picture = new File([await sharePicture(result, models)], `${file}.png`, { type: "image/png" });
    if (navigator.canShare?.({ files: [picture] })) await navigator.share({ files: [picture] }).catch(() => null);
    else download(picture, picture.name, picture.type);
  };
  return el("p", { class: "buttons" }, el("button", { type: "button", class: "main", onclick: share }, "Share a picture"),
    el("button", { type: "button", onclick: () => download(JSON.stringify(json, null, 2), `${file}.json`, "application/json") }, "Save as JSON"),
    el("a", { class: "button", href: `#/compare/${id}` }, "Compare"));
}
