// Elements by selector, now and when a fragment brings more of them.

/** Calls `start(element)` once for every element that matches, now and after each swap of a fragment. */
export function whenAdded(selector, start) {
  const known = new WeakSet();
  const look = (root) => {
    for (const element of root.querySelectorAll(selector)) {
      if (known.has(element)) continue;
      known.add(element);
      start(element);
    }
  };
  look(document);
  document.addEventListener("fragment:swapped", () => look(document));
}

/** Listens on the document for events whose target lies within `selector`. */
export function on(type, selector, handle, options) {
  document.addEventListener(
    type,
    (event) => {
      const element = event.target.closest?.(selector);
      if (element) handle(event, element);
    },
    options,
  );
}

/** True when typing goes into something, so that single keys are not shortcuts. */
export function isTyping(target) {
  return Boolean(target.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]"));
}

/** The value under `key` in this browser, or `fallback` where storage is forbidden or empty. */
export function remembered(key, fallback = null, storage = "localStorage") {
  try {
    return window[storage].getItem(key) ?? fallback;
  } catch {
    return fallback;
  }
}

/** Keeps `value` under `key`; null forgets it. */
export function remember(key, value, storage = "localStorage") {
  try {
    if (value === null) window[storage].removeItem(key);
    else window[storage].setItem(key, value);
  } catch {
    // Storage is full or forbidden: what would be kept is a convenience only.
  }
}
