// Keyboard first. One-key shortcuts are on elements: data-key="n", data-key="g r"; `?` lists them; they can be
// turned off in that list, for people whose tools speak keys.
import { isTyping, on, remember, remembered } from "./found.js";

const PATIENCE = 900; // ms between the keys of a pair
let before = "";
let beforeAt = 0;

const off = () => remembered("shortcuts") === "off";
const visible = (element) => element.checkVisibility?.() ?? element.offsetParent !== null;

function press(keys) {
  const found = [...document.querySelectorAll(`[data-key="${CSS.escape(keys)}"]`)];
  const element = found.find(visible) ?? found[0];
  if (!element) return false;
  if (element.matches("input, textarea")) element.focus();
  else element.click();
  return true;
}

function rows() {
  return [...document.querySelectorAll("[data-row]")].filter(visible);
}

function step(by) {
  const all = rows();
  if (!all.length) return;
  const at = all.findIndex((row) => row.classList.contains("current"));
  all[at]?.classList.remove("current");
  const next = all[Math.max(0, Math.min(all.length - 1, at + by))];
  next.classList.add("current");
  next.scrollIntoView({ block: "nearest" });
  next.querySelector("a.name, a")?.focus({ preventScroll: true });
}

const ACTIONS = {
  j: () => step(1),
  k: () => step(-1),
  x: () => document.querySelector("[data-row].current td.check input")?.click(),
  "?": () => document.getElementById("shortcuts")?.showModal(),
};

addEventListener("keydown", (event) => {
  if (event.altKey || event.metaKey || event.ctrlKey || event.isComposing) return;
  if (off() || isTyping(event.target) || document.querySelector("dialog[open]")) return;
  const pair = Date.now() - beforeAt < PATIENCE ? `${before} ${event.key}` : "";
  before = event.key;
  beforeAt = Date.now();
  if ((pair && press(pair)) || press(event.key)) {
    event.preventDefault();
  } else if (ACTIONS[event.key]) {
    ACTIONS[event.key]();
    event.preventDefault();
  }
});

on("change", "[data-shortcuts-switch]", (_event, input) => remember("shortcuts", input.checked ? null : "off"));
for (const input of document.querySelectorAll("[data-shortcuts-switch]")) input.checked = !off();
