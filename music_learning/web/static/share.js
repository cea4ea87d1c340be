/** A picture of a result for sharing, drawn on a canvas in the browser: nothing is sent anywhere. */

import { TARGETS, day, fixed2, isKnown } from "./dom.js";

const WIDTH = 1200, HEIGHT = 630, MARGIN = 64, INNER = WIDTH - 2 * MARGIN;
const TEXT = "#1d2330", QUIET = "#555d6e", SOFT = "#e6e8ee", PAPER = "#ffffff";
const COLOURS = { energy: "#b34d0c", danceability: "#1f5fa8", valence: "#1a7548" };
const COLUMN = { width: 330, step: 371 };
const PLOT = { top: 446, height: 116 };

/**
 * Draw a result as a PNG of 1200 x 630 pixels, the size that messengers and networks show: name, date, mood, the three
 * values with their intervals, and the timeline.
 * @param {object} result as the server's JSON has it
 * @returns {Promise<Blob>}
 */
export function sharePicture(result) {
  const canvas = Object.assign(document.createElement("canvas"), { width: WIDTH, height: HEIGHT });
  const pen = canvas.getContext("2d");
  box(pen, 0, 0, WIDTH, HEIGHT, PAPER);
  write(pen, `Music-Learning, ${day(result.analysed_at)}`, MARGIN, 66, { size: 24, colour: QUIET });
  write(pen, result.name, MARGIN, 144, { size: 56, weight: 700 });
  write(pen, result.tags?.artist ?? "", MARGIN, 194, { size: 28, colour: QUIET });
  write(pen, result.mood_words.split(":")[0], MARGIN, 254, { size: 40, weight: 600 });
  TARGETS.forEach((target, i) => drawValue(pen, result, target, MARGIN + i * COLUMN.step));
  for (const part of [0, 0.5, 1]) box(pen, MARGIN, PLOT.top + part * PLOT.height - 1, INNER, 2, SOFT);
  TARGETS.forEach((target) => drawLine(pen, result, target));
  const range = isKnown(result.energy_low) ? "; for 9 of 10 songs, Spotify's value is within the range" : "";
  write(pen, `Heard by a program, from 0 to 1${range}.`, MARGIN, 602, { size: 22, colour: QUIET });
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

function drawValue(pen, result, target, left) {
  const [value, low, high] = [result[target], result[`${target}_low`], result[`${target}_high`]];
  write(pen, target, left, 318, { size: 28, colour: QUIET });
  write(pen, fixed2(value), left, 384, { size: 64, weight: 700, colour: COLOURS[target] });
  box(pen, left, 404, COLUMN.width, 16, SOFT);
  box(pen, left, 404, COLUMN.width * value, 16, COLOURS[target]);
  if (!isKnown(low)) return;
  box(pen, left + COLUMN.width * low, 410, COLUMN.width * (high - low), 4, TEXT);
  write(pen, `${fixed2(low)} to ${fixed2(high)}`, left + 170, 384, { size: 26, colour: QUIET });
}

function drawLine(pen, { timeline, duration_s }, target) {
  Object.assign(pen, { strokeStyle: COLOURS[target], lineWidth: 4, lineJoin: "round" });
  pen.beginPath();
  for (const { start_s, [target]: value } of [...timeline, { ...timeline.at(-1), start_s: duration_s }])
    pen.lineTo(MARGIN + INNER * Math.min(1, start_s / duration_s), PLOT.top + PLOT.height * (1 - value));
  pen.stroke();
}

function box(pen, x, y, width, height, colour) {
  pen.fillStyle = colour;
  pen.fillRect(x, y, width, height);
}

/** Write a line, cut with an ellipsis where it is wider than the picture. */
function write(pen, text, x, y, { size, weight = 400, colour = TEXT }) {
  let line = text.slice(0, 400).replace(/\s+/gu, " ").trim();
  const characters = [...new Intl.Segmenter().segment(line)]; // as people count them
  Object.assign(pen, { fillStyle: colour, font: `${weight} ${size}px system-ui, Roboto, "Noto Sans", sans-serif` });
  while (pen.measureText(line).width > INNER && characters.pop())
    line = `${characters.map(({ segment }) => segment).join("").trimEnd()}…`;
  pen.fillText(`\u2068${line}\u2069`, x, y); // an isolate: right-to-left names turn nothing else
}
