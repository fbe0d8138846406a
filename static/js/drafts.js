// form[data-draft="key"]: what was typed survives a reload of this tab. Secrets are never kept.
import { remember, remembered, whenAdded } from "./found.js";
import { rearrange } from "./schema_form/swap.js";

const kept = (field) =>
  field.name &&
  field.type !== "password" &&
  field.type !== "hidden" &&
  field.dataset.secret === undefined &&
  !field.closest("[data-schema-form]");
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

// Fields from a schema come and go, so all that they send is kept, and the server shows them so again.
function fields(form) {
  const within = [...form.elements].filter((field) => field.name && field.closest("[data-schema-form]"));
  const names = new Set(within.filter((field) => field.dataset.secret === undefined).map((field) => field.name));
  return [...new FormData(form)].filter(([name]) => names.has(name));
}

function restoreFields(form, saved) {
  if (!saved?.length || JSON.stringify(saved) === JSON.stringify(fields(form))) return;
  const entries = new FormData();
  const token = form.elements.csrfmiddlewaretoken?.value;
  if (token) entries.set("csrfmiddlewaretoken", token);
  for (const [name, value] of saved) entries.append(name, value);
  rearrange(form, "refresh", entries);
}

whenAdded("form[data-draft]", (form) => {
  const key = `draft:${form.dataset.draft}`;
  const saved = JSON.parse(remembered(key, "null", storage));
  if (saved && !form.querySelector("[aria-invalid]")) {
    restore(form, saved.values ?? saved);
    restoreFields(form, saved.fields);
  }
  form.addEventListener("input", () => {
    remember(key, JSON.stringify({ values: values(form), fields: fields(form) }), storage);
  });
  form.addEventListener("submit", (event) => {
    setTimeout(() => event.defaultPrevented || remember(key, null, storage));
  });
});
