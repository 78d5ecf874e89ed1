// V2: what the evaluations say of every option, which options they speak against, and what has not been looked at.

import { html, signal, useState } from "/static/vendor/preact.js";
import { send } from "/static/commands.js";
import { Empty, useResource, useSize } from "/static/panes.js";
import { drawing, evidence, resource, run, select, selectedNodes } from "/static/store.js";
import { Act, short } from "/static/widgets.js";

const MARGIN = { left: 32, right: 8, top: 8, bottom: 28 };
const SHOWN_AS = ["Scatter", "Ranked"];
const pairs = resource("pairs", ["eval.done", "command.applied"], 5000);
/** Suggestions that a person wants to see later. */
const later = signal(new Set());

export const nameOf = (id, group) => (group && id.startsWith(`${group}/`) ? id.slice(group.length + 1) : id);
export const signed = (value, digits = 2) => (value > 0 ? "+" : "") + value.toFixed(digits).replace("-", "−");
export const times = (count) => (count < 1e6 ? count.toLocaleString("en") : `about ${short(count)}`);
const between = ({ low, high }) => (low === null ? "no interval" : `${signed(low)} to ${signed(high)}`);
const status = (id) => run.value?.statuses[id];
const pick = (option) => select({ nodes: [option.id], group: option.group });

/** A link to a candidate. */
export function Candidate({ id }) {
  return html`<button class="link-button" title=${`Show candidate ${id}`}
    onClick=${() => select({ candidates: [id] })}>#${id}</button>`;
}

function cost(told) {
  if (!told) return "";
  const kept = told.loses === null ? "none of them evaluated" : `the best evaluated among them is #${told.loses}`;
  return `removes ${times(told.removes)} (${(100 * told.share).toFixed(0)} %), ${kept}`;
}

function Suggestions({ found, options }) {
  const open = found.filter(({ id, option, sibling }) => !later.value.has(id) && !status(option) && !status(sibling));
  if (!open.length) return html`<p class="muted evidence-none">No option is suggested for exclusion.</p>`;
  return html`<ul class="suggestions">${open.slice(0, 3).map((s) => {
    const lock = options.find((o) => o.id === s.sibling)?.lock;
    const [name, rival] = [nameOf(s.option, s.group), nameOf(s.sibling, s.group)];
    return html`<li key=${s.id} class="suggestion">
      <p><strong>${name}</strong> in ${s.group} holds the search back: fitness ${s.fitness.toFixed(2)} against
        ${` ${s.sibling_fitness.toFixed(2)} of ${rival}, contrast ${signed(s.contrast)} (${between(s)}), n = ${s.n}.`}</p>
      <p class="muted">Without it ${times(s.removes)} candidates fewer (${(100 * s.share).toFixed(0)} %), among them <${Candidate} id=${s.loses} />, the best that has it.</p>
      <div class="suggestion-acts">
        <${Act} label=${`Exclude ${name}`} text="Exclude" main onClick=${() => send("exclude", { node: [s.option] }, s.text)} />
        <${Act} label=${`Lock ${rival}`} text=${`Lock ${rival}`} off=${lock ? null : "Locking it would change nothing."}
          title=${`Locking ${rival} ${cost(lock)}`} onClick=${() => send("lock", { node: [s.sibling] }, s.text)} />
        <button class="button-plain" onClick=${() => (later.value = new Set([...later.value, s.id]))}>Later</button>
      </div>
    </li>`;
  })}${open.length > 3 && html`<li class="muted">and ${open.length - 3} weaker ones</li>`}</ul>`;
}

/** Fitness against how often an option was seen; a whisker is the interval of its contrast, laid around its fitness. */
function Scatter({ options, total }) {
  const [ref, { width }] = useSize();
  const height = 184;
  const most = Math.max(1, ...options.map((o) => o.n)) / Math.max(1, total);
  const x = (n) => MARGIN.left + (n / Math.max(1, total) / most) * (width - MARGIN.left - MARGIN.right);
  const y = (f) => MARGIN.top + (1 - Math.min(1, Math.max(0, f))) * (height - MARGIN.top - MARGIN.bottom);
  const dot = (o) => {
    const cx = x(o.n);
    const [low, high] = o.low === null ? [0, 0] : [o.fitness + o.low - o.contrast, o.fitness + o.high - o.contrast];
    const kind = selectedNodes.value.has(o.id) ? "dot-picked" : (status(o.id) ?? "");
    return html`<g key=${o.id} class=${`dot ${kind && `dot-${kind.replace("dot-", "")}`}`} onClick=${() => pick(o)}>
      <title>${`${nameOf(o.id, o.group)} in ${o.group}: fitness ${o.fitness.toFixed(2)}, n = ${o.n}`}</title>
      ${o.low !== null && html`<path d=${`M${cx} ${y(low)}V${y(high)}M${cx - 3} ${y(low)}h6M${cx - 3} ${y(high)}h6`} />`}
      <circle cx=${cx} cy=${y(o.fitness)} r="10" class="dot-target" /><circle cx=${cx} cy=${y(o.fitness)} r="4.5" />
    </g>`;
  };
  return html`<div ref=${ref} class="plot">${width > 0 && html`<svg width=${width} height=${height} role="img"
    aria-label="Fitness of every option against how often it was seen; the ranked table says the same in words.">
    ${[0, 0.25, 0.5, 0.75, 1].map((f) => html`<g class="grid" key=${f}>
      <path d=${`M${MARGIN.left} ${y(f)}H${width - MARGIN.right}`} />
      <text x=${MARGIN.left - 4} y=${y(f) + 4} text-anchor="end">${f}</text></g>`)}
    <text class="axis" x=${MARGIN.left} y=${height - 6}>seen by 0 %</text>
    <text class="axis" x=${width - MARGIN.right} y=${height - 6} text-anchor="end">${(100 * most).toFixed(0)} % of ${total} evaluations</text>
    ${options.filter((o) => o.n > 0).map(dot)}
  </svg>`}</div>`;
}

/** A bar from 0 to a contrast, with its interval as a line; `most` is where the scale ends on both sides. */
function Contrast({ option, most }) {
  const at = (value) => 40 + (value / most) * 38;
  if (option.contrast === null) return html`<span class="muted">–</span>`;
  const [from, to] = [Math.min(40, at(option.contrast)), Math.max(40, at(option.contrast))];
  const words = `contrast ${signed(option.contrast)}, ${between(option)}`;
  return html`<svg class="contrast" width="80" height="16" role="img" aria-label=${words}><title>${words}</title>
    <path class="contrast-zero" d="M40 0V16" />
    <rect class=${option.contrast > 0 ? "contrast-good" : "contrast-bad"} x=${from} y="4" width=${to - from} height="8" />
    ${option.low !== null && html`<path class="contrast-line" d=${`M${at(option.low)} 8H${at(option.high)}`} />`}
  </svg>`;
}

function Ranked({ options }) {
  const groups = [...new Set(options.map((o) => o.group))];
  const most = Math.max(0.1, ...options.flatMap((o) => [o.contrast, o.low, o.high]).map(Math.abs));
  const row = (o) => html`<tr key=${o.id} aria-selected=${selectedNodes.value.has(o.id)}>
    <td><button class="link-button" onClick=${() => pick(o)}>${nameOf(o.id, o.group)}</button>
      ${status(o.id) && html` <span class="muted">${status(o.id)}</span>`}</td>
    <td class="num">${o.n ? o.fitness.toFixed(2) : o.new ? "new" : "–"}</td><td class="num">${o.n}</td>
    <td><${Contrast} option=${o} most=${most} /></td></tr>`;
  const rank = (group) => options.filter((o) => o.group === group).sort((a, b) => (b.n > 0) - (a.n > 0) || b.fitness - a.fitness);
  return html`<table class="table ranked"><thead><tr><th>Option</th><th class="num">Fitness</th><th class="num">n</th>
    <th>Contrast</th></tr></thead>
    ${groups.map((group) => html`<tbody key=${group}><tr><th colspan="4" scope="rowgroup">${group}</th></tr>${rank(group).map(row)}</tbody>`)}
  </table>`;
}

function Picked({ option }) {
  const name = nameOf(option.id, option.group);
  const set = status(option.id);
  const links = (ids) => ids.map((id) => html` <${Candidate} key=${id} id=${id} />`);
  return html`<section class="picked" aria-label=${`Evidence of ${name}`}>
    <h3>${name} <span class="muted">in ${option.group}${set ? `, ${set}` : ""}</span></h3>
    ${option.n === 0
      ? html`<p>${option.new ? "New: " : ""}No evaluation has it yet (n = 0).</p>`
      : html`<p>Fitness ${option.fitness.toFixed(2)} from ${option.n} evaluations${option.contrast !== null &&
          html`; contrast with its siblings ${signed(option.contrast)} (${between(option)}, 90 %)`}${option.exposure !== undefined &&
          html`; ${option.exposure.toLocaleString("en")} gradient updates`}.</p>
        <p>Best:${links(option.best)}${option.worst.length > 0 && html`; worst:${links(option.worst)}`}</p>`}
    <div class="suggestion-acts">
      ${set
        ? html`<${Act} label=${`Free ${name}`} text="Free" onClick=${() => send("free", { node: [option.id] })} />`
        : [["exclude", "Exclude"], ["lock", "Lock"]].map(([op, text]) => html`<${Act} key=${op} label=${`${text} ${name}`} text=${text}
            off=${option[op] ? null : "It would change nothing, or leave nothing."} title=${`${text}: ${cost(option[op])}`}
            onClick=${() => send(op, { node: [option.id] })} />`)}
    </div>
    ${!set && option.exclude && html`<p class="muted">Excluding it ${cost(option.exclude)}.</p>`}
    ${!set && option.lock && html`<p class="muted">Locking it ${cost(option.lock)}.</p>`}
  </section>`;
}

function Bias({ found, what }) {
  const locked = (group) => Object.keys(found.find((b) => b.group === group).share).some((id) => status(id) === "locked");
  return found.map(({ group, ratio, gini, share, flag }) => {
    const worst = ratio === null ? "one never" : `${ratio.toFixed(1)}×`;
    const red = flag && !locked(group);
    return html`<div class="bias" key=${group}><span class="bias-name" title=${group}>${group}</span>
      <span class="bias-strip" role="img" aria-label=${Object.entries(share).map(([id, s]) => `${nameOf(id, group)} ${s.toFixed(1)}`).join(", ")}>
        ${Object.entries(share).map(([id, s]) => html`<i key=${id} title=${`${nameOf(id, group)}: ${what} ${s.toFixed(2)}× as often as even`}
          style=${{ flexGrow: s }}></i>`)}</span>
      <span class=${red ? "bias-ratio bias-red" : "bias-ratio"} title=${`Gini ${gini.toFixed(2)}`}>${red ? "⚑ " : ""}${worst}</span></div>`;
  });
}

function Pairs() {
  const { data, error } = useResource(pairs);
  if (!data) return html`<p class="muted">${error ?? "Fitting…"}</p>`;
  if (data.r2 === null) return html`<p>Too few evaluations for a model of pairs; it needs 24.</p>`;
  return html`<p>A model of parts and pairs predicts ${Math.max(0, 100 * data.r2).toFixed(0)} % of the variance of evaluations
      it has not seen (R² ${data.r2.toFixed(2)}; parts alone ${data.r2_parts.toFixed(2)}).</p>
    ${data.pairs.length === 0 && html`<p class="muted">No pair stands out from the noise.</p>`}
    <ul>${data.pairs.map(({ a, b, effect }) => html`<li key=${a + b}><strong class="num">${signed(effect)}</strong> ${a} with ${b}</li>`)}</ul>`;
}

function Fold({ title, children }) {
  const [open, setOpen] = useState(false);
  return html`<details class="fold" open=${open} onToggle=${(event) => setOpen(event.target.open)}>
    <summary>${title}</summary>${open && html`<div class="fold-body">${children()}</div>`}</details>`;
}

function share({ evaluated, allowed, exact }) {
  const percent = (100 * evaluated) / allowed;
  return `${evaluated.toLocaleString("en")} of ${exact ? "" : "about "}${short(allowed)} (${percent < 0.01 ? percent.toExponential(0) : percent.toPrecision(2)} %)`;
}

export function View() {
  const { data, error } = useResource(evidence);
  const [as, setAs] = useState(SHOWN_AS[0]);
  if (!data || !drawing.value) return html`<${Empty} title=${error ? "Evidence could not be had" : "Loading"}>${error}<//>`;
  if (!data.evaluated) return html`<${Empty} title="No evidence yet">It begins with the first evaluated candidate.<//>`;
  const { options, bias, training, coverage } = data;
  const picked = options.filter((o) => selectedNodes.value.has(o.id)).slice(0, 2);
  const red = (found) => found.filter((b) => b.flag).length;
  return html`<div class="evidence">
    <section aria-label="Suggestions" data-testid="suggestions"><${Suggestions} found=${data.suggestions} options=${options} /></section>
    ${picked.map((option) => html`<${Picked} key=${option.id} option=${option} />`)}
    <div class="tools" role="group" aria-label="Evidence shown as">${SHOWN_AS.map((name) => html`<button class="button" key=${name}
      aria-pressed=${name === as} onClick=${() => setAs(name)}>${name}</button>`)}
      <span class="muted">${data.objectives.length > 1 ? "fitness: rank of the front" : `fitness: rank by ${data.objectives[0]}`}</span></div>
    ${as === "Scatter" ? html`<${Scatter} options=${options} total=${data.evaluated} />` : html`<${Ranked} options=${options} />`}
    <${Fold} title=${`Bias: ${red(bias)} of ${bias.length} groups proposed above 3×`}>${() => html`
      <p class="muted">How often each option was proposed, where even strips are even draws; largest over smallest on the right.</p>
      <${Bias} found=${bias} what="proposed" />
      ${training.length > 0 && html`<p class="muted">Gradient updates in the supernet:</p><${Bias} found=${training} what="trained" />`}`}<//>
    <${Fold} title=${`Coverage: ${share(coverage)}`}>${() => html`<p>${coverage.evaluated.toLocaleString("en")} different
      architectures of ${coverage.exact ? "exactly" : "an estimated"} ${short(coverage.allowed)} allowed have been evaluated; of
      ${` ${coverage.pairs.toLocaleString("en")} pairs of options ${coverage.unseen_pairs.toLocaleString("en")} have never been seen together.`}</p>`}<//>
    <${Fold} title="Pairs: do options interact?">${() => html`<${Pairs} />`}<//>
  </div>`;
}
