// A folded group in one row: thin bars of few members, the silhouette of many.
import { FILLS } from "./model.js";
import { BAR, span } from "./scale.js";

const MANY = 200; // members from which a group is a silhouette

export function drawFold(pen, { row, members }, middle) {
  if (members.length > MANY) silhouette(pen, members, middle);
  else thinBars(pen, members, middle);
  if (row.begin === null) return;
  pen.context.font = pen.font(11);
  pen.context.fillStyle = pen.colours["ink-3"];
  const end = row.end ?? pen.scale.whole;
  pen.context.fillText(span(end - row.begin), pen.scale.x(end) + 7, middle + 0.5);
}

function thinBars({ context, colours, scale }, members, middle) {
  const height = BAR / members.length;
  members.forEach((row, index) => {
    if (row.begin === null) return;
    context.fillStyle = colours[`${FILLS[row.kind] ?? "wait"}-fill`];
    const x = scale.x(row.begin);
    const width = Math.max(1, scale.x(row.end ?? scale.whole) - x);
    context.fillRect(x, middle - BAR / 2 + index * height, width, Math.max(0.6, height));
  });
}

/** How many ran at once, by pixel; failures are marks on top. */
function silhouette({ context, colours, scale }, members, middle) {
  const width = Math.ceil(scale.plot) + 2;
  const change = new Int32Array(width + 1);
  const failed = new Uint8Array(width + 1);
  const pixel = (moment) => Math.max(0, Math.min(width, Math.round(scale.x(moment) - scale.labels)));
  for (const row of members) {
    if (row.begin === null) continue;
    const from = pixel(row.begin);
    const to = Math.max(from + 1, pixel(row.end ?? scale.whole));
    if (to <= 0 || from >= width) continue;
    change[from] += 1;
    change[Math.min(to, width)] -= 1;
    if (FILLS[row.kind] === "fail" || FILLS[row.kind] === "crash") failed[Math.min(to, width)] = 1;
  }
  let running = 0;
  const level = Array.from({ length: width }, (_, x) => (running += change[x]));
  const most = Math.max(...level, 1);
  context.fillStyle = colours["ok-fill"];
  level.forEach((count, x) => {
    const height = count ? 2 + (count / most) * (BAR - 2) : 0;
    if (height) context.fillRect(scale.labels + x, middle + BAR / 2 - height, 1, height);
  });
  context.fillStyle = colours["fail-fill"];
  failed.forEach((bad, x) => bad && context.fillRect(scale.labels + x - 1, middle - BAR / 2, 2, BAR));
}
