// Sending commands, what became of them, and saying so to people who do not see the page.

import { computed, effect, signal } from "/static/vendor/preact.js";
import { post } from "/static/api.js";
import { onEvent, run } from "/static/store.js";

const SAY_EVERY_MS = 2000;
const SHOW_MS = 6000;
const NO_REVISION = /^(pause|resume|step|stop|evaluate|train_alone|cancel|checkpoint|export|pin|tag|comment)$/;

/** Commands on their way: [{id, op, args, status: "sending" | "accepted"}], oldest first. */
export const pending = signal([]);
/** Notes to show: [{id, kind: "done" | "refused" | "conflict", text, detail: [text]}]. */
export const notices = signal([]);
/** What the live region says. */
export const spoken = signal("");

// The revision that this tab's commands lead to once all that were accepted have been applied, and the last one sent.
let ahead = 0;
let before = Promise.resolve();

const name = computed(() => run.value?.run.name);
effect(() => {
  name.value;
  [pending.value, ahead] = [[], 0];
});

/**
 * Send a command and return {status: "accepted" | "rejected", reason?, diff?}. Commands that make a revision go one
 * after the other, each based on the revision that the one before it will make.
 */
export function send(op, args = {}, note = "") {
  const command = { id: random(), op, args, note };
  pending.value = [...pending.value, { ...command, status: "sending" }];
  return (before = before.then(() => deliver(command)));
}

export const makesRevision = (op) => !NO_REVISION.test(op);
export const undo = () => send("undo");
export const redo = () => send("redo");

async function deliver(command) {
  const base = Math.max(run.value.rev, ahead);
  try {
    const reply = await post("commands", { ...command, base_rev: base }, run.value.csrf);
    if (makesRevision(command.op)) ahead = base + 1;
    update(command.id, { status: "accepted" });
    return reply;
  } catch (error) {
    ahead = 0;
    forget(command.id);
    const { diff = [], reason = error.message } = error.body ?? {};
    if (diff.length) notify("conflict", `${title(command)}: not done, for the run has been changed meanwhile`, diff);
    else notify("refused", `${title(command)}: ${reason}`);
    return { status: "rejected", reason, diff };
  }
}

onEvent(({ kind, data }) => {
  if (kind !== "command.applied" && kind !== "command.rejected") return;
  const command = pending.value.find((c) => c.id === data.id);
  if (!command) return;
  forget(data.id);
  if (kind === "command.applied") return say(`${title(command)}: applied`);
  ahead = 0;
  notify("refused", `${title(command)}: ${data.reason}`);
});

function update(id, change) {
  pending.value = pending.value.map((c) => (c.id === id ? { ...c, ...change } : c));
}

function forget(id) {
  pending.value = pending.value.filter((c) => c.id !== id);
}

/** Return a command in a few words: "exclude s3_blur", "set sampler explore=0.5". */
export function title({ op, args }) {
  const words = Object.entries(args).map(([name, v]) => (typeof v === "string" || Array.isArray(v) ? v : `${name}=${v}`));
  return [op.replaceAll("_", " "), ...words.flat()].join(" ");
}

/** Show a note, and say it; a conflict stays until somebody closes it. */
export function notify(kind, text, detail = []) {
  const id = random();
  notices.value = [...notices.value.slice(-3), { id, kind, text, detail }];
  say([text, ...detail].join(". "));
  if (kind !== "conflict") setTimeout(() => dismiss(id), SHOW_MS);
}

export function dismiss(id) {
  notices.value = notices.value.filter((n) => n.id !== id);
}

let words = [];
let last = -Infinity;
let timer = 0;

/** Say something through the page's one polite live region, at most once in two seconds. */
export function say(text) {
  words.push(text);
  timer ||= setTimeout(
    () => {
      spoken.value = words.slice(-3).join(". ");
      [words, last, timer] = [[], performance.now(), 0];
    },
    Math.max(0, last + SAY_EVERY_MS - performance.now()),
  );
}

function random() {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(16).padStart(8, "0")).join("");
}
