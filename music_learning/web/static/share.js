// A picture of a result for sharing, drawn on a canvas in the browser: nothing is sent anywhere.
import { clock, fixed2, inTen, moodOf, TARGETS } from "./dom.js";

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
  const canvas = Object.assign(document.createElement("canvas"), { width: WIDTH, height: HEIGHT });
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
  const date = new Date(result.analysed_at).toLocaleDateString("en", { dateStyle: "long" }), mood = moodOf(result);
  const artist = result.tags?.artist ? `${isolate(result.tags.artist)} · ` : "";
  const sure = result.mood && result.mood_probability !== null ? `, ${inTen(result.mood_probability)}` : "";
  write(pen, "Music-Learning", MARGIN, 66, { size: 24, weight: 600, colour: QUIET });
  write(pen, date, WIDTH - MARGIN, 66, { size: 24, colour: QUIET, align: "right" });
  write(pen, result.name, MARGIN, 144, { size: 60, weight: 700, least: 44 });
  write(pen, `${artist}${clock(result.duration_s)}`, MARGIN, 192, { size: 28, colour: QUIET });
  write(pen, `${mood[0].toUpperCase()}${mood.slice(1)}${sure}`, MARGIN, 254, { size: 40, weight: 600 });
}

function drawValue(pen, result, target, column) {
  const width = (WIDTH - 2 * MARGIN - 2 * GAP) / 3, left = MARGIN + column * (width + GAP), colour = COLOURS[target];
  const [value, low, high] = [result[target], result[`${target}_low`], result[`${target}_high`]];
  write(pen, target, left, 318, { size: 28, colour: QUIET });
  write(pen, fixed2(value), left, 384, { size: 64, weight: 700, colour });
  box(pen, left, 404, width, 16, SOFT);
  box(pen, left, 404, width * value, 16, colour);
  if (low === undefined) return;
  box(pen, left + width * low, 410, width * (high - low), 4, TEXT);
  write(pen, `${fixed2(low)} to ${fixed2(high)}`, left + width, 384, { size: 26, colour: QUIET, align: "right" });
}

function drawTimeline(pen, { timeline, duration_s, energy_low }) {
  const [top, bottom, width] = [446, 562, WIDTH - 2 * MARGIN];
  [top, (top + bottom) / 2, bottom].forEach((y) => box(pen, MARGIN, y - 1, width, 2, SOFT));
  Object.assign(pen, { lineWidth: 4, lineJoin: "round" });
  for (const target of TARGETS) {
    pen.strokeStyle = COLOURS[target];
    pen.beginPath();
    timeline.forEach(({ start_s, [target]: value }, index) => {
      const middle_s = (start_s + (timeline[index + 1]?.start_s ?? duration_s)) / 2;
      pen.lineTo(MARGIN + width * Math.min(1, middle_s / duration_s), bottom - (bottom - top) * value);
    });
    pen.stroke();
  }
  const range = energy_low === undefined ? "" : "; for 9 of 10 songs, Spotify's value lies within the range";
  write(pen, `Estimated from the sound, between 0 and 1${range}.`, MARGIN, 602, { size: 22, least: 16, colour: QUIET });
}

function box(pen, x, y, width, height, colour) {
  pen.fillStyle = colour;
  pen.beginPath();
  pen.roundRect(x, y, Math.max(width, 1), height, height / 2);
  pen.fill();
}

/** Keep the direction of a name from turning what stands beside it: Unicode's first-strong isolate. */
const isolate = (text) => `\u2068${text}\u2069`;

/** Write a line as wide as the picture, or less: made smaller down to `least`, then cut, with an ellipsis. */
function write(pen, text, x, y, { size, least = size, weight = 400, colour = TEXT, align = "left" }) {
  let line = text.slice(0, 400).replace(/\s+/gu, " ").trim();
  const characters = [...new Intl.Segmenter().segment(line)].map(({ segment }) => segment); // as people count them
  const isTooWide = () => pen.measureText(line).width > WIDTH - 2 * MARGIN;
  const setSize = () => (pen.font = `${weight} ${size}px ${FAMILY}`);
  for (setSize(); size > least && isTooWide(); setSize()) size -= 2;
  while (isTooWide() && characters.pop()) line = `${characters.join("").trimEnd()}…`;
  Object.assign(pen, { fillStyle: colour, textAlign: align });
  pen.fillText(isolate(line), x, y);
}
