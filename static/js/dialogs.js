// data-open="id" opens a dialog, data-close closes the one around it; so does a click beside it.
// data-busy on a form keeps its submit button from a second click.
import { on } from "./found.js";
import { toast } from "./toast.js";

on("click", "[data-open]", (event, button) => {
  const dialog = document.getElementById(button.dataset.open);
  if (!dialog) return;
  event.preventDefault();
  dialog.showModal();
});

// data-into-dialog="id": the link's page is a fragment, shown in that dialog.
on("click", "a[data-into-dialog]", async (event, link) => {
  if (event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  const dialog = document.getElementById(link.dataset.intoDialog);
  const answer = await fetch(link.href, { signal: AbortSignal.timeout(10_000) }).catch(() => null);
  if (!answer?.ok) return toast("It could not be loaded. Try again.");
  dialog.innerHTML = await answer.text();
  dialog.showModal();
  document.dispatchEvent(new Event("fragment:swapped"));
});

on("click", "[data-close]", (_event, button) => button.closest("dialog")?.close());

document.addEventListener("click", (event) => {
  if (event.target.tagName === "DIALOG") event.target.close();
});

on("submit", "form", (event, form) => {
  if (form.method === "dialog" || form.matches("[data-filters], [data-into]")) return;
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
