// How long runs took, on a logarithmic axis; a shape for each state, so that colour is not all that tells.
import { duration } from "../times.js";
import { element, frame, horizontal, timeAxis } from "./svg.js";
import { hideTip, showTip } from "./tip.js";

const MARKS = [0.001, 0.01, 0.1, 1, 10, 60, 600, 3600, 36_000, 360_000];
const SHAPES = {
  ok: (x, y) => element("circle", { cx: x, cy: y, r: 2.4, class: "fill-ok" }),
  fail: (x, y) => element("path", { d: `M${x - 3} ${y - 3}l6 6m0 -6l-6 6`, class: "stroke-fail" }),
  run: (x, y) => element("circle", { cx: x, cy: y, r: 3, class: "stroke-run" }),
  end: (x, y) => element("path", { d: `M${x - 3} ${y}h6`, class: "stroke-end" }),
  crash: (x, y) =>
    element("path", { d: `M${x} ${y - 4}l1.2 2.8 2.8 1.2-2.8 1.2-1.2 2.8-1.2-2.8-2.8-1.2 2.8-1.2z`, class: "fill-crash" }),
};
const label = (seconds) => (seconds < 1 ? `${seconds * 1000} ms` : duration(seconds).replace(/\.0s| 00[sm]/, (end) => (end === ".0s" ? "s" : "")));

/** `points` are `[ms, seconds, tone, name, id]`. */
export function drawDurations(box, { from, to, points }) {
  const place = frame(box, [8, 6, 20, 44]);
  if (!points.length) return sayNothing(place);
  const lengths = points.map(([, seconds]) => Math.max(0.001, seconds));
  const low = MARKS.findLast((mark) => mark <= Math.min(...lengths)) ?? 0.001;
  const high = MARKS.find((mark) => mark > Math.max(...lengths)) ?? MARKS.at(-1);
  const y = (seconds) => {
    const share = Math.log(Math.max(seconds, low) / low) / Math.log(high / low);
    return place.bottom - share * (place.bottom - place.top);
  };
  for (const mark of MARKS) if (mark >= low && mark <= high) horizontal(place, y(mark), label(mark), mark === low);
  timeAxis(place, from, to);
  for (const [moment, seconds, tone, name, id] of points) {
    const x = place.left + ((moment - from) / (to - from)) * (place.right - place.left);
    const mark = (SHAPES[tone] ?? SHAPES.ok)(x, y(seconds));
    // Not links: the list below has them, and a picture holds nothing to focus.
    const point = element("g", { class: "point" });
    point.addEventListener("pointerenter", (event) => showTip(event, [name, ["Took", duration(seconds)]]));
    point.addEventListener("pointerleave", hideTip);
    point.addEventListener("click", () => location.assign(box.dataset.runs + id));
    point.append(element("circle", { cx: x, cy: y(seconds), r: 6, class: "hit" }), mark);
    place.svg.append(point);
  }
}

// Without a run there is neither a length nor a time to draw an axis of.
function sayNothing({ svg, width, height }) {
  svg.append(element("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, "None of these runs has started"));
}
