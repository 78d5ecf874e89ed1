// V7: how far the search's scores can be trusted, judged by architectures trained alone.

import { html } from "/static/vendor/preact.js";
import { send } from "/static/commands.js";
import { Empty, useResource, useSize } from "/static/panes.js";
import { select, selectedCandidates, trust } from "/static/store.js";
import { Candidate } from "/static/views/evidence.js";
import { Act } from "/static/widgets.js";

const HEIGHT = 196;
const MARGIN = { left: 40, right: 12, top: 8, bottom: 32 };
const VERDICT = { good: "good", rough: "rough", "no evidence of ranking": "no evidence", "worse than chance": "worse than chance" };

function Scatter({ anchors, who, unit }) {
  const [ref, { width }] = useSize();
  const alone = anchors.flatMap(({ alone, seeds }) => [alone, ...Object.values(seeds)]);
  const [least, most] = [Math.min(...alone), Math.max(...alone)];
  const room = Math.max(1, most - least) * 0.1;
  const x = (s) => MARGIN.left + s * (width - MARGIN.left - MARGIN.right);
  const y = (a) => HEIGHT - MARGIN.bottom - ((a - least + room) / (most - least + 2 * room)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const dot = ({ id, standing, supernet, alone: value, seeds }) => {
    const all = Object.values(seeds);
    const words = `#${id}: ${(100 * standing).toFixed(0)} % in the search (${supernet?.toFixed(2)}), ${value.toFixed(2)} ${unit} alone`;
    return html`<g key=${id} class=${selectedCandidates.value.has(id) ? "dot dot-picked" : "dot"} onClick=${() => select({ candidates: [id] })}>
      <title>${words}</title>
      ${all.length > 1 && html`<path d=${`M${x(standing)} ${y(Math.min(...all))}V${y(Math.max(...all))}`} />`}
      <circle class="dot-target" cx=${x(standing)} cy=${y(value)} r="10" /><circle cx=${x(standing)} cy=${y(value)} r="4.5" /></g>`;
  };
  return html`<div ref=${ref} class="plot">${width > 0 && html`<svg width=${width} height=${HEIGHT} role="img"
    aria-label="Standing in the search against accuracy when trained alone, one point an anchor; the table below lists them.">
    <g class="grid">${[least, most].map((a) => html`<g key=${a}><path d=${`M${MARGIN.left} ${y(a)}H${width - MARGIN.right}`} />
      <text x=${MARGIN.left - 4} y=${y(a) + 4} text-anchor="end">${a.toFixed(1)}</text></g>`)}
      ${[0, 0.5, 1].map((s) => html`<path key=${s} d=${`M${x(s)} ${MARGIN.top}V${HEIGHT - MARGIN.bottom}`} />`)}</g>
    <text class="axis" x=${MARGIN.left} y=${HEIGHT - 8}>worst in ${who}</text>
    <text class="axis" x=${width - MARGIN.right} y=${HEIGHT - 8} text-anchor="end">best</text>
    ${anchors.map(dot)}</svg>`}</div>`;
}

const figure = ({ value, low, high }, digits = 2) =>
  value === null ? "unknown" : `${value.toFixed(digits)} (${low.toFixed(digits)} to ${high.toFixed(digits)})`;

function Figures({ data }) {
  const { tau: value, low, high, rho, top_k: hit, regret, ceiling } = data;
  const rows = [
    ["Kendall's τ", figure({ value, low, high })],
    ["noise ceiling of τ", ceiling.value === null ? "needs four anchors trained twice" : figure(ceiling)],
    ["Spearman's ρ", figure(rho)],
    [`best ${hit.k} found`, figure(hit)],
    ["regret, points", figure(regret)],
  ];
  return html`<dl class="figures">${rows.map(([name, text]) => html`<div key=${name}><dt>${name}</dt><dd class="num">${text}</dd></div>`)}</dl>
    <p class="muted">Intervals are 90 %, over anchors.</p>`;
}

export function View() {
  const { data, error } = useResource(trust);
  if (!data) return html`<${Empty} title=${error ? "Trust could not be had" : "Loading"}>${error}<//>`;
  const { anchors, next, under_way: line, why_not: why } = data;
  const off = why ?? (next ? null : line.length ? "Wait for the trainings under way." : "There is nothing to train yet.");
  const train = () => send("train_alone", { arch: next.arch, seed: next.seed });
  return html`<div class="trust" data-testid="trust">
    <p class="trust-sentence">${VERDICT[data.verdict] && html`<span class="chip">${VERDICT[data.verdict]}</span>`} ${data.sentence}</p>
    <div class="suggestion-acts"><${Act} label="Train next anchor" text="Train next anchor" main onClick=${train} off=${off}
      title=${next && `Train #${next.id} alone (${next.why}), seed ${next.seed}`} />
      ${next && html`<span class="muted">next: <${Candidate} id=${next.id} /> (${next.why})</span>`}
      ${why && html`<span class="muted">Not possible: ${why}.</span>`}</div>
    ${line.length > 0 && html`<ul class="line" aria-label="Trainings under way">${line.map(({ command, arch, id, seed }, i) => html`<li key=${command}>
      <span title=${arch}>${id === null ? arch : html`<${Candidate} id=${id} />`}${i ? " waits" : " is being trained"}, seed ${seed}</span>
      <${Act} label="Cancel this training" text="Cancel" onClick=${() => send("cancel", { command })} /></li>`)}</ul>`}
    ${anchors.length > 0 && html`<${Scatter} anchors=${anchors} who=${data.who} unit=${data.unit} />
      ${anchors.length > 1 && html`<${Figures} data=${data} />`}
      <table class="table"><thead><tr><th>Anchor</th><th class="num">In the search</th><th class="num">Alone</th></tr></thead>
        <tbody>${anchors.map((a) => html`<tr key=${a.id}><td><${Candidate} id=${a.id} /></td>
          <td class="num">${a.supernet?.toFixed(2) ?? "–"} (${(100 * a.standing).toFixed(0)} %)</td>
          <td class="num">${Object.values(a.seeds).map((v) => v.toFixed(2)).join(", ")}</td></tr>`)}</tbody></table>`}
  </div>`;
}
