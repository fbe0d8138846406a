// SVG elements, and the frame of a chart: its size, margins, lines and labels. Colours come from classes.
const SVG = "http://www.w3.org/2000/svg";

export function element(name, attributes = {}, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** An SVG that fills `box`, with margins `[top, right, bottom, left]`. */
export function frame(box, [top, right, bottom, left]) {
  const width = box.clientWidth;
  const height = box.clientHeight;
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": box.dataset.label ?? "" });
  box.querySelector(":scope > svg")?.remove();
  box.append(svg);
  return { svg, width, height, left, right: width - right, top, bottom: height - bottom };
}

export function horizontal({ svg, left, right }, y, text, isAxis) {
  const at = Math.round(y) + 0.5;
  svg.append(
    element("line", { x1: left, x2: right, y1: at, y2: at, class: isAxis ? "grid axis" : "grid" }),
    element("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, text),
  );
}

const DAY = 86_400_000;
const two = (number) => String(number).padStart(2, "0");
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** A moment on an axis that spans `length` ms, in the person's zone. */
export function axisLabel(ms, length) {
  const date = new Date(ms);
  if (length > 2 * DAY) return `${date.getDate()} ${MONTHS[date.getMonth()]}`;
  const seconds = length < 600_000 ? `:${two(date.getSeconds())}` : "";
  return `${two(date.getHours())}:${two(date.getMinutes())}${seconds}`;
}

/** Labels below the chart, as many as there is room for. */
export function timeAxis({ svg, left, right, height }, from, to) {
  const count = Math.max(2, Math.floor((right - left) / 84));
  let last = "";
  for (let n = 0; n < count; n += 1) {
    const share = n / count;
    const text = axisLabel(from + share * (to - from), to - from);
    if (text === last) continue;
    last = text;
    svg.append(element("text", { x: left + share * (right - left), y: height - 4 }, text));
  }
}
