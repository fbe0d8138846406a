// <time data-time> shows the person's own zone, and relative times stay true while the page is open.

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const WEEK = 7 * 86_400;
const UNITS = [
  [86_400, "days"],
  [3_600, "h"],
  [60, "min"],
  [1, "s"],
];
const two = (number) => String(number).padStart(2, "0");

/** `19 May 15:30:00` in the person's zone. */
export function exact(date) {
  const year = date.getFullYear() === new Date().getFullYear() ? "" : ` ${date.getFullYear()}`;
  return `${date.getDate()} ${MONTHS[date.getMonth()]}${year} ${clock(date)}`;
}

/** `15:30:00`. */
export function clock(date) {
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** `2 min ago`, `in 3 h`; the exact time beyond a week. */
export function relative(date, now = Date.now()) {
  const seconds = (now - date) / 1000;
  const span = Math.abs(seconds);
  if (span >= WEEK) return exact(date);
  const unit = UNITS.find(([size]) => span >= size);
  if (!unit) return "now";
  const count = Math.floor(span / unit[0]);
  const words = `${count} ${unit[1] === "days" && count === 1 ? "day" : unit[1]}`;
  return seconds > 0 ? `${words} ago` : `in ${words}`;
}

/** `0.4s`, `41s`, `2m 14s`, `18h 05m`; as `duration` of the templates. */
export function duration(seconds) {
  const span = Math.max(seconds, 0);
  if (span < 9.95) return `${span.toFixed(1)}s`;
  const whole = Math.round(span);
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`;
  return `${Math.floor(whole / 86_400)}d ${two(Math.floor((whole % 86_400) / 3600))}h`;
}

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "local time";

function show(element, now) {
  const date = new Date(element.dateTime);
  if (Number.isNaN(date.getTime())) return;
  const text = element.dataset.time === "exact" ? exact(date) : relative(date, now);
  if (element.textContent !== text) element.textContent = text;
  if (!element.dataset.zoned) {
    element.title = `${exact(date)}, ${zone}`;
    element.dataset.zoned = "";
  }
}

function showSince(element, now) {
  const text = duration((now - new Date(element.dataset.since)) / 1000);
  if (element.textContent !== text) element.textContent = text;
}

function refresh() {
  if (document.hidden) return;
  const now = Date.now();
  for (const element of document.querySelectorAll("time[data-time]")) show(element, now);
  for (const element of document.querySelectorAll("[data-since]")) showSince(element, now);
  for (const element of document.querySelectorAll("[data-zone]")) element.textContent = zone;
}

refresh();
setInterval(refresh, 1000);
document.addEventListener("fragment:swapped", refresh);
document.addEventListener("visibilitychange", refresh);
