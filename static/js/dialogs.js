// data-open="id" opens a dialog, data-close closes the one around it; so does a click beside it.
// data-busy on a form keeps its submit button from a second click.
import { on } from "./found.js";

on("click", "[data-open]", (event, button) => {
  const dialog = document.getElementById(button.dataset.open);
  if (!dialog) return;
  event.preventDefault();
  dialog.showModal();
});

on("click", "[data-close]", (_event, button) => button.closest("dialog")?.close());

document.addEventListener("click", (event) => {
  if (event.target.tagName === "DIALOG") event.target.close();
});

on("submit", "form", (event, form) => {
  if (form.method === "dialog" || form.hasAttribute("data-filters")) return;
  const button = event.submitter ?? form.querySelector("button:not([type=button])");
  // After this event: others may refuse it, and a disabled button's value would not be sent.
  setTimeout(() => {
    if (event.defaultPrevented || !button) return;
    button.setAttribute("aria-busy", "true");
    button.disabled = true;
  });
});

// Back in history shows the page as it was left: not busy any more.
addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("button[aria-busy]")) {
    button.removeAttribute("aria-busy");
    button.disabled = false;
  }
});
