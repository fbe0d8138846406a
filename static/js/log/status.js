// What a log says about itself: following or paused, how many lines are new below, why it is empty.

export class LogStatus {
  #unseen = 0;

  constructor(box) {
    this.word = box.querySelector("[data-log-status]");
    this.pill = box.querySelector("[data-log-new]");
    this.note = box.querySelector("[data-log-note]");
  }

  say(text) {
    this.note.textContent = text;
    this.note.hidden = !text;
  }

  follows(following) {
    if (!this.word) return;
    this.word.classList.toggle("kind-paused", !following);
    this.word.querySelector("[data-word]").textContent = following ? "Following" : "Paused";
  }

  /** More lines came below what is read; how many is known only while the newest is in the page. */
  more(count, known) {
    this.#unseen += count;
    this.pill.hidden = false;
    const words = `${this.#unseen} new ${this.#unseen === 1 ? "line" : "lines"}`;
    this.pill.querySelector("[data-count]").textContent = known ? words : "New lines";
  }

  seen() {
    this.#unseen = 0;
    this.pill.hidden = true;
  }
}

/** Why a log shows nothing. */
export function emptyWord({ level, q }) {
  return level || q ? "No line matches. Clear the search or show all levels." : "No lines yet.";
}
