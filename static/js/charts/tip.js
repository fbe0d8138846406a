// One tip for all charts: a title and rows of label and value, beside the pointer.
const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
document.body.append(tip);

/** Shows `[title, [label, value], …]` beside the pointer. */
export function showTip(event, [title, ...rows]) {
  const head = document.createElement("b");
  head.textContent = title;
  tip.replaceChildren(head, ...rows.map(rowElement));
  tip.hidden = false;
  const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
  const top = Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8);
  tip.style.left = `${left}px`;
  tip.style.top = `${top}px`;
}

function rowElement(values) {
  const row = document.createElement("div");
  for (const value of values) {
    const span = document.createElement("span");
    span.textContent = value;
    row.append(span);
  }
  return row;
}

export const hideTip = () => (tip.hidden = true);
