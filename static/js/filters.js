// A filter form (data-filters) applies by itself: choices at once, text after a pause. Without script it has a button.
import { on } from "./found.js";

const PAUSE = 350; // ms after the last key
let timer;

function apply(form) {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value) query.append(name, value);
  const address = `${form.getAttribute("action") || location.pathname}?${query}`;
  if (address !== location.pathname + location.search) location.assign(address);
}

on("change", "form[data-filters] select", (_event, select) => apply(select.form));
on("input", "form[data-filters] input[type=search]", (_event, input) => {
  clearTimeout(timer);
  timer = setTimeout(() => apply(input.form), PAUSE);
});
on("submit", "form[data-filters]", (event, form) => {
  event.preventDefault();
  clearTimeout(timer);
  apply(form);
});

// The page that comes back keeps the cursor where the person was typing.
const search = document.querySelector("form[data-filters] input[type=search]");
if (search?.value && document.referrer.startsWith(location.origin + location.pathname)) {
  search.focus({ preventScroll: true });
  search.setSelectionRange(search.value.length, search.value.length);
}
