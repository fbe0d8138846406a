// The times in which a row waited: hatched for a slot or a value, dots in a subflow that waited for people.
import { BAR } from "./scale.js";

const STEP = 5; // px between two strokes
const SHORTEST = 3; // px of a wait that is hatched; shorter ones are a mark

export function drawWaits(pen, row, middle) {
  const { context, colours, scale } = pen;
  for (const [begin, end] of row.waits) {
    const left = Math.max(scale.labels - STEP, scale.x(begin));
    const right = Math.min(scale.width + STEP, scale.x(end ?? scale.whole));
    if (right < left) continue;
    if (row.flow) dots(context, colours["hold-fill"], left, right, middle + 3);
    else hatch(context, colours, left, Math.max(1.5, right - left), middle - BAR / 2);
  }
}

function hatch(context, colours, x, width, y) {
  context.save();
  context.beginPath();
  context.roundRect(x, y, width, BAR, Math.min(2.5, width / 2));
  context.clip();
  context.fillStyle = width < SHORTEST ? colours["wait-fill"] : colours.surface;
  context.fillRect(x, y, width, BAR);
  context.strokeStyle = colours["wait-fill"];
  context.lineWidth = 1.25;
  context.beginPath();
  for (let at = Math.floor((x - BAR) / STEP) * STEP; at < x + width; at += STEP) {
    context.moveTo(at, y + BAR);
    context.lineTo(at + BAR, y);
  }
  context.stroke();
  context.restore();
}

function dots(context, colour, left, right, y) {
  context.fillStyle = colour;
  for (let x = left + STEP; x < right - 2; x += STEP) context.fillRect(x, y, 2, 2);
}
