// The form of a schedule (form[data-schedule="address"]): its next times while it is typed, what is wrong with it beside
// the field, and the zone of this browser at a click. The server says all of that again when the form is sent.
import { on, whenAdded } from "./found.js";
import { show } from "./forms.js";

const PAUSE = 300; // ms after the last key
const TIMEOUT = 10_000;
const TIMES = ["kind", "cron", "day_or", "interval", "interval_unit", "anchor", "rrule", "timezone"];
const TOLD = ["cron", "interval", "anchor", "rrule", "timezone"];
const waiting = new WeakMap();

function entries(form) {
  const all = new FormData(form);
  const own = new FormData();
  for (const name of [...TIMES, "csrfmiddlewaretoken"]) own.set(name, all.get(name) ?? "");
  return own;
}

async function look(form) {
  waiting.get(form)?.abort();
  const asked = new AbortController();
  waiting.set(form, asked);
  const shown = document.querySelector("[data-next-times]");
  shown.setAttribute("aria-busy", "true");
  const signal = AbortSignal.any([asked.signal, AbortSignal.timeout(TIMEOUT)]);
  const text = await fetch(form.dataset.schedule, { method: "POST", body: entries(form), redirect: "error", signal })
    .then((answer) => (answer.ok ? answer.text() : null))
    .catch(() => null);
  if (asked.signal.aborted) return; // Something else was typed meanwhile: its own answer comes.
  shown.removeAttribute("aria-busy");
  if (text) tell(form, shown, text);
}

function tell(form, shown, text) {
  const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("[data-next-times]");
  if (!fresh) return;
  const problems = JSON.parse(fresh.dataset.problems ?? "{}");
  for (const name of TOLD) show(form.elements[name], problems[name] ?? "");
  shown.replaceWith(document.adoptNode(fresh));
  document.dispatchEvent(new CustomEvent("fragment:swapped", { detail: fresh }));
}

let timer;
on("input", "form[data-schedule]", (event, form) => {
  if (!TIMES.includes(event.target.name)) return;
  clearTimeout(timer);
  timer = setTimeout(() => look(form), PAUSE);
});

// What a draft or the browser's way back has put into the form is looked at, too.
whenAdded("form[data-schedule]", (form) => setTimeout(() => look(form)));

whenAdded("[data-own-zone]", (button) => {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  const field = document.getElementById("timezone");
  if (!timeZone || field.value === timeZone) return;
  button.textContent = `Use ${timeZone}`;
  button.hidden = false;
  button.addEventListener("click", () => {
    field.value = timeZone;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    button.hidden = true;
    field.focus();
  });
});
