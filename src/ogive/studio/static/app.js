// The page: which view stands where, banners and notes above them, and what every key does.

import { html, render, useEffect } from "/static/vendor/preact.js";
import { address } from "/static/api.js";
import { dismiss, notices, redo, send, spoken, undo } from "/static/commands.js";
import { bind } from "/static/keys.js";
import { Pane, Splitter } from "/static/panes.js";
import { connection, run, select, start, trouble } from "/static/store.js";
import { View as Canvas } from "/static/views/canvas.js";
import { View as Detail } from "/static/views/detail.js";
import { View as Evidence } from "/static/views/evidence.js";
import { View as History } from "/static/views/history.js";
import { View as Map } from "/static/views/map.js";
import { View as Palette } from "/static/views/palette.js";
import { View as Table } from "/static/views/table.js";
import { View as Timeline } from "/static/views/timeline.js";
import { View as TopBar, help, toggle } from "/static/views/topbar.js";
import { View as Trust } from "/static/views/trust.js";

const LOG_EVENTS = 500;

function Banner() {
  const { error, seq } = run.value ?? {};
  const log = error && address(`events?after=${Math.max(0, seq - LOG_EVENTS)}&limit=${LOG_EVENTS}`);
  const text = {
    closed: "This page is no longer logged in. Open the address that “ogive studio” printed.",
    live: error ? `The run failed: ${error}` : trouble.value && `The server could not be asked: ${trouble.value}`,
  }[connection.value];
  return text && html`<div class="banner" role="alert"><span class="banner-text">${text}</span>
    ${log && html`<a class="button" target="_blank" href=${log}>Open log</a>`}</div>`;
}

function Notices() {
  return html`<div class="notices">
    ${notices.value.map(({ id, kind, text, detail }) => html`<div class=${`notice notice-${kind}`} key=${id}>
      <div>
        <p>${text}</p>
        ${detail.length > 0 && html`<ul>${detail.map((line) => html`<li>${line}</li>`)}</ul>`}
      </div>
      <button class="button-plain" aria-label="Close this note" onClick=${() => dismiss(id)}>×</button>
    </div>`)}
  </div>`;
}

function Page() {
  const name = run.value?.run.name;
  useEffect(() => {
    if (name) document.title = `${name} · Ogive studio`;
  }, [name]);
  return html`
    <${TopBar} />
    <${Banner} />
    <main class="desk">
      <div class="upper">
        <${Pane} id="palette" views=${[["Palette", Palette]]} />
        <${Splitter} name="rail" label="Width of the palette" least=${140} most=${400} first=${184} vertical />
        <${Pane} id="canvas" views=${[["Template", Canvas, true]]} />
        <${Splitter} name="side" label="Width of evidence and detail" least=${240} most=${720} first=${344} vertical back />
        <div class="side">
          <${Pane} id="evidence" views=${[["Evidence", Evidence, true], ["Trust", Trust, true]]} />
          <${Splitter} name="upper" label="Height of evidence" least=${120} most=${900} first=${240} />
          <${Pane} id="detail" views=${[["Detail", Detail]]} />
        </div>
      </div>
      <${Splitter} name="dock" label="Height of the lower panes" least=${140} most=${800} first=${304} back />
      <div class="dock">
        <${Pane} id="map" views=${[["Map", Map, true], ["Timeline", Timeline, true]]} />
        <${Splitter} name="half" label="Width of map and timeline" least=${240} most=${1600} first=${560} vertical />
        <${Pane} id="table" views=${[["Candidates", Table], ["History", History]]} />
      </div>
    </main>
    <${Notices} />
    <div class="unseen" role="status" aria-live="polite">${spoken}</div>
  `;
}

bind("Ctrl+z", "undo the last change", undo);
bind("Ctrl+Shift+z", "redo what was undone", redo);
bind("p", "pause or go on", toggle);
bind(".", "measure one more candidate, then pause", () => send("step", { n: 1 }));
bind("Escape", "clear the selection", () => select());
bind("?", "list the shortcuts", help);

render(html`<${Page} />`, document.getElementById("page"));
start();
