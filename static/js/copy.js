// data-copy: copies its own value, or else the code beside it without the prompts.
import { on } from "./found.js";
import { toast } from "./toast.js";

function textOf(button) {
  if (button.dataset.copy) return button.dataset.copy;
  const code = button.closest(".code, .copyable")?.querySelector("pre, code")?.cloneNode(true);
  for (const prompt of code?.querySelectorAll(".prompt") ?? []) prompt.remove();
  return code?.textContent ?? "";
}

on("click", "[data-copy]", async (_event, button) => {
  try {
    await navigator.clipboard.writeText(textOf(button));
    toast("Copied");
  } catch {
    toast("The browser did not allow copying. Select the text and copy it.");
  }
});
