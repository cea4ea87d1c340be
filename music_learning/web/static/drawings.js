/** What is drawn of results, as SVG that takes its colours from the page. */

import { TARGETS, clock, el, fixed2, isKnown, percent, svg } from "./dom.js";

const WIDTH = 600, HEIGHT = 160, PLANE = 200;
const QUARTERS = [
  ["happy and excited", 196, 12, "end"], ["tense and angry", 4, 12, "start"],
  ["calm and content", 196, 194, "end"], ["sad and gloomy", 4, 194, "start"],
];

/** A value in [0, 1] as a bar, with its interval as a line and the true value as a notch where they are known. */
export function bar(value, { low, high, truth } = {}) {
  const box = (kind, x, width, y = 0, height = 12) =>
    svg("rect", { class: kind, x: 100 * x, width: 100 * width, y, height });
  return svg("svg", { class: "bar", viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true" },
    box("track", 0, 1), box("fill", 0, value), isKnown(low) && box("interval", low, high - low, 4.5, 3),
    isKnown(truth) && box("truth", truth - 0.006, 0.012));
}

const pathOf = (points) => `M${points.map((point) => point.map((place) => place.toFixed(1)).join(" ")).join("L")}`;

function loudnessPath({ drawing, duration_s }, length_s) {
  const { loudness } = drawing, step = (WIDTH * duration_s) / length_s / Math.max(loudness.length - 1, 1);
  const side = (sign) => loudness.map((amplitude, i) => [i * step, (1 + sign * amplitude) * HEIGHT / 2]);
  return `${pathOf([...side(-1), ...side(1).reverse()])}Z`;
}

function linePath({ timeline, duration_s }, target, length_s) {
  return pathOf(timeline.flatMap((moment, i) => [moment.start_s, timeline[i + 1]?.start_s ?? duration_s]
    .map((s) => [WIDTH * s / length_s, HEIGHT * (1 - moment[target])])));
}

function spanInWords({ name, timeline, duration_s }) {
  const spans = TARGETS.map((target) => {
    const values = timeline.map((moment) => moment[target]);
    return `${target} ${fixed2(Math.min(...values))} to ${fixed2(Math.max(...values))}`;
  });
  return `${name}, ${clock(duration_s)}: ${spans.join(", ")}`;
}

/**
 * The values and the loudness over time, of one result or of two over each other (the second one dashed).
 * With `onSeek` it is a slider, which calls it with the place in seconds.
 * @returns {HTMLElement} with `setPosition(seconds)`, which moves the line and the values in the legend
 */
export function timeline(results, onSeek) {
  const length_s = Math.max(...results.map(({ duration_s }) => duration_s));
  const cursor = svg("line", { class: "cursor", y2: HEIGHT }), time = el("span", {});
  const now = TARGETS.map((target) => el("b", {}));
  let before = 0;
  const slider = el("input", { type: "range", max: length_s, step: 1, value: 0, "aria-label": "Place in the song",
    oninput: () => seek(slider.valueAsNumber), onpointerdown: () => (before = slider.valueAsNumber),
    onpointercancel: () => seek(before) }); // a finger that scrolls the page
  const seek = (seconds) => {
    setPosition(seconds);
    onSeek(seconds);
  };
  const setPosition = (seconds) => {
    const moment = results[0].timeline.findLast(({ start_s }) => start_s <= seconds) ?? results[0].timeline[0];
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, WIDTH * seconds / length_s);
    TARGETS.forEach((target, i) => (now[i].textContent = fixed2(moment[target])));
    time.textContent = `${clock(seconds)} of ${clock(length_s)}`;
    slider.value = seconds;
    slider.setAttribute("aria-valuetext",
      `${time.textContent}: ${TARGETS.map((target) => `${target} ${fixed2(moment[target])}`).join(", ")}`);
  };
  setPosition(0);
  const image = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
    "aria-label": results.map(spanInWords).join("; ") };
  const element = el("div", { class: "timeline" },
    el("p", { class: "legend" },
      TARGETS.map((target, i) => el("span", { class: target }, el("i", {}), target, " ", onSeek && now[i])),
      el("span", { class: "loudness" }, el("i", {}), "loudness"), onSeek && time),
    el("div", { class: "chart" },
      el("p", { class: "scale", "aria-hidden": "true" }, ["1", "0.5", "0"].map((word) => el("span", {}, word))),
      el("div", { class: "plot" },
        svg("svg", image,
          results.map((result) => svg("path", { class: "loudness", d: loudnessPath(result, length_s) })),
          svg("path", { class: "grid", d: `M0 0H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT}H${WIDTH}` }),
          results.map((result, i) => TARGETS.map((target) =>
            svg("path", { class: `line ${target} ${i ? "second" : ""}`, d: linePath(result, target, length_s) }))),
          onSeek && cursor), onSeek && slider),
      el("p", { class: "ticks", "aria-hidden": "true" },
        [0, 1, 2, 3, 4].map((quarter) => el("span", {}, clock(length_s * quarter / 4))))));
  return Object.assign(element, { setPosition });
}

/**
 * The plane of valence and energy: the chart songs as small dots, each result as a large one. Several are links, and
 * have their numbers: of results in their order, from 1 on.
 */
export function plane(results, charts) {
  const at = (valence, energy) => [PLANE * valence, PLANE * (1 - energy)];
  const dots = (charts?.valence ?? []).map((valence, i) => `${pathOf([at(valence, charts.energy[i])])}h0`).join("");
  const alone = results.length === 1 ? results[0] : null;
  const outlines = (alone?.drawing.mood_outlines ?? []).map((outline) => outline.map((point) => at(...point)));
  const song = (result, i) => {
    const [x, y] = at(result.valence, result.energy);
    const values = `energy ${fixed2(result.energy)}, valence ${fixed2(result.valence)}`;
    const label = `${result.name}: ${result.mood_words}; ${values}`;
    return svg(alone ? "g" : "a", { href: alone ? null : `#/song/${result.id}`, "aria-label": alone ? null : label },
      svg("title", {}, label), svg("circle", { class: "here", cx: x, cy: y, r: alone ? 5 : 6 }),
      !alone && svg("text", { class: "number", x, y: y + 2.5 }, i + 1));
  };
  const quarter = ([mood, x, y, anchor]) => svg("text",
    { x, y: alone && y > 100 ? y - 11 : y, "text-anchor": anchor, class: alone?.mood === mood && "likeliest" }, mood,
    alone?.moods[mood] > 0.005 && svg("tspan", { x, dy: 11 }, percent(alone.moods[mood])));
  return svg("svg", { class: "plane", viewBox: "-16 -4 222 222", role: alone ? "img" : "group",
    "aria-label": `The plane of valence and energy: ${alone?.mood_words ?? `${results.length} songs`}` },
  svg("rect", { class: "frame", width: PLANE, height: PLANE }), svg("path", { class: "dots", d: dots }),
  svg("path", { class: "frame", d: `M${PLANE / 2} 0V${PLANE}M0 ${PLANE / 2}H${PLANE}` }),
  outlines.map((outline) => svg("path", { class: "region", d: `${pathOf(outline)}Z` })),
  QUARTERS.map(quarter), svg("text", { x: 100, y: 213, "text-anchor": "middle" }, "valence: how positive →"),
  svg("text", { x: -6, y: 100, "text-anchor": "middle", transform: "rotate(-90 -6 100)" }, "energy →"),
  results.map(song));
}
