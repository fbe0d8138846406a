// Validation beside the field: on leaving it, then at every input until it is right. Submitting lists all errors on
// top, with links, and the focus goes there. The server checks all of it again and answers in the same shape.
import { on, whenAdded } from "./found.js";

const fields = "form[data-validate] :is(input, select, textarea)";

function problem(field) {
  const text = field.value.trim();
  if (field.dataset.json !== undefined && text && isJson(field, text)) return jsonProblem(text);
  if (field.validity.valueMissing || (field.dataset.required !== undefined && !text)) return "Fill this in.";
  if (field.validity.badInput) return "Enter a number.";
  if (field.validity.rangeUnderflow) return `Enter ${field.min} or more.`;
  if (field.validity.rangeOverflow) return `Enter ${field.max} or less.`;
  if (field.validity.stepMismatch) return field.step === "1" ? "Enter a whole number." : `Use steps of ${field.step}.`;
  if (field.validity.tooShort) return `Enter at least ${field.minLength} characters.`;
  if (field.validity.tooLong) return `Enter at most ${field.maxLength} characters.`;
  if (field.validity.patternMismatch) return field.title || "Use the format that is asked for.";
  if (field.validity.typeMismatch) return `Enter a valid ${field.type}.`;
  return "";
}

// Branches of a union that are not chosen are hidden; their controls keep what was typed and are not looked at.
const isShown = (field) => field.willValidate && !field.closest("[hidden], [data-union]");

// data-json="or-text": what does not begin as JSON is a text.
const isJson = (field, text) => field.dataset.json !== "or-text" || /^[[{"]/.test(text);

function jsonProblem(text) {
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    return `This is no JSON: ${error.message.replace(/^JSON\.parse: /, "")}`;
  }
}

/** Says beside a field what is wrong with it; "" takes that away. */
export function show(field, text) {
  const holder = field.closest(".field");
  if (!holder) return;
  let element = holder.querySelector(".error");
  if (!text) {
    field.removeAttribute("aria-invalid");
    element?.remove();
    return;
  }
  for (let fold = holder.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  if (!element) {
    element = document.getElementById("field-error").content.firstElementChild.cloneNode(true);
    element.id = `${field.id || field.name}-error`;
    holder.append(element);
  }
  element.querySelector("span").textContent = text;
  field.setAttribute("aria-invalid", "true");
  const described = new Set((field.getAttribute("aria-describedby") ?? "").split(" ").filter(Boolean));
  field.setAttribute("aria-describedby", [...described.add(element.id)].join(" "));
}

on("focusout", fields, (event, field) => {
  // On its way to a button: an error that appeared now would move the button from under the pointer.
  if (event.relatedTarget?.closest("button, a")) return;
  if (field.value) show(field, problem(field));
});
on("input", fields, (_event, field) => {
  if (field.getAttribute("aria-invalid")) show(field, problem(field));
});

function summary(form, wrong) {
  form.parentElement.querySelector(":scope > [data-error-summary]")?.remove();
  const box = document.getElementById("error-summary").content.firstElementChild.cloneNode(true);
  box.querySelector("[data-count]").textContent =
    wrong.length === 1 ? "One field needs a change" : `${wrong.length} fields need a change`;
  for (const [field, text] of wrong) {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = `#${field.id}`;
    link.textContent = field.dataset.label || field.labels?.[0]?.firstChild?.textContent.trim() || field.name;
    item.append(link, `: ${text}`);
    box.querySelector("ul").append(item);
  }
  form.before(box);
  box.focus();
}

on("submit", "form[data-validate]", (event, form) => {
  if (event.submitter?.hasAttribute("formnovalidate")) return;
  const wrong = [...form.elements]
    .filter(isShown)
    .map((field) => [field, problem(field)])
    .filter(([, text]) => text);
  for (const field of form.elements) if (isShown(field)) show(field, problem(field));
  if (!wrong.length) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  summary(form, wrong);
});

on("click", ".error-summary a", (event, link) => {
  const field = document.getElementById(link.hash.slice(1));
  if (!field) return;
  event.preventDefault();
  for (let fold = field.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  field.focus();
  field.scrollIntoView({ block: "center" });
});

// A form that came back from the server with errors: the focus goes to their list.
whenAdded("[data-error-summary][data-from-server]", (box) => box.focus());
// The browser's own bubbles would say it twice; without script they are all there is.
whenAdded("form[data-validate]", (form) => (form.noValidate = true));
