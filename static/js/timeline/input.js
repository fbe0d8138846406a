// Pointer, wheel and keys of the timeline.
import { HEAD, OVERVIEW, ROW } from "./scale.js";

const STEP = 60; // px of one arrow key

/** Binds `box`; `view` offers scale, draw, rowAt, setCurrent, activate, hover. */
export function bindInput(box, view) {
  const place = (event) => {
    const { left, top } = box.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  };
  bindWheel(box, view, place);
  bindDrag(box, view, place);
  bindKeys(box, view);
  box.addEventListener("pointermove", (event) => {
    const { x, y } = place(event);
    view.hover(y > HEAD ? view.rowAt(y) : -1, event, x);
  });
  box.addEventListener("pointerleave", () => view.hover(-1));
  box.addEventListener("scroll", () => view.draw(), { passive: true });
}

function bindWheel(box, view, place) {
  box.addEventListener(
    "wheel",
    (event) => {
      if (event.ctrlKey || event.metaKey) view.scale.zoom(1.0015 ** event.deltaY, place(event).x);
      else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        if (view.scale.to === null) return;
        view.scale.pan(event.deltaX || event.deltaY);
      } else return;
      event.preventDefault();
      view.draw();
    },
    { passive: false },
  );
}

function bindDrag(box, view, place) {
  let from = null;
  box.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const { x, y } = place(event);
    if (x > box.clientWidth) return; // the scroll bar
    from = { x, y, moved: false, overview: y < OVERVIEW };
    if (from.overview) view.scale.centre(x);
    box.setPointerCapture(event.pointerId);
    view.draw();
  });
  box.addEventListener("pointermove", (event) => {
    if (!from) return;
    const { x } = place(event);
    if (Math.abs(x - from.x) > 3) from.moved = true;
    if (from.overview) view.scale.centre(x);
    else if (from.moved) view.scale.pan(from.x - x);
    if (from.moved && !from.overview) from.x = x;
    view.draw();
  });
  box.addEventListener("pointerup", (event) => {
    if (from && !from.moved && !from.overview && event.type === "pointerup") view.activate(view.rowAt(from.y));
    from = null;
  });
  box.addEventListener("pointercancel", () => (from = null));
}

function bindKeys(box, view) {
  const actions = {
    ArrowDown: () => view.setCurrent(view.current + 1),
    ArrowUp: () => view.setCurrent(view.current - 1),
    PageDown: () => view.setCurrent(view.current + Math.floor(box.clientHeight / ROW) - 4),
    PageUp: () => view.setCurrent(view.current - Math.floor(box.clientHeight / ROW) + 4),
    Home: () => view.setCurrent(0),
    End: () => view.setCurrent(Infinity),
    ArrowRight: () => view.scale.pan(STEP),
    ArrowLeft: () => view.scale.pan(-STEP),
    "+": () => view.scale.zoom(0.7),
    "=": () => view.scale.zoom(0.7),
    "-": () => view.scale.zoom(1.4),
    0: () => view.scale.fit(),
    Enter: () => view.activate(view.current),
  };
  box.addEventListener("keydown", (event) => {
    if (event.metaKey || event.ctrlKey || event.altKey || !actions[event.key]) return;
    actions[event.key]();
    event.preventDefault();
    event.stopPropagation();
    view.draw();
  });
}
