// Keeps a model up to date: reads all of it once, then what changed since, whenever the page hears of a change.

const PAUSE = 500; // ms between reads, and five times what the last one took
const AGAIN = 5000; // ms after a read that failed
const TIMEOUT = 30_000;

export class Feed {
  #timer = null;
  #took = 0;
  #busy = false;
  #whole = true;

  /** `arrived()` is called when the model has taken something new. */
  constructor(box, model, arrived) {
    Object.assign(this, { box, model, arrived });
    document.addEventListener("live:message", ({ detail }) => this.#hear(detail.topic));
    this.#read();
  }

  #hear(topic) {
    if (topic !== null && !this.box.dataset.live.split(" ").includes(topic)) return;
    // A new attempt counts its entries anew, and a message may have been missed: then all is read again.
    if (!topic?.endsWith("/tasks")) this.#whole = true;
    this.#soon(Math.max(PAUSE, 5 * this.#took));
  }

  #soon(pause) {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#read();
    }, pause);
  }

  async #read() {
    if (this.#busy) return this.#soon(PAUSE);
    this.#busy = true;
    await this.#readOnce();
    this.#busy = false;
  }

  async #readOnce() {
    const began = performance.now();
    const changes = !this.#whole;
    this.#whole = false;
    try {
      const address = this.box.dataset.timeline + (changes ? `?since=${this.model.seq}` : "");
      const answer = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      this.model.take(await answer.json(), changes);
    } catch {
      this.#whole = true;
      return this.#soon(AGAIN);
    }
    this.#took = performance.now() - began;
    this.arrived();
  }
}
