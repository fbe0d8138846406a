// A form whose sense is shown while it is typed (form[data-previewed="address"]): the server answers what it would make,
// and what is wrong with it, which is said beside the fields. It says all of that again when the form is sent.
import { on, whenAdded } from "./found.js";
import { show } from "./forms.js";

const PAUSE = 400; // ms after the last key
const TIMEOUT = 20_000;
const waiting = new WeakMap();

async function look(form) {
  waiting.get(form)?.abort();
  const asked = new AbortController();
  waiting.set(form, asked);
  const shown = form.querySelector("[data-preview]");
  shown.setAttribute("aria-busy", "true");
  const signal = AbortSignal.any([asked.signal, AbortSignal.timeout(TIMEOUT)]);
  const body = new FormData(form);
  const text = await fetch(form.dataset.previewed, { method: "POST", body, redirect: "error", signal })
    .then((answer) => (answer.ok ? answer.text() : null))
    .catch(() => null);
  if (asked.signal.aborted) return; // Something else was typed meanwhile: its own answer comes.
  shown.removeAttribute("aria-busy");
  if (text) tell(form, shown, text);
}

function tell(form, shown, text) {
  const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("[data-preview]");
  if (!fresh) return;
  const problems = JSON.parse(fresh.dataset.problems ?? "{}");
  for (const field of form.querySelectorAll(".field :is(input, select, textarea)")) show(field, problems[field.name] ?? "");
  shown.replaceWith(document.adoptNode(fresh));
  document.dispatchEvent(new CustomEvent("fragment:swapped", { detail: fresh }));
}

let timer;
on("input", "form[data-previewed]", (event, form) => {
  clearTimeout(timer);
  timer = setTimeout(() => look(form), PAUSE);
});

// What a draft or the browser's way back has put into the form is looked at, too.
whenAdded("form[data-previewed]", (form) => setTimeout(() => look(form)));
