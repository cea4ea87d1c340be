/** One song's result. */

import {
  TARGETS, WORDS, button, card, clock, day, download, el, fixed2, heading, isKnown, percent, quiet,
} from "./dom.js";
import { bar, plane, timeline } from "./drawings.js";
import { setting } from "./store.js";

const ENDS = {
  energy: ["calm", "intense"], danceability: ["undanceable", "danceable"], valence: ["sad or angry", "happy"],
};
const SERVICES = {
  Spotify: "https://open.spotify.com/search/", YouTube: "https://www.youtube.com/results?search_query=",
  Deezer: "https://www.deezer.com/search/", "Apple Music": "https://music.apple.com/search?term=",
  Bandcamp: "https://bandcamp.com/search?q=", SoundCloud: "https://soundcloud.com/search?q=",
};
const OTHERS = ["acousticness", "instrumentalness", "speechiness"];
const N_SIMILAR = 5;

/**
 * A result.
 * @param {object} result
 * @param {?object} models - what `/api/models` says; null where that is not known
 * @param {{url: ?string, isComing: boolean}} options - where the sound is; whether an explanation is on its way
 * @returns {HTMLElement} with `setExplanation(explanation)`, for one that comes later
 */
export function renderResult(result, models, { url, isComing }) {
  const artist = result.tags?.artist, why = whyCard(result.explanation, isComing);
  const article = el("article", { class: "result" },
    el("header", {}, heading(result.name),
      quiet(artist && [el("bdi", {}, artist), " · "], clock(result.duration_s), ` · ${day(result.analysed_at)}`),
      el("p", { class: "mood" }, result.mood_words),
      result.warnings.map((warning) => el("p", { class: "warning", role: "note" }, warning))),
    el("div", { class: "values" }, TARGETS.map((target) => valueCard(result, target, models))),
    overTime(result, url), why,
    el("div", { class: "two" }, moodCard(result, models), similarCard(result, models)),
    el("div", { class: "two" }, marketsCard(result, models), soundCard(result)), howSure(models),
    actions(result));
  return Object.assign(article, { setExplanation: why.set });
}

function valueCard(result, target, models) {
  const [low, high, truth] = [result[`${target}_low`], result[`${target}_high`], result.spotify?.[target]];
  const less = Math.round(result[`${target}_percentile`]), share = Math.min(Math.max(less, 100 - less), 99);
  const among = models ? `what charts in ${models.charts.n_countries} countries` : "chart songs";
  return card(target, `value ${target}`,
    el("p", { class: "number" }, fixed2(result[target])), bar(result[target], { low, high, truth }),
    el("p", { class: "ends", "aria-hidden": "true" }, ENDS[target].map((word) => el("span", {}, word))),
    el("p", {}, `${less < 50 ? "Less" : "More"} ${WORDS[target]} than ${share}\u00a0% of ${among}.`),
    isKnown(low) && quiet(`For 9 of 10 songs, Spotify's value is within ${fixed2(low)} to ${fixed2(high)}.`),
    isKnown(truth) && quiet(`Spotify says ${fixed2(truth)} (the notch).`));
}

function overTime(result, url) {
  const audio = url && el("audio", { src: url, controls: true,
    ontimeupdate: () => drawing.setPosition(audio.currentTime),
    onerror: () => audio.replaceWith(quiet("This browser can't play this kind of file.")) });
  const drawing = timeline([result], (seconds) => {
    if (audio) audio.currentTime = seconds;
  });
  return card("Over time", "", drawing, el("div", { class: "player" }, audio ?? quiet(result.spotify ?
    "No sound is kept of the examples." : "Only the numbers are kept. Choose the file again to hear it.")));
}

function whyCard(explanation, isComing) {
  const words = el("div", { class: "words", tabindex: isComing ? 0 : null });
  const of = (target, sentences) => el("div", { class: target }, el("h4", {}, target),
    sentences.length ? sentences.map((sentence) => el("p", {}, sentence.replace(/ \([^)]*\)/g, ""))) : // without Hz
      quiet("Nothing stands out."));
  const set = ({ sentences, reason }) => words.replaceChildren(
    ...(sentences ? TARGETS.map((target) => of(target, sentences[target])) : [quiet(reason)]));
  set(explanation ?? { reason: isComing ? "Finding out what made it so …" :
    "The explanation was not finished. Choose the song again for it." });
  return Object.assign(card("Why", isComing ? "why coming" : "why", words), { set });
}

function moodCard(result, models) {
  const lies = "Spotify's own values lie within the inner outline for 5 of 10 songs, within the outer for 9 of 10. ";
  return card("Its mood", "", plane([result], models?.charts), quiet(result.drawing.mood_outlines.length > 0 && lies,
    models && `Each small dot is one of ${models.charts.n_songs.toLocaleString("en")} chart songs.`));
}

function similarCard({ similar_songs: songs, similar_artists: artists }, models) {
  const link = (words, query = words) => el("a", { "data-query": query, target: "_blank", rel: "noreferrer" }, words);
  const list = songs.slice(0, N_SIMILAR).map(({ title, artist, year, closeness, path }) => el("li", {},
    path ? [el("b", {}, title), el("span", {}, path)] : link(title, `${title} ${artist}`),
    el("span", {}, [artist, year && `release of ${year}`, closeness].filter(Boolean).join(" · "))));
  const names = artists.flatMap(({ artist }, i) => [i ? ", " : "Closest artists: ", link(artist)]);
  const services = Object.keys(SERVICES).map((name) => el("option", { selected: name === setting("service") }, name));
  const select = el("select", { onchange: () => point() }, services);
  const section = card("Closest songs", "", el("ol", { class: "songs" }, list), el("p", {}, names),
    el("p", {}, el("label", {}, "Look them up at ", select)),
    quiet(`Found among ${models?.n_index_songs.toLocaleString("en") ?? "the"} songs by how they sound alone.`));
  const point = () => {
    setting("service", select.value);
    for (const a of section.querySelectorAll("a"))
      a.href = SERVICES[select.value] + encodeURIComponent(a.dataset.query);
  };
  point();
  return section;
}

function marketsCard({ markets }, models) {
  if (!markets?.length) return null;
  const { top, share, chance: guess } = models?.markets ?? {};
  const list = markets.toSorted((a, b) => b.chance - a.chance).map(({ name, chance }) =>
    el("li", {}, el("span", {}, name), el("span", {}, percent(chance))));
  return card("Where such songs chart", "", el("ol", { class: "markets" }, list),
    quiet("How likely each is to chart it, if one or two countries do.", top && " A weak hint: such a country is " +
      `among the first ${top} of ${models.charts.n_countries} in ${percent(share)} of cases, by chance in ` +
      `${percent(guess)}.`));
}

function soundCard({ tempo, time_signature: beats, loudness, key_name: key, ...result }) {
  const facts = [["tempo", tempo && `${Math.round(tempo)} bpm`], ["key", key], ["beats in a bar", beats],
    ["loudness", isKnown(loudness) && `${loudness.toFixed(1)} dB`],
    ...OTHERS.map((name) => [name, isKnown(result[name]) && fixed2(result[name])])].filter(([, words]) => words);
  return facts.length > 0 && card("Its sound", "", el("dl", {},
    facts.map(([name, words]) => el("div", {}, el("dt", {}, name), el("dd", {}, words)))));
}

function howSure(models) {
  const known = TARGETS.filter((target) => isKnown(models?.mean_errors[target]));
  const off = known.map((target) => `${fixed2(models.mean_errors[target])} (${target})`).join(", ") || "about 0.1";
  return card("How sure is this?", "", el("p", {}, "For artists that they never heard, the models are off from " +
    `Spotify's values by ${off} on average. Very low and very high values come out less extreme than Spotify's.`));
}

function actions(result) {
  const { id, ...json } = result, file = result.name.replace(/[^\p{L}\p{N} _-]+/gu, "_").slice(0, 60) || "song";
  const save = () => download(JSON.stringify(json, null, 2), `${file}.json`, "application/json");
  const share = async () => {
    const { sharePicture } = await import("./share.js");
    const picture = new File([await sharePicture(result)], `${file}.png`, { type: "image/png" });
    if (navigator.canShare?.({ files: [picture] })) await navigator.share({ files: [picture] }).catch(() => null);
    else download(picture, picture.name, picture.type);
  };
  return el("p", { class: "buttons" }, button("Share a picture", share, { class: "main" }),
    button("Save as JSON", save), el("a", { class: "button", href: `#/songs/${id}` }, "Compare"));
}
