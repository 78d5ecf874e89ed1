// V8: who decided what, newest first: revisions as a tree, commands that made none, and what the engine did.

import { html, useState } from "/static/vendor/preact.js";
import { makesRevision, redo, send, title, undo } from "/static/commands.js";
import { Empty, useResource } from "/static/panes.js";
import { drawing, history, marks, run, select, series } from "/static/store.js";
import { Act, Ask } from "/static/widgets.js";

const SHOWN = 200;
const TIME = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

/** Return everything that happened as [{key, ts, kind, ...}], newest first. */
function entries({ revisions, commands }, events, onlyPeople) {
  const plain = commands.filter((c) => c.status !== "applied" || !makesRevision(c.op));
  const all = [
    ...revisions.map((r) => ({ ...r, key: `r${r.rev}`, kind: "revision" })),
    ...plain.map((c) => ({ ...c, key: c.id, kind: "command" })),
    ...events.filter((m) => !m.person).map((m) => ({ ...m, key: `m${m.t}${m.text}`, ts: m.t, kind: "mark" })),
  ];
  const kept = onlyPeople ? all.filter((e) => e.kind !== "mark" && e.actor !== "engine") : all;
  return kept.sort((a, b) => (b.ts ?? 0) - (a.ts ?? 0) || (b.rev ?? 0) - (a.rev ?? 0));
}

/** Return the ids of nodes and groups that a change was about. */
function about(args, { nodes, groups }) {
  const ids = new Set([...nodes, ...groups].map((part) => part.id));
  const words = Object.values(args ?? {}).flat().filter((word) => typeof word === "string");
  const within = [].concat(args?.option ?? []).map((option) => `${args.choice}/${option}`);
  const ends = words.flatMap((word) => (ids.has(word) ? [word] : word.split("->")));
  return [...new Set([...ends, ...within])].filter((id) => ids.has(id));
}

const box = ({ x, y, w, h }) => `M${x} ${y}h${w}v${h}h${-w}z`;

/** The drawing in small, with what changed in colour. */
function Thumbnail({ layout, changed }) {
  const { nodes, groups, width, height } = layout;
  const marked = changed.map((id) => nodes[id] ?? groups[id]).filter(Boolean);
  return html`<svg class="thumbnail" viewBox=${`0 0 ${width} ${height}`} aria-hidden="true">
    <path d=${Object.values(nodes).map(box).join("")} />
    <path class="changed" d=${marked.map(box).join("")} />
  </svg>`;
}

function Entry({ entry, present }) {
  const { kind, ts, rev, actor, note, effect, undone, status, reason } = entry;
  const changed = kind === "revision" ? about(entry.args, drawing.value.template) : [];
  const text = entry.text ?? title(entry);
  const here = kind === "revision" && rev === present;
  const name = kind === "revision" ? `Revision ${rev}${undone ? ", undone" : ""}${here ? ", present" : ""}` : null;
  return html`<li class=${`entry entry-${kind} ${undone ? "entry-undone" : ""} ${here ? "entry-here" : ""}`}
      aria-current=${here ? "step" : null}>
    <span class="entry-dot" title=${name}></span>
    <div class="entry-main">
      <p><span class="entry-text">${text}</span>
        ${kind === "revision" && html`<span class="muted"> · revision ${rev}${entry.branch ? ` on ${entry.branch}` : ""}</span>`}
        ${undone && html`<span class="muted"> · undone</span>`}
        ${kind === "command" && html`<span class=${status === "rejected" ? "entry-bad" : "muted"}> · ${status}</span>`}</p>
      ${effect && html`<p class="muted">${effect}</p>`}
      ${reason && html`<p class="muted">${reason}</p>`}
      ${note && html`<p class="entry-note">“${note}”</p>`}
      <p class="muted">${kind === "mark" ? "engine" : actor}${ts ? html`, <time>${TIME.format(ts * 1000)}</time>` : null}</p>
    </div>
    ${changed.length > 0 && html`<button class="entry-thumbnail" title="Select what changed"
      aria-label=${`Select ${changed.join(", ")}`} onClick=${() => select({ nodes: changed })}>
      <${Thumbnail} layout=${drawing.value.layout} changed=${changed} /></button>`}
    ${kind === "revision" && !here && html`<${Act} label=${`Go to revision ${rev}`} text="Go to"
      onClick=${() => send("goto", { to: rev })} />`}
  </li>`;
}

export function View() {
  const { data, error } = useResource(history);
  useResource(series);
  const [onlyPeople, setOnlyPeople] = useState(false);
  const [shown, setShown] = useState(SHOWN);
  if (!data || !drawing.value) {
    return html`<div class="history" data-testid="history">
      <${Empty} title=${error ? "The history could not be read" : "Reading the history…"}>${error}<//></div>`;
  }
  const all = entries(data, marks.value, onlyPeople);
  const standing = data.revisions.filter((r) => !r.undone).length;
  return html`<div class="history" data-testid="history">
    <div class="tools">
      <${Act} label="Undo" icon="undo" text="Undo" title="Undo the last change (Ctrl+Z)"
        off=${standing > 1 ? null : "There is nothing to undo."} onClick=${undo} />
      <${Act} label="Redo" icon="redo" text="Redo" title="Redo what was undone (Ctrl+Shift+Z)" onClick=${redo} />
      <${Ask} label="Name a branch from here on" face="Branch" text="Name" verb="Begin" maxlength="60"
        apply=${(name) => send("branch", { name })} />
      <span class="spring"></span>
      <label class="check"><input type="checkbox" checked=${onlyPeople}
        onChange=${(event) => setOnlyPeople(event.target.checked)} /> Only people</label>
    </div>
    ${all.length === 0
      ? html`<${Empty} title="Nothing has been decided yet">What you lock, exclude, nudge or draw is listed here, and can
          be undone.<//>`
      : html`<ol class="entries" tabindex="0" aria-label="History, newest first">
          ${all.slice(0, shown).map((entry) => html`<${Entry} key=${entry.key} entry=${entry} present=${run.value.rev} />`)}
        </ol>`}
    ${all.length > shown && html`<button class="button" onClick=${() => setShown(shown + SHOWN)}>Show older</button>`}
  </div>`;
}
