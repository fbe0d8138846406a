// Tabs are links (?tab=…) and work as such. Where the panels are all on the page, they switch in place.
import { on } from "./found.js";

function choose(tab, { push = true } = {}) {
  const list = tab.closest("[role=tablist]");
  for (const other of list.querySelectorAll("[role=tab]")) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", String(chosen));
    other.tabIndex = chosen ? 0 : -1;
    const panel = document.getElementById(other.getAttribute("aria-controls"));
    if (panel) panel.hidden = !chosen;
  }
  if (push) history.replaceState(history.state, "", tab.href + location.hash);
  tab.scrollIntoView({ block: "nearest", inline: "nearest" });
  document.dispatchEvent(new CustomEvent("tab:chosen", { detail: tab.getAttribute("aria-controls") }));
}

/** Chooses the tab that shows the panel `id`, if there is one. */
export function chooseTab(id) {
  const tab = document.querySelector(`[role=tab][aria-controls="${id}"]`);
  if (tab) choose(tab);
  return Boolean(tab);
}

on("click", "[role=tab][aria-controls]", (event, tab) => {
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  if (!document.getElementById(tab.getAttribute("aria-controls"))) return;
  event.preventDefault();
  choose(tab);
});

on("click", "[data-tab]", (event, link) => {
  if (chooseTab(link.dataset.tab)) event.preventDefault();
});

on("keydown", "[role=tab]", (event, tab) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const tabs = [...tab.closest("[role=tablist]").querySelectorAll("[role=tab]")];
  const next = tabs.at((tabs.indexOf(tab) + step) % tabs.length);
  next.focus();
  choose(next);
});

// A strip of links (data-strip) that is wider than the page begins with the one that is open.
for (const strip of document.querySelectorAll("[data-strip]")) {
  const here = strip.querySelector("[aria-current]");
  if (here) strip.scrollLeft = here.offsetLeft - strip.firstElementChild.offsetLeft;
}
