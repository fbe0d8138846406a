// What the timeline shows: task runs and subflows in order of start, large groups of one task folded.

const FOLD_FROM = 25; // members of one task
const KINDS = {
  "SCHEDULED/Late": "late",
  "SCHEDULED/AwaitingRetry": "retrying",
  "RUNNING/Retrying": "retrying",
  "RUNNING/AwaitingRetry": "retrying",
  "RUNNING/Unreachable": "late",
  "PAUSED/Suspended": "suspended",
  "COMPLETED/Cached": "cached",
  "COMPLETED/Replayed": "replayed",
  "COMPLETED/RolledBack": "cancelled",
  "COMPLETED/Skipped": "cancelled",
  "FAILED/TimedOut": "timedout",
};
// The worst of a group's states is the group's.
const WORST = ["crashed", "failed", "timedout", "running", "retrying", "pending", "scheduled", "cancelled"];

/** The colour family of each kind of state. */
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

const kindOf = ([type, name]) => KINDS[`${type}/${name}`] ?? type.toLowerCase();
const groupOf = (label) => label.replace(/(\[[^\]]*\]|[-_]\w{1,8})$/, "");

export class Model {
  #known = new Map();
  #open = new Set();
  rows = [];
  visible = [];
  length = 1;
  ended = false;
  seq = -1;

  /** Takes the server's answer: everything, or with `only changes` what is new since the last. */
  take(data, onlyChanges) {
    if (!onlyChanges) this.#known.clear();
    const kinds = data.states.map(kindOf);
    for (const [id, name, state, begin, end, count, failures, waits = []] of data.tasks) {
      const label = data.names[name];
      const told = life(begin, end, count, failures, waits);
      this.#known.set(id, { id, label, group: groupOf(label), kind: kinds[state], ...told });
    }
    for (const [id, label, flow, type, name, begin, end, pauses] of data.subflows) {
      this.#known.set(id, { id, label, flow, group: `flow ${flow}`, kind: kindOf([type, name]), ...life(begin, end, 1, [], pauses) });
    }
    this.seq = data.seq;
    this.tasks = this.#known.size - data.subflows.length;
    this.ended = data.to !== null;
    this.length = Math.max(1, ((data.to ?? data.now) - data.from) / 1000);
    const start = (row) => row.since ?? Infinity;
    this.rows = [...this.#known.values()].sort((a, b) => start(a) - start(b) || (a.id < b.id ? -1 : 1));
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
    const members = Map.groupBy ? Map.groupBy(this.rows, (row) => row.group) : groupBy(this.rows);
    const done = new Set();
    this.visible = [];
    for (const row of this.rows) {
      const folded = members.get(row.group);
      if (folded.length < FOLD_FROM) {
        this.visible.push({ row });
      } else if (!done.has(row.group)) {
        done.add(row.group);
        const open = this.#open.has(row.group);
        this.visible.push({ row: summary(folded), fold: row.group, members: folded, open });
        if (open) for (const one of folded) this.visible.push({ row: one, inner: true });
      }
    }
  }
}

/**
 * Times in milliseconds; `failures` are the ends of executions that failed, with the starts of the next; `waits` those in
 * which it waited for others, the last one perhaps without an end. It is drawn from `since` on.
 */
function life(begin, end, count, failures, waits) {
  const ms = (micros) => (micros === null ? null : micros / 1000);
  const pairs = (spans) => spans.map((span) => span.map(ms));
  return { begin: ms(begin), end: ms(end), since: ms(waits[0]?.[0] ?? begin), count, failures: pairs(failures), waits: pairs(waits) };
}

function groupBy(rows) {
  const groups = new Map();
  for (const row of rows) {
    if (!groups.has(row.group)) groups.set(row.group, []);
    groups.get(row.group).push(row);
  }
  return groups;
}

function summary(members) {
  let begin = Infinity;
  let end = -Infinity;
  const counts = {};
  for (const row of members) {
    counts[row.kind] = (counts[row.kind] ?? 0) + 1;
    if (row.since === null) continue;
    begin = Math.min(begin, row.since);
    end = Math.max(end, row.end ?? Infinity);
  }
  return {
    id: members[0].id,
    label: members[0].group,
    kind: WORST.find((kind) => counts[kind]) ?? "completed",
    counts,
    begin: begin === Infinity ? null : begin,
    since: begin === Infinity ? null : begin,
    end: Number.isFinite(end) ? end : null,
  };
}
