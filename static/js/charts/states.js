// Runs by state over time: stacked bars, failures at the baseline so that they can be compared. Dragging over the
// bars, or clicking one, sets the range of the page.
import { axisLabel, element, frame, horizontal, timeAxis } from "./svg.js";
import { hideTip, showTip } from "./tip.js";

const ORDER = [
  ["fail", "Failed"],
  ["crash", "Crashed"],
  ["warn", "Late, retrying"],
  ["end", "Cancelled"],
  ["hold", "Paused"],
  ["wait", "Waiting"],
  ["run", "Running"],
  ["ok", "Completed"],
];

export function drawStates(box, { from, to, bars }) {
  const place = frame(box, [8, 2, 20, 30]);
  const step = (to - from) / bars.length;
  const width = (place.right - place.left) / bars.length;
  const most = niceTop(Math.max(1, ...bars.map((bar) => ORDER.reduce((sum, [tone]) => sum + (bar[tone] ?? 0), 0))));
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
    const rows = ORDER.filter(([tone]) => bar[tone]).map(([tone, word]) => [word, bar[tone].toLocaleString()]);
    hit.addEventListener("pointermove", (event) => showTip(event, [title, ...rows]));
    hit.addEventListener("pointerleave", hideTip);
    place.svg.append(hit);
  });
  brush(place, (left, right) => choose(from, to, left, right));
}

function niceTop(most) {
  const size = 10 ** Math.floor(Math.log10(most));
  const top = [1, 2, 4, 5, 10].find((step) => step * size >= most) * size;
  return top % 2 ? top + 1 : top;
}

function stack(svg, bar, x, width, y) {
  let at = 0;
  for (const [tone] of ORDER) {
    if (!bar[tone]) continue;
    const height = Math.max(1, y(at) - y(at + bar[tone]) - 0.75);
    svg.append(element("rect", { x, width, y: y(at + bar[tone]), height, rx: Math.min(1.5, width / 3), class: `fill-${tone}` }));
    at += bar[tone];
  }
}

function brush({ svg, left, right, top, bottom }, done) {
  let from = null;
  const mark = element("rect", { y: top, height: bottom - top, class: "brush", visibility: "hidden" });
  svg.append(mark);
  const x = (event) => Math.max(left, Math.min(right, event.clientX - svg.getBoundingClientRect().left));
  svg.addEventListener("pointerdown", (event) => {
    from = x(event);
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    if (from === null) return;
    mark.setAttribute("visibility", "visible");
    mark.setAttribute("x", Math.min(from, x(event)));
    mark.setAttribute("width", Math.abs(from - x(event)));
  });
  svg.addEventListener("pointerup", (event) => {
    const [a, b] = [Math.min(from, x(event)), Math.max(from, x(event))];
    from = null;
    if (b - a > 6) done((a - left) / (right - left), (b - left) / (right - left));
    else mark.setAttribute("visibility", "hidden");
  });
}

function choose(from, to, left, right) {
  const url = new URL(location.href);
  url.searchParams.delete("range");
  url.searchParams.delete("after");
  url.searchParams.set("from", new Date(from + left * (to - from)).toISOString().slice(0, 19) + "Z");
  url.searchParams.set("to", new Date(from + right * (to - from)).toISOString().slice(0, 19) + "Z");
  location.assign(url);
}
