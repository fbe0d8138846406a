// Ties the page to the socket: subscribes to what the page names, refreshes fragments, says how live it is, and hands
// what changed to logs and timelines as `live:message` events on the document.
import { clock } from "../times.js";
import { refresh, wantedTopics } from "./fragments.js";
import { LiveSocket } from "./socket.js";

const indicator = document.querySelector("[data-live-indicator]");
const WORDS = { live: "Live", connecting: "Connecting", polling: "Polling every 5 s", ended: "Your access has ended" };
const KINDS = { live: "kind-completed", connecting: "kind-pending", polling: "kind-late", offline: "kind-pending", ended: "kind-late" };
let shown;

function showState(state) {
  if (!indicator || state === shown) return;
  shown = state;
  const word = WORDS[state] ?? `Offline since ${clock(new Date()).slice(0, 5)}`;
  indicator.hidden = false;
  indicator.className = `live ${KINDS[state]}`;
  indicator.querySelector("[data-word]").textContent = word;
}

function tell(detail) {
  document.dispatchEvent(new CustomEvent("live:message", { detail }));
}

function start() {
  const { liveSocket, liveWorkspace } = document.body.dataset;
  const topics = wantedTopics();
  if (!liveSocket || !topics.length) return;
  const socket = new LiveSocket(liveSocket, liveWorkspace, {
    hear(message) {
      refresh(message.topic);
      tell(message);
    },
    missed() {
      refresh();
      tell({ topic: null });
    },
    state: showState,
  });
  socket.subscribe(topics);
  document.addEventListener("fragment:swapped", () => socket.subscribe(wantedTopics()));
}

start();
