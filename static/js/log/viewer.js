// [data-log="address"]: a window onto a log of any length. At most KEPT lines are in the page; scrolling to an end
// fetches the next window there and drops the far one. Follows while at its end; #L123 opens at that line.
import { chooseTab } from "../tabs.js";
import { lineElement, readLines, WINDOW } from "./lines.js";
import { emptyWord, LogStatus } from "./status.js";

const KEPT = 2000;
const NEAR = 400; // px from an end
const PAUSE = 250; // ms between reads of new lines
const AGAIN = 3000; // ms after a failed read

const wantedLine = () => Number(/^#L(\d+)$/.exec(location.hash)?.[1]) || null;
class LogViewer {
  constructor(box) {
    this.box = box;
    this.list = box.querySelector("[data-log-lines]");
    this.status = new LogStatus(box);
    this.filters = { level: "", q: "" };
    this.atEnd = true; // the newest line is in the page
    this.following = true;
    this.queue = Promise.resolve(); // of reads: answers never overtake each other
    this.#bind();
    this.open(wantedLine());
  }

  #bind() {
    this.list.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    for (const button of this.box.querySelectorAll("[data-log-new], [data-log-follow]")) {
      button.addEventListener("click", () => this.open());
    }
    this.#filterBy("level", "change", 0);
    this.#filterBy("q", "input", 250);
    addEventListener("hashchange", () => wantedLine() && this.open(wantedLine()));
    document.addEventListener("tab:chosen", () => this.following && this.#toEnd());
    document.addEventListener("live:message", ({ detail }) => {
      if (detail.topic === null || detail.topic === this.box.dataset.live) this.#grow(PAUSE);
    });
  }

  #filterBy(name, type, pause) {
    let timer;
    this.box.querySelector(`[data-log-${name}]`)?.addEventListener(type, (event) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        this.filters[name] = event.target.value;
        this.open();
      }, pause);
    });
  }

  #next(read) {
    this.queue = this.queue.then(read).catch(() => {
      this.status.say("The log could not be read. It is tried again.");
      this.#grow(AGAIN);
    });
    return this.queue;
  }

  /** Shows the end, or the neighbourhood of a line. */
  open(line = null) {
    return this.#next(async () => {
      const place = line ? { after: Math.max(0, line - WINDOW / 2) } : {};
      const { lines, more } = await readLines(this.box.dataset.log, this.filters, place);
      this.list.replaceChildren(...lines.map(lineElement));
      this.atEnd = line ? !more : true;
      this.following = !line;
      this.status.say(lines.length ? "" : emptyWord(this.filters));
      this.status.seen();
      this.status.follows(this.following);
      if (line) this.#mark(line);
      else this.#toEnd();
    });
  }

  #mark(line) {
    const element = document.getElementById(`L${line}`);
    if (!element) return;
    chooseTab(this.box.closest("[role=tabpanel]")?.id);
    element.classList.add("target");
    element.scrollIntoView({ block: "center" });
  }

  #grow(pause) {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.#next(() => this.#readNew());
    }, pause);
  }

  async #readNew() {
    if (!this.atEnd) return this.status.more(1, false);
    const after = Number(this.list.lastElementChild?.dataset.number ?? 0);
    const { lines, more } = await readLines(this.box.dataset.log, this.filters, { after });
    if (lines.length) this.#append(lines, more);
    if (more) this.#grow(PAUSE);
  }

  #append(lines, more) {
    this.status.say("");
    this.list.append(...lines.map(lineElement));
    this.atEnd = !more || this.following;
    const { scrollHeight } = this.list;
    this.#drop("first");
    if (this.following) return this.#toEnd();
    this.list.scrollTop -= scrollHeight - this.list.scrollHeight;
    if (this.atEnd) this.status.more(lines.length, true);
  }

  #prepend(lines) {
    const { scrollHeight, scrollTop } = this.list;
    this.list.prepend(...lines.map(lineElement));
    this.list.scrollTop = scrollTop + this.list.scrollHeight - scrollHeight;
    this.#drop("last");
  }

  #drop(end) {
    const over = this.list.childElementCount - KEPT;
    for (let n = 0; n < over; n += 1) this.list[`${end}ElementChild`].remove();
    if (over > 0 && end === "last") this.atEnd = false;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.list;
    const below = scrollHeight - scrollTop - clientHeight;
    this.following = this.atEnd && below < 8;
    this.status.follows(this.following);
    if (this.following) this.status.seen();
    if (this.extending || !clientHeight) return;
    if (scrollTop < NEAR) this.#extend("before");
    else if (below < NEAR && !this.atEnd) this.#extend("after");
  }

  #extend(side) {
    const edge = side === "before" ? this.list.firstElementChild : this.list.lastElementChild;
    const number = Number(edge?.dataset.number ?? 0);
    if (number <= 1 && side === "before") return;
    this.extending = true;
    this.#next(async () => {
      const { lines, more } = await readLines(this.box.dataset.log, this.filters, { [side]: number });
      if (side === "before") this.#prepend(lines);
      else this.#append(lines, more);
    }).finally(() => (this.extending = false));
  }

  #toEnd() {
    this.list.scrollTop = this.list.scrollHeight;
  }
}

export const startLogs = (box) => new LogViewer(box);
