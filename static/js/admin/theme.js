// Light or dark: the portal's own choice, kept where the portal keeps it. unfold's styles ask for the class `dark`.
import { remember } from "../found.js";

const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");

/** Sets what the styles ask for: the attribute of our tokens and the class of unfold's. */
export function show(chosen) {
  if (chosen === "auto") delete root.dataset.theme;
  else root.dataset.theme = chosen;
  root.classList.toggle("dark", chosen === "dark" || (chosen === "auto" && system.matches));
}

/** The component of the whole page: the theme, and whether the list's filters are open. */
export const theme = () => ({
  adminTheme: root.dataset.theme || "auto",
  filterOpen: false,
  themeBindings: {},
  init() {
    system.addEventListener("change", () => show(this.adminTheme));
  },
  switchTheme(chosen) {
    this.adminTheme = chosen;
    remember("theme", chosen === "auto" ? null : chosen);
    show(chosen);
  },
});
