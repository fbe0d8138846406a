// Runs by state over time: stacked bars, failures at the baseline so that they can be compared.
import { axisLabel, element, frame, horizontal, timeAxis } from "./svg.js";
import { hideTip, showTip } from "./tip.js";

const ORDER = [
  ["FAILED", "Failed", "fail"],
  ["CRASHED", "Crashed", "crash"],
  ["CANCELLED", "Cancelled", "end"],
  ["CANCELLING", "Cancelling", "end"],
  ["PAUSED", "Paused", "hold"],
  ["SCHEDULED", "Scheduled", "wait"],
  ["PENDING", "Pending", "wait"],
  ["RUNNING", "Running", "run"],
  ["COMPLETED", "Completed", "ok"],
];

/** `from` and `step` in µs; `bars` hold counts by state type. */
export function drawStates(box, data) {
  const { bars } = data;
  const from = data.from / 1000;
  const to = from + (data.step / 1000) * bars.length;
  const place = frame(box, [8, 2, 20, 30]);
  const step = (to - from) / bars.length;
  const width = (place.right - place.left) / bars.length;
  const most = niceTop(Math.max(1, ...bars.map((bar) => ORDER.reduce((sum, [type]) => sum + (bar[type] ?? 0), 0))));
  const y = (count) => place.bottom - (count / most) * (place.bottom - place.top);
  for (const count of [0, most / 2, most]) {
    if (Number.isInteger(count)) horizontal(place, y(count), count.toLocaleString(), count === 0);
  }
  timeAxis(place, from, to);
  bars.forEach((bar, index) => {
    const x = place.left + index * width;
    stack(place.svg, bar, x + (width > 5 ? 1 : 0.25), Math.max(1, width - (width > 5 ? 2 : 0.5)), y);
    const hit = element("rect", { x, width, y: place.top, height: place.bottom - place.top, class: "hit" });
    const title = `${axisLabel(from + index * step, to - from)} to ${axisLabel(from + (index + 1) * step, to - from)}`;
    const rows = ORDER.filter(([type]) => bar[type]).map(([type, word]) => [word, bar[type].toLocaleString()]);
    hit.addEventListener("pointermove", (event) => showTip(event, [title, ...rows]));
    hit.addEventListener("pointerleave", hideTip);
    place.svg.append(hit);
  });
}

function niceTop(most) {
  const size = 10 ** Math.floor(Math.log10(most));
  const top = [1, 2, 4, 5, 10].find((step) => step * size >= most) * size;
  return top % 2 ? top + 1 : top;
}

function stack(svg, bar, x, width, y) {
  let at = 0;
  for (const [type, , tone] of ORDER) {
    if (!bar[type]) continue;
    const height = Math.max(1, y(at) - y(at + bar[type]) - 0.75);
    svg.append(element("rect", { x, width, y: y(at + bar[type]), height, rx: Math.min(1.5, width / 3), class: `fill-${tone}` }));
    at += bar[type];
  }
}
