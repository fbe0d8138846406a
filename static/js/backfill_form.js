// The form of a backfill (form[data-previewed="address"]): the runs that it would make, while it is typed.
import { previews } from "./previews.js";

previews({
  form: "form[data-previewed]",
  address: (form) => form.dataset.previewed,
  body: (form) => new FormData(form),
  place: "[data-preview]",
  fields: (form) => form.querySelectorAll(".field :is(input, select, textarea)"),
  pause: 400, // ms after the last key
  timeout: 20_000,
});
