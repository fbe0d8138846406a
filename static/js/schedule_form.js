// The form of a schedule (form[data-schedule="address"]): its next times while it is typed, and the zone of this browser at
// a click.
import { whenAdded } from "./found.js";
import { previews } from "./previews.js";

const TIMES = ["kind", "cron", "day_or", "interval", "interval_unit", "anchor", "rrule", "timezone"];
const TOLD = ["cron", "interval", "anchor", "rrule", "timezone"];

function entries(form) {
  const all = new FormData(form);
  const own = new FormData();
  for (const name of [...TIMES, "csrfmiddlewaretoken"]) own.set(name, all.get(name) ?? "");
  return own;
}

previews({
  form: "form[data-schedule]",
  address: (form) => form.dataset.schedule,
  body: entries,
  place: "[data-next-times]",
  fields: (form) => TOLD.map((name) => form.elements[name]),
  counts: (field) => TIMES.includes(field.name),
  pause: 300, // ms after the last key
  timeout: 10_000,
});

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
