// [data-timeline="address"]: the task runs of a run over time, on a canvas. Only what is in view is drawn, so that
// 100,000 rows pan smoothly. The same data is in the Task runs tab; arrow keys go through the rows here, too.
import { hideTip, showTip } from "../charts/tip.js";
import { colours } from "../theme.js";
import { Feed } from "./feed.js";
import { drawGrid, drawHead, drawNow, drawOverview, overviewPicture } from "./frame.js";
import { setInside } from "./glyphs.js";
import { bindInput } from "./input.js";
import { Model } from "./model.js";
import { drawRow } from "./rows.js";
import { HEAD, ROW, Scale } from "./scale.js";
import { describe } from "./words.js";

const TOKENS = ["surface", "hover", "press", "line", "ink", "ink-2", "ink-3", "run"].concat(
  ["wait", "warn", "run", "hold", "ok", "reuse", "fail", "crash", "end"].flatMap((tone) => [tone, `${tone}-fill`]),
);
const SMALLEST = 180; // px
const TICK = 200; // ms between drawings of a running run

class Timeline {
  constructor(box) {
    this.box = box;
    this.panel = box.closest("[data-timeline-panel]") ?? box;
    this.canvas = box.querySelector("canvas");
    this.extent = box.querySelector(".extent");
    this.model = new Model();
    this.scale = new Scale();
    this.pen = { context: this.canvas.getContext("2d"), scale: this.scale, font: (size) => `${size}px ${this.sans}` };
    this.current = this.hovered = -1;
    this.#bind();
    this.#paint();
    new Feed(box, this.model, () => this.#arrived());
  }

  #bind() {
    bindInput(this.box, this);
    new ResizeObserver(() => this.#resize()).observe(this.box);
    addEventListener("themechange", () => this.#paint());
    document.fonts?.ready.then(() => this.draw());
    const press = { in: () => this.scale.zoom(0.6), out: () => this.scale.zoom(1.7), fit: () => this.scale.fit() };
    this.panel.addEventListener("click", ({ target }) => {
      const zoom = target.closest("[data-timeline-zoom]")?.dataset.timelineZoom;
      if (!zoom) return;
      press[zoom]();
      this.draw();
    });
    setInterval(() => this.model.ended || document.hidden || !this.box.offsetParent || this.#tick(), TICK);
  }

  #arrived() {
    this.since = performance.now();
    this.scale.whole = this.model.length;
    this.panel.querySelector("[data-timeline-empty]")?.toggleAttribute("hidden", this.model.rows.length > 0);
    this.box.hidden = this.model.rows.length === 0;
    this.#resize();
  }

  #tick() {
    if (this.since === undefined) return;
    this.scale.whole = this.model.length + performance.now() - this.since;
    this.draw();
  }

  #paint() {
    this.pen.colours = colours(TOKENS);
    this.sans = getComputedStyle(document.documentElement).getPropertyValue("--sans");
    setInside(this.pen.colours.surface);
    this.#resize();
  }

  #resize() {
    if (!this.box.clientWidth) return;
    this.box.style.height = `${Math.max(SMALLEST, HEAD + this.model.visible.length * ROW + 12)}px`;
    const { clientWidth: width, clientHeight: height } = this.box;
    this.pen.density = devicePixelRatio || 1;
    this.scale.resize(width, height);
    this.canvas.width = width * this.pen.density;
    this.canvas.height = height * this.pen.density;
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    this.extent.style.height = `${HEAD + this.model.visible.length * ROW + 10}px`;
    this.overview = overviewPicture(this.pen, this.model);
    this.draw();
  }

  draw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (this.overview) this.#draw();
    });
  }

  #draw() {
    const { pen, model, scale } = this;
    const scrolled = this.box.scrollTop;
    pen.context.setTransform(pen.density, 0, 0, pen.density, 0, 0);
    pen.context.textBaseline = "middle";
    pen.context.fillStyle = pen.colours.surface;
    pen.context.fillRect(0, 0, scale.width, scale.height);
    drawGrid(pen);
    const first = Math.floor(scrolled / ROW);
    const last = Math.min(model.visible.length, first + Math.ceil((scale.height - HEAD) / ROW) + 1);
    for (let index = first; index < last; index += 1) {
      const state = { current: index === this.current, hovered: index === this.hovered };
      drawRow(pen, model.visible[index], HEAD + index * ROW - scrolled, state);
    }
    drawNow(pen, model);
    drawHead(pen, model);
    drawOverview(pen, model, this.overview, scrolled);
  }

  rowAt(y) {
    const index = Math.floor((y - HEAD + this.box.scrollTop) / ROW);
    return this.model.visible[index] ? index : -1;
  }

  setCurrent(index) {
    this.current = Math.max(0, Math.min(this.model.visible.length - 1, index));
    const top = this.current * ROW;
    const room = this.box.clientHeight - HEAD - ROW;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top > this.box.scrollTop + room) this.box.scrollTop = top - room;
    const words = describe(this.model.visible[this.current], this.scale.whole).map((part) => [].concat(part).join(" "));
    this.panel.querySelector("[data-timeline-said]").textContent = words.join(", ");
  }

  activate(index) {
    const entry = this.model.visible[index];
    this.current = index;
    if (this.model.toggle(entry)) return this.#resize();
    if (entry?.row.flow) location.assign(this.box.dataset.runs + entry.row.id);
    this.draw();
  }

  hover(index, event) {
    if (index !== this.hovered) this.draw();
    this.hovered = index;
    if (index < 0) hideTip();
    else showTip(event, describe(this.model.visible[index], this.scale.whole));
  }
}

export const startTimelines = (box) => new Timeline(box);
