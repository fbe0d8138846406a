// Buttons within a form from a schema (data-rearrange) ask the server for the fields anew: with an item more, or as
// JSON. Only the fields are swapped, in all parts of the form; the focus, what is folded, and typed secrets stay. Without
// script they send the form and get the whole page.
import { on } from "../found.js";
import { toast } from "../toast.js";

const FIELDS = "[data-schema-form]";

/** The fields of `form` as the server shows them after `action`; true when they are there. */
export async function rearrange(form, action, entries = new FormData(form)) {
  entries.set("_do", action);
  const parts = [...form.querySelectorAll(FIELDS)];
  for (const fields of parts) fields.setAttribute("aria-busy", "true");
  const fresh = await asked(form, entries);
  for (const fields of parts) fields.removeAttribute("aria-busy");
  const found = parts.map((fields) => fresh?.querySelector(`#${CSS.escape(fields.id)}`));
  if (!found.every(Boolean)) {
    toast("The form could not be changed. Look at the connection and try again.");
    return false;
  }
  const focus = document.activeElement?.id;
  parts.forEach((fields, number) => swap(form, fields, found[number]));
  if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
  form.dispatchEvent(new Event("input", { bubbles: true }));
  return true;
}

/** Puts the server's fields in the place of these; a fold that the server shows open, since something is in it, opens. */
function swap(form, fields, found) {
  const secrets = typedSecrets(fields);
  if (found.closest("details")?.open) fields.closest("details")?.setAttribute("open", "");
  fields.replaceWith(document.adoptNode(found));
  for (const [name, value] of secrets) fill(form, name, value);
  document.dispatchEvent(new CustomEvent("fragment:swapped", { detail: found }));
}

async function asked(form, entries) {
  const answer = await fetch(form.action, {
    method: "POST",
    body: entries,
    redirect: "error",
    signal: AbortSignal.timeout(15_000),
  }).catch(() => null);
  if (!answer?.ok) return null;
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

function typedSecrets(fields) {
  return [...fields.querySelectorAll("[data-secret]")].filter((field) => field.value).map((field) => [field.name, field.value]);
}

function fill(form, name, value) {
  const field = form.elements[name];
  if (!field) return;
  field.value = value;
  field.closest("details")?.setAttribute("open", "");
}

on("click", "button[data-rearrange]", async (event, button) => {
  event.preventDefault();
  const { form, value } = button;
  const { field } = button.dataset;
  if (!(await rearrange(form, value))) return;
  const again = button.id ? document.getElementById(button.id) : form.querySelector(`[value="${CSS.escape(value)}"]`);
  focusAfter(value, again, field);
});

function focusAfter(action, again, field) {
  const added = action.startsWith("add:") && again?.closest("fieldset")?.querySelector("[data-items] > :last-child");
  if (added) added.querySelector("details")?.setAttribute("open", "");
  const first = added && added.querySelector(":is(input:not([type=hidden]), select, textarea)");
  (first || document.getElementById(field))?.focus();
}
