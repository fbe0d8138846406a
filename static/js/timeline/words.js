// A row in words: for the tip, and for those who listen.
import { span } from "./scale.js";

/** `[label, [what, value], …]` of a row that is visible; `whole` is the length of the run so far. */
export function describe({ row, members }, whole) {
  const words = [row.label];
  if (members) for (const [kind, count] of Object.entries(row.counts)) words.push([kind, count.toLocaleString()]);
  else words.push(["State", row.kind]);
  if (row.begin !== null) {
    words.push(["Started after", span(row.begin)], ["Took", span((row.end ?? whole) - row.begin)]);
  }
  if (row.waits?.length) words.push([row.flow ? "Paused" : "Waited", span(waited(row, whole))]);
  if (row.count > 1) words.push(["Attempts", row.count]);
  if (row.flow) words.push(["Flow", row.flow]);
  return words;
}

const waited = (row, whole) => row.waits.reduce((sum, [begin, end]) => sum + (end ?? whole) - begin, 0);
