// [data-fragment="address"]: fetched again when one of its topics (data-live) changed; at most twice a second,
// jittered, less often where the answer takes long, and the last version always.
import { on, whenAdded } from "../found.js";
import { toast } from "../toast.js";
import { swap } from "./swap.js";

const BETWEEN = 500; // ms
const TIMEOUT = 10_000;
const AGAIN = 3000; // ms after a failure
const states = new WeakMap();
let gone = false;

const all = () => [...document.querySelectorAll("[data-fragment]")];
const topics = (element) => (element.dataset.live ?? "").split(" ").filter(Boolean);

/** Every topic that something on this page wants to hear of. */
export function wantedTopics() {
  return [...new Set([...document.querySelectorAll("[data-live]")].flatMap(topics))];
}

/** Brings what depends on `topic` up to date, soon; without a topic, everything. */
export function refresh(topic) {
  for (const element of all()) {
    if (!topic || topics(element).includes(topic)) schedule(element);
  }
}

function schedule(element) {
  const state = states.get(element) ?? { last: 0, took: 0, etag: null, timer: null, busy: false, again: false };
  states.set(element, state);
  if (state.busy) state.again = true;
  if (state.busy || state.timer) return;
  const wait = Math.max(0, state.last + Math.max(BETWEEN, 5 * state.took) - Date.now()) + Math.random() * 150;
  state.timer = setTimeout(() => load(element, state), wait);
}

async function load(element, state) {
  state.timer = null;
  if (!element.isConnected) return;
  if (document.hidden) {
    document.addEventListener("visibilitychange", () => schedule(element), { once: true });
    return;
  }
  state.busy = true;
  state.last = Date.now();
  try {
    await fetchInto(element, state);
  } catch {
    setTimeout(() => schedule(element), AGAIN);
  }
  state.took = Date.now() - state.last;
  state.busy = false;
  if (state.again) {
    state.again = false;
    schedule(element);
  }
}

async function fetchInto(element, state) {
  const headers = { "X-Requested-With": "fetch" };
  if (state.etag) headers["If-None-Match"] = state.etag;
  const answer = await fetch(element.dataset.fragment, {
    headers,
    cache: "no-store",
    redirect: "manual",
    signal: AbortSignal.timeout(TIMEOUT),
  });
  if (answer.type === "opaqueredirect") return location.reload(); // Signed out: the page says so itself.
  if (answer.status === 404) return tellGone();
  if (answer.status === 304) return;
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  state.etag = answer.headers.get("ETag");
  swap(element, await answer.text());
}

/** What it shows was deleted, or is for others now: the page stays as it is, and says so once. */
function tellGone() {
  if (!gone) toast("What this page shows is not there any more.");
  gone = true;
}

/** Shows another part of what the fragment around `inner` shows: a page, a filter. */
function turn(inner, address) {
  const element = inner.closest("[data-fragment]");
  element.dataset.fragment = address;
  states.delete(element);
  schedule(element);
}

on("click", "a[data-into]", (event, link) => {
  if (event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  turn(link, link.href);
});

let timer;
on("submit", "form[data-into]", (event) => event.preventDefault());
on("input", "form[data-into]", (_event, form) => {
  clearTimeout(timer);
  timer = setTimeout(() => turn(form, `${form.action}?${new URLSearchParams(new FormData(form))}`), 250);
});

// What grows old without any message (ranges that end now, agents that fall silent) is fetched once in a while:
// data-refresh="30" is in seconds.
whenAdded("[data-fragment][data-refresh]", (element) => {
  setInterval(() => schedule(element), element.dataset.refresh * 1000);
});

// What the page left out is loaded at once.
whenAdded("[data-fragment][data-load]", schedule);
