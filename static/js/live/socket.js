// One WebSocket per page. It carries which topics changed, never what: pages fetch that with their own session.
// Without a socket the page polls while it is looked at.

const FIRST_WAIT = 500; // ms, doubled at each failure
const LONGEST_WAIT = 15_000;
const POLL = 5000;
const POLLING_AFTER = 2; // failures
const REFUSED = 4000; // close codes from here on mean that trying again won't help

export class LiveSocket {
  #topics;
  #socket = null;
  #failures = 0;
  #timer;
  #poller;

  /** `hear({topic, …})` is called for each message, `missed()` when something may have been missed. */
  constructor(address, workspace, { hear, missed, state }) {
    Object.assign(this, { address, workspace, hear, missed, state });
    this.#topics = new Set();
    addEventListener("online", () => this.#comeBack());
    addEventListener("offline", () => this.state("offline"));
    document.addEventListener("visibilitychange", () => document.hidden || this.#look());
  }

  /** Asks for these topics, too. */
  subscribe(topics) {
    const fresh = topics.filter((topic) => !this.#topics.has(topic));
    for (const topic of fresh) this.#topics.add(topic);
    if (!fresh.length) return;
    if (this.#isOpen) this.#send(fresh);
    else if (!this.#socket) this.#connect();
  }

  get #isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  #send(topics) {
    this.#socket.send(JSON.stringify({ workspace: this.workspace, subscribe: topics }));
  }

  #connect() {
    clearTimeout(this.#timer);
    if (this.#socket && this.#socket.readyState < WebSocket.CLOSING) return;
    const address = new URL(this.address, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = (this.#socket = new WebSocket(address));
    socket.addEventListener("open", () => this.#send([...this.#topics]));
    socket.addEventListener("message", (event) => this.#take(JSON.parse(event.data)));
    socket.addEventListener("close", (event) => this.#closed(event.code));
  }

  #take(message) {
    if (message.subscribed) {
      this.#failures = 0;
      clearInterval(this.#poller);
      this.#poller = null;
      this.state("live");
      this.missed(); // Subscribed first, read now: nothing falls between.
    } else if (message.ended) {
      this.#end(message.ended);
    } else {
      this.hear(message);
    }
  }

  /** Rights were taken away: nothing is asked for any more. */
  #end(topics) {
    for (const topic of topics) this.#topics.delete(topic);
    if (!this.#topics.size) this.state("ended");
  }

  #closed(code) {
    this.#failures += 1;
    this.state(navigator.onLine ? (this.#failures >= POLLING_AFTER ? "polling" : "connecting") : "offline");
    this.#poller ??= setInterval(() => document.hidden || this.missed(), POLL * (1 + Math.random() / 4));
    if (code >= REFUSED) return;
    const wait = Math.min(FIRST_WAIT * 2 ** (this.#failures - 1), LONGEST_WAIT);
    this.#timer = setTimeout(() => this.#connect(), wait * (0.5 + Math.random()));
  }

  #comeBack() {
    if (!this.#isOpen) return this.#connect();
    this.state("live");
    this.missed();
  }

  #look() {
    if (this.#isOpen) return;
    this.#failures = Math.min(this.#failures, 1);
    this.#connect();
    this.missed();
  }
}
