// Light or dark, by a button with data-theme-toggle. Canvases listen to `themechange` and draw again.
import { on, remember } from "./found.js";

const system = matchMedia("(prefers-color-scheme: dark)");
const current = () => document.documentElement.dataset.theme || (system.matches ? "dark" : "light");
const tell = () => dispatchEvent(new Event("themechange"));

export function toggleTheme() {
  const theme = current() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  remember("theme", theme);
  tell();
}

on("click", "[data-theme-toggle]", toggleTheme);
system.addEventListener("change", tell);

/** Colours of the current theme by token name, for canvases: `colours(["ink", "ok-fill"])["ok-fill"]`. */
export function colours(names) {
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const found = {};
  for (const name of names) {
    probe.style.color = `var(--${name})`;
    found[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return found;
}
