// data-show="id": shows what is typed into a password field, and hides it again. Without script there is no button.
import { on, whenAdded } from "./found.js";

whenAdded("[data-show]", (button) => (button.hidden = false));

on("click", "[data-show]", (_event, button) => {
  const field = document.getElementById(button.dataset.show);
  const shown = field.type === "password";
  field.type = shown ? "text" : "password";
  button.textContent = shown ? "Hide" : "Show";
  button.setAttribute("aria-pressed", String(shown));
  field.focus();
});
