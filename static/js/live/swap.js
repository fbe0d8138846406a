// Puts new HTML in the place of old by changing only what differs: focus, scroll, open details, typed values and
// running animations stay as they are.
import { holdNewRows } from "./rows.js";

const KEPT = { DETAILS: ["open"], DIALOG: ["open"], INPUT: ["value", "checked"] };

/** Makes the contents of `element` those of `html`; `element` itself stays. */
export function swap(element, html) {
  const next = element.cloneNode(false);
  next.innerHTML = html;
  holdNewRows(element, next);
  morphChildren(element, next);
  element.dispatchEvent(new CustomEvent("fragment:swapped", { bubbles: true }));
}

function morph(old, next) {
  if (old.isEqualNode(next)) return;
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue;
    return;
  }
  if (old.hasAttribute("data-keep")) return;
  morphAttributes(old, next);
  morphChildren(old, next);
}

function morphAttributes(old, next) {
  const kept = KEPT[old.nodeName] ?? [];
  for (const { name } of [...old.attributes]) {
    if (!next.hasAttribute(name) && !kept.includes(name)) old.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (old.getAttribute(name) !== value && !kept.includes(name)) old.setAttribute(name, value);
  }
}

// Not `node.id`: of a form with an input that is called `id`, that is the input.
const idOf = (node) => node?.getAttribute?.("id") ?? "";
const same = (a, b) => a && b && a.nodeName === b.nodeName && idOf(a) === idOf(b);

function morphChildren(old, next) {
  const byId = new Map();
  for (const child of old.children) if (idOf(child)) byId.set(idOf(child), child);
  let at = old.firstChild;
  for (const wanted of [...next.childNodes]) {
    const keyed = idOf(wanted) && byId.get(idOf(wanted));
    if (keyed && keyed.nodeName === wanted.nodeName) {
      if (keyed === at) at = at.nextSibling;
      else old.insertBefore(keyed, at);
      morph(keyed, wanted);
    } else if (same(at, wanted) && !idOf(at)) {
      const present = at;
      at = at.nextSibling;
      morph(present, wanted);
    } else {
      old.insertBefore(wanted, at);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}
