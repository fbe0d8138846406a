// form[data-draft="key"]: what was typed survives a reload of this tab. Secrets are never kept.
import { remember, remembered, whenAdded } from "./found.js";

const kept = (field) =>
  field.name && field.type !== "password" && field.type !== "hidden" && field.dataset.secret === undefined;
const storage = "sessionStorage";

function values(form) {
  const found = {};
  for (const field of form.elements) {
    if (!kept(field)) continue;
    if (field.type === "radio") {
      if (field.checked) found[field.name] = field.value;
    } else {
      found[field.name] = field.type === "checkbox" ? field.checked : field.value;
    }
  }
  return found;
}

function restore(form, saved) {
  for (const field of form.elements) {
    if (!kept(field) || !(field.name in saved)) continue;
    if (field.type === "radio") field.checked = field.value === saved[field.name];
    else if (field.type === "checkbox") field.checked = Boolean(saved[field.name]);
    else field.value = saved[field.name];
  }
}

whenAdded("form[data-draft]", (form) => {
  const key = `draft:${form.dataset.draft}`;
  const saved = remembered(key, null, storage);
  if (saved && !form.querySelector("[aria-invalid]")) restore(form, JSON.parse(saved));
  form.addEventListener("input", () => remember(key, JSON.stringify(values(form)), storage));
  form.addEventListener("submit", (event) => {
    setTimeout(() => event.defaultPrevented || remember(key, null, storage));
  });
});
