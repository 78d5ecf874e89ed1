// Sending commands, what became of them, and saying so to people who do not see the page.

import { signal } from "/static/vendor/preact.js";
import { post } from "/static/api.js";
import { onEvent, run } from "/static/store.js";

const SETTLE_MS = 5000;
const SAY_EVERY_MS = 2000;
const SHOW_MS = 6000;
const NO_REVISION = new Set([
  ...["pause", "resume", "step", "stop", "evaluate", "train_alone", "cancel", "checkpoint", "export"],
  ...["pin", "tag", "comment"],
]);

/** Commands on their way: [{id, op, args, status: "sending" | "accepted"}], oldest first. */
export const pending = signal([]);
/** Notes to show: [{id, kind: "done" | "refused" | "conflict", text, detail: [text]}]. */
export const notices = signal([]);
/** What the live region says. */
export const spoken = signal("");

const waiting = new Map();
let before = Promise.resolve();

/**
 * Send a command and return {status: "accepted" | "rejected", reason?, diff?}. Commands that make a revision go one
 * after the other: each is based on the revision that the one before it made.
 */
export function send(op, args = {}, note = "") {
  const command = { id: random(), op, args, note };
  pending.value = [...pending.value, { ...command, status: "sending" }];
  if (NO_REVISION.has(op)) return deliver(command);
  const sent = before.then(() => deliver(command));
  before = sent.then((reply) => reply.status === "accepted" && settled(command.id));
  return sent;
}

export const undo = () => send("undo");
export const redo = () => send("redo");

async function deliver(command) {
  try {
    const reply = await post("commands", { ...command, base_rev: run.value.rev }, run.value.csrf);
    if (waiting.get(command.id) !== "over") update(command.id, { status: "accepted" });
    return reply;
  } catch (error) {
    forget(command.id);
    const { diff = [], reason = error.message } = error.body ?? {};
    if (diff.length) notify("conflict", `${title(command)}: not done, for the run has been changed meanwhile`, diff);
    else notify("refused", `${title(command)}: ${reason}`);
    return { status: "rejected", reason, diff };
  }
}

/** Wait until a command was applied or rejected, or long enough. */
function settled(id) {
  if (waiting.get(id) === "over") return null;
  return new Promise((resolve) => {
    waiting.set(id, resolve);
    setTimeout(resolve, SETTLE_MS);
  });
}

onEvent(({ kind, data }) => {
  if (kind !== "command.applied" && kind !== "command.rejected") return;
  const command = pending.value.find((c) => c.id === data.id);
  if (!command) return;
  if (data.rev > run.value?.rev) run.value = { ...run.value, rev: data.rev };
  const wake = waiting.get(data.id);
  waiting.set(data.id, "over");
  if (typeof wake === "function") wake();
  forget(data.id);
  if (kind === "command.rejected") notify("refused", `${title(command)}: ${data.reason}`);
  else say(`${title(command)}: applied`);
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
