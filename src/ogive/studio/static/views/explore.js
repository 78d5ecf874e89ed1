// The slider between exploit and explore, and what guided search would draw at its place, before that is applied.

import { html, useState } from "/static/vendor/preact.js";
import { send } from "/static/commands.js";
import { useResource } from "/static/panes.js";
import { drawing, evidence, readOnly, run } from "/static/store.js";
import { Act } from "/static/widgets.js";

// As `slider` of the guided strategy has it: both move evenly on a logarithmic scale.
const temperature = (position) => 0.02 * 50 ** position;
const uniform = (position) => 0.02 * 25 ** position;
const position = (T) => Math.min(1, Math.max(0, Math.log(T / 0.02) / Math.log(50)));

const BONUS = 0.25;

/**
 * Return the chance of each option in a guided walk as [[group, [[option, chance], ...]], ...]: a softmax of score / T
 * with score = fitness + c sqrt(ln(1 + N) / (1 + n)) + nudge / 2. Exact where a group has one option at a time.
 */
function distribution({ options, coverage }, template, { statuses, nudges, sampler }, T) {
  const known = new Map(options.map((option) => [option.id, option]));
  const c = Number(/\bc=([\d.]+)/.exec(sampler.strategy)?.[1] ?? BONUS);
  return template.groups.map((group) => {
    const locked = group.options.filter((id) => statuses[id] === "locked");
    const open = locked.length ? locked : group.options.filter((id) => statuses[id] !== "excluded");
    const scores = open.map((id) => {
      const { fitness = 0.5, n = 0 } = known.get(id) ?? {};
      return (fitness ?? 0.5) + c * Math.sqrt(Math.log1p(coverage.evaluated) / (1 + n)) + (nudges[id] ?? 0) / 2;
    });
    const most = Math.max(...scores);
    const odds = scores.map((score) => Math.exp((score - most) / T));
    const total = odds.reduce((a, b) => a + b, 0);
    return [group.label, open.map((id, i) => [id.split("/").at(-1), odds[i] / total])];
  });
}

function Preview({ at, close }) {
  const { data } = useResource(evidence);
  const groups = data && drawing.value ? distribution(data, drawing.value.template, run.value, temperature(at)) : [];
  const apply = () => send("set_sampler", { explore: at }).then(close);
  return html`<div class="drop-panel preview" role="group" aria-label="What would be drawn">
    <p class="muted">T ${temperature(at).toFixed(2)}, ${Math.round(100 * uniform(at))} % drawn uniformly.
      ${groups.length > 0 && " Chance of each option in the other draws:"}</p>
    <div class="preview-groups">${groups.map(([name, options]) => html`<section key=${name}><h3>${name}</h3>
      ${options.map(([id, chance]) => html`<div class="preview-row" key=${id}><span>${id}</span>
        <span class="bar"><span style=${{ width: `${100 * chance}%` }}></span></span>
        <span class="num">${(100 * chance).toFixed(0)} %</span></div>`)}</section>`)}</div>
    <footer>
      <button class="button" onClick=${close}>Keep as it is</button>
      <${Act} label="Apply" text="Apply" main onClick=${apply} />
    </footer>
  </div>`;
}

export function Explore() {
  const [wanted, setWanted] = useState(null);
  const T = run.value?.sampler.T ?? null;
  if (T === null) return null;
  const close = () => setWanted(null);
  const onKeyDown = (event) => {
    if (wanted === null || !["Escape", "Enter"].includes(event.key) || event.target.tagName === "BUTTON") return;
    event.stopPropagation();
    if (event.key === "Enter") send("set_sampler", { explore: wanted }).then(close);
    else close();
  };
  return html`<div class="drop explore" onKeyDown=${onKeyDown}>
    <label title=${readOnly.value ?? "How much of the search looks for what is new (guided search)"}>
      <span class="wide">exploit</span>
      <input type="range" min="0" max="1" step="0.05" aria-label="Explore" data-testid="explore"
        aria-valuetext=${`T ${temperature(wanted ?? position(T)).toFixed(2)}`} disabled=${Boolean(readOnly.value)}
        value=${wanted ?? position(T)} onInput=${(event) => setWanted(event.target.valueAsNumber)} />
      <span>explore</span>
    </label>
    ${wanted !== null && html`<${Preview} at=${wanted} close=${close} />`}
  </div>`;
}
