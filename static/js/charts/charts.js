// [data-chart="states"|"durations"]: draws from the JSON within it, and again when its size or data change.
import { drawDurations } from "./durations.js";
import { drawStates } from "./states.js";

const CHARTS = { states: drawStates, durations: drawDurations };

export function startCharts(box) {
  let drawn = "";
  const draw = () => {
    const text = box.querySelector("script[type='application/json']")?.textContent;
    if (!text || !box.clientWidth) return;
    const key = `${box.clientWidth} ${text}`;
    if (key === drawn && box.querySelector(":scope > svg")) return;
    drawn = key;
    CHARTS[box.dataset.chart](box, JSON.parse(text));
  };
  new ResizeObserver(draw).observe(box);
  document.addEventListener("fragment:swapped", draw);
  draw();
}
