// Forms whose sense is shown while they are typed: the server answers what one means as a fragment, which takes the place
// of the one before, and what is wrong with it, which is said beside the fields. It says all of that again when the form
// is sent.
import { on, whenAdded } from "./found.js";
import { show } from "./forms.js";

/**
 * Shows previews of the forms that match `form`. `address(form)` is asked with `body(form)`; the answer takes the place of
 * `place`. Its problems, by name, are told beside `fields(form)`; `counts(field)`: whether typing there matters.
 */
export function previews({ form: selector, address, body, place, fields, counts = () => true, pause, timeout }) {
  const waiting = new WeakMap();

  async function look(form) {
    waiting.get(form)?.abort();
    const asked = new AbortController();
    waiting.set(form, asked);
    const shown = document.querySelector(place);
    shown.setAttribute("aria-busy", "true");
    const signal = AbortSignal.any([asked.signal, AbortSignal.timeout(timeout)]);
    const text = await fetch(address(form), { method: "POST", body: body(form), redirect: "error", signal })
      .then((answer) => (answer.ok ? answer.text() : null))
      .catch(() => null);
    if (asked.signal.aborted) return; // Something else was typed meanwhile: its own answer comes.
    shown.removeAttribute("aria-busy");
    if (text) tell(form, shown, text);
  }

  function tell(form, shown, text) {
    const fresh = new DOMParser().parseFromString(text, "text/html").querySelector(place);
    if (!fresh) return;
    const problems = JSON.parse(fresh.dataset.problems ?? "{}");
    for (const field of fields(form)) show(field, problems[field.name] ?? "");
    shown.replaceWith(document.adoptNode(fresh));
    document.dispatchEvent(new CustomEvent("fragment:swapped", { detail: fresh }));
  }

  let timer;
  on("input", selector, (event, form) => {
    if (!counts(event.target)) return;
    clearTimeout(timer);
    timer = setTimeout(() => look(form), pause);
  });

  // What a draft or the browser's way back has put into the form is looked at, too.
  whenAdded(selector, (form) => setTimeout(() => look(form)));
}
