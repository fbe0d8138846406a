// <details data-menu>: closes on Escape, on a click elsewhere and when the focus leaves; its search field filters.
import { on } from "./found.js";

const close = (menu, back) => {
  menu.open = false;
  if (back) menu.querySelector("summary").focus();
};

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    if (!menu.contains(event.target)) close(menu);
  }
});

on("keydown", "details[data-menu][open]", (event, menu) => {
  if (event.key === "Escape") return close(menu, true);
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  event.preventDefault();
  const items = [...menu.querySelectorAll("[data-item]")].filter((item) => !item.hidden);
  const step = event.key === "ArrowDown" ? 1 : -1;
  const at = items.indexOf(document.activeElement);
  items.at((at + step + items.length) % items.length)?.focus();
});

on("focusout", "details[data-menu][open]", (event, menu) => {
  if (event.relatedTarget && !menu.contains(event.relatedTarget)) close(menu);
});

document.addEventListener(
  "toggle",
  (event) => {
    if (event.target.matches?.("details[data-menu][open]")) event.target.querySelector("input")?.focus();
  },
  true,
);

on("input", "[data-menu-search]", (_event, input) => {
  const wanted = input.value.trim().toLowerCase();
  for (const item of input.closest("[data-menu]").querySelectorAll("[data-item]")) {
    item.hidden = !item.textContent.toLowerCase().includes(wanted);
  }
});
