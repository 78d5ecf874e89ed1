// Properties of the selected part: what it is, what its block is told, and the arguments to change.

import { html, useState } from "/static/vendor/preact.js";
import { actionsOn, attempt, isDrawing, parts } from "/static/editing.js";
import { cardinality, signed } from "/static/graph.js";
import { drawing, readOnly, run, selection } from "/static/store.js";

const placeOf = (event) => {
  const { left, bottom } = event.target.getBoundingClientRect();
  return { x: left, y: bottom };
};

function Lines({ lines }) {
  return html`<dl class="lines">${lines.filter(([, value]) => value).map(([name, value]) => html`
    <div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** Fields for the arguments of a block; they are sent together. */
function Arguments({ item, known, why }) {
  const [changed, setChanged] = useState({});
  const names = Object.keys(known);
  if (!names.length) return null;
  const apply = (event) => {
    event.preventDefault();
    attempt("set_args", { name: item.id, args: changed }, placeOf(event)).then(() => setChanged({}));
  };
  const field = (name) => {
    const { type, choices } = known[name];
    const value = changed[name] ?? item.args[name] ?? known[name].default;
    const read = (text) => (type === "choice" || !/^\d+$/.test(text) ? text : Number(text));
    const set = (event) => setChanged({ ...changed, [name]: read(event.target.value) });
    if (!choices) return html`<input class="field" value=${value} size="5" disabled=${why !== null} onInput=${set} />`;
    return html`<select class="field" value=${value} disabled=${why !== null} onChange=${set}>
      ${choices.map((choice) => html`<option value=${choice} selected=${choice === value}>${choice}</option>`)}
    </select>`;
  };
  const dirty = Object.keys(changed).length > 0;
  return html`<form class="arguments" onSubmit=${apply} title=${why}>
    ${names.map((name) => html`<label key=${name}><span>${name}</span>${field(name)}</label>`)}
    <button class="button" disabled=${why !== null || !dirty}>Apply</button>
  </form>`;
}

/** How many options an architecture has. */
function Cardinality({ item, why }) {
  const [low, high] = item.cardinality;
  const most = item.options.length;
  const set = (next) => (event) => {
    const range = { low, high, ...next(Number(event.target.value)) };
    attempt("set_cardinality", { group: item.id, ...range }, placeOf(event));
  };
  const choices = (from) => Array.from({ length: most - from + 1 }, (_, i) => from + i);
  const field = (label, from, value, next) => html`<label><span>${label}</span>
    <select class="field" value=${value} disabled=${why !== null} onChange=${set(next)}>
      ${choices(from).map((n) => html`<option value=${n} selected=${n === value}>${n}</option>`)}
    </select></label>`;
  return html`<div class="arguments" title=${why}>
    ${field("at least", 0, low, (n) => ({ low: n, high: Math.max(n, high) }))}
    ${field("at most", 1, high, (n) => ({ low: Math.min(n, low), high: n }))}
  </div>`;
}

function Actions({ part }) {
  return html`<div class="actions">${actionsOn(part).map(({ key, label, why, act }) => html`<button
    key=${key} class="button" disabled=${why !== null} title=${why ?? `${label} (${key})`}
    onClick=${(event) => act(placeOf(event))}>${label}</button>`)}</div>`;
}

/** The part picked last, or the selected group. */
function selected() {
  const { nodes, group } = selection.value;
  return parts.value?.get(nodes.at(-1) ?? group) ?? null;
}

export function Properties() {
  const part = selected();
  if (!part) return html`<section class="properties" aria-label="Properties"><p class="muted">
    Select a block, a group or an edge to see what it is told.</p></section>`;
  const { id, kind, item, group } = part;
  const { template } = drawing.value;
  const why = readOnly.value;
  const known = template.catalogue.find(({ op }) => op === item.op)?.args ?? {};
  const nudge = run.value.nudges[id];
  const lines = [
    ["block", kind === "node" && item.op !== item.label && item.op],
    ["from", item.source],
    ["to", item.target],
    ["group", group],
    ["takes", kind === "group" && `${cardinality(item)} of ${item.options.length}`],
    ["output", item.shape],
    ["status", item.status === "free" ? null : item.status],
    ["preference", nudge && signed(nudge)],
  ];
  return html`<section class="properties" aria-label=${`Properties of ${id}`} key=${id}>
    <h3>${kind === "edge" ? `${item.source} → ${item.target}` : item.label}</h3>
    <${Lines} lines=${lines} />
    <${Actions} part=${part} />
    ${kind === "node" && isDrawing.value && html`<${Arguments}
      key=${`${id} ${template.rev}`} item=${item} known=${known} why=${why} />`}
    ${kind === "group" && isDrawing.value && html`<${Cardinality} item=${item} why=${why} />`}
  </section>`;
}
