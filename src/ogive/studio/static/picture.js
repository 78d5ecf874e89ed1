// A view as a file: SVG where it is drawn so, with its style written into it, else PNG.

import { notify } from "/static/commands.js";

const STYLES =
  "fill fill-opacity stroke stroke-width stroke-dasharray stroke-opacity opacity visibility display " +
  "font-family font-size font-weight text-anchor text-decoration";

function save(blob, name) {
  const href = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 1000);
}

/** Return a drawing as the text of a file that looks the same outside of the page. */
function standalone(svg) {
  const copy = svg.cloneNode(true);
  copy.setAttribute("width", svg.clientWidth);
  copy.setAttribute("height", svg.clientHeight);
  const originals = [svg, ...svg.querySelectorAll("*")];
  for (const [i, part] of [copy, ...copy.querySelectorAll("*")].entries()) {
    const style = getComputedStyle(originals[i]);
    for (const name of STYLES.split(" ")) part.style.setProperty(name, style.getPropertyValue(name));
  }
  copy.style.background = getComputedStyle(document.querySelector(".pane")).backgroundColor;
  return new XMLSerializer().serializeToString(copy);
}

/** Save what a panel shows: its drawing, or its canvases as they lie there. */
export function savePicture(panel, name) {
  const box = panel.getBoundingClientRect();
  const canvases = [...panel.querySelectorAll("canvas")];
  const svg = [...panel.querySelectorAll("svg:not(.icon)")].sort((a, b) => b.clientWidth - a.clientWidth)[0];
  if (!svg && !canvases.length) return notify("refused", "There is nothing drawn here to save.");
  if (!canvases.length) return save(new Blob([standalone(svg)], { type: "image/svg+xml" }), `${name}.svg`);
  const [width, height] = [box.width * devicePixelRatio, box.height * devicePixelRatio];
  const sheet = Object.assign(document.createElement("canvas"), { width, height });
  const ink = sheet.getContext("2d");
  ink.fillStyle = getComputedStyle(document.querySelector(".pane")).backgroundColor;
  ink.fillRect(0, 0, sheet.width, sheet.height);
  ink.scale(devicePixelRatio, devicePixelRatio);
  for (const canvas of canvases) {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    ink.drawImage(canvas, left - box.left, top - box.top, width, height);
  }
  return sheet.toBlob((blob) => save(blob, `${name}.png`));
}
