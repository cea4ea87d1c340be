/** What is drawn of results, as SVG that takes its colours from the page. */

import { TARGETS, clock, el, fixed2, isKnown, moodOf, percent, svg } from "./dom.js";

const WIDTH = 600, HEIGHT = 160, PLANE = 200, STEP_S = 5;
const QUARTERS = [
  ["happy and excited", 196, 12, "end"], ["tense and angry", 4, 12, "start"],
  ["calm and content", 196, 194, "end"], ["sad and gloomy", 4, 194, "start"],
];

/** A value in [0, 1] as a bar with its interval as a line, and the true value, if it is known, as a notch. */
export function bar(value, low, high, truth, target) {
  const box = (name, x, width, y = 0, height = 12) =>
    svg("rect", { class: name, x: 100 * x, width: 100 * width, y, height });
  return svg("svg",
    { class: `bar ${target}`, viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true" },
    box("track", 0, 1), box("fill", 0, value), isKnown(low) && box("interval", low, high - low, 4.5, 3),
    isKnown(truth) && box("truth", truth - 0.006, 0.012));
}

/** The moment of a result's timeline that a place lies in. */
const momentAt = ({ timeline }, seconds) => timeline.findLast(({ start_s }) => start_s <= seconds) ?? timeline[0];

function loudnessPath({ drawing, duration_s }, length_s) {
  const { loudness } = drawing, step = (WIDTH * duration_s) / length_s / Math.max(loudness.length - 1, 1);
  const y = (amplitude) => ((1 + amplitude) * HEIGHT / 2).toFixed(1);
  const side = (sign) => loudness.map((amplitude, i) => `${(i * step).toFixed(1)} ${y(sign * amplitude)}`);
  return `M${[...side(-1), ...side(1).reverse()].join("L")}Z`;
}

function linePath({ timeline, duration_s }, target, length_s) {
  const points = timeline.flatMap((moment, i) =>
    [moment.start_s, timeline[i + 1]?.start_s ?? duration_s].map(
      (s) => `${(WIDTH * s / length_s).toFixed(1)} ${(HEIGHT * (1 - moment[target])).toFixed(1)}`));
  return `M${points.join("L")}`;
}

/**
 * The values and the loudness over time, of one result or of two over each other (the second one dashed).
 * With `onSeek` it is a slider: a click, a drag or the arrow keys call it with the place in seconds.
 * @returns {HTMLElement} with `setPosition(seconds)`, which moves the line and the values in the legend
 */
export function timeline(results, { onSeek } = {}) {
  const length_s = Math.max(...results.map(({ duration_s }) => duration_s));
  const isAlone = results.length === 1, cursor = svg("line", { class: "cursor", y2: HEIGHT });
  const now = Object.fromEntries(TARGETS.map((target) => [target, el("b", {})]));
  const span = (result, target) => {
    const values = result.timeline.map((moment) => moment[target]);
    return `${target} ${fixed2(Math.min(...values))} to ${fixed2(Math.max(...values))}`;
  };
  const text = results.map((r) => `${r.name}, ${clock(r.duration_s)}: ${TARGETS.map((t) => span(r, t)).join(", ")}`);
  const image = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
    "aria-label": text.join("; ") };
  const plot = el("div", { class: "plot" },
    svg("svg", image,
      results.map((result) => svg("path", { class: "loudness", d: loudnessPath(result, length_s) })),
      [0, 80, 160].map((y) => svg("path", { class: "grid", d: `M0 ${y}H${WIDTH}` })),
      results.map((result, i) => TARGETS.map((target) =>
        svg("path", { class: `line ${target} ${i ? "second" : ""}`, d: linePath(result, target, length_s) }))),
      isAlone && cursor));
  const element = el("div", { class: "timeline" },
    el("p", { class: "legend" },
      TARGETS.map((target) => el("span", { class: target }, el("i", {}), target, " ", isAlone && now[target])),
      el("span", { class: "loudness" }, el("i", {}), "loudness")),
    el("div", { class: "chart" },
      el("p", { class: "scale", "aria-hidden": "true" }, ["1", "0.5", "0"].map((word) => el("span", {}, word))), plot,
      el("p", { class: "ticks", "aria-hidden": "true" },
        [0, 1, 2, 3, 4].map((quarter) => el("span", {}, clock(length_s * quarter / 4))))));
  let position = 0;
  element.setPosition = (seconds) => {
    position = Math.min(Math.max(seconds, 0), length_s);
    const moment = momentAt(results[0], position), x = WIDTH * position / length_s;
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    for (const target of TARGETS) now[target].textContent = fixed2(moment[target]);
    if (!onSeek) return;
    const values = TARGETS.map((target) => `${target} ${fixed2(moment[target])}`).join(", ");
    plot.setAttribute("aria-valuenow", Math.round(position));
    plot.setAttribute("aria-valuetext", `${clock(position)} of ${clock(length_s)}: ${values}`);
  };
  if (onSeek) makeSlider(plot, length_s, () => position, (seconds) => {
    element.setPosition(seconds);
    onSeek(position);
  });
  element.setPosition(0);
  return element;
}

function makeSlider(plot, length_s, position, seek) {
  plot.firstChild.setAttribute("aria-hidden", "true"); // the slider's own words say it
  const slider = { role: "slider", tabindex: 0, "aria-valuemin": 0, "aria-valuemax": Math.round(length_s) };
  for (const [name, value] of Object.entries(slider)) plot.setAttribute(name, value);
  plot.setAttribute("aria-label", "Place in the song");
  const place = (event) => {
    const { left, width } = plot.getBoundingClientRect();
    seek(length_s * (event.clientX - left) / width);
  };
  plot.addEventListener("pointerdown", (event) => {
    plot.setPointerCapture(event.pointerId);
    place(event);
  });
  plot.addEventListener("pointermove", (event) => plot.hasPointerCapture(event.pointerId) && place(event));
  plot.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -6, PageUp: 6 };
    if (event.key in steps) seek(position() + STEP_S * steps[event.key]);
    else if (event.key === "Home" || event.key === "End") seek(event.key === "End" ? length_s : 0);
    else return;
    event.preventDefault();
  });
}

/** Where a name has room beside its dot, null where it has none; `taken` are boxes of [left, top, right, bottom]. */
function placeOf(name, x, y, taken) {
  const width = 5.6 * name.length; // of the letters' usual width
  for (const [dx, dy, anchor] of [[8, 3, 0], [-8, 3, 1], [0, -9, 0.5], [0, 15, 0.5]]) {
    const left = x + dx - anchor * width, box = [left, y + dy - 9, left + width, y + dy + 2];
    const isFree = taken.every(([l, t, r, b]) => box[2] < l || box[0] > r || box[3] < t || box[1] > b);
    if (isFree && left > 0 && left + width < PLANE && taken.push(box))
      return { x: x + dx, y: y + dy, "text-anchor": ["start", "middle", "end"][2 * anchor] };
  }
  return null;
}

/**
 * The plane of valence and energy: the chart songs as small dots, each result as a large one.
 * With `onOpen` each is a link that calls it with the result's id; `named` writes the names that have room beside them.
 */
export function plane(results, charts, { onOpen, named } = {}) {
  const at = (valence, energy) => [PLANE * valence, PLANE * (1 - energy)].map((place) => Number(place.toFixed(1)));
  const dots = (charts?.valence ?? []).map((valence, i) => `M${at(valence, charts.energy[i]).join(" ")}h0`).join("");
  const outlines = results.length > 2 ? [] : results.flatMap(({ drawing }) => drawing.mood_outlines);
  const alone = results.length === 1 ? results[0] : null, points = results.map((r) => at(r.valence, r.energy));
  const taken = [...points.map(([x, y]) => [x - 5, y - 5, x + 5, y + 5]),
    ...[[0, 0], [104, 0], [0, 184], [104, 184]].map(([x, y]) => [x, y, x + 96, y + 15])]; // by dots and moods
  const song = (result, i) => {
    const [x, y] = points[i], name = result.name.length > 24 ? `${result.name.slice(0, 23)}…` : result.name;
    const place = named && placeOf(name, x, y, taken);
    const values = `energy ${fixed2(result.energy)}, valence ${fixed2(result.valence)}`;
    const label = `${result.name}: ${moodOf(result)}, ${values}`;
    const parts = [svg("title", {}, label), svg("circle", { class: "here", cx: x, cy: y, r: 5 }),
      place && svg("text", place, name)];
    if (!onOpen) return svg("g", {}, parts);
    return svg("a", { href: `#/song/${result.id}`, "aria-label": label, onclick: (event) => {
      event.preventDefault();
      onOpen(result.id);
    } }, parts);
  };
  const label = `The plane of valence and energy: ${alone ? moodOf(alone) : `${results.length} songs`}`;
  const pathOf = (outline) => `M${outline.map((point) => at(...point).join(" ")).join("L")}Z`;
  return svg("svg", { class: "plane", viewBox: "-16 -4 222 222", role: onOpen ? "group" : "img", "aria-label": label },
    svg("rect", { class: "frame", width: PLANE, height: PLANE }), svg("path", { class: "dots", d: dots }),
    svg("path", { class: "frame", d: `M${PLANE / 2} 0V${PLANE}M0 ${PLANE / 2}H${PLANE}` }),
    outlines.map((outline) => svg("path", { class: "region", d: pathOf(outline) })),
    QUARTERS.map(([word, x, y, anchor]) => svg("text", { x, y: alone && y > 100 ? y - 11 : y, "text-anchor": anchor,
      class: alone?.mood === word ? "likeliest" : null }, word,
    alone?.moods[word] > 0.005 && svg("tspan", { x, dy: 11 }, percent(alone.moods[word])))),
    svg("text", { x: 100, y: 213, "text-anchor": "middle" }, "valence: how positive →"),
    svg("text", { x: -6, y: 100, "text-anchor": "middle", transform: "rotate(-90 -6 100)" }, "energy →"),
    results.map(song));
}
