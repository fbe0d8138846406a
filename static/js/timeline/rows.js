// Draws the rows in view: label and executions. Nothing outside the view is touched.
import { drawFold } from "./folds.js";
import { drawGlyph } from "./glyphs.js";
import { FILLS } from "./model.js";
import { BAR, HEAD, ROW, span } from "./scale.js";
import { drawWaits } from "./waits.js";

export function drawRow(pen, entry, y, state) {
  const middle = y + ROW / 2;
  if (state.current) rectangle(pen, pen.colours.press, 0, y, pen.scale.width, ROW);
  else if (state.hovered) rectangle(pen, pen.colours.hover, 0, y, pen.scale.width, ROW);
  drawLabel(pen, entry, middle);
  pen.context.save();
  pen.context.beginPath();
  pen.context.rect(pen.scale.labels, HEAD, pen.scale.width - pen.scale.labels, pen.scale.height);
  pen.context.clip();
  if (entry.members && !entry.open) drawFold(pen, entry, middle);
  else if (!entry.members) drawLife(pen, entry.row, middle);
  pen.context.restore();
}

function drawLabel(pen, { row, members, open, inner }, middle) {
  const { context, colours, scale } = pen;
  const left = 23 + (inner ? 15 : 0);
  drawGlyph(context, row.kind, colours[FILLS[row.kind] ?? "wait"], left, middle);
  context.font = pen.font(12);
  context.fillStyle = row.since === null ? colours["ink-3"] : colours.ink;
  const count = members ? `  × ${members.length.toLocaleString()}` : "";
  const room = scale.labels - left - 22 - context.measureText(count).width;
  const text = cut(context, row.label, room);
  context.fillText(text, left + 12, middle + 0.5);
  if (!members) return;
  const at = left + 12 + context.measureText(text).width;
  context.fillStyle = colours["ink-3"];
  context.fillText(count, at, middle + 0.5);
  line(pen, colours["ink-3"], open ? [[6, middle - 2], [9, middle + 1], [12, middle - 2]] : [[7, middle - 3], [10, middle], [7, middle + 3]]);
}

/** Shortens from the middle's end: what tells members apart is usually at the end of a label. */
function cut(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  const tail = /(\[[^\]]*\]|-[^-]{1,6})$/.exec(text)?.[0] ?? "";
  let head = text.slice(0, text.length - tail.length);
  while (head.length > 2 && context.measureText(`${head}…${tail}`).width > room) head = head.slice(0, -1);
  return `${head}…${tail}`;
}

/** The executions of a task run one after the other, with what it waited for before and between them. */
function drawLife(pen, row, middle) {
  const { scale } = pen;
  if (row.since === null) return;
  if ((row.end ?? scale.whole) < scale.from) return pointAside(pen, middle, "‹", scale.labels + 6);
  if (row.since > scale.end) return pointAside(pen, middle, "›", scale.width - 12);
  if (row.begin !== null) drawExecutions(pen, row, middle);
  drawWaits(pen, row, middle);
  drawLength(pen, row, middle);
}

/** Failed ones in red, dashes for the delay, then the last. */
function drawExecutions(pen, row, middle) {
  const { colours, scale } = pen;
  let from = row.begin;
  for (const [failed, next] of row.failures) {
    const width = Math.max(1.5, scale.x(failed) - scale.x(from));
    bar(pen, colours["fail-fill"], scale.x(from), middle - BAR / 2, width, BAR);
    cross(pen, colours["fail-fill"], scale.x(failed) + 5, middle);
    if (scale.x(next) - scale.x(failed) > 14) {
      line(pen, colours["warn-fill"], [[scale.x(failed) + 10, middle], [scale.x(next) - 2, middle]], 1.25, [3, 3]);
    }
    from = next;
  }
  const end = row.end ?? scale.whole;
  const fill = FILLS[row.kind] ?? "wait";
  const x = scale.x(from);
  const width = Math.max(1.5, scale.x(end) - x);
  if (row.flow) bracket(pen, colours[`${fill}-fill`], x, middle, width);
  else bar(pen, colours[`${fill}-fill`], x, middle - BAR / 2, width, BAR);
  if (fill === "fail" || fill === "crash") cross(pen, colours[`${fill}-fill`], x + width + 5, middle);
}

function drawLength(pen, row, middle) {
  const { context, colours, scale } = pen;
  const end = row.end ?? scale.whole;
  const waits = row.begin === null && row.end === null ? "waits " : "";
  const text = waits + span(end - (row.begin ?? row.since)) + (row.count > 1 ? `  attempt ${row.count}` : "");
  context.font = pen.font(11);
  context.fillStyle = colours["ink-3"];
  const right = scale.x(end) + (["fail", "crash"].includes(FILLS[row.kind]) ? 14 : 7);
  const width = context.measureText(text).width;
  if (right + width < scale.width - 6) context.fillText(text, right, middle + 0.5);
  else if (scale.x(row.since) - 8 - width > scale.labels) context.fillText(text, scale.x(row.since) - 8 - width, middle + 0.5);
}

/** A row that lies before or after what is in view says on which side. */
function pointAside({ context, colours, font }, middle, sign, x) {
  context.font = font(12);
  context.fillStyle = colours["ink-3"];
  context.fillText(sign, x, middle);
}

/** A subflow spans like a bracket over what it called. */
function bracket(pen, colour, x, middle, width) {
  rectangle(pen, colour, x, middle - 5, width, 4);
  rectangle(pen, colour, x, middle - 5, 1.5, 9);
  rectangle(pen, colour, x + width - 1.5, middle - 5, 1.5, 9);
}

function bar({ context }, colour, x, y, width, height) {
  context.fillStyle = colour;
  context.beginPath();
  context.roundRect(x, y, width, height, Math.min(2.5, width / 2));
  context.fill();
}

function rectangle({ context }, colour, x, y, width, height) {
  context.fillStyle = colour;
  context.fillRect(x, y, width, height);
}

export function line({ context }, colour, points, width = 1.25, dash = []) {
  context.setLineDash(dash);
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.beginPath();
  points.forEach(([x, y], index) => (index ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
  context.setLineDash([]);
}

function cross(pen, colour, x, y) {
  line(pen, colour, [[x - 2.5, y - 2.5], [x + 2.5, y + 2.5]], 1.75);
  line(pen, colour, [[x + 2.5, y - 2.5], [x - 2.5, y + 2.5]], 1.75);
}
