// Which part of the run is in view, and where a moment lies on the canvas.

export const ROW = 20;
export const BAR = 12;
export const AXIS = 26;
export const OVERVIEW = 34;
export const HEAD = OVERVIEW + AXIS;
const RIGHT = 14;
const SHORTEST = 5; // ms in view at the closest zoom
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5, 72e5];

export class Scale {
  from = 0;
  to = null; // null: the whole run, growing with it

  constructor() {
    this.whole = 1;
    this.resize(0, 0);
  }

  resize(width, height) {
    this.width = width;
    this.height = height;
    this.labels = width < 560 ? 128 : 236;
    this.plot = Math.max(1, width - this.labels - RIGHT);
  }

  get end() {
    return this.to ?? this.whole * 1.02;
  }

  x(moment) {
    return this.labels + ((moment - this.from) / (this.end - this.from)) * this.plot;
  }

  overviewX(moment) {
    return this.labels + (moment / (this.whole * 1.02)) * this.plot;
  }

  moment(x) {
    return this.from + ((x - this.labels) / this.plot) * (this.end - this.from);
  }

  fit() {
    this.from = 0;
    this.to = null;
  }

  /** Zooms by a factor (under 1: closer) around a place on the canvas. */
  zoom(factor, x = this.labels + this.plot / 2) {
    const fixed = this.moment(x);
    const span = Math.max(SHORTEST, (this.end - this.from) * factor);
    if (span >= this.whole * 1.02) return this.fit();
    const from = fixed - ((x - this.labels) / this.plot) * span;
    this.#set(from, span);
  }

  pan(pixels) {
    if (this.to === null) return;
    const span = this.end - this.from;
    this.#set(this.from + (pixels / this.plot) * span, span);
  }

  centre(x) {
    if (this.to === null) return;
    const span = this.end - this.from;
    this.#set(((x - this.labels) / this.plot) * this.whole * 1.02 - span / 2, span);
  }

  #set(from, span) {
    this.from = Math.max(0, Math.min(from, this.whole * 1.02 - span));
    this.to = this.from + span;
  }

  /** The distance of the axis' marks. */
  get step() {
    const pixels = this.plot / (this.end - this.from);
    return STEPS.find((step) => step * pixels > 72) ?? Math.ceil((this.end - this.from) / 8);
  }
}

/** A moment of the axis or a length: `0`, `250 ms`, `1.5s`, `2m 14s`, `18h 05m`. */
export function span(ms) {
  if (ms <= 0) return "0";
  if (ms < 1000) return ms < 1 ? "under 1 ms" : `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 59.95) return `${seconds < 9.95 ? seconds.toFixed(1).replace(/\.0$/, "") : Math.round(seconds)}s`;
  const whole = Math.round(seconds);
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`;
}
