// Makes the browser libraries anew beside itself: `make vendor`. Takes the folder in which npm installed what
// package.json names.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const installed = join(process.argv[2], "node_modules");
const { build } = createRequire(join(installed, "x.js"))("esbuild");
const pinned = readJson(join(here, "package.json"));
const BUNDLES = [
  {
    entry: "plot.mjs",
    global: "Plot",
    file: "plot.min.js",
    notice: "Observable Plot (ISC licence, Copyright Observable, Inc.) and d3 (ISC licence, Copyright Mike Bostock)",
  },
  {
    entry: "onnx-runtime.mjs",
    global: "ort",
    file: "onnx-runtime.min.js",
    notice: "ONNX Runtime (MIT licence, Copyright Microsoft Corporation)",
  },
];
const WASM = { from: "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm", file: "onnx-runtime.wasm.gz" };

function readJson(path) {
  return JSON.parse(readFileSync(path, "utf8"));
}

// A classic script inside a page has no address, from which ONNX Runtime would resolve that of its WebAssembly,
// even where the bytes are handed over and nothing is fetched.
const withoutAddress = {
  name: "without-address",
  setup({ onLoad }) {
    onLoad({ filter: /ort\.wasm\.bundle\.min\.mjs$/ }, ({ path }) => {
      const resolved = /new URL\(("ort-wasm-simd-threaded\.wasm"),import\.meta\.url\)\.href/g;
      const text = readFileSync(path, "utf8");
      if (!resolved.test(text)) throw new Error(`${path} resolves the address of its WebAssembly in another way`);
      return { contents: text.replace(resolved, "$1") };
    });
  },
};

async function bundled({ entry, global, file, notice }) {
  const result = await build({
    entryPoints: [join(here, entry)],
    outfile: join(here, file),
    absWorkingDir: installed,
    nodePaths: [installed],
    bundle: true,
    minify: true,
    format: "iife",
    globalName: global,
    target: "es2022",
    charset: "utf8",
    legalComments: "none",
    banner: { js: `/*! ${notice}; all licences: gan_core/report/vendor/LICENCES.txt */` },
    define: { "import.meta.url": "undefined" },
    plugins: [withoutAddress],
    metafile: true,
    logLevel: "warning",
  });
  const used = Object.entries(Object.values(result.metafile.outputs)[0].inputs);
  // Relative to what npm installed: the entry beside this file is outside.
  return used.filter(([path, { bytesInOutput }]) => bytesInOutput > 0 && !path.startsWith("..")).map(([path]) => path);
}

function packageOf(path) {
  return path.match(/^(@[^/]+\/)?[^/]+/)[0];
}

function checkPinned(names) {
  const expected = { ...pinned.dependencies, ...pinned.overrides };
  const versions = names.map((name) => [name, readJson(join(installed, name, "package.json")).version]);
  const others = Object.fromEntries(versions.filter(([name, version]) => expected[name] !== version));
  if (Object.keys(others).length > 0)
    throw new Error(`name these versions under "overrides" in package.json: ${JSON.stringify(others, null, 2)}`);
}

function licenceOf(name) {
  const folder = join(installed, name);
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  // onnxruntime-web's package names its licence, MIT, and leaves its text out.
  const text = readFileSync(file ? join(folder, file) : join(here, `${name}-licence.txt`), "utf8");
  const { version, license } = readJson(join(folder, "package.json"));
  return { name, version, license, text: text.replaceAll("\r\n", "\n").trim() };
}

function compress({ from, file }) {
  // Node writes no time and no name into the header: the same input gives the same bytes.
  writeFileSync(join(here, file), gzipSync(readFileSync(join(installed, from)), { level: 9 }));
}

function describe(files, licences) {
  const rows = files.map((file) => {
    const bytes = readFileSync(join(here, file));
    const hash = createHash("sha256").update(bytes).digest("hex");
    return `| \`${file}\` | ${bytes.length.toLocaleString("en-US")} | \`${hash}\` |`;
  });
  const packages = licences.map(({ name, version, license }) => `| ${name} | ${version} | ${license} |`);
  const path = join(here, "README.md");
  const [text] = readFileSync(path, "utf8").split("## Files\n");
  const tables = [
    "## Files\n",
    "| file | bytes | sha256 |",
    "|---|---:|---|",
    ...rows,
    "",
    "## Packages inside\n",
    "| package | version | licence |",
    "|---|---|---|",
    ...packages,
  ];
  writeFileSync(path, `${text}${tables.join("\n")}\n`);
}

const inputs = (await Promise.all(BUNDLES.map(bundled))).flat();
const names = [...new Set(inputs.map(packageOf))].sort();
checkPinned(names);
compress(WASM);
const licences = names.map(licenceOf);
const texts = licences.map(({ name, version, text }) => `${name} ${version}\n\n${text}\n`);
writeFileSync(join(here, "LICENCES.txt"), texts.join(`\n${"-".repeat(80)}\n\n`));
describe([...BUNDLES.map(({ file }) => file), WASM.file, "LICENCES.txt"], licences);
