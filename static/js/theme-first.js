// Runs before the first paint. Order of choice: ?theme=, the person's own, the system's.
let theme = new URLSearchParams(location.search).get("theme");
try {
  theme ||= localStorage.getItem("theme");
} catch {
  // Storage may be forbidden; then the system decides.
}
if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
