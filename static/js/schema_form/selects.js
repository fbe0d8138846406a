// Long lists of choices get a box that narrows them; date-times offer the zone of this browser.
import { whenAdded } from "../found.js";

whenAdded("select[data-searchable]", (select) => {
  const all = [...select.options];
  const box = document.createElement("input");
  box.type = "search";
  box.className = "input";
  box.placeholder = `Search ${all.length.toLocaleString()} choices`;
  box.setAttribute("aria-label", `Search the choices of ${select.dataset.label}`);
  select.closest(".select").before(box);
  box.addEventListener("input", () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (option) => words.every((word) => option.text.toLowerCase().includes(word));
    const chosen = select.selectedOptions[0];
    select.replaceChildren(...all.filter((option) => option === chosen || !option.value || matches(option)));
  });
  box.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "Enter") return;
    event.preventDefault();
    const first = [...select.options].find((option) => option.value && !option.selected);
    if (event.key === "Enter" && first && box.value) {
      first.selected = true;
      select.dispatchEvent(new Event("change", { bubbles: true }));
      select.dispatchEvent(new Event("input", { bubbles: true }));
    }
    select.focus();
  });
});

whenAdded("select[data-zones]", (select) => {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  if (!timeZone || [...select.options].some((option) => option.value === timeZone)) return;
  select.append(new Option(`${timeZone} (yours)`, timeZone));
});
