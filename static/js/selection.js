// Check boxes of rows: shift takes a range, the head's box takes all, Escape clears. The bulk bar shows the count
// and sends the ids. What is selected survives a swap of the list.
import { isTyping, on } from "./found.js";

const selected = new Set();
let last = null;

const boxes = () => [...document.querySelectorAll("[data-row] input[type=checkbox][data-select]")];

function show() {
  const all = boxes();
  for (const box of all) {
    box.checked = selected.has(box.value);
    box.closest("[data-row]").classList.toggle("selected", box.checked);
  }
  const head = document.querySelector("[data-select-all]");
  if (head) {
    head.checked = all.length > 0 && all.every((box) => box.checked);
    head.indeterminate = !head.checked && selected.size > 0;
  }
  const bar = document.querySelector("[data-bulk]");
  if (!bar) return;
  bar.hidden = selected.size === 0;
  bar.querySelector("[data-bulk-count]").textContent = `${selected.size} selected`;
  bar.querySelector("[data-bulk-ids]").value = [...selected].join(",");
}

function take(box, checked) {
  if (checked) selected.add(box.value);
  else selected.delete(box.value);
}

on("click", "[data-select]", (event, box) => {
  const all = boxes();
  const at = all.indexOf(box);
  const from = event.shiftKey && last !== null ? Math.min(at, last) : at;
  const to = event.shiftKey && last !== null ? Math.max(at, last) : at;
  for (const one of all.slice(from, to + 1)) take(one, box.checked);
  last = at;
  show();
});

on("change", "[data-select-all]", (_event, head) => {
  for (const box of boxes()) take(box, head.checked);
  show();
});

function clear() {
  selected.clear();
  show();
}

on("click", "[data-select-none]", clear);
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && selected.size && !isTyping(event.target)) clear();
});
document.addEventListener("fragment:swapped", show);
addEventListener("pageshow", () => {
  for (const box of boxes()) take(box, box.checked);
  show();
});

/** True while rows are selected: new rows then wait. */
export const anySelected = () => selected.size > 0;
