// One log line as an element, and the reads of lines by window.
import { clock } from "../times.js";

export const WINDOW = 500; // lines a request

const LEVELS = [
  [50, "CRIT", "fail"],
  [40, "ERROR", "fail"],
  [30, "WARN", "warn"],
  [20, "INFO", "info"],
  [0, "DEBUG", "debug"],
];

/** The element of `[number, µs, level, source, message, extra]`. */
export function lineElement([number, micros, level, source, message, extra]) {
  const [, word, kind] = LEVELS.find(([from]) => level >= from) ?? LEVELS.at(-1);
  const item = document.createElement("li");
  item.id = `L${number}`;
  item.className = kind;
  item.dataset.number = number;
  const date = new Date(micros / 1000);
  const time = part("time", "", `${clock(date)}.${String(date.getMilliseconds()).padStart(3, "0")}`);
  time.dateTime = date.toISOString();
  const link = part("a", "", number);
  link.href = `#L${number}`;
  item.append(link, time, part("span", "level", word), part("span", "source cut", source), part("span", "text", message));
  if (extra) item.lastChild.append(" ", part("span", "muted", extra));
  return item;
}

function part(tag, name, text) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (name === "source cut") element.title = text;
  element.textContent = text;
  return element;
}

/** Reads lines: `{after: n}` upwards, `{before: n}` downwards, or the last ones. Answers `{lines, total, more}`. */
export async function readLines(address, filters, place = {}) {
  const url = new URL(address, location.href);
  for (const [name, value] of Object.entries({ ...filters, ...place, limit: WINDOW })) {
    if (value !== null && value !== "" && value !== undefined) url.searchParams.set(name, value);
  }
  const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(15_000) });
  if (!answer.ok) throw new Error(`the log answered ${answer.status}`);
  return answer.json();
}
