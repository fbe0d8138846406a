// What stands around the rows: grid, axis, overview, the line of now.
import { FILLS } from "./model.js";
import { line } from "./rows.js";
import { AXIS, HEAD, OVERVIEW, ROW, span } from "./scale.js";

const SAMPLED = 4000; // rows of the overview

export function drawGrid(pen) {
  const { colours, scale } = pen;
  for (let moment = firstMark(scale); moment <= scale.end; moment += scale.step) {
    const x = Math.round(scale.x(moment)) + 0.5;
    if (x >= scale.labels) line(pen, colours.line, [[x, HEAD], [x, scale.height]], 1);
  }
}

const firstMark = (scale) => Math.ceil(scale.from / scale.step) * scale.step;

export function drawNow(pen, model) {
  if (model.ended) return;
  const { colours, scale } = pen;
  const x = Math.round(scale.x(scale.whole)) + 0.5;
  if (x < scale.labels || x > scale.width) return;
  line(pen, colours["run-fill"], [[x, HEAD - 6], [x, scale.height]], 1);
}

export function drawHead(pen, model) {
  const { context, colours, scale } = pen;
  context.fillStyle = colours.surface;
  context.fillRect(0, 0, scale.width, HEAD);
  line(pen, colours.line, [[0, HEAD + 0.5], [scale.width, HEAD + 0.5]], 1);
  line(pen, colours.line, [[0, OVERVIEW + 0.5], [scale.width, OVERVIEW + 0.5]], 1);
  line(pen, colours.line, [[scale.labels - 8.5, 0], [scale.labels - 8.5, scale.height]], 1);
  context.font = pen.font(11);
  context.fillStyle = colours["ink-3"];
  const count = model.tasks ?? 0;
  const words = `${count.toLocaleString()} task ${count === 1 ? "run" : "runs"}`;
  context.fillText(scale.width < 560 ? words : `${words}, in order of start`, 16, OVERVIEW + AXIS / 2 + 1);
  context.fillText("Overview", 16, OVERVIEW / 2 + 1);
  drawAxis(pen, model);
}

function drawAxis(pen, model) {
  const { context, colours, scale } = pen;
  const middle = OVERVIEW + AXIS / 2 + 1;
  const now = model.ended ? -1000 : scale.x(scale.whole);
  for (let moment = firstMark(scale); moment <= scale.end; moment += scale.step) {
    const text = span(moment);
    const x = scale.x(moment) - (moment ? context.measureText(text).width / 2 : 0);
    if (x < scale.labels || x + 40 > scale.width || Math.abs(scale.x(moment) - now) < 60) continue;
    context.fillText(text, x, middle);
  }
  if (model.ended || now < scale.labels || now > scale.width) return;
  const text = span(scale.whole);
  const width = context.measureText(text).width + 14;
  const left = Math.min(now - width / 2, scale.width - width - 2);
  context.fillStyle = colours.run;
  context.beginPath();
  context.roundRect(left, middle - 9, width, 16, 8);
  context.fill();
  context.fillStyle = colours.surface;
  context.fillText(text, left + 7, middle - 0.5);
}

/** The whole run in small, drawn once per change of the data, and the part of it that is in view. */
export function drawOverview(pen, model, cached, scrolled) {
  const { context, colours, scale } = pen;
  context.drawImage(cached, 0, 0, scale.width, OVERVIEW);
  const left = scale.overviewX(scale.from);
  const width = scale.overviewX(scale.end) - left;
  const rows = Math.max(1, model.visible.length);
  const room = OVERVIEW - 10;
  const top = 4.5 + (scrolled / ROW / rows) * room;
  const height = Math.max(4, Math.min(1, (scale.height - HEAD) / ROW / rows) * room + 1);
  context.strokeStyle = colours["ink-2"];
  context.lineWidth = 1;
  context.strokeRect(Math.round(left) - 0.5, Math.round(top) + 0.5, Math.max(3, Math.round(width)), height);
}

export function overviewPicture(pen, model) {
  const { colours, scale } = pen;
  const canvas = document.createElement("canvas");
  canvas.width = scale.width * pen.density;
  canvas.height = OVERVIEW * pen.density;
  const context = canvas.getContext("2d");
  context.scale(pen.density, pen.density);
  const stride = Math.max(1, Math.ceil(model.rows.length / SAMPLED));
  const height = (OVERVIEW - 10) / Math.max(1, model.rows.length);
  for (let index = 0; index < model.rows.length; index += stride) {
    const row = model.rows[index];
    if (row.begin === null) continue;
    const x = scale.overviewX(row.begin);
    context.fillStyle = colours[`${FILLS[row.kind] ?? "wait"}-fill`];
    context.fillRect(x, 5 + index * height, Math.max(1.5, scale.overviewX(row.end ?? scale.whole) - x), Math.max(0.8, height * 0.8));
  }
  return canvas;
}
