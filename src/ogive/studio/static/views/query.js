// The small language of the filter box: `acc>0.7 conv3@stage2 !avg` asks for all three at once.

import { computed, signal } from "/static/vendor/preact.js";
import { candidates, drawing } from "/static/store.js";

const COMPARE = { ">": (a, b) => a > b, "<": (a, b) => a < b, ">=": (a, b) => a >= b, "<=": (a, b) => a <= b };
Object.assign(COMPARE, { "=": (a, b) => a === b, "!=": (a, b) => a !== b && !Number.isNaN(a) });
const COMPARISON = /^([^"<>=!]+)(>=|<=|!=|>|<|=)([^"<>=]*)$/;
const NUMBER = /^([-+]?\d*\.?\d+(?:e[-+]?\d+)?)([kMG]?)$/;
const TIMES = { "": 1, k: 1e3, M: 1e6, G: 1e9 };
const OWN = ["id", "rev", "seconds", "age"];

/** What is written in the filter box. */
export const text = signal("");

/** {test, error}: whether a row meets the text, and what is wrong with it; a text that is wrong lets all rows pass. */
export const filter = computed(() => {
  try {
    return { test: compile(text.value, candidates(), drawing.value?.template), error: null };
  } catch (error) {
    return { test: () => true, error: error.message };
  }
});

/**
 * Return the function of a row that tells whether it meets the text. Terms are parted by spaces and all must hold:
 * `name>number` compares a metric, id, rev, seconds or age (any unambiguous piece of the name will do); `word` asks for
 * a part, an origin, a status or a tag; `part@group` for a part of a group; `!` before a term for its opposite;
 * quotes keep a term together.
 */
export function compile(written, rows, template) {
  const tests = (written.match(/!?(?:"[^"]*"|[^\s"])+/g) ?? []).map((term) => {
    const not = /^!(?!=)./.test(term);
    const plain = not ? term.slice(1) : term;
    const compared = !plain.includes("->") && COMPARISON.exec(plain);
    const test = compared ? comparison(rows, ...compared.slice(1)) : word(rows, template, plain.replaceAll('"', ""));
    return not ? (row) => !test(row) : test;
  });
  return (row) => tests.every((test) => test(row));
}

function comparison(rows, name, sign, number) {
  const [, digits, unit] = NUMBER.exec(number) ?? [];
  if (digits === undefined) throw new Error(`“${name}${sign}” wants a number, such as ${name}${sign}0.5`);
  const [column, bound, holds] = [columnOf(rows, name), digits * TIMES[unit], COMPARE[sign]];
  return (row) => holds(column(row), bound);
}

function columnOf(rows, name) {
  const names = [...OWN, ...rows.metrics.keys()];
  const fits = [(n) => n === name, (n) => n.startsWith(name), (n) => n.includes(name)];
  const found = fits.map((fit) => names.filter(fit)).find((some) => some.length) ?? [];
  if (found.length !== 1) {
    throw new Error(`“${name}” is ${found.length ? `one of ${found.join(", ")}` : `none of ${names.join(", ")}`}`);
  }
  if (found[0] === "age") return (row) => Date.now() / 1000 - rows.ts[row];
  const column = found[0] === "id" ? rows.ids : OWN.includes(found[0]) ? rows[found[0]] : rows.metric(found[0]);
  return (row) => column[row];
}

function word(rows, template, written) {
  const wanted = written.toLowerCase();
  const parts = partsCalled(rows, template, wanted);
  const own = (row) =>
    rows.origin[row] === wanted ||
    rows.status[row] === wanted ||
    rows.arch[row] === written ||
    rows.tags[row]?.includes(written) ||
    (wanted === "pinned" && rows.pinned[row]) ||
    (wanted === "feasible" && rows.feasible[row] === 1);
  return (row) => rows.parts[row].some((part) => parts[part]) || own(row);
}

/** Return which of all parts a word means: those that have it as name, label or operation, or else in one of these. */
function partsCalled(rows, template, wanted) {
  const [name, group] = wanted.split(/@(?=[^@]+$)/);
  const nodes = new Map(template?.nodes.map((node) => [node.id, node]));
  const called = rows.partNames.map((id) => {
    const node = nodes.get(id);
    const there = !group || node?.group?.toLowerCase().includes(group);
    return there ? [id, node?.label, node?.op].filter(Boolean).map((text) => text.toLowerCase()) : [];
  });
  const exact = called.map((words) => words.includes(name));
  return exact.some(Boolean) ? exact : called.map((words) => words.some((text) => text.includes(name)));
}
