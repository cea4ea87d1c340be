// A picture of a result for sharing, drawn on a canvas in the browser: nothing is sent anywhere.
import { clock, fixed2, moodOf, percent, TARGETS } from "./dom.js";

const WIDTH = 1200, HEIGHT = 630, MARGIN = 64, GAP = 40;
const TEXT = "#1d2330", QUIET = "#555d6e", SOFT = "#e6e8ee", PAPER = "#ffffff";
const COLOURS = { energy: "#b34d0c", danceability: "#1f5fa8", valence: "#1a7548" };
const FAMILY = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif";

/**
 * Draw a result as a PNG of 1200 x 630 pixels, the size that messengers and networks show: name, date, mood, the three
 * values with their intervals, and the timeline.
 * @param {object} result as the server's JSON has it
 * @returns {Promise<Blob>}
 */
export function sharePicture(result) {
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  const pen = canvas.getContext("2d");
  pen.fillStyle = PAPER;
  pen.fillRect(0, 0, WIDTH, HEIGHT);
  drawHeading(pen, result);
  TARGETS.forEach((target, column) => drawValue(pen, result, target, column));
  drawTimeline(pen, result);
  return new Promise((resolve, reject) => canvas.toBlob(
    (blob) => (blob ? resolve(blob) : reject(new Error("This browser can't draw the picture."))), "image/png"));
}

function drawHeading(pen, result) {
  const room = WIDTH - 2 * MARGIN;
  const date = new Date(result.analysed_at).toLocaleDateString("en", { dateStyle: "long" });
  write(pen, "Music-Learning", MARGIN, 66, { size: 24, weight: 600, colour: QUIET });
  write(pen, date, WIDTH - MARGIN, 66, { size: 24, colour: QUIET, align: "right" });
  write(pen, result.name, MARGIN, 144, { size: 60, weight: 700, room, least: 44 });
  const artist = result.tags?.artist ? `${isolate(result.tags.artist)} · ` : "";
  write(pen, `${artist}${clock(result.duration_s)}`, MARGIN, 192, { size: 28, colour: QUIET, room });
  const mood = moodOf(result);
  const sure = result.mood && result.mood_probability !== null ? `, ${percent(result.mood_probability)}` : "";
  write(pen, `${mood[0].toUpperCase()}${mood.slice(1)}${sure}`, MARGIN, 254, { size: 40, weight: 600, room });
}

function drawValue(pen, result, target, column) {
  const width = (WIDTH - 2 * MARGIN - 2 * GAP) / 3;
  const left = MARGIN + column * (width + GAP);
  const [value, low, high] = [result[target], result[`${target}_low`], result[`${target}_high`]];
  write(pen, target, left, 318, { size: 28, colour: QUIET });
  write(pen, fixed2(value), left, 384, { size: 64, weight: 700, colour: COLOURS[target] });
  box(pen, left, 404, width, 16, SOFT);
  box(pen, left, 404, width * value, 16, COLOURS[target]);
  if (low === undefined) return;
  box(pen, left + width * low, 410, width * (high - low), 4, TEXT);
  write(pen, `${fixed2(low)} to ${fixed2(high)}`, left + width, 384, { size: 26, colour: QUIET, align: "right" });
}

function drawTimeline(pen, result) {
  const [top, bottom, right] = [446, 562, WIDTH - MARGIN];
  [top, (top + bottom) / 2, bottom].forEach((y) => box(pen, MARGIN, y - 1, right - MARGIN, 2, SOFT));
  const along = (seconds) => MARGIN + (right - MARGIN) * Math.min(1, seconds / result.duration_s);
  pen.lineWidth = 4;
  pen.lineJoin = "round";
  for (const target of TARGETS) {
    pen.strokeStyle = COLOURS[target];
    pen.beginPath();
    result.timeline.forEach((moment, index) => {
      const end = result.timeline[index + 1]?.start_s ?? result.duration_s;
      pen.lineTo(along((moment.start_s + end) / 2), bottom - (bottom - top) * moment[target]);
    });
    pen.stroke();
  }
  const range = result.energy_low === undefined ? "" : "; for 9 of 10 songs, Spotify's value lies within the range";
  const legend = `Estimated from the sound, between 0 and 1${range}.`;
  write(pen, legend, MARGIN, 602, { size: 22, least: 16, colour: QUIET, room: right - MARGIN });
}

function box(pen, x, y, width, height, colour) {
  pen.fillStyle = colour;
  pen.beginPath();
  pen.roundRect(x, y, Math.max(width, 1), height, height / 2);
  pen.fill();
}

/** Keep the direction of a name from turning what stands beside it: Unicode's first-strong isolate. */
const isolate = (text) => `\u2068${text}\u2069`;

/** Write a line, made smaller down to `least`, then cut with an ellipsis, until it has `room`. */
function write(pen, text, x, y, { size, least = size, weight = 400, colour = TEXT, align = "left", room = WIDTH }) {
  const setSize = (pixels) => { pen.font = `${weight} ${pixels}px ${FAMILY}`; };
  setSize(size);
  while (size > least && pen.measureText(text).width > room) setSize(size -= 2);
  pen.fillStyle = colour;
  pen.textAlign = align;
  pen.fillText(isolate(fitted(pen, text, room)), x, y);
}

/** The longest beginning that fits, in whole characters as people see them, and an ellipsis where it was cut. */
function fitted(pen, text, room) {
  const line = text.slice(0, 400).replace(/\s+/gu, " ").trim();
  if (pen.measureText(line).width <= room) return line;
  const parts = [...new Intl.Segmenter().segment(line)].map((part) => part.segment);
  let [fits, tooMany] = [0, parts.length];
  while (tooMany - fits > 1) {
    const middle = (fits + tooMany) >> 1;
    if (pen.measureText(`${parts.slice(0, middle).join("")}…`).width <= room) fits = middle;
    else tooMany = middle;
  }
  return `${parts.slice(0, fits).join("").trimEnd()}…`;
}
