// The theme, and colours for canvases, which cannot read style sheets by themselves.

import { computed, effect, signal } from "/static/vendor/preact.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const system = signal(dark.matches);
dark.addEventListener("change", () => (system.value = dark.matches));

/** What the person chose: "auto", "light" or "dark". */
export const choice = signal(localStorage.getItem("ogive-theme") ?? "auto");
/** What that comes to: "light" or "dark"; whoever draws on a canvas reads it to draw again. */
export const theme = computed(() => (choice.value === "auto" ? (system.value ? "dark" : "light") : choice.value));

effect(() => {
  localStorage.setItem("ogive-theme", choice.value);
  document.documentElement.dataset.theme = theme.value;
});

/** Return the value of a token of style.css, such as "--accent", in the present theme. */
export function token(name) {
  theme.value;
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// Nine even steps of viridis: perceptually uniform and readable for the colour-blind.
const STEPS = ["440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725"];
const RGB = STEPS.map((hex) => [0, 2, 4].map((i) => Number.parseInt(hex.slice(i, i + 2), 16)));

// The part of it that stands out from the ground by 3 to 1, the best end the most: [worst, best].
const PART = { light: [0.62, 0], dark: [0.38, 1] };

/** Return the colour of a share from 0 (worst) to 1 (best) as CSS text. */
export function ramp(share) {
  const [worst, best] = PART[theme.value];
  const at = (worst + Math.min(1, Math.max(0, share)) * (best - worst)) * (RGB.length - 1);
  const [low, high] = [RGB[Math.floor(at)], RGB[Math.ceil(at)]];
  return `rgb(${low.map((v, i) => Math.round(v + (high[i] - v) * (at % 1))).join(" ")})`;
}
