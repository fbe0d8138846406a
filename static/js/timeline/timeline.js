// [data-timeline="address"]: the task runs of a run over time, on a canvas. Only what is in view is drawn, so that
// 100,000 rows pan smoothly. The same data is in the Task runs tab; arrow keys go through the rows here, too.
import { hideTip, showTip } from "../charts/tip.js";
import { colours } from "../theme.js";
import { drawGrid, drawHead, drawNow, drawOverview, overviewPicture } from "./frame.js";
import { setInside } from "./glyphs.js";
import { bindInput } from "./input.js";
import { Model } from "./model.js";
import { drawRow } from "./rows.js";
import { HEAD, ROW, Scale, span } from "./scale.js";

const TOKENS = ["surface", "hover", "press", "line", "ink", "ink-2", "ink-3", "run"].concat(
  ["wait", "warn", "run", "hold", "ok", "reuse", "fail", "crash", "end"].flatMap((tone) => [tone, `${tone}-fill`]),
);
const PAUSE = 500; // ms between reads, and 20 times what the last one took
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
    this.read();
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
    document.addEventListener("live:message", ({ detail }) => {
      const topics = this.box.dataset.live.split(" ");
      if (detail.topic !== null && !topics.includes(detail.topic)) return;
      // A new attempt counts its entries anew, and a message may have been missed: then all is read again.
      if (!detail.topic?.endsWith("/tasks")) this.whole = true;
      this.#soon();
    });
    setInterval(() => this.model.ended || document.hidden || !this.box.offsetParent || this.#tick(), TICK);
  }

  #soon() {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.read();
    }, Math.max(PAUSE, 20 * (this.took ?? 0)));
  }

  async read() {
    const began = performance.now();
    const changes = !this.whole && this.model.seq >= 0;
    this.whole = false;
    try {
      const address = this.box.dataset.timeline + (changes ? `?since=${this.model.seq}` : "");
      const answer = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(30_000) });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      this.model.take(await answer.json(), changes);
    } catch {
      this.whole = true;
      this.took = 250; // Tried again in five seconds.
      this.#soon();
      return;
    }
    this.took = performance.now() - began;
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
    const words = this.#describe(this.model.visible[this.current]).map((part) => [].concat(part).join(" "));
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
    else showTip(event, this.#describe(this.model.visible[index]));
  }

  #describe({ row, members }) {
    const words = [row.label];
    if (members) for (const [kind, count] of Object.entries(row.counts)) words.push([kind, count.toLocaleString()]);
    else words.push(["State", row.kind]);
    if (row.begin !== null) words.push(["Started after", span(row.begin)], ["Took", span((row.end ?? this.scale.whole) - row.begin)]);
    if (row.count > 1) words.push(["Attempts", row.count]);
    if (row.flow) words.push(["Flow", row.flow]);
    return words;
  }
}

export const startTimelines = (box) => new Timeline(box);
