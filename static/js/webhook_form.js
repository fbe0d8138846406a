// The form of a webhook (form[data-tries="address"]): what it would make of the example, while either is typed. The secret
// stays here.
import { previews } from "./previews.js";

const TOLD = ["parameter", "parameters", "filter", "idempotency", "debounce", "debounce_key", "headers"];

function entries(form) {
  const all = new FormData(form);
  all.delete("secret");
  return all;
}

previews({
  form: "form[data-tries]",
  address: (form) => form.dataset.tries,
  body: entries,
  place: "[data-preview]",
  fields: (form) => TOLD.map((name) => form.elements[name]),
  counts: (field) => field.name !== "secret",
  pause: 300, // ms after the last key
  timeout: 10_000,
});
