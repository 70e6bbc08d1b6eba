// What the controls do. Each of the three parts of the page draws itself anew from its controls; where they
// change while it draws, it draws once more.
const control = (id) => document.getElementById(id);
const number = (id) => Number(control(id).value);
const CLASSES = made.classes.length;
const SAMPLES = made.samples;
const SWEEP_SECONDS = 4;
const STEPS = 8;

function label() {
  return CLASSES ? number("class") : 0;
}

function className(index) {
  return CLASSES ? `, class ${made.classes[index]}` : "";
}

function seedOf(id) {
  const value = Math.floor(Math.abs(number(id)));
  return Number.isFinite(value) ? value % 2 ** 32 : 0;
}

function clamped(z) {
  return made.latent.distribution === "uniform" ? z.map((value) => Math.min(1, Math.max(-1, value))) : z;
}

function scaled(z) {
  const scale = number("scale");
  return clamped(z.map((value) => scale * value));
}

// --- drawing ----------------------------------------------------------------------------------------------

function paint(canvas, image, words) {
  const { side, channels } = made;
  const [low, high] = made.range;
  const pixels = new ImageData(side, side);
  const plane = side * side;
  for (let position = 0; position < plane; position += 1) {
    for (let channel = 0; channel < 3; channel += 1) {
      const value = image[(channels === 3 ? channel : 0) * plane + position];
      pixels.data[4 * position + channel] = Math.round(((value - low) * 255) / (high - low));
    }
    pixels.data[4 * position + 3] = 255;
  }
  // So few pixels are drawn, enlarged and saved by the processor.
  canvas.getContext("2d", { willReadFrequently: true }).putImageData(pixels, 0, 0);
  canvas.setAttribute("aria-label", words);
}

function failed(error) {
  control("state").hidden = false;
  control("state").className = "notice stopped";
  control("state").textContent = `The generator does not run in this browser: ${error.message ?? error}`;
}

function redrawer(draw) {
  let wanted = false;
  let drawing = false;
  return async () => {
    wanted = true;
    if (drawing) return;
    drawing = true;
    try {
      while (wanted) {
        wanted = false;
        await draw(() => wanted);
      }
    } catch (error) {
      failed(error);
    }
    drawing = false;
  };
}

// So that what was drawn is seen, and a key is heard, before the next image is made.
const pause = () => new Promise((resolve) => setTimeout(resolve));

// --- one image --------------------------------------------------------------------------------------------

let chosen = { seed: 0, index: 0 }; // of the latent that the sliders move
const moved = new Map(); // slider -> the coordinate that it was moved to

function currentLatent() {
  const z = scaled(latent(chosen.seed, chosen.index));
  for (const [index, value] of moved) {
    const along = play.directions[index];
    const by = value - product(z, along);
    along.forEach((step, position) => (z[position] += by * step));
  }
  return clamped(z);
}

function showCoordinates(z) {
  play.directions.forEach((along, index) => {
    const value = product(z, along);
    if (!moved.has(index)) control(`direction-${index}`).value = value;
    control(`direction-${index}-value`).textContent = value.toFixed(2);
  });
}

const drawImage = redrawer(async () => {
  const z = currentLatent();
  const [asked, { seed, index }] = [label(), chosen];
  showCoordinates(z);
  control("scale-value").textContent = number("scale").toFixed(2);
  const words = `Image of seed ${seed}${index ? `, sample ${index}` : ""}${className(asked)}`;
  paint(control("image"), await play.run(z, asked), words);
  control("image-caption").textContent = words + (moved.size ? ", moved" : "");
  await pause();
});

function choose(seed, index) {
  chosen = { seed, index };
  moved.clear();
  control("seed").value = seed;
  drawImage();
}

// --- between two latents ----------------------------------------------------------------------------------

const drawBetween = redrawer(async () => {
  const seeds = ["first", "second"].map(seedOf);
  const ends = seeds.map((seed) => scaled(latent(seed)));
  const [t, asked] = [number("way"), label()];
  const percent = `${Math.round(100 * t)}%`;
  control("way-value").textContent = percent;
  control("way").setAttribute("aria-valuetext", percent);
  await paintOnce("image-first", ends[0], asked, `Image of seed ${seeds[0]}${className(asked)}`);
  await paintOnce("image-second", ends[1], asked, `Image of seed ${seeds[1]}${className(asked)}`);
  const words = `Image ${percent} of the way from seed ${seeds[0]} to ${seeds[1]}${className(asked)}`;
  paint(control("image-between"), await play.run(between(...ends, t), asked), words);
  await pause();
});

// While it moves, the ends stay as they are.
async function paintOnce(id, z, asked, words) {
  const drawn = `${words}, ${number("scale")}`;
  if (control(id).dataset.drawn === drawn) return;
  paint(control(id), await play.run(z, asked), words);
  control(id).dataset.drawn = drawn;
}

const calm = matchMedia("(prefers-reduced-motion: reduce)");
let moving = false;
let began = 0;

function nameAnimation() {
  control("animate").textContent = calm.matches ? "Next step" : moving ? "Stop" : "Animate";
}

function stop() {
  moving = false;
  nameAnimation();
}

// There and back again.
function move(now) {
  if (!moving) return;
  const phase = ((now - began) / 1000 / SWEEP_SECONDS) % 2;
  control("way").value = phase < 1 ? phase : 2 - phase;
  drawBetween();
  requestAnimationFrame(move);
}

function animate() {
  if (calm.matches) {
    const step = Math.floor(number("way") * STEPS + 1e-9) + 1;
    control("way").value = (step % (STEPS + 1)) / STEPS;
    drawBetween();
    return;
  }
  moving = !moving;
  nameAnimation();
  if (!moving) return;
  began = performance.now() - 1000 * SWEEP_SECONDS * number("way");
  requestAnimationFrame(move);
}

// --- sixteen samples --------------------------------------------------------------------------------------

let shownSeed = 0; // of the grid

const drawGrid = redrawer(async (outdated) => {
  const turns = CLASSES > 0 && control("turns").checked;
  shownSeed = seedOf("grid-seed");
  for (let index = 0; index < SAMPLES && !outdated(); index += 1) {
    const asked = turns ? index % CLASSES : label();
    const words = `Sample ${index} of seed ${shownSeed}${className(asked)}`;
    paint(control(`sample-${index}`), await play.run(scaled(latent(shownSeed, index)), asked), words);
    control(`sample-${index}`).dataset.label = asked;
    control(`sample-${index}-class`).textContent = CLASSES ? made.classes[asked] : "";
    await pause();
  }
});

function chooseSample(index) {
  if (CLASSES) control("class").value = control(`sample-${index}`).dataset.label;
  choose(shownSeed, index);
  drawBetween();
  control("one").scrollIntoView({ behavior: calm.matches ? "auto" : "smooth" });
}

// --- pictures to keep -------------------------------------------------------------------------------------

// Each pixel a square of whole pixels, so that the image can be had back from it.
function save(canvases, columns, name) {
  const side = made.side * Math.max(1, Math.floor(512 / columns / made.side));
  const sheet = document.createElement("canvas");
  sheet.width = side * columns;
  sheet.height = side * Math.ceil(canvases.length / columns);
  const context = sheet.getContext("2d");
  context.imageSmoothingEnabled = false;
  canvases.forEach((canvas, index) => {
    context.drawImage(canvas, side * (index % columns), side * Math.floor(index / columns), side, side);
  });
  sheet.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${made.experiment}-${name}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  });
}

// --- what happens when ------------------------------------------------------------------------------------

const on = (id, event, action) => control(id)?.addEventListener(event, action);

function drawAll() {
  drawImage();
  drawBetween();
  drawGrid();
}

function connect() {
  ["class", "scale"].forEach((id) => on(id, "input", drawAll));
  on("seed", "change", () => choose(seedOf("seed"), 0));
  on("new", "click", () => choose((chosen.seed + 1) % 2 ** 32, 0));
  on("reset", "click", () => choose(chosen.seed, chosen.index));
  play.directions.forEach((_, index) =>
    on(`direction-${index}`, "input", () => {
      moved.set(index, number(`direction-${index}`));
      drawImage();
    }),
  );
  ["first", "second"].forEach((id) => on(id, "change", () => (stop(), drawBetween())));
  on("way", "input", () => (stop(), drawBetween()));
  on("animate", "click", animate);
  calm.addEventListener("change", stop);
  on("grid-seed", "change", drawGrid);
  on("turns", "input", drawGrid);
  on("new-grid", "click", () => {
    control("grid-seed").value = (seedOf("grid-seed") + 1) % 2 ** 32;
    drawGrid();
  });
  const samples = Array.from({ length: SAMPLES }, (_, index) => control(`sample-${index}`));
  samples.forEach((canvas, index) =>
    canvas.parentElement.addEventListener("click", () => chooseSample(index)),
  );
  on("save-image", "click", () => save([control("image")], 1, "image"));
  on("save-between", "click", () =>
    save(["first", "between", "second"].map((id) => control(`image-${id}`)), 3, "between"),
  );
  on("save-grid", "click", () => save(samples, Math.sqrt(SAMPLES), `samples-of-seed-${shownSeed}`));
}

function tellAgreement() {
  const apart = play.disagreement;
  const agrees = apart <= made.tolerance; // NaN does not
  const words = `a value differs by ${apart.toExponential(1)} at most, of ${made.check_labels.length} images`;
  control("agreement-here").textContent = words;
  control("state").hidden = agrees;
  control("state").className = "notice";
  control("state").textContent = `This browser does not draw what PyTorch draws: ${words}, more than ${made.tolerance}.`;
}

play.ready.then(() => {
  connect();
  nameAnimation();
  tellAgreement();
  document.querySelectorAll("fieldset").forEach((fieldset) => (fieldset.disabled = false));
  choose(0, 0);
  drawBetween();
  drawGrid();
}, failed);
