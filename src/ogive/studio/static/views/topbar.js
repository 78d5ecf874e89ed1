// V9: the run's name and state, the buttons that start and stop it, how much it explores, its budget, the connection.

import { computed, effect, html, signal, useRef } from "/static/vendor/preact.js";
import { choice } from "/static/colours.js";
import { pending, send } from "/static/commands.js";
import { shortcuts } from "/static/keys.js";
import { connection, open, run, runs } from "/static/store.js";
import { Explore } from "/static/views/explore.js";
import { Act, Ask, Icon, duration } from "/static/widgets.js";

const RUNNING = new Set(["warming", "searching", "training", "pausing"]);
const ON_THE_WAY = { pause: "pausing", step: "searching", stop: "stopping", resume: "resuming" };
const ICONS = { paused: "pause", stopped: "stop", done: "done", failed: "failed" };
const THEMES = ["auto", "light", "dark"];

// What was asked for last and has not come about: shown at once, until the run changes its state.
const asked = signal(null);
const phase = computed(() => {
  const state = run.value?.state ?? "loading";
  return asked.value && asked.value.from === state ? ON_THE_WAY[asked.value.op] : state;
});
const running = computed(() => RUNNING.has(run.value?.state));
effect(() => {
  if (asked.value && run.value && run.value.state !== asked.value.from) asked.value = null;
});

async function control(op, args) {
  const mine = { op, from: run.value?.state };
  asked.value = mine;
  const { status } = await send(op, args);
  if (status === "rejected" && asked.value === mine) asked.value = null;
}

/** Pause a run that is going on, else go on. */
export function toggle() {
  control(running.value ? "pause" : "resume");
}

const helping = signal(false);

/** List the shortcuts. */
export function help() {
  helping.value = true;
}

function Help() {
  const shown = useRef(null);
  const show = (dialog) => {
    if (dialog && dialog !== shown.current) dialog.showModal();
    shown.current = dialog;
  };
  if (!helping.value) return null;
  const places = [...new Set(shortcuts.value.map((s) => s.place))];
  return html`<dialog class="dialog" ref=${show} aria-label="Shortcuts" onClose=${() => (helping.value = false)}>
    <div class="dialog-head"><h2>Shortcuts</h2>
      <form method="dialog"><button class="button-plain" aria-label="Close">×</button></form></div>
    <div class="shortcuts">
      ${places.map((place) => html`<section><h3>${place}</h3><dl>
        ${shortcuts.value.filter((s) => s.place === place).map(({ keys, does }) =>
          html`<div><dt>${keys.split("+").map((key) => html`<kbd>${key}</kbd>`)}</dt><dd>${does}</dd></div>`)}
      </dl></section>`)}
    </div>
  </dialog>`;
}

function Name() {
  const { name, space, task } = run.value?.run ?? { name: "…", space: "", task: "" };
  const of = space.startsWith("template:") ? "drawn template" : space;
  const picker = html`<select class="run-picker" aria-label="Run" value=${name}
    onChange=${(event) => open(event.target.value)}>
    ${runs.value.map((r) => html`<option value=${r.name}>${r.name}</option>`)}
  </select>`;
  return html`<div class="name">
    <h1>${runs.value.length > 1 ? picker : name}</h1>
    <span class="muted name-of wide" title=${space}>${[of, task].filter(Boolean).join(" · ")}</span>
  </div>`;
}

function Controls() {
  const state = phase.value;
  const over = { done: "The run is done: raise its budget to go on." }[state];
  const idle = running.value ? null : "Nothing is running.";
  return html`
    <span class=${`chip state state-${state}`} data-testid="run-state">
      <${Icon} name=${ICONS[state] ?? (running.value ? "play" : "wait")} />${state}
    </span>
    <div class="buttons">
      ${running.value
        ? html`<${Act} label="Pause" icon="pause" text="Pause" title="Pause between two candidates (p)"
            onClick=${toggle} />`
        : html`<${Act} label="Resume" icon="play" text="Resume" title="Go on (p)" off=${over} onClick=${toggle} />`}
      <${Act} label="Step" icon="step" title="Measure one more candidate, then pause (.)" off=${over}
        onClick=${() => control("step", { n: 1 })} />
      <${Act} label="Stop" icon="stop" title="End the run; it can be gone on with later"
        off=${idle && state !== "paused" ? idle : null} onClick=${() => control("stop")} />
    </div>`;
}

function Budget() {
  const { trials, done, seconds } = run.value?.budget ?? { trials: 0, done: 0, seconds: 0 };
  const left = Math.max(0, trials - done);
  const eta = running.value && done && left ? `${duration((seconds / done) * left)} left` : duration(seconds);
  const face = html`<span class="meter" role="progressbar" aria-label="Budget" aria-valuemin="0" aria-valuemax=${trials}
      aria-valuenow=${done}><span style=${{ width: `${trials ? (100 * Math.min(done, trials)) / trials : 0}%` }}></span>
    </span><span class="meter-text"><span class="num">${done.toLocaleString("en")} / ${trials.toLocaleString("en")}</span>
    <span class="muted wide"> ${eta}</span></span>`;
  return html`<${Ask} label="Set how many candidates the run ends with" face=${face} testid="budget" text="End with"
    verb="Set" type="number" min="1" max="10000000" value=${trials}
    apply=${(wanted) => send("set_budget", { trials: Number(wanted) })} />`;
}

function Connection() {
  const live = connection.value === "live";
  const text = live && run.value?.read_only ? "read-only" : connection.value;
  const title = {
    live: "Every change is shown as it happens.",
    "read-only": "Changes are shown as they happen; nothing can be steered.",
    reconnecting: "The server does not answer; trying again.",
  }[text];
  return html`<span class=${`chip link link-${text}`} data-testid="connection" title=${title}>${text}</span>`;
}

export function View() {
  const next = () => (choice.value = THEMES[(THEMES.indexOf(choice.value) + 1) % THEMES.length]);
  return html`<header class="topbar">
    <img class="logo" src="/static/icon.svg" alt="" width="24" height="24" />
    <${Name} />
    <${Controls} />
    <${Explore} />
    <${Budget} />
    <span class="spring"></span>
    ${pending.value.length > 0 && html`<span class="chip" title=${pending.value.map((c) => c.op).join(", ")}>
      ${pending.value.length} on the way</span>`}
    <${Connection} />
    <button class="button-plain" aria-label=${`Theme: ${choice.value}`} title=${`Theme: ${choice.value}`}
      onClick=${next}><${Icon} name=${choice.value} /></button>
    <button class="button-plain" aria-label="Shortcuts" title="Shortcuts (?)" onClick=${help}>?</button>
    <${Help} />
  </header>`;
}
