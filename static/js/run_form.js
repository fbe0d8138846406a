// The run form: tags of former runs at a click, and a button that says when the run will start.
import { on, whenAdded } from "./found.js";

whenAdded("[data-suggests]", (box) => (box.hidden = false));

on("click", "[data-suggestion]", (_event, button) => {
  const field = document.getElementById(button.closest("[data-suggests]").dataset.suggests);
  const tags = field.value.split(",").map((tag) => tag.trim()).filter(Boolean);
  const { suggestion } = button.dataset;
  field.value = (tags.includes(suggestion) ? tags.filter((tag) => tag !== suggestion) : [...tags, suggestion]).join(", ");
  field.dispatchEvent(new Event("input", { bubbles: true }));
});

function sayWhen(field) {
  const word = field.form.querySelector("[data-run-word]");
  if (word) word.textContent = field.value ? "Schedule the run" : "Run now";
}

on("input", "#scheduled_at", (_event, field) => sayWhen(field));
whenAdded("#scheduled_at", sayWhen);

// A file that was chosen or dropped is read at once; its parameters come back in the fields.
on("change", "[data-reads-file]", (_event, field) => {
  const read = field.parentElement.querySelector("button");
  if (field.files.length) field.form.requestSubmit(read);
});
