// V6: up to four candidates side by side, and what can be done with one of them.

import { html, useEffect, useState } from "/static/vendor/preact.js";
import { address, get } from "/static/api.js";
import { say, send } from "/static/commands.js";
import { Empty } from "/static/panes.js";
import { candidates, drawing, focused, objectives, onEvent, run, select, selection } from "/static/store.js";
import { Candidate, nameOf, signed } from "/static/views/evidence.js";
import { Act, duration, short } from "/static/widgets.js";

const MOST = 4;
const NUDGE = 0.5;
const FORMATS = { py: "PyTorch source", json: "JSON", safetensors: "weights (safetensors)", onnx: "ONNX" };
const TOLD = ["command.", "trust.", "template.rev"];

/** Return {data, error} of an answer about one candidate; asked for again when something may have changed it. */
function useAnswer(path, kinds = TOLD) {
  const [found, setFound] = useState({});
  const [asked, setAsked] = useState(0);
  useEffect(() => onEvent(({ kind }) => kinds.some((k) => kind.startsWith(k)) && setAsked((n) => n + 1)), []);
  useEffect(() => {
    let wanted = true;
    const take = (answer) => wanted && setFound({ path, ...answer });
    get(path).then((data) => take({ data }), (error) => take({ error: error.message }));
    return () => (wanted = false);
  }, [path, asked]);
  return found.path === path ? found : {};
}

/** What candidates have of each group: [[group, [part ids of the first, of the second, ...]], ...]. */
function choices(ids) {
  const { groups, edges } = drawing.value.template;
  const used = ids.map((id) => new Set(candidates().partsOf(id)));
  const switches = edges.filter((e) => e.optional).map((e) => ({ id: e.id, label: `${e.source} → ${e.target}`, options: [e.id] }));
  return [...groups, ...switches].map((g) => [g, used.map((parts) => g.options.filter((o) => parts.has(o)))]);
}

const differs = (sets) => sets.some((set) => set.join() !== sets[0].join());

/** The drawing in small, with what the candidate uses; what the others do not share is marked. */
function Mini({ id, table, at }) {
  const { layout, template } = drawing.value;
  const odd = new Set(table.filter(([, sets]) => differs(sets)).flatMap(([, sets]) => sets[at]));
  const used = new Set(candidates().partsOf(id));
  const grouped = new Set(template.groups.flatMap((g) => g.options));
  const kind = (node) => (odd.has(node) ? "mini-odd" : used.has(node) || !grouped.has(node) ? "mini-used" : "mini-free");
  return html`<svg class="mini" viewBox=${`0 0 ${layout.width} ${layout.height}`}
    preserveAspectRatio="none" role="img" aria-label=${`Blocks of candidate ${id}`}>
    ${Object.entries(layout.edges).map(([edge, points]) => html`<path key=${edge} class="mini-edge" d=${`M${points.map((p) => p.join(" ")).join("L")}`} />`)}
    ${Object.entries(layout.nodes).map(([node, { x, y, w, h }]) => html`<rect key=${node} class=${kind(node)} x=${x} y=${y} width=${w} height=${h} rx="8"><title>${node}</title></rect>`)}
  </svg>`;
}

const origin = ({ origin: how, parent, probability }) => {
  const chance = probability > 0 ? `, probability ${probability.toPrecision(2)}` : "";
  return [how ?? "unknown", parent && ` of ${parent}`, chance].filter(Boolean).join("");
};

/** Whatever the server knows of one candidate, in the order of the rows of the table. */
function useFacts(id) {
  const { data, error } = useAnswer(`candidate/${id}`);
  const { data: counted } = useAnswer(`candidate/${id}/costs`, ["template.rev"]);
  return { data, error, costs: counted?.costs ?? {} };
}

function Column({ id, children }) {
  return children(useFacts(id));
}

/** Calls `children` with the facts of all candidates: a component for each, so that each has its own state. */
function Facts({ ids, children, known = [] }) {
  if (!ids.length) return children(known);
  const [id, ...rest] = ids;
  return html`<${Column} key=${id} id=${id}>${(facts) => html`<${Facts} ids=${rest} known=${[...known, { id, ...facts }]}>${children}<//>`}<//>`;
}

function Row({ name, values, numbers, marked }) {
  if (values.every((v) => v === null || v === undefined || v === "")) return null;
  return html`<tr class=${marked ? "differs" : ""}><th scope="row">${marked && html`<span class="unseen">differs: </span>`}${name}</th>
    ${values.map((v, i) => html`<td key=${i} class=${numbers ? "num" : ""}>${v ?? "–"}</td>`)}</tr>`;
}

function Compared({ ids, facts, table }) {
  const told = (get) => facts.map((f) => f.data && get(f.data));
  const objectiveNames = objectives.value.map((o) => o.name);
  const metrics = [...new Set([...objectiveNames, ...facts.flatMap((f) => Object.keys(f.data?.metrics ?? {}))])];
  const alone = (found) => found.alone.filter((a) => "accuracy" in a).map((a) => `${a.accuracy.toFixed(2)} (seed ${a.seed})`).join(", ");
  return html`<div class="compare"><table class="table">
    <thead><tr><th><span class="unseen">Property</span></th>${ids.map((id) => html`<th key=${id} scope="col" class=${id === focused.value ? "focused" : ""}>
      <${Candidate} id=${id} />${ids.length > 1 && html`<button class="button-plain drop-column" aria-label=${`Leave out ${id}`}
        onClick=${() => select({ candidates: selection.value.candidates.filter((c) => c !== id) })}>×</button>`}</th>`)}</tr></thead>
    <tbody>
      <tr><th scope="row">blocks</th>${ids.map((id, at) => html`<td key=${id}><${Mini} id=${id} table=${table} at=${at} /></td>`)}</tr>
      ${metrics.map((name) => html`<${Row} key=${name} numbers name=${name} values=${told((f) => short(f.metrics[name]))} />`)}
      <${Row} numbers name="trained alone, %" values=${told(alone)} />
      ${["params", "macs"].filter((n) => !metrics.includes(n)).map((name) => html`<${Row} key=${name} numbers name=${name}
        values=${facts.map((f) => (name in f.costs ? short(f.costs[name]) : null))} />`)}
      ${table.map(([group, sets]) => html`<${Row} key=${`g-${group.id}`} name=${group.label} marked=${differs(sets)}
        values=${sets.map((set) => set.map((o) => (o === group.id ? "on" : nameOf(o, group.id))).join(" + ") || "–")} />`)}
      <${Row} name="came from" values=${told(origin)} />
      <${Row} name="measured in" values=${told((f) => (f.seconds ? duration(f.seconds) : null))} />
      <${Row} name="status" values=${told((f) => (f.reason ? `${f.status}: ${f.reason}` : f.feasible || f.status !== "done" ? f.status : "done, breaks a constraint"))} />
      <${Row} numbers name="revision" values=${told((f) => f.rev)} />
      <${Row} name="tags" values=${told((f) => [...(f.pinned ? ["pinned"] : []), ...f.tags].join(", "))} />
      <${Row} name="comments" values=${told((f) => f.comments.join("; "))} />
    </tbody></table></div>`;
}

/** What each swap of one option would change, the best first. */
function Swaps({ id }) {
  const { data, error } = useAnswer(`candidate/${id}/neighbours`, []);
  if (!data) return html`<p class="muted">${error ?? "Scoring the neighbours…"}</p>`;
  const metric = objectives.value[0];
  const sign = metric.direction === "max" ? 1 : -1;
  const known = data.deltas.filter((d) => d.metric === metric.name && d.delta !== null).sort((a, b) => sign * (b.delta - a.delta));
  const digits = known.some((d) => Math.abs(d.delta) >= 1) ? 2 : 4;
  const count = data.deltas.filter((d) => d.metric === metric.name).length;
  if (!known.length) return html`<p class="muted">None of its ${count} neighbours has been measured, and there is no supernet to ask.</p>`;
  return html`<p class="muted">${metric.name}: ${known.length} of ${count} neighbours known${known.length < count ? "; the others have not been measured" : ""}.</p>
    <table class="table"><thead><tr><th>Swap</th><th class="num">Change</th><th>From</th></tr></thead>
    <tbody>${known.map((d) => html`<tr key=${d.group + d.option}><td>${d.group}: ${nameOf(d.option, d.group)}</td>
      <td class=${`num ${sign * d.delta > 0 ? "better" : ""}`}>${signed(d.delta, digits)}</td><td class="muted">${d.known}</td></tr>`)}</tbody></table>`;
}

/** Send one command for all options of a drawing, else one for each choice: there a command is about one choice. */
async function sendAll(op, byGroup, more, note) {
  if (run.value.run.kind === "template") return send(op, { node: byGroup.flat(), ...more }, note);
  for (const node of byGroup) if (node.length) await send(op, { node, ...more }, note);
  return null;
}

function More({ id, close }) {
  const wanted = choices([id]).map(([, [set]]) => set.filter((o) => (run.value.nudges[o] ?? 0) < NUDGE));
  const apply = () => sendAll("nudge", wanted.filter((s) => s.length), { h: NUDGE }, `more like ${id}`).then(close);
  const none = wanted.flat().length ? null : "Its options are preferred already.";
  return html`<p>Prefers each of its options by +${NUDGE}: ${wanted.flat().join(", ") || "no change"}. The search still draws others.</p>
    <${Act} main label="Prefer these options" text="Prefer these options" off=${none} onClick=${apply} />`;
}

function Narrow({ ids, close }) {
  const rows = choices(ids).map(([g, sets]) => [g, new Set(sets.flat())]);
  const drop = rows.map(([g, used]) => g.options.filter((o) => !used.has(o) && run.value.statuses[o] !== "excluded"));
  const left = rows.reduce((n, [g, used]) => n * Math.max(1, g.options.length > 1 ? used.size : used.size * 2), 1);
  const whose = ids.length > 1 ? `any of ${ids.map((i) => `#${i}`).join(", ")}` : `#${ids[0]}`;
  const apply = () => sendAll("exclude", drop.filter((s) => s.length), {}, `only what ${whose} uses`).then(close);
  return html`<p>Keeps only what ${whose} uses and excludes ${drop.flat().length} options: ${drop.flat().join(", ") || "none"}.
      About ${short(left)} candidates remain; undo or free brings the others back, with their weights.</p>
    <${Act} main label="Exclude the others" text="Exclude the others" off=${drop.flat().length ? null : "Nothing to exclude."} onClick=${apply} />`;
}

function Export({ id }) {
  const fetched = async (event, format) => {
    event.preventDefault();
    const answer = await fetch(address(`export/${id}?format=${format}`)).catch(() => null);
    if (!answer?.ok) return setProblem((await answer?.json().catch(() => null))?.error ?? "The server did not answer.");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = /filename="(.+)"/.exec(answer.headers.get("Content-Disposition"))?.[1] ?? `candidate-${id}.${format}`;
    link.click();
    URL.revokeObjectURL(link.href);
    setProblem(null);
    return say(`exported ${link.download}`);
  };
  const [problem, setProblem] = useState(null);
  return html`<ul class="exports">${Object.entries(FORMATS).map(([format, name]) => html`<li key=${format}><a download
      href=${address(`export/${id}?format=${format}`)} onClick=${(event) => fetched(event, format)}>${name}</a></li>`)}</ul>
    ${problem && html`<p role="alert" class="refusal-text">${problem}</p>`}`;
}

function Actions({ id, ids, fact }) {
  const [open, setOpen] = useState(null);
  useEffect(() => setOpen(null), [id]);
  const close = () => setOpen(null);
  const arch = fact?.arch;
  const wait = arch ? null : "Wait until it is loaded.";
  const panel = (name, text) => html`<button class="button" aria-expanded=${open === name} onClick=${() => setOpen(open === name ? null : name)}>${text}</button>`;
  const tries = (fact?.alone ?? []).filter((a) => "accuracy" in a).map((a) => a.seed + 1);
  const seed = tries.length ? { seed: Math.max(...tries) } : {};
  return html`<div class="tools" role="group" aria-label=${`Actions on candidate ${id}`}>
      <${Act} label="Evaluate again" text="Evaluate again" off=${wait} onClick=${() => send("evaluate", { archs: [arch] })} />
      <${Act} label="Train alone" text="Train alone" off=${wait} title="Train it from scratch beside the search, as an anchor"
        onClick=${() => send("train_alone", { arch, ...seed })} />
      <${Act} label=${fact?.pinned ? "Unpin" : "Pin"} text=${fact?.pinned ? "Unpin" : "Pin"} off=${wait}
        onClick=${() => send("pin", { target: `${id}`, on: !fact.pinned })} />
      ${panel("swaps", "Swaps")}${panel("more", "More like this")}${panel("template", `Template from ${ids.length > 1 ? "these" : "this"}`)}${panel("export", "Export")}
    </div>
    ${open && html`<div class="panel">${{
      swaps: () => html`<${Swaps} id=${id} />`,
      more: () => html`<${More} id=${id} close=${close} />`,
      template: () => html`<${Narrow} ids=${ids} close=${close} />`,
      export: () => html`<${Export} id=${id} />`,
    }[open]()}</div>`}`;
}

export function View() {
  const chosen = selection.value.candidates.filter((id) => candidates().rowOf.has(id));
  if (!drawing.value || !run.value) return html`<div data-testid="detail" class="detail"><${Empty} title="Loading" /></div>`;
  if (!chosen.length) {
    const best = run.value.best;
    return html`<div data-testid="detail" class="detail" data-ids=""><${Empty} title="No candidate is selected">
      Pick one on the map or in the table; up to four stand side by side.
      ${best && html` <button class="button" onClick=${() => select({ candidates: [best.id] })}>Show the best</button>`}<//></div>`;
  }
  const ids = chosen.slice(-MOST);
  const table = choices(ids);
  return html`<div data-testid="detail" class="detail" data-ids=${ids.join(" ")}>
    <${Facts} ids=${ids}>${(facts) => html`
      <${Actions} id=${ids.at(-1)} ids=${ids} fact=${facts.at(-1).data} />
      ${chosen.length > MOST && html`<p class="muted pad">The last ${MOST} of ${chosen.length} that are selected.</p>`}
      ${facts.map((f) => f.error && html`<p class="refusal-text pad" key=${f.id}>#${f.id}: ${f.error}</p>`)}
      <${Compared} ids=${ids} facts=${facts} table=${table} />`}<//>
  </div>`;
}
