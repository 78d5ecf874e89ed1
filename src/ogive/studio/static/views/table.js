// V5: the candidates row by row, sorted, filtered and exported; what the map shows, for reading.

import { computed, html, signal, useContext, useEffect, useRef, useState } from "/static/vendor/preact.js";
import { describe } from "/static/keys.js";
import { Empty, Shown, useSize } from "/static/panes.js";
import { candidates, focused, hovered, inTime, objectives, run, select, selection } from "/static/store.js";
import { quantities } from "/static/views/points.js";
import { filter, text } from "/static/views/query.js";
import { duration, short } from "/static/widgets.js";

const [ROW, HEAD, SPARE] = [24, 28, 6];
const STEPS = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };

/** {name, down} of the column that sorts; null is the first objective, best first. */
const sorting = signal(null);
/** Ids the table is narrowed to: several that were selected elsewhere; null shows all. */
const narrowed = signal(null);
let mine = null;

describe("Candidates", { "↑↓": "go to another row (also PageUp, PageDown, Home, End)",
  " ": "select the row (with Ctrl: one more; Shift and an arrow: the next one too)" });

/** Columns as [{name, head, wide, value(row), show(value)}]: numbers have no `wide`. */
const columns = computed(() => {
  const rows = candidates();
  const metrics = quantities.value.map((q) => q.name).filter((name) => rows.metrics.has(name));
  const number = (name, values, show = short, head = name) => ({ name, head, show, value: (row) => values[row] });
  const word = (name, wide) => ({ name, head: name, wide, value: (row) => rows[name][row] ?? "", show: String });
  const tags = (row) => [...(rows.pinned[row] ? ["pinned"] : []), ...rows.tags[row]].join(" ");
  return [
    number("id", rows.ids, String, "#"),
    ...metrics.map((name) => number(name, rows.metric(name))),
    number("seconds", rows.seconds, (s) => `${short(s)} s`, "cost"),
    word("origin", 88),
    number("rev", rows.rev, String),
    number("ts", rows.ts, (t) => duration(Math.max(0, Date.now() / 1000 - t)), "age"),
    word("status", 72),
    { name: "tags", head: "tags", wide: 96, value: tags, show: String },
    word("arch", 320),
  ];
});

/** Rows in the order the table shows them. */
const order = computed(() => {
  const [rows, { test }, only] = [candidates(), filter.value, narrowed.value && new Set(narrowed.value)];
  const found = [...rows.arch.keys()].filter((row) => (!only || only.has(rows.ids[row])) && inTime(row) && test(row));
  const { name, down } = sorted();
  const { value } = columns.value.find((c) => c.name === name) ?? columns.value[0];
  // What has no value comes last either way.
  return found.sort((a, b) => {
    const [u, v] = down ? [value(b), value(a)] : [value(a), value(b)];
    return Number.isNaN(value(a)) - Number.isNaN(value(b)) || (u > v) - (u < v) || a - b;
  });
});

const sorted = () => {
  const { name, direction } = objectives.value[0] ?? { name: "id" };
  return sorting.value ?? { name, down: direction === "max" };
};

const active = () => hovered.value?.candidate ?? focused.value;

function choose(ids) {
  mine = ids;
  select({ candidates: ids });
}

/** Select a row as a click does: alone, one more or less (`add`), or all from the one picked last (`through`). */
function pick(at, add, through) {
  const ids = order.value.map((row) => candidates().ids[row]);
  const [known, from] = [selection.value.candidates, ids.indexOf(focused.value)];
  if (through && from >= 0) {
    const span = ids.slice(Math.min(from, at), Math.max(from, at) + 1);
    choose([...new Set([...known, ...(from > at ? span.reverse() : span)])]);
  } else if (!add) choose([ids[at]]);
  else choose(known.includes(ids[at]) ? known.filter((id) => id !== ids[at]) : [...known, ids[at]]);
}

/** Hand what the table shows to the person as a file. */
function save(kind) {
  const cells = (row) => columns.value.map((c) => c.value(row)).map((v) => (Number.isNaN(v) ? null : v));
  const names = columns.value.map((c) => c.name);
  const quoted = (v) => (/[",\n]/.test(v ?? "") ? `"${v.replaceAll('"', '""')}"` : (v ?? ""));
  const written = kind === "CSV"
    ? [names, ...order.value.map(cells)].map((line) => `${line.map(quoted).join(",")}\n`)
    : [JSON.stringify(order.value.map((row) => Object.fromEntries(cells(row).map((v, i) => [names[i], v]))), null, 1)];
  const href = URL.createObjectURL(new Blob(written, { type: kind === "CSV" ? "text/csv" : "application/json" }));
  Object.assign(document.createElement("a"), { href, download: `${run.value.run.name}.${kind.toLowerCase()}` }).click();
  setTimeout(() => URL.revokeObjectURL(href), 1000);
}

function Chip({ text, drop }) {
  return html`<button class="chip table-chip" title="Show all again" onClick=${() => select(drop)}>${text} ×</button>`;
}

function Tools() {
  const [all, there, { error }] = [candidates().count, order.value.length, filter.value];
  return html`<div class="tools">
    <input class="field table-filter" type="search" aria-label="Filter candidates" spellcheck=${false}
      placeholder="acc>0.7 conv3@stage2 !avg" value=${text.value} aria-invalid=${Boolean(error)}
      title="name>number, part, part@group, origin, status, tag; ! for the opposite; all must hold"
      aria-describedby="filter-error" onInput=${(event) => (text.value = event.target.value)} />
    <span class="muted num">${there === all ? all : `${there} of ${all}`}</span>
    ${narrowed.value && html`<${Chip} text=${`${narrowed.value.length} selected`} drop=${{ candidates: [] }} />`}
    ${selection.value.time && html`<${Chip} text="a stretch of time" drop=${{ time: null }} />`}
    <span class="spring"></span>
    ${["CSV", "JSON"].map((kind) => html`<button class="button-plain" title=${`Save these rows as ${kind}`}
      disabled=${!there} onClick=${() => save(kind)}>${kind}</button>`)}
    <span id="filter-error" class="table-error">${error}</span>
  </div>`;
}

function Head({ style }) {
  const { name: by, down } = sorted();
  return html`<div class="table-row table-head" role="row" aria-rowindex="1" style=${style}>
    ${columns.value.map(({ name, head, wide }) => html`<div role="columnheader" class=${wide ? "" : "num"} key=${name}
      aria-sort=${by === name ? (down ? "descending" : "ascending") : "none"}>
      <button class="table-sort" title=${head} onClick=${() => (sorting.value = { name, down: by === name && !down })}>
        ${head}${by === name ? (down ? " ↓" : " ↑") : ""}</button></div>`)}
  </div>`;
}

function Line({ row, at, style }) {
  const id = candidates().ids[row];
  return html`<div class="table-row" role="row" id=${`candidate-${id}`} data-id=${id} aria-rowindex=${at + 2}
    aria-selected=${selection.value.candidates.includes(id)} data-active=${active() === id}
    style=${{ ...style, transform: `translateY(${at * ROW}px)` }}
    onClick=${(event) => pick(at, event.ctrlKey || event.metaKey, event.shiftKey)}
    onPointerEnter=${() => (hovered.value = { candidate: id })}>
    ${columns.value.map(({ name, wide, value, show }) => html`<div role="gridcell" key=${name}
      class=${wide ? "" : "num"} title=${wide ? value(row) : null}>${show(value(row))}</div>`)}
  </div>`;
}

export function View() {
  const shown = useContext(Shown);
  const [box, { height }] = useSize();
  const grid = useRef(null);
  const [top, setTop] = useState(0);
  const [rows, picked] = [order.value, selection.value.candidates];
  const at = rows.indexOf(candidates().rowOf.get(active()) ?? -1);
  useEffect(() => {
    // What was picked in the table itself does not narrow it.
    if (picked !== mine) narrowed.value = picked.length > 1 ? picked : null;
  }, [picked]);
  useEffect(() => {
    if (at < 0) return;
    const [from, room] = [at * ROW, grid.current.clientHeight - HEAD];
    const least = Math.max(from + ROW - room, Math.min(from, grid.current.scrollTop));
    if (least !== grid.current.scrollTop) grid.current.scrollTop = least;
  }, [at, shown]);
  const onKeyDown = (event) => {
    const [step, more] = [STEPS[event.key], event.ctrlKey || event.metaKey];
    if (event.target !== grid.current || !rows.length) return;
    if (step !== undefined) {
      const next = Math.max(0, Math.min(rows.length - 1, at + step));
      hovered.value = { candidate: candidates().ids[rows[next]] };
      if (event.shiftKey) pick(next, false, true);
    } else if ((event.key === " " || event.key === "Enter") && at >= 0) pick(at, more, event.shiftKey);
    else if (event.key === "a" && more) choose(rows.map((row) => candidates().ids[row]));
    else return;
    event.preventDefault();
  };
  const width = ({ wide, head }) => `${wide ?? Math.min(136, Math.max(80, 28 + 7 * head.length))}px`;
  const style = { gridTemplateColumns: columns.value.map(width).join(" ") };
  const first = Math.max(0, Math.floor(top / ROW) - SPARE);
  const drawn = rows.slice(first, first + Math.ceil(height / ROW) + 2 * SPARE);
  return html`<${Tools} />
    <div class="table-box" ref=${box}>
      <div class="table-grid" ref=${grid} role="grid" tabindex="0" aria-label="Candidates" aria-multiselectable="true"
        aria-rowcount=${rows.length + 1} aria-activedescendant=${at >= 0 ? `candidate-${active()}` : null}
        data-testid="candidates" data-count=${rows.length} onKeyDown=${onKeyDown}
        onScroll=${(event) => setTop(event.target.scrollTop)} onPointerLeave=${() => (hovered.value = null)}>
        <${Head} style=${style} />
        <div class="table-rows" role="rowgroup" style=${{ height: `${rows.length * ROW}px` }}>
          ${drawn.map((row, i) => html`<${Line} key=${row} row=${row} at=${first + i} style=${style} />`)}
        </div>
        ${!rows.length && html`<${Empty} title=${`No candidate ${candidates().count ? "meets the filter" : "yet"}`} />`}
      </div>
    </div>`;
}
