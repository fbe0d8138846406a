// A word at the foot of the page, read out, gone after six seconds unless the pointer rests on it.
const SHOWN = 6000;

function box() {
  let found = document.querySelector(".toasts");
  if (!found) {
    found = document.createElement("div");
    found.className = "toasts";
    found.setAttribute("role", "status");
    document.body.append(found);
  }
  return found;
}

/** Shows `text`; `undo`, if given, is offered as a button. */
export function toast(text, undo) {
  const element = document.createElement("div");
  element.className = "toast";
  element.append(text);
  if (undo) element.append(undoButton(element, undo));
  box().append(element);
  expire(element);
}

function undoButton(element, undo) {
  const button = document.createElement("button");
  button.className = "btn btn-small btn-quiet";
  button.textContent = "Undo";
  button.addEventListener("click", () => {
    element.remove();
    undo();
  });
  return button;
}

/** Takes the toast away after its time; resting the pointer on it stops the clock. */
export function expire(element) {
  let left = SHOWN;
  let since;
  let timer;
  const go = () => {
    since = Date.now();
    timer = setTimeout(() => element.remove(), left);
  };
  element.addEventListener("pointerenter", () => {
    clearTimeout(timer);
    left -= Date.now() - since;
  });
  element.addEventListener("pointerleave", go);
  go();
}

// Messages that came with the page.
for (const element of document.querySelectorAll(".toasts > .toast")) expire(element);
