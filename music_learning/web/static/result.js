/** One song's result, and what stands in its place while it is being heard. */

import { TARGETS, clock, day, download, el, fixed2, inTen, isKnown, moodOf, percent } from "./dom.js";
import { bar, plane, timeline } from "./drawings.js";
import { setting } from "./store.js";
import { keyOf } from "./table.js";

const ENDS = {
  energy: ["calm", "intense"], danceability: ["hard to dance to", "made to dance"], valence: ["sad or angry", "happy"],
};
const WORDS = { energy: "energetic", danceability: "danceable", valence: "positive" };
const SERVICES = {
  Spotify: "https://open.spotify.com/search/", YouTube: "https://www.youtube.com/results?search_query=",
  Deezer: "https://www.deezer.com/search/", "Apple Music": "https://music.apple.com/search?term=",
  Bandcamp: "https://bandcamp.com/search?q=", SoundCloud: "https://soundcloud.com/search?q=",
};
const OTHERS = ["acousticness", "instrumentalness", "speechiness"];
const N_SIMILAR = 5;
const SONG = { title: "A song's title", artist: "An artist", year: 2000, closeness: "alike" };
const LIKELY = { // a result as large as most
  ...Object.fromEntries(TARGETS.flatMap((t) => ["", "_low", "_high", "_percentile"].map((end) => [t + end, 0.5]))),
  name: "", duration_s: 30, moods: {}, mood: "happy and excited", mood_probability: 0.8, tempo: 120, key: 0, mode: 1,
  time_signature: 4, loudness: -8, acousticness: 0.1, instrumentalness: 0.1, speechiness: 0.1,
  similar_songs: Array(N_SIMILAR).fill(SONG), similar_artists: Array(5).fill(SONG),
  timeline: [{ start_s: 0, energy: 0, danceability: 0, valence: 0 }], drawing: { loudness: [0], mood_outlines: [] },
  markets: Array(10).fill({ name: "Country", chance: 0.1 }),
};

const card = (title, attributes, ...children) => {
  const name = title.toLowerCase().replace(/\W+/g, "-");
  return el("section", { ...attributes, class: `card ${attributes.class ?? ""}`, "aria-labelledby": name },
    el("h3", { id: name }, title), children);
};
const quiet = (...words) => el("p", { class: "quiet" }, words);

/**
 * A result.
 * @param {object} result
 * @param {?object} models - what `/api/models` says; null where that is not known
 * @param {{player: {url: ?string, note: ?string}, isComing: boolean}} options - where the sound is, or why there is
 *   none; whether an explanation is on its way
 * @returns {HTMLElement} with `setExplanation(explanation)`, for one that comes later
 */
export function renderResult(result, models, { player, isComing }) {
  const artist = result.tags?.artist, chance = result.mood_probability, why = whyCard(result.explanation, isComing);
  const article = el("article", { class: "result" },
    el("header", {},
      el("h2", { tabindex: -1, dir: "auto" }, result.name),
      quiet(artist && el("bdi", {}, `${artist} · `), clock(result.duration_s), ` · ${day(result.analysed_at)}`),
      el("p", { class: "mood" }, el("b", {}, moodOf(result)),
        result.mood && isKnown(chance) && el("span", {}, ` ${inTen(chance)}`)),
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
  const state = el("p", { class: "quiet" }), progress = el("progress");
  const article = el("article", { class: "result waiting" },
    el("header", {}, el("h2", { tabindex: -1, dir: "auto" }, entry.name), state,
      el("p", { class: "mood" }, progress, el("button", { type: "button", onclick: onCancel }, "Cancel"))),
    el("div", { inert: true, "aria-hidden": "true" }, body(LIKELY, null, {}, whyCard(null, true))));
  article.update = () => {
    state.textContent = entry.words || "Waiting";
    showProgress(progress, entry);
  };
  article.update();
  return article;
}

const body = (result, models, player, why) => [
  el("div", { class: "values" }, TARGETS.map((target) => valueCard(result, target, models))),
  overTime(result, player), why,
  el("div", { class: "two" }, moodCard(result, models), similarCard(result, models)),
  el("div", { class: "two" }, marketsCard(result, models), soundCard(result)), howSure(models),
];

function valueCard(result, target, models) {
  const [low, high, truth] = [result[`${target}_low`], result[`${target}_high`], result.spotify?.[target]];
  const less = Math.round(result[`${target}_percentile`]), share = Math.min(Math.max(less, 100 - less), 99);
  const among = models ? `what charts in ${models.charts.n_countries} countries` : "chart songs";
  return card(target, { class: `value ${target}` },
    el("p", { class: "number" }, fixed2(result[target])), bar(result[target], low, high, truth, target),
    el("p", { class: "ends", "aria-hidden": "true" }, ENDS[target].map((word) => el("span", {}, word))),
    el("p", {}, `${less < 50 ? "Less" : "More"} ${WORDS[target]} than ${share}\u00a0% of ${among}.`),
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
  const of = (target, sentences) => el("div", { class: target }, el("h4", {}, target),
    sentences.map((sentence) => el("p", {}, sentence)), sentences.length ? null : quiet("Nothing stands out."));
  section.set = ({ sentences, reason }) => words.replaceChildren(
    ...(sentences ? TARGETS.map((target) => of(target, sentences[target])) : [quiet(reason)]));
  section.set(explanation ?? { reason: isComing ? "Finding out what made it so …" : "Nothing is explained here." });
  return section;
}

function moodCard(result, models) {
  const lies = "Spotify's own values lie within the inner outline for 5 of 10 songs, within the outer for 9 of 10. ";
  return card("Its mood", {}, plane([result], models?.charts), quiet(result.drawing.mood_outlines.length > 0 && lies,
    models && `Each small dot is one of ${models.charts.n_songs.toLocaleString("en")} chart songs.`));
}

function similarCard({ similar_songs: songs, similar_artists: artists }, models) {
  const links = [], chosen = setting("service"), n = models?.n_index_songs.toLocaleString("en") ?? "the";
  const link = (words, query) => {
    const element = el("a", { target: "_blank", rel: "noreferrer noopener" }, words);
    links.push(() => (element.href = SERVICES[select.value] + encodeURIComponent(query)));
    return element;
  };
  const select = el("select", { onchange: () => {
    setting("service", select.value);
    links.forEach((point) => point());
  } }, Object.keys(SERVICES).map((name) => el("option", { selected: name === chosen }, name)));
  const list = songs.slice(0, N_SIMILAR).map(({ title, artist, year, closeness, path }) => el("li", {},
    path ? el("b", {}, title) : link(title, `${title} ${artist}`), path && el("span", {}, path),
    el("span", {}, [artist, year, closeness].filter(Boolean).join(" · "))));
  const names = artists.flatMap(({ artist }, i) => [i ? ", " : "Similar artists: ", link(artist, artist)]);
  links.forEach((point) => point());
  return card("Similar songs", {}, el("ol", { class: "songs" }, list), el("p", {}, names),
    links.length ? el("p", {}, el("label", {}, "Look them up at ", select)) : null,
    quiet(`Found among ${n} songs by how they sound, not by who listens to them.`));
}

function marketsCard({ markets }, models) {
  if (!markets?.length) return null;
  const { top, share, chance: guess, n_countries: n } = models?.markets ?? {};
  const most = Math.max(...markets.map(({ chance }) => chance));
  const list = markets.map(({ name, chance }) => el("li", {}, el("span", {}, name),
    bar(chance / most, null, null, null, "market"), el("span", {}, percent(chance))));
  return card("Where such songs chart", {}, el("ol", { class: "markets" }, list),
    quiet("The most alike first, and how likely a song that charts in one or two countries charts there."),
    top ? quiet(`A weak hint: their own country is among the first ${top} of ${n} for ${percent(share)} of such ` +
      `songs, and for ${percent(guess)} by chance.`) : null);
}

function soundCard({ tempo, time_signature: beats, loudness, ...result }) {
  const facts = [["tempo", tempo && `${Math.round(tempo)} bpm`], ["key", keyOf(result)], ["beats in a bar", beats],
    ["loudness", isKnown(loudness) && `${loudness.toFixed(1)} dB`],
    ...OTHERS.map((name) => [name, isKnown(result[name]) && fixed2(result[name])])];
  const known = facts.filter(([, words]) => words);
  return known.length ? card("Its sound", {}, el("dl", {},
    known.map(([name, words]) => el("div", {}, el("dt", {}, name), el("dd", {}, words))))) : null;
}

function howSure(models) {
  const known = TARGETS.filter((target) => isKnown(models?.mean_errors[target]));
  const off = known.map((target) => `${fixed2(models.mean_errors[target])} (${target})`).join(", ") || "about 0.1";
  return card("How sure is this?", {}, el("p", {}, `For artists that they never heard, the models are off by ${off} ` +
    "on average. Very low and very high values come out less extreme than Spotify's."));
}

function actions(result, models) {
  const { id, ...json } = result, file = result.name.replace(/[^\p{L}\p{N} _-]+/gu, "_").slice(0, 60) || "song";
  const save = () => download(JSON.stringify(json, null, 2), `${file}.json`, "application/json");
  const share = async () => {
    const { sharePicture } = await import("./share.js");
    const picture = new File([await sharePicture(result, models)], `${file}.png`, { type: "image/png" });
    if (navigator.canShare?.({ files: [picture] })) await navigator.share({ files: [picture] }).catch(() => null);
    else download(picture, picture.name, picture.type);
  };
  return el("p", { class: "buttons" },
    el("button", { type: "button", class: "main", onclick: share }, "Share a picture"),
    el("button", { type: "button", onclick: save }, "Save as JSON"),
    el("a", { class: "button", href: `#/compare/${id}` }, "Compare"));
}
