// Lists (data-live-rows, with an id) that are read must not move: new rows wait behind "n new", and enter by themselves
// only while the list is at its top and nobody points at it or has the focus in it.
import { on } from "../found.js";
import { refresh } from "./fragments.js";

let letIn = false;

function isRead(list) {
  if (list.contains(document.activeElement) || list.querySelector("td.check :checked")) return true;
  return list.matches(":hover") || list.getBoundingClientRect().top < 0;
}

/** Takes from `next` the rows that have to wait, and keeps in it the old ones which those push off the page. Several
 *  lists of one fragment wait together: rows that enter one would move another. */
export function holdNewRows(element, next) {
  const lists = [...element.querySelectorAll("[data-live-rows]")].filter((list) => list.children.length);
  if (letIn || !lists.some(isRead)) return;
  for (const list of lists) hold(list, next.querySelector(`#${CSS.escape(list.id)}[data-live-rows]`), next);
}

function hold(oldList, nextList, next) {
  if (!nextList) return;
  const known = new Set([...oldList.children].map((row) => row.id));
  const fresh = [...nextList.children].filter((row) => !known.has(row.id));
  for (const row of fresh) row.remove();
  keepWhatWent(oldList, nextList);
  if (fresh.length) announce(nextList.closest("section") ?? next, fresh.length);
}

function keepWhatWent(oldList, nextList) {
  const staying = new Set([...nextList.children].map((row) => row.id));
  let before = null;
  for (const row of oldList.children) {
    if (staying.has(row.id)) {
      before = nextList.querySelector(`#${CSS.escape(row.id)}`);
    } else {
      const copy = row.cloneNode(true);
      if (before) before.after(copy);
      else nextList.prepend(copy);
      before = copy;
    }
  }
}

function announce(next, count) {
  const box = next.querySelector("[data-new-rows]");
  if (!box) return;
  box.hidden = false;
  box.querySelector("[data-count]").textContent = `${count} new ${box.dataset[count === 1 ? "one" : "many"]}`;
}

on("click", "[data-new-rows] button", () => {
  letIn = true;
  document.activeElement?.blur();
  document.addEventListener("fragment:swapped", () => (letIn = false), { once: true });
  refresh();
});
