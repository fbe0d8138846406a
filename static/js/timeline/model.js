// What the timeline shows: task runs in order of start, large groups folded, and the path that decided the length.

const FOLD_FROM = 25; // members of one task
const FIELDS = ["group", "label", "kind", "begin", "end", "queued", "depth", "attempts", "parents"];

export const FILLS = {
  completed: "ok",
  cached: "reuse",
  replayed: "reuse",
  running: "run",
  retrying: "run",
  failed: "fail",
  timedout: "fail",
  crashed: "crash",
  paused: "hold",
  suspended: "hold",
  late: "warn",
  cancelling: "end",
  cancelled: "end",
  scheduled: "wait",
  pending: "wait",
};

export class Model {
  #open = new Set();

  constructor() {
    this.rows = [];
    this.visible = [];
    this.groups = [];
    this.length = 1;
  }

  /** Takes the server's answer. Times are milliseconds since the start. */
  take(data) {
    this.groups = data.groups;
    this.ended = data.end !== null;
    this.length = Math.max(1, data.end ?? data.now);
    this.lost = data.lost ?? [];
    this.rows = data.rows.map((values, index) => {
      const row = { index };
      FIELDS.forEach((name, at) => (row[name] = values[at]));
      row.kind = data.kinds[row.kind];
      return row;
    });
    this.#markPath();
    this.#fold();
  }

  /** Opens or closes the fold at a visible row; false when there is none. */
  toggle(entry) {
    if (!entry?.fold) return false;
    if (!this.#open.delete(entry.fold)) this.#open.add(entry.fold);
    this.#fold();
    return true;
  }

  #fold() {
    const members = new Map();
    const key = (row) => `${row.depth}:${row.group}`;
    for (const row of this.rows) {
      if (!members.has(key(row))) members.set(key(row), []);
      members.get(key(row)).push(row);
    }
    const done = new Set();
    this.visible = [];
    for (const row of this.rows) {
      const fold = key(row);
      const folded = members.get(fold);
      if (folded.length < FOLD_FROM) this.visible.push({ row });
      else if (!done.has(fold)) {
        done.add(fold);
        this.visible.push({ row: summary(folded, this.groups), fold, members: folded, open: this.#open.has(fold) });
        if (this.#open.has(fold)) for (const one of folded) this.visible.push({ row: one, inner: true });
      }
    }
    this.at = new Map(this.visible.map((entry, index) => [entry.row.index, index]));
  }

  /** From the row that ended last back over the input that came last, to the beginning. */
  #markPath() {
    this.path = [];
    if (!this.rows.some((row) => row.parents?.length)) return;
    let row = this.rows.reduce((last, one) => (finish(one) > finish(last) ? one : last), this.rows[0]);
    for (let steps = 0; row && steps < 1000; steps += 1) {
      row.onPath = true;
      const before = (row.parents ?? []).map((index) => this.rows[index]).filter(Boolean);
      const next = before.reduce((last, one) => (!last || finish(one) > finish(last) ? one : last), null);
      if (next) this.path.push([next.index, row.index]);
      row = next?.onPath ? null : next;
    }
  }
}

const finish = (row) => row.end ?? (row.begin === null ? -1 : Infinity);

const WORST = ["crashed", "failed", "timedout", "running", "retrying", "pending", "scheduled"];

function summary(members, groups) {
  let begin = Infinity;
  let end = -Infinity;
  const counts = {};
  for (const row of members) {
    counts[row.kind] = (counts[row.kind] ?? 0) + 1;
    if (row.begin === null) continue;
    begin = Math.min(begin, row.begin);
    end = Math.max(end, row.end ?? Infinity);
  }
  return {
    index: `fold-${members[0].index}`,
    label: groups[members[0].group],
    kind: WORST.find((kind) => counts[kind]) ?? "completed",
    depth: members[0].depth,
    counts,
    begin: begin === Infinity ? null : begin,
    end: Number.isFinite(end) ? end : null,
  };
}
