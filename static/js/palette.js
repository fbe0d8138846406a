// ⌘K: jump to a page, an action, a run or a deployment. What the page knows is there at once; the rest is asked for.
import { on } from "./found.js";

const dialog = document.getElementById("palette");
const input = dialog?.querySelector("input");
const list = dialog?.querySelector("[role=listbox]");
let asked = null;
let timer;

const options = () => [...list.querySelectorAll("[role=option]")].filter((option) => !option.hidden);

function select(index) {
  const shown = options();
  const at = (index + shown.length) % (shown.length || 1);
  for (const option of list.querySelectorAll("[role=option]")) option.setAttribute("aria-selected", "false");
  shown[at]?.setAttribute("aria-selected", "true");
  shown[at]?.scrollIntoView({ block: "nearest" });
  if (shown[at]) input.setAttribute("aria-activedescendant", shown[at].id);
  else input.removeAttribute("aria-activedescendant");
}

function filter() {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const option of list.querySelectorAll("[role=option]:not([data-found])")) {
    const text = option.textContent.toLowerCase();
    option.hidden = !words.every((word) => text.includes(word));
  }
  select(0);
}

async function ask() {
  asked?.abort();
  const query = input.value.trim();
  const clear = () => list.querySelectorAll("[data-found]").forEach((option) => option.remove());
  if (query.length < 2 || !dialog.dataset.search) return clear();
  asked = new AbortController();
  try {
    const address = `${dialog.dataset.search}?q=${encodeURIComponent(query)}`;
    const answer = await fetch(address, { signal: AbortSignal.any([asked.signal, AbortSignal.timeout(5000)]) });
    if (!answer.ok) return;
    const html = await answer.text();
    clear();
    list.insertAdjacentHTML("beforeend", html);
    select(0);
  } catch {
    // Superseded by the next key, or no network: what is listed already stays.
  }
}

export function openPalette() {
  if (!dialog || dialog.open) return;
  dialog.showModal();
  input.select();
  filter();
}

if (dialog) {
  addEventListener("keydown", (event) => {
    if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      openPalette();
    }
  });
  on("click", "[data-palette]", openPalette);
  input.addEventListener("input", () => {
    filter();
    clearTimeout(timer);
    timer = setTimeout(ask, 150);
  });
  input.addEventListener("keydown", (event) => {
    const shown = options();
    const at = shown.findIndex((option) => option.getAttribute("aria-selected") === "true");
    if (event.key === "ArrowDown" || event.key === "ArrowUp") select(at + (event.key === "ArrowDown" ? 1 : -1));
    else if (event.key === "Enter") shown[at]?.querySelector("a, button")?.click();
    else return;
    event.preventDefault();
  });
  list.addEventListener("click", (event) => event.target.closest("a, button") && dialog.close());
}
