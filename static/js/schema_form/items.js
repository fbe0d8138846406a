// Items of a list change places and go without asking the server: their order in the page is their order.
import { on } from "../found.js";

const say = (form) => form.dispatchEvent(new Event("input", { bubbles: true }));

function renumber(items) {
  [...items.children].forEach((item, index) => {
    const number = item.querySelector("[data-number]");
    if (number) number.textContent = index + 1;
  });
}

on("click", "button[data-move]", (event, button) => {
  event.preventDefault();
  const item = button.closest("[data-item]");
  const up = button.dataset.move === "up";
  const other = up ? item.previousElementSibling : item.nextElementSibling;
  if (!other) return;
  if (up) other.before(item);
  else other.after(item);
  renumber(item.parentElement);
  button.focus();
  say(button.form);
});

on("click", "button[data-remove]", (event, button) => {
  event.preventDefault();
  const { form } = button;
  const item = button.closest("[data-item]");
  const items = item.parentElement;
  const next = item.nextElementSibling ?? item.previousElementSibling;
  item.remove();
  renumber(items);
  const target = next?.querySelector("[data-remove]") ?? items.parentElement.querySelector("[data-add]");
  target?.focus();
  say(form);
});
