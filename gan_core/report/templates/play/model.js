// The generator in the browser: its latents, and the images that it makes of them. What the page was made with
// stands in the element `made` (JSON); `model`, `wasm`, `directions` and `check-*` hold base64 of gzip.
//
// `window.play`, for a console or a test:
//   ready                      a promise; when it is fulfilled, the rest may be called
//   latent(seed, index)        Float32Array, latent number `index` of a seed
//   run(latent, label)         a promise of Float32Array, the image (channels, side, side) in its range
//   between(first, second, t)  the latent at t (0 to 1) of the path between two
//   disagreement               how far this browser's images are from PyTorch's, in [-1, 1]
"use strict";

const made = JSON.parse(document.getElementById("made").textContent);

async function unpacked(id) {
  const element = document.getElementById(id);
  const bytes = Uint8Array.from(atob(element.textContent), (character) => character.charCodeAt(0));
  element.remove(); // megabytes of text
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

// Numbers in (0, 1): sfc32 of PractRand (Doty-Humphrey), its state the seed, the index, 0 and a counter from 1;
// the first 20 numbers are thrown away, until the state is mixed.
function uniformNumbers(seed, index) {
  let [a, b, c, counter] = [seed >>> 0, index >>> 0, 0, 1];
  const next = () => {
    const number = (a + b + counter) >>> 0;
    counter = (counter + 1) >>> 0;
    a = (b ^ (b >>> 9)) >>> 0;
    b = (c + (c << 3)) >>> 0;
    c = (((c << 21) | (c >>> 11)) + number) >>> 0;
    return (number + 0.5) / 2 ** 32;
  };
  for (let thrown = 0; thrown < 20; thrown += 1) next();
  return next;
}

// From U(-1, 1); or from N(0, 1), two of each two uniform numbers (Box and Muller 1958).
function latent(seed, index = 0) {
  const next = uniformNumbers(seed, index);
  const drawn = new Float32Array(made.latent.size);
  if (made.latent.distribution === "uniform") return drawn.map(() => 2 * next() - 1);
  for (let position = 0; position < drawn.length; position += 2) {
    const radius = Math.sqrt(-2 * Math.log(next()));
    const angle = 2 * Math.PI * next();
    drawn[position] = radius * Math.cos(angle);
    drawn[position + 1] = radius * Math.sin(angle); // beyond the end of an odd size, where nothing is kept
  }
  return drawn;
}

function product(first, second) {
  return first.reduce((sum, value, position) => sum + value * second[position], 0);
}

function mixed(first, second, weight, otherWeight) {
  return first.map((value, position) => weight * value + otherWeight * second[position]);
}

// The great circle for normal latents (Shoemake 1985), a straight line for uniform ones, whose cube a circle
// would leave, and where there is no circle to follow: as `gan_core.analysis.latents` has it.
function between(first, second, t) {
  const norms = Math.sqrt(product(first, first) * product(second, second));
  const angle = norms > 0 ? Math.acos(Math.min(1, Math.max(-1, product(first, second) / norms))) : 0;
  if (made.latent.distribution === "uniform" || Math.sin(angle) < 1e-4) return mixed(first, second, 1 - t, t);
  const sine = Math.sin(angle);
  return mixed(first, second, Math.sin((1 - t) * angle) / sine, Math.sin(t * angle) / sine);
}

// Parts of one long array of 32-bit numbers, each so long.
function parts(buffer, length) {
  const all = new Float32Array(buffer);
  return Array.from({ length: all.length / length }, (_, index) =>
    all.subarray(index * length, (index + 1) * length),
  );
}

const play = { latent, between, run, directions: [], disagreement: NaN };
let session;
let last = Promise.resolve();

async function open() {
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await unpacked("wasm");
  session = await ort.InferenceSession.create(new Uint8Array(await unpacked("model")));
  ort.env.wasm.wasmBinary = undefined;
  play.directions = parts(await unpacked("directions"), made.latent.size);
  play.disagreement = await disagreement();
}

// One image after the other: a session runs one at a time.
function run(z, label = 0) {
  const result = last.then(() => generated(z, label));
  last = result.catch(() => {});
  return result;
}

async function generated(z, label) {
  const inputs = { z: new ort.Tensor("float32", z, [1, z.length]) };
  if (made.classes.length) inputs.labels = new ort.Tensor("int64", [BigInt(label)], [1]);
  const { images } = await session.run(inputs);
  return images.data;
}

// From PyTorch's images of the latents that the page brings, as a difference of values in [-1, 1].
async function disagreement() {
  const latents = parts(await unpacked("check-latents"), made.latent.size);
  const images = parts(await unpacked("check-images"), made.channels * made.side ** 2);
  const [low, high] = made.range;
  let largest = 0;
  for (const [index, expected] of images.entries()) {
    const image = await generated(latents[index], made.check_labels[index]);
    const apart = image.map((value, position) => Math.abs(value - expected[position]));
    largest = apart.reduce((most, value) => (value <= most ? most : value), largest); // NaN counts as more
  }
  return (largest * 2) / (high - low);
}

window.play = play;
play.ready = open();
