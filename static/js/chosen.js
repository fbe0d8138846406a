// A form whose rows are chosen by check boxes (data-chosen): all at once, a range by shift, and buttons that wait for
// at least one. Without script the boxes and buttons work as they are.
import { on, whenAdded } from "./found.js";

let last = null;

const boxes = (form) => [...form.querySelectorAll("input[type=checkbox][name]")];

function update(form) {
  const all = boxes(form);
  const count = all.filter((box) => box.checked).length;
  const head = form.querySelector("[data-choose-all]");
  if (head) {
    head.checked = count > 0 && count === all.length;
    head.indeterminate = count > 0 && count < all.length;
  }
  const word = form.querySelector("[data-chosen-word]");
  if (word) word.textContent = count ? `${count} chosen` : "Choose all";
  for (const button of form.querySelectorAll("[data-needs-chosen]")) button.disabled = !count;
}

on("change", "form[data-chosen] [data-choose-all]", (_event, head) => {
  for (const box of boxes(head.form)) box.checked = head.checked;
  update(head.form);
});

on("click", "form[data-chosen] input[type=checkbox][name]", (event, box) => {
  const all = boxes(box.form);
  if (event.shiftKey && last && all.includes(last)) {
    const [low, high] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
    for (const each of all.slice(low, high + 1)) each.checked = box.checked;
  }
  last = box;
  update(box.form);
});

const updateAll = () => document.querySelectorAll("form[data-chosen]").forEach(update);

whenAdded("form[data-chosen]", update);
addEventListener("pageshow", updateAll);
document.addEventListener("fragment:swapped", updateAll); // It brings the words and buttons of nothing chosen.
