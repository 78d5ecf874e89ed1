#!/bin/sh
# Make the two bundles of other people's code that the studio's page uses, and the manifest that a test checks.
# Only for whoever moves to another version: the bundles are committed, users and CI never run this.
# Needs npm; run from the root of the repository, then look at the difference.
set -eu

PREACT=11.2.0 SIGNALS=2.11.4 HTM=3.1.1 UPLOT=1.6.32 ESBUILD=0.28.2

target=$(pwd)/src/ogive/studio/static/vendor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

npm init -y >/dev/null
npm install --silent --no-audit --no-fund --save-exact \
    "preact@$PREACT" "@preact/signals@$SIGNALS" "htm@$HTM" "uplot@$UPLOT" "esbuild@$ESBUILD"

cat >preact.js <<'JS'
import { h } from "preact";
import htm from "htm";
export { Component, Fragment, createContext, createRef, h, render } from "preact";
export * from "preact/hooks";
export { batch, computed, effect, signal, untracked, useComputed, useSignal, useSignalEffect } from "@preact/signals";
export const html = htm.bind(h);
JS
echo 'export { default } from "uplot";' >uplot.js

bundle() { npx esbuild "$1" --bundle --minify --format=esm --target=es2022 --legal-comments=none --outfile="$target/$1"; }
mkdir -p "$target"
bundle preact.js
bundle uplot.js
npx esbuild node_modules/uplot/dist/uPlot.min.css --minify --outfile="$target/uplot.css"

node - "$target" <<'JS'
const { createHash } = require("node:crypto");
const { readFileSync, writeFileSync } = require("node:fs");
const { join } = require("node:path");

const target = process.argv[2];
const parts = {
  "preact.js": ["preact", "@preact/signals", "@preact/signals-core", "htm"],
  "uplot.js": ["uplot"],
  "uplot.css": ["uplot"],
};
const licences = new Map();
const described = (name) => {
  const folder = join("node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  licences.set(`${name} ${version} (${license})`, readFileSync(join(folder, "LICENSE"), "utf8").trim());
  return { name, version, licence: license };
};
const files = Object.entries(parts).map(([file, packages]) => ({
  file,
  sha256: createHash("sha256").update(readFileSync(join(target, file))).digest("hex"),
  packages: packages.map(described),
}));
writeFileSync(join(target, "manifest.json"), JSON.stringify({ made_by: "scripts/vendor_studio.sh", files }, null, 2) + "\n");
const texts = [...licences].map(([title, text]) => `${title}\n${"-".repeat(title.length)}\n\n${text}\n`);
writeFileSync(join(target, "LICENSES"), texts.join("\n\n"));
JS
