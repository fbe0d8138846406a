// The two forms of a pool's job template (form[data-fills="address"]): what an agent would be told, as either is typed.
import { previews } from "./previews.js";

previews({
  form: "form[data-fills]",
  address: (form) => form.dataset.fills,
  body: (form) => new FormData(form),
  place: "[data-preview]",
  fields: (form) => [form.elements.template].filter(Boolean),
  pause: 300, // ms after the last key
  timeout: 10_000,
});
