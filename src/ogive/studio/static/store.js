// What the page knows of the run, and what the person looks at. Views read signals here and never fetch by themselves.

import { batch, computed, effect, signal } from "/static/vendor/preact.js";
import { follow, get, setRun } from "/static/api.js";
import { Rows } from "/static/rows.js";

// A process that is killed writes no event.
const LOOK_MS = 3000;

/** Runs of this server: [{name, state, space, trials}]. */
export const runs = signal([]);
/** "connecting", "live", "reconnecting" or "closed" (another login is needed). */
export const connection = signal("connecting");

// ---- answers of the server, asked for again when an event makes them old

const resources = [];
let frame = 0;

/**
 * An answer of the server that events make old. `data` and `error` are signals; `kinds` says by which events
 * (prefixes), `pause` how many milliseconds apart it is asked for at most. It is asked for while somebody uses it.
 */
class Resource {
  constructor(load, kinds, pause, take = () => {}) {
    Object.assign(this, { load, kinds, pause, take, users: 0, stale: true, busy: false, asked: -Infinity });
    this.data = signal(null);
    this.error = signal(null);
    resources.push(this);
  }

  touch() {
    this.stale = true;
    schedule();
  }

  /** Have it asked for until the function that this returns is called. */
  use() {
    this.users++;
    schedule();
    return () => this.users--;
  }

  get due() {
    return this.stale && !this.busy && this.users > 0 && run.value !== null && connection.value !== "closed";
  }

  async refresh() {
    Object.assign(this, { stale: false, busy: true, asked: performance.now() });
    const asked = generation;
    try {
      const data = await this.load();
      if (asked !== generation) return;
      this.take(data);
      batch(() => ((this.data.value = data), (this.error.value = null)));
    } catch (error) {
      if (asked === generation) this.error.value = error.message;
    } finally {
      this.busy = false;
      if (this.stale) schedule();
    }
  }
}

/** Make an answer that views use with `useResource` (see panes.js). */
export function resource(path, kinds, pause = 400) {
  return new Resource(() => get(path), kinds, pause);
}

const state = resource("state", ["run.state", "command.", "template.rev", "budget", "eval.", "checkpoint"], 100);
/** Snapshot of the run (`/api/state`), null until it is there. */
export const run = state.data;

const both = async () => ({ template: await get("template"), layout: await get("layout") });
const drawn = new Resource(both, ["template.rev", "command.applied"], 50);
/** The drawing: {template, layout} of the present revision, null until it is there. */
export const drawing = drawn.data;

const rows = new Rows();
const added = new Resource(
  () => get(`candidates?after=${rows.seq}`), ["eval.", "proposal", "command.applied", "template.rev"], 100,
  (found) => rows.take(found));

export const series = resource("series", ["eval.done", "train.tick", "run.state", "command.applied", "checkpoint"]);
export const history = resource("history", ["command.", "template.rev", "checkpoint"], 100);
export const evidence = resource("evidence", ["eval.done", "fitness.delta", "command.applied", "template.rev"], 600);
export const trust = resource("trust", ["trust.", "eval.done", "command.applied"], 1000);

const WORKING = new Set(["warming", "searching", "training"]);

/** What a person or the engine did, [{t, text, person, working}]; of a run's states only where work begins or ends. */
export const marks = computed(() => {
  let working = false;
  return (series.data.value?.marks ?? []).flatMap(({ t, kind, text }) => {
    if (kind !== "run.state") return { t, text, person: kind.startsWith("command") };
    if (WORKING.has(text) === working && working) return [];
    working = WORKING.has(text);
    return { t, text, person: false, working };
  });
});

/** Whether nothing can be changed, and why: null, or a sentence for the title of a button. */
export const readOnly = computed(() =>
  run.value?.read_only ? "The studio was started read-only." : connection.value === "closed" ? "Not logged in." : null,
);

/** What could not be asked, null if nothing. */
export const trouble = computed(() => failure.value ?? state.error.value ?? drawn.error.value ?? added.error.value);
const failure = signal(null);

/** Ask again what is old, at most once a frame, and not before its pause is over. */
function schedule() {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    const now = performance.now();
    const due = resources.filter((r) => r.due);
    for (const r of due.filter((r) => now - r.asked >= r.pause)) r.refresh();
    const waits = due.filter((r) => r.due).map((r) => r.pause - (now - r.asked));
    if (waits.length) setTimeout(schedule, Math.min(...waits));
  });
}

/** Candidates in columns (see rows.js); whoever calls this in a view or effect is told of new ones. */
export function candidates() {
  added.data.value;
  return rows;
}

/** Objectives as [{name, direction, unit}]; the first one is what "best" means. */
export const objectives = computed(() => run.value?.objectives ?? []);

// ---- selection, the same for all views and mirrored in the fragment of the address

const nothing = { candidates: [], nodes: [], group: null, time: null };

/** {candidates: ids in the order they were picked, nodes: ids, group: id or null, time: [from, to] in s or null}. */
export const selection = signal(nothing);
export const selectedCandidates = computed(() => new Set(selection.value.candidates));
export const selectedNodes = computed(() => new Set(selection.value.nodes));
/** The candidate that was picked last, or null. */
export const focused = computed(() => selection.value.candidates.at(-1) ?? null);
/** What lies under the pointer: {candidate: id}, {node: id} or null. */
export const hovered = signal(null);
/** Ids of the parts to mark on the canvas: those of the hovered candidate, else of the one picked last. */
export const markedParts = computed(() => {
  const id = hovered.value?.candidate ?? focused.value;
  return new Set(id === null ? [] : candidates().partsOf(id));
});

/** Change some entries of the selection, or none (`select({})`) to leave it; `select()` clears all of it. */
export function select(change = nothing) {
  selection.value = { ...selection.value, ...change };
}

/** Return whether a row lies in the selected stretch of time. */
export function inTime(row) {
  const time = selection.value.time;
  return !time || (rows.ts[row] >= time[0] && rows.ts[row] <= time[1]);
}

// ---- events

const listeners = new Set();
let seen = 0;
let heard = 0;
let generation = 0;
let catchingUp = false;
let leave = null;

/** Call `listener` with every event, once and in order; returns a function that ends it. */
export function onEvent(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function receive(event) {
  heard = Math.max(heard, event.seq);
  if (event.kind === "reset") restart();
  else if (event.seq > seen + 1) catchUp();
  else if (event.seq === seen + 1) apply(event);
}

function apply(event) {
  seen = event.seq;
  if (event.kind === "run.state" && run.value) run.value = { ...run.value, state: event.data.state };
  for (const r of resources) if (r.kinds.some((kind) => event.kind.startsWith(kind))) r.touch();
  for (const listener of listeners) listener(event);
}

/** Fetch the events that this tab missed, also those that come meanwhile. */
async function catchUp() {
  if (catchingUp) return;
  catchingUp = true;
  const asked = generation;
  try {
    while (seen < heard && asked === generation) {
      const { events } = await get(`events?after=${seen}&limit=2000`);
      if (!events.length) return;
      for (const event of events) if (asked === generation && event.seq === seen + 1) apply(event);
    }
  } catch {
    // The server is gone; the next event after its return asks again.
  } finally {
    catchingUp = false;
  }
}

function told(status) {
  const back = status === "live" && connection.value === "reconnecting";
  connection.value = status;
  if (back) for (const r of resources) r.touch();
}

/** Forget the run and take a new snapshot of it. */
async function restart() {
  const asked = ++generation;
  leave?.();
  batch(() => {
    rows.clear();
    [failure.value, connection.value] = [null, "connecting"];
    for (const r of resources) r.data.value = r.error.value = null;
  });
  try {
    const [listed, snapshot] = await Promise.all([get("runs"), get("state")]);
    if (asked !== generation) return;
    [runs.value, run.value] = [listed.runs, snapshot];
    seen = heard = run.value.seq;
    leave = follow(() => seen, receive, told);
    for (const r of resources) r.touch();
  } catch (error) {
    if (asked !== generation) return;
    // A link may name a run of another server.
    if (error.status === 404 && chosen.value !== null) return open(null);
    failure.value = error.message;
    connection.value = error.status === 401 ? "closed" : "reconnecting";
    if (connection.value === "reconnecting") setTimeout(restart, 1000);
  }
}

/** Look at another run of this server. */
export function open(name) {
  setRun((chosen.value = name));
  select();
  return restart();
}

// ---- the fragment of the address: #run=NAME&c=1,4-9&n=stem&g=first&t=12.5-80

const chosen = signal(null);

function ranges(ids) {
  const found = [];
  for (const id of ids) {
    const last = found.at(-1);
    if (last && last[1] + 1 === id) last[1] = id;
    else found.push([id, id]);
  }
  return found.map(([a, b]) => (a === b ? a : `${a}-${b}`)).join(",");
}

function unranged(text) {
  const spans = text.split(",").map((span) => span.split("-").map(Number));
  return spans.flatMap(([a, b = a]) => (b - a < 1e6 ? Array.from({ length: b - a + 1 }, (_, i) => a + i) : []));
}

function readFragment() {
  const given = new URLSearchParams(location.hash.slice(1));
  const time = given.get("t")?.split("-").map(Number);
  selection.value = {
    candidates: given.has("c") ? unranged(given.get("c")).filter(Number.isInteger) : [],
    nodes: given.getAll("n"),
    group: given.get("g"),
    time: time?.length === 2 && time.every(Number.isFinite) ? time : null,
  };
  return given.get("run");
}

function fragment() {
  const { candidates: ids, nodes, group, time } = selection.value;
  const named = [["run", chosen.value], ...nodes.map((node) => ["n", node]), ["g", group]].filter(([, v]) => v !== null);
  const plain = [ids.length && `c=${ranges(ids)}`, time && `t=${time.join("-")}`, new URLSearchParams(named).toString()];
  return plain.filter(Boolean).join("&");
}

/** Begin: read the fragment, take the snapshot, follow the events, and look whether the engine lives still. */
export function start() {
  const read = () => {
    const name = readFragment();
    if (name === chosen.value && leave) return;
    setRun((chosen.value = name));
    restart();
  };
  addEventListener("hashchange", read);
  for (const r of [state, drawn, added]) r.use();
  setInterval(() => document.hidden || (connection.value === "live" && state.touch()), LOOK_MS);
  let timer = 0;
  read();
  effect(() => {
    const text = fragment();
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (location.hash.slice(1) !== text) window.history.replaceState(null, "", text ? `#${text}` : location.pathname);
    }, 150);
  });
}
